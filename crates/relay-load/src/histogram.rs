//! A histogram, for percentiles of many values in little memory.

use std::time::Duration;

/// Each power of two is divided into this many parts, so values are exact to about 3 %.
const PARTS: usize = 32;
const PART_BITS: u32 = 5;

/// A histogram of times, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; PARTS * 60], total: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[Self::index(nanos)] += 1;
        self.total += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The least value that `percent` of all values do not exceed; `None` if there are no values.
    pub(crate) fn percentile(&self, percent: f64) -> Option<Duration> {
        let mut left = (self.total as f64 * percent / 100.0).ceil().max(1.0);
        for (index, count) in self.counts.iter().enumerate() {
            left -= *count as f64;
            if *count > 0 && left <= 0.0 {
                return Some(Duration::from_nanos(Self::upper(index)));
            }
        }
        None
    }

    fn index(nanos: u64) -> usize {
        let bits = u64::BITS - nanos.leading_zeros();
        let shift = bits.saturating_sub(PART_BITS + 1);
        let part = usize::try_from(nanos >> shift).unwrap_or_default();
        usize::try_from(shift).unwrap_or_default() * PARTS + part
    }

    /// The largest value that is counted at `index`.
    const fn upper(index: usize) -> u64 {
        if index < 2 * PARTS {
            return index as u64;
        }
        let shift = index / PARTS - 1;
        let part = index - shift * PARTS;
        (((part + 1) as u64) << shift) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_closely() {
        for value in [0, 1, 31, 32, 63, 64, 65, 100, 1_000, 123_456, 10_000_000_000, u64::MAX >> 1] {
            let mut histogram = Histogram::default();
            histogram.record(value);
            let got = u64::try_from(histogram.percentile(50.0).unwrap().as_nanos()).unwrap();
            assert!(got >= value && got - value <= value / 30, "{value}: {got}");
        }
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), None);
        for value in 1..=50 {
            histogram.record(value);
        }
        let at = |percent| histogram.percentile(percent).unwrap().as_nanos();
        assert_eq!((at(2.0), at(50.0), at(98.0), at(100.0)), (1, 25, 49, 50));
    }
}
