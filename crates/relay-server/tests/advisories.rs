//! Published faults of other TURN servers, each tried with a harmless request of the same kind. `docs/security-advisories.md` lists
//! them, with the tests that are elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use relay_server::{PortRange, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use support::{Client, Relay, Request, allocate, bind, binding, delete, kind, method, refresh};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

const ACCESS_TOKEN: u16 = 0x001B;
const MOBILITY_TICKET: u16 = 0x8030;

/// Clients at different sockets, each with its own credentials.
fn numbered(number: u16) -> Client {
    Client::new(&format!("198.51.100.7:{}", 50_000 + number))
}

/// Clients at different sockets with the credentials of one user.
fn of_one_user(number: u16) -> Client {
    Client::named(&format!("198.51.100.7:{}", 50_000 + number), "alice")
}

/// CVE-2026-73215: EVEN-PORT without reservation also took the odd port, which was never freed.
#[test]
fn an_even_port_costs_no_second_port() {
    let ports = PortRange::new(50_000, 50_003).unwrap();
    let mut relay = Relay::with(|config| config.ports = ports);
    let mut client = numbered(0);
    for _ in 0..50 {
        relay.granted(&mut client, &allocate().with_even_port(false));
        relay.granted(&mut client, &delete());
    }
    let mut held = BTreeSet::new();
    for number in 0..2 {
        held.insert(relay.granted(&mut numbered(number), &allocate().with_even_port(false)).relayed()[0].port());
    }
    for number in 2..4 {
        held.insert(relay.allocate(&mut numbered(number)).port());
    }
    assert_eq!(held, BTreeSet::from([50_000, 50_001, 50_002, 50_003]));
}

/// CVE-2026-73216: a client that moved under RFC 8016 freed its place in the quota and kept its port.
#[test]
fn a_client_that_moves_keeps_its_place_in_the_quota() {
    let mut relay = Relay::with(|config| config.username_limit = UsernameLimit::RefuseBeyond(2));
    for number in 0..2 {
        let response = relay.granted(&mut of_one_user(number), &allocate().with(MOBILITY_TICKET, b""));
        assert_eq!(response.attribute(MOBILITY_TICKET), None, "no ticket is handed out");
    }
    let mut moved = of_one_user(2);
    assert_eq!(relay.outcome(&mut moved, &refresh().with(MOBILITY_TICKET, b"ticket")), Err(437));
    assert_eq!(relay.outcome(&mut moved, &allocate().with(MOBILITY_TICKET, b"")), Err(486));
    relay.granted(&mut of_one_user(1), &delete());
    assert_eq!(relay.outcome(&mut moved, &allocate()), Ok(()));
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (2, 2));
}

/// CVE-2026-43994: a length in an access token of RFC 7635 was trusted before the request was authenticated.
#[test]
fn an_access_token_is_an_unknown_attribute_whatever_is_in_it() {
    let mut relay = Relay::new();
    let mut client = numbered(0);
    for token in [&b""[..], &[0xFF; 2], &[0xFF; 40]] {
        let bytes = client.unsigned(&allocate().with(ACCESS_TOKEN, token));
        let response = relay.answer(&client, &bytes).unwrap();
        assert_eq!(response.outcome(), Err(401), "without credentials nothing is looked at");
        let response = relay.ask(&mut client, &allocate().with(ACCESS_TOKEN, token));
        assert_eq!((response.outcome(), response.unknown_attributes()), (Err(420), vec![ACCESS_TOKEN]));
    }
    assert_eq!(relay.server.allocation_count(), 0);
}

/// CVE-2022-31031: more attributes than an array had room for.
#[test]
fn as_many_attributes_as_a_datagram_holds_are_read() {
    let mut relay = Relay::new();
    let mut client = numbered(0);
    let many = (0..16_000).fold(binding(), |request, _| request.with(kind::SOFTWARE, b""));
    let bytes = client.unsigned(&many);
    assert!(bytes.len() > 64_000);
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
}

/// CVE-2018-4056: SQL injection through the username.
#[test]
fn a_username_is_compared_and_nothing_else() {
    let mut relay = Relay::new();
    for name in ["' OR '1'='1", "alice'; DROP TABLE users; --", "alice\" --", "%s%n", "$(id)", "../../etc/passwd"] {
        let mut stranger = numbered(0);
        stranger.credentials.username = name.as_bytes().to_vec();
        assert_eq!(relay.outcome(&mut stranger, &allocate()), Err(401), "{name}");
        // With a valid expiry in front, the wrong signature decides.
        stranger.credentials.username = format!("4000000000:{name}").into_bytes();
        assert_eq!(relay.outcome(&mut stranger, &allocate()), Err(401), "{name}");
    }
    assert_eq!(relay.server.allocation_count(), 0);
}

/// CVE-2020-26262 and CVE-2026-73212 were exploited through Connect of RFC 6062. This relay has no TCP.
#[test]
fn nothing_is_relayed_over_tcp() {
    let mut relay = Relay::new();
    let mut client = numbered(0);
    relay.allocate(&mut client);
    for (connect, attribute) in [(0x000A, kind::XOR_PEER_ADDRESS), (0x000B, 0x002A)] {
        let request = Request::new(connect).with(attribute, &[0; 8]);
        let bytes = client.sign(&request);
        assert_eq!(relay.answer(&client, &bytes), None);
    }
    let tcp = Request::new(method::ALLOCATE).with(kind::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    assert_eq!(relay.outcome(&mut numbered(1), &tcp), Err(442));
}

/// CVE-2024-2169: two servers that answer each other's errors never stop.
#[test]
fn an_answer_is_not_answered() {
    let mut relay = Relay::new();
    let mut client = numbered(0);
    let request = client.unsigned(&allocate());
    let challenge = relay.answer(&client, &request).unwrap().bytes;
    assert_eq!(relay.receive(&client, &challenge), None);
    assert_eq!(relay.take_sent(), None);
    relay.allocate(&mut client);
    let bytes = client.sign(&bind(0x4000, "203.0.113.1:9".parse().unwrap()));
    let answer = relay.answer(&client, &bytes).unwrap().bytes;
    assert_eq!(relay.receive(&client, &answer), None);
    assert_eq!(relay.take_sent(), None);
}
