//! The stages of a relay's life, and when it may end.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, interval},
};

use crate::stats::{self, Published};

/// How often to look whether the last allocation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the relay is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Serving,
    /// It serves the allocations that it has and takes no new ones.
    Draining,
    /// It ends.
    Stopping,
}

/// Tells everybody the phase, which only ever advances.
#[derive(Clone, Debug)]
pub(crate) struct Phases(watch::Sender<Phase>);

impl Phases {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let advances = *phase < to;
            if advances {
                *phase = to;
            }
            advances
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }
}

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
