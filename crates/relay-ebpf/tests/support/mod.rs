//! Shared code of the rewrite's tests: an independent packet builder, a model of the host, the kernel, and test vectors.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

pub mod cases;
pub mod generate;
pub mod kernel;
pub mod model;
pub mod packet;
pub mod stun;

use relay_ebpf::Reason;

/// The result for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub reason: Reason,
    pub frame: Vec<u8>,
}

/// Runs one build of the rewrite: the host's or the kernel's.
pub trait Runner {
    fn run(&mut self, frame: &[u8]) -> Outcome;
}

/// A small random number generator (SplitMix64), so that a test is a function of its seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The seed from the environment variable, or a fixed one.
pub fn seed() -> u64 {
    std::env::var("RELAY_TESTS_SEED").map_or(0x1e7_e1a7, |seed| seed.parse().unwrap())
}
