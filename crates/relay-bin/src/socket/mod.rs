//! UDP sockets that receive and send many datagrams at a time.

mod buffers;
mod control;
mod errors;
mod name;
mod options;
mod receive;
mod selector;
mod send;

use std::{
    cell::Cell,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use self::{buffers::Received, receive::BATCH};

/// Whether datagrams can be sent with the DF bit: [`UdpSocket::send_unfragmented`].
pub(crate) fn can_forbid_fragments() -> bool {
    options::can_forbid_fragments()
}

pub(crate) use self::{
    buffers::{Cursor, Datagram, Ingress, ReceiveBuffers},
    errors::SendError,
    selector::{SOCKETS_PER_WORKER, attach as attach_selector},
    send::{Message, Sender},
};

/// What kind of socket to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody else may have the address; used to find out.
    Probe,
    /// One of several that listen at the same address: for requests, and what is nothing at all.
    Requests,
    /// The same, for application data.
    Data,
    /// The same, for both.
    Everything,
    /// For one allocation.
    Relay,
}

impl Role {
    /// How many bytes may wait in each direction. The kernel counts its own bookkeeping, too, and only what waits uses memory.
    const fn buffer_size(self) -> Option<usize> {
        match self {
            Self::Probe => None,
            Self::Requests | Self::Data | Self::Everything => Some(8 * 1024 * 1024),
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
    if matches!(role, Role::Requests | Role::Data | Role::Everything) {
        socket.set_reuse_port(true)?;
    }
    if let Some(size) = role.buffer_size() {
        // A process with CAP_NET_ADMIN, as one that offloads has, is not bound by the system's limits. For any other the kernel
        // clips what it does not allow; `clipped` tells.
        if setsockopt(&socket, sockopt::RcvBufForce, &size).is_err() {
            socket.set_recv_buffer_size(size)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &size).is_err() {
            socket.set_send_buffer_size(size)?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the kernel has the family of `address` at all.
pub(crate) fn is_supported(address: IpAddr) -> bool {
    match Socket::new(Domain::for_address((address, 0).into()), Type::DGRAM, Some(Protocol::UDP)) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EAFNOSUPPORT),
    }
}

/// The size that the kernel allowed for the receive buffer of `socket`, if that is less than wanted for its `role`.
pub(crate) fn clipped(socket: &Socket, role: Role) -> Option<(usize, usize)> {
    let wanted = role.buffer_size()?;
    // Linux doubles what was asked for, to make up for its bookkeeping.
    let actual = socket.recv_buffer_size().ok()? / 2;
    (actual < wanted).then_some((actual, wanted))
}

/// One datagram and the room that, staying empty, tells that there is no other.
const LEAST_ROOM: u8 = 2;
#[expect(clippy::cast_possible_truncation, reason = "it fits")]
const MOST_ROOM: u8 = BATCH as u8;

/// What a receive call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// Nothing.
    Empty,
    /// Perhaps more.
    Unknown,
}

/// A bound UDP socket that never waits.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: std::net::UdpSocket,
    /// How many datagrams to make room for in the next receive call: room that stays empty costs time, too.
    room: Cell<u8>,
    /// How many the kernel had dropped when it last told; wraps.
    overruns: Cell<u32>,
    /// For how many more calls to send without segmentation.
    pause: Cell<u32>,
    /// Whether the kernel keeps errors about what was sent: then calls may fail for another's sake.
    keeps_errors: bool,
}

impl UdpSocket {
    /// Takes over `socket`, which is bound to `address`.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub(crate) fn new(socket: Socket, address: SocketAddr, role: Role) -> io::Result<Self> {
        let io = std::net::UdpSocket::from(socket);
        options::allow_fragments(&io, address)?;
        options::tell_everything(&io, address)?;
        // Requests come one by one, and cost so much each that thousands in one turn would hold up everything else.
        if role != Role::Requests {
            options::glue(&io);
        }
        Ok(Self { io, room: Cell::new(LEAST_ROOM), overruns: Cell::new(0), pause: Cell::new(0), keeps_errors: false })
    }

    /// The same, with errors about what is sent kept for [`Self::take_errors`]: `address` is what it is bound to.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub(crate) fn keep_errors(self, address: SocketAddr) -> io::Result<Self> {
        errors::keep(&self.io, address)?;
        Ok(Self { keeps_errors: true, ..self })
    }

    /// Takes the errors that the kernel keeps, without waiting.
    pub(crate) fn take_errors(&self, each: impl FnMut(SendError)) {
        if self.keeps_errors {
            errors::take(self.io.as_fd(), each);
        }
    }

    /// Which failures of a call may be about an earlier datagram, so that it is worth another.
    fn retry(&self) -> fn(&io::Error) -> bool {
        if self.keeps_errors { errors::may_be_about_another } else { |_| false }
    }

    /// Whether `error`, of a call at this socket, may be about a datagram that was sent earlier, perhaps to somebody else.
    pub(crate) fn may_be_about_another(&self, error: &io::Error) -> bool {
        self.keeps_errors && errors::may_be_about_another(error)
    }

    /// Adds what has arrived to `buffers`, as coming in at `ingress`, without waiting. Tells, too, how many datagrams the kernel has
    /// dropped at this socket since it last told, because they were not read in time.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; those of `recvmmsg`.
    pub(crate) fn receive(&self, ingress: Ingress, buffers: &mut ReceiveBuffers) -> io::Result<(Remaining, u32)> {
        let room = usize::from(self.room.get());
        let received = buffers.fill(self.io.as_fd(), ingress, room);
        let next = match &received {
            Ok(Received { rest: Remaining::Unknown, .. }) => self.room.get().saturating_mul(4),
            Ok(Received { count, .. }) => u8::try_from(count + 1).unwrap_or(u8::MAX),
            Err(_) => LEAST_ROOM,
        };
        self.room.set(next.clamp(LEAST_ROOM, MOST_ROOM));
        let Received { rest, overruns, .. } = received?;
        let before = self.overruns.get();
        self.overruns.set(overruns.unwrap_or(before));
        Ok((rest, self.overruns.get().wrapping_sub(before)))
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
        let message = Message { source, to, traffic_class: 0, header: &[], payload, padding: 0 };
        let mut sent = Ok(());
        sender.send(self.io.as_fd(), &self.pause, self.retry(), std::iter::once(message), |_, result| {
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
        sender.send(self.io.as_fd(), &self.pause, self.retry(), datagrams, done);
    }

    /// The same over IPv4, with the DF bit set. It takes two more system calls, since no control message says so.
    pub(crate) fn send_unfragmented<'a>(
        &self,
        sender: &mut Sender,
        datagrams: impl ExactSizeIterator<Item = Message<'a>> + Clone,
        mut done: impl FnMut(usize, Result<(), &io::Error>),
    ) {
        if let Err(error) = options::forbid_fragments(&self.io, true) {
            return (0..datagrams.len()).for_each(|index| done(index, Err(&error)));
        }
        // The next call would fail for an error about an earlier datagram, which might as well be its own.
        let _ = SockRef::from(&self.io).take_error();
        sender.send(self.io.as_fd(), &self.pause, errors::may_be_about_another_unfragmented, datagrams, done);
        if let Err(error) = options::forbid_fragments(&self.io, false) {
            tracing::debug!(%error, "cannot let datagrams be fragmented again");
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn receiver(role: Role) -> (UdpSocket, SocketAddr) {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into(), role).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (UdpSocket::new(socket, address, role).unwrap(), address)
    }

    /// Receives what there is; how many datagrams or glued ones, and how many the kernel had dropped.
    fn receive_all(socket: &UdpSocket) -> (usize, u32) {
        let mut buffers = ReceiveBuffers::new();
        let (mut count, mut dropped) = (0, 0);
        while let Ok((_, overruns)) = socket.receive(Ingress::Listener(None), &mut buffers) {
            count += buffers.firsts().count();
            dropped += overruns;
            buffers.clear();
        }
        (count, dropped)
    }

    #[test]
    fn what_is_not_read_in_time_is_counted() {
        let (receiver, address) = receiver(Role::Relay);
        // The kernel raises it to its minimum.
        SockRef::from(&receiver).set_recv_buffer_size(1).unwrap();
        let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sum = (0, 0);
        for burst in [100, 1, 50, 1] {
            for _ in 0..burst {
                sender.send_to(&[0; 1000], address).unwrap();
            }
            // Drops are told with the next datagram that finds room.
            let (count, dropped) = receive_all(&receiver);
            sum = (sum.0 + count, sum.1 + usize::try_from(dropped).unwrap());
        }
        assert_eq!(sum.0 + sum.1, 152);
        assert!(sum.1 > 0);
    }

    #[test]
    fn an_error_about_one_datagram_neither_loses_another_nor_lasts() {
        let (plain, address) = receiver(Role::Relay);
        let sender = plain.keep_errors(address).unwrap();
        let (open, at_open) = receiver(Role::Relay);
        let closed = receiver(Role::Relay).1;
        let message = |to| Message { source: None, to, traffic_class: 0, header: &[], payload: b"data", padding: 0 };
        for number in 0..30 {
            sender.send(&mut Sender::default(), None, closed, b"lost").unwrap();
            let mut waits = [PollFd::new(sender.as_fd(), PollFlags::empty())];
            assert_eq!(poll(&mut waits, PollTimeout::MAX).unwrap(), 1, "the error");
            match number % 3 {
                0 => sender.send(&mut Sender::default(), None, at_open, b"data").unwrap(),
                1 => sender.send_unfragmented(&mut Sender::default(), [message(at_open)].into_iter(), |_, sent| {
                    sent.unwrap();
                }),
                _ => {
                    let error = sender.receive(Ingress::Listener(None), &mut ReceiveBuffers::new()).unwrap_err();
                    assert!(sender.may_be_about_another(&error), "{error}");
                    sender.send(&mut Sender::default(), None, at_open, b"data").unwrap();
                }
            }
            let mut errors = Vec::new();
            sender.take_errors(|error| errors.push(error.to));
            assert_eq!(errors, [closed]);
            assert_eq!(receive_all(&open), (1, 0));
        }
    }

    #[test]
    fn requests_come_one_by_one() {
        let (sender, _) = receiver(Role::Relay);
        for (role, count) in [(Role::Requests, 8), (Role::Data, 1), (Role::Everything, 1), (Role::Relay, 1)] {
            let (receiver, to) = receiver(role);
            let message = Message { source: None, to, traffic_class: 0, header: &[], payload: b"data", padding: 0 };
            sender.send_all(&mut Sender::default(), [message; 8].into_iter(), |_, result| result.unwrap());
            assert_eq!(receive_all(&receiver), (count, 0), "{role:?}");
        }
    }
}
