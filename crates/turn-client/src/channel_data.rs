/// Encodes a ChannelData message ([RFC 8656, section 12.4](https://www.rfc-editor.org/rfc/rfc8656#section-12.4)) without padding, which
/// is optional over UDP.
///
/// The message replaces the content of `datagram`, so that a caller can reuse the buffer. A payload is cut to the
/// 65,535 bytes that fit the length field.
pub fn encode_channel_data(channel: u16, payload: &[u8], datagram: &mut Vec<u8>) {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    datagram.clear();
    datagram.extend_from_slice(&channel.to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&payload[..usize::from(length)]);
}

/// The channel number and payload of a ChannelData message, or `None` if `datagram` is not one or is truncated.
#[must_use]
pub fn decode_channel_data(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (header, rest) = datagram.split_at_checked(4)?;
    let channel = u16::from_be_bytes([header[0], header[1]]);
    let length = u16::from_be_bytes([header[2], header[3]]);
    (channel >> 14 == 0b01).then_some((channel, rest.get(..usize::from(length))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut datagram = vec![0xFF; 3];
        encode_channel_data(0x4001, b"abc", &mut datagram);
        assert_eq!(datagram, [0x40, 0x01, 0x00, 0x03, b'a', b'b', b'c']);
        assert_eq!(decode_channel_data(&datagram), Some((0x4001, &b"abc"[..])));
    }

    #[test]
    fn padding_is_ignored_and_truncation_is_not() {
        assert_eq!(decode_channel_data(&[0x40, 0, 0, 1, 7, 0, 0, 0]), Some((0x4000, &[7][..])));
        assert_eq!(decode_channel_data(&[0x40, 0, 0, 2, 7]), None);
        assert_eq!(decode_channel_data(&[0x40, 0, 0]), None);
        assert_eq!(decode_channel_data(&[0x00, 1, 0, 0]), None);
        assert_eq!(decode_channel_data(&[0x80, 1, 0, 0]), None);
    }
}
