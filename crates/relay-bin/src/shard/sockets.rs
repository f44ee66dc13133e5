use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use relay_server::{
    AllocationId, AllocationPort, Encapsulation, Family, Forward, PortRange, RelayOpenError, Timestamp, Via,
};
use udp_batch::{Config, Received, Remaining, SendError, UdpSocket};

use super::{
    address_map::{AddressMap, HeldPorts},
    driver::Network,
    ingress::{Datagram, Ingress, ReceiveBuffers},
    outbound::{Header, Outbound, Outgoing, Towards, count_failure},
    poller::{Source, Watcher},
    relay_table::RelayTable,
    stats::{Counters, Loss},
};
use crate::{
    addresses::{AddressState, FamilyState},
    files::Files,
    listen::{Listening, Role},
    throttle::Throttle,
};

/// How often to warn that sockets cannot be opened.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How often one socket may be read before the others get their turn.
const RECEIVES_PER_TURN: usize = 4;

/// The same for the socket that strangers reach: its datagrams cost more each, and what has an allocation comes first.
const REQUEST_RECEIVES_PER_TURN: usize = 1;

/// How many bytes may wait in each direction at the socket of an allocation.
const BUFFER_SIZE: usize = 1024 * 1024;

/// How many errors in a row make a socket a failing one.
const MAX_ERRORS: u8 = 16;

/// A listening socket and the address it is bound to, `None` for all of them.
#[derive(Debug)]
struct Listener {
    role: Role,
    socket: UdpSocket,
    address: Option<IpAddr>,
    /// Errors in a row.
    errors: u8,
    family: Family,
    /// Whether it waits for its turn.
    is_ready: bool,
}

impl Listener {
    fn new(Listening { socket, role }: Listening, bound: IpAddr) -> Self {
        let address = Some(bound).filter(|address| !address.is_unspecified());
        Self { role, socket, address, errors: 0, family: Family::of(bound), is_ready: false }
    }
}

/// How a receive call went.
#[derive(Debug)]
pub(super) enum Receipt {
    /// Nothing is left.
    Empty,
    /// Something may be left.
    MoreToCome,
    /// There was an error. ICMP errors, which concern one remote only, are none.
    Error,
    /// There were too many errors in a row.
    Failing(io::Error),
}

/// The sockets of a shard.
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    /// Those of them that send, for each family.
    v4: Option<u16>,
    v6: Option<u16>,
    relays: RelayTable,
    addresses: AddressMap,
    v4_relays: RelayAddress,
    v6_relays: RelayAddress,
    outbound: Outbound,
    watcher: Watcher,
    files: Files,
    /// Whether clients are told of ICMP errors.
    tells_icmp: bool,
    cannot_open: Throttle,
    /// What the kernel has dropped and was not counted yet.
    overruns: u64,
}

/// Where the allocations of one family send from.
#[derive(Clone, Copy, Debug, Default)]
struct RelayAddress {
    /// What to bind the next socket to: one address, or all of them; `None` for a family that is not served.
    bind: Option<IpAddr>,
    /// The public address, if it is known to be this machine's.
    public: Option<IpAddr>,
    /// Whether some socket was bound to all addresses, as it is while this machine does not have the public one.
    has_unbound: bool,
}

impl RelayAddress {
    fn set(&mut self, family: Option<FamilyState>) {
        self.bind = family.map(|family| family.relay);
        self.public = family.and_then(|family| family.source);
    }

    /// What to tell the kernel to send from. Nothing in the ordinary case: the sockets are bound to the address that clients
    /// are told, or that is a NAT's.
    #[inline]
    const fn source(&self) -> Option<IpAddr> {
        if self.has_unbound { self.public } else { None }
    }
}

impl Sockets {
    /// Takes over the listening sockets.
    ///
    /// # Errors
    ///
    /// When one cannot be watched.
    pub(super) fn new(
        listening: Vec<Listening>,
        ports: PortRange,
        addresses: &AddressState,
        held: HeldPorts,
        watcher: Watcher,
        files: Files,
        tells_icmp: bool,
    ) -> io::Result<Self> {
        let (mut v4, mut v6) = (None, None);
        let mut listeners = Vec::new();
        for (index, listening) in (0..).zip(listening) {
            // Any of them can send; one for each family does.
            let bound = listening.socket.local_addr()?;
            let sends = if bound.is_ipv4() { &mut v4 } else { &mut v6 };
            *sends = Some(index);
            let listener = Listener::new(listening, bound.ip());
            watcher.watch(&listener.socket, Source::Listener(index))?;
            listeners.push(listener);
        }
        let mut sockets = Self {
            listeners,
            v4,
            v6,
            relays: RelayTable::new(ports),
            addresses: AddressMap::new([], held),
            v4_relays: RelayAddress::default(),
            v6_relays: RelayAddress::default(),
            outbound: Outbound::default(),
            watcher,
            files,
            tells_icmp,
            cannot_open: Throttle::new(WARN_EVERY),
            overruns: 0,
        };
        sockets.set_addresses(addresses);
        Ok(sockets)
    }

    /// Notes that `source` waits for its turn; `false` when it did already, or is none that can be read.
    pub(super) fn get_ready(&mut self, source: Source) -> bool {
        self.is_ready(source).is_some_and(|is_ready| !std::mem::replace(is_ready, true))
    }

    /// Notes that `source` has its turn.
    pub(super) fn take_turn(&mut self, source: Source) {
        if let Some(is_ready) = self.is_ready(source) {
            *is_ready = false;
        }
    }

    fn is_ready(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Mailbox => None,
            Source::Listener(index) => {
                self.listeners.get_mut(usize::from(index)).map(|listener| &mut listener.is_ready)
            }
            Source::Relay(port, family) => self.relays.get_mut(port, family).map(|relay| &mut relay.is_ready),
        }
    }

    /// Adds what `source` has received to `buffers`.
    pub(super) fn receive(&mut self, source: Source, buffers: &mut ReceiveBuffers) -> Receipt {
        let (result, errors) = match source {
            Source::Mailbox => return Receipt::Empty,
            Source::Listener(index) => {
                let Some(listener) = self.listeners.get_mut(usize::from(index)) else { return Receipt::Empty };
                (listener.socket.receive(Ingress::Listener(listener.address), buffers), &mut listener.errors)
            }
            Source::Relay(port, family) => {
                // It may have been closed since it was found ready.
                let Some(relay) = self.relays.get_mut(port, family) else { return Receipt::Empty };
                let result = relay.socket.receive(Ingress::Relay(port), buffers);
                if let Err(error) = &result
                    && relay.socket.may_be_about_another(error)
                {
                    // About something that was sent, of which the socket tells elsewhere. What was received may lie behind it.
                    return Receipt::MoreToCome;
                }
                (result, &mut relay.errors)
            }
        };
        match result {
            Ok(Received { remaining, dropped }) => {
                *errors = 0;
                self.overruns += u64::from(dropped);
                if remaining == Remaining::Empty { Receipt::Empty } else { Receipt::MoreToCome }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Receipt::Empty,
            Err(error) => {
                tracing::debug!(%error, ?source, "cannot receive");
                *errors += 1;
                if *errors < MAX_ERRORS {
                    return Receipt::Error;
                }
                *errors = 0;
                Receipt::Failing(error)
            }
        }
    }

    /// Takes what the kernel says of datagrams that left by the socket of an allocation and did not arrive.
    pub(super) fn take_errors(&self, source: Source, each: impl FnMut(SendError)) {
        if let Source::Relay(port, family) = source
            && let Some(relay) = self.relays.get(port, family)
        {
            relay.socket.take_errors(each);
        }
    }

    /// How often `source` may be read before the others get their turn.
    pub(super) fn receives_per_turn(&self, source: Source) -> usize {
        match source {
            Source::Listener(index)
                if self.listeners.get(usize::from(index)).is_some_and(|listener| listener.role == Role::Requests) =>
            {
                REQUEST_RECEIVES_PER_TURN
            }
            _ => RECEIVES_PER_TURN,
        }
    }

    /// The family of the clients whose requests come in by `source`, if any do.
    pub(super) fn requests_of(&self, source: Source) -> Option<Family> {
        let Source::Listener(index) = source else { return None };
        let listener = self.listeners.get(usize::from(index))?;
        matches!(listener.role, Role::Requests | Role::Everything).then_some(listener.family)
    }

    /// The allocation whose socket `source` is.
    pub(super) fn allocation(&self, source: Source) -> Option<AllocationId> {
        match source {
            Source::Relay(port, family) => self.relays.get(port, family).map(|relay| relay.id),
            _ => None,
        }
    }

    /// The listening sockets.
    pub(super) fn listeners(&self) -> impl Iterator<Item = Source> + use<> {
        (0..).map(Source::Listener).take(self.listeners.len())
    }

    /// Which listening socket sends from `local`.
    const fn sending(&self, local: IpAddr) -> Option<u16> {
        if local.is_ipv4() { self.v4 } else { self.v6 }
    }

    fn open(&mut self, port: AllocationPort, family: Family) -> io::Result<UdpSocket> {
        let relays = match family {
            Family::V4 => &mut self.v4_relays,
            Family::V6 => &mut self.v6_relays,
        };
        let address = SocketAddr::new(relays.bind.ok_or(io::ErrorKind::AddrNotAvailable)?, port.get());
        let config =
            Config { buffer_size: Some(BUFFER_SIZE), gro: true, error_queue: self.tells_icmp, ..Config::default() };
        let socket = UdpSocket::bind(address, &config)?;
        self.files.admit(&socket)?;
        self.watcher.watch(&socket, Source::Relay(port, family))?;
        relays.has_unbound |= address.ip().is_unspecified();
        self.addresses.held().insert(port, family);
        Ok(socket)
    }
}

#[cfg(test)]
impl Sockets {
    /// The socket of the allocation with this port.
    pub(super) fn relay(&self, port: AllocationPort, family: Family) -> &UdpSocket {
        &self.relays.get(port, family).unwrap().socket
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
        match self.open(port, family) {
            Ok(socket) => {
                self.relays.insert(port, family, socket, id);
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
        self.addresses.held().remove(port, family);
    }

    fn set_addresses(&mut self, addresses: &AddressState) {
        self.v4_relays.set(addresses.v4);
        self.v6_relays.set(addresses.v6);
        self.addresses.set_pairs(addresses.families().map(|family| (family.public, family.local)));
    }

    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters) {
        let index = self.sending(from);
        let listener = index.and_then(|index| self.listeners.get(usize::from(index)));
        let Some(listener) = listener else { return counters.lose(Loss::NoSocket) };
        let source = listener.address.is_none().then_some(from);
        if let Err(error) = self.outbound.send(&listener.socket, source, to, bytes) {
            count_failure(&error, counters);
        }
    }

    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters) {
        let found = match forward.from {
            Via::Listener(from) => self.sending(from).and_then(|index| {
                let listener = self.listeners.get(usize::from(index))?;
                let source = listener.address.is_none().then_some(from);
                Some((Source::Listener(index), source, forward.to))
            }),
            Via::Relay(port) => {
                let (family, source) = if forward.to.is_ipv4() {
                    (Family::V4, self.v4_relays.source())
                } else {
                    (Family::V6, self.v6_relays.source())
                };
                Some((Source::Relay(port, family), source, self.addresses.outgoing(forward.to)))
            }
        };
        let Some((socket, source, to)) = found else { return counters.lose(Loss::NoSocket) };
        let mut bytes = datagram.range.start + forward.payload.start..datagram.range.start + forward.payload.end;
        let (payload, traffic_class) = (bytes.len(), datagram.traffic_class);
        let (own_header, mut padding) = (forward.header(), forward.padding());
        let towards = match own_header {
            relay_server::Header::None if forward.encapsulation == Encapsulation::Unfragmented => {
                Towards::PeerUnfragmented
            }
            relay_server::Header::None => Towards::Peer,
            relay_server::Header::Channel(_) | relay_server::Header::Data(_) => Towards::Client,
        };
        // One piece is less for the kernel to fetch than two or three.
        let header = if towards == Towards::Client
            && let Some(wrapped) = buffers.wrap(datagram, bytes.clone(), own_header.as_bytes(), padding)
        {
            (bytes, padding) = (wrapped, 0);
            Header::None
        } else {
            match own_header {
                relay_server::Header::None => Header::None,
                relay_server::Header::Channel(header) => Header::Channel(header),
                relay_server::Header::Data(header) => self.outbound.keep_header(header),
            }
        };
        let padding = u8::try_from(padding).unwrap_or_default();
        self.outbound.push(Outgoing { socket, source, to, towards, traffic_class, header, bytes, payload, padding });
    }

    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters) {
        let Self { outbound, listeners, relays, .. } = self;
        let find = |socket| match socket {
            Source::Listener(index) => listeners.get(usize::from(index)).map(|listener| &listener.socket),
            Source::Relay(port, family) => relays.get(port, family).map(|relay| &relay.socket),
            Source::Mailbox => None,
        };
        outbound.flush(buffers, find, counters);
    }

    fn count_overruns(&mut self, counters: &mut Counters) {
        counters.receive_overruns += std::mem::take(&mut self.overruns);
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        self.addresses.incoming(from)
    }
}

/// What an operator can do about `error`.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "clients are answered 508, since the other files are kept back for health checks and the like; raise this process's \
             limit on open files (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker; `prlimit --nofile=` while \
             it runs)"
        }
        Some(libc::ENFILE) => "raise the system's limit on open files (`sysctl fs.file-max`)",
        Some(libc::ENOMEM | libc::ENOBUFS) => "this machine is out of memory",
        Some(libc::EADDRNOTAVAIL) => "this machine has lost the address",
        _ => "clients are answered 508",
    }
}
