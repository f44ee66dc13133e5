//! The simulated data path below the sockets. Datagrams that it forwards reach no worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use relay_server::{
    AllocationPort, Arriving, ChannelNumber, Encapsulation, Family, Flow, FlowKey, Forward, Leaving, Traffic,
    TransactionId, Via,
};
use stun_msg::{Classified, SendIndication, classify};

use super::{packet::Packet, plan::Setting};
use crate::{
    addresses::AddressState,
    offload::{FlowTable, Inserted, Offload, Worker},
};

/// The flow table that all workers share.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// The most flows that it holds.
    room: usize,
    pub(super) flows: BTreeMap<FlowKey, Installed>,
    /// The flows that were refused, by worker, and have been neither installed nor removed since. The value tells whether the table
    /// could accept the flow if it had room.
    pub(super) refused: BTreeMap<(usize, FlowKey), bool>,
    /// The number of removed flows.
    removals: u64,
    /// Everything that was ever forwarded.
    pub(super) forwarded: Traffic,
    /// The part of it that workers got when they removed flows.
    pub(super) told: Traffic,
}

/// An installed flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Installed {
    pub(super) worker: usize,
    pub(super) flow: Flow,
    forwarded: Traffic,
}

impl Kernel {
    pub(super) fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Forwards a datagram if there is a flow for it. Otherwise returns it as the error.
    pub(super) fn forward(&mut self, setting: &Setting, packet: Packet) -> Result<Packet, Packet> {
        let found = match packet.to.port() {
            Setting::LISTEN_PORT => from_client(&packet.bytes),
            _ => Some((Arriving::Bare, 0..packet.bytes.len())),
        };
        let Some((carries, payload)) = found else { return Err(packet) };
        let payload = &packet.bytes[payload];
        let key = FlowKey { remote: packet.from, local_port: packet.to.port(), carries };
        let Some(Installed { flow, forwarded, .. }) = self.flows.get_mut(&key) else { return Err(packet) };
        let local = |via, remote: SocketAddr| match via {
            Via::Listener(address) => Some((address, Setting::LISTEN_PORT)),
            Via::Relay(port) => {
                let public = setting.public().of(Family::of(remote.ip()))?;
                Some((setting.local(public), port.get()))
            }
        };
        if local(flow.arrives, packet.from).map(|(address, _)| address) != Some(packet.to.ip()) {
            return Err(packet);
        }
        let Some(from) = local(flow.leaves, flow.to) else { return Err(packet) };
        let transaction = TransactionId(std::array::from_fn(|at| forwarded.packets.to_be_bytes()[at % 8]));
        let encapsulation = match flow.leaves_in {
            Leaving::Bare => Encapsulation::Bare,
            Leaving::Channel(channel) => Encapsulation::Channel(channel),
            Leaving::Data => Encapsulation::Data { peer: flow.key.remote, transaction },
        };
        let wrapped = Forward { from: flow.leaves, to: flow.to, encapsulation, payload: 0..payload.len() };
        let bytes = wrapped.to_vec(payload);
        forwarded.count(payload.len());
        self.forwarded.count(payload.len());
        Ok(Packet { from: from.into(), to: flow.to, bytes })
    }

    /// The installed flow of a Send indication with the same entry as `key`. The table knows only a hash of the peer, here of one
    /// bit.
    fn shadow_of(&self, key: &FlowKey) -> Option<FlowKey> {
        let hash = |carries| match carries {
            Arriving::Send(peer) => Some(peer.port() % 2),
            Arriving::Channel(_) | Arriving::Bare => None,
        };
        let wanted = hash(key.carries)?;
        let is_same = |other: &&FlowKey| {
            (other.remote, other.local_port, hash(other.carries)) == (key.remote, key.local_port, Some(wanted))
        };
        self.flows.keys().find(|other| is_same(other) && *other != key).copied()
    }

    /// The flows that `worker` has installed.
    pub(super) fn of_worker(&self, worker: usize) -> impl Iterator<Item = &Flow> {
        self.flows.values().filter(move |installed| installed.worker == worker).map(|installed| &installed.flow)
    }

    /// Checks, after a turn of `worker`, that none of its flows waits although there is room for it.
    pub(super) fn assert_none_waits_in_vain(&self, worker: usize) {
        if self.flows.len() >= self.room {
            return;
        }
        let of_allocation = |key: &FlowKey| match key.carries {
            Arriving::Channel(_) | Arriving::Send(_) => (Some(key.remote), None),
            Arriving::Bare => (None, Some(key.local_port)),
        };
        for ((_, key), can_take) in self.refused.iter().filter(|((refused_by, _), _)| *refused_by == worker) {
            let holder = of_allocation(key);
            let held = self.of_worker(worker).filter(|flow| of_allocation(&flow.key) == holder).count();
            let has_share = held >= self.channels_per_allocation() as usize;
            assert!(
                !can_take || has_share,
                "worker {worker}: {key:?} waits, with {held} flows of its allocation in the map"
            );
        }
    }

    /// The most channels of one allocation.
    pub(super) fn channels_per_allocation(&self) -> u32 {
        u32::try_from(self.room / 3).unwrap_or(u32::MAX).max(1)
    }

    /// What the installed flows have forwarded.
    pub(super) fn untold(&self) -> Traffic {
        let mut sum = Traffic::default();
        self.flows.values().for_each(|installed| sum += installed.forwarded);
        sum
    }
}

/// How the data in a client's datagram is encapsulated, and its range.
fn from_client(datagram: &[u8]) -> Option<(Arriving, Range<usize>)> {
    match classify(datagram).ok()? {
        Classified::ChannelData(data) => Some((Arriving::Channel(ChannelNumber::new(data.channel)?), data.payload)),
        Classified::Stun => {
            let SendIndication { peer, payload, dont_fragment } =
                SendIndication::is_send(datagram).then(|| SendIndication::parse(datagram).ok())??;
            (!dont_fragment).then_some((Arriving::Send(peer), payload))
        }
    }
}

/// The table, shared by all workers.
pub(super) type SharedKernel = Arc<Mutex<Kernel>>;

/// One worker's access to the table, with the real rules for shares and waiting.
#[derive(Debug)]
pub(super) struct SimulatedOffload {
    worker: usize,
    kernel: SharedKernel,
    rules: Worker<SimulatedTable>,
}

impl SimulatedOffload {
    pub(super) fn new(worker: usize, kernel: &SharedKernel, addresses: &AddressState) -> Self {
        let channels_per_allocation = lock(kernel).channels_per_allocation();
        let table = SimulatedTable { worker, kernel: Arc::clone(kernel), own: addresses.own.clone() };
        Self { worker, kernel: Arc::clone(kernel), rules: Worker::new(table, channels_per_allocation) }
    }

    /// Marks refused flows whose entry another flow has: they do not wait for room.
    fn note_shadowed(&self) {
        let mut kernel = lock(&self.kernel);
        let of_this = |(worker, _): &&(usize, FlowKey)| *worker == self.worker;
        let refused = kernel.refused.keys().filter(of_this).map(|(_, key)| *key);
        let shadowed: BTreeSet<_> = refused.filter(|key| kernel.shadow_of(key).is_some()).collect();
        for ((_, key), can_take) in kernel.refused.iter_mut().filter(|((worker, _), _)| *worker == self.worker) {
            *can_take &= !shadowed.contains(key);
        }
    }
}

pub(super) fn lock(kernel: &SharedKernel) -> MutexGuard<'_, Kernel> {
    kernel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Offload for SimulatedOffload {
    fn install(&mut self, flow: &Flow) -> bool {
        let is_installed = self.rules.install(flow);
        if !is_installed {
            let can_take = self.rules.can_take(flow);
            lock(&self.kernel).refused.insert((self.worker, flow.key), can_take);
            self.note_shadowed();
        }
        is_installed
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        let entered = self.rules.install_waiting();
        self.note_shadowed();
        let flow = entered?;
        let was_refused = lock(&self.kernel).refused.remove(&(self.worker, flow.key));
        assert!(was_refused.is_some(), "{flow:?} waited, but was not refused before, or has gone since");
        Some(flow)
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        lock(&self.kernel).refused.remove(&(self.worker, *key));
        self.rules.remove(key)
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        self.rules.set_addresses(addresses)
    }
}

/// The table, as one worker uses it.
#[derive(Debug)]
struct SimulatedTable {
    worker: usize,
    kernel: SharedKernel,
    own: Vec<IpAddr>,
}

impl FlowTable for SimulatedTable {
    fn can_take(&self, flow: &Flow) -> bool {
        // Packets to this machine itself do not cross the network.
        !self.own.contains(&flow.to.ip()) && !self.own.contains(&flow.key.remote.ip())
    }

    fn insert(&mut self, flow: &Flow) -> Inserted {
        let mut kernel = lock(&self.kernel);
        if kernel.shadow_of(&flow.key).is_some() {
            return Inserted::Never;
        }
        if kernel.flows.len() >= kernel.room && !kernel.flows.contains_key(&flow.key) {
            return Inserted::Full;
        }
        let installed = Installed { worker: self.worker, flow: *flow, forwarded: Traffic::default() };
        if let Some(replaced) = kernel.flows.insert(flow.key, installed) {
            kernel.told += replaced.forwarded;
            assert_eq!(replaced.worker, self.worker, "two workers install one flow: {:?}, {flow:?}", replaced.flow);
        }
        Inserted::Yes
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        let mut kernel = lock(&self.kernel);
        assert_eq!(kernel.shadow_of(key), None, "to remove {key:?} takes another's entry");
        let removed = kernel.flows.remove(key)?;
        assert_eq!(removed.worker, self.worker, "a worker removes another's flow: {:?}", removed.flow);
        kernel.told += removed.forwarded;
        kernel.removals += 1;
        Some(removed.forwarded)
    }

    fn note_full(&mut self, _: &Flow) {}

    fn note_over_share(&mut self, _: &Flow) {}

    fn removals(&self) -> u64 {
        lock(&self.kernel).removals
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        std::mem::replace(&mut self.own, addresses.own.clone()) != addresses.own
    }
}

/// The allocation and channel in which a flow ends, if it ends in a channel of this relay.
pub(super) const fn end_of(flow: &Flow) -> Option<(AllocationPort, ChannelNumber)> {
    match (flow.to_client_of, flow.leaves_in) {
        (Some(port), Leaving::Channel(channel)) => Some((port, channel)),
        _ => None,
    }
}
