use crate::{LinkType, UdpPacket, Unusable, ip};

/// Which way a packet went, seen from the machine that captured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It was received.
    Inbound,
    /// It was sent.
    Outbound,
}

/// A captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// At which interface of the file, counted from 0 over all sections; in a relay's own trace this is the shard.
    pub interface: u32,
    /// Which way it went, if the file says.
    pub direction: Option<Direction>,
    /// How many packets were lost between the previous one of this interface and this one, if the file says.
    pub dropped: u64,
    /// The frame's kind.
    pub link: LinkType,
    /// The frame, as much of it as was captured.
    pub frame: &'a [u8],
    /// Where [`Self::frame`] begins, in bytes from the file's start.
    pub file_offset: u64,
    /// The frame's length on the wire, in bytes.
    pub original_len: u32,
    /// A comment that someone has left on the packet.
    pub comment: Option<&'a str>,
}

impl<'a> Packet<'a> {
    /// The UDP datagram in the frame.
    ///
    /// # Errors
    ///
    /// Says why the packet is none, or why it cannot be looked into.
    pub fn udp(&self) -> Result<UdpPacket<'a>, Unusable> {
        ip::parse(self.link, self.frame)
    }
}
