//! `cargo xtask bench e2e`: the release binary against coturn and a bare forwarder.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;

use crate::{
    command::{self, cargo},
    load,
    setup::{self, Use},
    workspace,
};

/// Compare the relay with Debian's coturn and a bare forwarder: CPU per packet, loss, latency, the highest rate without loss,
/// allocations, memory, floods. Figures are medians over slices in turns, and mean little while this machine does anything else.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the results [default: bench/e2e.json in the target folder]
    #[arg(long)]
    json: Option<PathBuf>,
    /// Options for the load program, such as `--rounds 9 --only flat`; see `cargo xtask bench e2e -- --help`.
    #[arg(last = true, value_name = "OPTIONS")]
    load: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    command::run(cargo().args(["build", "--release", "--bin", "firezone-relay"]))?;
    let folder = workspace::target().join("bench");
    let json = args.json.clone().unwrap_or_else(|| folder.join("e2e.json"));
    let mut load = load::program()?;
    load.arg("e2e").arg("--relay").arg(workspace::target().join("release/firezone-relay"));
    load.arg("--logs").arg(&folder).arg("--json").arg(json);
    match command::find("turnserver") {
        Some(coturn) => drop(load.arg("--coturn").arg(coturn)),
        None => eprintln!("not compared with coturn, which this machine does not have (`apt-get install coturn`)"),
    }
    command::run(load.args(&args.load))
}
