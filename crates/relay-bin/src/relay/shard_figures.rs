//! What the shards show of themselves.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::{
    addresses::AddressState,
    clock::Clock,
    faults::Faults,
    names::NamedCounts,
    offload::{self, InheritedStatistics, OffloadReader, Xdp},
    options::Config,
    output::{Losses, Output},
    phase::Phases,
    portal::Portal,
    shard::{Pulse, stats::Published},
    telemetry::Observer,
};

/// The figures that shards publish, and their clock.
pub(super) struct ShardFigures {
    pub(super) clock: Clock,
    pub(super) published: Vec<Published>,
    pub(super) pulses: Vec<Pulse>,
    pub(super) faults: Faults,
    /// What the kernel's data path has done.
    offload: OffloadReader,
    /// The relay's addresses, as last sent to all shards.
    pub(super) addresses: watch::Sender<Arc<AddressState>>,
}

impl ShardFigures {
    pub(super) fn new(config: &Config, clock: Clock) -> Self {
        let workers = config.workers.get();
        Self {
            clock,
            published: std::iter::repeat_with(Published::default).take(workers).collect(),
            pulses: std::iter::repeat_with(Pulse::default).take(workers).collect(),
            faults: Faults::default(),
            offload: Arc::new(Mutex::new(Box::new(offload::NoOffload))),
            addresses: watch::Sender::new(Arc::new(config.addresses.clone())),
        }
    }

    /// From now on the figures of `xdp` are shown, added to those of another process's data path.
    pub(super) fn read_offload(&self, xdp: &Xdp, inherited: &NamedCounts) {
        let statistics = InheritedStatistics::new(inherited, Box::new(xdp.statistics()));
        *self.offload.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(statistics);
    }

    pub(super) fn observer(
        &self,
        phases: &Phases,
        portal: Option<&Portal>,
        xdp: Option<&Xdp>,
        output: &Output,
    ) -> Observer {
        if let Some(xdp) = xdp {
            self.read_offload(xdp, &NamedCounts::default());
        }
        Observer {
            clock: self.clock,
            start_unix_nanos: Clock::unix_nanos(),
            published: self.published.clone(),
            pulses: self.pulses.clone(),
            phase: phases.watch(),
            portal: portal.map(Portal::state),
            addresses: self.addresses.subscribe(),
            offload: Arc::clone(&self.offload),
            log: Arc::clone(&output.stderr),
            inherited_log_losses: Losses::default(),
            faults: self.faults.clone(),
        }
    }
}
