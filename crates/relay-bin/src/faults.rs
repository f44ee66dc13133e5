//! Counts failures of single parts of the relay that do not end the rest.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A part of the relay that can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A socket for an allocation could not be opened.
    AllocationSocket,
    /// A connection for health, metrics or control could not be accepted.
    Http,
    /// A file with credentials or rules could not be read again.
    File,
    /// A recording could not be started or continued.
    Recording,
    /// An allocation has no account.
    Accounting,
    /// The collector did not accept metrics.
    Collector,
    /// A worker panicked and was restarted.
    Worker,
}

impl Part {
    /// All parts, in the order of their discriminants.
    pub(crate) const ALL: [Self; 7] = [
        Self::AllocationSocket,
        Self::Http,
        Self::File,
        Self::Recording,
        Self::Accounting,
        Self::Collector,
        Self::Worker,
    ];

    /// The name of the part in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AllocationSocket => "allocation_socket",
            Self::Http => "http",
            Self::File => "file",
            Self::Recording => "recording",
            Self::Accounting => "accounting",
            Self::Collector => "collector",
            Self::Worker => "worker",
        }
    }
}

/// How often each part has failed, for all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<[AtomicU64; Part::ALL.len()]>);

/// The values of [`Faults`] at one time.
pub(crate) type FaultCounts = [(Part, u64); Part::ALL.len()];

impl Faults {
    /// Counts a failure.
    pub(crate) fn note(&self, part: Part) {
        self.0[part as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of failures of each part.
    pub(crate) fn counts(&self) -> FaultCounts {
        Part::ALL.map(|part| (part, self.0[part as usize].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_counter_of_its_own() {
        let faults = Faults::default();
        for (times, part) in (1..).zip(Part::ALL) {
            (0..times).for_each(|_| faults.clone().note(part));
        }
        let counts = faults.counts();
        assert_eq!(counts.map(|(part, _)| part), Part::ALL);
        assert_eq!(counts.map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 7]);
    }
}
