//! Drives a `Server` beside a reference model (plain lists, linear scans, written after the RFC) and compares after each step.
//!
//! Every run draws another seed; when the test fails it prints the one command that repeats it.
//! `PROPTEST_CASES=40000 cargo test --package relay-server --test model` looks longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cast;
mod ledger;
mod op;
mod pair;
mod reference;
mod route;
mod shards;
#[path = "../support/mod.rs"]
mod support;

use proptest::prelude::*;
use relay_server::{Limits, PortRange, QuotaBy, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use pair::Pair;
use support::{RELAY_V4, RELAY_V6};

fn username_limit() -> impl Strategy<Value = UsernameLimit> {
    prop_oneof![Just(UsernameLimit::ReplaceOldest), (0_u32..4).prop_map(UsernameLimit::RefuseBeyond)]
}

/// The configuration of a relay: addresses, ports, what one user may hold, and when expiries count.
#[derive(Clone, Copy, Debug)]
struct Setup {
    lowest: u16,
    ports: u16,
    families: (bool, bool),
    limit: UsernameLimit,
    quota_by: QuotaBy,
    bob_is_unlimited: bool,
    strict_expiry: bool,
    indications: bool,
    dont_fragment: bool,
    limits: Limits,
}

/// Mostly more than there are; else few enough that clients run into them.
fn limits() -> impl Strategy<Value = Limits> {
    let few = (0_u16..6, 0_u16..6, 0_u32..12, 0_u32..12).prop_map(
        |(channels_per_allocation, permissions_per_allocation, channels, permissions)| Limits {
            channels_per_allocation,
            permissions_per_allocation,
            channels,
            permissions,
        },
    );
    prop_oneof![2 => Just(Limits::default()), 1 => few]
}

fn setup() -> impl Strategy<Value = Setup> {
    let families = prop_oneof![4 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    let ports = (50_000_u16..50_002, prop_oneof![0_u16..8, Just(30)]);
    (
        ports,
        families,
        username_limit(),
        any::<(bool, bool, bool)>(),
        [prop::bool::weighted(0.8), prop::bool::weighted(0.8)],
        limits(),
    )
        .prop_map(
            |(
                (lowest, ports),
                families,
                limit,
                (by_user_id, bob_is_unlimited, strict_expiry),
                [indications, dont_fragment],
                limits,
            )| Setup {
                lowest,
                ports,
                families,
                limit,
                quota_by: if by_user_id { QuotaBy::UserId } else { QuotaBy::Username },
                bob_is_unlimited,
                strict_expiry,
                indications,
                dont_fragment,
                limits,
            },
        )
}

fn pair(seed: [u8; 32], setup: Setup) -> Pair {
    Pair::new(seed, |config| {
        config.ports = PortRange::new(setup.lowest, setup.lowest + setup.ports).unwrap();
        config.relay_addresses.v4 = setup.families.0.then_some(RELAY_V4);
        config.relay_addresses.v6 = setup.families.1.then_some(RELAY_V6);
        config.username_limit = setup.limit;
        config.quota_by = setup.quota_by;
        config.unlimited_user = setup.bob_is_unlimited.then(|| "bob".into());
        config.strict_expiry = setup.strict_expiry;
        config.indications = setup.indications;
        config.dont_fragment = setup.dont_fragment;
        config.limits = setup.limits;
    })
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn behaves_as_the_reference_model(
        seed in any::<[u8; 32]>(),
        setup in setup(),
        ops in proptest::collection::vec(op::any(), 1..120),
    ) {
        let mut pair = pair(seed, setup);
        for op in ops {
            pair.step(op);
        }
        pair.finish();
    }

    #[test]
    fn is_a_function_of_configuration_seed_and_inputs(
        seed in any::<[u8; 32]>(),
        setup in setup(),
        ops in proptest::collection::vec(op::any(), 1..40),
    ) {
        let outputs = |()| {
            let mut pair = pair(seed, setup);
            pair.record();
            for op in ops.clone() {
                pair.step(op);
            }
            pair.finish();
            pair.recorded()
        };
        prop_assert_eq!(outputs(()), outputs(()));
    }
}
