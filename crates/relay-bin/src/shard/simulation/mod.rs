//! The whole relay, simulated: the workers' own event loops, drivers, mailboxes and state machines, on a machine, a network and clocks
//! that one seed decides about.
//!
//! A run ([`Plan`]) is repeatable: the same plan gives the same run, down to each byte. What goes wrong is in `faults` and
//! `inject`, what must hold nevertheless in `checks`; besides, data of clients that the relay owes it to must pass, and allocations may not
//! end before their time (`client`, `probes`). `cargo xtask simulate` runs as many seeds as wanted; what CI runs is the test below.

mod checks;
mod client;
mod clock;
mod faults;
mod inject;
mod kernel;
mod links;
mod packet;
mod plan;
mod probes;
mod relay;
mod run;
mod shrink;
mod sockets;
mod world;

use self::{plan::Plan, run::run};

/// What CI runs.
const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn everything_holds() {
    run::seeds(SEEDS.map(Plan::new));
}

/// `cargo xtask simulate`: the variables that it sets say what.
#[test]
#[ignore = "run by `cargo xtask simulate`"]
fn everything_holds_for_many_seeds() {
    run::seeds(run::plans_from_environment());
}

#[test]
fn the_same_plan_gives_the_same_run() {
    let summaries = [0, 0, 1].map(|seed| run(&Plan { steps: 1_000, ..Plan::new(seed) }, false));
    let fingerprints = summaries.map(|outcome| outcome.result.expect("it holds").fingerprint);
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_ne!(fingerprints[0], fingerprints[2]);
}
