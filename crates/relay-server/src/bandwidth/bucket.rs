use std::{cell::Cell, num::NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

const NANOS: u64 = 1_000_000_000;

/// A token bucket. It stores how many billionths of a token are missing, so that no rate loses fractions and a new bucket is full.
/// The fields are cells because the data path's look-ups return shared references.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bucket {
    missing: Cell<u64>,
    at: Cell<Timestamp>,
}

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filling {
    /// Tokens per second.
    pub(super) rate: NonZeroU64,
    /// Tokens in a full bucket.
    pub(super) burst: u64,
}

impl Bucket {
    /// Whether it holds `tokens`.
    pub(super) fn has(&self, now: Timestamp, filling: Filling, tokens: u64) -> bool {
        let missing = self.missing(now, filling);
        missing.saturating_add(tokens.saturating_mul(NANOS)) <= filling.burst.saturating_mul(NANOS)
    }

    /// Takes `tokens`, whether or not it holds them.
    pub(super) fn take(&self, now: Timestamp, filling: Filling, tokens: u64) {
        self.missing.set(self.missing(now, filling).saturating_add(tokens.saturating_mul(NANOS)));
        self.at.set(now);
    }

    fn missing(&self, now: Timestamp, filling: Filling) -> u64 {
        let elapsed = now.as_nanos().saturating_sub(self.at.get().as_nanos());
        self.missing.get().saturating_sub(elapsed.saturating_mul(filling.rate.get()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn filling(rate: u64, burst: u64) -> Filling {
        Filling { rate: NonZeroU64::new(rate).unwrap(), burst }
    }

    fn take(bucket: &Bucket, now: Timestamp, filling: Filling, tokens: u64) -> bool {
        let has = bucket.has(now, filling, tokens);
        if has {
            bucket.take(now, filling, tokens);
        }
        has
    }

    #[test]
    fn a_bucket_is_full_at_first_and_fills_at_its_rate() {
        let (bucket, filling) = (Bucket::default(), filling(3, 2));
        let at = Timestamp::from_nanos;
        let start = 1_000 * NANOS;
        assert_eq!([1, 1, 1].map(|tokens| take(&bucket, at(start), filling, tokens)), [true, true, false]);
        // A third of a second later, to the nanosecond.
        assert!(!take(&bucket, at(start + NANOS / 3), filling, 1));
        assert!(take(&bucket, at(start + NANOS / 3 + 1), filling, 1));
        assert!(!take(&bucket, at(start + 2 * NANOS / 3), filling, 1));
        assert!(take(&bucket, at(start + 60 * NANOS), filling, 2));
        assert!(!take(&bucket, at(start + 60 * NANOS), filling, 1), "it holds no more");
        assert!(!take(&bucket, at(start + 61 * NANOS), filling, 3), "nor takes more at once");
    }

    #[test]
    fn the_fastest_that_an_option_can_say_overflows_nothing() {
        let (bucket, fastest) = (Bucket::default(), filling(12_500_000_000, 12_500_000_000));
        assert!(take(&bucket, Timestamp::ZERO, fastest, 12_500_000_000));
        assert!(!take(&bucket, Timestamp::from_nanos(NANOS / 2), fastest, 6_250_000_001));
        assert!(take(&bucket, Timestamp::from_nanos(NANOS / 2), fastest, 6_250_000_000));
        assert!(take(&bucket, Timestamp::MAX, fastest, 12_500_000_000));
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        /// In any time span, the bucket admits at most a full bucket plus the refill, and it refuses only what would exceed that.
        #[test]
        fn admits_what_the_rate_says_and_not_less(
            rate in 1_u64..100_000,
            burst in 1_u64..10_000,
            steps in prop::collection::vec((0_u64..2 * NANOS, 0_u64..5_000), 1..100),
        ) {
            let (bucket, filling) = (Bucket::default(), filling(rate, burst));
            let (mut now, mut admitted) = (0, Vec::<(u64, u64)>::new());
            for (wait, tokens) in steps {
                now += wait;
                // Whether the tokens fit into every time span that began with an admission.
                let fits = |tokens: u64| {
                    let mut sum = u128::from(tokens) * u128::from(NANOS);
                    let mut fits = sum <= u128::from(burst) * u128::from(NANOS);
                    for (at, tokens) in admitted.iter().rev() {
                        sum += u128::from(*tokens) * u128::from(NANOS);
                        let room = u128::from(burst) * u128::from(NANOS) + u128::from(now - at) * u128::from(rate);
                        fits &= sum <= room;
                    }
                    fits
                };
                let expected = fits(tokens);
                prop_assert_eq!(take(&bucket, Timestamp::from_nanos(now), filling, tokens), expected);
                if expected {
                    admitted.push((now, tokens));
                }
            }
        }
    }
}
