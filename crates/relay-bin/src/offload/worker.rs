//! What a worker's flows become in the kernel.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use relay_ebpf::{Engine, InstallError};
use relay_server::{Flow, FlowKey, Timestamp, Traffic};

use super::{
    Offload,
    addresses::{LocalAddresses, complete_key},
};
use crate::{addresses::AddressState, clock::Clock, option_names::EBPF_MAX_FLOWS, throttle::Throttle};

/// How often to warn that the kernel does not take flows.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// One worker's access to a data path that all share.
#[derive(Debug)]
pub(super) struct Worker<E> {
    pub(super) engine: Arc<E>,
    pub(super) addresses: LocalAddresses,
    pub(super) refusals: Arc<Refusals>,
    pub(super) clock: Clock,
}

impl<E: Engine> Offload for Worker<E> {
    fn install(&mut self, flow: &Flow) -> bool {
        let Some(complete) = self.addresses.complete(flow) else { return false };
        match self.engine.install(&complete) {
            Ok(()) => return true,
            // Its message holds addresses, and a peer that nobody can relay to is no fault of this relay.
            Err(InstallError::Flow(error)) => tracing::debug!(%error, "a flow stays in user space"),
            Err(error) => self.refusals.count(self.clock.now(), error),
        }
        false
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        match self.engine.remove(&complete_key(key)) {
            Ok(forwarded) => forwarded.map(traffic),
            Err(error) => {
                // The channel has ended, so whatever the kernel goes on forwarding is forwarded without permission.
                let error = anyhow::Error::from(error);
                tracing::error!(
                    "{error:#}: it may forward packets of a channel that has ended until the relay is restarted"
                );
                None
            }
        }
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        self.addresses.update(addresses)
    }
}

/// What the kernel has counted of a flow.
pub(super) const fn traffic(counters: relay_ebpf::Counters) -> Traffic {
    Traffic { packets: counters.packets, bytes: counters.bytes }
}

/// Flows that the kernel did not take, of all workers.
#[derive(Debug)]
pub(super) struct Refusals {
    count: AtomicU64,
    warnings: Mutex<Throttle>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(0), warnings: Mutex::new(Throttle::new(WARN_EVERY)) }
    }

    /// How many there were.
    pub(super) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn count(&self, now: Timestamp, error: InstallError) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let passes = self.warnings.lock().unwrap_or_else(PoisonError::into_inner).pass(now);
        let Some(times) = passes else { return };
        let remedy = match &error {
            InstallError::Full { .. } => format!("raise {EBPF_MAX_FLOWS}, of which each channel takes two"),
            _ => "relaying goes on, but slower".to_owned(),
        };
        let error = anyhow::Error::from(error);
        tracing::warn!(times, "flows stay in user space: {error:#}: {remedy}");
    }
}

#[cfg(test)]
mod tests {
    use relay_ebpf::{Counters, RemoveError};

    use super::{
        super::addresses::tests::{behind_nat, up},
        *,
    };

    const FORWARDED: Counters = Counters { packets: 3, bytes: 500 };

    /// A data path with room for some flows.
    #[derive(Debug)]
    struct FakeEngine {
        room: usize,
        flows: Mutex<Vec<relay_ebpf::FlowKey>>,
    }

    impl Engine for FakeEngine {
        fn install(&self, flow: &relay_ebpf::Flow) -> Result<(), InstallError> {
            flow.route(0)?;
            let mut flows = self.flows.lock().unwrap();
            if flows.len() == self.room {
                return Err(InstallError::Full { max_flows: 1 });
            }
            flows.push(flow.key());
            Ok(())
        }

        fn remove(&self, key: &relay_ebpf::FlowKey) -> Result<Option<Counters>, RemoveError> {
            let mut flows = self.flows.lock().unwrap();
            let before = flows.len();
            flows.retain(|flow| flow != key);
            Ok((flows.len() < before).then_some(FORWARDED))
        }

        fn forwarded(&self, key: &relay_ebpf::FlowKey) -> Option<Counters> {
            self.flows.lock().unwrap().contains(key).then_some(FORWARDED)
        }
    }

    fn worker(room: usize) -> Worker<FakeEngine> {
        Worker {
            engine: Arc::new(FakeEngine { room, flows: Mutex::default() }),
            addresses: behind_nat(),
            refusals: Arc::new(Refusals::new()),
            clock: Clock::start(),
        }
    }

    #[test]
    fn flows_come_and_go() {
        let mut worker = worker(2);
        let flow = up("192.0.2.1:1000", "10.0.0.7", "198.51.100.2:2000");
        assert!(worker.install(&flow));
        assert_eq!(*worker.engine.flows.lock().unwrap(), [complete_key(&flow.key)]);
        assert_eq!(worker.remove(&flow.key), Some(Traffic { packets: 3, bytes: 500 }));
        assert_eq!(worker.remove(&flow.key), None);
        assert!(worker.engine.flows.lock().unwrap().is_empty());
        assert_eq!(worker.refusals.total(), 0);
    }

    #[test]
    fn flows_beyond_the_room_are_counted() {
        let mut worker = worker(1);
        for port in 1000..1005 {
            worker.install(&up(&format!("192.0.2.1:{port}"), "10.0.0.7", "198.51.100.2:2000"));
        }
        assert_eq!(worker.refusals.total(), 4);
        assert_eq!(worker.engine.flows.lock().unwrap().len(), 1);
    }

    #[test]
    fn flows_that_no_data_path_could_take_are_not_counted_as_refused() {
        let mut worker = worker(2);
        worker.install(&up("192.0.2.1:1000", "10.0.0.7", "224.0.0.1:2000"));
        worker.install(&up("192.0.2.1:1000", "10.0.0.7", "10.0.0.7:2000"));
        assert!(worker.engine.flows.lock().unwrap().is_empty());
        assert_eq!(worker.refusals.total(), 0);
    }
}
