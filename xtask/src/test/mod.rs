//! `cargo xtask test`: everything that CI runs.

mod capabilities;
mod conformance;
mod deploy;
mod features;
mod steps;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use steps::{STEPS, Step};

use crate::setup;

/// Set up this machine, then run every check and test there is, stopping at the first that fails.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this step; may be given several times.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Say which steps there are and stop.
    #[arg(long)]
    list: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:12} {}", step.name, step.what);
        }
        return Ok(());
    }
    if let Some(unknown) = args.only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        bail!("there is no step `{unknown}`; `cargo xtask test --list` lists them");
    }
    let chosen = |step: &&Step| args.only.is_empty() || args.only.iter().any(|name| name == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();

    let started = now();
    let uses: Vec<setup::Use> = steps.iter().flat_map(|step| step.uses.iter().copied()).collect();
    let (optional, required): (Vec<_>, Vec<_>) = uses.into_iter().partition(|one| *one == setup::Use::Clients);
    setup::ensure(&required)?;
    let left_out = setup::ensure_where_possible(&optional)?;

    let mut summary = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        eprintln!("\n==> [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.what);
        let step_started = now();
        let result = (step.run)();
        let took = minutes(step_started.elapsed());
        if let Err(error) = result {
            eprintln!("\n{}", table(&summary));
            eprintln!("FAILED  {:12} {took:>8}  {error:#}", step.name);
            eprintln!("To repeat it: cargo xtask test --only {}", step.name);
            bail!("the step `{}` failed; {} of {} steps passed before it", step.name, index, steps.len());
        }
        eprintln!("==> {} passed in {took}", step.name);
        summary.push((step.name, took));
    }
    eprintln!("\n{}", table(&summary));
    if let Some(left_out) = left_out {
        eprintln!("SKIPPED what needs the clients that this machine lacks: {left_out}");
    }
    eprintln!("All {} steps passed in {}.", steps.len(), minutes(started.elapsed()));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "tells a person how long a step took; nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

fn table(summary: &[(&str, String)]) -> String {
    let lines = summary.iter().map(|(name, took)| format!("passed  {name:12} {took:>8}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}m {:02}s", seconds / 60, seconds % 60)
}
