//! RFC 8656, section 5, and the requirements of RFC 8489 for all messages.

use std::{collections::BTreeSet, net::IpAddr};

use relay_server::{DropReason, PortRange, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, Credentials, LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, Request, allocate, allocate_with, bind, binding,
    channel_data, delete, kind, method, permit, refresh,
};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn peer() -> std::net::SocketAddr {
    "203.0.113.1:9".parse().unwrap()
}

#[test]
fn another_username_is_refused_with_441_on_refresh_channel_bind_and_create_permission() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let mut intruder = Client { credentials: Credentials::mint(1_892_160_000, "mallory"), ..client.clone() };
    for request in [refresh(), delete(), bind(0x4000, peer()), permit(&[peer()])] {
        assert_eq!(relay.outcome(&mut intruder, &request), Err(441));
    }
    assert_eq!(relay.server.allocation_count(), 1);
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()), "its owner may go on");
}

#[test]
fn a_request_without_an_allocation_is_refused_with_437() {
    let mut relay = Relay::new();
    let mut client = client();
    for request in [refresh(), delete(), bind(0x4000, peer()), permit(&[peer()])] {
        assert_eq!(relay.outcome(&mut client, &request), Err(437));
    }
    // The same client socket and another address of the relay make another 5-tuple.
    relay.allocate(&mut client);
    client.server = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(437));
}

#[test]
fn indications_and_channel_data_without_an_allocation_are_ignored() {
    let mut relay = Relay::new();
    let mut client = client();
    let send =
        client.unsigned(&Request::new(method::SEND | method::INDICATION).with_peer(peer()).with(kind::DATA, b"data"));
    assert_eq!(relay.answer(&client, &send), None);
    assert_eq!(relay.take_drops(), [DropReason::NoAllocation]);
    assert_eq!(relay.answer(&client, &channel_data(0x4000, b"data")), None);
    assert_eq!(relay.take_drops(), [DropReason::NoAllocation]);
}

#[test]
fn indications_are_never_answered() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    for method in
        [method::BINDING, method::ALLOCATE, method::REFRESH, method::SEND, method::CHANNEL_BIND, 0x0007, 0x000E]
    {
        let indication = Request::new(method | method::INDICATION);
        for indication in [indication.clone(), indication.with(0x7777, &[])] {
            let (unsigned, signed) = (client.unsigned(&indication), client.sign(&indication));
            assert_eq!(relay.answer(&client, &unsigned), None);
            assert_eq!(relay.answer(&client, &signed), None);
        }
    }
    assert_eq!(relay.server.allocation_count(), 1);
}

#[test]
fn responses_are_dropped() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.take_events();
    for class in [method::SUCCESS, method::ERROR] {
        for method in [method::BINDING, method::ALLOCATE] {
            let bytes = client.unsigned(&Request::new(method | class));
            assert_eq!(relay.answer(&client, &bytes), None);
            assert_eq!(relay.take_drops(), [DropReason::UnexpectedResponse]);
        }
    }
}

/// The source address may be forged: a response would reach no client, or the relay itself.
#[test]
fn requests_from_where_no_client_can_be_are_not_answered() {
    let mut relay = Relay::new();
    let own = [format!("{RELAY_V4}:{LISTEN_PORT}"), format!("[{RELAY_V6}]:{LISTEN_PORT}")];
    let others =
        ["198.51.100.7:0", "224.0.0.1:5000", "255.255.255.255:5000", "0.0.0.0:5000", "[ff02::1]:5000", "[::]:5000"];
    for source in own.iter().map(String::as_str).chain(others) {
        let mut client = Client::new(source);
        for request in [binding(), allocate(), refresh()] {
            let bytes = client.unsigned(&request);
            relay.take_events();
            assert_eq!(relay.answer(&client, &bytes), None, "{source}");
            assert_eq!(relay.take_drops(), [DropReason::ImpossibleSource], "{source}");
        }
        // An RFC 3489 Binding request.
        let classic = [&[0, 1, 0, 0][..], &[7; 16]].concat();
        assert_eq!(relay.receive(&client, &classic), None);
        assert!(relay.take_sent().is_none(), "{source}");
    }
    // At the relay's own address, other ports may be clients.
    let mut client = Client::new(&format!("{RELAY_V4}:5000"));
    let bytes = client.unsigned(&binding());
    assert!(relay.answer(&client, &bytes).is_some());
}

#[test]
fn unknown_methods_are_dropped() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    relay.take_events();
    // Connect and ConnectionBind of RFC 6062, shared secret of RFC 3489, and Send as a request.
    for method in [0x000A, 0x000B, 0x0002, method::SEND] {
        let bytes = client.sign(&Request::new(method));
        assert_eq!(relay.answer(&client, &bytes), None);
        assert_eq!(relay.take_drops(), [DropReason::UnknownMethod]);
    }
}

#[test]
fn responses_leave_from_the_address_the_request_arrived_at() {
    // Behind a one-to-one NAT, packets arrive at a private address. `Relay::answer` compares the addresses.
    let private = IpAddr::from([10, 0, 0, 1]);
    let mut relay = Relay::with(|config| config.own_addresses.push(private));
    let mut client = client();
    client.server = private;
    let bytes = client.unsigned(&binding());
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
    relay.allocate(&mut client);
    assert_eq!(relay.outcome(&mut client, &bind(0x1000, peer())), Err(400));
}

#[test]
fn unknown_optional_attributes_are_ignored() {
    let mut relay = Relay::new();
    let mut client = client();
    for kind in [0x8000 | 0x7777, kind::SOFTWARE, 0xC000, 0xFFFF] {
        let bytes = client.unsigned(&binding().with(kind, b"value"));
        assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
        assert_eq!(relay.outcome(&mut client, &allocate().with(kind, b"value")), Ok(()));
        assert_eq!(relay.outcome(&mut client, &delete().with(kind, b"value")), Ok(()));
    }
}

#[test]
fn unknown_required_attributes_are_refused_with_420_and_listed() {
    let mut relay = Relay::new();
    let mut client = client();
    // MOBILITY-TICKET is optional (0x8030); ACCESS-TOKEN (0x001B) and ICE's PRIORITY (0x0024) are not.
    let unknown = [0x001B, 0x0024, 0x7FFF];
    let with_unknown = |request: Request| {
        let request = request.with(kind::SOFTWARE, b"test");
        unknown.into_iter().fold(request, |request, kind| request.with(kind, b"value"))
    };
    let bytes = client.unsigned(&with_unknown(binding()));
    let response = relay.answer(&client, &bytes).unwrap();
    assert_eq!((response.outcome(), response.unknown_attributes()), (Err(420), unknown.to_vec()));

    for request in [allocate(), refresh(), bind(0x4000, peer()), permit(&[peer()])] {
        let response = relay.ask(&mut client, &with_unknown(request));
        assert_eq!((response.outcome(), response.unknown_attributes()), (Err(420), unknown.to_vec()));
    }
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn a_wrong_fingerprint_is_dropped() {
    let mut relay = Relay::new();
    let mut client = client();
    let mut bytes = client.unsigned(&binding().with_fingerprint());
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
    relay.take_events();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(relay.answer(&client, &bytes), None);
    assert_eq!(relay.take_drops(), [DropReason::MalformedStun]);
}

#[test]
fn a_fingerprint_is_answered_with_one() {
    let mut relay = Relay::new();
    let mut client = client();
    for (request, outcome) in [(allocate(), Ok(())), (refresh(), Ok(())), (allocate(), Err(437)), (delete(), Ok(()))] {
        let response = relay.ask(&mut client, &request.with_fingerprint());
        assert_eq!(response.outcome(), outcome);
        assert_eq!(response.kinds().last(), Some(&kind::FINGERPRINT));
    }
    for request in [allocate(), delete()] {
        assert!(!relay.ask(&mut client, &request).kinds().contains(&kind::FINGERPRINT));
    }
    let bytes = client.unsigned(&allocate().with_fingerprint());
    let challenge = relay.answer(&client, &bytes).unwrap();
    assert_eq!((challenge.outcome(), challenge.kinds().last()), (Err(401), Some(&kind::FINGERPRINT)));
}

#[test]
fn every_error_response_has_an_error_code() {
    // `Response::parse` checks that errors have an ERROR-CODE and successes do not. Here, each code occurs.
    let mut relay = Relay::with(|config| {
        config.ports = PortRange::new(50_001, 50_001).unwrap();
        config.username_limit = UsernameLimit::RefuseBeyond(1);
    });
    let mut client = client();
    let mut same_user = Client::named("198.51.100.7:50001", "198.51.100.7:50000");
    let mut intruder = Client { credentials: Credentials::mint(1_892_160_000, "mallory"), ..client.clone() };
    let mut other = Client::new("198.51.100.7:50002");
    let mut codes = BTreeSet::new();
    let mut ask = |client: &mut Client, request: &Request| codes.extend(relay.ask(client, request).error_code());
    ask(&mut client, &Request::new(method::ALLOCATE)); // 400
    ask(&mut client, &refresh()); // 437
    ask(&mut client, &allocate_with(6)); // 442
    ask(&mut client, &allocate().with_family(3)); // 440
    ask(&mut client, &allocate().with(0x7777, &[])); // 420
    ask(&mut client, &allocate());
    ask(&mut client, &bind(0x4000, "[2001:db8::5]:9".parse().unwrap())); // 443
    ask(&mut client, &bind(0x4000, "224.0.0.1:9".parse().unwrap())); // 403
    ask(&mut intruder, &refresh()); // 441
    ask(&mut same_user, &allocate()); // 486
    ask(&mut other, &allocate()); // 508
    other.nonce = b"made up".to_vec();
    codes.extend(relay.ask_once(&mut other, &allocate()).error_code()); // 438
    other.credentials.key = [0; 16];
    codes.extend(relay.ask_once(&mut other, &allocate()).error_code()); // 401
    assert_eq!(codes, BTreeSet::from([400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 508]));
}
