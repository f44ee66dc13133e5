//! Runs one scenario a number of times, for `cargo xtask bench instructions` to count what that takes.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use core_bench::{COMPARISONS, EXPIRIES, Relay, SCENARIOS};

/// Enough that look-ups are not all in one place.
const CLIENTS: usize = 100;
/// How many there are to whom something happens only once. Always the same, so that what setting up takes does not depend on how many
/// times something happens.
const CLIENTS_TO_EXPIRE: usize = 2_100;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => {
            for name in SCENARIOS.iter().map(|scenario| scenario.name).chain(EXPIRIES.iter().map(|expiry| expiry.name))
            {
                println!("{name}");
            }
            Ok(())
        }
        Some("--secrets") => {
            COMPARISONS.iter().for_each(|comparison| println!("{} {}", comparison.name, comparison.len));
            Ok(())
        }
        Some("--secret") => {
            let name = arguments.next().context("say which secret; `--secrets` lists them")?;
            let wrong = number(&mut arguments, "which byte is wrong")?;
            compare(&name, wrong, number(&mut arguments, "how many times")?)
        }
        Some(name) => run(name, number(&mut arguments, "how many times")?),
    }
}

fn number(arguments: &mut impl Iterator<Item = String>, what: &str) -> Result<usize> {
    let text = arguments.next().with_context(|| format!("say {what}"))?;
    text.parse().with_context(|| format!("{what} is a number, and `{text}` is none"))
}

fn run(name: &str, times: usize) -> Result<()> {
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

fn compare(name: &str, wrong: usize, times: usize) -> Result<()> {
    let comparison = COMPARISONS.iter().find(|comparison| comparison.name == name);
    let comparison = comparison.with_context(|| format!("there is no secret `{name}`; `--secrets` lists them"))?;
    if wrong >= comparison.len {
        bail!("{name} has {} bytes, and you ask for number {wrong}", comparison.len);
    }
    let compare = (comparison.prepare)(wrong);
    for _ in 0..times {
        compare();
    }
    Ok(())
}
