//! Whether the relay lives and may be sent clients, as orchestrators ask.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{Method, StatusCode};
use relay_server::Timestamp;

use crate::{
    drain::Phase,
    operations::{Answer, Ask, text},
    portal::PortalState,
    telemetry::{self, Observer},
};

/// How long a worker may be without a sign of life before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// A worker's sign of life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// How often a worker that turns gives one.
    pub(crate) const EVERY: Duration = Duration::from_secs(1);

    /// The worker turns at `now`.
    pub(crate) fn beat(&self, now: Timestamp) {
        // Zero is for those that never did.
        self.0.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// For how long the worker has given no sign; `None` before its first.
    fn silence(&self, now: Timestamp) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed);
        (last != 0).then(|| Duration::from_nanos(now.as_nanos().saturating_sub(last)))
    }

    /// Whether the worker, which had begun, turns no more.
    pub(crate) fn is_stuck(&self, now: Timestamp) -> bool {
        self.silence(now).is_some_and(|silence| silence > STUCK_AFTER)
    }
}

/// Why the relay must not be sent clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    Starting,
    PortalUnreachable,
    Draining,
    Stuck,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "the relay does not serve yet",
            Self::PortalUnreachable => "the portal is out of reach; relaying goes on",
            Self::Draining => "the relay takes no new allocations because it is about to stop",
            Self::Stuck => "a worker is stuck",
        })
    }
}

/// Whether the relay may be sent clients.
pub(crate) fn readiness(phase: Phase, portal: Option<PortalState>, stuck: usize) -> Result<(), NotReady> {
    match (phase, portal) {
        (Phase::Draining | Phase::Stopping, _) => Err(NotReady::Draining),
        (Phase::Starting, _) | (_, Some(PortalState::Registering)) => Err(NotReady::Starting),
        (Phase::Serving, Some(PortalState::Partitioned)) => Err(NotReady::PortalUnreachable),
        (Phase::Serving, _) if stuck > 0 => Err(NotReady::Stuck),
        (Phase::Serving, _) => Ok(()),
    }
}

/// Answers a request to the health listener.
pub(crate) fn answer(observer: &Observer, ask: &Ask<'_>) -> Answer {
    match (ask.method, ask.path) {
        (&Method::GET | &Method::HEAD, "/healthz") => liveness(observer),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let stuck = observer.stuck_workers().count();
            match readiness(observer.phase(), observer.portal(), stuck) {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
            }
        }
        (&Method::GET | &Method::HEAD, "/metrics") => telemetry::prometheus::answer(&observer.snapshot()),
        (_, "/healthz" | "/readyz" | "/metrics") => text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    }
}

fn liveness(observer: &Observer) -> Answer {
    let mut stuck = String::new();
    for worker in observer.stuck_workers() {
        // Writing to a string does not fail.
        let _ = writeln!(stuck, "worker {worker} has given no sign of life for {} s", STUCK_AFTER.as_secs());
    }
    if stuck.is_empty() { text(StatusCode::OK, "alive\n") } else { text(StatusCode::SERVICE_UNAVAILABLE, stuck) }
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
        // Threads may read their clocks in any order.
        assert!(!pulse.is_stuck(start));
    }

    #[test]
    fn a_relay_is_ready_while_it_serves_and_the_portal_knows_it() {
        use PortalState::{Partitioned, Registered, Registering};
        for (phase, portal, stuck, expected) in [
            (Phase::Starting, None, 0, Err(NotReady::Starting)),
            (Phase::Starting, Some(Registered), 0, Err(NotReady::Starting)),
            (Phase::Serving, None, 0, Ok(())),
            (Phase::Serving, Some(Registered), 0, Ok(())),
            (Phase::Serving, Some(Registering), 0, Err(NotReady::Starting)),
            (Phase::Serving, Some(Partitioned), 0, Err(NotReady::PortalUnreachable)),
            (Phase::Serving, None, 1, Err(NotReady::Stuck)),
            (Phase::Draining, Some(Registered), 0, Err(NotReady::Draining)),
            (Phase::Draining, None, 0, Err(NotReady::Draining)),
            (Phase::Stopping, None, 0, Err(NotReady::Draining)),
        ] {
            assert_eq!(readiness(phase, portal, stuck), expected, "{phase:?} {portal:?} {stuck}");
        }
    }
}
