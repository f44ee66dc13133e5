//! Limits the rate of log lines.

use std::time::Duration;

use relay_server::Timestamp;

/// Lets one occurrence pass per interval and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    next: Timestamp,
    suppressed: u64,
}

impl Throttle {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, next: Timestamp::ZERO, suppressed: 0 }
    }

    /// Returns how many occurrences there were since the last one that passed, this one included; `None` if this one should not
    /// pass.
    pub(crate) fn pass(&mut self, now: Timestamp) -> Option<u64> {
        self.suppressed += 1;
        if now < self.next {
            return None;
        }
        self.next = now + self.interval;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_per_interval() {
        let mut throttle = Throttle::new(Duration::from_secs(10));
        assert_eq!(throttle.pass(Timestamp::ZERO), Some(1));
        assert_eq!(throttle.pass(Timestamp::from_secs(9)), None);
        assert_eq!(throttle.pass(Timestamp::from_secs(9)), None);
        assert_eq!(throttle.pass(Timestamp::from_secs(10)), Some(3));
        assert_eq!(throttle.pass(Timestamp::from_secs(20)), Some(1));
    }
}
