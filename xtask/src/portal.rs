//! `cargo xtask portal`: a portal on this machine, to try what a relay does with a token.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{self, cargo},
    setup::{self, Use},
    workspace,
};

/// Start a portal for development on this machine; it prints how to register a relay and how to mint credentials.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Options for the portal, such as `--listen 127.0.0.1:9000`; see `cargo xtask portal -- --help`.
    #[arg(last = true, value_name = "PORTAL OPTIONS")]
    portal: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(&[Use::Run])?;
    // A crate of its own: what it depends on would make every other subcommand slow to build.
    command::run(cargo().args(["build", "--package", "dev-portal"]))?;
    let mut portal = Command::new(workspace::target().join("debug/dev-portal"));
    portal.args(&args.portal).stdin(Stdio::null());
    eprintln!("$ {}", command::display(&portal));
    Err(portal.exec()).context("cannot start the portal")
}
