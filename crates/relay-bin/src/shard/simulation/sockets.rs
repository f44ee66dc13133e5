//! The simulated sockets of one worker, and the machine that all workers share.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    rc::Rc,
};

use relay_server::{AllocationId, AllocationPort, Family, Forward, RelayOpenError, Timestamp, Via};
use udp_batch::SendError;

use super::{packet::Packet, plan::Setting};
use crate::{
    addresses::AddressState,
    shard::{
        address_map::{AddressMap, HeldPorts},
        handover::RelaySocket,
        inbound::{Inbound, Receipt},
        ingress::{Datagram, Ingress, ReceiveBuffers},
        network::Network,
        poller::Source,
        stats::{Counters, Loss},
    },
};

/// How often a socket is read in one turn. Request queues are read once, as in the real relay.
const RECEIVES_PER_TURN: usize = 4;

/// The machine on which all workers run.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// Datagrams that were sent.
    pub(super) sent: Vec<Packet>,
    /// The open relay sockets, and the worker of each.
    pub(super) open: BTreeMap<(AllocationPort, Family), usize>,
    /// The ports that other programs hold.
    pub(super) taken: BTreeSet<AllocationPort>,
    /// How many of the next sockets cannot be opened.
    pub(super) failures: u32,
}

/// The number of datagrams by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Read by the worker.
    pub(super) received: u64,
    /// Binding indications among those: they are neither answered nor counted.
    pub(super) silent: u64,
    /// Relayed application data.
    pub(super) forwarded: u64,
    /// The bytes of relayed application data.
    pub(super) forwarded_bytes: u64,
    /// Sent STUN messages.
    pub(super) answered: u64,
    /// Application data that could not be sent.
    pub(super) unsent: u64,
}

#[derive(Debug)]
struct Listener {
    is_for_requests: bool,
    family: Family,
    address: Option<IpAddr>,
    queue: VecDeque<Packet>,
    is_ready: bool,
}

#[derive(Debug)]
struct Relay {
    id: AllocationId,
    queue: VecDeque<Packet>,
    is_ready: bool,
    /// Whether the socket has failed.
    is_broken: bool,
}

/// The sockets of one worker.
#[derive(Debug)]
pub(super) struct SimulatedSockets {
    worker: usize,
    setting: Rc<Setting>,
    machine: Rc<RefCell<Machine>>,
    listeners: Vec<Listener>,
    relays: BTreeMap<(AllocationPort, Family), Relay>,
    addresses: AddressMap,
    /// The datagrams of the current batch that will be sent.
    queued: Vec<(Packet, usize, Via)>,
    overruns: u64,
    pub(super) tally: Tally,
}

impl SimulatedSockets {
    pub(super) fn new(
        worker: usize,
        setting: &Rc<Setting>,
        machine: &Rc<RefCell<Machine>>,
        held: HeldPorts,
        addresses: &AddressState,
    ) -> Self {
        let mut listeners = Vec::new();
        for family in Family::ALL {
            let Some(public) = setting.public().of(family) else { continue };
            let address = setting.binds_one_address.then(|| setting.local(public));
            for is_for_requests in [true, false] {
                let queue = VecDeque::new();
                listeners.push(Listener { is_for_requests, family, address, queue, is_ready: false });
            }
        }
        let mut sockets = Self {
            worker,
            setting: Rc::clone(setting),
            machine: Rc::clone(machine),
            listeners,
            relays: BTreeMap::new(),
            addresses: AddressMap::new([], held),
            queued: Vec::new(),
            overruns: 0,
            tally: Tally::default(),
        };
        sockets.set_addresses(addresses);
        sockets
    }

    /// Queues a datagram at its socket. Returns the socket, or the datagram if there is no socket or no room.
    pub(super) fn arrive(&mut self, packet: Packet) -> Result<Source, Packet> {
        let family = Family::of(packet.to.ip());
        let (queue, source) = if packet.to.port() == Setting::LISTEN_PORT {
            let is_request = !is_data(&packet.bytes);
            let mut listeners = (0..).zip(&mut self.listeners);
            let found =
                listeners.find(|(_, listener)| (listener.is_for_requests, listener.family) == (is_request, family));
            match found {
                Some((index, listener)) => (&mut listener.queue, Source::Listener(index)),
                None => return Err(packet),
            }
        } else {
            let port = AllocationPort::new(packet.to.port());
            match self.relays.get_mut(&(port, family)) {
                Some(relay) => (&mut relay.queue, Source::Relay(port, family)),
                None => return Err(packet),
            }
        };
        if queue.len() >= self.setting.queue {
            self.overruns += 1;
            return Err(packet);
        }
        queue.push_back(packet);
        Ok(source)
    }

    /// Makes the relay socket with this port fail, if it is open. Returns the source that becomes ready.
    pub(super) fn break_relay(&mut self, port: AllocationPort) -> Option<Source> {
        let ((port, family), relay) = self.relays.iter_mut().find(|((open, _), _)| *open == port)?;
        relay.is_broken = true;
        Some(Source::Relay(*port, *family))
    }

    /// The open ports, with their families.
    pub(super) fn open_ports(&self) -> impl Iterator<Item = (AllocationPort, Family)> {
        self.relays.keys().copied()
    }

    /// The datagrams that were received and not read.
    pub(super) fn unread(&self) -> impl Iterator<Item = &Packet> {
        let listeners = self.listeners.iter().flat_map(|listener| &listener.queue);
        listeners.chain(self.relays.values().flat_map(|relay| &relay.queue))
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.machine.borrow_mut().sent.push(Packet { from, to, bytes });
    }

    fn relay_address(&self, port: AllocationPort, to: SocketAddr) -> Option<SocketAddr> {
        let public = self.setting.public().of(Family::of(to.ip()))?;
        Some(SocketAddr::new(self.setting.local(public), port.get()))
    }
}

impl Network for SimulatedSockets {
    fn open_relay(
        &mut self,
        _: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError> {
        let mut machine = self.machine.borrow_mut();
        if machine.failures > 0 {
            machine.failures -= 1;
            return Err(RelayOpenError::Failed);
        }
        if machine.taken.contains(&port) || machine.open.contains_key(&(port, family)) {
            return Err(RelayOpenError::PortInUse);
        }
        machine.open.insert((port, family), self.worker);
        drop(machine);
        self.addresses.held().insert(port, family);
        let relay = Relay { id, queue: VecDeque::new(), is_ready: false, is_broken: false };
        assert!(self.relays.insert((port, family), relay).is_none(), "{port} is open");
        Ok(())
    }

    fn is_relayed(&self, address: SocketAddr) -> bool {
        self.addresses.held().contains(address)
    }

    fn close_relay(&mut self, port: AllocationPort, family: Family) {
        // A socket that could not be opened need not be closed.
        if self.relays.remove(&(port, family)).is_some() {
            self.machine.borrow_mut().open.remove(&(port, family));
            self.addresses.held().remove(port, family);
        }
    }

    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], _: &mut Counters) {
        self.tally.answered += 1;
        self.send(SocketAddr::new(from, Setting::LISTEN_PORT), to, bytes.to_vec());
    }

    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters) {
        let bytes = forward.to_vec(&buffers[datagram.range.clone()]);
        let (from, to) = match forward.from {
            Via::Listener(address) => (Some(SocketAddr::new(address, Setting::LISTEN_PORT)), forward.to),
            Via::Relay(port) => (self.relay_address(port, forward.to), self.addresses.outgoing(forward.to)),
        };
        match from {
            Some(from) => self.queued.push((Packet { from, to, bytes }, forward.payload.len(), forward.from)),
            None => {
                self.tally.unsent += 1;
                counters.lose(Loss::NoSocket);
            }
        }
    }

    fn flush(&mut self, _: &ReceiveBuffers, counters: &mut Counters) {
        for (packet, payload, via) in std::mem::take(&mut self.queued) {
            match via {
                Via::Relay(port) if !self.relays.contains_key(&(port, Family::of(packet.to.ip()))) => {
                    self.tally.unsent += 1;
                    counters.lose(Loss::NoSocket);
                    continue;
                }
                Via::Relay(_) => counters.relayed_to_peer(payload),
                Via::Listener(_) => counters.relayed_to_client(payload),
            }
            self.tally.forwarded += 1;
            self.tally.forwarded_bytes += payload as u64;
            self.send(packet.from, packet.to, packet.bytes);
        }
    }

    fn set_addresses(&mut self, addresses: &AddressState) {
        self.addresses.set_pairs(addresses.families().map(|family| (family.public, family.local)));
    }

    fn peer_address(&self, from: SocketAddr) -> SocketAddr {
        self.addresses.incoming(from)
    }
}

impl Inbound for SimulatedSockets {
    fn hand_over(&self) -> Vec<(RelaySocket, BorrowedFd<'_>)> {
        Vec::new()
    }

    fn listener_drops(&self) -> Vec<u32> {
        Vec::new()
    }

    fn listeners(&self) -> impl Iterator<Item = Source> + use<> {
        (0..).map(Source::Listener).take(self.listeners.len())
    }

    fn requests_of(&self, source: Source) -> Option<Family> {
        let Source::Listener(index) = source else { return None };
        let listener = self.listeners.get(usize::from(index))?;
        listener.is_for_requests.then_some(listener.family)
    }

    fn allocation(&self, source: Source) -> Option<AllocationId> {
        match source {
            Source::Relay(port, family) => self.relays.get(&(port, family)).map(|relay| relay.id),
            _ => None,
        }
    }

    fn get_ready(&mut self, source: Source) -> bool {
        self.is_ready(source).is_some_and(|is_ready| !std::mem::replace(is_ready, true))
    }

    fn take_turn(&mut self, source: Source) {
        if let Some(is_ready) = self.is_ready(source) {
            *is_ready = false;
        }
    }

    fn receives_per_turn(&self, source: Source) -> usize {
        if self.requests_of(source).is_some() { 1 } else { RECEIVES_PER_TURN }
    }

    fn receive(&mut self, source: Source, buffers: &mut ReceiveBuffers) -> Receipt {
        let (queue, tag) = match source {
            Source::Mailbox => return Receipt::Empty,
            Source::Listener(index) => {
                let listener = &mut self.listeners[usize::from(index)];
                (&mut listener.queue, Ingress::Listener(listener.address))
            }
            Source::Relay(port, family) => match self.relays.get_mut(&(port, family)) {
                None => return Receipt::Empty,
                Some(relay) if relay.is_broken => return Receipt::Failing(io::ErrorKind::BrokenPipe.into()),
                Some(relay) => (&mut relay.queue, Ingress::Relay(port)),
            },
        };
        while !buffers.is_full() {
            let Some(Packet { from, to, bytes }) = queue.pop_front() else { return Receipt::Empty };
            self.tally.received += 1;
            self.tally.silent += u64::from(matches!(tag, Ingress::Listener(_)) && bytes.starts_with(&[0x00, 0x11]));
            let to = Some(to.ip());
            let traffic_class = 0;
            let datagram = Datagram { tag, from, to, traffic_class, range: 0..0, follows: false, precedes: false };
            buffers.restore(&datagram, &bytes);
        }
        Receipt::MoreToCome
    }

    fn take_errors(&self, _: Source, _: impl FnMut(SendError)) {}

    fn start_again(&mut self) {
        assert!(self.relays.is_empty(), "sockets are left: {:?}", self.relays.keys());
        assert!(self.queued.is_empty());
        self.listeners.iter_mut().for_each(|listener| listener.is_ready = false);
    }

    fn tell_send_failures(&mut self, _: Timestamp) {}

    fn take_overruns(&mut self) -> u64 {
        std::mem::take(&mut self.overruns)
    }
}

impl SimulatedSockets {
    fn is_ready(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Mailbox => None,
            Source::Listener(index) => {
                self.listeners.get_mut(usize::from(index)).map(|listener| &mut listener.is_ready)
            }
            Source::Relay(port, family) => self.relays.get_mut(&(port, family)).map(|relay| &mut relay.is_ready),
        }
    }
}

/// Whether the kernel puts the datagram in the data queue: it is ChannelData or a Send indication.
fn is_data(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| byte >> 6 == 1) || datagram.starts_with(&[0x00, 0x16])
}
