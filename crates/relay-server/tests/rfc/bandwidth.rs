//! Limits on bandwidth: which packets count, and against which limits.

use std::net::SocketAddr;

use relay_server::{AllocationPort, Bandwidth, Config, DropReason, Rate};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, RELAY_V4, Relay, Request, Shards, allocate, bind, channel_data, delete, kind, method, permit,
};

const PEER: ([u8; 4], u16) = ([203, 0, 113, 1], 9);

fn packets(per_second: u64) -> Rate {
    Rate { packets: std::num::NonZeroU64::new(per_second), bytes: None }
}

fn limited(bandwidth: Bandwidth) -> Relay {
    Relay::with(|config| config.bandwidth = bandwidth)
}

fn per_allocation(per_second: u64) -> Bandwidth {
    Bandwidth { per_allocation: packets(per_second), ..Bandwidth::default() }
}

fn send(peer: SocketAddr) -> Vec<u8> {
    let send = Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, b"data");
    send.unsigned(*b"transaction!")
}

/// How many of ten packets are relayed.
fn relayed(mut relay: impl FnMut() -> bool) -> usize {
    (0..10).filter(|_| relay()).count()
}

#[test]
fn channels_and_indications_count_together_each_way_by_itself_and_the_next_second_is_another() {
    let mut relay = limited(per_allocation(4));
    let mut client = Client::new("198.51.100.7:40000");
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = SocketAddr::from(PEER);
    relay.granted(&mut client, &bind(0x4000, peer));
    relay.granted(&mut client, &permit(&[peer]));
    let other = SocketAddr::from((PEER.0, 10));
    for _ in 0..2 {
        relay.take_events();
        assert!(relay.receive(&client, &send(peer)).is_some());
        assert_eq!(relayed(|| relay.receive(&client, &channel_data(0x4000, b"data")).is_some()), 3);
        assert_eq!(relayed(|| relay.receive(&client, &send(other)).is_some()), 0);
        assert_eq!(relay.take_drops(), [DropReason::AllocationBandwidth; 17]);
        assert!(relay.receive_from_peer(port, other, b"data").is_some());
        assert_eq!(relayed(|| relay.receive_from_peer(port, peer, b"data").is_some()), 3);
        assert_eq!(relay.take_drops(), [DropReason::AllocationBandwidth; 7]);
        assert_eq!(relay.outcome(&mut client, &permit(&[peer])), Ok(()), "requests do not count");
        relay.advance_secs(1);
    }
    let relayed = relay.server.allocations().next().unwrap().relayed();
    assert_eq!((relayed.to_peers.packets, relayed.from_peers.packets), (8, 8), "nothing counts that was dropped");
}

#[test]
fn strangers_use_up_nothing() {
    let mut relay = limited(per_allocation(4));
    let mut clients = [Client::new("198.51.100.7:40000"), Client::new("198.51.100.8:40000")];
    let [port, _] = [0, 1].map(|index| AllocationPort::new(relay.allocate(&mut clients[index]).port()));
    let peer = SocketAddr::from(PEER);
    relay.granted(&mut clients[0], &bind(0x4000, peer));
    relay.granted(&mut clients[1], &bind(0x4000, SocketAddr::from((RELAY_V4, port.get()))));
    assert_eq!(relayed(|| relay.receive_from_peer(port, ([203, 0, 113, 2], 9).into(), b"data").is_some()), 0);
    // The same for strangers that are clients of this relay.
    assert_eq!(relayed(|| relay.receive(&clients[1], &channel_data(0x4000, b"data")).is_some()), 0);
    assert_eq!(relayed(|| relay.receive(&clients[0], &channel_data(0x4001, b"data")).is_some()), 0);
    assert_eq!(relayed(|| relay.receive_from_peer(port, peer, b"data").is_some()), 4);
    assert_eq!(relayed(|| relay.receive(&clients[0], &channel_data(0x4000, b"data")).is_some()), 4);
}

#[test]
fn what_one_client_sends_another_counts_for_both() {
    let mut relay = limited(per_allocation(4));
    let mut clients = [Client::new("198.51.100.7:40000"), Client::new("198.51.100.8:40000")];
    let relayed_at = [0, 1].map(|index| relay.allocate(&mut clients[index]));
    relay.granted(&mut clients[0], &bind(0x4000, relayed_at[1]));
    relay.granted(&mut clients[1], &bind(0x4000, relayed_at[0]));
    relay.granted(&mut clients[1], &permit(&[PEER.into()]));
    let port = AllocationPort::new(relayed_at[1].port());
    assert_eq!(relayed(|| relay.receive_from_peer(port, PEER.into(), b"data").is_some()), 4);
    relay.take_drops();
    assert_eq!(relayed(|| relay.receive(&clients[0], &channel_data(0x4000, b"data")).is_some()), 0);
    assert_eq!(relay.take_drops(), [DropReason::AllocationBandwidth; 10]);
    assert_eq!(relayed(|| relay.receive(&clients[1], &channel_data(0x4000, b"data")).is_some()), 4);
}

#[test]
fn no_flow_is_installed_and_clients_of_two_shards_meet_in_the_sockets() {
    let limit = |config: &mut Config| config.bandwidth = per_allocation(4);
    let mut shards = Shards::new(2, 10, limit);
    let mut clients = [Client::new("198.51.100.7:40000"), Client::new("198.51.100.8:40000")];
    let relayed_at = [0, 1].map(|shard| shards.ask(shard, &mut clients[shard], &allocate()).relayed()[0]);
    for shard in [0, 1] {
        for (number, peer) in [(0x4000, relayed_at[1 - shard]), (0x4001, PEER.into())] {
            assert_eq!(shards.ask(shard, &mut clients[shard], &bind(number, peer)).outcome(), Ok(()));
        }
    }
    shards.deliver_all();
    for relay in &shards.relays {
        assert_eq!((relay.flows.len(), relay.server.flows().len()), (0, 0));
    }
    let forward = shards.relays[0].receive(&clients[0], &channel_data(0x4000, b"data")).unwrap();
    assert_eq!(forward.to, relayed_at[1]);
    assert_ne!(forward.to.port(), LISTEN_PORT);
}

#[test]
fn a_user_s_limit_is_divided_over_shards_by_allocations() {
    let mut shards = Shards::new(2, 10, |config| {
        config.bandwidth = Bandwidth { per_user: packets(8), ..Bandwidth::default() };
    });
    let client = |number: u16| Client::named(&format!("198.51.100.7:{}", 40_000 + number), "alice");
    let mut clients = [0, 1, 2, 3].map(client);
    for (client, shard) in clients.iter_mut().zip([0, 1, 1, 1]) {
        assert_eq!(shards.ask(shard, client, &allocate()).outcome(), Ok(()));
        assert_eq!(shards.ask(shard, client, &bind(0x4000, PEER.into())).outcome(), Ok(()));
    }
    shards.deliver_all();
    let sent = |shards: &mut Shards, index: usize, shard: usize| {
        relayed(|| shards.relays[shard].receive(&clients[index], &channel_data(0x4000, b"data")).is_some())
    };
    assert_eq!([sent(&mut shards, 0, 0), sent(&mut shards, 1, 1), sent(&mut shards, 2, 1)], [2, 6, 0]);
    assert!(shards.relays[0].take_drops().iter().all(|reason| *reason == DropReason::UserBandwidth));
    for client in &mut clients[1..] {
        assert_eq!(shards.ask(1, client, &delete()).outcome(), Ok(()));
    }
    shards.deliver_all();
    shards.advance_secs(1);
    assert_eq!(relayed(|| shards.relays[0].receive(&clients[0], &channel_data(0x4000, b"data")).is_some()), 8);
}
