//! Clients relay through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::net::SocketAddr;

use support::{Echo, PATIENCE, Relay, has_ipv6};
use turn_client::{Allocate, BlockingClient, Family};

/// Allocates in the family of `peer` and binds channel 0x4000 to it.
fn bind(client: &mut BlockingClient, peer: SocketAddr) {
    client.allocate(Allocate { family: Some(Family::of(peer)), ..Allocate::default() }).unwrap();
    client.bind(0x4000, peer).unwrap();
}

fn exchange(client: &mut BlockingClient, payload: &[u8]) {
    client.send(0x4000, payload).unwrap();
    let (channel, echoed) = client.receive(PATIENCE).unwrap().expect("an echo");
    assert_eq!(channel, 0x4000);
    assert!(echoed == payload, "{} bytes came back of {}", echoed.len(), payload.len());
}

fn relays(server: SocketAddr, relay: &Relay, peer_family: SocketAddr) {
    let echo = Echo::start(peer_family);
    let mut client = relay.client(server, "a");
    bind(&mut client, echo.address);
    for length in [0, 1, 2, 3, 4, 5, 200, 1_200] {
        let payload: Vec<u8> = (0..length).map(|index: u32| index.to_le_bytes()[0]).collect();
        exchange(&mut client, &payload);
    }
}

#[test]
fn ipv4_client_to_ipv4_peer() {
    let relay = Relay::start(&[]);
    relays(relay.v4(), &relay, relay.v4());
}

#[test]
fn ipv6_client_to_ipv6_peer() {
    if has_ipv6() {
        let relay = Relay::start(&[]);
        relays(relay.v6(), &relay, relay.v6());
    }
}

#[test]
fn clients_and_peers_of_different_families() {
    if has_ipv6() {
        let relay = Relay::start(&[]);
        relays(relay.v4(), &relay, relay.v6());
        relays(relay.v6(), &relay, relay.v4());
    }
}
