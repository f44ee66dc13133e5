use std::{
    cell::Cell,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{
    error_queue::{self, SendError},
    options,
    receive::{BATCH, Filled, ReceiveBuffers, Remaining},
    selector::Selector,
    send::{Message, Sender},
};

/// How a socket is set up. By default, everything is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Lets other sockets of the same user bind the same address, if they allow it, too (`SO_REUSEPORT`). The kernel then chooses a socket
    /// for each datagram: see [`Selector`].
    pub reuse_port: bool,
    /// The size of each of the two socket buffers in bytes; `None` leaves the system's default. The kernel counts its own bookkeeping, too.
    /// Only queued datagrams use memory. Without CAP_NET_ADMIN the system limits the size silently: see [`UdpSocket::receive_buffer_size`].
    pub buffer_size: Option<usize>,
    /// Lets the kernel merge equally long datagrams of one flow as they arrive (`UDP_GRO`), which makes receiving them cheaper.
    /// [`ReceiveBuffers::next_datagram`] splits them again. One call may then return up to 64 times as many datagrams.
    pub gro: bool,
    /// Keeps errors about sent datagrams for [`UdpSocket::take_errors`] (`IP_RECVERR`).
    pub error_queue: bool,
}

/// Whether the kernel supports the family of `address`.
#[must_use]
pub fn is_family_supported(address: IpAddr) -> bool {
    match Socket::new(Domain::for_address((address, 0).into()), Type::DGRAM, Some(Protocol::UDP)) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EAFNOSUPPORT),
    }
}

/// Whether [`UdpSocket::send_unfragmented`] works here.
#[must_use]
pub fn can_send_unfragmented() -> bool {
    options::can_forbid_fragments()
}

/// The fewest slots to offer a receive call: one for a datagram, and one that stays empty if there is no other datagram.
const LEAST_ROOM: u8 = 2;
#[expect(clippy::cast_possible_truncation, reason = "it fits")]
const MOST_ROOM: u8 = BATCH as u8;

/// The result of a receive call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whether there may be more to receive.
    pub remaining: Remaining,
    /// How many datagrams the kernel has dropped since it last reported drops, because the receive buffer was full.
    pub dropped: u32,
}

/// A bound UDP socket that never blocks.
///
/// Datagrams that it sends may be fragmented, and no path MTU is discovered (`IP_PMTUDISC_DONT`), except with [`Self::send_unfragmented`].
#[derive(Debug)]
pub struct UdpSocket {
    io: std::net::UdpSocket,
    /// How many slots to offer the next receive call. It adapts, as an empty slot costs time, too.
    room: Cell<u8>,
    /// The kernel's count of dropped datagrams when it last reported it; wraps.
    drops: Cell<u32>,
    /// For how many more calls to send without GSO.
    pause: Cell<u32>,
    /// Whether there is an error queue: calls may then fail because of earlier datagrams.
    keeps_errors: bool,
}

impl UdpSocket {
    /// Binds a socket to `address`; port 0 lets the system choose.
    ///
    /// An IPv6 socket receives no IPv4 datagrams: there is one socket for each family.
    ///
    /// # Errors
    ///
    /// Those of `socket`, `setsockopt` and `bind`.
    pub fn bind(address: SocketAddr, config: &Config) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if config.reuse_port {
            socket.set_reuse_port(true)?;
        }
        // Before `bind`, so that no datagram is received without its metadata.
        configure(&socket, address, config)?;
        socket.bind(&address.into())?;
        Ok(Self::new(socket.into(), config))
    }

    /// Takes over a socket that is bound already, for example one passed on by another process. Ignores [`Config::reuse_port`].
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`, `fcntl` and `getsockname`.
    pub fn from_std(socket: std::net::UdpSocket, config: &Config) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let socket = Socket::from(socket);
        configure(&socket, address, config)?;
        Ok(Self::new(socket.into(), config))
    }

    const fn new(io: std::net::UdpSocket, config: &Config) -> Self {
        let (room, drops, pause) = (Cell::new(LEAST_ROOM), Cell::new(0), Cell::new(0));
        Self { io, room, drops, pause, keeps_errors: config.error_queue }
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// The kernel's count of datagrams that it dropped here, as of the last receive call; wraps. For whoever takes the socket over: see
    /// [`Self::set_drops`].
    #[must_use]
    pub fn drops(&self) -> u32 {
        self.drops.get()
    }

    /// So many of the datagrams that the kernel dropped here were counted before this process had the socket.
    pub fn set_drops(&self, drops: u32) {
        self.drops.set(drops);
    }

    /// The size of the receive buffer in bytes, to be compared with [`Config::buffer_size`].
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn receive_buffer_size(&self) -> io::Result<usize> {
        options::receive_buffer_size(self)
    }

    /// Lets `selector` decide which socket at this address gets a datagram, among those that are bound already and those bound later.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`, for example if a seccomp profile forbids it; [`io::ErrorKind::InvalidInput`] for more than about 80 patterns.
    pub fn attach_selector(&self, selector: &Selector<'_>) -> io::Result<()> {
        selector.attach(self, self.local_addr()?.ip())
    }

    /// Receives datagrams into `buffers` without blocking. Each datagram is tagged with `tag`.
    ///
    /// One call makes one system call, which returns at most 32 datagrams, or runs of merged datagrams. If the buffers are full, it receives
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`. See also [`Self::may_be_about_another`].
    pub fn receive<T: Copy>(&self, tag: T, buffers: &mut ReceiveBuffers<T>) -> io::Result<Received> {
        let room = usize::from(self.room.get());
        let filled = buffers.fill(self.io.as_fd(), tag, room);
        let next = match &filled {
            Ok(Filled { remaining: Remaining::Unknown, .. }) => self.room.get().saturating_mul(4),
            Ok(Filled { count, .. }) => u8::try_from(count + 1).unwrap_or(u8::MAX),
            Err(_) => LEAST_ROOM,
        };
        self.room.set(next.clamp(LEAST_ROOM, MOST_ROOM));
        let Filled { remaining, drops, .. } = filled?;
        let before = self.drops.get();
        self.drops.set(drops.unwrap_or(before));
        Ok(Received { remaining, dropped: self.drops.get().wrapping_sub(before) })
    }

    /// Sends a datagram without blocking, from `source` if set.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the send buffer is full; those of `sendmsg`.
    pub fn send(&self, sender: &mut Sender, source: Option<IpAddr>, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let message = Message { source, ..Message::new(to, payload) };
        let mut sent = Ok(());
        sender.send(self.io.as_fd(), &self.pause, self.retry(), std::iter::once(message), |_, result| {
            sent =
                result.map_err(|error| error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error));
        });
        sent
    }

    /// Sends datagrams in this order without blocking, and calls `done` with the index and result of each.
    ///
    /// Sort them by destination, so that many can be sent as one message (GSO). When the send buffer is full, all remaining ones fail
    /// with [`io::ErrorKind::WouldBlock`].
    pub fn send_all<'a>(
        &self,
        sender: &mut Sender,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        done: impl FnMut(usize, Result<(), &io::Error>),
    ) {
        sender.send(self.io.as_fd(), &self.pause, self.retry(), datagrams, done);
    }

    /// Like [`Self::send_all`], over IPv4 with the DF bit set. It takes two more system calls, since no control message sets the bit.
    ///
    /// # Errors
    ///
    /// If the DF bit cannot be cleared afterwards. `done` has been called with the results even then.
    pub fn send_unfragmented<'a>(
        &self,
        sender: &mut Sender,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        mut done: impl FnMut(usize, Result<(), &io::Error>),
    ) -> io::Result<()> {
        if let Err(error) = options::forbid_fragments(&self.io, true) {
            (0..datagrams.len()).for_each(|index| done(index, Err(&error)));
            return Ok(());
        }
        // A pending error about an earlier datagram would fail the next call, and look like the call's own.
        let _ = SockRef::from(&self.io).take_error();
        sender.send(self.io.as_fd(), &self.pause, error_queue::may_be_about_another_unfragmented, datagrams, done);
        options::forbid_fragments(&self.io, false)
    }

    /// Takes the queued errors about sent datagrams, without blocking. There are none without [`Config::error_queue`].
    ///
    /// `epoll` reports them as `EPOLLERR`, whether or not that was asked for.
    pub fn take_errors(&self, each: impl FnMut(SendError)) {
        if self.keeps_errors {
            error_queue::take(self.io.as_fd(), each);
        }
    }

    /// Whether `error`, with which [`Self::receive`] has failed, may be about a datagram that was sent earlier.
    ///
    /// With an error queue, the kernel also fails one call on the socket for each error. Sending handles that by itself. After a failed
    /// receive call, try again: there may be datagrams to receive.
    #[must_use]
    pub fn may_be_about_another(&self, error: &io::Error) -> bool {
        self.keeps_errors && error_queue::may_be_about_another(error)
    }

    /// Which errors of a send call to retry after.
    #[inline]
    fn retry(&self) -> fn(&io::Error) -> bool {
        if self.keeps_errors { error_queue::may_be_about_another } else { |_| false }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// Sets the options that do not matter to `bind`. `address` is what the socket is or will be bound to.
fn configure(socket: &Socket, address: SocketAddr, config: &Config) -> io::Result<()> {
    if let Some(size) = config.buffer_size {
        options::set_buffer_sizes(socket, size)?;
    }
    options::allow_fragments(socket, address)?;
    options::request_metadata(socket, address)?;
    if config.gro {
        options::merge_received(socket);
    }
    if config.error_queue {
        options::keep_errors(socket, address)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
