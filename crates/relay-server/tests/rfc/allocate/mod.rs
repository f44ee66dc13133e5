//! RFC 8656, sections 6 and 7.2: the Allocate request.

mod family;
mod opening;
mod port;
mod shards;

use std::net::SocketAddr;

use relay_server::{Event, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, RELAY_V4, Relay, Request, allocate, allocate_dual_stack, allocate_with, bind, delete, kind, method, refresh,
};

pub(crate) fn client() -> Client {
    numbered(0)
}

/// One of many clients.
pub(crate) fn numbered(number: u16) -> Client {
    Client::new(&format!("198.51.100.7:{}", 50_000 + number))
}

#[test]
fn an_allocate_without_credentials_is_refused_with_401() {
    let mut relay = Relay::new();
    let mut client = client();
    let bytes = client.unsigned(&allocate());
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Err(401));
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (0, 0));
}

#[test]
fn a_second_allocate_from_the_same_five_tuple_is_refused_with_437() {
    let mut relay = Relay::new();
    let mut client = client();
    let relayed = relay.allocate(&mut client);
    assert_eq!(relay.outcome(&mut client, &allocate()), Err(437));
    // Whatever else is wrong with the request: the 5-tuple is checked first.
    assert_eq!(relay.outcome(&mut client, &allocate_with(6)), Err(437));
    assert_eq!(relay.server.allocation_count(), 1);
    assert!(relay.sockets.iter().all(|(port, _)| port.get() == relayed.port()));
}

#[test]
fn a_missing_requested_transport_is_refused_with_400() {
    let mut relay = Relay::new();
    assert_eq!(relay.outcome(&mut client(), &Request::new(method::ALLOCATE).with_lifetime(600)), Err(400));
}

#[test]
fn a_malformed_requested_transport_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    for value in [&[][..], &[17], &[17, 0, 0], &[17, 0, 0, 0, 0]] {
        let request = Request::new(method::ALLOCATE).with(kind::REQUESTED_TRANSPORT, value);
        assert_eq!(relay.outcome(&mut client, &request), Err(400), "{value:?}");
    }
    let reserved_bytes = Request::new(method::ALLOCATE).with(kind::REQUESTED_TRANSPORT, &[17, 0xFF, 0xFF, 0xFF]);
    assert_eq!(relay.outcome(&mut client, &reserved_bytes), Ok(()), "what is reserved for future use is ignored");
}

#[test]
fn a_transport_other_than_udp_is_refused_with_442() {
    let mut relay = Relay::new();
    for protocol in [0, 1, 6, 16, 18, 132, 255] {
        assert_eq!(relay.outcome(&mut client(), &allocate_with(protocol)), Err(442));
    }
}

#[test]
fn dont_fragment_that_can_be_honoured_is_granted() {
    let mut relay = Relay::new();
    assert_eq!(relay.outcome(&mut client(), &allocate().with(kind::DONT_FRAGMENT, &[])), Ok(()));
}

#[test]
fn dont_fragment_that_cannot_be_honoured_is_refused_with_420_as_an_unknown_attribute() {
    for (dont_fragment, indications) in [(false, true), (true, false)] {
        let mut relay = Relay::with(|config| (config.dont_fragment, config.indications) = (dont_fragment, indications));
        let mut client = client();
        let response = relay.ask(&mut client, &allocate().with(kind::DONT_FRAGMENT, &[]));
        assert_eq!((response.outcome(), response.unknown_attributes()), (Err(420), vec![kind::DONT_FRAGMENT]));
        assert_eq!(relay.outcome(&mut client, &allocate()), Ok(()), "without it the client is served");
    }
}

#[test]
fn the_lifetime_lies_between_default_and_maximum() {
    let asked =
        [None, Some(0), Some(1), Some(599), Some(600), Some(601), Some(3599), Some(3600), Some(3601), Some(u32::MAX)];
    for asked in asked {
        let mut relay = Relay::new();
        let mut client = client();
        let request = asked.map_or_else(allocate, |seconds| allocate().with_lifetime(seconds));
        let granted = 600.max(3600.min(asked.unwrap_or(600)));
        assert_eq!(relay.granted(&mut client, &request).lifetime(), Some(granted), "{asked:?}");
        relay.advance_secs(u64::from(granted) - 1);
        assert_eq!(relay.server.allocation_count(), 1, "{asked:?}");
        relay.advance_secs(1);
        assert_eq!(relay.server.allocation_count(), 0, "{asked:?}");
    }
}

#[test]
fn success_carries_relayed_address_lifetime_and_mapped_address() {
    let mut relay = Relay::new();
    for socket in ["198.51.100.7:50000", "[2001:db8:7::5]:61000"] {
        let mut client = Client::new(socket);
        let response = relay.granted(&mut client, &allocate());
        assert_eq!(
            response.kinds(),
            [kind::XOR_RELAYED_ADDRESS, kind::XOR_MAPPED_ADDRESS, kind::LIFETIME, kind::MESSAGE_INTEGRITY]
        );
        assert_eq!(response.addresses(kind::XOR_MAPPED_ADDRESS), [client.socket]);
        assert_eq!(response.relayed()[0].ip(), RELAY_V4);
    }
}

#[test]
fn a_retransmitted_allocate_gets_the_same_success() {
    for request in [allocate(), allocate_dual_stack(), allocate().with_even_port(true)] {
        let mut relay = Relay::new();
        let mut client = client();
        relay.challenge(&mut client);
        let bytes = client.sign(&request);
        let first = relay.answer(&client, &bytes).unwrap();
        assert_eq!(first.outcome(), Ok(()));
        let (sockets, _) = (relay.sockets.clone(), relay.take_events());
        relay.advance_secs(39);
        assert_eq!(relay.answer(&client, &bytes).unwrap(), first);
        assert_eq!((relay.server.allocation_count(), &relay.sockets), (1, &sockets));
        assert!(!relay.events.iter().any(|event| matches!(event, Event::AllocationCreated { .. })));

        // Another user does not get the response, even with the same transaction id.
        let mut intruder = Client { credentials: Client::new("198.51.100.7:9").credentials, ..client.clone() };
        let stolen = request.signed(first.transaction, &intruder.credentials, &intruder.nonce);
        assert_eq!(relay.answer(&intruder, &stolen).unwrap().outcome(), Err(437));
        assert_eq!(relay.outcome(&mut intruder, &refresh()), Err(441));
    }
}

#[test]
fn a_five_tuple_may_allocate_again_after_deletion() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let bytes = client.sign(&allocate());
    for _ in 0..3 {
        assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
        relay.granted(&mut client, &delete());
        assert!(relay.sockets.is_empty());
        relay.allocate(&mut client);
        relay.granted(&mut client, &delete());
    }
}

#[test]
fn beyond_the_quota_of_a_username_is_refused_with_486() {
    let mut relay = Relay::with(|config| config.username_limit = UsernameLimit::RefuseBeyond(2));
    let named = |port| Client::named(&format!("198.51.100.7:{port}"), "alice");
    let (mut first, mut second, mut third) = (named(1), named(2), named(3));
    relay.allocate(&mut first);
    relay.allocate(&mut second);
    assert_eq!(relay.outcome(&mut third, &allocate()), Err(486));
    assert_eq!(
        relay.outcome(&mut Client::named("198.51.100.7:3", "bob"), &allocate()),
        Ok(()),
        "others have their own"
    );
    relay.granted(&mut first, &delete());
    assert_eq!(relay.outcome(&mut Client::named("198.51.100.7:4", "alice"), &allocate()), Ok(()));
    assert_eq!(relay.outcome(&mut Client::named("198.51.100.7:5", "alice"), &allocate()), Err(486));
    // A retransmission does not count against the quota.
    let mut fourth = Client::named("198.51.100.7:6", "carol");
    relay.challenge(&mut fourth);
    let bytes = fourth.sign(&allocate());
    for _ in 0..5 {
        assert_eq!(relay.answer(&fourth, &bytes).unwrap().outcome(), Ok(()));
    }
}

#[test]
fn a_username_that_allocates_anew_gives_up_its_old_allocation() {
    let mut relay = Relay::with(|config| config.username_limit = UsernameLimit::ReplaceOldest);
    let (mut before, mut after) = (Client::named("198.51.100.7:1", "alice"), Client::named("198.51.100.7:2", "alice"));
    let mut bystander = Client::named("198.51.100.7:3", "bob");
    let old = relay.allocate(&mut before);
    let kept = relay.allocate(&mut bystander);
    relay.granted(&mut before, &bind(0x4000, "203.0.113.1:9".parse().unwrap()));
    let new = relay.allocate(&mut after);
    assert_eq!(relay.outcome(&mut before, &refresh()), Err(437));
    assert_eq!(relay.outcome(&mut bystander, &refresh()), Ok(()));
    let ports: Vec<u16> = relay.sockets.iter().map(|(port, _)| port.get()).collect();
    let mut expected = [new.port(), kept.port()];
    expected.sort_unstable();
    assert_eq!(ports, expected, "{old} is closed");
    assert!(relay.flows.is_empty());
}

#[test]
fn a_teredo_or_6to4_client_is_refused_with_403() {
    let mut relay = Relay::new();
    for socket in ["[2001:0:4136:e378:8000:63bf:3fff:fdd2]:50000", "[2002:c633:6407::1]:50000"] {
        assert_eq!(relay.outcome(&mut Client::new(socket), &allocate()), Err(403), "{socket}");
        assert_eq!(relay.outcome(&mut Client::new(socket), &allocate().with_family(2)), Err(403), "{socket}");
    }
    for socket in ["[2001:1::1]:50000", "[2003::1]:50000"] {
        assert_eq!(relay.outcome(&mut Client::new(socket), &allocate()), Ok(()), "{socket} is no tunnel");
    }
}

#[test]
fn relayed_addresses_are_unique() {
    let mut relay = Relay::with(|config| config.ports = relay_server::PortRange::new(50_000, 50_127).unwrap());
    let mut relayed: Vec<SocketAddr> = Vec::new();
    for number in 0..128 {
        let request = if number % 2 == 0 { allocate() } else { allocate_dual_stack() };
        relayed.extend(relay.granted(&mut numbered(number), &request).relayed());
    }
    assert_eq!(relayed.len(), 128 + 64);
    relayed.sort();
    relayed.dedup();
    assert_eq!(relayed.len(), 128 + 64);
}
