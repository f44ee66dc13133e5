//! The relay path allocates no memory.
#![allow(clippy::unwrap_used, reason = "tests")]

use core_bench::{Relay, SCENARIOS};

/// How many times each scenario allocates memory in one go.
fn allocations(name: &str) -> u64 {
    let mut relay = Relay::with_clients(100).unwrap();
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
    allocation_counter::measure(|| (0..1_000).for_each(|_| (scenario.run)(&mut relay))).count_total
}

#[test]
fn relaying_allocates_nothing() {
    for name in [
        "channel data to the peer",
        "data to the client",
        "send indication to the peer",
        "send indication with fingerprint to the peer",
        "data indication to the client",
        "poll_timeout",
    ] {
        assert_eq!(allocations(name), 0, "{name}");
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocations("binding request") >= 1_000);
}
