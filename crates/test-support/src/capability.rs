//! Capabilities: outside programs, privileges and protocols that not every machine has.
//!
//! A test that lacks one says `skipped: <reason>` and passes. The environment variable `RELAY_TESTS_REQUIRE`, a list with commas,
//! names the capabilities that must be there: a test that lacks one of these fails instead. `cargo xtask test` names all that the
//! machine has. Each capability is a row in `xtask/src/test/capabilities.rs`.

use std::{
    env,
    ffi::OsStr,
    fmt::Display,
    io::ErrorKind,
    net::UdpSocket,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Whether a test may go on: `present` says whether this machine has `capability`, and `reason` what is missing otherwise.
#[track_caller]
pub fn can(capability: &str, present: bool, reason: impl Display) -> bool {
    if !present {
        skip(capability, reason);
    }
    present
}

/// The value, or `None` if the error says that this machine lacks `capability`.
#[track_caller]
pub fn available<T, E: Display>(capability: &str, result: Result<T, E>) -> Option<T> {
    result.map_err(|reason| skip(capability, reason)).ok()
}

/// Says that a test does not run here.
///
/// # Panics
/// When `RELAY_TESTS_REQUIRE` names the capability.
#[track_caller]
pub fn skip(capability: &str, reason: impl Display) {
    let required = env::var("RELAY_TESTS_REQUIRE").unwrap_or_default();
    assert!(!names(&required, capability), "RELAY_TESTS_REQUIRE names {capability}, but: {reason}");
    println!("skipped: {reason}");
}

/// Whether the list has this capability.
fn names(required: &str, capability: &str) -> bool {
    required.split(',').any(|name| name.trim() == capability)
}

/// Whether this machine has IPv6 on loopback; the capability `ipv6`.
#[track_caller]
pub fn has_ipv6() -> bool {
    available("ipv6", UdpSocket::bind("[::1]:0").map_err(|error| format!("no IPv6 on loopback: {error}"))).is_some()
}

/// The loopback addresses that this machine has, with port 0.
#[track_caller]
pub fn loopback() -> Vec<&'static str> {
    if has_ipv6() { vec!["127.0.0.1:0", "[::1]:0"] } else { vec!["127.0.0.1:0"] }
}

/// Whether coturn's client programs and its echo server are installed; the capability `coturn`.
#[track_caller]
pub fn has_coturn() -> bool {
    let present = ["turnutils_uclient", "turnutils_peer", "turnutils_stunclient"].into_iter().all(is_installed);
    can("coturn", present, "coturn's client programs are not installed (`cargo xtask setup`)")
}

/// Whether tcpdump runs; the capability `tcpdump`.
#[track_caller]
pub fn has_tcpdump() -> bool {
    can("tcpdump", runs("tcpdump", ["--version"]), "tcpdump is not installed (`cargo xtask setup`)")
}

/// Whether tshark runs; the capability `tshark`.
#[track_caller]
pub fn has_tshark() -> bool {
    can("tshark", runs("tshark", ["--version"]), "tshark is not installed (`cargo xtask setup`)")
}

/// Whether the tests' Python has a package, which is a capability by its name.
#[track_caller]
pub fn has_python_package(name: &str) -> bool {
    let present = runs(python(), ["-c", &format!("import {name}")]);
    can(name, present, format!("{name} is not installed (`cargo xtask setup`)"))
}

/// Whether a program is there to be started, which this does not do for long.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match started {
        Ok(mut child) => {
            let _ = child.kill();
            let _ = child.wait();
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{program}: {error}");
            false
        }
    }
}

/// Whether a program with these arguments succeeds.
pub fn runs<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The Python that has the tests' packages: `RELAY_TESTS_PYTHON`, or where `cargo xtask setup` puts it.
#[must_use]
pub fn python() -> PathBuf {
    env::var_os("RELAY_TESTS_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tests-python/bin/python")),
        PathBuf::from,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_required_by_its_whole_name() {
        assert!(names("coturn,ipv6, xdp", "coturn"));
        assert!(names("coturn,ipv6, xdp", "xdp"));
        assert!(!names("coturn,ipv6", "ipv"));
        assert!(!names("", "ipv6"));
    }

    #[test]
    fn a_program_that_does_not_exist_is_not_installed() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
        assert!(runs("sh", ["-c", "exit 0"]) && !runs("sh", ["-c", "exit 1"]) && !runs("no-such-program", ["x"]));
    }

    /// This program runs itself with the variable set, since a variable of a process with threads cannot be changed safely.
    #[test]
    fn a_missing_capability_skips_a_test_and_fails_it_where_it_is_required() {
        const CHILD: &str = "TEST_SUPPORT_IS_CHILD";
        if env::var_os(CHILD).is_some() {
            assert!(!can("magic", false, "there is no magic"));
            return;
        }
        let run = |required: &str| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.env(CHILD, "1").env("RELAY_TESTS_REQUIRE", required).args(["--exact", "--nocapture"]);
            let name = std::thread::current().name().unwrap().to_owned();
            let output = command.arg(name).output().unwrap();
            (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
        };
        let (passed, text) = run("other");
        assert!(passed && text.contains("skipped: there is no magic"), "{text}");
        let (passed, text) = run("other,magic");
        assert!(!passed && text.contains("names magic, but: there is no magic"), "{text}");
    }
}
