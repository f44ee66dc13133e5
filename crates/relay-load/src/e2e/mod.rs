//! `relay-load e2e`: our relay, coturn and a bare forwarder under the same load, in turns.

mod allocations;
mod flood;
mod indications;
mod loss_free;
mod relaying;
mod servers;
mod table;
mod workers;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use self::{servers::Starter, table::Results};
use crate::process;

/// Compare the relay with coturn and a bare forwarder, under the same load, in alternating slices.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The relay's binary.
    #[arg(long)]
    relay: PathBuf,
    /// coturn's binary [default: not compared]
    #[arg(long)]
    coturn: Option<PathBuf>,
    /// Another build of the relay, whose ChannelData is compared with this one's beside indications [default: not compared]
    #[arg(long)]
    other: Option<PathBuf>,
    /// How many threads each server relays with.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How long a slice is, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many slices each server gets in each case; and at most how many of the three searches for the highest loss-free rate,
    /// and of the three rounds of opening and closing allocations. Figures are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many allocations are open at a time in the cases that need many.
    #[arg(long, default_value_t = 10_000)]
    allocations: usize,
    /// Only cases whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// Where to write the results as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the servers' logs go.
    #[arg(long, default_value = ".")]
    logs: PathBuf,
}

impl Args {
    fn wants(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| case.contains(only.as_str()))
    }
}

pub(crate) fn main(args: &Args) -> Result<()> {
    process::raise_open_files()?;
    servers::end_with_this_program()?;
    fs::create_dir_all(&args.logs).with_context(|| format!("cannot make {}", args.logs.display()))?;
    let starter = Starter {
        relay: args.relay.clone(),
        coturn: args.coturn.clone(),
        other: args.other.clone(),
        workers: args.workers,
        logs: args.logs.clone(),
    };
    let mut results = Results::new(args);
    relaying::measure(args, &starter, &mut results)?;
    indications::measure(args, &starter, &mut results)?;
    flood::measure(args, &starter, &mut results)?;
    loss_free::measure(args, &starter, &mut results)?;
    allocations::measure(args, &starter, &mut results)?;
    workers::measure(args, &starter, &mut results)?;
    results.print();
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}
