//! The Node.js packages of the tests, beside their `package.json`: nothing global changes.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// Where `package.json` is.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("crates/relay-bin/tests/webrtc")
}

/// Whether exactly the locked packages are installed.
pub(crate) fn has_packages() -> bool {
    let installed = fs::read(stamp()).ok();
    installed.is_some() && installed == fs::read(lock()).ok()
}

/// Installs them anew.
pub(crate) fn install_packages() -> Result<()> {
    let mut npm = Command::new("npm");
    let npm = command::without_cargo_variables(&mut npm).current_dir(folder());
    command::run(npm.args(["ci", "--no-audit", "--no-fund"]))?;
    // Written last, so that half an installation is made anew.
    fs::copy(lock(), stamp()).context("noting which Node.js packages are installed")?;
    Ok(())
}

fn lock() -> PathBuf {
    folder().join("package-lock.json")
}

fn stamp() -> PathBuf {
    folder().join("node_modules/.installed-lock")
}
