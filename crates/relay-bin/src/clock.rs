//! The clocks of the process. Other code takes the time from here, or waits with tokio's timers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use relay_server::Timestamp;
use turn_auth::UnixTime;

/// The clocks of a shard.
pub(crate) trait TimeSource {
    /// Monotonic time.
    fn now(&self) -> Timestamp;

    /// Wall-clock time.
    fn unix_time(&self) -> UnixTime;
}

impl TimeSource for Clock {
    fn now(&self) -> Timestamp {
        Self::now(*self)
    }

    fn unix_time(&self) -> UnixTime {
        Self::unix_time()
    }
}

/// The process's clock. Copies share an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose [`Timestamp`]s count from now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// A clock that goes on with the [`Timestamp`]s of another process of this machine: see [`Self::origin_nanos`].
    ///
    /// # Errors
    ///
    /// When the kernel has no such clock.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn of_origin(nanos: u64) -> nix::Result<Self> {
        let elapsed = monotonic_nanos()?.saturating_sub(nanos);
        let now = Instant::now();
        Ok(Self { origin: now.checked_sub(Duration::from_nanos(elapsed)).unwrap_or(now) })
    }

    /// What [`Timestamp`]s count from, in nanoseconds of `CLOCK_MONOTONIC`, which all processes of this machine share.
    ///
    /// # Errors
    ///
    /// When the kernel has no such clock.
    pub(crate) fn origin_nanos(self) -> nix::Result<u64> {
        Ok(monotonic_nanos()?.saturating_sub(self.now().as_nanos()))
    }

    /// Monotonic time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn now(self) -> Timestamp {
        let elapsed = Instant::now().saturating_duration_since(self.origin);
        Timestamp::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn unix_time() -> UnixTime {
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// Wall-clock time in nanoseconds since the epoch, as OpenTelemetry needs it.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn unix_nanos() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time at which [`Timestamp`]s begin.
    #[cfg(test)]
    pub(crate) const fn origin(self) -> Instant {
        self.origin
    }
}

fn monotonic_nanos() -> nix::Result<u64> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
