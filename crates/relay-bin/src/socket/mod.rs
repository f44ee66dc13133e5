//! UDP sockets that read many datagrams at a time.

mod buffers;
mod options;

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use quinn_udp::{EcnCodepoint, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

pub(crate) use self::buffers::{Datagram, HEAD_ROOM, ReceiveBuffers};

/// What kind of socket to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody else may have the address; used to find out.
    Probe,
    /// One of several that listen at the same address.
    Listener,
    /// For one allocation.
    Relay,
}

impl Role {
    /// How many bytes may wait in each direction. The kernel counts its own bookkeeping, too, and only what waits uses memory.
    const fn buffer_size(self) -> Option<usize> {
        match self {
            Self::Probe => None,
            Self::Listener => Some(8 * 1024 * 1024),
            Self::Relay => Some(1024 * 1024),
        }
    }
}

/// Binds a socket to `address`, blocking or not does not matter yet.
///
/// # Errors
///
/// Those of `socket`, `setsockopt` and `bind`.
pub(crate) fn bind(address: SocketAddr, role: Role) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // One socket a family: an IPv4 client is never seen as an IPv6 one.
        socket.set_only_v6(true)?;
    }
    if role == Role::Listener {
        socket.set_reuse_port(true)?;
    }
    if let Some(size) = role.buffer_size() {
        // The kernel clips what it does not allow; `clipped` tells.
        socket.set_recv_buffer_size(size)?;
        socket.set_send_buffer_size(size)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The size that the kernel allowed for the receive buffer of `socket`, if that is less than wanted for its `role`.
pub(crate) fn clipped(socket: &Socket, role: Role) -> Option<(usize, usize)> {
    let wanted = role.buffer_size()?;
    // Linux doubles what was asked for, to make up for its bookkeeping.
    let actual = socket.recv_buffer_size().ok()? / 2;
    (actual < wanted).then_some((actual, wanted))
}

/// A bound UDP socket on this thread's runtime.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
}

impl UdpSocket {
    /// Puts `socket` on the runtime of the calling thread.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt` and `epoll_ctl`.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        options::allow_fragments(&socket)?;
        options::no_timestamps(&socket)?;
        Ok(Self { io: tokio::net::UdpSocket::from_std(socket)?, state })
    }

    /// Waits until there may be something to receive.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Fills `buffers` with what has arrived, without waiting.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(crate) fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<()> {
        self.io.try_io(Interest::READABLE, || {
            buffers.fill(|slices, metas| self.state.recv((&self.io).into(), slices, metas))
        })
    }

    /// How many datagrams the kernel has dropped at this socket because they were not read in time; wraps.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub(crate) fn overruns(&self) -> io::Result<u32> {
        options::overruns(&self.io)
    }

    /// Sends a datagram without waiting, from `source` if set.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the send buffer is full; those of `sendmsg`.
    pub(crate) fn send(
        &self,
        source: Option<IpAddr>,
        destination: SocketAddr,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
    ) -> io::Result<()> {
        let transmit = Transmit { destination, ecn, contents, segment_size: None, src_ip: source };
        self.state.try_send((&self.io).into(), &transmit)
    }
}
