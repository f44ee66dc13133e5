//! Clients with indications that the kernel relays, between network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::{net::UdpSocket, time::Duration};

use test_support::{PATIENCE, wait_until};
use turn_client::{
    Allocate, IcmpError, Request, decode_data_indication, decode_icmp_indication, encode_send_indication,
};
use xdp_net::{
    Mode, Net,
    indications::{client, peer},
    summary::{Summary, Traffic},
};

const CHANNEL: u16 = 0x4000;
const ROUNDS: u64 = 200;
const DATA: &[u8] = b"some data";

fn answer(peer: &UdpSocket) {
    let mut buffer = [0; 100];
    let (length, relayed) = peer.recv_from(&mut buffer).expect("data from the client");
    assert_eq!(&buffer[..length], DATA);
    peer.send_to(DATA, relayed).unwrap();
}

#[test]
fn a_peer_with_a_permission_only_is_relayed_in_the_kernel_beside_one_with_a_channel() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &["--workers", "1"]);
    let (mut client, socket) = client(&net);
    // Both peers have the same address, which the channel permits as well.
    let ((bound, at_bound), (permitted, at_permitted)) = (peer(&net), peer(&net));
    client.bind(CHANNEL, at_bound).unwrap();
    client.request(Request::CreatePermission { peers: vec![at_permitted] }).unwrap();
    let mut buffer = [0; 2_048];
    for _ in 0..ROUNDS {
        client.send(CHANNEL, DATA).unwrap();
        answer(&bound);
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((CHANNEL, DATA.to_vec())));
        socket.send(&encode_send_indication(at_permitted, DATA, 7, true)).unwrap();
        answer(&permitted);
        let length = socket.recv(&mut buffer).expect("a Data indication");
        assert_eq!(decode_data_indication(&buffer[..length]), Some((at_permitted, DATA.to_vec())));
    }
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    let (in_kernel, in_user_space) = (summary.in_kernel(), summary.in_user_space());
    let sent = Traffic { packets: 4 * ROUNDS, bytes: 4 * ROUNDS * u64::try_from(DATA.len()).unwrap() };
    assert_eq!(in_kernel + in_user_space, sent, "{summary:?}");
    // User space relays the first Send indication, from which it learns the peer. The answer may come before the flow is installed.
    let tolerated = 1..=2 + Summary::tolerance(sent.packets);
    assert!(tolerated.contains(&in_user_space.packets), "{summary:?}");
    // The allocation's account has all data, to the byte.
    let each_way = sent.bytes / 2;
    for way in ["to_peers_bytes", "from_peers_bytes"] {
        let in_kernel = account(&log, &format!("kernel_{way}"));
        assert_eq!(account(&log, way) + in_kernel, each_way, "{way}, {in_kernel} of it in the kernel");
    }
}

/// A figure in the log line about the only ended allocation.
fn account(log: &str, name: &str) -> u64 {
    let line = log.lines().find(|line| line.contains("allocation ended") && line.contains("complete=true"));
    let mut words = line.unwrap_or_else(|| panic!("{log}")).split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{name} in {log}")).parse().unwrap()
}

#[test]
fn an_allocation_takes_what_the_kernel_relays_by_indications_along() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &["--workers", "1"]);
    let (mut client, socket) = client(&net);
    let (talking, at_peer) = peer(&net);
    client.request(Request::CreatePermission { peers: vec![at_peer] }).unwrap();
    let mut buffer = [0; 2_048];
    let mut relayed = None;
    for _ in 0..ROUNDS {
        socket.send(&encode_send_indication(at_peer, DATA, 7, true)).unwrap();
        let (length, from) = talking.recv_from(&mut buffer).expect("data from the client");
        assert_eq!(&buffer[..length], DATA);
        relayed = Some(from);
        talking.send_to(DATA, from).unwrap();
        let length = socket.recv(&mut buffer).expect("a Data indication");
        assert_eq!(decode_data_indication(&buffer[..length]), Some((at_peer, DATA.to_vec())));
    }
    client.refresh(Duration::ZERO).unwrap();
    // The allocation has ended, so nothing may be relayed in either direction.
    socket.send(&encode_send_indication(at_peer, DATA, 7, true)).unwrap();
    talking.send_to(DATA, relayed.unwrap()).unwrap();
    // The response to this comes after both datagrams were handled.
    client.allocate(Allocate::default()).unwrap();
    talking.set_nonblocking(true).unwrap();
    assert!(talking.recv(&mut buffer).is_err(), "relayed without an allocation");
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    assert_eq!((summary.in_kernel() + summary.in_user_space()).packets, 2 * ROUNDS, "{summary:?}");
    assert!(summary.in_user_space().packets <= 2 + Summary::tolerance(2 * ROUNDS), "{summary:?}");
}

#[test]
fn an_icmp_error_about_what_the_kernel_relayed_is_told() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &["--workers", "1"]);
    let (mut client, socket) = client(&net);
    let (open, at_peer) = peer(&net);
    client.bind(CHANNEL, at_peer).unwrap();
    for _ in 0..ROUNDS {
        client.send(CHANNEL, DATA).unwrap();
        answer(&open);
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((CHANNEL, DATA.to_vec())));
    }
    drop(open);
    client.send(CHANNEL, DATA).unwrap();
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer).expect("a Data indication");
    let expected = IcmpError { peer: at_peer, icmp_type: 3, code: 3, error_data: 0 };
    assert_eq!(decode_icmp_indication(&buffer[..length]), Some(expected));
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    assert!(summary.in_user_space().packets <= Summary::tolerance(2 * ROUNDS), "{summary:?}");
}

#[test]
fn what_goes_by_indications_ends_in_the_kernel_with_its_permission() {
    let Some(net) = Net::new(Mode::Driver) else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("peers");
    std::fs::write(&rules, "").unwrap();
    let relay = net.start_relay(Mode::Driver, &["--workers", "1", "--peer-rules-file", rules.to_str().unwrap()]);
    let (mut client, socket) = client(&net);
    let (peer, at_peer) = peer(&net);
    let permission = || Request::CreatePermission { peers: vec![at_peer] };
    let send = |data: &[u8]| _ = socket.send(&encode_send_indication(at_peer, data, 7, true)).unwrap();
    client.request(permission()).unwrap();
    for _ in 0..ROUNDS {
        send(DATA);
        answer(&peer);
        socket.recv(&mut [0; 2_048]).expect("a Data indication");
    }
    std::fs::write(&rules, format!("deny {}\n", at_peer.ip())).unwrap();
    wait_until(|| relay.has_logged("a peer is not allowed any more"));
    (0..ROUNDS).for_each(|_| send(b"denied"));
    // The response to this comes after all earlier datagrams were handled.
    assert!(client.request(permission()).is_err());
    std::fs::write(&rules, "").unwrap();
    wait_until(|| client.request(permission()).is_ok());
    send(DATA);
    // If one of the denied datagrams had been relayed, it would arrive first.
    answer(&peer);
    let log = relay.stop().log;
    let summary = Summary::of(&log);
    assert!(summary.passed("no_route") >= ROUNDS, "{summary:?}");
    // The first packet in each direction may come before the flow is installed.
    assert!(summary.in_kernel().packets >= 2 * ROUNDS - 2 - Summary::tolerance(2 * ROUNDS), "{summary:?}");
}
