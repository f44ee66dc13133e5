//! Wall-clock time between two readings.

use turn_auth::UnixTime;

use crate::Timestamp;

/// In seconds. NTP corrections and delayed readings are smaller.
const JUMP: u64 = 60;

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

    /// When the clock was last read, and the time it showed.
    pub(crate) const fn reading(self) -> (Timestamp, UnixTime) {
        (self.read_at, self.unix_time)
    }

    /// Whether `unix_time` at `now` is far from the expected time: the clock was set, or the machine was suspended.
    pub(crate) const fn has_jumped(&self, now: Timestamp, unix_time: UnixTime) -> bool {
        self.at(now).0.abs_diff(unix_time.0) >= JUMP
    }

    pub(crate) const fn at(&self, now: Timestamp) -> UnixTime {
        let elapsed = now.saturating_duration_since(self.read_at).as_secs();
        UnixTime(self.unix_time.0.saturating_add(elapsed))
    }
}
