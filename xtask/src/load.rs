//! `cargo xtask load`: puts load on any TURN server.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    command::{self, cargo},
    setup::{self, Use},
    workspace,
};

/// Relay data through a TURN server, check every payload of it, and tell loss, latency and throughput.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `--server HOST:PORT --user USERNAME --pass PASSWORD`, and what `cargo xtask load --help` lists.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    load: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    let mut load = program()?;
    load.arg("run").args(&args.load);
    Err(load.exec()).context("cannot start the load program")
}

/// The load program, built. It is a crate of its own: what it depends on would make every other subcommand slow to build.
///
/// # Errors
///
/// When it cannot be built.
pub(crate) fn program() -> Result<Command> {
    command::run(cargo().args(["build", "--release", "--package", "relay-load"]))?;
    Ok(Command::new(workspace::target().join("release/relay-load")))
}
