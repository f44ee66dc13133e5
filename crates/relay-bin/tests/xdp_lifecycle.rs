//! The kernel's program and flows appear and disappear with the relay, its allocations and its channels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::net::SocketAddr;

use test_support::{
    namespace::Namespace,
    relay::{End, Relay, allocate_and_bind},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Family};
use xdp_net::{
    LISTEN_PORT, Mode, Net, PEER, RELAY, V4, V6, address,
    peer::{Peer, check, exchange, payload, receive},
    relay_command,
    summary::Summary,
};

const CHANNEL: u16 = 0x4000;

/// A client whose channel is bound to `peer`.
fn bound(net: &Net, salt: &str, peer: SocketAddr) -> BlockingClient {
    let mut client = net.client(V4, salt);
    allocate_and_bind(&mut client, CHANNEL, peer);
    client
}

#[test]
fn a_killed_relay_leaves_nothing_in_the_kernel() {
    for mode in [Mode::Driver, Mode::Generic] {
        let Some(net) = Net::new(mode) else { return };
        let relay = net.start_relay(mode, &[]);
        assert!(net.has_program());
        relay.signal("KILL");
        let End { status, .. } = relay.wait();
        assert!(!status.success());
        // The kernel removes it a moment later.
        wait_until(|| !net.has_program());
    }
}

/// Runs a relay that does not start, in the relay's namespace. Returns its last message.
fn refused(namespace: &Namespace, options: &[&str]) -> String {
    let mut command = relay_command(RELAY[V4], options);
    let relay = namespace.within(move || Relay::spawn_silent(&mut command, LISTEN_PORT));
    let End { status, log } = relay.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    log.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_relay_that_cannot_offload_says_why_and_does_not_start() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let message = refused(&net.relay, &["--ebpf-offloading", "eth0,eth9"]);
    assert!(message.contains("EBPF_OFFLOADING") && message.contains("\"eth9\""), "{message}");
    assert!(!net.has_program());

    let message = refused(&net.relay, &["--ebpf-offloading", "lo"]);
    assert!(message.contains("driver mode") && message.contains("generic mode works"), "{message}");

    let first = net.start_relay(Mode::Driver, &[]);
    for mode in ["driver", "generic"] {
        let options = ["--listen-port", "3479", "--ebpf-offloading", "eth0", "--ebpf-attach-mode", mode];
        let message = refused(&net.relay, &options);
        assert!(message.contains("another XDP program is attached"), "{message}");
    }
    assert!(net.has_program());
    assert!(first.stop().status.success());
    assert!(!net.has_program());
}

#[test]
fn what_has_ended_is_not_relayed_by_the_kernel_either() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &[]);
    let peer = Peer::start(&net.peer, address(PEER[V4], 0));
    let (mut ends, mut lives) = (bound(&net, "ends", peer.address), bound(&net, "lives", peer.address));
    exchange(&mut ends, CHANNEL, 0..100);
    exchange(&mut lives, CHANNEL, 100..200);
    ends.refresh(std::time::Duration::ZERO).unwrap();
    for number in 1000..1100 {
        ends.send(CHANNEL, &payload(number)).unwrap();
    }
    exchange(&mut lives, CHANNEL, 200..300);
    // The last packet arrives after all earlier ones.
    let mut numbers = peer.end(&mut lives, CHANNEL);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..300), "what came after the end has reached the peer");
    let End { log, .. } = relay.stop();
    let summary = Summary::of(&log);
    assert!(summary.passed("no_route") >= 100, "{summary:?}");
    assert_eq!((summary.in_kernel() + summary.in_user_space()).packets, 601, "{summary:?}");
    assert!(summary.in_user_space().packets <= Summary::tolerance(601), "{summary:?}");
}

#[test]
fn a_peer_that_is_denied_is_not_relayed_to_by_the_kernel_either() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("peers");
    std::fs::write(&rules, "").unwrap();
    let relay = net.start_relay(Mode::Driver, &["--peer-rules-file", rules.to_str().unwrap()]);
    let (denied, other) = (Peer::start(&net.peer, address(PEER[V4], 0)), Peer::start(&net.peer, address(PEER[V4], 0)));
    let (mut to_denied, mut to_other) = (bound(&net, "a", denied.address), bound(&net, "b", other.address));
    exchange(&mut to_denied, CHANNEL, 0..100);
    exchange(&mut to_other, CHANNEL, 100..200);
    std::fs::write(&rules, format!("deny {}\n", denied.address)).unwrap();
    wait_until(|| relay.has_logged("a peer is not allowed any more"));
    for number in 1000..1100 {
        to_denied.send(CHANNEL, &payload(number)).unwrap();
    }
    exchange(&mut to_other, CHANNEL, 200..300);
    assert_eq!(to_denied.bind(CHANNEL, denied.address).unwrap_err().code(), Some(403));
    assert!(other.end(&mut to_other, CHANNEL).len() == 200);
    std::fs::write(&rules, "").unwrap();
    wait_until(|| to_denied.bind(CHANNEL, denied.address).is_ok());
    let mut numbers = denied.end(&mut to_denied, CHANNEL);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100), "what came after the rule has reached the peer");
    let End { log, .. } = relay.stop();
    let summary = Summary::of(&log);
    assert!(summary.passed("no_route") >= 100, "{summary:?}");
}

#[test]
fn flows_beyond_the_map_are_relayed_by_user_space() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = net.start_relay(Mode::Generic, &["--ebpf-max-flows", "2"]);
    let peer = Peer::start(&net.peer, address(PEER[V4], 0));
    let mut first = bound(&net, "first", peer.address);
    let mut second = bound(&net, "second", peer.address);
    exchange(&mut first, CHANNEL, 0..500);
    exchange(&mut second, CHANNEL, 500..1000);
    let mut third = bound(&net, "third", peer.address);
    exchange(&mut third, CHANNEL, 1000..1500);
    let numbers = peer.end(&mut third, CHANNEL);
    assert_eq!(numbers.len(), 1500);
    let End { log, .. } = relay.stop();
    let summary = Summary::of(&log);
    assert_eq!(summary.flows_not_taken(), 4, "{summary:?}");
    let (kernel, user_space) = (summary.in_kernel().packets, summary.in_user_space().packets);
    assert_eq!(kernel + user_space, 3001, "{summary:?}");
    assert!((2001..=2001 + Summary::tolerance(3001)).contains(&user_space), "{summary:?}");
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("EBPF_MAX_FLOWS")).count();
    assert_eq!(warnings, 1, "{log}");
}

#[test]
fn flows_that_found_the_map_full_enter_when_there_is_room() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = net.start_relay(Mode::Generic, &["--ebpf-max-flows", "2"]);
    let peer = Peer::start(&net.peer, address(PEER[V4], 0));
    let mut hog = bound(&net, "hog", peer.address);
    let mut clients: Vec<_> = (0..4).map(|number| bound(&net, &format!("waits{number}"), peer.address)).collect();
    exchange(&mut hog, CHANNEL, 0..100);
    for client in &mut clients {
        exchange(client, CHANNEL, 100..200);
    }
    // Each ended allocation makes room for another client's flows.
    hog.refresh(std::time::Duration::ZERO).unwrap();
    while !clients.is_empty() {
        // An idle worker installs waiting flows at its next packet.
        for client in &mut clients {
            exchange(client, CHANNEL, 200..202);
        }
        for client in &mut clients {
            exchange(client, CHANNEL, 1_000..1_100);
        }
        clients.remove(0).refresh(std::time::Duration::ZERO).unwrap();
    }
    let End { log, .. } = relay.stop();
    let summary = Summary::of(&log);
    // In each of four rounds the kernel relays for one more client.
    let in_kernel = 200 + 4 * 200;
    assert!(summary.in_kernel().packets >= in_kernel - Summary::tolerance(in_kernel), "{summary:?}");
}

#[test]
fn an_allocation_has_its_share_of_the_map_and_the_rest_is_relayed_by_user_space() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = net.start_relay(Mode::Generic, &["--ebpf-channels-per-allocation", "1"]);
    let [one, other] = [1, 2].map(|_| Peer::start(&net.peer, address(PEER[V4], 0)));
    let mut greedy = bound(&net, "greedy", one.address);
    greedy.bind(CHANNEL + 1, other.address).unwrap();
    let mut modest = bound(&net, "modest", one.address);
    exchange(&mut greedy, CHANNEL, 0..500);
    exchange(&mut greedy, CHANNEL + 1, 0..500);
    exchange(&mut modest, CHANNEL, 500..1000);
    assert_eq!(one.end(&mut modest, CHANNEL).len(), 1000);
    assert_eq!(other.end(&mut greedy, CHANNEL + 1).len(), 500);
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    let (kernel, user_space) = (summary.in_kernel().packets, summary.in_user_space().packets);
    assert_eq!(kernel + user_space, 3002, "{summary:?}");
    assert!((1001..=1001 + Summary::tolerance(3002)).contains(&user_space), "{summary:?}");
}

#[test]
fn with_a_limit_on_bandwidth_all_is_relayed_by_user_space_which_a_line_says() {
    let Some(net) = Net::new(Mode::Generic) else { return };
    let relay = net.start_relay(Mode::Generic, &["--max-bandwidth", "100Gbit"]);
    let peer = Peer::start(&net.peer, address(PEER[V4], 0));
    let mut client = bound(&net, "client", peer.address);
    exchange(&mut client, CHANNEL, 0..200);
    assert_eq!(peer.end(&mut client, CHANNEL).len(), 200);
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    assert_eq!((summary.in_kernel().packets, summary.in_user_space().packets), (0, 401), "{summary:?}");
    assert!(log.contains("bandwidth is limited, so that all is relayed in user space"), "{log}");
}

#[test]
fn clients_of_one_relay_reach_each_other_in_the_kernel() {
    const PACKETS: u32 = 200;
    for families in [(V4, V4), (V4, V6)] {
        let Some(net) = Net::new(Mode::Driver) else { return };
        // With several workers, the clients might be on different ones, and cross in user space.
        let relay = net.start_relay(Mode::Driver, &["--workers", "1"]);
        let (mut one, mut other) = (net.client(families.0, "one"), net.client(families.1, "other"));
        let allocate = || Allocate { family: Some(Family::V4), ..Allocate::default() };
        let relayed = |client: &mut BlockingClient| client.allocate(allocate()).unwrap().relayed[0];
        let (one_relayed, other_relayed) = (relayed(&mut one), relayed(&mut other));
        one.bind(CHANNEL, other_relayed).unwrap();
        other.bind(CHANNEL + 1, one_relayed).unwrap();
        let mut bytes = 0;
        for number in 0..PACKETS {
            let data = payload(number);
            bytes += 2 * data.len() as u64;
            one.send(CHANNEL, &data).unwrap();
            let (channel, received) = receive(&mut other).expect("lost");
            assert_eq!((channel, check(&received)), (CHANNEL + 1, number));
            other.send(CHANNEL + 1, &data).unwrap();
            let (channel, received) = receive(&mut one).expect("lost");
            assert_eq!((channel, check(&received)), (CHANNEL, number));
        }
        let End { log, .. } = relay.stop();
        let summary = Summary::of(&log);
        let sent = summary.in_kernel() + summary.in_user_space();
        assert_eq!((sent.packets, sent.bytes), (2 * u64::from(PACKETS), bytes), "{summary:?}");
        assert!(summary.in_user_space().packets <= Summary::tolerance(sent.packets), "{summary:?}");
    }
}
