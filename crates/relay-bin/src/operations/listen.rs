//! Where HTTP is served.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    task::{Context, Poll},
};

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::unix_socket::UnixSocket;
use crate::option_names::Name;

/// How many connections may wait in the kernel, which has a limit of its own (`net.core.somaxconn`, 4,096 where nobody has changed it).
/// When it is full, whoever comes asks once more a second later. Each of those that wait takes some 25 us to be let in and shown out, so a
/// full queue is no long wait.
const BACKLOG: i32 = 4_096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
    /// Here, where nobody asked for it: at those that there are.
    Default(&'static [SocketAddr]),
    /// At a Unix socket of this path.
    Unix(PathBuf),
}

/// Where connections come in; not waited at yet.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(UnixSocket),
}

/// Listens, unless that is off, or somebody else has the address and nobody asked for it.
///
/// # Errors
///
/// When it cannot listen where it was told to.
pub(crate) fn bind(listen: &Listen, name: Name) -> anyhow::Result<Vec<Bound>> {
    match listen {
        Listen::Off => Ok(Vec::new()),
        Listen::At(address) => match bind_at(*address, false) {
            Ok(listener) => Ok(vec![Bound::Tcp(listener)]),
            Err(error) => Err(cannot_listen(*address, error, name)),
        },
        Listen::Unix(path) => match UnixSocket::bind(path) {
            Ok(socket) => Ok(vec![Bound::Unix(socket)]),
            Err(error) => Err(anyhow!(error).context(format!(
                "cannot listen at the Unix socket {}: give {name} a path in a directory that this process may write to",
                path.display()
            ))),
        },
        Listen::Default(addresses) => bind_where_possible(addresses, name),
    }
}

fn bind_where_possible(addresses: &[SocketAddr], name: Name) -> anyhow::Result<Vec<Bound>> {
    let mut listeners = Vec::new();
    let mut taken = Vec::new();
    let mut missing = None;
    for address in addresses {
        match bind_at(*address, true) {
            Ok(listener) => listeners.push(Bound::Tcp(listener)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(address.to_string()),
            Err(error) if is_family_missing(&error) => missing = Some((*address, error)),
            Err(error) => return Err(cannot_listen(*address, error, name)),
        }
    }
    if !taken.is_empty() {
        let address = taken.join(" and ");
        tracing::warn!(address, "another program holds this address: going on without; {name} sets another, or `off`");
    } else if listeners.is_empty()
        && let Some((address, error)) = missing
    {
        return Err(cannot_listen(address, error, name));
    }
    Ok(listeners)
}

/// Listens at `address`; if `alone`, at `[::]` for IPv6 only, whatever this system's default is.
fn bind_at(address: SocketAddr, alone: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if alone && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections that have ended a moment ago are in nobody's way.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether this machine, or this container, has no addresses of that family.
fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

fn cannot_listen(address: SocketAddr, error: io::Error, name: Name) -> anyhow::Error {
    anyhow!(error).context(format!(
        "cannot listen on tcp {address}: set {name} to an address of this machine and a free port, or to `off`"
    ))
}

/// Where connections come in.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removes its path at the end.
        _socket: UnixSocket,
    },
}

/// Who connected.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

impl Connection {
    /// Whose it is, for fairness; all who use a Unix socket are one.
    pub(super) const fn source(&self) -> IpAddr {
        match self {
            Self::Tcp(_, from) => from.ip(),
            Self::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Listener {
    /// Within the runtime that will wait for connections.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        match bound {
            Bound::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Bound::Unix(socket) => {
                Ok(Self::Unix { listener: UnixListener::from_std(socket.listener()?)?, _socket: socket })
            }
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, from)| Connection::Tcp(stream, from)),
            Self::Unix { listener, .. } => listener.poll_accept(context).map_ok(|(stream, _)| Connection::Unix(stream)),
        }
    }
}

/// The next connection to any of `listeners`, of which that number `turn`, counted round and round, comes first.
pub(super) async fn accept(listeners: &[Listener], turn: usize) -> io::Result<Connection> {
    std::future::poll_fn(|context| {
        let first = turn.checked_rem(listeners.len()).unwrap_or_default();
        let mut results = listeners[first..].iter().chain(&listeners[..first]).map(|one| one.poll_accept(context));
        results.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}
