//! Starting and stopping: each problem is one line on stderr, and a working relay ends cleanly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};
use test_support::{
    PATIENCE,
    port::free_port,
    relay::{End, Relay, SECRET, command, run},
    wait_until,
};

const FAILURE: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);

/// Runs the relay with options that prevent its start. Returns the error lines on stderr, without the log.
#[track_caller]
fn errors(options: &[&str], code: Option<i32>) -> Vec<String> {
    let (status, stdout, stderr) = run(["--log-filter", "off"].iter().chain(options));
    assert_eq!(status.code(), code, "{stderr}");
    assert_eq!(stdout, "");
    stderr.lines().map(str::to_owned).collect()
}

#[track_caller]
fn one_error(options: &[&str], code: Option<i32>, mentions: &[&str]) {
    let errors = errors(options, code);
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in mentions {
        assert!(errors[0].contains(part), "{part:?} is not in {:?}", errors[0]);
    }
}

#[test]
fn wrong_options_are_told_in_one_line_each() {
    one_error(&["--listen-port", "0"], USAGE, &["--listen-port (LISTEN_PORT)", "such as 3478"]);
    // Read before logging starts.
    one_error(&["--log-format", "xml"], USAGE, &["LOG_FORMAT", "google-cloud"]);
    let errors = errors(&["--listen-port", "x", "--workers", "0", "--rng-seed", "-", "--realm", "\""], USAGE);
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors.iter().all(|error| error.starts_with("error: ")));
}

#[test]
fn an_address_that_never_comes_is_a_failure_not_a_wrong_option() {
    let mentions = ["BIND_IP4_ADDR", "not an address of this machine", "`ip address`", "ADDRESS_TIMEOUT"];
    for timeout in ["0s", "1s"] {
        one_error(&["--bind-ip4-addr", "203.0.113.7", "--address-timeout", timeout], FAILURE, &mentions);
    }
    // With an error the relay does not wait for the address.
    one_error(&["--bind-ip4-addr", "203.0.113.7", "--listen-port", "0"], USAGE, &["LISTEN_PORT"]);
}

#[test]
fn a_secret_of_the_wrong_form_is_not_repeated() {
    assert!(!errors(&["--auth-secret", "hunter2"], USAGE).concat().contains("hunter2"));
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let (status, _, stderr) = run(["--no-such-option"]);
    assert_eq!(status.code(), USAGE);
    assert!(stderr.contains("--no-such-option"), "{stderr}");
}

#[test]
fn environment_variables_are_read_options_win_and_empty_ones_count_as_none() {
    let output = command(["--workers", "none"])
        .env("WORKERS", "2")
        .env("LISTEN_PORT", "nought")
        .env("HIGHEST_PORT", "")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(stderr.contains("(LISTEN_PORT) is \"nought\"") && stderr.contains("(WORKERS) is \"none\""), "{stderr}");
}

/// Binds a UDP port on IPv4 loopback, as another program would that shares its port.
fn hold_sharing(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket
}

#[test]
fn a_listening_port_held_by_another_program_is_told() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let range = ["--lowest-port", "1024", "--highest-port", "1123"];
    let options = [&["--public-ip4-addr", "127.0.0.1", "--listen-port", &port], &range[..]].concat();
    one_error(&options, FAILURE, &[&port, "another program", "LISTEN_PORT"]);
}

#[test]
fn a_listening_port_is_not_shared_even_with_a_program_that_would() {
    let port = free_port();
    let _holder = hold_sharing(port);
    let options = ["--public-ip4-addr", "127.0.0.1", "--listen-port", &port.to_string()];
    one_error(&options, FAILURE, &["another program"]);
}

#[test]
fn a_second_relay_on_the_same_port_is_refused_and_the_first_goes_on() {
    let mut relay = Relay::start(&[]);
    let port = relay.port.to_string();
    one_error(&["--public-ip4-addr", "127.0.0.1", "--listen-port", &port], FAILURE, &["another program"]);
    assert!(relay.is_running());
    relay.client(relay.v4(), "a").mapped_address().unwrap();
}

#[test]
fn a_taken_port_range_is_told() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port().to_string();
    let listen = free_port().to_string();
    let options = ["--public-ip4-addr", "127.0.0.1", "--listen-port", &listen];
    let range = ["--lowest-port", &taken, "--highest-port", &taken];
    one_error(&[&options[..], &range].concat(), FAILURE, &[&taken, "LOWEST_PORT", "HIGHEST_PORT"]);
}

#[test]
fn sigterm_and_sigint_end_it_with_a_summary() {
    for signal in ["TERM", "INT"] {
        let relay = Relay::start(&[]);
        // No retransmissions, which would be counted.
        let mut client = relay.client(relay.v4(), "a").with_retransmission(PATIENCE, 1);
        client.allocate(turn_client::Allocate::default()).unwrap();
        relay.signal(signal);
        let End { status, log } = relay.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        let summary = log.lines().last().unwrap();
        assert!(summary.contains("relay stopped: 1 allocations (1 at the end)"), "{log}");
        assert!(summary.contains("1 requests granted, 1 refused; dropped: none"), "{log}");
    }
}

#[test]
fn the_printed_ice_server_works() {
    let port = free_port();
    let mut command = command(["--listen-port", &port.to_string()]);
    // With two workers: the client may reach either.
    command.env("PUBLIC_IP4_ADDR", "127.0.0.1").env("WORKERS", "2");
    let (relay, printed) = Relay::spawn_and_read(&mut command, port);
    let json = printed.lines().find(|line| line.starts_with('{')).unwrap();
    let server: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(server["urls"][0], format!("turn:127.0.0.1:{port}?transport=udp"));
    let credential = |name: &str| server[name].as_str().unwrap().to_owned();
    let credentials = turn_client::Credentials::new(credential("username"), credential("credential"));
    let mut client = turn_client::BlockingClient::connect(relay.v4(), credentials).unwrap();
    client.allocate(turn_client::Allocate::default()).unwrap();

    // The printed command mints credentials that work, too.
    let line = printed.lines().find(|line| line.contains("firezone-relay credentials")).unwrap();
    let arguments = line.split_whitespace().skip(1);
    let (status, minted, _) = run(arguments);
    assert!(status.success());
    let minted: serde_json::Value = serde_json::from_str(&minted).unwrap();
    let credential = |name: &str| minted[name].as_str().unwrap().to_owned();
    let credentials = turn_client::Credentials::new(credential("username"), credential("credential"));
    let mut client = turn_client::BlockingClient::connect(relay.v4(), credentials).unwrap();
    client.allocate(turn_client::Allocate::default()).unwrap();
}

#[test]
fn credentials_are_minted_for_the_secret_of_the_environment() {
    let output = command(["credentials", "--ttl", "1h", "--salt", "me", "--url", "turn:192.0.2.1:3478"])
        .env("AUTH_SECRET", SECRET)
        .env("LISTEN_PORT", "of no interest here")
        .output()
        .unwrap();
    assert!(output.status.success());
    let minted: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(minted["username"].as_str().unwrap().ends_with(":me"));
    assert_eq!(minted["urls"][0], "turn:192.0.2.1:3478");

    let (status, _, stderr) = run(["credentials", "--secret", SECRET, "--ttl", "soon"]);
    assert_eq!((status.code(), stderr.lines().count()), (USAGE, 1), "{stderr}");
}

#[test]
fn a_given_secret_is_not_printed() {
    let port = free_port();
    let mut command = command(["--listen-port", &port.to_string(), "--public-ip4-addr", "127.0.0.1"]);
    command.env("AUTH_SECRET", SECRET).env("RUST_LOG", "trace");
    let (relay, printed) = Relay::spawn_and_read(&mut command, port);
    assert!(!printed.contains(SECRET));
    relay.client(relay.v4(), "a").allocate(turn_client::Allocate::default()).unwrap();
    let log = relay.stop().log;
    assert!(!log.contains(SECRET));
}

/// A service's output stays in the journal.
#[test]
fn where_stdout_is_no_terminal_no_credentials_are_printed() {
    for (when, secret, said) in [
        (None, None, "nobody can use this relay: it drew its secret"),
        (None, Some(SECRET), "no credentials are printed"),
        (Some("never"), None, "no credentials are printed"),
    ] {
        let port = free_port();
        let mut command = command(["--listen-port", &port.to_string(), "--public-ip4-addr", "127.0.0.1"]);
        command.env_remove("PRINT_CREDENTIALS");
        command.envs(when.map(|when| ("PRINT_CREDENTIALS", when))).envs(secret.map(|secret| ("AUTH_SECRET", secret)));
        let relay = Relay::spawn_silent(&mut command, port);
        wait_until(|| relay.client(relay.v4(), "a").with_retransmission(PATIENCE / 20, 1).mapped_address().is_ok());
        let End { log, .. } = relay.stop();
        assert!(log.contains(said), "{when:?}: {log}");
    }
}

#[test]
fn client_addresses_are_not_logged_above_debug() {
    let relay = Relay::start(&["--log-filter", "info"]);
    let mut client = relay.client(relay.v4(), "a");
    let mapped = client.mapped_address().unwrap();
    client.allocate(turn_client::Allocate::default()).unwrap();
    client.bind(0x4000, "127.0.0.1:9".parse().unwrap()).unwrap();
    client.socket().send(b"noise").unwrap();
    let log = relay.stop().log;
    assert!(!log.contains(&format!(":{}", mapped.port())), "{log}");
    assert!(!log.contains("127.0.0.1:9"), "{log}");
}

#[test]
fn json_logs_are_json() {
    let relay = Relay::start(&["--log-format", "json"]);
    let log = relay.stop().log;
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}

#[test]
fn help_and_version() {
    let (status, help, _) = run(["--help"]);
    assert!(status.success());
    for part in ["PUBLIC_IP4_ADDR", "AUTH_SECRET", "Addresses and ports:", "Examples:", "Exit status:"] {
        assert!(help.contains(part), "{part}");
    }
    let (status, version, _) = run(["--version"]);
    assert!(status.success());
    assert!(version.starts_with("firezone-relay "), "{version}");
}

/// The exit status is that of the worst finding, which depends on this machine.
#[test]
fn doctor_says_what_to_change_and_changes_nothing() {
    let (status, stdout, stderr) = run(["doctor", "--json", "--listen-port", "3478", "--ebpf-offloading", "auto"]);
    assert_eq!(stderr, "");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let expected = match report["status"].as_str().unwrap() {
        "good" | "note" => 0,
        "improve" => 1,
        other => panic!("{other}: {stdout}"),
    };
    assert_eq!(status.code(), Some(expected));

    let (_, stdout, _) = run(["doctor", "--ebpf-offloading", "off"]);
    assert!(stdout.contains("kernel path: not used: EBPF_OFFLOADING is off"), "{stdout}");

    let (status, stdout, _) = run(["doctor", "--listen-port", "0"]);
    assert_eq!(status.code(), Some(3));
    let problem = stdout.lines().find(|line| line.starts_with("BROKEN   options: ")).unwrap();
    assert!(problem.contains("--listen-port (LISTEN_PORT)"), "{problem}");
}
