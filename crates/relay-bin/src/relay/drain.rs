//! When a relay that drains may end.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::shard::stats::{self, Published};

/// How often to look whether the last allocation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Every allocation has ended.
    Empty,
    /// This many had not when the time was up.
    TimedOut(u64),
}

/// Waits until every worker has heard of the drain and none has an allocation left, or `limit` has passed.
pub(crate) async fn wait(workers: &[Published], limit: Duration) -> Drained {
    let start = Instant::now();
    // Further away than timers can tell is for ever.
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
