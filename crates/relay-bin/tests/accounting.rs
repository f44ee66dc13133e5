//! Accounting: the log line at an allocation's end, and users' totals on request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use test_support::{
    PATIENCE,
    collector::Collector,
    echo::Echo,
    http::{get, request},
    port::free_tcp_address,
    relay::{self, End, Relay, allocate_and_bind, clients_of_both_workers},
    wait_until,
};
use turn_client::{BlockingClient, Family};

const CHANNEL: u16 = 0x4000;

fn start(options: &[&str]) -> Relay {
    Relay::start(&[&["--log-format", "json"], options].concat())
}

/// A client of the user id `user`, with an allocation and a channel to `peer`.
fn bound(relay: &Relay, user: &str, peer: SocketAddr) -> BlockingClient {
    let mut client = relay.client(relay.v4(), user);
    allocate_and_bind(&mut client, CHANNEL, peer);
    client
}

/// Sends payloads of these lengths and receives the echoes.
fn exchange(client: &mut BlockingClient, lengths: &[usize]) {
    for length in lengths {
        relay::exchange(client, CHANNEL, &vec![7; *length]);
    }
}

/// The log lines about the ends of allocations.
fn records(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "allocation ended" && line["target"] == "firezone_relay::accounting")
        .collect()
}

/// The user and the reason, then packets and bytes to peers and from peers, first in user space, then in the kernel.
fn figures(record: &Value) -> (&str, &str, [u64; 8]) {
    let number = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("{name} in {record}"));
    let kernel = |name: &str| number(&format!("kernel_{name}"));
    let each = ["to_peers_packets", "to_peers_bytes", "from_peers_packets", "from_peers_bytes"];
    let [a, b, c, d] = each.map(number);
    let [e, f, g, h] = each.map(kernel);
    assert_eq!(record["complete"], true, "{record}");
    (record["user_id"].as_str().unwrap(), record["reason"].as_str().unwrap(), [a, b, c, d, e, f, g, h])
}

#[test]
fn the_end_of_an_allocation_is_one_line_with_its_user_and_figures() {
    let relay = start(&[]);
    let echo = Echo::start(relay.v4());
    let mut client = relay.client(relay.v4(), "alice \"\u{1b}[31m\n");
    let relayed = allocate_and_bind(&mut client, CHANNEL, echo.address);
    exchange(&mut client, &[0, 1, 1_200]);
    client.refresh(Duration::ZERO).unwrap();
    wait_until(|| relay.has_logged("allocation ended"));
    let End { log, .. } = relay.stop();
    let [record] = &records(&log)[..] else { panic!("{log}") };
    assert_eq!(figures(record), ("alice \"\u{1b}[31m\n", "deleted", [3, 1_201, 3, 1_201, 0, 0, 0, 0]));
    assert_eq!(record["relayed_address"], relayed.to_string());
    assert!(record["duration_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(record.to_string().matches("127.0.0.1").count(), 1, "no address of the client or a peer: {record}");
}

#[test]
fn no_allocation_is_lost_at_the_end_of_the_relay_and_the_line_can_be_switched_off() {
    const MANY: usize = 300;
    for (filter, expected) in [("info", MANY), ("info,firezone_relay::accounting=off", 0)] {
        let relay = start(&["--workers", "2", "--log-filter", filter]);
        let echo = Echo::start(relay.v4());
        let mut clients: Vec<_> =
            (0..MANY).map(|number| bound(&relay, &format!("user-{number}"), echo.address)).collect();
        exchange(&mut clients[7], &[100]);
        let End { status, log } = relay.stop();
        assert_eq!(status.code(), Some(0));
        let records = records(&log);
        assert_eq!(records.len(), expected);
        for record in &records {
            let (user, reason, relayed) = figures(record);
            let one = u64::from(user == "user-7");
            assert_eq!((reason, relayed), ("shutdown", [one, 100 * one, one, 100 * one, 0, 0, 0, 0]), "{user}");
        }
    }
}

#[test]
fn clients_of_two_workers_each_have_what_they_sent_and_were_sent() {
    let control = free_tcp_address();
    let relay =
        start(&["--workers", "2", "--allocations-per-username", "100", "--control-endpoint", &control.to_string()]);
    let names = ["one", "other"];
    let [(mut one, at_one), (mut other, at_other)] =
        clients_of_both_workers(Family::V4, |worker| relay.client(relay.v4(), names[worker]));
    one.bind(CHANNEL, at_other).unwrap();
    other.bind(CHANNEL, at_one).unwrap();
    for length in [100, 50, 7] {
        one.send(CHANNEL, &vec![1; length]).unwrap();
        assert_eq!(other.receive(PATIENCE).unwrap(), Some((CHANNEL, vec![1; length])));
    }
    other.send(CHANNEL, &[2; 9]).unwrap();
    assert_eq!(one.receive(PATIENCE).unwrap(), Some((CHANNEL, vec![2; 9])));

    // Live allocations, from the control endpoint.
    let (status, body) = get(control, "/users?top=2");
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    for (name, to_peers, from_peers) in [("one", 157, 9), ("other", 9, 157)] {
        let user = told["users"].as_array().unwrap().iter().find(|user| user["user_id"] == name);
        let user = user.unwrap_or_else(|| panic!("{name} in {body}"));
        assert_eq!(user["user_space"]["to_peers"]["bytes"], to_peers, "{body}");
        assert_eq!(user["user_space"]["from_peers"]["bytes"], from_peers, "{body}");
        assert_eq!(user["bytes"], 166, "{body}");
    }

    // The receiver ends first, on the other worker.
    other.refresh(Duration::ZERO).unwrap();
    one.refresh(Duration::ZERO).unwrap();
    let End { log, .. } = relay.stop();
    let records = records(&log);
    let of = |name: &str| {
        records
            .iter()
            .map(figures)
            .find(|(user, _, relayed)| *user == name && relayed[0] > 0)
            .unwrap_or_else(|| panic!("{log}"))
    };
    assert_eq!(of("one"), ("one", "deleted", [3, 157, 1, 9, 0, 0, 0, 0]));
    assert_eq!(of("other"), ("other", "deleted", [1, 9, 3, 157, 0, 0, 0, 0]));
}

#[test]
fn the_control_endpoint_tells_the_users_with_the_most_bytes() {
    let control = free_tcp_address();
    let relay = start(&["--control-endpoint", &control.to_string()]);
    let echo = Echo::start(relay.v4());
    for (user, lengths) in [("small", &[10][..]), ("large", &[1_000, 1_000]), ("middle", &[500])] {
        let mut client = bound(&relay, user, echo.address);
        exchange(&mut client, lengths);
        client.refresh(Duration::ZERO).unwrap();
    }
    let mut living = bound(&relay, "large", echo.address);
    exchange(&mut living, &[1]);
    let users = |path: &str| -> Value { serde_json::from_str(&get(control, path).1).unwrap() };
    wait_until(|| users("/users")["users"][2]["user_id"] == "small");
    let top = users("/users?top=2");
    let ids: Vec<_> = top["users"].as_array().unwrap().iter().map(|user| user["user_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["large", "middle"]);
    let large = &top["users"][0];
    assert_eq!((&large["bytes"], &large["allocations"]), (&4_002.into(), &2.into()), "{top}");
    assert_eq!(large["living_allocations"], 1);
    assert_eq!(large["user_space"]["to_peers"], serde_json::json!({ "packets": 3, "bytes": 2_001 }));
    assert_eq!((&top["known_users"], &top["forgotten"]["allocations"]), (&3.into(), &0.into()));
    assert_eq!(get(control, "/users?top=many").0, 400);
    assert_eq!(request(control, "POST", "/users?top=1", "").0, 405);
    assert_eq!(request(control, "GET", "/users?top=1", "Origin: http://example.com\r\n").0, 403);
}

#[test]
fn a_collector_gets_a_span_from_an_allocations_beginning_to_its_end() {
    let Some(collector) = Collector::start("accounting") else { return };
    let endpoint = collector.address.to_string();
    let relay = Relay::start_with(&[("OTEL_BSP_SCHEDULE_DELAY", "100")], &["--otlp-grpc-endpoint", &endpoint]);
    let echo = Echo::start(relay.v4());
    let mut client = bound(&relay, "alice", echo.address);
    exchange(&mut client, &[100, 23]);
    client.refresh(Duration::ZERO).unwrap();
    let has = |text: &str, parts: &[&str]| parts.iter().all(|part| text.contains(part));
    let parts = [
        ": allocation\n",
        "user_id: Str(alice)",
        "to_peers_bytes: Int(123)",
        "from_peers_packets: Int(2)",
        "kernel_to_peers_bytes: Int(0)",
        "reason: Str(deleted)",
    ];
    wait_until(|| has(&collector.text(), &parts));
    relay.stop();
}

/// Whoever mints credentials may let clients choose their user ids.
#[test]
fn a_user_id_cannot_forge_lines_or_colours() {
    const USER: &str = "eve\n2026-01-01T00:00:00Z ERROR forged \u{1b}[31m\" \u{7}";
    for format in ["human", "json", "google-cloud"] {
        let control = free_tcp_address();
        let control_text = control.to_string();
        let relay =
            Relay::start(&["--log-format", format, "--log-filter", "debug", "--control-endpoint", &control_text]);
        let echo = Echo::start(relay.v4());
        let mut client = bound(&relay, USER, echo.address);
        exchange(&mut client, &[100]);
        let users: Value = serde_json::from_str(&get(control, "/users?top=10").1).unwrap();
        assert!(users.to_string().contains("forged"), "{users}");
        client.refresh(Duration::ZERO).unwrap();
        let log = relay.stop().log;
        assert!(log.contains("forged"), "{log}");
        assert!(!log.contains('\u{1b}') && !log.contains('\u{7}'), "{log}");
        assert!(log.lines().all(|line| !line.starts_with("2026-01-01T00:00:00Z")), "{log}");
    }
}
