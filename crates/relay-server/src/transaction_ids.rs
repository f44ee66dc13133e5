use rand::RngCore;
use serde::{Deserialize, Serialize};
use stun_msg::TransactionId;

/// Makes the transaction IDs of Data indications: unique, and unpredictable without the seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TransactionIds {
    prefix: [u8; 4],
    key: u64,
    made: u64,
}

impl TransactionIds {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { prefix: rng.next_u32().to_be_bytes(), key: rng.next_u64(), made: 0 }
    }

    pub(crate) fn next(&mut self) -> TransactionId {
        self.made = self.made.wrapping_add(1);
        // SplitMix64's finalizer. It is one-to-one, so different counts give different IDs.
        let mut bits = self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.key);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (self.prefix, bits.to_be_bytes());
        TransactionId([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn no_two_transaction_ids_are_alike_and_a_seed_repeats_them() {
        let ids = |seed| {
            let mut ids = TransactionIds::new(&mut ChaCha20Rng::from_seed([seed; 32]));
            (0..10_000).map(|_| ids.next()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1).iter().collect::<BTreeSet<_>>().len(), 10_000);
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1)[0], ids(2)[0]);
    }
}
