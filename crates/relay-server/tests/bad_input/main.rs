//! Malformed, huge and random input. The relay neither panics nor grows. Each datagram is dropped for a typed reason or answered
//! as the RFCs say, and a response to a stranger is hardly longer than the request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod amplification;
mod leftovers;
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use relay_server::{DropReason, Event, Forward, Method, Rejection};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use support::{
    Client, Credentials, Relay, Request, Response, allocate, allocate_dual_stack, bind, binding, channel_data, delete,
    kind, method, permit, refresh,
};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

/// The largest payload of a UDP datagram over IPv4.
const MAX_DATAGRAM: usize = 65_507;

/// What the relay did with a datagram.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Relayed(Forward),
    Answered(Response),
    Dropped(DropReason),
    /// A Binding indication, which keeps a NAT mapping alive.
    Ignored,
}

/// A relay, and a client with an allocation and a channel.
fn relay() -> (Relay, Client) {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    relay.granted(&mut client, &allocate_dual_stack().with_lifetime(3600));
    relay.granted(&mut client, &bind(0x4000, peer()));
    relay.take_events();
    (relay, client)
}

fn peer() -> SocketAddr {
    "203.0.113.1:9".parse().unwrap()
}

/// Passes a datagram to the relay. Checks that it has exactly one result, and that the events agree.
fn fate(relay: &mut Relay, client: &Client, datagram: &[u8]) -> Fate {
    let forward = relay.receive(client, datagram);
    let sent = relay.take_sent();
    assert_eq!(relay.take_sent(), None, "one answer at most");
    let events = relay.take_events();
    let told = |event: &&Event| matches!(event, Event::Dropped { .. } | Event::Responded { .. });
    match (forward, sent, events.iter().find(told)) {
        (Some(forward), None, None) => {
            assert!(forward.payload.end <= datagram.len() && forward.payload.start <= forward.payload.end);
            Fate::Relayed(forward)
        }
        (None, Some(sent), Some(Event::Responded { five_tuple, method, outcome })) => {
            assert_eq!((sent.from, sent.to), (client.server, client.socket));
            assert_eq!((*five_tuple, *method), (client.five_tuple(), sent.response.method));
            assert_eq!(sent.response.error_code(), outcome.err().map(|rejection| rejection.error_code().number()));
            assert_eq!(sent.response.transaction, datagram[8..20]);
            Fate::Answered(sent.response)
        }
        (None, None, Some(Event::Dropped { from, reason })) => {
            assert_eq!(*from, client.socket);
            Fate::Dropped(*reason)
        }
        (None, None, None) => {
            assert_eq!(datagram[..2], (method::BINDING | method::INDICATION).to_be_bytes(), "{datagram:02x?}");
            Fate::Ignored
        }
        other => panic!("{other:?}"),
    }
}

/// Valid messages of every kind.
fn messages(client: &mut Client) -> Vec<Vec<u8>> {
    let requests = [
        allocate(),
        allocate().with_even_port(true).with_lifetime(900),
        allocate().with_token(&[7; 8]),
        allocate_dual_stack(),
        refresh().with_lifetime(900).with_family(1),
        delete(),
        bind(0x4001, peer()),
        bind(0x4002, "[2001:db8::9]:9".parse().unwrap()),
        permit(&[peer(), "[2001:db8::9]:9".parse().unwrap()]),
        binding().with(kind::SOFTWARE, b"a name of odd length"),
    ];
    let mut messages = Vec::new();
    for request in requests {
        messages.push(client.unsigned(&request));
        messages.push(client.sign(&request));
        messages.push(client.sign(&request.with_fingerprint()));
    }
    messages.push(client.unsigned(&Request::new(method::BINDING | method::INDICATION)));
    messages.push(
        client.unsigned(&Request::new(method::SEND | method::INDICATION).with_peer(peer()).with(kind::DATA, b"data")),
    );
    messages.push(channel_data(0x4000, b"application data"));
    messages.push(channel_data(0x5000, b""));
    messages
}

#[test]
fn truncated_at_every_byte() {
    let (mut relay, mut client) = relay();
    let before = relay.flows.clone();
    for message in messages(&mut client) {
        for len in 0..message.len() {
            let fate = fate(&mut relay, &client, &message[..len]);
            let expected = match message[0] {
                _ if len == 0 => DropReason::NotStunNorChannelData,
                0x40..=0x7F => DropReason::TruncatedChannelData,
                _ if len < 8 => DropReason::NotStunNorChannelData,
                _ => DropReason::MalformedStun,
            };
            assert_eq!(fate, Fate::Dropped(expected), "{len} of {message:02x?}");
        }
    }
    assert_eq!((relay.server.allocation_count(), &relay.flows), (1, &before));
}

#[test]
fn changed_at_every_byte_a_signed_request_changes_nothing() {
    let (mut relay, mut client) = relay();
    for request in [delete(), bind(0x4001, peer()), refresh().with_lifetime(900)] {
        for request in [request.clone(), request.with_fingerprint()] {
            let message = client.sign(&request);
            // MESSAGE-INTEGRITY does not protect what follows it. The relay ignores that part.
            let protected = message.len() - if message[message.len() - 8] == 0x80 { 8 } else { 0 };
            for at in 0..protected {
                for flip in [0x01, 0x80, 0xFF] {
                    let mut changed = message.clone();
                    changed[at] ^= flip;
                    match fate(&mut relay, &client, &changed) {
                        Fate::Answered(response) => {
                            let code = response.error_code();
                            // The change may have removed MESSAGE-INTEGRITY, or made the message a Binding request.
                            let binding = response.method == method::BINDING;
                            assert!(
                                binding || matches!(code, Some(400 | 401 | 438)),
                                "{code:?} for byte {at} of {message:02x?}"
                            );
                        }
                        Fate::Dropped(_) | Fate::Ignored => {}
                        Fate::Relayed(forward) => panic!("{forward:?} for byte {at}"),
                    }
                }
            }
        }
    }
    assert_eq!((relay.server.allocation_count(), relay.sockets.len(), relay.flows.len()), (1, 2, 2));
}

#[test]
fn lengths_that_lie() {
    let (mut relay, mut client) = relay();
    for message in messages(&mut client).into_iter().filter(|message| message[0] < 0x40) {
        // A wrong length in the header.
        for length in [0, 1, 4, 0x7FFC, 0xFFFC, 0xFFFF_u16] {
            let mut changed = message.clone();
            changed[2..4].copy_from_slice(&length.to_be_bytes());
            if changed != message {
                assert_eq!(fate(&mut relay, &client, &changed), Fate::Dropped(DropReason::MalformedStun));
            }
        }
        // A wrong length of the first attribute.
        for length in [0, 1, 3, 5, 17, 0x7FFF, 0xFFFF_u16] {
            let mut changed = message.clone();
            if changed.len() > 24 {
                changed[22..24].copy_from_slice(&length.to_be_bytes());
                assert!(!matches!(fate(&mut relay, &client, &changed), Fate::Relayed(_)));
            }
        }
    }
}

#[test]
fn giant_datagrams() {
    let (mut relay, mut client) = relay();
    for filling in [0x00, 0x01, 0x40, 0x7F, 0x80, 0xFF] {
        let datagram = vec![filling; MAX_DATAGRAM];
        let fate = fate(&mut relay, &client, &datagram);
        assert!(matches!(fate, Fate::Dropped(_)), "{filling:#04x}: {fate:?}");
    }

    // One attribute that fills the message, for each attribute type, and then thousands of small ones.
    let largest = MAX_DATAGRAM / 4 * 4 - 24;
    for attribute in (0..0x30).chain(0x8000..0x8030) {
        let request = allocate_dual_stack().with(attribute, &vec![0; largest - 16]);
        let message = client.unsigned(&request);
        assert!(!matches!(fate(&mut relay, &client, &message), Fate::Relayed(_)), "{attribute:#06x}");
    }
    for attribute in [kind::XOR_PEER_ADDRESS, kind::LIFETIME, kind::REALM, kind::EVEN_PORT, 0x7FFF] {
        let many = (0..15_000).fold(Request::new(method::CREATE_PERMISSION), |request, _| request.with(attribute, &[]));
        let message = many.plain(client.next_transaction());
        let Fate::Answered(response) = fate(&mut relay, &client, &message) else { panic!("it is a sound request") };
        assert_eq!(response.error_code(), Some(401));
    }
    assert_eq!(relay.server.allocation_count(), 1);
}

#[test]
fn a_thousand_unknown_attributes_are_answered_with_less_than_was_sent() {
    let (mut relay, mut client) = relay();
    let many = |method| (0..1000).fold(Request::new(method), |request, number| request.with(0x4000 + number, &[]));
    let unsigned = client.unsigned(&many(method::BINDING));
    let signed = client.sign(&many(method::REFRESH));
    for message in [unsigned, signed] {
        let Fate::Answered(response) = fate(&mut relay, &client, &message) else { panic!("it is a sound request") };
        assert_eq!(response.error_code(), Some(420));
        assert_eq!(response.unknown_attributes(), (0x4000..0x4000 + 1000).collect::<Vec<u16>>());
        assert!(response.bytes.len() < message.len());
    }
}

#[test]
fn many_peers_in_one_request() {
    let (mut relay, mut client) = relay();
    let peers: Vec<SocketAddr> = (0..5000).map(|port| SocketAddr::from(([203, 0, 113, 1], port))).collect();
    assert_eq!(relay.outcome(&mut client, &permit(&peers)), Ok(()));
    let forbidden = "224.0.0.1:9".parse().unwrap();
    let peers: Vec<SocketAddr> = peers.into_iter().chain([forbidden]).collect();
    assert_eq!(relay.outcome(&mut client, &permit(&peers)), Err(403));
}

#[test]
fn usernames_with_absurd_expiries() {
    let (mut relay, mut client) = relay();
    let expiries = [
        ("9223372036854775807", Ok(())),
        ("9223372036854775808", Ok(())),
        ("18446744073709551615", Ok(())),
        ("18446744073709551616", Err(401)),
        ("340282366920938463463374607431768211456", Err(401)),
        ("-1", Err(401)),
        ("-9223372036854775808", Err(401)),
        ("0", Err(401)),
        ("1e30", Err(401)),
        ("0x7fffffffffffffff", Err(401)),
        ("NaN", Err(401)),
        ("\u{0661}\u{0668}\u{0660}", Err(401)),
        ("", Err(401)),
    ];
    for (number, (expiry, outcome)) in (0..).zip(expiries) {
        let mut other = Client::new(&format!("198.51.100.9:{}", 50_000 + number));
        other.credentials = Credentials::mint(expiry, "salt");
        assert_eq!(relay.outcome(&mut other, &allocate()), outcome, "{expiry}");
    }
    // The latest possible time of the wall clock.
    relay.server.handle_wall_clock(relay.now, relay_server::UnixTime(u64::MAX));
    client.credentials = Credentials::mint(u64::MAX, "salt");
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(401));
    relay.server.handle_wall_clock(relay.now, relay_server::UnixTime(0));
    client.nonce.clear();
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(441), "it is somebody else's");
}

#[test]
fn usernames_that_are_no_text() {
    let (mut relay, mut client) = relay();
    let key = client.credentials.key;
    for username in [&[0xFF; 20][..], b"\xC3\x28:salt", &[0; 64], b"1892160000:\xFF", &[b'9'; 60_000]] {
        client.credentials = Credentials { username: username.to_vec(), key };
        assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Err(401));
    }
}

#[test]
fn the_end_of_monotonic_time() {
    let (mut relay, mut client) = relay();
    relay.jump_to(relay_server::Timestamp::from_nanos(u64::MAX - 1));
    assert_eq!(relay.server.allocation_count(), 0);
    client.nonce.clear();
    client.credentials = Credentials::mint(u64::MAX, "salt");
    assert_eq!(relay.outcome(&mut client, &allocate()), Ok(()));
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer())), Ok(()));
    assert_eq!(relay.outcome(&mut client, &delete()), Ok(()));
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn time_that_goes_backwards() {
    let (mut relay, mut client) = relay();
    relay.now = relay_server::Timestamp::ZERO;
    assert!(relay.receive(&client, &channel_data(0x4000, b"data")).is_some());
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()));
    relay.jump_to(relay_server::Timestamp::from_secs(600));
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn rejections_name_the_method() {
    // The ERROR-CODE in the response is that of the rejection in the event.
    let (mut relay, mut client) = relay();
    let bytes = client.sign(&Request::new(method::CHANNEL_BIND));
    relay.receive(&client, &bytes);
    let responded = relay.take_events();
    let [Event::Responded { method, outcome, .. }] = responded[..] else { panic!("{responded:?}") };
    assert_eq!((method, outcome), (Method::CHANNEL_BIND.number(), Err(Rejection::NoChannelNumber)));
}
