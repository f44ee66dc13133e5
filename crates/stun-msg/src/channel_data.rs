use std::ops::Range;

/// A [ChannelData message](https://www.rfc-editor.org/rfc/rfc8656#section-12.4), with its payload as a range of the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelData {
    /// The channel number, 0x4000 to 0x7FFF.
    pub channel: u16,
    /// The bytes of the datagram that are application data, without padding.
    pub payload: Range<usize>,
}

impl ChannelData {
    /// The length of the header in bytes.
    pub const HEADER_LEN: usize = 4;

    /// The header in front of `len` bytes of application data, in network byte order.
    #[must_use]
    pub const fn header(channel: u16, len: u16) -> [u8; 4] {
        let ([a, b], [c, d]) = (channel.to_be_bytes(), len.to_be_bytes());
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{Classified, classify};

    #[test]
    fn the_length_does_not_count_the_header() {
        assert_eq!(ChannelData::header(0x4001, 5), [0x40, 0x01, 0x00, 0x05]);
        assert_eq!(ChannelData::header(0x7FFF, u16::MAX), [0x7F, 0xFF, 0xFF, 0xFF]);
        let datagram = [ChannelData::header(0x4001, 5).as_slice(), b"hello"].concat();
        let Ok(Classified::ChannelData(data)) = classify(&datagram) else { panic!("not ChannelData") };
        assert_eq!((data.channel, &datagram[data.payload]), (0x4001, b"hello".as_slice()));
    }
}
