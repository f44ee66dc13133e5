//! Runs one scenario a number of times, for `cargo xtask bench instructions` to count what that takes.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use core_bench::{Relay, SCENARIOS};

/// Enough that look-ups are not all in one place.
const CLIENTS: usize = 100;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for scenario in SCENARIOS {
            println!("{}", scenario.name);
        }
        return Ok(());
    };
    let times: u32 = arguments.next().context("say how many times")?.parse().context("how many times is a number")?;
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
        bail!("there is no scenario `{name}`");
    };
    let mut relay = Relay::with_clients(CLIENTS)?;
    for _ in 0..times {
        (scenario.run)(&mut relay);
    }
    Ok(())
}
