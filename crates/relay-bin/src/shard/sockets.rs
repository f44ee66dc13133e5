use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use relay_server::{AllocationId, AllocationPort, Family, Forward, PortRange, RelayOpenError, Timestamp, Via};
use socket2::Socket;
use tokio::task::AbortHandle;

use super::{
    address_map::AddressMap,
    driver::Network,
    outbound::{Outbound, Outgoing, Towards, count_failure},
    relay_table::RelayTable,
};
use crate::{
    listen::Listening,
    socket::{self, Datagram, HEAD_ROOM, ReceiveBuffers, Role, UdpSocket},
    stats::{Counters, Loss},
    throttle::Throttle,
};

/// How often to warn that sockets cannot be opened.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A listening socket and the address it is bound to, `None` for all of them.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) role: Role,
    pub(super) socket: Rc<UdpSocket>,
    pub(super) address: Option<IpAddr>,
}

impl Listener {
    fn new(socket: Socket, role: Role) -> io::Result<Self> {
        let bound = socket.local_addr()?.as_socket().map(|address| address.ip());
        let socket = Rc::new(UdpSocket::new(socket)?);
        Ok(Self { socket, role, address: bound.filter(|address| !address.is_unspecified()) })
    }
}

/// What the task that reads the socket of an allocation is to read.
#[derive(Debug)]
pub(super) struct RelayReader {
    pub(super) socket: Rc<UdpSocket>,
    pub(super) id: AllocationId,
    pub(super) port: AllocationPort,
}

/// Starts the task that reads the socket of an allocation.
pub(super) type SpawnReader = Box<dyn Fn(RelayReader) -> AbortHandle>;

/// The sockets of a shard.
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    v4: Option<Listener>,
    v6: Option<Listener>,
    relays: RelayTable,
    addresses: AddressMap,
    /// What the sockets of allocations are bound to.
    relay_v4: Option<IpAddr>,
    relay_v6: Option<IpAddr>,
    outbound: Outbound,
    spawn_reader: SpawnReader,
    cannot_open: Throttle,
    /// What the kernel had dropped at each of the listening sockets when it was last looked at; its counters wrap.
    overruns: Vec<u32>,
}

/// The addresses that the sockets of allocations are bound to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RelayBinding {
    pub(crate) v4: Option<IpAddr>,
    pub(crate) v6: Option<IpAddr>,
}

impl Sockets {
    /// Takes over the listening sockets.
    ///
    /// # Errors
    ///
    /// When one cannot be put on this thread's runtime.
    pub(super) fn new(
        listening: Vec<Listening>,
        binding: RelayBinding,
        ports: PortRange,
        addresses: AddressMap,
        spawn_reader: SpawnReader,
    ) -> io::Result<Self> {
        let (mut v4, mut v6) = (None, None);
        let mut listeners = Vec::new();
        for Listening { socket, role } in listening {
            let is_v4 = socket.local_addr()?.is_ipv4();
            let listener = Listener::new(socket, role)?;
            // Any of them can send; one for each family does.
            if is_v4 {
                v4 = Some(listener.clone());
            } else {
                v6 = Some(listener.clone());
            }
            listeners.push(listener);
        }
        let overruns = vec![0; listeners.len()];
        Ok(Self {
            listeners,
            v4,
            v6,
            relays: RelayTable::new(ports),
            addresses,
            relay_v4: binding.v4,
            relay_v6: binding.v6,
            outbound: Outbound::default(),
            spawn_reader,
            cannot_open: Throttle::new(WARN_EVERY),
            overruns,
        })
    }

    /// The listening sockets, to be read.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        self.listeners.clone()
    }

    fn listener(&self, local: IpAddr) -> Option<&Listener> {
        if local.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    fn open(&self, id: AllocationId, port: AllocationPort, family: Family) -> io::Result<(Rc<UdpSocket>, AbortHandle)> {
        let address = match family {
            Family::V4 => self.relay_v4,
            Family::V6 => self.relay_v6,
        };
        let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = socket::bind(SocketAddr::new(address, port.get()), Role::Relay)?;
        let socket = Rc::new(UdpSocket::new(socket)?);
        let reader = (self.spawn_reader)(RelayReader { socket: Rc::clone(&socket), id, port });
        Ok((socket, reader))
    }
}

impl Network for Sockets {
    fn open_relay(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError> {
        match self.open(id, port, family) {
            Ok((socket, reader)) => {
                self.relays.insert(port, family, socket, reader);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::debug!(%port, ?family, "another program holds the port");
                Err(RelayOpenError::PortInUse)
            }
            Err(error) => {
                if let Some(times) = self.cannot_open.pass(now) {
                    let remedy = remedy(&error);
                    tracing::warn!(%error, times, "cannot open a socket for an allocation: {remedy}");
                }
                Err(RelayOpenError::Failed)
            }
        }
    }

    fn close_relay(&mut self, port: AllocationPort, family: Family) {
        self.relays.remove(port, family);
    }

    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters) {
        let Some(listener) = self.listener(from) else { return counters.lose(Loss::NoSocket) };
        let (socket, source) = (Rc::clone(&listener.socket), listener.address.is_none().then_some(from));
        if let Err(error) = self.outbound.send(&socket, source, to, bytes) {
            count_failure(&error, counters);
        }
    }

    fn queue(&mut self, datagram: &Datagram, forward: &Forward, counters: &mut Counters) {
        let found = match forward.from {
            Via::Listener(from) => self.listener(from).map(|listener| {
                let source = listener.address.is_none().then_some(from);
                (Rc::clone(&listener.socket), source, forward.to)
            }),
            Via::Relay(port) => {
                let family = if forward.to.is_ipv4() { Family::V4 } else { Family::V6 };
                let to = self.addresses.outgoing(forward.to);
                self.relays.get(port, family).map(|socket| (Rc::clone(socket), None, to))
            }
        };
        let Some((socket, source, to)) = found else { return counters.lose(Loss::NoSocket) };
        let payload = datagram.range.start + forward.payload.start..datagram.range.start + forward.payload.end;
        let towards = match forward.channel {
            None => Towards::Peer,
            Some(channel) => {
                let [c0, c1] = channel.get().to_be_bytes();
                // No datagram is longer than the length field can say.
                let [l0, l1] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
                let header: [u8; HEAD_ROOM] = [c0, c1, l0, l1];
                Towards::Client(header)
            }
        };
        self.outbound.push(Outgoing { socket, source, to, towards, traffic_class: datagram.traffic_class, payload });
    }

    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters) {
        self.outbound.flush(buffers, counters);
    }

    fn count_overruns(&mut self, counters: &mut Counters) {
        for (listener, seen) in self.listeners.iter().zip(&mut self.overruns) {
            // A kernel that does not tell has nothing to be counted.
            if let Ok(overruns) = listener.socket.overruns() {
                counters.receive_overruns += u64::from(overruns.wrapping_sub(*seen));
                *seen = overruns;
            }
        }
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        self.addresses.incoming(from)
    }
}

/// What an operator can do about `error`.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "raise this process's limit on open files (`ulimit -n`, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
        }
        Some(libc::ENFILE) => "raise the system's limit on open files (`sysctl fs.file-max`)",
        Some(libc::ENOMEM | libc::ENOBUFS) => "this machine is out of memory",
        Some(libc::EADDRNOTAVAIL) => "this machine has lost the address",
        _ => "clients are answered 508",
    }
}
