//! The one place that asks the system what time it is.

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

/// Time since this was first asked for.
pub(crate) fn now() -> Duration {
    let origin = *ORIGIN;
    instant().saturating_duration_since(origin)
}

/// In nanoseconds, as payloads carry it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
