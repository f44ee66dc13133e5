use std::net::SocketAddr;

use crate::{AllocationPort, ChannelNumber, Via};

/// What a data path ahead of the state machine recognises a relayed packet by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source address and port of the packet.
    pub remote: SocketAddr,
    /// Its destination port: the listening port, or an allocation's.
    pub local_port: u16,
    /// What the packet is.
    pub carries: Arriving,
}

/// How application data of a flow arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arriving {
    /// As it is: from a peer.
    Bare,
    /// In ChannelData of this number: from a client.
    Channel(ChannelNumber),
    /// In a Send indication for this peer, without DONT-FRAGMENT: from a client.
    Send(SocketAddr),
}

/// One direction of a channel, or of what a client and a peer exchange by indications: a packet that matches `key` goes out as the rest
/// says.
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
    /// What the payload leaves in.
    pub leaves_in: Leaving,
    /// The allocation whose client sends it: what is relayed counts as the client's to a peer. `None` if a peer does.
    pub from_client_of: Option<AllocationPort>,
    /// The allocation whose client it goes to: what is relayed counts as a peer's to that client. `None` if it goes to a peer.
    pub to_client_of: Option<AllocationPort>,
}

/// How application data of a flow leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// As it is: to a peer.
    Bare,
    /// In ChannelData of this number: to a client.
    Channel(ChannelNumber),
    /// In a Data indication whose peer is [`FlowKey::remote`]: to a client.
    Data,
}
