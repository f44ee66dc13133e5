//! What the tests with outside programs share beside their relay.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use turn_auth::{AuthSecret, Credentials, UnixTime};

pub(crate) use crate::support::can;
use crate::support::{Relay, SECRET};

/// A relay with as many shards as said, on both loopback addresses.
pub(crate) fn start_relay(workers: &str) -> Relay {
    Relay::start(&["--workers", workers, "--allocations-per-username", "100"])
}

/// Credentials for it that hold for years.
pub(crate) fn credentials() -> Credentials {
    Credentials::mint(&AuthSecret::new(SECRET).unwrap(), UnixTime(4_000_000_000), "interop")
}

/// The Python that `cargo xtask setup` gave the tests' packages.
pub(crate) fn python() -> PathBuf {
    env::var_os("RELAY_TESTS_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tests-python/bin/python")),
        PathBuf::from,
    )
}

/// Runs a program that must end within two minutes: how it ended, and everything that it printed.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> (Output, String) {
    run_for("120", program, arguments)
}

/// Runs a program and ends it after so many seconds if it has not ended by itself.
pub(crate) fn run_for<S: AsRef<OsStr>>(
    seconds: &str,
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> (Output, String) {
    let mut command = Command::new("timeout");
    let output = command.arg(seconds).arg(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}
