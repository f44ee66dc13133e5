//! UDP sockets that receive and send many datagrams at a time.

mod buffers;
mod control;
mod name;
mod options;
mod receive;
mod selector;
mod send;

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

pub(crate) use self::{
    buffers::{Datagram, HEAD_ROOM, ReceiveBuffers},
    selector::{SOCKETS_PER_WORKER, attach as attach_selector},
    send::{Message, Sender},
};

/// What kind of socket to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody else may have the address; used to find out.
    Probe,
    /// One of several that listen at the same address: for requests, and everything where there is no other.
    Requests,
    /// The same, for application data.
    Data,
    /// For one allocation.
    Relay,
}

impl Role {
    /// How many bytes may wait in each direction. The kernel counts its own bookkeeping, too, and only what waits uses memory.
    const fn buffer_size(self) -> Option<usize> {
        match self {
            Self::Probe => None,
            Self::Requests | Self::Data => Some(8 * 1024 * 1024),
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
    if matches!(role, Role::Requests | Role::Data) {
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

/// What a receive call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    Empty,
    /// Perhaps more.
    Unknown,
}

/// A bound UDP socket on this thread's runtime.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: tokio::net::UdpSocket,
}

impl UdpSocket {
    /// Puts `socket` on the runtime of the calling thread.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt` and `epoll_ctl`.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let socket = std::net::UdpSocket::from(socket);
        options::allow_fragments(&socket)?;
        options::tell_everything(&socket)?;
        Ok(Self { io: tokio::net::UdpSocket::from_std(socket)? })
    }

    /// Waits until there may be something to receive. Only one task may wait.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // A place of its own for one waiter; `readable` has a list of them, which costs time and memory.
        poll_fn(|context| self.io.poll_recv_ready(context)).await
    }

    /// Fills `buffers` with what has arrived, without waiting.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(crate) fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<Rest> {
        let mut result = Err(io::ErrorKind::WouldBlock.into());
        let _ = self.io.try_io(Interest::READABLE, || {
            result = buffers.fill(self.io.as_fd());
            match &result {
                // The queue is empty, so have the runtime wait for the next arrival without asking once more: it is told of every
                // arrival from now on (the event queue is edge-triggered).
                Ok(Rest::Empty) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        result
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
        sender: &mut Sender,
        source: Option<IpAddr>,
        to: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        let message = Message { source, to, traffic_class: 0, header: None, payload };
        let mut sent = Ok(());
        sender.send(self.io.as_fd(), std::iter::once(message), |_, result| {
            sent =
                result.map_err(|error| error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error));
        });
        sent
    }

    /// Sends datagrams in this order without waiting, and tells `done` of each, by index.
    pub(crate) fn send_all<'a>(
        &self,
        sender: &mut Sender,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        done: impl FnMut(usize, Result<(), &io::Error>),
    ) {
        sender.send(self.io.as_fd(), datagrams, done);
    }
}
