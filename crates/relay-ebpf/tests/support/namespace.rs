//! Network namespaces, for tests that change interfaces or load XDP programs.

use std::{fs, process::Command};

/// Puts the calling thread, and the programs it starts, into a network namespace of its own, in which only the loopback
/// interface exists, and is up. It goes with the thread.
///
/// # Errors
/// Why this process may not.
pub fn enter() -> Result<(), String> {
    // SAFETY: changes the calling thread's network namespace and nothing in memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("no network namespace can be made: {}", std::io::Error::last_os_error()));
    }
    ip("link set lo up");
    Ok(())
}

/// Runs `ip` with these arguments.
pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a setting of the kernel, such as `net.ipv4.ip_forward`.
pub fn sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value).unwrap();
}

/// Says that a test does not run here, and fails it if the environment requires this capability.
pub fn skip(capability: &str, reason: &str) {
    let required = std::env::var("RELAY_TESTS_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == capability),
        "RELAY_TESTS_REQUIRE names {capability}, but: {reason}"
    );
    eprintln!("skipped: {reason}");
}
