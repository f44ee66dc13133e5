use std::net::SocketAddr;

use crate::{AllocationPort, ChannelNumber, Via};

/// What a data path ahead of the state machine recognises a relayed packet by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source address and port of the packet.
    pub remote: SocketAddr,
    /// Its destination port: the listening port, or an allocation's.
    pub local_port: u16,
    /// The channel number it carries: set for what clients send, `None` for what peers send.
    pub channel: Option<ChannelNumber>,
}

/// One direction of a channel: a packet that matches `key` goes out as the rest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What to match.
    pub key: FlowKey,
    /// The own address that the packet must have been sent to.
    pub arrives: Via,
    /// The own address that it leaves from.
    pub leaves: Via,
    /// Where it goes.
    pub to: SocketAddr,
    /// The channel number to put in front of the payload, if any.
    pub channel: Option<ChannelNumber>,
    /// The allocation whose client sends it: what is relayed counts as the client's to a peer. `None` if a peer does.
    pub from_client_of: Option<AllocationPort>,
    /// The allocation whose client it goes to: what is relayed counts as a peer's to that client. `None` if it goes to a peer.
    pub to_client_of: Option<AllocationPort>,
}
