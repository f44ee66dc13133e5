use std::ops::Range;

/// A [ChannelData message](https://www.rfc-editor.org/rfc/rfc8656#section-12.4): where its parts lie in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelData {
    /// The channel number, 0x4000 to 0x7FFF.
    pub channel: u16,
    /// Which bytes of the datagram are application data; padding is not part of it.
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
