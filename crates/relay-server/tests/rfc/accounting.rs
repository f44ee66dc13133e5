//! The totals of an allocation at its end. No RFC asks for them.

use std::{net::SocketAddr, time::Duration};

use relay_server::{Account, AllocationPort, Event, Relayed, RemovalReason, Traffic};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, Relay, Request, Shards, allocate, bind, channel_data, delete, kind, method, permit, refresh,
};

const CHANNEL: u16 = 0x4001;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Has a channel.
fn peer() -> SocketAddr {
    socket("203.0.113.1:9")
}

/// Has a permission only.
fn other_peer() -> SocketAddr {
    socket("203.0.113.2:9")
}

fn send(client: &mut Client, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    client.unsigned(&Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, data))
}

fn relayed(to_peers: (u64, u64), from_peers: (u64, u64)) -> Relayed {
    let traffic = |(packets, bytes)| Traffic { packets, bytes };
    Relayed { to_peers: traffic(to_peers), from_peers: traffic(from_peers) }
}

/// The totals of the allocations that have ended, oldest first.
fn accounts(relay: &mut Relay) -> Vec<(Account, RemovalReason)> {
    let ended = relay.take_events().into_iter().filter_map(|event| match event {
        Event::AllocationRemoved { account, reason, .. } => Some((*account, reason)),
        _ => None,
    });
    ended.collect()
}

/// The traffic sent straight to clients of another shard, for each crossing that has ended.
fn crossed(relay: &mut Relay) -> Vec<(u16, Traffic)> {
    let closed = relay.take_events().into_iter().filter_map(|event| match event {
        Event::CrossingClosed { crossing, crossed } => Some((crossing.to.get(), crossed)),
        _ => None,
    });
    closed.collect()
}

/// A client with a channel to [`peer`] and a permission for [`other_peer`].
fn bound() -> (Relay, Client, AllocationPort) {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    relay.granted(&mut client, &bind(CHANNEL, peer()));
    relay.granted(&mut client, &permit(&[other_peer()]));
    (relay, client, port)
}

#[test]
fn an_allocation_counts_application_data_each_way_in_channels_and_in_indications() {
    let (mut relay, mut client, port) = bound();
    let created_at = relay.now;
    for data in [&b""[..], b"a", &[7; 1200]] {
        assert!(relay.receive(&client, &channel_data(CHANNEL, data)).is_some());
    }
    let datagram = send(&mut client, other_peer(), b"hello");
    assert!(relay.receive(&client, &datagram).is_some());
    assert!(relay.receive_from_peer(port, peer(), b"from a channel's peer").is_some());
    assert!(relay.receive_from_peer(port, other_peer(), b"other").is_some());
    assert!(relay.receive_from_peer(port, other_peer(), b"").is_some());
    let expected = relayed((4, 1206), (3, 26));
    assert_eq!(relay.server.allocations().map(|allocation| allocation.relayed()).collect::<Vec<_>>(), [expected]);

    relay.advance_secs(10);
    relay.granted(&mut client, &delete());
    assert_eq!(accounts(&mut relay), [(Account { created_at, relayed: expected }, RemovalReason::Deleted)]);
}

#[test]
fn what_is_not_relayed_is_not_counted() {
    let (mut relay, mut client, port) = bound();
    let stranger = Client::new("198.51.100.9:50000");
    let now = relay.now;
    assert_eq!(relay.receive(&client, &channel_data(CHANNEL + 1, b"no such channel")), None);
    assert_eq!(relay.receive(&stranger, &channel_data(CHANNEL, b"no allocation")), None);
    let unpermitted = send(&mut client, socket("203.0.113.3:9"), b"no permission");
    assert_eq!(relay.receive(&client, &unpermitted), None);
    assert!(relay.server.handle_client_datagram_in_order(now, client.five_tuple(), &unpermitted).is_err(), "for later");
    let to_port_0 = send(&mut client, socket("203.0.113.2:0"), b"no such peer");
    assert_eq!(relay.receive(&client, &to_port_0), None);
    assert_eq!(relay.receive_from_peer(port, socket("203.0.113.3:9"), b"no permission"), None);
    relay.granted(&mut client, &delete());
    assert_eq!(accounts(&mut relay)[0].0.relayed, Relayed::default());
}

type End = fn(&mut Relay, &mut Client);

#[test]
fn every_end_has_its_reason() {
    let ends: [(End, RemovalReason); 3] = [
        (|relay, client| _ = relay.granted(client, &refresh().with_lifetime(0)), RemovalReason::Deleted),
        (|relay, _| relay.advance_secs(601), RemovalReason::Expired),
        (
            |relay, _| {
                let id = relay.server.allocations().next().unwrap().id();
                relay.server.handle_relay_failed(id);
                relay.drain();
            },
            RemovalReason::RelayFailed,
        ),
    ];
    for (end, expected) in ends {
        let (mut relay, mut client, _) = bound();
        relay.receive(&client, &channel_data(CHANNEL, b"hello"));
        end(&mut relay, &mut client);
        let [(Account { relayed: counted, .. }, reason)] = accounts(&mut relay)[..] else { panic!("one ended") };
        assert_eq!((counted, reason), (relayed((1, 5), (0, 0)), expected));
    }
    let mut relay = Relay::with(|config| config.username_limit = relay_server::UsernameLimit::ReplaceOldest);
    relay.allocate(&mut Client::named("198.51.100.7:50000", "alice"));
    relay.allocate(&mut Client::named("198.51.100.7:50001", "alice"));
    assert_eq!(accounts(&mut relay)[0].1, RemovalReason::Replaced);
}

#[test]
fn data_between_two_clients_of_one_relay_counts_for_both() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("198.51.100.8:50000"));
    let (at_one, at_other) = (relay.allocate(&mut one), relay.allocate(&mut other));
    relay.granted(&mut one, &bind(CHANNEL, at_other));
    assert_eq!(relay.receive(&one, &channel_data(CHANNEL, b"the other has no channel")), None);
    relay.granted(&mut other, &permit(&[at_one]));
    assert!(relay.receive(&one, &channel_data(CHANNEL, b"in a Data indication")).is_some());
    let datagram = send(&mut other, at_one, b"a Send");
    assert!(relay.receive(&other, &datagram).is_some());
    relay.granted(&mut other, &bind(CHANNEL, at_one));
    assert!(relay.receive(&one, &channel_data(CHANNEL, b"channels")).is_some());
    relay.granted(&mut one, &delete());
    relay.granted(&mut other, &delete());
    let counted: Vec<_> = accounts(&mut relay).into_iter().map(|(account, _)| account.relayed).collect();
    assert_eq!(counted, [relayed((2, 28), (1, 6)), relayed((1, 6), (2, 28))]);
}

#[test]
fn data_to_a_client_of_another_shard_is_counted_where_it_is_relayed() {
    let mut shards = Shards::new(2, 1, |_| ());
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("198.51.100.8:50000"));
    let (at_one, at_other) = (shards.relays[0].allocate(&mut one), shards.relays[1].allocate(&mut other));
    shards.relays[0].granted(&mut one, &bind(CHANNEL, at_other));
    shards.relays[1].granted(&mut other, &bind(CHANNEL, at_one));
    shards.deliver_all();
    let opened = |event: &Event| matches!(event, Event::CrossingOpened { .. });
    assert_eq!(shards.relays[0].take_events().iter().filter(|event| opened(event)).count(), 1);
    for data in [&b"hello"[..], b""] {
        assert!(shards.relays[0].receive(&one, &channel_data(CHANNEL, data)).is_some());
    }
    assert!(shards.relays[1].receive(&other, &channel_data(CHANNEL, b"back")).is_some());
    let (there, back) = (Traffic { packets: 2, bytes: 5 }, Traffic { packets: 1, bytes: 4 });
    let so_far: Vec<_> =
        shards.relays[0].server.crossings().map(|(crossing, crossed)| (crossing.to, crossed)).collect();
    assert_eq!(so_far, [(AllocationPort::new(at_other.port()), there)]);

    // The receiver's shard does not see the data; the sender's shard counts it.
    shards.relays[1].granted(&mut other, &delete());
    assert_eq!(accounts(&mut shards.relays[1])[0].0.relayed, relayed((1, 4), (0, 0)));
    shards.deliver_all();
    assert_eq!(crossed(&mut shards.relays[0]), [(at_other.port(), there)]);
    shards.relays[0].granted(&mut one, &delete());
    assert_eq!(accounts(&mut shards.relays[0])[0].0.relayed, relayed((2, 5), (0, 0)));
    shards.deliver_all();
    assert_eq!(crossed(&mut shards.relays[1]), [(at_one.port(), back)]);
}

#[test]
fn another_allocation_of_the_same_client_begins_at_zero() {
    let (mut relay, mut client, _) = bound();
    relay.receive(&client, &channel_data(CHANNEL, b"hello"));
    relay.granted(&mut client, &delete());
    relay.advance(Duration::from_secs(1));
    let created_at = relay.now;
    relay.take_events();
    relay.granted(&mut client, &allocate());
    relay.granted(&mut client, &delete());
    let expected = Account { created_at, relayed: Relayed::default() };
    assert_eq!(accounts(&mut relay), [(expected, RemovalReason::Deleted)]);
}
