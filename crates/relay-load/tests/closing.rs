//! However the load program ends, it closes all allocations at a real relay, and ends all servers that it has started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    io::Read,
    net::SocketAddr,
    process::{Command, Output, Stdio},
};

use support::{LOOKS, Running, children, has_ended, signal, wait};
use test_support::{
    http,
    port::{free_port, free_tcp_address},
    relay::{self, SECRET},
};

/// More than are closed at a time.
const FLOWS: u32 = 40;
/// A running relay and its health endpoint.
struct Relay {
    process: relay::Relay,
    health: SocketAddr,
}

impl Relay {
    fn start(allocations_per_username: u32) -> Self {
        let (port, health) = (free_port(), free_tcp_address());
        let mut command = relay::command(["--public-ip4-addr", "127.0.0.1", "--bind-ip4-addr", "127.0.0.1"]);
        command.env("RUST_LOG", "warn").args(["--auth-secret", SECRET, "--workers", "1"]);
        command.args(["--listen-port", &port.to_string(), "--health-check-addr", &health.to_string()]);
        command.args(["--allocations-per-username", &allocations_per_username.to_string()]);
        Self { process: relay::Relay::spawn(&mut command, port), health }
    }

    fn metrics(&self) -> String {
        http::get(self.health, "/metrics").1
    }

    /// Whether its metrics contain this line.
    fn has(&self, line: &str) -> bool {
        self.metrics().lines().any(|found| found == line)
    }

    /// How many requests of this kind have succeeded.
    fn granted(&self, kind: &str) -> u64 {
        let name = format!("responses_total{{response_class=\"success\",message_type=\"{kind}\"}} ");
        self.metrics().lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }

    #[track_caller]
    fn wait_for(&self, line: &str) {
        assert!((0..LOOKS).any(|_| self.has(line) || wait()), "{line}");
    }

    /// The command of a load program for this relay.
    fn load(&self, options: &[&str]) -> Command {
        let minted = relay::minted("load");
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay-load"));
        command.args([
            "run",
            "--server",
            &self.process.v4().to_string(),
            "--flows",
            &FLOWS.to_string(),
            "--rate",
            "1000",
        ]);
        command.args(["--user", &minted.username, "--pass", &minted.password]).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Checks that there were `count` allocations, and that clients have deleted them all.
    #[track_caller]
    fn all_were_deleted(&self, count: u32) {
        self.wait_for(&format!("allocations_removed_total{{reason=\"deleted\"}} {count}"));
        assert!(self.has("active_allocations 0"));
    }
}

/// Sends SIGINT and waits for the end.
#[track_caller]
fn interrupt(mut program: Running) -> Output {
    let child = &mut program.0;
    assert!(signal(child.id(), "INT"));
    let ended = (0..LOOKS).any(|_| child.try_wait().unwrap().is_some() || wait());
    if !ended {
        let _ = child.kill();
    }
    let (printed, told) = (read(child.stdout.take()), read(child.stderr.take()));
    let output = Output { status: child.wait().unwrap(), stdout: printed, stderr: told };
    assert!(ended, "it hangs: {}", stderr(&output));
    output
}

/// Reads a pipe to its end.
fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn nothing_is_left_at_the_end() {
    let relay = Relay::start(1000);
    let mut deleted = 0;
    for (direction, count) in [("up", FLOWS), ("down", FLOWS), ("pair", 2 * FLOWS)] {
        let output = relay.load(&["--direction", direction, "--seconds", "0.2"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("closing {count} allocations at {}", relay.process.v4())));
        assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
        deleted += count;
        relay.all_were_deleted(deleted);
    }
}

#[test]
fn allocations_and_channels_live_as_long_as_the_load() {
    let relay = Relay::start(1000);
    let load = relay.load(&["--seconds", "1.5", "--refresh-every", "0.5", "--json"]).output().unwrap();
    assert!(load.status.success(), "{}", stderr(&load));
    // Over three parts, of which two have at most 1000. Datagrams that are overdue at the end of a part are not sent.
    let told: serde_json::Value = serde_json::from_slice(&load.stdout).unwrap();
    assert!(told["received"].as_u64().unwrap() > 1000, "{told}");
    relay.all_were_deleted(FLOWS);
    // Two refreshes and the end; a channel is bound first, and twice again. A request may be retransmitted, and granted again.
    for kind in ["refresh", "channel_bind"] {
        let granted = || relay.granted(kind);
        assert!((0..LOOKS).any(|_| granted() >= u64::from(3 * FLOWS) || wait()), "{kind}: {}", granted());
    }
}

#[test]
fn nothing_is_left_after_an_interruption() {
    let relay = Relay::start(1000);
    let load = Running(relay.load(&["--seconds", "3600", "--json"]).spawn().unwrap());
    relay.wait_for(&format!("active_allocations {FLOWS}"));
    let output = interrupt(load);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"received\""), "what came of it is told");
    relay.all_were_deleted(FLOWS);
}

#[test]
fn nothing_is_left_after_an_error() {
    let relay = Relay::start(1000);
    // No process has the id 0.
    let output = relay.load(&["--pid", "0", "--seconds", "0.2"]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("process 0 is gone"), "{}", stderr(&output));
    relay.all_were_deleted(FLOWS);
}

#[test]
fn nothing_is_left_when_some_are_refused() {
    let relay = Relay::start(10);
    let output = relay.load(&[]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("could not set up"), "{}", stderr(&output));
    relay.all_were_deleted(10);
}

#[test]
fn a_server_that_is_gone_is_not_waited_for() {
    let mut relay = Relay::start(1000);
    let load = Running(relay.load(&["--seconds", "3600"]).spawn().unwrap());
    // A client that waits for its channel would be given up, and not be among those that are closed.
    relay.wait_for(&format!("active_channels {FLOWS}"));
    relay.process.kill();
    let output = interrupt(load);
    assert!(
        stderr(&output).contains(&format!("{FLOWS} of {FLOWS} allocations could not be closed")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_benchmark_that_is_ended_ends_its_servers() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay-load"));
    command.arg("e2e").arg("--relay").arg(relay::program()).args([
        "--only",
        "up 20k/s, 1 client",
        "--seconds",
        "60",
        "--logs",
    ]);
    let mut benchmark = Running(command.arg(env!("CARGO_TARGET_TMPDIR")).stderr(Stdio::null()).spawn().unwrap());
    let pid = benchmark.0.id();
    // A forwarder, an event loop and the relay.
    let started = || (0..LOOKS).map(|_| children(pid)).find(|children| children.len() == 3 || wait());
    let servers = started().unwrap();
    assert!(signal(pid, "TERM"));
    assert_eq!(benchmark.0.wait().unwrap().code(), Some(128 + 15));
    assert!((0..LOOKS).any(|_| servers.iter().all(|server| has_ended(*server)) || wait()), "{servers:?} go on");
}
