//! Drives a `Server` beside a reference model (plain lists, linear scans, written after the RFC) and compares them after each step.
//!
//! Every run draws another seed. A failing test prints the command that repeats it.
//! `PROPTEST_CASES=40000 cargo test --package relay-server --test model` runs more cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cast;
mod ledger;
mod op;
mod pair;
mod reference;
mod route;
mod setup;
mod shards;
#[path = "../support/mod.rs"]
mod support;

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn behaves_as_the_reference_model(
        seed in any::<[u8; 32]>(),
        setup in setup::any(),
        ops in proptest::collection::vec(op::any(), 1..120),
    ) {
        let mut pair = setup.pair(seed);
        for op in ops {
            pair.step(op);
        }
        pair.finish();
    }

    #[test]
    fn is_a_function_of_configuration_seed_and_inputs(
        seed in any::<[u8; 32]>(),
        setup in setup::any(),
        ops in proptest::collection::vec(op::any(), 1..40),
    ) {
        let outputs = |()| {
            let mut pair = setup.pair(seed);
            pair.record();
            for op in ops.clone() {
                pair.step(op);
            }
            pair.finish();
            pair.recorded()
        };
        prop_assert_eq!(outputs(()), outputs(()));
    }

    #[test]
    fn a_restored_server_gives_the_outputs_of_the_original(
        seed in any::<[u8; 32]>(),
        setup in setup::any(),
        ops in proptest::collection::vec(op::any(), 1..40),
    ) {
        let outputs = |restores: bool| {
            let mut pair = setup.pair(seed);
            pair.record();
            for op in ops.clone() {
                pair.step(op);
                if restores {
                    pair.restore();
                }
            }
            pair.finish();
            pair.recorded()
        };
        prop_assert_eq!(outputs(true), outputs(false));
    }
}
