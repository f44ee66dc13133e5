//! The kernel's tick count, which is the program's clock.

/// The longest time for which a next hop is kept, in milliseconds.
const MILLISECONDS: u64 = 640;

/// The lowest tick rate that Linux is built with on 64-bit machines. If the rate is unknown, this is assumed, since it makes
/// periods shorter and not longer.
const FEWEST_TICKS: u64 = 100;

/// How long the program keeps a next hop, as the binary logarithm of a number of ticks.
pub(super) fn period() -> u16 {
    period_of(ticks_per_second().unwrap_or(FEWEST_TICKS))
}

/// The longest period of at most [`MILLISECONDS`] that is a power of two of ticks, as its binary logarithm.
fn period_of(ticks_per_second: u64) -> u16 {
    let ticks = ticks_per_second.max(FEWEST_TICKS) * MILLISECONDS / 1000;
    u16::try_from(ticks.ilog2()).unwrap_or(0)
}

/// The kernel's `CONFIG_HZ`: the resolution of a coarse clock is one tick.
fn ticks_per_second() -> Option<u64> {
    let mut resolution = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `resolution` is a `timespec` that outlives the call.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut resolution) };
    let nanoseconds = u64::try_from(resolution.tv_nsec).ok()?;
    (result == 0 && resolution.tv_sec == 0).then(|| 1_000_000_000_u64.checked_div(nanoseconds)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_third_to_two_thirds_of_a_second() {
        for (ticks_per_second, milliseconds) in [(100, 640), (250, 512), (300, 426), (1000, 512), (1024, 500)] {
            let ticks = 1 << period_of(ticks_per_second);
            assert_eq!(ticks * 1000 / ticks_per_second, milliseconds, "{ticks_per_second}");
        }
        // An unknown rate gives the shortest period.
        assert_eq!(period_of(0), period_of(FEWEST_TICKS));
    }

    #[test]
    fn this_kernels_ticks_are_known() {
        let ticks = ticks_per_second().unwrap();
        assert!((24..=10_000).contains(&ticks), "{ticks}");
    }
}
