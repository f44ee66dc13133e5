//! Which peers the clients of a relay on the Internet may reach, and changes of the rules at run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod net;

use std::fs;

use net::{HOST, HOST_V6, INSIDE, LISTEN_PORT, Net, OUTSIDE, address};
use relay_replay::{Mode, Session};
use test_support::{PATIENCE, relay, wait_until};
use turn_client::{Allocate, BlockingClient, Failure};

const CHANNEL: u16 = 0x4000;

/// Binds a channel. The error has the code and the reason phrase.
fn bind(client: &mut BlockingClient, channel: u16, peer: std::net::SocketAddr) -> Result<(), (u16, String)> {
    client.bind(channel, peer).map_err(|error| match error {
        turn_client::Error::Failure(Failure::Rejected { code, reason, .. }) => (code, reason),
        other => panic!("{other}"),
    })
}

#[test]
fn a_client_reaches_neither_the_machine_nor_what_is_behind_it() {
    let Some(net) = Net::new() else { return };
    let relay = net.start(&["--log-filter", "debug"]);
    let services = [("127.0.0.1", 5353), (HOST, 53), (INSIDE, 53), ("::1", 53), (HOST_V6, 53)];
    let services = services.map(|(ip, port)| net.service(address(ip, port)));
    let mut client = net.client(OUTSIDE, "a");
    client.allocate(Allocate { additional_family: Some(turn_client::Family::V6), ..Allocate::default() }).unwrap();
    let special = ["169.254.169.254", "10.0.0.9", "100.64.0.1", "192.168.0.1", "fd00:ec2::254", "64:ff9b::a00:9"];
    let special = special.map(|ip| address(ip, 80));
    let own_listener = [HOST, INSIDE, "127.0.0.2", HOST_V6].map(|ip| address(ip, LISTEN_PORT));
    for peer in services.iter().map(|service| service.local_addr().unwrap()).chain(special).chain(own_listener) {
        let (code, reason) = bind(&mut client, CHANNEL, peer).unwrap_err();
        assert_eq!(code, 403, "{peer}");
        assert!(reason.starts_with("Forbidden: the peer is denied: "), "{reason}");
    }
    let (_, reason) = bind(&mut client, CHANNEL, address("10.0.0.9", 80)).unwrap_err();
    assert!(reason.contains("private network (--allow-peer 10.0.0.0/8)"), "{reason}");
    for service in &services {
        assert!(service.recv_from(&mut [0; 100]).is_err(), "nothing came");
    }
    wait_until(|| net.metric("peers_refused_total{reason=\"own_machine\"}") == Some(3));
    for (reason, count) in [("private", 4), ("own_listener", 4), ("cloud_metadata", 2), ("shared", 1), ("loopback", 2)]
    {
        assert_eq!(net.metric(&format!("peers_refused_total{{reason=\"{reason}\"}}")), Some(count), "{reason}");
    }
    assert!(relay.has_logged("a peer is refused with 403"));
    assert!(relay.has_logged("private networks are refused with 403; where clients must reach one, allow it"));
}

#[test]
fn hosts_of_the_internet_and_other_allocations_are_reached() {
    let Some(net) = Net::new() else { return };
    let _relay = net.start(&[]);
    let peer = net.peer();
    let (mut one, mut other) = (net.client(OUTSIDE, "a"), net.client(OUTSIDE, "b"));
    let at_one = one.allocate(Allocate::default()).unwrap().relayed[0];
    let at_other = other.allocate(Allocate::default()).unwrap().relayed[0];
    one.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    one.send(CHANNEL, b"ping").unwrap();
    let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from, at_one);
    one.bind(CHANNEL + 1, at_other).unwrap();
    other.bind(CHANNEL, at_one).unwrap();
    one.send(CHANNEL + 1, b"from one").unwrap();
    assert_eq!(other.receive(PATIENCE).unwrap(), Some((CHANNEL, b"from one".to_vec())));
}

#[test]
fn other_programs_of_the_relays_machine_are_served_whatever_their_ports() {
    let Some(net) = Net::new() else { return };
    let _relay = net.start(&["--lowest-port", "50000", "--highest-port", "50003"]);
    let relayed = net.client(OUTSIDE, "a").allocate(Allocate::default()).unwrap().relayed[0];
    let allocate = |port| {
        let mut client = net.client_on_the_host(address(INSIDE, port), "b");
        client.allocate(Allocate::default()).map(drop).map_err(|error| error.code())
    };
    // Another address of the machine, at the port of the allocation.
    assert_eq!(allocate(relayed.port()), Ok(()));
    let free = if relayed.port() == 50_000 { 50_003 } else { 50_000 };
    assert_eq!(allocate(free), Ok(()));
    assert_eq!(allocate(40_000), Ok(()));
}

#[test]
fn rules_are_read_again_and_what_they_deny_then_ends() {
    let Some(net) = Net::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("peers");
    fs::write(&rules, format!("# none of ours\nallow {INSIDE}:53\n")).unwrap();
    let relay = net.start(&["--peer-rules-file", rules.to_str().unwrap(), "--deny-peer", "198.45.1.99"]);
    let peer = net.peer();
    let mut client = net.client(OUTSIDE, "a");
    client.allocate(Allocate::default()).unwrap();
    assert_eq!(bind(&mut client, CHANNEL + 1, address("198.45.1.99", 9)).unwrap_err().0, 403);
    let service = net.service(address(INSIDE, 53));
    client.bind(CHANNEL + 2, service.local_addr().unwrap()).unwrap();
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    client.send(CHANNEL, b"one").unwrap();
    peer.recv_from(&mut [0; 100]).unwrap();

    // A file with an error changes nothing.
    fs::write(&rules, format!("deny {OUTSIDE}\ndney 10.0.0.0/8\n")).unwrap();
    wait_until(|| relay.has_logged("the rules that were read before stay in force"));
    assert!(relay.has_logged("peers, line 2"));
    client.send(CHANNEL, b"two").unwrap();
    peer.recv_from(&mut [0; 100]).unwrap();

    fs::write(&rules, format!("deny {OUTSIDE}\n")).unwrap();
    wait_until(|| relay.has_logged("a peer is not allowed any more"));
    wait_until(|| net.metric("peers_revoked_total{reason=\"rule\"}") == Some(2));
    client.send(CHANNEL, b"three").unwrap();
    assert_eq!(bind(&mut client, CHANNEL, peer.local_addr().unwrap()).unwrap_err().0, 403);
    assert!(peer.recv_from(&mut [0; 100]).is_err(), "nothing comes any more");
    assert_eq!(bind(&mut client, CHANNEL + 2, service.local_addr().unwrap()).unwrap_err().0, 403);
    assert_eq!(bind(&mut client, CHANNEL + 1, address("198.45.1.99", 9)).unwrap_err().0, 403, "options stay");

    fs::write(&rules, "").unwrap();
    relay.signal("HUP");
    wait_until(|| bind(&mut client, CHANNEL, peer.local_addr().unwrap()).is_ok());
    client.send(CHANNEL, b"four").unwrap();
    let mut buffer = [0; 100];
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"four");
}

#[test]
fn a_recording_replays_what_rules_did() {
    let Some(net) = Net::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (rules, trace) = (directory.path().join("peers"), directory.path().join("trace.pcapng"));
    fs::write(&rules, "deny 198.45.1.99\n").unwrap();
    let (rules_text, trace_text) = (rules.to_str().unwrap(), trace.to_str().unwrap());
    let relay = net.start(&["--peer-rules-file", rules_text, "--record-trace", trace_text, "--record-secret"]);
    let mut client = net.client(OUTSIDE, "a");
    client.allocate(Allocate::default()).unwrap();
    for peer in ["198.45.1.99", "10.0.0.9", "127.0.0.1"] {
        assert_eq!(bind(&mut client, CHANNEL, address(peer, 9)).unwrap_err().0, 403);
    }
    client.bind(CHANNEL, net.peer().local_addr().unwrap()).unwrap();
    fs::write(&rules, format!("deny {OUTSIDE}\n")).unwrap();
    wait_until(|| relay.has_logged("a peer is not allowed any more"));
    client.send(CHANNEL, b"in vain").unwrap();
    client.bind(CHANNEL, address("198.45.1.99", 9)).unwrap();
    assert!(relay.stop().status.success());
    let mut session = Session::new();
    session.push(&fs::read(&trace).unwrap());
    session.end();
    assert_eq!((session.error(), session.mode()), (None, Mode::Replay));
    assert_eq!(session.differences(), []);
}

/// Runs `check-peer`. Returns its exit code and output.
fn check_peer(peer: &str, options: &[&str]) -> (Option<i32>, String) {
    let (status, stdout, stderr) = relay::run([&["check-peer", peer], options].concat());
    (status.code(), stdout + &stderr)
}

#[test]
fn check_peer_explains_the_verdict() {
    let public = ["--public-ip4-addr", "198.45.1.7"];
    let with = |options: &[&'static str]| [&public[..], options].concat();
    let (code, text) = check_peer("8.8.8.8", &public);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("allowed\n"), "{text}");
    let (code, text) = check_peer("10.0.0.9:53", &public);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("10.0.0.9: built-in table: 10.0.0.0/8 is a private network"), "{text}");
    let (code, text) = check_peer("64:ff9b::a00:9", &with(&["--allow-peer", "10.0.0.0/8"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("10.0.0.9: rule `allow 10.0.0.0/8` of --allow-peer (ALLOW_PEER)"), "{text}");
    let (code, text) = check_peer("198.45.1.7", &public);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("allowed at some ports: name one to see\n"), "{text}");
    let (code, text) = check_peer("198.45.1.7:3478", &public);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("denied: the address is the relay's own"), "{text}");
    let (code, text) = check_peer("10.0.0.9", &["--public-ip4-addr", "192.168.1.7"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("is a private network: allowed because of the relay's own address"), "{text}");
}

#[test]
fn what_is_wrong_with_rules_is_said_at_the_start() {
    for (option, value, problem) in [
        ("--allow-peer", "10.0.0.7/8", "write 10.0.0.0/8, or the address alone"),
        ("--deny-peer", "example.org", "is no address and no prefix"),
        ("--allow-peer", "224.0.0.0/4", "can not be allowed: the address is a multicast address"),
        ("--allow-peer", "10.0.0.0/8:0", "write one from 1 to 65535"),
        ("--peer-rules-file", "/nonexistent", "cannot read /nonexistent"),
    ] {
        let (status, _, stderr) = relay::run(["--public-ip4-addr", "127.0.0.1", option, value]);
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(option) && stderr.contains(problem), "{stderr}");
    }
}
