//! Simulates the whole relay: the workers' real event loops, drivers, mailboxes and state machines, with a simulated machine,
//! network and clocks that follow from one seed.
//!
//! The same [`Plan`] gives the same run, down to each byte. `faults` and `inject` have the faults, `checks` the invariants.
//! Besides, data that the relay guarantees to clients must pass, and allocations must not end early (`client`, `probes`). `cargo
//! xtask simulate` runs as many seeds as wanted; CI runs the test below.

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

/// The seeds that CI runs.
const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn everything_holds() {
    run::seeds(SEEDS.map(Plan::new));
}

/// Run by `cargo xtask simulate`, which sets the variables for the plans.
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
