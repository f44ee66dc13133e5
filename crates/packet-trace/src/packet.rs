use crate::{IcmpError, LinkType, UdpPacket, Unusable, icmp, ip};

/// The direction of a packet, as seen from the machine that captured it.
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
    /// The time, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// The interface, counted from 0 over all sections of the file. In a relay's own trace, this is the shard, also where all shards have
    /// one interface.
    pub interface: u32,
    /// The direction, if the file says.
    pub direction: Option<Direction>,
    /// How many packets were lost between the previous one of this interface and this one, if the file says.
    pub dropped: u64,
    /// The frame's link type.
    pub link: LinkType,
    /// The captured part of the frame.
    pub frame: &'a [u8],
    /// Where [`Self::frame`] begins, in bytes from the file's start.
    pub file_offset: u64,
    /// The frame's length on the wire, in bytes.
    pub original_len: u32,
    /// The comment on the packet, if there is one.
    pub comment: Option<&'a str>,
}

impl<'a> Packet<'a> {
    /// The UDP datagram in the frame.
    ///
    /// # Errors
    ///
    /// When the packet is not a UDP datagram, or cannot be parsed.
    pub fn udp(&self) -> Result<UdpPacket<'a>, Unusable> {
        ip::parse(self.link, self.frame)
    }

    /// The ICMP error in the frame, if it is one about a UDP datagram.
    #[must_use]
    pub fn icmp_error(&self) -> Option<IcmpError> {
        icmp::error(self.link, self.frame)
    }
}
