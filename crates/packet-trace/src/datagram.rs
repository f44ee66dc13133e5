use std::net::SocketAddr;

use crate::LinkType;

/// A datagram to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// The UDP payload, whole.
    pub payload: &'a [u8],
}

/// A UDP datagram found in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPacket<'a> {
    /// Its source.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// Its payload, as much of it as was captured.
    pub payload: &'a [u8],
    /// How long the payload was on the wire, in bytes.
    pub payload_len: usize,
    /// Where the payload begins in the frame, in bytes.
    pub payload_at: usize,
    /// What its checksum says.
    pub checksum: Checksum,
}

/// What the UDP checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// It is right.
    Right,
    /// It is wrong. In captures on the sending machine it often is: the network card would have filled it in.
    Wrong,
    /// There is none, as IPv4 permits.
    Absent,
    /// The packet is cut off, so that it cannot be checked.
    Unknown,
}

/// Why a packet is not a UDP datagram that can be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The frame is of a kind that is not read.
    #[error("a {0} frame, which is not read here")]
    LinkType(LinkType),
    /// Another network protocol.
    #[error("not an IP packet (type {ether_type:#06x})")]
    NotIp {
        /// The EtherType or address family.
        ether_type: u16,
    },
    /// Another transport protocol.
    #[error("not UDP (IP protocol {protocol})")]
    NotUdp {
        /// The number in the IP header.
        protocol: u8,
    },
    /// A part of a larger IP packet; parts are not put together.
    #[error("a fragment of a larger IP packet, from its byte {offset} on")]
    Fragment {
        /// Where in the larger packet's payload it belongs, in bytes.
        offset: u16,
    },
    /// The capture holds less of the packet than its headers.
    #[error("cut off before the end of its headers")]
    CutOff,
    /// A header contradicts itself.
    #[error("its {0} header is malformed")]
    BadHeader(&'static str),
}
