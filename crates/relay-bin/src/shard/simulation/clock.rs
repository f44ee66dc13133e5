//! The relay's clocks. Only the simulation advances them.

use std::{cell::Cell, rc::Rc, time::Instant};

use relay_server::Timestamp;
use turn_auth::UnixTime;

use crate::clock::TimeSource;

/// The clocks of the relay's machine.
#[derive(Clone, Debug)]
pub(super) struct SimulatedClock(Rc<Cell<(Timestamp, UnixTime)>>);

impl SimulatedClock {
    pub(super) fn new(now: Timestamp, unix_time: UnixTime) -> Self {
        Self(Rc::new(Cell::new((now, unix_time))))
    }

    pub(super) fn set(&self, now: Timestamp, unix_time: UnixTime) {
        self.0.set((now, unix_time));
    }
}

impl TimeSource for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.0.get().0
    }

    fn unix_time(&self) -> UnixTime {
        self.0.get().1
    }
}

/// `instant` as a time since `origin`.
pub(super) fn timestamp(instant: Instant, origin: Instant) -> Timestamp {
    let since = instant.saturating_duration_since(origin);
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
