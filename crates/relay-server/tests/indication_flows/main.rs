//! The flows that are installed and removed for data in indications.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod ends;
mod model;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use relay_server::{
    AllocationPort, Arriving, Bandwidth, ChannelNumber, Config, Flow, FlowKey, INDICATED_PEERS_PER_ALLOCATION, Leaving,
    Output, Rate, Via,
};
use support::{
    Client, LISTEN_PORT, RELAY_V4, Relay, Request, allocate_dual_stack, bind, channel_data, kind, method, permit,
};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

const CHANNEL: u16 = 0x4000;
const V4: &str = "203.0.113.1:9";
const V6: &str = "[2001:db8:9::1]:9";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Enables flows for indications.
fn faster(config: &mut Config) {
    config.indicated_peers = 1_000;
}

/// A client with an allocation in both families, and permissions for [`V4`] and [`V6`].
struct Call {
    relay: Relay,
    client: Client,
    port: AllocationPort,
}

impl Call {
    fn new() -> Self {
        Self::of(Relay::with(faster))
    }

    fn of(mut relay: Relay) -> Self {
        let mut client = Client::new("198.51.100.7:50000");
        let response = relay.granted(&mut client, &allocate_dual_stack().with_lifetime(3600));
        let port = AllocationPort::new(response.relayed()[0].port());
        let mut call = Self { relay, client, port };
        call.ask(&permit(&[socket(V4), socket(V6)]));
        call
    }

    fn ask(&mut self, request: &Request) {
        self.relay.granted(&mut self.client, request);
    }

    /// Whether a Send indication to `peer` is relayed.
    fn send(&mut self, peer: SocketAddr) -> bool {
        let datagram = self.client.unsigned(&send_to(peer));
        self.relay.receive(&self.client, &datagram).is_some()
    }

    fn hear(&mut self, peer: SocketAddr) -> bool {
        self.relay.receive_from_peer(self.port, peer, b"data").is_some()
    }

    fn flows(&self) -> Vec<Flow> {
        let flows: Vec<_> = self.relay.flows.values().copied().collect();
        let mut told = self.relay.server.flows();
        told.sort_by_key(|flow| flow.key);
        assert_eq!(told, flows, "what it would tell anew");
        flows
    }

    /// The flow from the client to `peer`.
    fn up(&self, peer: SocketAddr) -> Flow {
        Flow {
            key: FlowKey { remote: self.client.socket, local_port: LISTEN_PORT, carries: Arriving::Send(peer) },
            arrives: Via::Listener(self.client.server),
            leaves: Via::Relay(self.port),
            to: peer,
            leaves_in: Leaving::Bare,
            from_client_of: Some(self.port),
            to_client_of: None,
        }
    }

    /// The flow from `peer` to the client.
    fn down(&self, peer: SocketAddr, leaves_in: Leaving) -> Flow {
        Flow {
            key: FlowKey { remote: peer, local_port: self.port.get(), carries: Arriving::Bare },
            arrives: Via::Relay(self.port),
            leaves: Via::Listener(self.client.server),
            to: self.client.socket,
            leaves_in,
            from_client_of: None,
            to_client_of: Some(self.port),
        }
    }

    /// The flows of remembered peers without a channel.
    fn indicated(&self, peers: &[SocketAddr]) -> Vec<Flow> {
        let both = |peer: &SocketAddr| [self.up(*peer), self.down(*peer, Leaving::Data)];
        let mut flows: Vec<_> = peers.iter().flat_map(both).collect();
        flows.sort_by_key(|flow| flow.key);
        flows
    }

    /// The keys of flows since the last call: `Ok` if installed, `Err` if removed.
    fn told(&mut self) -> Vec<Result<FlowKey, FlowKey>> {
        let recorded = self.relay.recorded.replace(Vec::new()).unwrap_or_default();
        let told = recorded.into_iter().filter_map(|output| match output {
            Output::InstallFlow(flow) => Some(Ok(flow.key)),
            Output::RemoveFlow(key) => Some(Err(key)),
            _ => None,
        });
        told.collect()
    }
}

fn send_to(peer: SocketAddr) -> Request {
    Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, b"data")
}

fn in_channel() -> Leaving {
    Leaving::Channel(ChannelNumber::new(CHANNEL).unwrap())
}

#[test]
fn the_first_data_either_way_has_both_ways_forwarded() {
    for peer in [V4, V6].map(socket) {
        let mut call = Call::new();
        assert_eq!(call.flows(), [], "a permission alone says nothing of ports");
        assert!(call.send(peer));
        assert_eq!(call.flows(), call.indicated(&[peer]));
        let mut call = Call::new();
        assert!(call.hear(peer));
        assert_eq!(call.flows(), call.indicated(&[peer]));
    }
}

#[test]
fn a_peer_is_told_of_once() {
    let mut call = Call::new();
    call.told();
    let peer = socket(V4);
    assert!(call.send(peer) && call.hear(peer) && call.send(peer));
    let [up, down] = [call.up(peer), call.down(peer, Leaving::Data)];
    assert_eq!(call.told(), [Ok(up.key), Ok(down.key)]);
    call.ask(&permit(&[peer]));
    assert!(call.send(peer) && call.hear(peer));
    assert_eq!(call.told(), []);
}

#[test]
fn each_port_of_a_permitted_address_is_a_peer_of_its_own() {
    let mut call = Call::new();
    let peers = [V4, "203.0.113.1:10", "203.0.113.1:65535"].map(socket);
    assert!(peers.iter().all(|peer| call.hear(*peer)));
    assert_eq!(call.flows(), call.indicated(&peers));
}

#[test]
fn what_is_not_relayed_is_not_remembered() {
    let mut call = Call::new();
    let stranger = socket("203.0.113.2:9");
    assert!(!call.send(stranger) && !call.hear(stranger));
    let zero = socket("203.0.113.1:0");
    assert!(!call.send(zero) && !call.hear(zero));
    assert_eq!(call.flows(), []);
}

#[test]
fn a_send_with_dont_fragment_stays_with_the_relay() {
    let mut call = Call::new();
    let peer = socket(V4);
    let datagram = call.client.unsigned(&send_to(peer).with(kind::DONT_FRAGMENT, &[]));
    assert!(call.relay.receive(&call.client, &datagram).is_some());
    assert_eq!(call.flows(), []);
    // For an IPv6 peer, DONT-FRAGMENT is ignored.
    let datagram = call.client.unsigned(&send_to(socket(V6)).with(kind::DONT_FRAGMENT, &[]));
    assert!(call.relay.receive(&call.client, &datagram).is_some());
    assert_eq!(call.flows(), call.indicated(&[socket(V6)]));
}

#[test]
fn peers_on_the_relays_own_machine_stay_with_the_relay() {
    let mut call = Call::new();
    let mut other = Client::new("198.51.100.8:50000");
    let relayed = call.relay.allocate(&mut other);
    call.ask(&permit(&[relayed]));
    let near = SocketAddr::new(RELAY_V4.into(), call.port.get());
    call.relay.granted(&mut other, &permit(&[near]));
    assert!(call.send(relayed), "to the other client");
    assert!(call.hear(relayed), "through the socket");
    let machine = socket("10.0.0.1:9");
    call.relay.own_addresses(|addresses| addresses.own.push(machine.ip()));
    call.ask(&permit(&[machine]));
    assert!(call.send(machine) && call.hear(machine));
    assert_eq!(call.flows(), []);
}

#[test]
fn a_channel_takes_the_way_back_and_gives_it_back() {
    let mut call = Call::new();
    let peer = socket(V4);
    assert!(call.send(peer));
    let [up, down] = [call.up(peer), call.down(peer, Leaving::Data)];
    call.told();
    call.ask(&bind(CHANNEL, peer));
    let channel = FlowKey { carries: Arriving::Channel(ChannelNumber::new(CHANNEL).unwrap()), ..up.key };
    assert_eq!(call.told(), [Err(down.key), Ok(channel), Ok(down.key)], "the key is free before it is another's");
    let flows = call.flows();
    assert!(flows.len() == 3 && flows.contains(&up) && flows.contains(&call.down(peer, in_channel())), "{flows:?}");

    // The channel expires after ten minutes. The permission is refreshed.
    for _ in 0..2 {
        call.relay.advance_secs(299);
        call.ask(&permit(&[peer]));
    }
    call.told();
    call.relay.advance_secs(2);
    assert_eq!(call.told(), [Err(channel), Err(down.key), Ok(down.key)]);
    assert_eq!(call.flows(), call.indicated(&[peer]));

    // It may be bound again to the same peer.
    call.ask(&bind(CHANNEL, peer));
    assert_eq!(call.told(), [Err(down.key), Ok(channel), Ok(down.key)]);
    assert_eq!(call.flows(), flows);
}

#[test]
fn a_peer_with_a_channel_is_remembered_when_it_is_sent_to() {
    let mut call = Call::new();
    let peer = socket(V4);
    call.ask(&bind(CHANNEL, peer));
    assert!(call.hear(peer), "in ChannelData, which is none of this");
    assert_eq!(call.flows().len(), 2);
    assert!(call.send(peer));
    let flows = call.flows();
    assert!(flows.len() == 3 && flows.contains(&call.up(peer)) && flows.contains(&call.down(peer, in_channel())));
    assert!(call.relay.receive(&call.client, &channel_data(CHANNEL, b"data")).is_some());
    assert_eq!(call.flows(), flows);
}

#[test]
fn peers_beyond_the_bounds_stay_with_the_relay_until_others_are_gone() {
    let peer = |port: usize| SocketAddr::from(([203, 0, 113, 1], u16::try_from(port).unwrap()));
    let mut call = Call::new();
    let of_one = INDICATED_PEERS_PER_ALLOCATION;
    assert!((1..=of_one + 1).all(|port| call.hear(peer(port))));
    let remembered: Vec<_> = (1..=of_one).map(peer).collect();
    assert_eq!(call.flows(), call.indicated(&remembered));

    // The limit for all allocations together.
    let mut call = Call::of(Relay::with(|config| config.indicated_peers = 2));
    let mut other = Client::new("198.51.100.8:50000");
    let near = AllocationPort::new(call.relay.allocate(&mut other).port());
    call.relay.granted(&mut other, &permit(&[socket(V4)]));
    assert!(call.hear(peer(1)) && call.relay.receive_from_peer(near, peer(1), b"data").is_some());
    assert!(call.hear(peer(2)));
    assert_eq!(call.relay.flows.len(), 4);
    call.relay.granted(&mut other, &support::delete());
    assert!(call.hear(peer(2)));
    assert_eq!(call.flows(), call.indicated(&[peer(1), peer(2)]));
}

#[test]
fn where_none_are_wanted_or_bandwidth_is_limited_there_are_none() {
    let limited = Bandwidth { total: Rate { bytes: 1_000_000.try_into().ok(), packets: None }, ..Bandwidth::default() };
    let configure: [&dyn Fn(&mut Config); 2] = [&|config| config.indicated_peers = 0, &|config| {
        faster(config);
        config.bandwidth = limited;
    }];
    for configure in configure {
        let mut call = Call::of(Relay::with(configure));
        assert!(call.send(socket(V4)) && call.hear(socket(V4)));
        assert_eq!(call.flows(), []);
    }
    // Without indications, no peer is remembered.
    let mut call = Call::of(Relay::with(|config| {
        faster(config);
        config.indications = false;
    }));
    assert!(!call.send(socket(V4)) && !call.hear(socket(V4)));
    assert_eq!(call.flows(), []);
}
