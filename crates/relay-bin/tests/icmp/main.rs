//! Datagrams that do not reach a peer: the relay reports the ICMP errors in Data indications, and no other data is lost. Also,
//! datagrams with DF are not fragmented.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod client;
mod path;

use std::net::{SocketAddr, UdpSocket};

use client::Client;
use path::{HOST_V6, NARROW, Path};
use test_support::{PATIENCE, capability::has_ipv6, relay::Relay, wait_until};
use turn_client::{Allocate, IcmpError};

/// A closed port on loopback.
fn closed_port(loopback: &str) -> SocketAddr {
    UdpSocket::bind((loopback, 0)).unwrap().local_addr().unwrap()
}

fn peer(loopback: &str) -> UdpSocket {
    let peer = UdpSocket::bind((loopback, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// The ICMP error that a client should get about `peer`.
const fn heard(peer: SocketAddr, icmp_type: u8, code: u8, error_data: u32) -> IcmpError {
    IcmpError { peer, icmp_type, code, error_data }
}

#[test]
fn a_closed_port_is_told_of() {
    let relay = Relay::start(&["--workers", "2"]);
    let closed = closed_port("127.0.0.1");
    let mut client = Client::start(relay.v4());
    client.permit(closed);
    client.send(closed, b"data");
    assert_eq!(client.hear_icmp(), heard(closed, 3, 3, 0));
    client.turn.bind(0x4000, closed).unwrap();
    client.turn.send(0x4000, b"data").unwrap();
    assert_eq!(client.hear_icmp(), heard(closed, 3, 3, 0), "in a channel as well");
}

#[test]
fn a_closed_port_over_ipv6_is_told_of() {
    if !has_ipv6() {
        return;
    }
    let relay = Relay::start(&["--workers", "2"]);
    let closed = closed_port("::1");
    let mut client = Client::start(relay.v6());
    client.permit(closed);
    client.send(closed, b"data");
    assert_eq!(client.hear_icmp(), heard(closed, 1, 4, 0));
}

#[test]
fn errors_of_one_peer_lose_nothing_to_and_from_others() {
    let relay = Relay::start(&["--workers", "1"]);
    let (closed, open) = (closed_port("127.0.0.1"), peer("127.0.0.1"));
    let at_open = open.local_addr().unwrap();
    let mut client = Client::start(relay.v4());
    client.permit(at_open);
    let mut buffer = [0; 100];
    // Only errors, one at a time.
    for _ in 0..100 {
        client.send(closed, b"lost");
        client.turn.mapped_address().unwrap();
    }
    for number in 0_u32..200 {
        let data = number.to_be_bytes();
        // Many at once, so that some wait in the socket while others fail.
        for _ in 0..3 {
            client.send(closed, b"lost");
        }
        client.send(at_open, &data);
        let (length, relayed) = open.recv_from(&mut buffer).expect("no error of another is in the way");
        assert_eq!(buffer[..length], data);
        open.send_to(&data, relayed).unwrap();
        assert_eq!(client.hear_data(), (at_open, data.to_vec()));
    }
    let log = relay.stop().log;
    assert!(!log.contains("failed"), "the socket is no failing one");
    assert!(!log.contains("SendFailed"), "nothing is lost");
}

#[test]
fn where_indications_are_off_nothing_is_told() {
    let relay = Relay::start(&["--indications", "off"]);
    let (closed, open) = (closed_port("127.0.0.1"), peer("127.0.0.1"));
    let mut client = Client::start(relay.v4());
    client.turn.bind(0x4000, closed).unwrap();
    client.turn.bind(0x4001, open.local_addr().unwrap()).unwrap();
    for _ in 0..50 {
        client.turn.send(0x4000, b"data").unwrap();
        client.turn.send(0x4001, b"data").unwrap();
        let (_, relayed) = open.recv_from(&mut [0; 100]).unwrap();
        open.send_to(b"data", relayed).unwrap();
        let (channel, _) = client.turn.receive(PATIENCE).unwrap().expect("nothing but data");
        assert_eq!(channel, 0x4001);
    }
}

#[test]
fn dont_fragment_is_granted() {
    let relay = Relay::start(&[]);
    let mut client = relay.client(relay.v4(), "capability");
    client.allocate(Allocate { dont_fragment: true, ..Allocate::default() }).unwrap();
}

#[test]
fn with_the_df_bit_a_datagram_too_large_for_a_link_is_told_of_and_without_it_is_fragmented() {
    let Some(path) = Path::new() else { return };
    let _relay = path.relay();
    let (mut client, far) = (path.client(), path.far());
    let peer = far.local_addr().unwrap();
    client.permit(peer);
    let payload = [7; 1_400];
    let mut buffer = [0; 2_000];

    // The second link is narrow, so the router reports it: each time, whatever was reported before.
    for _ in 0..2 {
        client.send_unfragmented(peer, &payload);
        assert_eq!(client.hear_icmp(), heard(peer, 3, 4, NARROW));
    }
    // A datagram that fits arrives right after an error.
    client.send_unfragmented(peer, &payload[..1_000]);
    assert_eq!(far.recv(&mut buffer).unwrap(), 1_000, "the first to arrive");
    client.send(peer, &payload);
    assert_eq!(far.recv(&mut buffer).unwrap(), 1_400);
    client.turn.bind(0x4000, peer).unwrap();
    client.turn.send(0x4000, &payload).unwrap();
    assert_eq!(far.recv(&mut buffer).unwrap(), 1_400);
    // Many of both kinds in one batch.
    for _ in 0..20 {
        client.send(peer, &payload);
        client.send_unfragmented(peer, &payload[..900]);
    }
    let mut lengths: Vec<_> = (0..40).map(|_| far.recv(&mut buffer).unwrap()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [[900; 20], [1_400; 20]].concat());

    // The kernel itself reports that the first link is narrow, without a port.
    path.narrow_first_link(1_200);
    client.send_unfragmented(peer, &payload);
    assert_eq!(client.hear_icmp(), heard(SocketAddr::new(peer.ip(), 0), 3, 4, 1_200));
    client.send(peer, &payload);
    assert_eq!(far.recv(&mut buffer).unwrap(), 1_400);
}

#[test]
fn routers_and_hosts_are_told_of_in_both_families() {
    let Some(path) = Path::new() else { return };
    let _relay = path.relay();
    let mut client = path.client();
    for (peer, icmp_type, code) in path.unreachable() {
        client.permit(peer);
        client.send(peer, b"data");
        assert_eq!(client.hear_icmp(), heard(peer, icmp_type, code, 0));
    }
    // IPv6 has no DF bit, so the attribute is ignored and the source fragments.
    let far = path.far_at(HOST_V6);
    let peer = far.local_addr().unwrap();
    client.permit(peer);
    client.send_unfragmented(peer, &[7; 1_400]);
    // The first one is lost while the kernel learns the path MTU. The relay does not wait for that either.
    let mut buffer = [0; 2_000];
    wait_until(|| {
        client.send_unfragmented(peer, &[7; 1_400]);
        far.recv(&mut buffer).is_ok()
    });
}
