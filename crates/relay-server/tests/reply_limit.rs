//! The limit on replies, with clients behind shared addresses and with floods from forged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{net::SocketAddr, num::NonZeroU32};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use relay_server::{Event, REPLY_BURST_SECONDS, ReplyKind};
use support::{Client, Relay, allocate, binding, refresh};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

const PER_SECOND: u32 = 256;

fn relay() -> Relay {
    Relay::seeded([7; 32], |config| config.reply_limit = NonZeroU32::new(PER_SECOND))
}

/// A client at `198.51.100.{host}:{port}`.
fn client(host: u8, port: u16) -> Client {
    Client::new(&SocketAddr::from(([198, 51, 100, host], port)).to_string())
}

fn asks(relay: &mut Relay, client: &mut Client, times: u32) -> u32 {
    let answers = (0..times).filter(|_| {
        let bytes = client.unsigned(&binding());
        relay.answer(client, &bytes).is_some()
    });
    answers.count().try_into().unwrap()
}

/// Sends unsigned Allocates and ignores the challenges. Returns the number of challenges.
fn begs(relay: &mut Relay, client: &mut Client, times: u32) -> u32 {
    let answers = (0..times).filter(|_| {
        let bytes = client.unsigned(&allocate());
        relay.answer(client, &bytes).is_some()
    });
    answers.count().try_into().unwrap()
}

#[test]
fn a_binding_request_of_a_client_with_an_allocation_is_always_answered() {
    let mut relay = relay();
    let mut clients: Vec<_> = (0..100).map(|n| client(7, 50_000 + n)).collect();
    for client in &mut clients {
        relay.allocate(client);
    }
    for _ in 0..50 {
        for client in &mut clients {
            assert_eq!(asks(&mut relay, client, 1), 1);
        }
    }
    // Nor do they reduce the budget of others at that address.
    let most = PER_SECOND * REPLY_BURST_SECONDS;
    assert_eq!(asks(&mut relay, &mut client(7, 40_000), 2 * most), most);
    relay.allocate(&mut client(7, 40_001));
}

#[test]
fn what_is_held_back_is_no_response() {
    let mut relay = relay();
    let answered = asks(&mut relay, &mut client(7, 40_000), 2_000) + begs(&mut relay, &mut client(7, 40_000), 2_000);
    assert!(answered < 4_000);
    let count = |matches: fn(&Event) -> bool| relay.events.iter().filter(|event| matches(event)).count();
    let responses = count(|event| matches!(event, Event::Responded { .. }));
    let withheld = count(|event| matches!(event, Event::ReplyWithheld { .. }));
    assert_eq!((responses, withheld), (answered as usize, 4_000 - answered as usize));
}

#[test]
fn bindings_do_not_starve_challenges() {
    let mut relay = relay();
    assert!(asks(&mut relay, &mut client(7, 40_000), 2_000) < 2_000);
    relay.allocate(&mut client(7, 40_001));
}

#[test]
fn a_noisy_neighbour_costs_others_of_its_prefix_nothing() {
    let mut relay = relay();
    begs(&mut relay, &mut client(7, 40_000), 2_000);
    asks(&mut relay, &mut client(7, 40_000), 2_000);
    for host in 10..20 {
        assert_eq!(asks(&mut relay, &mut client(host, 40_000), 3), 3);
        relay.allocate(&mut client(host, 40_000));
    }
}

#[test]
fn a_crowd_behind_one_address_is_served_at_once() {
    let mut relay = relay();
    for n in 0..1_200 {
        let mut client = client(7, 10_000 + n);
        // A `stun:` server in ICE. Not all of these are answered.
        asks(&mut relay, &mut client, 3);
        relay.allocate(&mut client);
    }
}

#[test]
fn a_stale_nonce_is_answered_with_a_fresh_one_whatever_the_flood() {
    let mut relay = relay();
    let mut client = client(7, 50_000);
    relay.allocate(&mut client);
    for _ in 0..2 {
        relay.advance_secs(590);
        assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Ok(()));
    }
    // By now its nonce is stale.
    relay.advance_secs(590);
    // The floods forge its address, its whole prefix, and many others.
    for host in 0..=255 {
        begs(&mut relay, &mut self::client(host, 40_000), 50);
    }
    for n in 0..2_000_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        let mut stranger = Client::new(&SocketAddr::from(([10, b, c, d], 4_000)).to_string());
        begs(&mut relay, &mut stranger, 1);
    }
    let refused = relay.ask_once(&mut client, &refresh());
    assert_eq!(refused.outcome(), Err(438));
    client.nonce = refused.nonce().unwrap().to_vec();
    assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Ok(()));
}

#[test]
fn who_shows_a_nonce_is_no_stranger() {
    let mut relay = relay();
    let mut client = client(7, 50_000);
    relay.challenge(&mut client);
    client.credentials.key = [0; 16];
    let nonce = std::mem::replace(&mut client.nonce, b"made up".to_vec());
    let answered = |relay: &mut Relay, client: &mut Client| {
        let bytes = client.sign(&allocate());
        relay.answer(client, &bytes)
    };
    // Error responses no longer than the request count against the address only.
    let most = PER_SECOND * REPLY_BURST_SECONDS;
    let count = (0..2 * most).take_while(|_| answered(&mut relay, &mut client).is_some()).count();
    assert_eq!(u32::try_from(count).unwrap(), most - 1, "it may be anybody");
    client.nonce = nonce;
    assert_eq!(answered(&mut relay, &mut client).unwrap().outcome(), Err(401), "it hears that its password is wrong");
}

#[test]
fn a_withheld_reply_is_told_and_changes_nothing() {
    let mut relay = relay();
    let mut client = client(7, 50_000);
    let most = PER_SECOND * REPLY_BURST_SECONDS;
    assert_eq!(begs(&mut relay, &mut client, 2 * most), most);
    let bytes = client.unsigned(&allocate());
    relay.take_events();
    assert_eq!(relay.server.handle_client_datagram(relay.now, client.five_tuple(), &bytes), None);
    assert!(relay.server.has_withheld_reply());
    relay.drain();
    assert_eq!(relay.take_events(), [Event::ReplyWithheld { to: client.socket, kind: ReplyKind::Challenge }]);
    relay.advance_secs(1);
    assert_eq!(begs(&mut relay, &mut client, most), PER_SECOND);
}
