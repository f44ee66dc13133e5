//! Runs one scenario a number of times, for `cargo xtask bench instructions` to count what that takes.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use core_bench::{EXPIRIES, Relay, SCENARIOS};

/// Enough that look-ups are not all in one place.
const CLIENTS: usize = 100;
/// How many there are to whom something happens only once. Always the same, so that what setting up takes does not depend on how many
/// times something happens.
const CLIENTS_TO_EXPIRE: usize = 2_100;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for name in SCENARIOS.iter().map(|scenario| scenario.name).chain(EXPIRIES.iter().map(|expiry| expiry.name)) {
            println!("{name}");
        }
        return Ok(());
    };
    let times: usize = arguments.next().context("say how many times")?.parse().context("how many times is a number")?;
    let (mut relay, run) = if let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) {
        (Relay::with_clients(CLIENTS)?, scenario.run)
    } else if let Some(expiry) = EXPIRIES.iter().find(|expiry| expiry.name == name) {
        if times > CLIENTS_TO_EXPIRE {
            bail!("`{name}` happens at most {CLIENTS_TO_EXPIRE} times, and you ask for {times}");
        }
        (expiry.relay(CLIENTS_TO_EXPIRE)?, expiry.run)
    } else {
        bail!("there is no scenario `{name}`; without arguments, this program lists them");
    };
    for _ in 0..times {
        run(&mut relay);
    }
    Ok(())
}
