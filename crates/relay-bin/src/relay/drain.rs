//! Waits until a draining relay has no allocations.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::shard::stats::{self, Published};

/// How often to check whether the last allocation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Every allocation has ended.
    Empty,
    /// This many allocations were left at the time limit.
    TimedOut(u64),
}

/// Waits until all workers drain and no allocation is left, or until `limit` has passed.
pub(crate) async fn wait(workers: &[Published], limit: Duration) -> Drained {
    let start = Instant::now();
    // None if it is too far away for a timer: then there is no limit.
    let due = start.checked_add(limit);
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let counters = stats::fold(workers);
        let all_know = counters.draining >= u64::try_from(workers.len()).unwrap_or(u64::MAX);
        if all_know && counters.allocations() == 0 {
            return Drained::Empty;
        }
        if due.is_some_and(|due| Instant::now() >= due) {
            return Drained::TimedOut(counters.allocations());
        }
    }
}
