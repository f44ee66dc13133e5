//! Counts failures of single parts of the relay that do not end the rest.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::names::NamedCounts;

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

/// The name of the counts in [`NamedCounts`].
const FIGURE: &str = "faults";

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

    /// Adds all counts to `counts`, for the next process.
    pub(crate) fn export(&self, counts: &mut NamedCounts) {
        for (part, count) in self.counts() {
            counts.add(FIGURE, part.name(), count);
        }
    }

    /// Adds the counts that the process before this one handed over. Parts that this build does not know are left out.
    pub(crate) fn inherit(&self, counts: &NamedCounts) {
        for part in Part::ALL {
            self.0[part as usize].fetch_add(counts.get(FIGURE, part.name()), Ordering::Relaxed);
        }
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

    #[test]
    fn the_next_process_counts_on() {
        let before = Faults::default();
        for (times, part) in (1..).zip(Part::ALL) {
            (0..times).for_each(|_| before.note(part));
        }
        let mut counts = NamedCounts::default();
        before.export(&mut counts);
        counts.add(FIGURE, "part_of_tomorrow", 8);
        let bytes = postcard::to_allocvec(&counts).unwrap();

        let faults = Faults::default();
        faults.note(Part::Worker);
        faults.inherit(&postcard::from_bytes(&bytes).unwrap());
        assert_eq!(faults.counts().map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 8]);
    }
}
