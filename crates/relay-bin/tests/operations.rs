//! Health, metrics, control, logs and draining, as an operator uses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{net::SocketAddr, net::TcpListener};

use test_support::{
    PATIENCE,
    echo::Echo,
    http::{get, request, request_by_name},
    port::{free_port, free_tcp_address},
    relay::{self, End, Relay, command, run},
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

const CHANNEL: u16 = 0x4000;
const LIFETIME_OVER: std::time::Duration = std::time::Duration::ZERO;

/// A relay and its health endpoint.
fn start(options: &[&str]) -> (Relay, SocketAddr) {
    let health = free_tcp_address();
    let relay = Relay::start(&[&["--health-check-addr", &health.to_string()], options].concat());
    (relay, health)
}

fn allocate_and_bind(relay: &Relay, echo: &Echo, salt: &str) -> BlockingClient {
    // No retransmissions, which would be counted.
    let mut client = relay.client(relay.v4(), salt).with_retransmission(PATIENCE, 1);
    relay::allocate_and_bind(&mut client, CHANNEL, echo.address);
    client
}

/// Sends `count` packets with several in flight, and receives the echo of each.
fn transfer(client: &mut BlockingClient, first: u32, count: u32, mut midway: impl FnMut()) {
    const WINDOW: u32 = 16;
    let mut sent = first;
    for received in first..first + count {
        while sent < (received + WINDOW).min(first + count) {
            client.send(CHANNEL, &sent.to_be_bytes()).unwrap();
            sent += 1;
        }
        if received == first + count / 2 {
            midway();
        }
        let (channel, payload) = client.receive(PATIENCE).unwrap().expect("a packet was lost");
        assert_eq!((channel, payload), (CHANNEL, received.to_be_bytes().to_vec()));
    }
}

#[test]
fn a_relay_that_serves_is_alive_and_ready() {
    let (_relay, health) = start(&[]);
    assert_eq!(get(health, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(health, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(health, "/nowhere").0, 404);
    assert_eq!(request(health, "POST", "/readyz", "").0, 405);
}

#[test]
fn metrics_count_what_was_relayed() {
    let (relay, health) = start(&[]);
    let echo = Echo::start(relay.v4());
    let mut client = allocate_and_bind(&relay, &echo, "a");
    transfer(&mut client, 0, 100, || {});
    let has = |line: &str| {
        let (status, text) = get(health, "/metrics");
        assert_eq!(status, 200);
        text.lines().any(|found| found == line)
    };
    // Four bytes each way. A worker publishes a moment after it has sent.
    wait_until(|| has("data_relayed_userspace_bytes_total 800"));
    assert!(has("data_relayed_ebpf_bytes_total 0"));
    assert!(has("active_allocations 1"));
    assert!(has("active_channels 1"));
    assert!(has("relayed_packet_size_bytes_count 200"));
    assert!(has("relayed_packets_total{direction=\"to_peer\"} 100"));
    assert!(has("responses_total{response_class=\"error\",message_type=\"allocate\",error_code=\"401\"} 1"));
    assert!(has("responses_total{response_class=\"success\",message_type=\"channel_bind\"} 1"));
    assert!(has("portal_state{state=\"standalone\"} 1"));
    client.refresh(LIFETIME_OVER).unwrap();
    wait_until(|| has("active_allocations 0") && has("active_channels 0"));
    assert!(has("allocations_removed_total{reason=\"deleted\"} 1"));
    client.socket().send(&[0xff; 8]).unwrap();
    wait_until(|| has("dropped_datagrams_total{reason=\"not_stun_nor_channel_data\"} 1"));
}

#[test]
fn a_transfer_under_way_at_sigterm_finishes_without_loss() {
    let (relay, health) = start(&["--drain-timeout", "1h", "--workers", "2"]);
    let echo = Echo::start(relay.v4());
    let mut client = allocate_and_bind(&relay, &echo, "a");
    transfer(&mut client, 0, 200, || relay.signal("TERM"));
    wait_until(|| get(health, "/readyz").0 == 503);
    assert!(get(health, "/readyz").1.contains("about to stop"));
    assert_eq!(get(health, "/healthz").0, 200);

    // The phase changes before the workers get the message.
    wait_until(|| {
        let mut other = relay.client(relay.v4(), "b");
        match other.allocate(Allocate::default()) {
            Ok(_) => {
                // The drain would wait for this allocation.
                other.refresh(LIFETIME_OVER).unwrap();
                false
            }
            Err(refused) => {
                assert_eq!(refused.code(), Some(508));
                true
            }
        }
    });
    transfer(&mut client, 200, 1000, || {});
    client.refresh(std::time::Duration::from_secs(600)).unwrap();
    client.bind(CHANNEL, echo.address).unwrap();
    transfer(&mut client, 1200, 100, || {});
    assert_eq!(get(health, "/readyz").0, 503);

    client.refresh(LIFETIME_OVER).unwrap();
    let End { status, log } = relay.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("draining: ") && log.contains("drained: no allocation is left"), "{log}");
}

#[test]
fn a_relay_without_allocations_drains_at_once() {
    let (relay, _) = start(&["--drain-timeout", "1h"]);
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained: no allocation is left"), "{log}");
}

#[test]
fn a_drain_ends_when_its_time_is_up() {
    let (relay, _) = start(&["--drain-timeout", "1s"]);
    relay.client(relay.v4(), "a").allocate(Allocate::default()).unwrap();
    let End { status, log } = relay.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("the time for draining is up"), "{log}");
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    for second in ["TERM", "INT"] {
        let (relay, health) = start(&["--drain-timeout", "1h"]);
        relay.client(relay.v4(), "a").allocate(Allocate::default()).unwrap();
        relay.signal("TERM");
        wait_until(|| get(health, "/readyz").0 == 503);
        relay.signal(second);
        let End { status, log } = relay.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("the drain is cut short"), "{log}");
    }
}

#[test]
fn ctrl_c_does_not_drain() {
    let (relay, _) = start(&["--drain-timeout", "1h"]);
    relay.client(relay.v4(), "a").allocate(Allocate::default()).unwrap();
    relay.signal("INT");
    let End { status, log } = relay.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("draining"), "{log}");
}

#[test]
fn the_log_filter_can_be_changed() {
    let control = free_tcp_address();
    let options = ["--workers", "1", "--log-filter", "info", "--control-endpoint", &control.to_string()];
    let relay = Relay::start(&options);
    // The log contains this port at debug. The worker logs after it has answered; when it answers the second client, the line is
    // written.
    let ask = || {
        let mapped = relay.client(relay.v4(), "a").mapped_address().unwrap();
        relay.client(relay.v4(), "b").mapped_address().unwrap();
        mapped.port()
    };
    let before = ask();
    let set = |directives: &str| request(control, "POST", &format!("/log_filter?directives={directives}"), "");
    let (status, body) = set("info%2Cfirezone_relay%3A%3Ashard=debug");
    assert_eq!((status, body.as_str()), (200, "the log filter is info,firezone_relay::shard=debug\n"));
    let meanwhile = ask();
    assert_eq!(set("info").0, 200);
    let after = ask();

    let (status, body) = set("a=loud");
    assert_eq!(status, 400);
    assert!(body.contains("a=loud"), "{body}");
    assert_eq!(set("").0, 400);
    assert_eq!(get(control, "/log_filter?directives=debug").0, 405);
    assert_eq!(get(control, "/").0, 404);
    // What a web page in a browser on this machine could send.
    let rebound = request_by_name(control, "relay.evil.example:9999", "POST", "/log_filter?directives=trace");
    assert_eq!(rebound.0, 403, "{}", rebound.1);
    assert!(rebound.1.contains("localhost"), "{}", rebound.1);
    let from_page = request(control, "POST", "/log_filter?directives=trace", "Origin: https://evil.example\r\n");
    assert_eq!(from_page.0, 403);

    let log = relay.stop().log;
    let is_logged = |port: u16| log.contains(&format!("127.0.0.1:{port})"));
    assert_eq!((is_logged(before), is_logged(meanwhile), is_logged(after)), (false, true, false), "{log}");
}

#[test]
fn logs_for_google_cloud_have_its_fields() {
    let relay = Relay::start(&["--log-format", "google-cloud"]);
    let log = relay.stop().log;
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let severity = entry["severity"].as_str().unwrap();
        assert!(["INFO", "WARNING"].contains(&severity), "{line}");
        assert!(entry["message"].is_string() && entry["target"].is_string(), "{line}");
        let time = entry["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
    }
    assert!(log.contains("\"listen_port\":"), "numbers stay numbers: {log}");
}

#[test]
fn a_taken_default_address_is_told_and_gone_without() {
    // This test holds the addresses, or another program does.
    let _holders = [TcpListener::bind("0.0.0.0:8080"), TcpListener::bind("127.0.0.1:9999")];
    let port = free_port();
    let mut command = command(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port.to_string()]);
    command.env_remove("HEALTH_CHECK_ADDR").env_remove("CONTROL_ENDPOINT");
    let relay = Relay::spawn(&mut command, port);
    let log = relay.stop().log;
    for name in ["(HEALTH_CHECK_ADDR)", "(CONTROL_ENDPOINT)"] {
        assert_eq!(
            log.lines().filter(|line| line.contains("another program") && line.contains(name)).count(),
            1,
            "{log}"
        );
    }
}

#[test]
fn a_taken_address_that_was_asked_for_is_an_error() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (option, variable) in [("--health-check-addr", "HEALTH_CHECK_ADDR"), ("--control-endpoint", "CONTROL_ENDPOINT")]
    {
        let port = free_port().to_string();
        let (status, _, stderr) = run(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port, option, &taken]);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let error = stderr.lines().last().unwrap();
        assert!(error.starts_with("error: ") && error.contains(variable) && error.contains(&taken), "{error}");
    }
}

#[test]
fn the_version_names_the_revision_and_whether_xdp_is_in() {
    let (status, version, _) = run(["--version"]);
    assert!(status.success());
    assert!(
        version.contains("(revision ") && (version.contains("with XDP") || version.contains("without XDP")),
        "{version}"
    );
}
