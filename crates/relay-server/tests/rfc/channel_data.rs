//! RFC 8656, sections 12.4 to 12.7: data on channels.

use std::net::SocketAddr;

use relay_server::{
    AllocationPort, Arriving, ChannelNumber, DropReason, Encapsulation, Flow, FlowKey, Forward, Leaving, Via,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Client, LISTEN_PORT, Relay, allocate, bind, channel_data};

const CHANNEL: u16 = 0x4ABC;

fn peer() -> SocketAddr {
    "203.0.113.1:9".parse().unwrap()
}

/// A relay, a client that has bound [`CHANNEL`] to [`peer`], and the port of its allocation.
fn bound() -> (Relay, Client, AllocationPort) {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    let response = relay.granted(&mut client, &allocate().with_lifetime(3600));
    relay.granted(&mut client, &bind(CHANNEL, peer()));
    relay.take_events();
    (relay, client, AllocationPort::new(response.relayed()[0].port()))
}

#[test]
fn goes_from_the_relayed_address_to_the_peer() {
    let (mut relay, client, port) = bound();
    let forward = relay.receive(&client, &channel_data(CHANNEL, b"hello")).unwrap();
    assert_eq!(
        forward,
        Forward { from: Via::Relay(port), to: peer(), encapsulation: Encapsulation::Bare, payload: 4..9 }
    );
    assert_eq!(relay.take_events(), [], "a relayed packet is no event");
}

#[test]
fn a_peers_datagram_arrives_on_its_channel() {
    let (mut relay, client, port) = bound();
    let forward = relay.receive_from_peer(port, peer(), b"hello").unwrap();
    let encapsulation = Encapsulation::Channel(ChannelNumber::new(CHANNEL).unwrap());
    let expected = Forward { from: Via::Listener(client.server), to: client.socket, encapsulation, payload: 0..5 };
    assert_eq!(forward, expected);
    assert_eq!(relay.take_events(), []);
}

#[test]
fn an_empty_message_is_relayed() {
    let (mut relay, client, port) = bound();
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL, b"")).unwrap().payload, 4..4);
    assert_eq!(relay.receive_from_peer(port, peer(), b"").unwrap().payload, 0..0);
}

#[test]
fn the_largest_message_is_relayed() {
    let (mut relay, client, port) = bound();
    let data = vec![7; 65_507 - 4];
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL, &data)).unwrap().payload, 4..65_507);
    assert_eq!(relay.receive_from_peer(port, peer(), &data).unwrap().payload, 0..65_503);
}

#[test]
fn padding_is_not_relayed() {
    let (mut relay, client, _) = bound();
    for padding in 0..8 {
        let mut message = channel_data(CHANNEL, b"hello");
        message.extend(vec![0xEE; padding]);
        assert_eq!(relay.receive(&client, &message).unwrap().payload, 4..9);
    }
}

#[test]
fn a_truncated_message_is_dropped() {
    let (mut relay, client, _) = bound();
    let message = channel_data(CHANNEL, b"hello");
    for len in 1..message.len() {
        assert_eq!(relay.receive(&client, &message[..len]), None);
        assert_eq!(relay.take_drops(), [DropReason::TruncatedChannelData], "{len}");
    }
    assert!(relay.receive(&client, &message).is_some());
}

#[test]
fn reserved_first_bytes_are_dropped() {
    let (mut relay, client, _) = bound();
    for first in 0x80..=0xFF {
        let mut message = channel_data(CHANNEL, b"hello");
        message[0] = first;
        assert_eq!(relay.receive(&client, &message), None);
        assert_eq!(relay.take_drops(), [DropReason::NotStunNorChannelData], "{first:#04x}");
    }
    assert_eq!(relay.take_sent(), None);
}

#[test]
fn an_unbound_channel_is_dropped() {
    let (mut relay, client, _) = bound();
    for channel in [0x4000, CHANNEL - 1, CHANNEL + 1, 0x7FFF] {
        assert_eq!(relay.receive(&client, &channel_data(channel, b"hello")), None);
        assert_eq!(relay.take_drops(), [DropReason::NoChannel]);
    }
    assert_eq!(relay.take_sent(), None, "silently");
}

#[test]
fn a_lapsed_channel_is_dropped() {
    let (mut relay, client, port) = bound();
    relay.advance_secs(600);
    relay.take_events();
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL, b"hello")), None);
    assert_eq!(relay.take_drops(), [DropReason::NoChannel]);
    assert_eq!(relay.receive_from_peer(port, peer(), b"hello"), None);
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
}

#[test]
fn a_lapsed_channel_is_dropped_also_when_nobody_woke_the_relay() {
    let (mut relay, client, port) = bound();
    relay.now = relay.now + std::time::Duration::from_secs(600);
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL, b"hello")), None);
    assert_eq!(relay.receive_from_peer(port, peer(), b"hello"), None);
}

#[test]
fn does_not_refresh_the_binding() {
    let (mut relay, client, port) = bound();
    for _ in 0..599 {
        relay.advance_secs(1);
        assert!(relay.receive(&client, &channel_data(CHANNEL, b"hello")).is_some());
        assert!(relay.receive_from_peer(port, peer(), b"hello").is_some());
    }
    relay.advance_secs(1);
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL, b"hello")), None);
}

#[test]
fn comes_from_its_five_tuple_only() {
    let (mut relay, client, _) = bound();
    let elsewhere = ["198.51.100.7:50001", "198.51.100.8:50000", "[::ffff:198.51.100.7]:50000"];
    for elsewhere in elsewhere {
        let stranger = Client { server: client.server, ..Client::new(elsewhere) };
        assert_eq!(relay.receive(&stranger, &channel_data(CHANNEL, b"hello")), None);
        assert_eq!(relay.take_drops(), [DropReason::NoAllocation], "{elsewhere}");
    }
    let other_server = Client { server: "10.0.0.1".parse().unwrap(), ..client };
    assert_eq!(relay.receive(&other_server, &channel_data(CHANNEL, b"hello")), None);
}

#[test]
fn a_peer_at_a_port_without_an_allocation_is_dropped() {
    let (mut relay, _, port) = bound();
    for port in [port.get() ^ 1, 49_151, LISTEN_PORT, 0, 65_535] {
        assert_eq!(relay.receive_from_peer(AllocationPort::new(port), peer(), b"hello"), None);
        assert_eq!(relay.take_drops(), [DropReason::UnknownPort]);
    }
}

#[test]
fn a_faster_data_path_is_told_the_same() {
    let (relay, client, port) = bound();
    let (listener, channel) = (Via::Listener(client.server), ChannelNumber::new(CHANNEL).unwrap());
    let to_peer = Flow {
        key: FlowKey { remote: client.socket, local_port: LISTEN_PORT, carries: Arriving::Channel(channel) },
        arrives: listener,
        leaves: Via::Relay(port),
        to: peer(),
        leaves_in: Leaving::Bare,
        from_client_of: Some(port),
        to_client_of: None,
    };
    let to_client = Flow {
        key: FlowKey { remote: peer(), local_port: port.get(), carries: Arriving::Bare },
        arrives: Via::Relay(port),
        leaves: listener,
        to: client.socket,
        leaves_in: Leaving::Channel(channel),
        from_client_of: None,
        to_client_of: Some(port),
    };
    let mut flows: Vec<_> = relay.flows.into_values().collect();
    flows.sort_by_key(|flow| flow.key.carries == Arriving::Bare);
    assert_eq!(flows, [to_peer, to_client]);
}

#[test]
fn two_clients_of_one_relay_are_crossed_directly() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("[2001:db8:7::5]:61000"));
    let (at_one, at_other) = (relay.allocate(&mut one), relay.allocate(&mut other));
    relay.granted(&mut one, &bind(0x4001, at_other));
    relay.take_events();
    assert_eq!(relay.receive(&one, &channel_data(0x4001, b"hello")), None, "the other has not bound a channel yet");
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
    assert_eq!(relay.flows.len(), 0);

    relay.granted(&mut other, &bind(0x4002, at_one));
    let to_other = relay.receive(&one, &channel_data(0x4001, b"hello")).unwrap();
    let to_one = relay.receive(&other, &channel_data(0x4002, b"hello")).unwrap();
    let expected = |client: &Client, channel| Forward {
        from: Via::Listener(client.server),
        to: client.socket,
        encapsulation: Encapsulation::Channel(ChannelNumber::new(channel).unwrap()),
        payload: 4..9,
    };
    assert_eq!((to_other, to_one), (expected(&other, 0x4002), expected(&one, 0x4001)));
    assert_eq!(relay.flows.len(), 2);

    relay.advance_secs(600);
    assert_eq!(relay.flows.len(), 0);
}
