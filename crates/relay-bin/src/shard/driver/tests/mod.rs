//! Drives one shard's [`Driver`] with a real state machine and fake sockets, and checks in which order it opens sockets, sends,
//! installs flows and sends messages to the other shard.
//!
//! [`Fixture::asked`] takes the calls to the fake network; [`Fixture::told`] takes the next message to the other shard.

mod fixture;

use std::{net::SocketAddr, time::Duration};

use relay_server::{AddressStatus, ChannelNumber, Crossing, RelayOpenError, Traffic, UsernameLimit, Via};
use turn_client::{Request, encode_channel_data};

use self::fixture::{Asked, CLIENT, FakeOffload, Fixture, OTHER_PORT, PEER, address, relay_ip};
use super::*;
use crate::{addresses::FamilyState, shard::ingress::tests::holding};

#[test]
fn the_socket_is_open_before_the_client_hears_of_it() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    let challenge = Asked::Respond(address(CLIENT));
    assert_eq!(fixture.asked(), [challenge.clone(), Asked::Open(port), challenge]);
    assert_eq!(fixture.counted().allocations(), 1);
}

#[test]
fn a_taken_port_is_replaced_and_what_is_broken_is_told() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.network.open_results = [Err(RelayOpenError::PortInUse), Ok(())].into();
    let port = fixture.allocate().unwrap();
    let opened = fixture.asked().into_iter().filter(|asked| matches!(asked, Asked::Open(_))).collect::<Vec<_>>();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[1], Asked::Open(port));

    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.network.open_results = [Err(RelayOpenError::Failed)].into();
    assert_eq!(fixture.allocate().unwrap_err().code(), Some(508));
    assert_eq!(fixture.counted().allocations_created, 0);
}

#[test]
fn data_before_the_end_is_relayed_and_data_after_it_is_not() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let mut data = Vec::new();
    encode_channel_data(0x4001, b"last", &mut data);
    let end = fixture.end_of_allocation();
    fixture.receive(&[&data, &end, &data]);
    let asked: Vec<_> = fixture.asked().into_iter().filter(|asked| !matches!(asked, Asked::Respond(_))).collect();
    assert_eq!(asked, [Asked::Send(Via::Relay(port), address(PEER), false, b"last".to_vec()), Asked::Close(port)]);
}

#[test]
fn a_batch_is_relayed_in_order_in_both_directions() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    assert_eq!(fixture.driver.offload.installed.len(), 2);
    fixture.asked();

    let (mut one, mut two) = (Vec::new(), Vec::new());
    encode_channel_data(0x4001, b"one", &mut one);
    encode_channel_data(0x4001, b"two", &mut two);
    fixture.receive(&[&one, b"noise", &two]);
    let send = |payload: &[u8]| Asked::Send(Via::Relay(port), address(PEER), false, payload.to_vec());
    assert_eq!(fixture.asked(), [send(b"one"), send(b"two")]);

    let datagrams: Vec<_> = [&b"three"[..], b""].map(|bytes| (address(PEER), relay_ip(), bytes)).into();
    fixture.driver.handle_datagrams(fixture.now, &mut fixture.network, &mut holding(Ingress::Relay(port), &datagrams));
    let send = |payload: &[u8]| Asked::Send(Via::Listener(relay_ip()), address(CLIENT), true, payload.to_vec());
    assert_eq!(fixture.asked(), [send(b"three"), send(b"")]);

    let counted = fixture.counted();
    assert_eq!(counted.to_peers, Traffic { packets: 4, bytes: 11 });
    assert_eq!(counted.losses.values().sum::<u64>(), 1);
}

#[test]
fn a_failed_socket_ends_its_allocation_and_nothing_else() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, &mut fixture.network, id);
    assert_eq!(fixture.asked(), [Asked::Close(port)]);
    assert_eq!(fixture.counted().allocations(), 0);
    assert!(fixture.driver.offload.installed.is_empty());
    // The client may allocate again.
    fixture.allocate().unwrap();
}

#[test]
fn other_shards_hear_of_a_users_allocations() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    fixture.allocate().unwrap();
    assert_eq!(fixture.told(), Some(ShardMessage::UsernameMoved { user_id: "salt".into(), created_at: fixture.now }));

    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    let port = fixture.allocate().unwrap();
    assert_eq!(fixture.told(), Some(ShardMessage::Allocated { user_id: "salt".into() }));
    fixture.asked();
    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, &mut fixture.network, id);
    assert_eq!(fixture.asked(), [Asked::Close(port)]);
    assert_eq!(fixture.told(), Some(ShardMessage::Ended { user_id: "salt".into() }));
}

#[test]
fn a_username_that_moved_loses_its_allocation_here() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    let port = fixture.allocate().unwrap();
    fixture.asked();
    let later = fixture.now + Duration::from_nanos(1);
    let mut hear_of = |user_id: &str, created_at| {
        let message = ShardMessage::UsernameMoved { user_id: user_id.into(), created_at };
        fixture.driver.handle_shard_message(later, &mut fixture.network, &message);
        fixture.asked()
    };
    assert_eq!(hear_of("other", later), []);
    // Both shards allocated at the same time and their messages crossed. The other allocation is not newer, so this one stays.
    assert_eq!(hear_of("salt", Timestamp::from_secs(1)), []);
    assert_eq!(hear_of("salt", later), [Asked::Close(port)]);
}

#[test]
fn a_client_of_another_shard_is_reached_in_one_step() {
    let mut fixture = Fixture::new(UsernameLimit::ReplaceOldest);
    let port = fixture.allocate().unwrap();
    let peer = SocketAddr::new(relay_ip(), OTHER_PORT);
    fixture.request(Request::ChannelBind { channel: 0x4001, peer }).unwrap();
    let crossing = |from, to, client, channel| Crossing {
        family: Family::V4,
        from,
        to,
        five_tuple: FiveTuple { client: ClientSocket::new(address(client)), server: relay_ip() },
        channel: ChannelNumber::new(channel).unwrap(),
    };
    let here = crossing(AllocationPort::new(OTHER_PORT), port, CLIENT, 0x4001);
    assert!(matches!(fixture.told(), Some(ShardMessage::UsernameMoved { .. })));
    assert_eq!(fixture.told(), Some(ShardMessage::CrossingOpened(here)));
    fixture.asked();

    let there = crossing(port, AllocationPort::new(OTHER_PORT), "192.0.2.3:3000", 0x4002);
    let mut data = Vec::new();
    encode_channel_data(0x4001, b"data", &mut data);
    let send = |fixture: &mut Fixture| {
        fixture.receive(&[&data]);
        fixture.asked()
    };
    let through_sockets = [Asked::Send(Via::Relay(port), peer, false, b"data".to_vec())];
    let straight = [Asked::Send(Via::Listener(relay_ip()), there.five_tuple.client.address(), true, b"data".to_vec())];
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (through_sockets.to_vec(), 0));
    fixture.driver.handle_shard_message(fixture.now, &mut fixture.network, &ShardMessage::CrossingOpened(there));
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (straight.to_vec(), 1));
    fixture.driver.handle_shard_message(fixture.now, &mut fixture.network, &ShardMessage::CrossingClosed(there));
    assert_eq!((send(&mut fixture), fixture.driver.offload.installed.len()), (through_sockets.to_vec(), 0));

    let id = fixture.driver.server.server().allocations().next().unwrap().id();
    fixture.driver.handle_relay_failed(fixture.now, &mut fixture.network, id);
    assert_eq!(fixture.told(), Some(ShardMessage::CrossingClosed(here)));
}

#[test]
fn new_addresses_reach_sockets_state_machine_and_flows() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    fixture.allocate().unwrap();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    fixture.asked();
    let own = vec![relay_ip(), "10.0.0.9".parse().unwrap()];
    let mut addresses = AddressState { own: own.clone(), ..AddressState::default() };
    fixture.driver.handle_addresses(fixture.now, &mut fixture.network, &addresses);
    assert_eq!(fixture.asked(), [Asked::SetAddresses(own.clone())]);
    let FakeOffload { installed, installations, .. } = &fixture.driver.offload;
    assert_eq!((installed.len(), *installations), (2, 4), "both flows, anew");
    let listener = Request::ChannelBind { channel: 0x4002, peer: SocketAddr::new(own[1], 3478) };
    assert_eq!(fixture.request(listener).unwrap_err().code(), Some(403));

    addresses.v4 = Some(FamilyState {
        public: relay_ip(),
        relay: relay_ip(),
        source: None,
        local: relay_ip(),
        status: AddressStatus::Missing,
    });
    fixture.driver.handle_addresses(fixture.now, &mut fixture.network, &addresses);
    assert_eq!(fixture.driver.offload.installations, 4, "packets carry what they did");
    let end = fixture.end_of_allocation();
    fixture.receive(&[&end]);
    fixture.network.responses.clear();
    let mut late = Fixture::new(UsernameLimit::RefuseBeyond(10));
    late.driver.handle_addresses(late.now, &mut late.network, &addresses);
    assert_eq!(late.allocate().unwrap_err().code(), Some(508));
}

#[test]
fn a_time_out_is_told_of_and_ends_what_is_due() {
    let mut fixture = Fixture::new(UsernameLimit::RefuseBeyond(10));
    assert_eq!(fixture.driver.poll_timeout(), None);
    fixture.allocate().unwrap();
    let due = fixture.driver.poll_timeout().unwrap();
    assert_eq!(due, fixture.now + relay_server::DEFAULT_LIFETIME);
    fixture.driver.handle_timeout(due, &mut fixture.network);
    assert_eq!(fixture.counted().allocations(), 0);
    assert!(fixture.driver.poll_timeout().is_none_or(|next| next > due));
}

#[test]
fn the_channels_and_permissions_of_a_restored_server_are_counted_when_they_end() {
    let mut fixture = Fixture::with(|config| config.indications = true);
    fixture.allocate().unwrap();
    for (channel, peer) in [(0x4001, PEER), (0x4002, "192.0.2.2:2001"), (0x4003, "192.0.2.3:2000")] {
        fixture.request(Request::ChannelBind { channel, peer: address(peer) }).unwrap();
    }
    let before = fixture.counted();
    assert_eq!((before.channels(), before.permissions()), (3, 2));

    fixture = fixture.with_another_driver();
    fixture.request(Request::ChannelBind { channel: 0x4001, peer: address(PEER) }).unwrap();
    assert_eq!(fixture.counted().channels_opened, 3, "a renewal is no new channel");
    let end = fixture.end_of_allocation();
    fixture.receive(&[&end]);
    let after = fixture.counted();
    assert_eq!((after.channels_closed, after.permissions_ended), (3, 2));
}
