//! Binds the HTTP listeners, on TCP and Unix sockets.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    task::{Context, Poll},
};

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::unix_socket::UnixSocket;
use crate::option_names::Name;

/// How many connections may wait to be accepted. The kernel has its own limit, `net.core.somaxconn`, 4,096 by default. When the
/// queue is full, a client tries again after a second. Accepting and closing a connection takes about 25 us, so even a full queue
/// is short.
const BACKLOG: i32 = 4_096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
    /// At these default addresses, as far as they are free and exist.
    Default(&'static [SocketAddr]),
    /// At a Unix socket with this path.
    Unix(PathBuf),
}

/// A bound listener that is not registered with a runtime yet.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(UnixSocket),
}

/// Binds the listeners. Default addresses that are in use or missing are left out.
///
/// # Errors
///
/// When the given address cannot be bound.
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

/// Binds `address`. If `alone`, `[::]` is bound for IPv6 only, whatever the system's default.
fn bind_at(address: SocketAddr, alone: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if alone && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Recently closed connections must not block the address.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether this machine or container has no addresses of the family.
fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

fn cannot_listen(address: SocketAddr, error: io::Error, name: Name) -> anyhow::Error {
    anyhow!(error).context(format!(
        "cannot listen on tcp {address}: set {name} to an address of this machine and a free port, or to `off`"
    ))
}

/// A listener that is registered with a runtime.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removes the path on drop.
        _socket: UnixSocket,
    },
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

impl Connection {
    /// The source, for fairness. All connections of Unix sockets have the same.
    pub(super) const fn source(&self) -> IpAddr {
        match self {
            Self::Tcp(_, from) => from.ip(),
            Self::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Bound {
    /// A file of its own for the same socket, and its path if it has one, for another process.
    ///
    /// # Errors
    ///
    /// When the process has no file left.
    pub(crate) fn share(&self) -> io::Result<(OwnedFd, Option<PathBuf>)> {
        match self {
            Self::Tcp(listener) => Ok((listener.try_clone()?.into(), None)),
            Self::Unix(socket) => Ok((socket.listener()?.into(), Some(socket.path().to_owned()))),
        }
    }

    /// A socket that another process listens at, too.
    ///
    /// # Errors
    ///
    /// When it is not usable here.
    pub(crate) fn adopt(socket: OwnedFd, path: Option<PathBuf>) -> io::Result<Self> {
        match path {
            Some(path) => UnixSocket::adopt(socket, path).map(Self::Unix),
            None => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
        }
    }
}

impl Listener {
    /// Registers a listener with the current runtime.
    ///
    /// # Errors
    ///
    /// When that fails.
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

/// Accepts the next connection of any listener. The listener number `turn`, modulo their count, is tried first.
pub(super) async fn accept(listeners: &[Listener], turn: usize) -> io::Result<Connection> {
    std::future::poll_fn(|context| {
        let first = turn.checked_rem(listeners.len()).unwrap_or_default();
        let mut results = listeners[first..].iter().chain(&listeners[..first]).map(|one| one.poll_accept(context));
        results.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}
