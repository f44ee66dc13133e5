//! RFC 8656, section 7.2, steps 6, 7 and 9: the families that a client gets.

use std::net::IpAddr;

use relay_server::{AddressStatus, PortRange, RelayOpenError};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{client, numbered};
use crate::support::{Client, RELAY_V4, RELAY_V6, Relay, allocate, allocate_dual_stack, refresh};

fn ipv4_only() -> Relay {
    Relay::with(|config| config.relay_addresses.v6 = None)
}

fn ipv6_only() -> Relay {
    Relay::with(|config| config.relay_addresses.v4 = None)
}

#[test]
fn grants_an_ipv4_address_by_default() {
    for socket in ["198.51.100.7:50000", "[2001:db8:7::5]:61000"] {
        assert_eq!(Relay::new().allocate(&mut Client::new(socket)).ip(), RELAY_V4);
    }
    let explicit = Relay::new().granted(&mut client(), &allocate().with_family(1));
    assert_eq!(explicit.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [RELAY_V4]);
}

#[test]
fn grants_an_ipv6_address_when_asked() {
    for socket in ["198.51.100.7:50000", "[2001:db8:7::5]:61000"] {
        let response = Relay::new().granted(&mut Client::new(socket), &allocate().with_family(2));
        assert_eq!(response.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [RELAY_V6]);
    }
}

#[test]
fn an_unsupported_requested_family_is_refused_with_440() {
    for family in [0, 3, 4, 255] {
        assert_eq!(Relay::new().outcome(&mut client(), &allocate().with_family(family)), Err(440));
    }
    assert_eq!(ipv4_only().outcome(&mut client(), &allocate().with_family(2)), Err(440));
    assert_eq!(ipv6_only().outcome(&mut client(), &allocate().with_family(1)), Err(440));
}

#[test]
fn without_a_requested_family_a_relay_without_ipv4_answers_440() {
    let mut relay = ipv6_only();
    let mut client = Client::new("[2001:db8:7::5]:61000");
    assert_eq!(relay.outcome(&mut client, &allocate()), Err(440));
    assert_eq!(relay.outcome(&mut client, &allocate().with_family(2)), Ok(()));
}

#[test]
fn requested_beside_additional_family_is_refused_with_400() {
    for (requested, additional) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let request = allocate().with_family(requested).with_additional_family(additional);
        assert_eq!(Relay::new().outcome(&mut client(), &request), Err(400));
    }
}

#[test]
fn an_additional_ipv4_family_is_refused_with_400() {
    for mut relay in [Relay::new(), ipv4_only(), ipv6_only()] {
        assert_eq!(relay.outcome(&mut client(), &allocate().with_additional_family(1)), Err(400));
    }
}

#[test]
fn an_additional_ipv6_family_grants_both() {
    let mut relay = Relay::new();
    let response = relay.granted(&mut client(), &allocate_dual_stack());
    let addresses: Vec<IpAddr> = response.relayed().iter().map(|address| address.ip()).collect();
    assert_eq!(addresses, [IpAddr::from(RELAY_V4), IpAddr::from(RELAY_V6)]);
    assert_eq!(response.address_error(), None);
    assert_eq!(relay.sockets.len(), 2);
}

#[test]
fn a_family_that_could_not_be_granted_is_told_by_address_error_code() {
    for (mut relay, granted, missing) in
        [(ipv4_only(), IpAddr::from(RELAY_V4), 2), (ipv6_only(), IpAddr::from(RELAY_V6), 1)]
    {
        let response = relay.granted(&mut client(), &allocate_dual_stack());
        assert_eq!(response.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [granted]);
        assert_eq!(response.address_error(), Some((missing, 440)));
        assert_eq!(relay.sockets.len(), 1);
    }
    for (answers, granted, missing) in [
        ([Ok(()), Err(RelayOpenError::Failed)], IpAddr::from(RELAY_V4), 2),
        ([Err(RelayOpenError::Failed), Ok(())], IpAddr::from(RELAY_V6), 1),
    ] {
        let mut relay = Relay::new();
        relay.answers.extend(answers);
        let response = relay.granted(&mut client(), &allocate_dual_stack());
        assert_eq!(response.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [granted]);
        assert_eq!(response.address_error(), Some((missing, 508)));
        assert_eq!(relay.sockets.len(), 1);
    }
}

#[test]
fn exhausted_ports_are_refused_with_508() {
    let mut relay = Relay::with(|config| config.ports = PortRange::new(50_000, 50_001).unwrap());
    relay.allocate(&mut numbered(1));
    relay.allocate(&mut numbered(2));
    for request in [allocate(), allocate().with_family(2), allocate_dual_stack()] {
        assert_eq!(relay.outcome(&mut numbered(3), &request), Err(508));
    }

    let mut relay = Relay::new();
    relay.answers.extend([Err(RelayOpenError::Failed); 2]);
    assert_eq!(relay.outcome(&mut client(), &allocate_dual_stack()), Err(508), "neither socket opens");
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (0, 0));
}

#[test]
fn a_family_that_the_machine_has_lost_is_refused_with_440_until_it_is_back() {
    let mut relay = Relay::new();
    let mut old = numbered(1);
    relay.granted(&mut old, &allocate_dual_stack());
    relay.own_addresses(|addresses| addresses.status.v6 = AddressStatus::NoFamily);
    assert_eq!(relay.outcome(&mut numbered(2), &allocate().with_family(2)), Err(440));
    let response = relay.granted(&mut numbered(3), &allocate_dual_stack());
    assert_eq!(response.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [IpAddr::from(RELAY_V4)]);
    assert_eq!(response.address_error(), Some((2, 440)));
    assert_eq!(relay.outcome(&mut old, &refresh()), Ok(()), "what was allocated lives on");
    relay.own_addresses(|_| ());
    assert_eq!(relay.outcome(&mut numbered(2), &allocate().with_family(2)), Ok(()));
}

#[test]
fn an_address_that_is_not_there_is_refused_with_508_until_it_is_back() {
    let mut relay = Relay::new();
    let mut old = numbered(1);
    relay.granted(&mut old, &allocate());
    relay.own_addresses(|addresses| addresses.status.v4 = AddressStatus::Missing);
    assert_eq!(relay.outcome(&mut numbered(2), &allocate()), Err(508));
    assert_eq!(relay.outcome(&mut numbered(2), &allocate().with_family(2)), Ok(()));
    let response = relay.granted(&mut numbered(3), &allocate_dual_stack());
    assert_eq!(response.relayed().iter().map(|address| address.ip()).collect::<Vec<_>>(), [IpAddr::from(RELAY_V6)]);
    assert_eq!(response.address_error(), Some((1, 508)));
    assert_eq!(relay.outcome(&mut old, &refresh()), Ok(()), "what was allocated lives on");
    relay.own_addresses(|addresses| {
        addresses.status.v4 = AddressStatus::Missing;
        addresses.status.v6 = AddressStatus::NoFamily;
    });
    assert_eq!(relay.outcome(&mut numbered(4), &allocate_dual_stack()), Err(508));
    relay.own_addresses(|_| ());
    assert_eq!(relay.outcome(&mut numbered(4), &allocate()), Ok(()));
}
