//! The clock of this program.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

static ORIGIN: LazyLock<Instant> = LazyLock::new(instant);

/// The system's monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The time since the first call.
pub(crate) fn now() -> Duration {
    let origin = *ORIGIN;
    instant().saturating_duration_since(origin)
}

/// `time` in nanoseconds, as in payloads.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
