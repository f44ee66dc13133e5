use crate::{ChannelData, ClassifyError, header};

/// What a datagram from a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classified {
    /// A STUN message, judging by its header: parse it with [`Message::parse`](crate::Message::parse).
    Stun,
    /// Data on a channel.
    ChannelData(ChannelData),
}

/// Tells STUN from ChannelData by the first byte and checks the header's length field, without copying.
///
/// A ChannelData message may be followed by
/// [padding](https://www.rfc-editor.org/rfc/rfc8656#section-12.5); a STUN message must fill the datagram.
///
/// # Errors
///
/// When it is neither, or when the length in its header is wrong.
#[inline]
pub fn classify(datagram: &[u8]) -> Result<Classified, ClassifyError> {
    match datagram {
        [0x40..=0x7F, rest @ ..] => channel_data(datagram[0], rest).map(Classified::ChannelData),
        [0x00..=0x3F, ..] => header::check(datagram).map(|()| Classified::Stun),
        _ => Err(ClassifyError::Neither),
    }
}

#[inline]
fn channel_data(first: u8, rest: &[u8]) -> Result<ChannelData, ClassifyError> {
    let actual = rest.len() + 1;
    let &[second, high, low, ref data @ ..] = rest else {
        return Err(ClassifyError::TruncatedChannelData { expected: ChannelData::HEADER_LEN, actual });
    };
    let expected = ChannelData::HEADER_LEN + usize::from(u16::from_be_bytes([high, low]));
    if data.len() + ChannelData::HEADER_LEN < expected {
        return Err(ClassifyError::TruncatedChannelData { expected, actual });
    }
    Ok(ChannelData { channel: u16::from_be_bytes([first, second]), payload: ChannelData::HEADER_LEN..expected })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{Message, testing};

    #[test]
    fn the_first_byte_decides() {
        for first in 0..=u8::MAX {
            let datagram = [&[first, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], testing::TRANSACTION_ID.as_slice()].concat();
            let expected = match first {
                0x00..=0x3F => Ok(Classified::Stun),
                0x40..=0x7F => {
                    Ok(Classified::ChannelData(ChannelData { channel: u16::from_be_bytes([first, 1]), payload: 4..4 }))
                }
                0x80.. => Err(ClassifyError::Neither),
            };
            assert_eq!(classify(&datagram), expected, "{first:#04x}");
        }
    }

    #[test]
    fn nothing_is_neither() {
        assert_eq!(classify(&[]), Err(ClassifyError::Neither));
    }

    #[test]
    fn without_the_magic_cookie_it_is_not_stun() {
        let bytes = testing::message(testing::BINDING, &[]);
        for position in 4..8 {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_eq!(classify(&changed), Err(ClassifyError::Neither), "byte {position}");
        }
    }

    #[test]
    fn stun_fills_its_datagram() {
        let bytes = testing::message(testing::BINDING, &[(0x8022, b"software")]);
        assert_eq!(classify(&bytes), Ok(Classified::Stun));
        for actual in 8..bytes.len() {
            let expected = Err(ClassifyError::StunLength { expected: bytes.len(), actual });
            assert_eq!(classify(&bytes[..actual]), expected);
        }
        for actual in 0..8 {
            assert_eq!(classify(&bytes[..actual]), Err(ClassifyError::Neither), "{actual} bytes");
        }
        let longer = [bytes.as_slice(), &[0; 4]].concat();
        let expected = Err(ClassifyError::StunLength { expected: bytes.len(), actual: longer.len() });
        assert_eq!(classify(&longer), expected);
    }

    #[test]
    fn stun_is_a_multiple_of_four_long() {
        let mut bytes = testing::message(testing::BINDING, &[]);
        bytes[3] = 2;
        bytes.extend([0, 0]);
        assert_eq!(classify(&bytes), Err(ClassifyError::UnalignedStun(2)));
    }

    #[test]
    fn truncated_channel_data_is_refused() {
        let whole = [ChannelData::header(0x4000, 7).as_slice(), b"1234567"].concat();
        for actual in 4..whole.len() {
            let expected = Err(ClassifyError::TruncatedChannelData { expected: whole.len(), actual });
            assert_eq!(classify(&whole[..actual]), expected);
        }
        for actual in 1..4 {
            let expected = Err(ClassifyError::TruncatedChannelData { expected: ChannelData::HEADER_LEN, actual });
            assert_eq!(classify(&whole[..actual]), expected);
        }
    }

    #[test]
    fn channel_data_may_be_padded() {
        for padding in 0..=3 {
            let datagram = [ChannelData::header(0x4FFF, 5).as_slice(), b"hello", &vec![0; padding]].concat();
            let expected = ChannelData { channel: 0x4FFF, payload: 4..9 };
            assert_eq!(classify(&datagram), Ok(Classified::ChannelData(expected)));
        }
    }

    #[test]
    fn the_largest_channel_data_is_read() {
        let datagram = [ChannelData::header(0x4000, u16::MAX).as_slice(), &vec![7; 0xFFFF]].concat();
        let expected = ChannelData { channel: 0x4000, payload: 4..0x1_0003 };
        assert_eq!(classify(&datagram), Ok(Classified::ChannelData(expected)));
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        #[test]
        fn a_payload_lies_in_its_datagram(datagram in prop::collection::vec(any::<u8>(), 0..100)) {
            match classify(&datagram) {
                Ok(Classified::ChannelData(data)) => {
                    prop_assert!((0x4000..=0x7FFF).contains(&data.channel));
                    prop_assert!(datagram.get(data.payload).is_some());
                }
                Ok(Classified::Stun) => prop_assert!(datagram.len() >= 20),
                Err(_) => prop_assert!(Message::parse(&datagram).is_err()),
            }
        }

        #[test]
        fn channel_data_makes_the_round_trip(channel in 0x4000_u16..=0x7FFF, data in prop::collection::vec(any::<u8>(), 0..1500)) {
            let len = u16::try_from(data.len()).unwrap();
            let datagram = [ChannelData::header(channel, len).as_slice(), &data].concat();
            let expected = ChannelData { channel, payload: 4..datagram.len() };
            prop_assert_eq!(classify(&datagram), Ok(Classified::ChannelData(expected)));
        }
    }
}
