//! Recordings of the relay replay without a difference, and Wireshark's parser reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "recording/accepted.rs"]
mod accepted;
#[path = "recording/control.rs"]
mod control;
#[path = "recording/full_disk.rs"]
mod full_disk;
#[path = "recording/trace.rs"]
mod trace;

use std::{env, fs, net::UdpSocket, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use relay_replay::{Flags, Mode, NotReplayed};
use test_support::{
    PATIENCE,
    capability::{has_coturn, has_python_package, has_tshark, python},
    echo::CoturnEcho,
    port::free_port,
    program::run as run_program,
    relay::{Relay, SECRET, clients_of_both_workers, credentials, minted, run},
};
use trace::{Trace, keep};
use turn_client::{Allocate, BlockingClient, Family, Request, decode_data_indication, encode_send_indication};

fn start(trace: &Trace, options: &[&str]) -> Relay {
    let trace = trace.option();
    Relay::start(&[&["--allocations-per-username", "100", &trace], options].concat())
}

/// Allocates, binds a channel, and exchanges `messages` with a peer.
fn converse(relay: &Relay, messages: u8) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = relay.client(relay.v4(), "recorded");
    client.allocate(Allocate::default()).unwrap();
    client.bind(0x4001, peer.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 2000];
    for message in 0..messages {
        client.send(0x4001, &[message; 100]).unwrap();
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        peer.send_to(&buffer[..length], from).unwrap();
        assert_eq!(client.receive(PATIENCE).unwrap().unwrap().1, [message; 100]);
    }
}

#[test]
fn a_session_replays_without_a_difference() {
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--workers", "2"]);
    converse(&relay, 20);
    let log = relay.stop().log;
    assert!(log.contains("the trace holds the secret"), "{log}");

    let session = trace.replay();
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    let view = session.view_at(last);
    assert_eq!((view.allocations.len(), view.counters.packets_up, view.counters.packets_down), (1, 20, 20));
    assert_eq!(fs::metadata(&trace.0).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may read the secret");
}

#[test]
fn what_workers_tell_each_other_of_their_clients_is_replayed() {
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--workers", "2"]);
    let [(mut one, at_one), (mut other, at_other)] =
        clients_of_both_workers(Family::V4, |_| relay.client(relay.v4(), "recorded"));
    one.bind(0x4001, at_other).unwrap();
    other.bind(0x4002, at_one).unwrap();
    one.send(0x4001, b"straight").unwrap();
    assert_eq!(other.receive(PATIENCE).unwrap(), Some((0x4002, b"straight".to_vec())));
    // The crossing back has ended, so this data goes through the sockets.
    one.refresh(Duration::ZERO).unwrap();
    other.send(0x4002, b"to nobody").unwrap();
    converse(&relay, 1);
    relay.stop();
    let session = trace.replay();
    let data = session.filter(&"channeldata".parse().unwrap());
    assert!(data.len() >= 3, "{} ChannelData messages", data.len());
}

#[test]
fn icmp_errors_are_replayed() {
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--workers", "1"]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = relay.client(relay.v4(), "recorded");
    client.allocate(Allocate::default()).unwrap();
    client.bind(0x4001, closed).unwrap();
    for _ in 0..20 {
        client.send(0x4001, b"data").unwrap();
        client.mapped_address().unwrap();
    }
    converse(&relay, 3);
    relay.stop();
    let bytes = fs::read(&trace.0).unwrap();
    assert!(bytes.windows(9).any(|window| window == b"icmp_type"), "what the kernel said");
    trace.replay();
}

#[test]
fn without_the_option_neither_secret_nor_seed_is_in_the_file() {
    let trace = Trace::new();
    let relay = start(&trace, &[]);
    converse(&relay, 3);
    relay.stop();
    let bytes = fs::read(&trace.0).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    let session = trace.open();
    assert_eq!(session.mode(), Mode::Inspection(NotReplayed::NoSecret));
    assert!(session.header().unwrap().shards.iter().all(|shard| shard.seed == [0; 32]));
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    assert_eq!(session.view_at(last).counters.packets_up, 3);
}

#[test]
fn payloads_are_cut_on_request_and_the_replay_still_agrees() {
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--record-payload-bytes", "8"]);
    converse(&relay, 5);
    relay.stop();
    let session = trace.replay();
    let cut = session.rows().iter().filter(|row| row.flags.contains(Flags::TRUNCATED));
    assert_eq!(cut.count(), 20, "each message goes in and out, there and back");
}

/// With a FINGERPRINT behind the data, as Firefox sends it, and without.
#[test]
fn the_data_of_indications_is_not_in_a_recording_with_a_limit_and_the_replay_still_agrees() {
    const WORDS: &[u8] = b"what one user says to the other";
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--record-payload-bytes", "4"]);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let peer_address = peer.local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(relay.v4()).unwrap();
    let by_hand = socket.try_clone().unwrap();
    let mut client = BlockingClient::with_socket(socket, credentials("recorded"));
    client.allocate(Allocate::default()).unwrap();
    client.request(Request::CreatePermission { peers: vec![peer_address] }).unwrap();
    by_hand.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 2000];
    for (transaction, with_fingerprint) in [(1, true), (2, false)] {
        by_hand.send(&encode_send_indication(peer_address, WORDS, transaction, with_fingerprint)).unwrap();
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], WORDS);
        peer.send_to(WORDS, from).unwrap();
        let length = by_hand.recv(&mut buffer).unwrap();
        assert_eq!(decode_data_indication(&buffer[..length]), Some((peer_address, WORDS.to_vec())));
    }
    relay.stop();
    let session = trace.replay();
    let count = |filter: &str| session.filter(&filter.parse().unwrap()).len();
    assert_eq!((count("send"), count("dataindication"), count("dropped")), (2, 2, 0));
    let file = fs::read(&trace.0).unwrap();
    assert!(!file.windows(8).any(|bytes| WORDS.windows(8).any(|words| words == bytes)));
}

#[test]
fn a_full_trace_stops_growing_and_the_relay_relays_on() {
    let trace = Trace::new();
    let relay = start(&trace, &["--record-max-packets", "10", "--workers", "1"]);
    converse(&relay, 20);
    let log = relay.stop().log;
    assert!(log.contains("the trace is as long as it may be"), "{log}");
    let session = trace.open();
    assert_eq!(session.rows().len(), 10);
    assert!(session.dropped() >= 70, "{} packets are said to be missing", session.dropped());
}

#[test]
fn a_flood_that_is_not_answered_is_not_recorded_and_replays_without_a_difference() {
    const FLOOD: usize = 400;
    let trace = Trace::new();
    let relay = start(&trace, &["--record-secret", "--workers", "1", "--reply-limit", "20"]);
    // A Refresh with MESSAGE-INTEGRITY but without the other attributes: the relay answers an unsigned 400, up to a limit.
    let mut request = b"\0\x04\0\x18\x21\x12\xa4\x42transaction!\0\x08\0\x14".to_vec();
    request.extend([0; 20]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..FLOOD {
        stranger.send_to(&request, relay.v4()).unwrap();
    }
    converse(&relay, 1);
    relay.stop();
    let session = trace.replay();
    let count = |filter: &str| session.filter(&filter.parse().unwrap()).len();
    let (requests, responses) = (count("refresh request"), count("refresh error"));
    assert_eq!(requests, responses);
    assert!((1..FLOOD).contains(&requests), "{requests} of {FLOOD} requests were answered");
}

#[test]
fn a_file_that_cannot_be_written_is_named_before_anything_is_served() {
    for file in ["/nowhere/trace.pcapng", "/dev/full"] {
        let port = free_port().to_string();
        let trace = format!("--record-trace={file}");
        let (status, _, stderr) = run(["--public-ip4-addr", "127.0.0.1", "--listen-port", &port, &trace]);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("cannot record to {file}")), "{stderr}");
    }
}

/// Records coturn's client with two workers: four allocations, with `messages` through each.
fn record_coturn(messages: u8, options: &[&str]) -> Option<Trace> {
    if !has_coturn() {
        return None;
    }
    let trace = Trace::new();
    let relay = start(&trace, &[&["--record-secret", "--workers", "2"], options].concat());
    let peer_port = free_port();
    let _echo = CoturnEcho::start(peer_port, &["127.0.0.1"]);
    let (port, peer_port, user) = (relay.port.to_string(), peer_port.to_string(), minted("interop"));
    let (output, text) = run_program(
        "turnutils_uclient",
        [
            "-u",
            &user.username,
            "-w",
            &user.password,
            "-p",
            &port,
            "-e",
            "127.0.0.1",
            "-r",
            &peer_port,
            "-m",
            "4",
            "-n",
            &messages.to_string(),
            "-z",
            "5",
            "127.0.0.1",
        ],
    );
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Total lost packets 0"), "{text}");
    relay.stop();
    Some(trace)
}

#[test]
fn coturn_s_client_replays_without_a_difference() {
    let Some(trace) = record_coturn(50, &[]) else { return };
    let session = trace.replay();
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    assert!(session.view_at(last).counters.packets_up >= 200);
}

#[test]
fn a_short_session_of_coturn_s_client_replays_without_a_difference() {
    let Some(trace) = record_coturn(3, &["--record-payload-bytes", "16"]) else { return };
    trace.replay();
    keep(&trace, "turnutils_uclient.pcapng");
}

#[test]
fn tshark_reads_a_recording_without_complaint() {
    if !has_tshark() {
        return;
    }
    let Some(trace) = record_coturn(50, &[]) else { return };
    let output = Command::new("tshark")
        .args(["-n", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
        .args(["-T", "fields", "-e", "udp.checksum.status", "-e", "_ws.malformed", "-r"])
        .arg(&trace.0)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = stderr.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{complaints:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    // Custom blocks are records without fields.
    let packets: Vec<_> = stdout.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(packets.iter().all(|line| line.trim() == "1"), "a wrong checksum or a malformed packet");
    let session = trace.open();
    assert_eq!(packets.len(), session.rows().iter().filter(|row| row.captured > 0).count());
}

/// Records aioice with two workers: three allocations, with `messages` each way between two pairs.
fn record_aioice(messages: &str, options: &[&str]) -> Option<Trace> {
    if !has_python_package("aioice") {
        return None;
    }
    let trace = Trace::new();
    let relay = start(&trace, &[&["--record-secret", "--workers", "2"], options].concat());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop_aioice.py");
    let (port, user) = (relay.port.to_string(), minted("interop"));
    let arguments = [script, "127.0.0.1", &port, &user.username, &user.password, messages];
    let (output, text) = run_program(python(), arguments);
    assert!(output.status.success(), "{text}");
    relay.stop();
    Some(trace)
}

#[test]
fn aioice_replays_without_a_difference() {
    if let Some(trace) = record_aioice("1000", &[]) {
        trace.replay();
    }
}

#[test]
fn a_short_session_of_aioice_replays_without_a_difference() {
    let Some(trace) = record_aioice("4", &["--record-payload-bytes", "16"]) else { return };
    trace.replay();
    keep(&trace, "aioice.pcapng");
}
