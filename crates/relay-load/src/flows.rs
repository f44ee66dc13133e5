//! Sets up flows through a server: sockets on both sides, and the routes between them.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use anyhow::{Context as _, Result};

use crate::{
    client::{CHANNEL, Client, Server},
    clients::{self, Via},
    socket::{self, UdpSocket},
    traffic::{Route, Traffic},
    wrap::Wrap,
};

/// How many clients set up, or refresh, at a time.
pub(crate) const WINDOW: usize = 32;

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// From clients to a peer.
    Up,
    /// From a peer to clients.
    Down,
    /// Both at the same time.
    Both,
    /// From client to client, each in an allocation of its own on the same server.
    Pair,
}

/// Sets up `count` flows through `server`, encapsulated as `via` says, with peers at `peer_ip`. If `glue`, receivers use GRO.
///
/// # Errors
///
/// When a client cannot set up, or the program is to end. No allocation is left open then.
pub(crate) fn through_relay(
    server: &Server,
    count: usize,
    direction: Direction,
    via: Via,
    peer_ip: IpAddr,
    glue: bool,
) -> Result<Traffic> {
    if direction == Direction::Pair {
        return pairs(server, count, via, glue);
    }
    let peer = socket::bind(SocketAddr::new(peer_ip, 0)).context("cannot open the peer's socket")?;
    through_relay_to(server, count, direction, via, peer, glue)
}

/// The same with the peer socket `peer`, but not between pairs of clients.
///
/// # Errors
///
/// Those of [`through_relay`].
pub(crate) fn through_relay_to(
    server: &Server,
    count: usize,
    direction: Direction,
    via: Via,
    peer: std::net::UdpSocket,
    glue: bool,
) -> Result<Traffic> {
    let peer = UdpSocket::new(peer, glue)?;
    let peer_address = peer.socket().local_addr()?;
    let clients = clients::open(server, count, WINDOW, via, |_| peer_address)?;
    with_clients(server, clients, Some(peer), direction, glue)
}

fn pairs(server: &Server, count: usize, via: Via, glue: bool) -> Result<Traffic> {
    let clients = clients::open_pairs(server, count, WINDOW, via)?;
    // The two clients of a pair are each other's peers.
    with_clients(server, clients, None, Direction::Up, glue)
}

fn with_clients(
    server: &Server,
    clients: Vec<Client>,
    peer: Option<UdpSocket>,
    direction: Direction,
    glue: bool,
) -> Result<Traffic> {
    match connect(server, &clients, peer, direction, glue) {
        Ok(traffic) => Ok(traffic.of_clients(clients)),
        Err(error) => {
            clients::end(server, clients);
            Err(error)
        }
    }
}

fn connect(
    server: &Server,
    clients: &[Client],
    peer: Option<UdpSocket>,
    direction: Direction,
    glue: bool,
) -> Result<Traffic> {
    let mut sockets: Vec<_> = peer.into_iter().map(|peer| (peer, false)).collect();
    let mut routes = Vec::new();
    for client in clients {
        let number = sockets.len();
        if direction != Direction::Down {
            let wrap = client.grant.map_or(Wrap::Bare, Wrap::of);
            routes.push(Route { from: number, to: server.address, wrap });
        }
        if direction != Direction::Up {
            routes.push(Route { from: 0, to: client.relayed, wrap: Wrap::Bare });
        }
        sockets.push((UdpSocket::new(Rc::clone(&client.socket), glue)?, true));
    }
    Traffic::new(sockets, routes)
}

/// Sets up flows from `count` sockets through a forwarder that receives at one or several `inlets` and sends to `peer`.
///
/// # Errors
///
/// When a socket cannot be opened.
pub(crate) fn through_floor(
    inlets: &[SocketAddr],
    from: IpAddr,
    count: usize,
    peer: std::net::UdpSocket,
    glue: bool,
) -> Result<Traffic> {
    let mut sockets = vec![(UdpSocket::new(peer, glue)?, false)];
    let mut routes = Vec::new();
    for inlet in inlets.iter().cycle().take(count) {
        let socket = socket::bind(SocketAddr::new(from, 0))?;
        socket.connect(inlet)?;
        routes.push(Route { from: sockets.len(), to: *inlet, wrap: Wrap::Channel(CHANNEL) });
        sockets.push((UdpSocket::new(socket, glue)?, true));
    }
    Traffic::new(sockets, routes)
}

/// Sets up flows in both directions between `count` sockets and `peer`, with only the network in between. The datagrams are those
/// between clients and a server.
///
/// # Errors
///
/// When a socket cannot be opened.
pub(crate) fn without_relay(from: IpAddr, count: usize, peer: std::net::UdpSocket) -> Result<Traffic> {
    let peer_address = peer.local_addr()?;
    let mut sockets = vec![(UdpSocket::new(peer, false)?, true)];
    let mut routes = Vec::new();
    for _ in 0..count {
        let socket = socket::bind(SocketAddr::new(from, 0))?;
        socket.connect(peer_address)?;
        let wrap = Wrap::Channel(CHANNEL);
        routes.push(Route { from: sockets.len(), to: peer_address, wrap });
        routes.push(Route { from: 0, to: socket.local_addr()?, wrap });
        sockets.push((UdpSocket::new(socket, false)?, true));
    }
    Traffic::new(sockets, routes)
}
