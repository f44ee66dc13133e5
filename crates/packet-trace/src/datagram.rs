use std::net::SocketAddr;

use crate::LinkType;

/// A datagram to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// The whole UDP payload.
    pub payload: &'a [u8],
}

/// A UDP datagram found in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPacket<'a> {
    /// Its source.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// The captured part of its payload.
    pub payload: &'a [u8],
    /// How long the payload was on the wire, in bytes.
    pub payload_len: usize,
    /// Where the payload begins in the frame, in bytes.
    pub payload_at: usize,
    /// Whether its checksum is right.
    pub checksum: Checksum,
}

/// Whether the UDP checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// It is right.
    Right,
    /// It is wrong. That is common in captures on the sending machine, where the network card computes it later.
    Wrong,
    /// There is none, which IPv4 permits.
    Absent,
    /// It cannot be checked, as the packet is cut off.
    Unknown,
}

/// Why a packet does not give a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The frame's link type is not supported.
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
    /// A fragment of an IP packet. Fragments are not reassembled.
    #[error("a fragment of a larger IP packet, from its byte {offset} on")]
    Fragment {
        /// Its offset in the packet's payload, in bytes.
        offset: u16,
    },
    /// The capture cuts the packet off within its headers.
    #[error("cut off before the end of its headers")]
    CutOff,
    /// A header contradicts itself.
    #[error("its {0} header is malformed")]
    BadHeader(&'static str),
}
