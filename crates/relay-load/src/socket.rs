//! UDP sockets that send and receive in batches.

use std::{
    cell::Cell,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// The size of the send and receive buffers, in bytes.
const BUFFER: usize = 4 * 1024 * 1024;
const SLOT: usize = 65_536;

/// A bound non-blocking socket.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Rc<std::net::UdpSocket>,
    state: UdpSocketState,
    connected: bool,
    /// How many datagrams the next receive call has room for. Unused room costs time, too.
    room: Cell<usize>,
}

/// One datagram, and one unused slot that shows that there is no other.
const LEAST_ROOM: usize = 2;

/// Binds a plain non-blocking socket.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl UdpSocket {
    /// A batching socket. `glue` enables GRO.
    pub(crate) fn new(socket: impl Into<Rc<std::net::UdpSocket>>, glue: bool) -> io::Result<Self> {
        let socket = socket.into();
        let state = UdpSocketState::new((&*socket).into())?;
        if !glue {
            setsockopt(&*socket, UdpGroSegment, &false)?;
        }
        let options = socket2::SockRef::from(&*socket);
        options.set_recv_buffer_size(BUFFER)?;
        options.set_send_buffer_size(BUFFER)?;
        let connected = socket.peer_addr().is_ok();
        Ok(Self { socket, state, connected, room: Cell::new(LEAST_ROOM) })
    }

    pub(crate) fn socket(&self) -> &std::net::UdpSocket {
        &self.socket
    }

    /// Sends `contents`, in segments of `segment` bytes if set. Returns false if there is no room, or an old error was pending.
    pub(crate) fn send(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<bool> {
        let result = if segment.is_none() {
            // Cheaper than a call through quinn-udp.
            if self.connected { self.socket.send(contents) } else { self.socket.send_to(contents, to) }.map(drop)
        } else {
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size: segment, src_ip: None };
            self.state.try_send((&*self.socket).into(), &transmit)
        };
        match result {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends `contents` from `source`, any address of this machine. The socket must not be bound to an address. Returns false if
    /// there is no room.
    pub(crate) fn send_from(&self, source: IpAddr, to: SocketAddr, contents: &[u8]) -> io::Result<bool> {
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: Some(source) };
        match self.state.try_send((&*self.socket).into(), &transmit) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Receives a batch, if there is one, and calls `each` for every datagram. Returns whether there may be more.
    pub(crate) fn receive(&self, buffers: &mut Buffers, mut each: impl FnMut(SocketAddr, &[u8])) -> io::Result<bool> {
        let room = self.room.get().min(BATCH_SIZE);
        let mut slots = buffers.bytes.chunks_exact_mut(SLOT);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        let count = match self.state.recv((&*self.socket).into(), &mut slices[..room], &mut buffers.metas) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            Err(error) => return Err(error),
        };
        for (slice, meta) in slices.iter().zip(&buffers.metas[..count]) {
            for datagram in slice[..meta.len].chunks(meta.stride.max(1)) {
                each(meta.addr, datagram);
            }
        }
        let is_full = count == room;
        self.room.set(if is_full { room * 4 } else { count + 1 }.clamp(LEAST_ROOM, BATCH_SIZE));
        Ok(is_full)
    }
}

/// The buffers for a batch.
pub(crate) struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; SLOT * BATCH_SIZE], metas: [RecvMeta::default(); BATCH_SIZE] }
    }
}
