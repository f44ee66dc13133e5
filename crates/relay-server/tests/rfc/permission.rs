//! RFC 8656, sections 9 and 10.

use std::net::SocketAddr;

use relay_server::{AllocationPort, DropReason};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Client, RELAY_V4, Relay, Request, allocate, allocate_dual_stack, bind, kind, method, permit};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_datagram_from_a_stranger_is_dropped() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = socket("203.0.113.1:9");
    assert_eq!(relay.receive_from_peer(port, peer, b"data"), None);
    relay.granted(&mut client, &bind(0x4000, peer));
    assert!(relay.receive_from_peer(port, peer, b"data").is_some());
    relay.take_events();
    for stranger in ["203.0.113.2:9", "203.0.113.1:10", "[::ffff:203.0.113.1]:9", "[2001:db8::9]:9"] {
        assert_eq!(relay.receive_from_peer(port, socket(stranger), b"data"), None);
        assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
    }
    assert_eq!(relay.take_sent(), None, "silently");
}

#[test]
fn a_peer_of_one_allocation_is_a_stranger_to_another() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (client(), Client::new("198.51.100.7:50001"));
    relay.allocate(&mut one);
    let port = AllocationPort::new(relay.allocate(&mut other).port());
    let peer = socket("203.0.113.1:9");
    relay.granted(&mut one, &bind(0x4000, peer));
    relay.granted(&mut one, &permit(&[peer]));
    relay.take_events();
    assert_eq!(relay.receive_from_peer(port, peer, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
}

#[test]
fn without_a_peer_address_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    assert_eq!(relay.outcome(&mut client, &permit(&[])), Err(400));
}

#[test]
fn an_invalid_peer_address_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    let peer = socket("203.0.113.1:9");
    for invalid in
        [&[][..], &[0, 1, 0, 9], &[0, 1, 0, 9, 1, 2, 3], &[0, 2, 0, 9, 1, 2, 3, 4], &[0, 7, 0, 9, 1, 2, 3, 4]]
    {
        let request = Request::new(method::CREATE_PERMISSION).with(kind::XOR_PEER_ADDRESS, invalid);
        assert_eq!(relay.outcome(&mut client, &request), Err(400), "{invalid:?}");
        assert_eq!(relay.outcome(&mut client, &request.with_peer(peer)), Err(400), "before a valid one");
        let request = permit(&[peer]).with(kind::XOR_PEER_ADDRESS, invalid);
        assert_eq!(relay.outcome(&mut client, &request), Err(400), "after a valid one");
    }
}

#[test]
fn another_family_is_refused_with_443() {
    let mut relay = Relay::new();
    let (mut v4, mut v6) = (client(), Client::new("198.51.100.7:50001"));
    relay.granted(&mut v4, &allocate());
    relay.granted(&mut v6, &allocate().with_family(2));
    let (peer_v4, peer_v6) = (socket("203.0.113.1:9"), socket("[2001:db8::9]:9"));
    for (client, own, other) in [(&mut v4, peer_v4, peer_v6), (&mut v6, peer_v6, peer_v4)] {
        assert_eq!(relay.outcome(client, &permit(&[own])), Ok(()));
        assert_eq!(relay.outcome(client, &permit(&[other])), Err(443));
        assert_eq!(relay.outcome(client, &permit(&[own, other])), Err(443));
    }
    let mut dual = Client::new("198.51.100.7:50002");
    relay.granted(&mut dual, &allocate_dual_stack());
    assert_eq!(relay.outcome(&mut dual, &permit(&[peer_v4, peer_v6])), Ok(()));
}

#[test]
fn a_forbidden_peer_is_refused_with_403() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    let peer = socket("203.0.113.1:9");
    for forbidden in [
        "0.0.0.0:9",
        "224.0.0.1:9",
        "239.255.255.255:9",
        "255.255.255.255:9",
        "[::]:9",
        "[ff02::1]:9",
        "[::ffff:203.0.113.1]:9",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:9",
        "[2002:c633:6407::1]:9",
    ] {
        assert_eq!(relay.outcome(&mut client, &permit(&[socket(forbidden)])), Err(403), "{forbidden}");
        assert_eq!(relay.outcome(&mut client, &permit(&[peer, socket(forbidden)])), Err(403), "{forbidden}");
    }
}

#[test]
fn several_peers_are_accepted_and_their_ports_ignored() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let relay_itself = SocketAddr::new(RELAY_V4.into(), 3478);
    let peers = [socket("203.0.113.1:9"), socket("203.0.113.2:0"), socket("203.0.113.1:65535"), relay_itself];
    assert_eq!(relay.outcome(&mut client, &permit(&peers)), Ok(()));
}

#[test]
fn success_is_empty_but_for_integrity() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let response = relay.granted(&mut client, &permit(&[socket("203.0.113.1:9")]));
    assert_eq!(response.kinds(), [kind::MESSAGE_INTEGRITY]);
}
