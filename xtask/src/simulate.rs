//! `cargo xtask simulate`: the whole relay on a simulated machine and network, with everything that can go wrong.

use anyhow::Result;

use crate::{
    command::{self, cargo},
    setup::{self, Use},
};

/// The test that does it; the variables below tell it what.
const TEST: &str = "shard::simulation::everything_holds_for_many_seeds";

/// Simulate the relay, its clients and its peers while much goes wrong, and check after each step what must hold. A seed that fails is
/// made smaller and told of, with the command that repeats it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run, one after the other [default: 1,000, or 1 with --seed]
    #[arg(long, value_name = "NUMBER")]
    seeds: Option<u64>,
    /// The first seed [default: drawn at random]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many things happen in each run before everything is left to end [default: 4,000]
    #[arg(long, value_name = "NUMBER")]
    steps: Option<u64>,
    /// How many clients there are at most [default: 9]
    #[arg(long, value_name = "NUMBER")]
    clients: Option<u64>,
    /// Which kinds of faults may happen, with commas between them; an unknown one has the known ones listed [default: all]
    #[arg(long, value_name = "KINDS")]
    faults: Option<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Test])?;
    let mut cargo = cargo();
    // Optimized, with all checks of the arithmetic.
    cargo.args(["test", "--profile", "simulation", "--package", "relay-bin", "--bin", "firezone-relay"]);
    cargo.args(["--", "--ignored", "--nocapture", "--exact", TEST]);
    let seed = args.seed.unwrap_or_else(drawn);
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 1_000 });
    let variables = [("SEED", Some(seed)), ("SEEDS", Some(seeds)), ("STEPS", args.steps), ("CLIENTS", args.clients)];
    for (name, value) in variables {
        if let Some(value) = value {
            cargo.env(format!("SIMULATE_{name}"), value.to_string());
        }
    }
    if let Some(faults) = &args.faults {
        cargo.env("SIMULATE_FAULTS", faults);
    }
    command::run(&mut cargo)
}

/// A seed that nobody has run yet, most likely, and that a person can read out.
fn drawn() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % 1_000_000_000
}
