//! The seed of all random choices.

use std::fmt;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

/// 256 bits from which ports, reservation tokens and a drawn secret follow. Anyone who knows them can compute all of these, so
/// `Debug` does not show them.
#[derive(Clone)]
pub(crate) struct Seed([u8; 32]);

/// The purpose of a random choice. The choices for one purpose reveal nothing about those for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Secret = 0,
    Workers = 1,
    Portal = 2,
    Nonces = 3,
    Selector = 4,
}

impl Seed {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fixed seed, for repeatable tests.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(draw(&mut ChaCha20Rng::seed_from_u64(number)))
    }

    /// An endless sequence of seeds for `purpose`.
    pub(crate) fn derive(&self, purpose: Purpose) -> impl Iterator<Item = [u8; 32]> + use<> {
        let mut rng = ChaCha20Rng::from_seed(self.0);
        rng.set_stream(purpose as u64);
        std::iter::repeat_with(move || draw(&mut rng))
    }

    /// The first of [`Self::derive`].
    pub(crate) fn derive_one(&self, purpose: Purpose) -> [u8; 32] {
        let mut rng = ChaCha20Rng::from_seed(self.0);
        rng.set_stream(purpose as u64);
        draw(&mut rng)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

fn draw(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_get_different_seeds() {
        let seed = Seed::from_number(42);
        let mut derived: Vec<_> =
            [Purpose::Secret, Purpose::Workers, Purpose::Portal, Purpose::Nonces, Purpose::Selector]
                .into_iter()
                .flat_map(|purpose| seed.derive(purpose).take(3))
                .collect();
        derived.sort_unstable();
        derived.dedup();
        assert_eq!(derived.len(), 15);
        assert_eq!(seed.derive(Purpose::Workers).next(), Some(seed.derive_one(Purpose::Workers)));
    }

    #[test]
    fn is_not_shown() {
        assert_eq!(format!("{:?}", Seed::new([1; 32])), "Seed(..)");
    }
}
