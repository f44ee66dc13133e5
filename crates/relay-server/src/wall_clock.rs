use turn_auth::UnixTime;

use crate::Timestamp;

/// Wall-clock time, which advances with monotonic time between two readings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    read_at: Timestamp,
    unix_time: UnixTime,
}

impl WallClock {
    pub(crate) const fn new(read_at: Timestamp, unix_time: UnixTime) -> Self {
        Self { read_at, unix_time }
    }

    pub(crate) const fn at(&self, now: Timestamp) -> UnixTime {
        let elapsed = now.saturating_duration_since(self.read_at).as_secs();
        UnixTime(self.unix_time.0.saturating_add(elapsed))
    }
}
