//! The Python packages of the tests, in an environment under the target folder: nothing global changes.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// The Python that has the tests' packages, once they are installed.
pub(crate) fn python() -> PathBuf {
    environment().join("bin/python")
}

/// Whether the environment has exactly the required packages.
pub(crate) fn has_packages() -> bool {
    let installed = fs::read_to_string(stamp()).ok();
    installed.is_some() && installed == fs::read_to_string(requirements()).ok() && python().exists()
}

/// Makes the environment anew.
pub(crate) fn install_packages() -> Result<()> {
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment()))?;
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements());
    command::run(&mut pip)?;
    // Written last, so that a half-made environment is made anew.
    fs::copy(requirements(), stamp()).context("noting which Python packages are installed")?;
    Ok(())
}

fn environment() -> PathBuf {
    workspace::target().join("tests-python")
}

fn requirements() -> PathBuf {
    workspace::root().join("crates/relay-bin/tests/requirements.txt")
}

fn stamp() -> PathBuf {
    environment().join("installed-requirements.txt")
}
