//! A worker's sign of life, by which other threads see that it is not stuck.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use relay_server::Timestamp;

/// How long a worker may give no sign of life before it counts as stuck.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// A worker's sign of life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// How often a worker gives a sign of life.
    pub(crate) const EVERY: Duration = Duration::from_secs(1);

    /// Gives a sign of life at `now`.
    pub(crate) fn beat(&self, now: Timestamp) {
        // Zero means that there was none yet.
        self.0.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// The time since the last sign of life; `None` before the first.
    fn silence(&self, now: Timestamp) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed);
        (last != 0).then(|| Duration::from_nanos(now.as_nanos().saturating_sub(last)))
    }

    /// Whether the worker has given a sign of life, but not within [`STUCK_AFTER`].
    pub(crate) fn is_stuck(&self, now: Timestamp) -> bool {
        self.silence(now).is_some_and(|silence| silence > STUCK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stops_turning_is_stuck() {
        let pulse = Pulse::default();
        let start = Timestamp::from_secs(100);
        assert!(!pulse.is_stuck(start), "it has not begun");
        pulse.beat(start);
        assert!(!pulse.is_stuck(start + STUCK_AFTER));
        assert!(pulse.is_stuck(start + STUCK_AFTER + Duration::from_nanos(1)));
        pulse.beat(start + STUCK_AFTER * 2);
        assert!(!pulse.is_stuck(start + STUCK_AFTER * 2));
        // Threads may read their clocks in any order, so the sign may be later than `now`.
        assert!(!pulse.is_stuck(start));
    }
}
