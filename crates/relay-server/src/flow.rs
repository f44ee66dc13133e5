use std::net::SocketAddr;

use crate::{AllocationPort, ChannelNumber, Via};

/// What identifies a packet of a flow in a data path ahead of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source address and port of the packet.
    pub remote: SocketAddr,
    /// Its destination port: the listening port, or the port of an allocation.
    pub local_port: u16,
    /// How it carries application data.
    pub carries: Arriving,
}

/// How application data of a flow arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arriving {
    /// As a plain datagram from a peer.
    Bare,
    /// In ChannelData with this number, from a client.
    Channel(ChannelNumber),
    /// In a Send indication for this peer, without DONT-FRAGMENT, from a client.
    Send(SocketAddr),
}

/// One direction of a channel, or of the indications between a client and a peer. A packet that matches `key` is forwarded as the
/// other fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The packets to match.
    pub key: FlowKey,
    /// The relay's address that the packet must have been sent to.
    pub arrives: Via,
    /// The relay's address that it is sent from.
    pub leaves: Via,
    /// Its new destination.
    pub to: SocketAddr,
    /// How it carries the application data then.
    pub leaves_in: Leaving,
    /// The allocation whose client sends the data, to count it as sent to a peer. `None` if a peer sends it.
    pub from_client_of: Option<AllocationPort>,
    /// The allocation whose client receives the data, to count it as received from a peer. `None` if a peer receives it.
    pub to_client_of: Option<AllocationPort>,
}

/// How application data of a flow leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// As a plain datagram to a peer.
    Bare,
    /// In ChannelData with this number, to a client.
    Channel(ChannelNumber),
    /// In a Data indication whose peer is [`FlowKey::remote`], to a client.
    Data,
}
