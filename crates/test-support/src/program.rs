//! Runs outside programs, such as clients that are not ours.

use std::{
    ffi::OsStr,
    process::{Command, Output, Stdio},
};

/// Runs a program that must end within two minutes: how it ended, and everything that it printed.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> (Output, String) {
    run_for("120", program, arguments)
}

/// Runs a program and ends it after so many seconds if it has not ended by itself.
pub fn run_for<S: AsRef<OsStr>>(
    seconds: &str,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> (Output, String) {
    let mut command = Command::new("timeout");
    let output = command.arg(seconds).arg(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}
