//! Relaying does not allocate memory, for any number of allocations and channels.
//!
//! Native only: the test replaces the global allocator.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{net::SocketAddr, num::NonZeroU64};

use allocation_counter::measure;
use relay_server::{AllocationPort, Bandwidth, Forward, PeerSocket, Rate, UsernameLimit, Via};

use support::{Client, Relay, Request, Shards, allocate_dual_stack, bind, channel_data, kind, method, permit};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

/// How many times `work` allocates memory.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

/// A client with channels to a peer of each family, and to the client before it.
struct Bound {
    client: Client,
    relayed: Vec<SocketAddr>,
    peers: [SocketAddr; 2],
}

fn bound(relay: &mut Relay, number: u16, others: &mut [Bound]) -> Bound {
    let socket = if number.is_multiple_of(2) { "198.51.100.7" } else { "[2001:db8:7::5]" };
    let mut client = Client::new(&format!("{socket}:{}", 10_000 + number));
    let relayed = relay.granted(&mut client, &allocate_dual_stack()).relayed();
    let peers = [format!("203.0.113.1:{}", 1 + number), format!("[2001:db8:9::1]:{}", 1 + number)];
    let peers = peers.map(|peer| peer.parse().unwrap());
    for (channel, peer) in (0x4000..).zip(peers) {
        relay.granted(&mut client, &bind(channel, peer));
    }
    if let Some(other) = others.last_mut() {
        relay.granted(&mut client, &bind(0x4100, other.relayed[0]));
        relay.granted(&mut other.client, &bind(0x4200, relayed[0]));
    }
    Bound { client, relayed, peers }
}

fn relay_of(clients: u16) -> (Relay, Vec<Bound>) {
    limited_relay_of(clients, Bandwidth::default())
}

fn limited_relay_of(clients: u16, bandwidth: Bandwidth) -> (Relay, Vec<Bound>) {
    let mut relay = Relay::with(|config| {
        config.username_limit = UsernameLimit::RefuseBeyond(u32::MAX);
        config.bandwidth = bandwidth;
    });
    let mut all = Vec::new();
    for number in 0..clients {
        let next = bound(&mut relay, number, &mut all);
        all.push(next);
    }
    relay.take_events();
    (relay, all)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| ()), 0);
    assert_eq!(allocations(|| drop(vec![1, 2, 3])), 1);
    let mut growing = Vec::with_capacity(1);
    assert_eq!(allocations(|| growing.extend([1, 2, 3])), 1);
}

#[test]
fn a_snapshot_takes_less_memory_than_what_it_is_of() {
    let mut resident = None;
    let held = measure(|| resident = Some(relay_of(1_000)));
    let (relay, _clients) = resident.unwrap();
    let taken = measure(|| drop(relay.server.snapshot(relay.now).to_bytes()));
    assert!(taken.bytes_max < u64::try_from(held.bytes_current).unwrap(), "{taken:?} for {held:?}");
}

#[test]
fn relaying_allocates_nothing() {
    let much = Rate { bytes: NonZeroU64::new(1 << 30), packets: NonZeroU64::new(1 << 20) };
    let limited = Bandwidth { per_allocation: much, per_user: much, total: much };
    for (clients, bandwidth) in
        [1, 10, 1000].map(|clients| [(clients, Bandwidth::default()), (clients, limited)]).concat()
    {
        let (mut relay, bound) = limited_relay_of(clients, bandwidth);
        let server = &mut relay.server;
        let to_peers = [channel_data(0x4000, &[7; 1200]), channel_data(0x4001, &[])];
        let to_other = channel_data(0x4100, &[7; 1200]);
        let datagram = vec![7; 1200];
        for (index, Bound { client, relayed, peers }) in bound.iter().enumerate() {
            let mut relayed_packets = 0;
            let counted = allocations(|| {
                for message in &to_peers {
                    relayed_packets +=
                        i32::from(server.handle_client_datagram(relay.now, client.five_tuple(), message).is_some());
                }
                let crossed = server.handle_client_datagram(
                    relay.now,
                    client.five_tuple(),
                    if index > 0 { &to_other } else { &to_peers[0] },
                );
                relayed_packets += i32::from(crossed.is_some());
                for peer in *peers {
                    let port = AllocationPort::new(relayed[0].port());
                    let forward = server.handle_peer_datagram(relay.now, port, PeerSocket::new(peer), &datagram);
                    relayed_packets += i32::from(forward.is_some());
                }
                assert!(server.poll_timeout().is_some());
                assert!(server.poll_output().is_none());
            });
            assert_eq!((relayed_packets, counted), (5, 0), "client {index} of {clients}");
        }
    }
}

#[test]
fn relaying_indications_allocates_nothing() {
    let (mut relay, mut bound) = relay_of(10);
    let port = AllocationPort::new(bound[0].relayed[0].port());
    let (at_other, peers) =
        (bound[1].relayed[0], ["203.0.113.99:9", "[2001:db8:9::99]:9"].map(|peer| peer.parse().unwrap()));
    let permitted = [peers[0], peers[1], at_other];
    relay.granted(&mut bound[0].client, &permit(&permitted));
    let back = bound[0].relayed[0];
    relay.granted(&mut bound[1].client, &permit(&[back]));
    relay.take_events();
    let client = &mut bound[0].client;
    let sends = permitted.map(|peer| {
        let send = Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, &[7; 1201]);
        client.unsigned(&send.with_fingerprint())
    });
    let (server, from) = (&mut relay.server, client.five_tuple());
    let mut relayed = 0;
    let mut add =
        |forward: Option<Forward>| relayed += forward.map_or(0, |forward| forward.header().as_bytes().len() + 1);
    let counted = allocations(|| {
        for send in &sends {
            add(server.handle_client_datagram(relay.now, from, send));
        }
        for peer in peers {
            add(server.handle_peer_datagram(relay.now, port, PeerSocket::new(peer), &[7; 1201]));
        }
    });
    // Two plain, one in the receiver's channel, and two in Data indications.
    assert_eq!((relayed, counted), (2 + (4 + 1) + (36 + 1) + (48 + 1), 0));
}

#[test]
fn relaying_between_shards_allocates_nothing() {
    let mut shards = Shards::new(2, 1000, |config| config.username_limit = UsernameLimit::RefuseBeyond(u32::MAX));
    let mut clients = Vec::new();
    for number in 0..1000 {
        let mut pair = [1, 2].map(|host| Client::new(&format!("198.51.100.{host}:{}", 10_000 + number)));
        let relayed = [0, 1].map(|shard| shards.relays[shard].allocate(&mut pair[shard]));
        for (shard, client) in pair.iter_mut().enumerate() {
            shards.relays[shard].granted(client, &bind(0x4000, relayed[1 - shard]));
        }
        shards.deliver_all();
        clients.push(pair);
    }
    let message = channel_data(0x4000, &[7; 1200]);
    for (shard, relay) in shards.relays.iter_mut().enumerate() {
        for pair in &clients {
            let from = pair[shard].five_tuple();
            let mut crossed = None;
            let counted = allocations(|| crossed = relay.server.handle_client_datagram(relay.now, from, &message));
            assert_eq!((crossed.unwrap().from, counted), (Via::Listener(from.server), 0));
        }
    }
}

#[test]
fn dropping_strange_data_allocates_no_more_after_a_while() {
    // Each drop queues an event. After the first, the queue's memory is reused.
    let (mut relay, bound) = relay_of(10);
    let server = &mut relay.server;
    let client = bound[0].client.five_tuple();
    let stranger = Client::new("198.51.100.99:50000").five_tuple();
    let datagrams = [
        channel_data(0x4FFF, &[7; 1200]),
        vec![0xFF; 1200],
        vec![0x00; 1200],
        channel_data(0x4000, &[7; 20])[..10].to_vec(),
    ];
    let mut attack = || {
        for datagram in &datagrams {
            for from in [client, stranger] {
                assert_eq!(server.handle_client_datagram(relay.now, from, datagram), None);
                while server.poll_output().is_some() {}
            }
        }
        let peer = PeerSocket::new("203.0.113.99:9".parse().unwrap());
        assert_eq!(server.handle_peer_datagram(relay.now, AllocationPort::new(50_000), peer, &datagrams[0]), None);
        while server.poll_output().is_some() {}
    };
    attack();
    assert_eq!(allocations(|| (0..100).for_each(|_| attack())), 0);
}
