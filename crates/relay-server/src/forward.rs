use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use crate::{AllocationPort, ChannelNumber};

/// One of the relay's own transport addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The listening port, at this local address.
    Listener(IpAddr),
    /// The relayed transport address with this port; its family is that of the remote address it talks to.
    Relay(AllocationPort),
}

/// A datagram to be relayed: send `datagram[payload]` from `from` to `to`, behind a ChannelData header if `channel` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where it leaves from.
    pub from: Via,
    /// Where it goes.
    pub to: SocketAddr,
    /// The channel number to put in front of it, together with the payload's length: set towards clients.
    pub channel: Option<ChannelNumber>,
    /// Which bytes of the received datagram are application data.
    pub payload: Range<usize>,
}
