//! Drives a `Server` beside a reference model (plain lists, linear scans, written after the RFC) and compares after each step.
//!
//! Every run draws another seed; when the test fails it prints the one command that repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cast;
mod ledger;
mod op;
mod pair;
mod reference;
mod route;
#[path = "../support/mod.rs"]
mod support;

use proptest::prelude::*;
use relay_server::{PortRange, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use pair::Pair;
use support::{RELAY_V4, RELAY_V6};

fn username_limit() -> impl Strategy<Value = UsernameLimit> {
    prop_oneof![Just(UsernameLimit::ReplaceOldest), (0_u32..4).prop_map(UsernameLimit::RefuseBeyond)]
}

proptest! {
    #![proptest_config(property_tests::config())]

    #[test]
    fn behaves_as_the_reference_model(
        seed in any::<[u8; 32]>(),
        (lowest, ports) in (50_000_u16..50_002, prop_oneof![0_u16..8, Just(30)]),
        (v4, v6) in prop_oneof![4 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))],
        limit in username_limit(),
        ops in proptest::collection::vec(op::any(), 1..120),
    ) {
        let mut pair = Pair::new(seed, |config| {
            config.ports = PortRange::new(lowest, lowest + ports).unwrap();
            config.relay_addresses.v4 = v4.then_some(RELAY_V4);
            config.relay_addresses.v6 = v6.then_some(RELAY_V6);
            config.username_limit = limit;
        });
        for op in ops {
            pair.step(op);
        }
        pair.finish();
    }
}
