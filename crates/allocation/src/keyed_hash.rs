use std::{
    fmt,
    hash::{Hash, Hasher},
};

use foldhash::{SharedSeed, fast::FoldHasher};
use rand::RngCore;

/// Hashes with keys drawn from the caller's generator: unpredictable to strangers, and the same in every run with the same
/// seed.
///
/// foldhash, since it is as fast as can be on the short keys of the data path and takes its seeds as arguments. It does not
/// withstand somebody who reads hashes or the order of a table; neither ever leaves this crate, and only authenticated
/// clients put keys into tables.
pub(crate) struct KeyedHash {
    seed: u64,
    shared: SharedSeed,
}

impl KeyedHash {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { seed: rng.next_u64(), shared: SharedSeed::from_u64(rng.next_u64()) }
    }

    pub(crate) fn hash(&self, key: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        key.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHash").finish_non_exhaustive()
    }
}
