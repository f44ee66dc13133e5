use std::time::{SystemTime, UNIX_EPOCH};

use turn_auth::UnixTime;

/// The wall clock, which credentials and the page need.
#[expect(clippy::disallowed_methods, reason = "the one place here that asks the system")]
pub(crate) fn unix_time() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
