use std::collections::BTreeSet;

use crate::{AllocationId, AllocationPort, ChannelNumber, Family, ReservationToken, Timestamp};

/// What is due. At the same time, keys come in the order of this list, so that an allocation takes its channels with it
/// before they could lapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// An allocation's lifetime ends in one of its families.
    Allocation(AllocationId, Family),
    /// A channel binding lapses.
    ChannelExpires(AllocationId, ChannelNumber),
    /// The number and peer of a lapsed channel become free.
    ChannelReusable(AllocationId, ChannelNumber),
    /// A reserved port is given up.
    Reservation(ReservationToken),
    /// A port that another program held may be tried again.
    Quarantine(AllocationPort),
}

/// Everything that will be due, ordered by time.
///
/// Each owner stores the deadline that it has armed and disarms exactly that, so that nothing stale stays behind.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Timestamp, TimerKey)>,
    /// The deadline of the first in `queue`, kept apart so that asking for it costs nothing.
    next: Option<Timestamp>,
}

impl Timers {
    /// The earliest deadline.
    pub(crate) const fn next(&self) -> Option<Timestamp> {
        self.next
    }

    pub(crate) fn arm(&mut self, at: Timestamp, key: TimerKey) {
        self.queue.insert((at, key));
        if self.next.is_none_or(|next| at < next) {
            self.next = Some(at);
        }
    }

    pub(crate) fn disarm(&mut self, at: Timestamp, key: TimerKey) {
        self.queue.remove(&(at, key));
        if self.next == Some(at) {
            self.find_next();
        }
    }

    /// Takes the first key that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        if self.next? > now {
            return None;
        }
        let due = self.queue.pop_first();
        self.find_next();
        due.map(|(_, key)| key)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timestamp, TimerKey)> {
        self.queue.iter().copied()
    }

    fn find_next(&mut self) {
        self.next = self.queue.first().map(|(at, _)| *at);
    }
}
