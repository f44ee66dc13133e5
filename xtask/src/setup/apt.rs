//! Debian's packages.

use std::{
    io::{IsTerminal as _, stdin},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::command;

/// Whether this machine installs Debian packages.
pub(crate) fn is_here() -> bool {
    command::find("apt-get").is_some()
}

/// Fetches the lists of packages.
pub(crate) fn update() -> Result<()> {
    command::run(as_root("apt-get").args(["update", "-q"])).context("fetching the lists of Debian's packages")
}

/// Installs `packages`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let had_coturn = command::find("turnserver").is_some();
    let mut command = as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends"]);
    command::run(command.args(packages))?;
    if packages.contains(&"coturn") && !had_coturn {
        stop_coturn();
    }
    Ok(())
}

/// Debian starts a relay of its own on port 3478 when it installs coturn; only its client programs are wanted.
fn stop_coturn() {
    if Path::new("/run/systemd/system").exists() {
        let _ = command::run(as_root("systemctl").args(["disable", "--now", "coturn.service"]));
    } else if Path::new("/etc/init.d/coturn").exists() {
        let _ = command::run(as_root("/etc/init.d/coturn").arg("stop"));
    }
}

/// `program` as root: itself, or through sudo, which asks for a password only where somebody can type one.
fn as_root(program: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    if !stdin().is_terminal() {
        command.arg("--non-interactive");
    }
    command.arg(program);
    command
}
