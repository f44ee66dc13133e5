//! The flow table of the XDP program.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use relay_ebpf::{InstallError, XdpProgram};
use relay_server::{Flow, FlowKey, Timestamp, Traffic};

use super::{
    addresses::{LocalAddresses, complete_key},
    worker::{FlowTable, Inserted},
};
use crate::{addresses::AddressState, clock::Clock, option_names::EBPF_MAX_FLOWS, throttle::Throttle};

/// How often to warn that the kernel refuses flows.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The program's flow map, as one worker uses it.
#[derive(Debug)]
pub(super) struct XdpTable {
    pub(super) program: Arc<XdpProgram>,
    pub(super) addresses: LocalAddresses,
    pub(super) refusals: Arc<Refusals>,
    pub(super) clock: Clock,
}

impl FlowTable for XdpTable {
    fn can_take(&self, flow: &Flow) -> bool {
        self.addresses.complete(flow).is_some()
    }

    fn insert(&mut self, flow: &Flow) -> Inserted {
        let Some(complete) = self.addresses.complete(flow) else { return Inserted::Never };
        match self.program.install(&complete) {
            Ok(()) => Inserted::Yes,
            Err(InstallError::Full { .. }) => Inserted::Full,
            Err(InstallError::OtherPeer) => Inserted::Never,
            Err(error) => {
                self.refusals.record(self.clock.now(), error);
                Inserted::Never
            }
        }
    }

    fn note_full(&mut self, _: &Flow) {
        self.refusals.record(self.clock.now(), InstallError::Full { max_flows: self.program.max_flows() });
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        match self.program.remove(&complete_key(key)) {
            Ok(forwarded) => {
                let forwarded = forwarded.map(traffic)?;
                self.refusals.removals.fetch_add(1, Ordering::Relaxed);
                Some(forwarded)
            }
            Err(error) => {
                // The channel or permission has ended. The kernel would go on forwarding without permission.
                let error = anyhow::Error::from(error);
                tracing::error!(
                    "{error:#}: it may forward packets of a channel or permission that has ended until the relay is restarted"
                );
                None
            }
        }
    }

    fn note_over_share(&mut self, flow: &Flow) {
        self.refusals.over_share.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(?flow, "a flow stays in user space: its allocation has its share of the kernel's table");
    }

    fn removals(&self) -> u64 {
        self.refusals.removals.load(Ordering::Relaxed)
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        self.addresses.update(addresses)
    }
}

/// The kernel's counters of a flow.
pub(super) const fn traffic(counters: relay_ebpf::Counters) -> Traffic {
    Traffic { packets: counters.packets, bytes: counters.bytes }
}

/// Counters of refused and removed flows, shared by all workers.
#[derive(Debug)]
pub(super) struct Refusals {
    count: AtomicU64,
    over_share: AtomicU64,
    /// The number of removed flows.
    removals: AtomicU64,
    warnings: Mutex<Throttle>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            over_share: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            warnings: Mutex::new(Throttle::new(WARN_EVERY)),
        }
    }

    /// The number of refused flows.
    pub(super) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The number of flows that were not tried because their allocations had used up their shares.
    pub(super) fn over_share(&self) -> u64 {
        self.over_share.load(Ordering::Relaxed)
    }

    fn record(&self, now: Timestamp, error: InstallError) {
        if let InstallError::Flow(error) = error {
            // The message contains addresses, and a peer that cannot be relayed to is not this relay's fault.
            tracing::debug!(%error, "a flow stays in user space");
            return;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let passes = self.warnings.lock().unwrap_or_else(PoisonError::into_inner).pass(now);
        let Some(times) = passes else { return };
        let remedy = match &error {
            InstallError::Full { .. } => {
                format!("raise {EBPF_MAX_FLOWS}, of which each channel and each peer of indications takes two")
            }
            _ => "relaying goes on, but slower".to_owned(),
        };
        let error = anyhow::Error::from(error);
        tracing::warn!(times, "flows stay in user space: {error:#}: {remedy}");
    }
}

#[cfg(test)]
mod tests {
    use relay_ebpf::FlowError;

    use super::*;

    #[test]
    fn flows_beyond_the_room_are_counted() {
        let refusals = Refusals::new();
        for _ in 0..4 {
            refusals.record(Timestamp::ZERO, InstallError::Full { max_flows: 1 });
        }
        assert_eq!(refusals.total(), 4);
    }

    #[test]
    fn flows_that_no_data_path_could_take_are_not_counted_as_refused() {
        let refusals = Refusals::new();
        refusals.record(Timestamp::ZERO, InstallError::Flow(FlowError::NotUnicast(([224, 0, 0, 1], 2000).into())));
        assert_eq!(refusals.total(), 0);
    }
}
