//! RFC 8656, section 8: Refresh, and the end of allocations.

use std::net::SocketAddr;

use relay_server::AllocationPort;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Client, Relay, allocate, allocate_dual_stack, bind, channel_data, delete, kind, refresh};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn peer() -> SocketAddr {
    "203.0.113.1:9".parse().unwrap()
}

#[test]
fn another_family_is_refused_with_443() {
    let mut relay = Relay::new();
    let (mut v4, mut v6) = (client(), Client::new("198.51.100.7:50001"));
    relay.granted(&mut v4, &allocate());
    relay.granted(&mut v6, &allocate().with_family(2));
    for (client, own, other) in [(&mut v4, 1, 2), (&mut v6, 2, 1)] {
        for family in [other, 0, 3] {
            assert_eq!(relay.outcome(client, &refresh().with_family(family)), Err(443));
            assert_eq!(relay.outcome(client, &delete().with_family(family)), Err(443));
        }
        assert_eq!(relay.outcome(client, &refresh().with_family(own)), Ok(()));
    }
    assert_eq!(relay.server.allocation_count(), 2);
}

#[test]
fn lifetime_zero_deletes() {
    let mut relay = Relay::new();
    let mut client = client();
    let relayed = relay.allocate(&mut client);
    relay.granted(&mut client, &bind(0x4000, peer()));
    let response = relay.granted(&mut client, &delete());
    assert_eq!(response.lifetime(), Some(0));
    assert_eq!((relay.server.allocation_count(), relay.sockets.len(), relay.flows.len()), (0, 0, 0));
    assert_eq!(relay.receive(&client, &channel_data(0x4000, b"data")), None);
    assert_eq!(relay.receive_from_peer(AllocationPort::new(relayed.port()), peer(), b"data"), None);
}

#[test]
fn a_retransmitted_deletion_is_answered_with_437() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let bytes = client.sign(&delete());
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Err(437));
}

#[test]
fn sets_the_lifetime_from_now_between_default_and_maximum() {
    for asked in [None, Some(1), Some(599), Some(600), Some(601), Some(3599), Some(3600), Some(3601), Some(u32::MAX)] {
        let mut relay = Relay::new();
        let mut client = client();
        relay.allocate(&mut client);
        relay.advance_secs(300);
        let request = asked.map_or_else(refresh, |seconds| refresh().with_lifetime(seconds));
        let granted = 600.max(3600.min(asked.unwrap_or(600)));
        let response = relay.granted(&mut client, &request);
        assert_eq!(response.lifetime(), Some(granted), "{asked:?}");
        assert_eq!(response.kinds(), [kind::LIFETIME, kind::MESSAGE_INTEGRITY]);
        relay.advance_secs(u64::from(granted) - 1);
        assert_eq!(relay.server.allocation_count(), 1, "{asked:?}");
        relay.advance_secs(1);
        assert_eq!(relay.server.allocation_count(), 0, "{asked:?}");
    }
}

#[test]
fn a_shorter_lifetime_takes_the_place_of_a_longer_one() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate().with_lifetime(3600));
    relay.granted(&mut client, &refresh());
    relay.advance_secs(600);
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn an_allocation_that_is_not_refreshed_expires_with_its_channels() {
    let mut relay = Relay::new();
    let mut client = client();
    let relayed = relay.allocate(&mut client);
    relay.advance_secs(300);
    relay.granted(&mut client, &bind(0x4000, peer()));
    relay.advance_secs(299);
    assert!(relay.receive(&client, &channel_data(0x4000, b"data")).is_some());
    assert_eq!(relay.flows.len(), 2);

    relay.advance_secs(1);
    assert_eq!((relay.server.allocation_count(), relay.sockets.len(), relay.flows.len()), (0, 0, 0));
    assert_eq!(relay.receive(&client, &channel_data(0x4000, b"data")), None);
    assert_eq!(relay.receive_from_peer(AllocationPort::new(relayed.port()), peer(), b"data"), None);
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(437));
    assert_eq!(relay.server.poll_timeout(), None, "nothing of it is left");
}

#[test]
fn data_does_not_refresh_an_allocation() {
    let mut relay = Relay::new();
    let mut client = client();
    let relayed = relay.allocate(&mut client);
    relay.granted(&mut client, &bind(0x4000, peer()));
    for _ in 0..599 {
        relay.advance_secs(1);
        assert!(relay.receive(&client, &channel_data(0x4000, b"data")).is_some());
        assert!(relay.receive_from_peer(AllocationPort::new(relayed.port()), peer(), b"data").is_some());
    }
    relay.advance_secs(1);
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn without_a_family_applies_to_both_addresses() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    relay.advance_secs(300);
    assert_eq!(relay.granted(&mut client, &refresh()).lifetime(), Some(600));
    relay.advance_secs(599);
    assert_eq!(relay.sockets.len(), 2);
    relay.granted(&mut client, &delete());
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (0, 0));
}

#[test]
fn deleting_one_family_leaves_the_other() {
    let peers: [SocketAddr; 2] = ["203.0.113.1:9", "[2001:db8::9]:9"].map(|peer| peer.parse().unwrap());
    for (deleted, kept) in [(0, 1), (1, 0)] {
        let mut relay = Relay::new();
        let mut client = client();
        let port = AllocationPort::new(relay.granted(&mut client, &allocate_dual_stack()).relayed()[0].port());
        for (channel, peer) in (0x4000..).zip(peers) {
            relay.granted(&mut client, &bind(channel, peer));
        }
        let family = [1, 2];
        assert_eq!(relay.granted(&mut client, &delete().with_family(family[deleted])).lifetime(), Some(0));

        let channel = |index: usize| channel_data([0x4000, 0x4001][index], b"data");
        assert_eq!(relay.receive(&client, &channel(deleted)), None);
        assert_eq!(relay.receive_from_peer(port, peers[deleted], b"data"), None);
        assert_eq!(relay.receive(&client, &channel(kept)).unwrap().to, peers[kept]);
        assert!(relay.receive_from_peer(port, peers[kept], b"data").is_some());
        assert_eq!((relay.sockets.len(), relay.flows.len()), (1, 2));

        assert_eq!(relay.outcome(&mut client, &delete().with_family(family[deleted])), Err(443), "it is deleted");
        assert_eq!(relay.outcome(&mut client, &bind(0x4002, peers[deleted])), Err(443));
        assert_eq!(relay.outcome(&mut client, &bind(0x4000 + u16::try_from(kept).unwrap(), peers[kept])), Ok(()));
        relay.granted(&mut client, &delete().with_family(family[kept]));
        assert_eq!((relay.server.allocation_count(), relay.sockets.len(), relay.flows.len()), (0, 0, 0));
    }
}

#[test]
fn refreshing_one_family_leaves_the_other_to_expire() {
    for (refreshed, other) in [(1, 2), (2, 1)] {
        let mut relay = Relay::new();
        let mut client = client();
        relay.granted(&mut client, &allocate_dual_stack());
        relay.advance_secs(300);
        relay.granted(&mut client, &refresh().with_family(refreshed));
        relay.advance_secs(299);
        assert_eq!(relay.sockets.len(), 2);
        relay.advance_secs(1);
        assert_eq!(relay.sockets.len(), 1);
        assert_eq!(relay.outcome(&mut client, &refresh().with_family(other)), Err(443));
        relay.advance_secs(299);
        assert_eq!(relay.server.allocation_count(), 1);
        relay.advance_secs(1);
        assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (0, 0));
    }
}
