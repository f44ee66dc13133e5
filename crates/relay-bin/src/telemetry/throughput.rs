//! Logs the throughput at intervals, unless nothing was relayed.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::observer::Observer;
use crate::shard::stats::Counters;

const EVERY: Duration = Duration::from_secs(10);

/// What was relayed up to some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    packets: u64,
    userspace_bytes: u64,
    ebpf_bytes: u64,
}

impl Totals {
    fn of(counters: &Counters, observer: &Observer) -> Self {
        Self {
            packets: counters.to_peers.packets + counters.to_clients.packets,
            userspace_bytes: counters.to_peers.bytes + counters.to_clients.bytes,
            ebpf_bytes: observer.offload().relayed_bytes,
        }
    }
}

/// Logs the throughput while the future is polled.
pub(crate) async fn log(observer: Arc<Observer>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The process before this one may have handed its counters over.
    let mut last = Totals::of(&observer.counters(), &observer);
    loop {
        ticks.tick().await;
        let counters = observer.counters();
        let now = Totals::of(&counters, &observer);
        if now != last {
            tracing::info!(
                allocations = counters.allocations(),
                channels = counters.channels(),
                packets_per_second = rate(now.packets, last.packets),
                userspace_bits_per_second = 8 * rate(now.userspace_bytes, last.userspace_bytes),
                ebpf_bits_per_second = 8 * rate(now.ebpf_bytes, last.ebpf_bytes),
                "throughput"
            );
        }
        last = now;
    }
}

const fn rate(now: u64, last: u64) -> u64 {
    now.saturating_sub(last) / EVERY.as_secs()
}
