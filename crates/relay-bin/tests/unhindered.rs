//! The relay goes on, can be observed and can be ended, whatever happens to its log, its files and its HTTP listeners.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "unhindered/files.rs"]
mod files;
#[path = "unhindered/http.rs"]
mod http_listeners;
#[path = "unhindered/log.rs"]
mod log;
#[path = "unhindered/records.rs"]
mod records;
#[path = "unhindered/signals.rs"]
mod signals;

use std::{
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, ExitStatus, Stdio},
};

use test_support::{
    http,
    port::{free_port, free_tcp_address},
    relay::{SECRET, command},
    wait_until,
};

/// A relay whose standard streams the test controls.
struct Bare {
    child: Child,
    /// The listening address.
    server: SocketAddr,
    health: SocketAddr,
}

impl Bare {
    /// Starts a relay on IPv4 loopback and waits until it serves. `change` may change its command.
    fn start(change: impl FnOnce(&mut Command)) -> Self {
        let health = free_tcp_address();
        let port = free_port();
        let mut command = command(["--public-ip4-addr", "127.0.0.1", "--auth-secret", SECRET]);
        command.args(["--listen-port", &port.to_string(), "--health-check-addr", &health.to_string()]);
        command.args(["--workers", "2"]).stdout(Stdio::null()).stderr(Stdio::null());
        change(&mut command);
        let mut bare = Self { child: command.spawn().unwrap(), server: ([127, 0, 0, 1], port).into(), health };
        wait_until(|| {
            assert_eq!(bare.child.try_wait().unwrap(), None, "it ended before it was up");
            std::net::TcpStream::connect(health).is_ok() && http::get(health, "/readyz").0 == 200
        });
        bare
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the relay ends.
    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The value of the metric whose line begins with `line`: the name with its labels.
    fn metric(&self, line: &str) -> u64 {
        let (status, text) = http::get(self.health, "/metrics");
        assert_eq!(status, 200);
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{line} is not in\n{text}")).parse().unwrap()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends of a full stream that nobody reads: a write to the second blocks.
fn full_stream() -> (UnixStream, OwnedFd) {
    let (read, mut write) = UnixStream::pair().unwrap();
    write.set_nonblocking(true).unwrap();
    loop {
        match write.write(&[b'\n'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    write.set_nonblocking(false).unwrap();
    (read, write.into())
}

/// Runs `relay` under a limit of the shell's `ulimit`. By default its output is discarded.
fn limit<'c>(relay: &'c mut Command, limit: &str) -> &'c mut Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]);
    limited.arg(relay.get_program()).args(relay.get_args());
    limited.env_clear().envs(relay.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    *relay = limited;
    relay
}
