//! Access to everything that the running relay publishes, and snapshots of it.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use tokio::sync::watch;

use crate::{
    addresses::{AddressState, AddressWatch},
    clock::Clock,
    faults::{FaultCounts, Faults},
    offload::{OffloadCounters, OffloadReader},
    output::{Losses, Stream},
    phase::Phase,
    portal::PortalState,
    shard::{
        Pulse,
        stats::{self, Counters, Published},
    },
};

/// Reads everything that the running relay publishes.
pub(crate) struct Observer {
    pub(crate) clock: Clock,
    /// When the counters were zero, in nanoseconds since the epoch.
    pub(crate) start_unix_nanos: u64,
    pub(crate) published: Vec<Published>,
    pub(crate) pulses: Vec<Pulse>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) portal: Option<watch::Receiver<PortalState>>,
    pub(crate) addresses: AddressWatch,
    pub(crate) offload: OffloadReader,
    /// The stream of the log, whose losses are counted.
    pub(crate) log: Arc<Stream>,
    /// Lines of the log that the processes before this one have lost.
    pub(crate) inherited_log_losses: Losses,
    pub(crate) faults: Faults,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// The relay's figures at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(super) start_unix_nanos: u64,
    pub(super) unix_nanos: u64,
    pub(super) counters: Counters,
    pub(super) offload: OffloadCounters,
    pub(super) phase: Phase,
    pub(super) portal: Option<PortalState>,
    pub(super) addresses: Arc<AddressState>,
    pub(super) workers: u64,
    pub(super) stuck_workers: u64,
    pub(super) log_losses: Losses,
    pub(super) faults: FaultCounts,
}

impl Observer {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The state of the registration with the portal, if there is one.
    pub(crate) fn portal(&self) -> Option<PortalState> {
        self.portal.as_ref().map(|state| *state.borrow())
    }

    /// The relay's current addresses.
    pub(crate) fn addresses(&self) -> Arc<AddressState> {
        Arc::clone(&self.addresses.borrow())
    }

    /// The numbers of stuck workers.
    pub(crate) fn stuck_workers(&self) -> impl Iterator<Item = usize> {
        let now = self.clock.now();
        self.pulses.iter().enumerate().filter(move |(_, pulse)| pulse.is_stuck(now)).map(|(worker, _)| worker)
    }

    pub(crate) fn counters(&self) -> Counters {
        stats::fold(&self.published)
    }

    pub(crate) fn offload(&self) -> OffloadCounters {
        self.offload.lock().unwrap_or_else(PoisonError::into_inner).read()
    }

    pub(crate) fn log_losses(&self) -> Losses {
        self.inherited_log_losses + self.log.losses()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Snapshot {
            start_unix_nanos: self.start_unix_nanos,
            unix_nanos: Clock::unix_nanos(),
            counters: self.counters(),
            offload: self.offload(),
            phase: self.phase(),
            portal: self.portal(),
            addresses: self.addresses(),
            workers: count(self.pulses.len()),
            stuck_workers: count(self.stuck_workers().count()),
            log_losses: self.log_losses(),
            faults: self.faults.counts(),
        }
    }
}
