//! The data path below the sockets: what it forwards never reaches a worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use relay_server::{AllocationPort, ChannelNumber, Family, Flow, FlowKey, Traffic, Via};
use turn_client::{decode_channel_data, encode_channel_data};

use super::{packet::Packet, plan::Setting};
use crate::{addresses::AddressState, offload::Offload};

/// One map for all workers.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// How many flows there is room for.
    room: usize,
    pub(super) flows: BTreeMap<FlowKey, Installed>,
    /// The flows that each worker wanted to install and could not, and has not removed since.
    pub(super) refused: BTreeSet<(usize, FlowKey)>,
    /// All that was ever forwarded.
    pub(super) forwarded: Traffic,
    /// The same as workers were told when they removed flows.
    pub(super) told: Traffic,
}

/// A flow in the map.
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

    /// Forwards a datagram if there is a flow for it; gives it back otherwise.
    pub(super) fn forward(&mut self, setting: &Setting, packet: Packet) -> Result<Packet, Packet> {
        let (channel, payload) = if packet.to.port() == Setting::LISTEN_PORT {
            match decode_channel_data(&packet.bytes) {
                Some((channel, payload)) => (ChannelNumber::new(channel), payload),
                None => return Err(packet),
            }
        } else {
            (None, &packet.bytes[..])
        };
        let key = FlowKey { remote: packet.from, local_port: packet.to.port(), channel };
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
        let mut bytes = Vec::new();
        match flow.channel {
            Some(channel) => encode_channel_data(channel.get(), payload, &mut bytes),
            None => bytes.extend_from_slice(payload),
        }
        forwarded.count(payload.len());
        self.forwarded.count(payload.len());
        Ok(Packet { from: from.into(), to: flow.to, bytes })
    }

    /// The flows that `worker` has installed.
    pub(super) fn of_worker(&self, worker: usize) -> impl Iterator<Item = &Flow> {
        self.flows.values().filter(move |installed| installed.worker == worker).map(|installed| &installed.flow)
    }

    /// What was forwarded of the flows that are there.
    pub(super) fn untold(&self) -> Traffic {
        let mut sum = Traffic::default();
        self.flows.values().for_each(|installed| sum += installed.forwarded);
        sum
    }
}

/// The map, as all have it.
pub(super) type SharedKernel = Arc<Mutex<Kernel>>;

/// What one worker has to do with the map.
#[derive(Debug)]
pub(super) struct SimulatedOffload {
    worker: usize,
    kernel: SharedKernel,
    own: Vec<IpAddr>,
}

impl SimulatedOffload {
    pub(super) fn new(worker: usize, kernel: &SharedKernel, addresses: &AddressState) -> Self {
        Self { worker, kernel: Arc::clone(kernel), own: addresses.own.clone() }
    }
}

pub(super) fn lock(kernel: &SharedKernel) -> MutexGuard<'_, Kernel> {
    kernel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Offload for SimulatedOffload {
    fn install(&mut self, flow: &Flow) -> bool {
        let mut kernel = lock(&self.kernel);
        // What stays on this machine does not cross the network.
        let stays = self.own.contains(&flow.to.ip()) || self.own.contains(&flow.key.remote.ip());
        let is_full = kernel.flows.len() >= kernel.room && !kernel.flows.contains_key(&flow.key);
        if stays || is_full {
            kernel.refused.insert((self.worker, flow.key));
            return false;
        }
        let installed = Installed { worker: self.worker, flow: *flow, forwarded: Traffic::default() };
        if let Some(replaced) = kernel.flows.insert(flow.key, installed) {
            kernel.told += replaced.forwarded;
            assert_eq!(replaced.worker, self.worker, "two workers install one flow: {:?}, {flow:?}", replaced.flow);
        }
        true
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        let mut kernel = lock(&self.kernel);
        kernel.refused.remove(&(self.worker, *key));
        let removed = kernel.flows.remove(key)?;
        assert_eq!(removed.worker, self.worker, "a worker removes another's flow: {:?}", removed.flow);
        kernel.told += removed.forwarded;
        Some(removed.forwarded)
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        std::mem::replace(&mut self.own, addresses.own.clone()) != addresses.own
    }
}

/// Which allocation's channel a flow ends in, if in one of this relay's.
pub(super) const fn end_of(flow: &Flow) -> Option<(AllocationPort, ChannelNumber)> {
    match (flow.to_client_of, flow.channel) {
        (Some(port), Some(channel)) => Some((port, channel)),
        _ => None,
    }
}
