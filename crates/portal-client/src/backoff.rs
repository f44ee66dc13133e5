use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const FIRST: f64 = 0.5;
const FACTOR: f64 = 1.5;
const JITTER: f64 = 0.5;
/// The longest wait in seconds, jitter included. Without jitter, waits grow to 40 s, so that the relays of a fleet spread over 20 s to
/// 60 s instead of bunching at the maximum.
const MAX: f64 = 60.0;

/// Waits between attempts to connect: first none, then 0.5 s, then half as long again each time. Jitter makes each wait up to 50 %
/// shorter or longer. No wait is longer than 60 s.
#[derive(Debug)]
pub(crate) struct Backoff {
    rng: ChaCha8Rng,
    attempts: i32,
}

impl Backoff {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { rng: ChaCha8Rng::from_seed(seed), attempts: 0 }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let Some(exponent) = self.attempts.checked_sub(1).filter(|exponent| *exponent >= 0) else {
            self.attempts = 1;
            return Duration::ZERO;
        };
        self.attempts = self.attempts.saturating_add(1);
        let base = (FIRST * FACTOR.powi(exponent)).min(MAX / (1.0 + JITTER));
        Duration::from_secs_f64(base * self.rng.random_range(1.0 - JITTER..=1.0 + JITTER))
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn the_first_retry_is_at_once_and_the_rest_grow_by_half() {
        let mut backoff = Backoff::new([7; 32]);
        assert_eq!(backoff.next(), Duration::ZERO);
        let mut base = 0.5;
        for _ in 0..10 {
            let wait = backoff.next().as_secs_f64();
            assert!((base * 0.5..=base * 1.5).contains(&wait), "{wait} is more than 50 % away from {base}");
            base *= 1.5;
        }
    }

    #[test]
    fn no_wait_is_longer_than_a_minute_and_late_ones_differ() {
        let mut backoff = Backoff::new([8; 32]);
        let late: Vec<_> = (0..10_000).map(|_| backoff.next()).skip(20).collect();
        assert!(late.iter().all(|wait| (Duration::from_secs(20)..=Duration::from_secs(60)).contains(wait)));
        assert!(late.iter().any(|wait| *wait < Duration::from_secs(22)));
        assert!(late.iter().any(|wait| *wait > Duration::from_secs(58)));
    }

    #[test]
    fn it_repeats_with_its_seed_and_starts_over() {
        let waits = |seed: u8| {
            let mut backoff = Backoff::new([seed; 32]);
            (0..20).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));

        let mut backoff = Backoff::new([1; 32]);
        backoff.next();
        assert_ne!(backoff.next(), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(), Duration::ZERO);
    }

    #[test]
    fn it_does_not_overflow() {
        let mut backoff = Backoff::new([1; 32]);
        backoff.attempts = i32::MAX - 1;
        for _ in 0..4 {
            assert!(backoff.next() <= Duration::from_secs(60));
        }
    }
}
