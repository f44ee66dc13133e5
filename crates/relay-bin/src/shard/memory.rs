//! Returns memory to the system after many allocations have ended. The C library keeps it otherwise.

/// The number of allocations below which the pause of about a millisecond is not worth it.
const WORTH_IT: usize = 1_000;

/// Decides when to return memory, from the number of live allocations.
#[derive(Debug, Default)]
pub(crate) struct Trimmer {
    /// The highest number since memory was last returned.
    peak: usize,
}

impl Trimmer {
    /// Records that `live` allocations exist.
    pub(crate) fn observe(&mut self, live: usize) {
        self.peak = self.peak.max(live);
    }

    /// Whether so many allocations have ended, with `live` left, that memory should be returned. True once for the same peak.
    pub(crate) const fn is_due(&mut self, live: usize) -> bool {
        let worth_it = self.peak >= WORTH_IT && live <= self.peak / 2;
        if worth_it {
            self.peak = live;
        }
        worth_it
    }
}

/// Returns free memory to the system.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim")]
pub(crate) fn trim() {
    // SAFETY: malloc_trim takes a number and touches only free memory, under the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries return memory by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_many_have_ended() {
        let mut trimmer = Trimmer::default();
        let script = [
            (900, false),
            (10, false),
            (10_000, false),
            (6_000, false),
            (5_000, true),
            (4_000, false),
            (2_500, true),
            (1_300, false),
            (1_250, true),
            (0, true),
            (0, false),
        ];
        for (live, expected) in script {
            trimmer.observe(live);
            assert_eq!(trimmer.is_due(live), expected, "{live}");
        }
        trim();
    }
}
