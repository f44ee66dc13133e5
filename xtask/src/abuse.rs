//! `cargo xtask abuse`: crowds, noisy neighbours and attackers against a relay on this machine.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;

use crate::{
    command::{self, cargo},
    load,
    setup::{self, Use},
    workspace,
};

/// Start a relay on this machine, do to it what crowds, neighbours and attackers do, and print what came of it.
///
/// Who is served beside whom: `keepalive`, `neighbour`, `indications`, `crowd`. What a stranger is answered: `amplification`. What must do
/// no harm: `strangers`, `mutated`, `cycles`, `connections`, `kill`, and `soak`, which does most of it in turn for ten minutes. Each has
/// options, such as `cargo xtask abuse crowd --help` lists, and fails when a goal is missed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another build of the relay to try [default: build this one]
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,
    /// An option for the relay, such as `--relay-option=--reply-limit=1000`; as often as wanted.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    relay_option: Vec<OsString>,
    /// What to do.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "SCENARIO")]
    scenario: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    let mut load = load::program()?;
    if args.scenario.iter().any(|argument| argument == "--help" || argument == "-h") {
        return command::run(load.arg("abuse").args(&args.scenario));
    }
    let relay = match &args.relay {
        Some(program) => program.clone(),
        None => build_relay()?,
    };
    load.arg("abuse").arg("--relay").arg(relay);
    for option in &args.relay_option {
        load.arg("--relay-option").arg(option);
    }
    command::run(load.args(&args.scenario))
}

fn build_relay() -> Result<PathBuf> {
    command::run(cargo().args(["build", "--release", "--bin", "firezone-relay"]))?;
    Ok(workspace::target().join("release/firezone-relay"))
}

/// What `cargo xtask test` does: as much as takes some ten seconds on two cores, and no limit on time that a busy machine would miss.
const CHECKS: &[&[&str]] = &[
    &["amplification"],
    &["strangers"],
    &["mutated"],
    &["cycles"],
    &["connections", "--seconds", "10", "--at-most", "60"],
    &["kill", "--rounds", "2", "--at-most", "60"],
    &["soak", "--duration", "20", "--may-lose", "3"],
];

/// Runs each, one after the other; `may_skip`: this machine cannot make network namespaces, or load XDP programs.
///
/// # Errors
///
/// When a goal is missed.
pub(crate) fn check(may_skip: bool) -> Result<()> {
    let relay = build_relay()?;
    for scenario in CHECKS {
        let mut load = load::program()?;
        load.arg("abuse").arg("--relay").arg(&relay);
        if !may_skip {
            load.arg("--no-skips");
        }
        command::run(load.args(*scenario))?;
    }
    Ok(())
}
