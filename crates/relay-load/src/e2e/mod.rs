//! `relay-load e2e`: compares our relay, coturn and a bare forwarder under the same load, in turns.

mod active;
mod allocations;
mod args;
mod flood;
mod indications;
mod kernel;
mod loss_free;
mod relaying;
mod servers;
mod table;
mod workers;

use std::fs;

use anyhow::{Context as _, Result};

pub(crate) use self::args::Args;
use self::{servers::Starter, table::Results};
use crate::{process, started};

pub(crate) fn main(args: &Args) -> Result<()> {
    process::raise_open_files()?;
    started::end_with_this_program()?;
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
    active::measure(args, &starter, &mut results)?;
    indications::measure(args, &starter, &mut results)?;
    flood::measure(args, &starter, &mut results)?;
    loss_free::measure(args, &starter, &mut results)?;
    allocations::measure(args, &starter, &mut results)?;
    workers::measure(args, &starter, &mut results)?;
    kernel::measure(args, &starter, &mut results)?;
    results.print();
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}
