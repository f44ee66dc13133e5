//! A TURN client with its own socket.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    rc::Rc,
};

use turn_client::{Credentials, TurnClient};

/// The channel that every client binds.
pub(crate) const CHANNEL: u16 = 0x4000;

/// A TURN server, with credentials and the clients' address.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    /// The IP address of clients.
    pub(crate) from: IpAddr,
}

/// A client with an open allocation.
pub(crate) struct Client {
    pub(crate) socket: Rc<UdpSocket>,
    /// Its relayed transport address.
    pub(crate) relayed: SocketAddr,
    /// What allows it to send, if anything does: its bound channel or its permission.
    pub(crate) grant: Option<Step>,
    pub(crate) turn: TurnClient,
}

/// A request that a client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Allocate,
    Bind(SocketAddr),
    Permit(SocketAddr),
    Refresh,
    Delete,
}
