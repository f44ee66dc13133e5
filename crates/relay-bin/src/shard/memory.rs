//! Gives memory back to the system after many allocations have ended: by itself the C library keeps it for later.

/// Below that it is not worth the pause of a millisecond or so.
const WORTH_IT: usize = 1_000;

/// Watches how many allocations are live.
#[derive(Debug, Default)]
pub(crate) struct Trimmer {
    /// The most since memory was given back.
    peak: usize,
}

impl Trimmer {
    /// Takes how many are `live` now.
    pub(crate) fn observe(&mut self, live: usize) {
        self.peak = self.peak.max(live);
    }

    /// Whether so many have ended that memory should be given back, and `live` are left; once for as many.
    pub(crate) const fn is_due(&mut self, live: usize) -> bool {
        let worth_it = self.peak >= WORTH_IT && live <= self.peak / 2;
        if worth_it {
            self.peak = live;
        }
        worth_it
    }
}

/// Gives back what is free.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim")]
pub(crate) fn trim() {
    // SAFETY: it takes a number and touches only memory that is not in use; it takes the locks that it needs.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back by themselves.
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
