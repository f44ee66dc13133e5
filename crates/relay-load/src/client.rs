//! A TURN client with a socket of its own.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    rc::Rc,
};

use turn_client::{Credentials, TurnClient};

/// The channel that every client binds.
pub(crate) const CHANNEL: u16 = 0x4000;

/// Which TURN server, and what to tell it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    /// Where clients send from.
    pub(crate) from: IpAddr,
}

/// A client with an open allocation.
pub(crate) struct Client {
    pub(crate) socket: Rc<UdpSocket>,
    /// Its relayed transport address.
    pub(crate) relayed: SocketAddr,
    /// What it may send by, if it may: the channel that it has bound, or the permission that it has.
    pub(crate) grant: Option<Step>,
    pub(crate) turn: TurnClient,
}

/// What a client does on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Allocate,
    Bind(SocketAddr),
    Permit(SocketAddr),
    Refresh,
    Delete,
}
