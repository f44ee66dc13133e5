//! The XDP program, from loading until the relay ends.

use std::sync::{Arc, PoisonError};

use relay_ebpf::{AttachMode, Counters, NextHop, Reason, XdpProgram};

use super::{
    FlowMeter, Offload, OffloadConfig, OffloadCounters, OffloadStatistics,
    addresses::{LocalAddresses, complete_key},
    auto,
    events::{Events, Relayed},
    next_hops::NextHops,
    table::{Refusals, XdpTable, traffic},
    worker::Worker,
};
use crate::clock::Clock;

/// The loaded program. It stays attached until [`Self::detach`], until this is dropped, or until the process ends in any way.
#[derive(Debug)]
pub(crate) struct Xdp {
    program: Arc<XdpProgram>,
    addresses: LocalAddresses,
    mode: AttachMode,
    refusals: Arc<Refusals>,
    channels_per_allocation: u32,
    relayed: Relayed,
    clock: Clock,
    /// `None` if statistics are off.
    events: Option<Events>,
    /// `None` if the program looks up no routes.
    _next_hops: Option<NextHops>,
}

impl Xdp {
    /// Loads the program and attaches it. Logs the result together with `why`.
    ///
    /// # Errors
    ///
    /// When either fails. The message names cause and remedy.
    pub(super) fn start(config: &OffloadConfig, why: &str) -> anyhow::Result<Self> {
        let OffloadConfig { xdp: config, addresses, channels_per_allocation, .. } = config;
        let mut program = XdpProgram::load(config)?;
        let relayed = Relayed::default();
        let readers = program.take_readers();
        let events = if readers.is_empty() { None } else { Some(Events::start(readers, &relayed)?) };
        program.attach(config)?;
        let (program, clock) = (Arc::new(program), Clock::start());
        let looks_up = config.next_hop == NextHop::RoutingTable;
        let next_hops = looks_up.then(|| NextHops::start(&program, clock)).transpose()?;
        tracing::info!(
            interfaces = config.interfaces.join(","),
            mode = ?config.mode,
            next_hop = ?config.next_hop,
            max_flows = config.max_flows,
            multi_buffer = program.is_multi_buffer(),
            channels_per_allocation,
            statistics = config.statistics,
            v4 = addresses.v4.map(tracing::field::display),
            v6 = addresses.v6.map(tracing::field::display),
            why,
            "offloading to XDP"
        );
        Ok(Self {
            _next_hops: next_hops,
            program,
            addresses: addresses.clone(),
            mode: config.mode,
            refusals: Arc::new(Refusals::new()),
            channels_per_allocation: *channels_per_allocation,
            relayed,
            clock,
            events,
        })
    }

    /// The flow table for a worker.
    pub(crate) fn worker(&self) -> impl Offload + Send + 'static {
        let table = XdpTable {
            program: Arc::clone(&self.program),
            addresses: self.addresses.clone(),
            refusals: Arc::clone(&self.refusals),
            clock: self.clock,
        };
        Worker::new(table, self.channels_per_allocation)
    }

    /// Reads the counters of live flows, for accounting.
    pub(crate) fn flow_meter(&self) -> FlowMeter {
        let program = Arc::clone(&self.program);
        Box::new(move |key| program.forwarded(&complete_key(key)).map(traffic))
    }

    /// Reads the program's counters, for metrics.
    pub(crate) fn statistics(&self) -> Statistics {
        Statistics {
            program: Arc::clone(&self.program),
            mode: self.mode,
            relayed: Arc::clone(&self.relayed),
            refusals: Arc::clone(&self.refusals),
        }
    }

    /// Whether the program counts what it relays.
    pub(crate) const fn is_counted(&self) -> bool {
        self.events.is_some()
    }

    /// Detaches the program from all interfaces. All packets go to user space from now on, and the figures are final.
    pub(crate) fn detach(&self) {
        if let Err(error) = self.program.detach() {
            let error = anyhow::Error::from(error);
            tracing::warn!("cannot detach the XDP program, which ends with this process: {error:#}");
        }
    }
}

/// The counters of the program.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    program: Arc<XdpProgram>,
    mode: AttachMode,
    relayed: Relayed,
    refusals: Arc<Refusals>,
}

impl Statistics {
    /// What was relayed: from the events so far, and from the counters, which also have what no event has reported yet.
    fn relayed(&self) -> Counters {
        let now = self.program.counters();
        let mut relayed = self.relayed.lock().unwrap_or_else(PoisonError::into_inner);
        match now {
            Ok(now) => {
                relayed.record_all(&now);
            }
            Err(error) => tracing::debug!("{:#}", anyhow::Error::from(error)),
        }
        relayed.total()
    }
}

impl OffloadStatistics for Statistics {
    fn read(&mut self) -> OffloadCounters {
        let reasons = self.program.reasons().unwrap_or_else(|error| {
            tracing::debug!("{:#}", anyhow::Error::from(error));
            Vec::new()
        });
        let counted = reasons.into_iter().filter(|(reason, _)| *reason != Reason::NotOurs);
        OffloadCounters {
            mode: Some(auto::name(self.mode)),
            relayed_bytes: self.relayed().bytes,
            packets: counted.map(|(reason, count)| (verdict(reason), reason.name(), count)).collect(),
            flows: u64::try_from(self.program.flows()).unwrap_or(u64::MAX),
            refused_flows: self.refusals.total(),
            flows_over_share: self.refusals.over_share(),
        }
    }
}

/// What becomes of the packets that `reason` is counted for.
pub(super) fn verdict(reason: Reason) -> &'static str {
    match reason {
        Reason::Forwarded => "forwarded",
        reason if reason.is_passed() => "passed",
        _ => "dropped",
    }
}
