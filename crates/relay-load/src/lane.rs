//! A lane: one direction of a flow, with numbered datagrams.

/// How many numbers are remembered, to tell a duplicate from a late datagram.
const MEMORY: u64 = 128;

/// The numbers that were sent and received on a lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    /// The next number to send.
    pub(crate) next: u64,
    /// The highest received number plus one.
    highest: u64,
    /// Which numbers below `highest` were received.
    seen: u128,
}

/// The kind of a received number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InOrder,
    Late,
    Duplicate,
    /// It was never sent.
    Unsent,
}

impl Lane {
    pub(crate) fn receive(&mut self, sequence: u64) -> Arrival {
        if sequence >= self.next {
            return Arrival::Unsent;
        }
        if sequence >= self.highest {
            let ahead = sequence + 1 - self.highest;
            self.seen = if ahead >= MEMORY { 1 } else { self.seen << ahead | 1 };
            self.highest = sequence + 1;
            return Arrival::InOrder;
        }
        let back = self.highest - 1 - sequence;
        if back >= MEMORY {
            return Arrival::Late;
        }
        let bit = 1 << back;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals() {
        let mut lane = Lane { next: 1_000, ..Lane::default() };
        let script = [
            (0, Arrival::InOrder),
            (0, Arrival::Duplicate),
            (3, Arrival::InOrder),
            (1, Arrival::Late),
            (1, Arrival::Duplicate),
            (2, Arrival::Late),
            (500, Arrival::InOrder),
            (3, Arrival::Late),
            (499, Arrival::Late),
            (500, Arrival::Duplicate),
            (999, Arrival::InOrder),
            (1_000, Arrival::Unsent),
        ];
        for (sequence, expected) in script {
            assert_eq!(lane.receive(sequence), expected, "{sequence}");
        }
    }
}
