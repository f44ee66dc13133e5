//! RFC 8656, section 7.2, steps 5 and 8: how the relayed transport address is chosen.

use std::collections::BTreeSet;

use relay_server::PortRange;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{client, numbered};
use crate::support::{Client, RELAY_V6, Relay, allocate, allocate_dual_stack, delete, kind};

fn with_ports(lowest: u16, highest: u16) -> Relay {
    Relay::with(|config| config.ports = PortRange::new(lowest, highest).unwrap())
}

#[test]
fn ports_come_from_the_range_and_are_not_predictable() {
    assert_eq!((PortRange::DYNAMIC.lowest(), PortRange::DYNAMIC.highest()), (49_152, 65_535));
    let draw = |seed| {
        let mut relay = Relay::seeded([seed; 32], |_| ());
        (0..64).map(|number| relay.allocate(&mut numbered(number)).port()).collect::<Vec<_>>()
    };
    let (one, other) = (draw(1), draw(2));
    assert!(one.iter().chain(&other).all(|port| *port >= 49_152));
    let common = one.iter().filter(|port| other.contains(port)).count();
    assert!(common < 8, "{common} of 64 ports are the same with another seed");
    let steps: BTreeSet<u16> = one.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 56, "there is a pattern in {one:?}");

    let mut relay = with_ports(50_000, 50_003);
    let ports: BTreeSet<u16> = (0..4).map(|number| relay.allocate(&mut numbered(number)).port()).collect();
    assert_eq!(ports, BTreeSet::from([50_000, 50_001, 50_002, 50_003]));
}

#[test]
fn even_port_grants_an_even_port() {
    let mut relay = with_ports(50_001, 50_128);
    for number in 0..63 {
        let response = relay.granted(&mut numbered(number), &allocate().with_even_port(false));
        assert_eq!(response.relayed()[0].port() % 2, 0);
        assert_eq!(response.attribute(kind::RESERVATION_TOKEN), None);
    }
}

#[test]
fn an_even_port_that_cannot_be_had_is_refused_with_508() {
    let mut relay = with_ports(50_001, 50_001);
    for reserve_next in [false, true] {
        assert_eq!(relay.outcome(&mut client(), &allocate().with_even_port(reserve_next)), Err(508));
    }
    let mut relay = with_ports(50_000, 50_000);
    assert_eq!(
        relay.outcome(&mut client(), &allocate().with_even_port(true)),
        Err(508),
        "the next port is out of range"
    );
    assert_eq!(relay.outcome(&mut client(), &allocate().with_even_port(false)), Ok(()));
}

#[test]
fn even_port_with_reservation_beside_additional_family_is_refused_with_400() {
    let mut relay = Relay::new();
    assert_eq!(relay.outcome(&mut client(), &allocate_dual_stack().with_even_port(true)), Err(400));
    let response = relay.granted(&mut client(), &allocate_dual_stack().with_even_port(false));
    assert!(response.relayed().iter().all(|address| address.port() % 2 == 0));
}

#[test]
fn a_reservation_token_beside_even_port_or_a_family_is_refused_with_400() {
    let mut relay = Relay::new();
    let token = reserve(&mut relay, &mut client()).1;
    let request = allocate().with_token(&token);
    for request in [
        request.clone().with_even_port(false),
        request.clone().with_even_port(true),
        request.clone().with_family(1),
        request.clone().with_additional_family(2),
    ] {
        assert_eq!(relay.outcome(&mut numbered(1), &request), Err(400));
    }
    assert_eq!(relay.outcome(&mut same_user(1), &request), Ok(()), "the reservation still stands");
}

#[test]
fn an_invalid_reservation_token_is_refused_with_508() {
    let mut relay = Relay::new();
    assert_eq!(relay.outcome(&mut client(), &allocate().with_token(&[0; 8])), Err(508), "never handed out");

    let token = reserve(&mut relay, &mut client()).1;
    assert_eq!(relay.outcome(&mut same_user(1), &allocate().with_token(&token)), Ok(()));
    assert_eq!(relay.outcome(&mut same_user(2), &allocate().with_token(&token)), Err(508), "used");

    let token = reserve(&mut relay, &mut same_user(3)).1;
    relay.advance_secs(30);
    assert_eq!(relay.outcome(&mut same_user(4), &allocate().with_token(&token)), Err(508), "expired");

    for malformed in [&[][..], &token[..7], &[0; 9]] {
        assert_eq!(relay.outcome(&mut same_user(5), &allocate().with_token(malformed)), Err(400), "{malformed:?}");
    }
}

#[test]
fn even_port_with_reservation_holds_the_next_port_for_30_s() {
    let mut relay = with_ports(50_000, 50_001);
    let (port, token) = reserve(&mut relay, &mut client());
    assert_eq!((port, token.len()), (50_000, 8));
    assert_eq!(relay.outcome(&mut numbered(1), &allocate()), Err(508), "the other port is reserved");
    relay.advance_secs(29);
    assert_eq!(relay.outcome(&mut numbered(1), &allocate()), Err(508));
    relay.advance_secs(1);
    assert_eq!(relay.allocate(&mut numbered(1)).port(), 50_001);
}

#[test]
fn a_reservation_outlives_the_allocation_that_made_it() {
    let mut relay = with_ports(50_000, 50_001);
    let mut first = client();
    let (_, token) = reserve(&mut relay, &mut first);
    relay.granted(&mut first, &delete());
    let response = relay.granted(&mut same_user(1), &allocate().with_token(&token));
    assert_eq!(response.relayed()[0].port(), 50_001);
}

#[test]
fn a_reservation_token_grants_the_reserved_port() {
    let mut relay = Relay::new();
    let (port, token) = reserve(&mut relay, &mut client());
    relay.advance_secs(29);
    // From another port, another address, and to another address of the relay.
    let mut elsewhere = Client::named("[2001:db8:7::5]:61000", "198.51.100.7:50000");
    let response = relay.granted(&mut elsewhere, &allocate().with_token(&token));
    assert_eq!(response.relayed()[0].port(), port + 1);
    assert_eq!(response.attribute(kind::RESERVATION_TOKEN), None);
}

#[test]
fn a_reservation_token_keeps_the_family_of_the_first_allocation() {
    for v4 in [true, false] {
        let mut relay = Relay::with(|config| {
            if !v4 {
                config.relay_addresses.v4 = None;
            }
        });
        let first = relay.granted(&mut client(), &allocate().with_family(2).with_even_port(true));
        let token = first.attribute(kind::RESERVATION_TOKEN).unwrap();
        let second = relay.granted(&mut same_user(1), &allocate().with_token(token));
        assert_eq!(second.relayed()[0].ip(), RELAY_V6);
        assert_eq!(second.relayed()[0].port(), first.relayed()[0].port() + 1);
    }
}

#[test]
fn a_reservation_token_is_worth_nothing_to_another_username() {
    let mut relay = Relay::new();
    let token = reserve(&mut relay, &mut client()).1;
    assert_eq!(relay.outcome(&mut numbered(1), &allocate().with_token(&token)), Err(508));
    assert_eq!(relay.outcome(&mut same_user(1), &allocate().with_token(&token)), Ok(()));
}

/// Another client with the credentials of [`client`].
fn same_user(number: u16) -> Client {
    Client::named(&format!("198.51.100.7:{}", 60_000 + number), "198.51.100.7:50000")
}

/// Allocates a pair of ports. Returns the port of the first, and the token of the second.
fn reserve(relay: &mut Relay, client: &mut Client) -> (u16, Vec<u8>) {
    let response = relay.granted(client, &allocate().with_even_port(true));
    let port = response.relayed()[0].port();
    assert_eq!(port % 2, 0);
    (port, response.attribute(kind::RESERVATION_TOKEN).unwrap().to_vec())
}

#[test]
fn a_client_that_reserves_and_deletes_in_a_loop_is_refused_with_486() {
    let mut relay = Relay::new();
    let mut client = client();
    for _ in 0..10 {
        reserve(&mut relay, &mut client);
        relay.granted(&mut client, &delete());
    }
    assert_eq!(relay.outcome(&mut client, &allocate().with_even_port(true)), Err(486));
    assert_eq!(relay.outcome(&mut client, &allocate().with_even_port(false)), Ok(()));
}
