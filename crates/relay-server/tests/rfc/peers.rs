//! Which peers are allowed (RFC 8656, sections 10.2, 12.2 and 21.1.7), and what happens when a peer is no longer allowed.

use std::net::{IpAddr, SocketAddr};

use relay_server::{AllocationPort, DropReason, Event, Output, PeerPolicy, PeerRule, RelayAddresses, RelayOpenError};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, Request, allocate, allocate_dual_stack, bind, channel_data, delete,
    kind, method, permit,
};

const PEER: &str = "203.0.113.1:9";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A relay with addresses for documentation, the default table, and these rules.
fn relay_with(rules: &[&str]) -> Relay {
    let policy = policy(rules);
    Relay::with(|config| config.peer_policy = policy.into())
}

fn policy(rules: &[&str]) -> PeerPolicy {
    let addresses = RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) };
    PeerPolicy::of_relay_at(&addresses, rules.iter().map(|rule| rule.parse::<PeerRule>().unwrap()))
}

fn reload(relay: &mut Relay, rules: &[&str]) {
    relay.server.handle_peer_policy(policy(rules).into());
    relay.drain();
}

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn send_to(peer: SocketAddr) -> Request {
    Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, b"data")
}

#[test]
fn what_is_not_for_strangers_is_refused_with_403_in_each_request() {
    let mut relay = relay_with(&[]);
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    for peer in [
        "10.0.0.1:9",
        "127.0.0.1:5353",
        "169.254.169.254:80",
        "100.64.0.1:9",
        "192.168.0.1:9",
        "192.0.2.1:53",
        "[::1]:53",
        "[fd00:ec2::254]:80",
        "[64:ff9b::a00:9]:9",
        "[2001:db8::1]:53",
    ] {
        let peer = socket(peer);
        relay.take_events();
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer)), Err(403), "{peer}");
        let refused = relay.take_events().into_iter().filter(|event| matches!(event, Event::PeerRefused { .. }));
        assert_eq!(refused.count(), 1, "{peer}");
        // Permissions for the relay's own address allow its allocations. The port of each datagram is checked.
        if !relay_addresses().contains(&peer.ip()) {
            assert_eq!(relay.outcome(&mut client, &permit(&[peer])), Err(403), "{peer}");
            assert_eq!(relay.outcome(&mut client, &permit(&[socket(PEER), peer])), Err(403), "beside one that may");
        }
    }
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, socket("8.8.8.8:53"))), Ok(()));
    assert_eq!(relay.outcome(&mut client, &bind(0x4001, socket("192.0.2.1:50001"))), Ok(()), "relay to relay");
    assert_eq!(relay.outcome(&mut client, &bind(0x4002, socket("[2606:4700::1111]:53"))), Ok(()));
}

fn relay_addresses() -> [IpAddr; 2] {
    [RELAY_V4.into(), RELAY_V6.into()]
}

#[test]
fn a_peer_that_is_denied_later_loses_channel_permission_and_flows() {
    let mut relay = relay_with(&[]);
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let (denied, other) = (socket(PEER), socket("203.0.113.2:9"));
    relay.granted(&mut client, &bind(0x4000, denied));
    relay.granted(&mut client, &bind(0x4001, other));
    assert_eq!(relay.flows.len(), 4);
    relay.take_events();

    reload(&mut relay, &["deny 203.0.113.1"]);
    assert_eq!(relay.flows.len(), 2, "those of the other one");
    let events = relay.take_events();
    let revoked = events.iter().filter(|event| matches!(event, Event::PeerRevoked { .. })).count();
    assert_eq!(revoked, 2, "the channel and the permission: {events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::ChannelReleased { .. })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::PermissionExpired { .. })), "{events:?}");

    assert_eq!(relay.receive(&client, &channel_data(0x4000, b"data")), None);
    assert_eq!(relay.take_drops(), [DropReason::NoChannel]);
    assert_eq!(relay.receive_from_peer(port, denied, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
    assert!(relay.receive(&client, &channel_data(0x4001, b"data")).is_some());
    assert!(relay.receive_from_peer(port, other, b"data").is_some());
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, denied)), Err(403));

    // The peer can be allowed again, and the channel number is free at once.
    reload(&mut relay, &[]);
    relay.granted(&mut client, &bind(0x4000, denied));
    assert!(relay.receive_from_peer(port, denied, b"data").is_some());
    relay.granted(&mut client, &delete());
    assert_eq!((relay.server.allocation_count(), relay.flows.len()), (0, 0));
}

#[test]
fn a_permission_lets_through_the_ports_that_are_allowed_and_no_others() {
    let mut relay = relay_with(&["deny 203.0.113.1:53"]);
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let (allowed, denied) = (socket(PEER), socket("203.0.113.1:53"));
    relay.granted(&mut client, &permit(&[allowed]));
    relay.take_events();
    let (to_allowed, to_denied) = (client.unsigned(&send_to(allowed)), client.unsigned(&send_to(denied)));
    assert!(relay.receive(&client, &to_allowed).is_some());
    assert!(relay.receive_from_peer(port, allowed, b"data").is_some());
    assert_eq!(relay.receive(&client, &to_denied), None);
    assert_eq!(relay.take_drops(), [DropReason::PeerForbidden]);
    assert_eq!(relay.receive_from_peer(port, denied, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::PeerForbidden]);
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, denied)), Err(403));

    // A rule about ports applies to existing permissions.
    reload(&mut relay, &["deny 203.0.113.1:9"]);
    assert_eq!(relay.receive(&client, &to_allowed), None);
    assert!(relay.receive(&client, &to_denied).is_some());
    reload(&mut relay, &[]);
    assert!(relay.receive(&client, &to_allowed).is_some());
    assert!(relay.receive(&client, &to_denied).is_some());
}

#[test]
fn of_the_relays_own_machine_allocations_alone_are_reached_by_a_permission() {
    let mut relay = relay_with(&[]);
    let (mut client, mut other) = (client(), Client::new("198.51.100.7:50001"));
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let relayed = relay.allocate(&mut other);
    relay.granted(&mut client, &permit(&[relayed]));
    relay.granted(&mut other, &permit(&[SocketAddr::new(RELAY_V4.into(), port.get())]));
    let to = |client: &mut Client, port| client.unsigned(&send_to(SocketAddr::new(RELAY_V4.into(), port)));
    let datagram = to(&mut client, relayed.port());
    assert!(relay.receive(&client, &datagram).is_some());
    relay.take_events();
    for own in [53, LISTEN_PORT, 40_000] {
        let datagram = to(&mut client, own);
        assert_eq!(relay.receive(&client, &datagram), None, "{own}");
        assert_eq!(relay.take_drops(), [DropReason::PeerForbidden]);
        assert_eq!(relay.receive_from_peer(port, SocketAddr::new(RELAY_V4.into(), own), b"data"), None, "{own}");
        assert_eq!(relay.take_drops(), [DropReason::PeerForbidden]);
    }
}

#[test]
fn a_peer_whose_address_the_relays_machine_gets_is_a_peer_no_more() {
    let mut relay = relay_with(&[]);
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = socket(PEER);
    relay.granted(&mut client, &bind(0x4000, peer));
    relay.own_addresses(|addresses| addresses.own.push(peer.ip()));
    assert_eq!(relay.flows.len(), 0);
    relay.take_events();
    assert_eq!(relay.receive(&client, &channel_data(0x4000, b"data")), None);
    assert_eq!(relay.take_drops(), [DropReason::NoChannel]);
    assert_eq!(relay.receive_from_peer(port, peer, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::PeerForbidden], "the permission is for allocations there");
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer)), Err(403));

    relay.own_addresses(|_| ());
    relay.granted(&mut client, &bind(0x4000, peer));
    assert!(relay.receive_from_peer(port, peer, b"data").is_some());
}

#[test]
fn a_client_that_is_an_allocation_of_this_relay_is_refused_with_403() {
    let mut relay = relay_with(&[]);
    relay.recorded = Some(Vec::new());
    let own = SocketAddr::new(RELAY_V4.into(), 50_000);
    let mut nested = Client::new("192.0.2.1:50000");
    relay.answers.push_back(Err(RelayOpenError::OwnClient));
    assert_eq!(relay.outcome(&mut nested, &allocate()), Err(403));
    assert_eq!(relay.server.allocation_count(), 0);
    // The caller knows whether an allocation of any worker has this port. It may be another program.
    relay.allocate(&mut nested);
    relay.allocate(&mut client());
    let mut same_machine = Client::new("192.0.2.1:40000");
    relay.allocate(&mut same_machine);
    let asked = relay.recorded.take().unwrap().into_iter().filter_map(|output| match output {
        Output::OpenRelay { own_client, .. } => Some(own_client),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [Some(own), Some(own), None, None]);
}

#[test]
fn the_reason_phrase_says_what_to_do() {
    let mut relay = relay_with(&[]);
    let mut client = client();
    relay.allocate(&mut client);
    let response = relay.ask(&mut client, &bind(0x4000, socket("10.0.0.9:53")));
    let error_code = response.attribute(kind::ERROR_CODE).unwrap();
    let phrase = std::str::from_utf8(&error_code[4..]).unwrap();
    assert_eq!(phrase, "Forbidden: the peer is denied: 10.0.0.0/8 is a private network (--allow-peer 10.0.0.0/8)");
    let events = relay.take_events();
    let reason = events.iter().find_map(|event| match event {
        Event::PeerRefused { reason, .. } => Some(reason.name()),
        _ => None,
    });
    assert_eq!(reason, Some("private"));
}
