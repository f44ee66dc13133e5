//! How the property tests of this workspace run, and how a failing one is repeated.
//!
//! ```
//! use proptest::prelude::*;
//!
//! proptest! {
//!     #![proptest_config(test_support::property::config())]
//!
//!     // `#[test]` goes here.
//!     fn addition_commutes(a: u16, b: u16) {
//!         prop_assert_eq!(u32::from(a) + u32::from(b), u32::from(b) + u32::from(a));
//!     }
//! }
//! # addition_commutes();
//! ```

use std::hash::{BuildHasher, RandomState};

use proptest::test_runner::{Config, RngSeed};

/// What to give to `#![proptest_config(..)]`.
///
/// Each run of a test draws another seed and says so; the test harness shows that line when the test fails. The variables
/// `PROPTEST_RNG_SEED` and `PROPTEST_CASES` set seed and number of cases. On wasm32, which has neither randomness nor variables nor files,
/// the seed is always the same, and there are fewer cases.
#[must_use]
pub fn config() -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if cfg!(target_arch = "wasm32") {
        config.cases = config.cases.min(64);
        config.rng_seed = RngSeed::Fixed(0);
    } else if config.rng_seed == RngSeed::Random {
        let seed = RandomState::new().hash_one(0);
        eprintln!("{}", command(seed, config.cases));
        config.rng_seed = RngSeed::Fixed(seed);
    }
    config
}

/// What repeats the test that this thread runs: cargo says which package it is, and the harness names the thread after the test.
fn command(seed: u64, cases: u32) -> String {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "PACKAGE".to_owned());
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or("TEST");
    format!(
        "to repeat this run: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --package {package} -- --exact {test}"
    )
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn draw(config: &Config) -> Vec<u64> {
        let mut runner = TestRunner::new(config.clone());
        (0..8).map(|_| any::<u64>().new_tree(&mut runner).unwrap().current()).collect()
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn the_command_names_package_and_test() {
        let command = command(7, 300);
        let expected = "PROPTEST_RNG_SEED=7 PROPTEST_CASES=300 cargo test --package test-support -- --exact \
                        property::tests::the_command_names_package_and_test";
        assert!(command.ends_with(expected), "{command}");
    }

    #[test]
    fn a_seed_repeats_a_run() {
        let config = config();
        assert!(matches!(config.rng_seed, RngSeed::Fixed(_)));
        assert_eq!(draw(&config), draw(&config));
    }
}
