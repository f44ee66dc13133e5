use std::collections::BTreeSet;

use crate::{AllocationId, AllocationPort, ChannelNumber, ReservationToken, Timestamp};

/// What a timer is for. With equal deadlines, keys are in the order of this list, so that an allocation expires, and takes its
/// channels with it, before they expire by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// An allocation's lifetime ends, in one of its families or in all.
    Allocation(AllocationId),
    /// A permission ends: the one in this position.
    Permission(AllocationId, u16),
    /// A channel binding lapses.
    ChannelExpires(AllocationId, ChannelNumber),
    /// The number and peer of a lapsed channel become free.
    ChannelReusable(AllocationId, ChannelNumber),
    /// A reservation ends.
    Reservation(ReservationToken),
    /// The quarantine of a port ends: it may be drawn again.
    Quarantine(AllocationPort),
    /// A timer of the caller's.
    Wait(u64),
}

/// All armed timers, ordered by time.
///
/// Each owner stores the deadline that it has armed and disarms exactly that one, so that no stale timer stays behind.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Timestamp, TimerKey)>,
    /// The first deadline in `queue`, so that reading it is O(1).
    next: Option<Timestamp>,
}

impl Timers {
    /// The earliest deadline.
    pub(crate) const fn next(&self) -> Option<Timestamp> {
        self.next
    }

    pub(crate) fn arm(&mut self, new: (Timestamp, TimerKey)) {
        self.queue.insert(new);
        if self.next.is_none_or(|next| new.0 < next) {
            self.next = Some(new.0);
        }
    }

    /// Disarms a timer.
    pub(crate) fn disarm(&mut self, armed: (Timestamp, TimerKey)) {
        self.queue.remove(&armed);
        if self.next == Some(armed.0) {
            self.find_next();
        }
    }

    /// Arms `new` instead of `armed`.
    pub(crate) fn rearm(&mut self, armed: (Timestamp, TimerKey), new: (Timestamp, TimerKey)) {
        if armed != new {
            self.queue.remove(&armed);
            self.queue.insert(new);
        }
        if self.next.is_none_or(|next| next == armed.0 || new.0 < next) {
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timestamp, TimerKey)> {
        self.queue.iter().copied()
    }

    fn find_next(&mut self) {
        self.next = self.queue.first().map(|(at, _)| *at);
    }
}
