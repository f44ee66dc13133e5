//! RFC 8489, section 9.2: the long-term credential mechanism.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, Credentials, REALM, Relay, Request, UNIX_TIME, allocate, append, append_fingerprint, append_integrity,
    bind, binding, delete, kind, permit, refresh,
};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn authenticated_requests() -> [Request; 5] {
    let peer = "203.0.113.1:9".parse().unwrap();
    [allocate(), refresh(), delete(), bind(0x4000, peer), permit(&[peer])]
}

#[test]
fn every_request_but_binding_is_challenged_without_integrity() {
    let mut relay = Relay::new();
    let mut client = client();
    for request in authenticated_requests() {
        let bytes = client.unsigned(&request);
        let response = relay.answer(&client, &bytes).unwrap();
        assert_eq!(response.outcome(), Err(401));
    }
    let bytes = client.unsigned(&binding());
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
    assert_eq!(relay.server.allocation_count(), 0);
}

#[test]
fn the_challenge_carries_realm_and_nonce() {
    let mut relay = Relay::new();
    let mut client = client();
    let bytes = client.unsigned(&allocate());
    let response = relay.answer(&client, &bytes).unwrap();
    assert_eq!(response.kinds(), [kind::ERROR_CODE, kind::REALM, kind::NONCE]);
    assert_eq!(response.attribute(kind::REALM), Some(REALM.as_bytes()));
}

#[test]
fn nonces_differ_between_clients() {
    let mut relay = Relay::new();
    let mut nonces = Vec::new();
    for socket in ["198.51.100.7:50000", "198.51.100.7:50001", "198.51.100.8:50000", "[2001:db8::7]:50000"] {
        let mut client = Client::new(socket);
        relay.challenge(&mut client);
        nonces.push(client.nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
}

/// Some clients give up when the first authenticated Allocate is answered with 438.
#[test]
fn a_nonce_is_accepted_from_another_port_by_another_shard_and_after_a_restart() {
    for seed in [[1; 32], [2; 32]] {
        let mut client = client();
        Relay::seeded(seed, |_| ()).challenge(&mut client);
        let mut relay = Relay::seeded([3; 32], |_| ());
        relay.advance_secs(590);
        client.socket.set_port(1);
        assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), Ok(()));
    }
}

#[test]
fn a_stale_nonce_is_refused_with_438_and_a_fresh_one_that_works() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    assert_eq!(relay.ask_once(&mut client, &allocate().with_lifetime(3600)).outcome(), Ok(()));

    relay.advance_secs(3599);
    let refused = relay.ask_once(&mut client, &refresh());
    assert_eq!(refused.outcome(), Err(438));
    assert_eq!(refused.kinds(), [kind::ERROR_CODE, kind::REALM, kind::NONCE]);
    client.nonce = refused.nonce().unwrap().to_vec();
    assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Ok(()));
}

#[test]
fn a_nonce_of_another_client_is_refused_with_438() {
    let mut relay = Relay::new();
    let (mut client, mut other) = (client(), Client::new("198.51.100.8:50000"));
    relay.challenge(&mut other);
    for nonce in [other.nonce.as_slice(), b"", b"made up", &[0xFF; 700]] {
        client.nonce = nonce.to_vec();
        let refused = relay.ask_once(&mut client, &allocate());
        assert_eq!(refused.outcome(), Err(438));
        assert_eq!(refused.attribute(kind::REALM), Some(REALM.as_bytes()));
        client.nonce = refused.nonce().unwrap().to_vec();
        // There is no allocation, but the credentials are accepted.
        assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Err(437));
    }
}

#[test]
fn integrity_without_username_realm_or_nonce_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let credentials = [
        (kind::USERNAME, client.credentials.username.clone()),
        (kind::REALM, REALM.as_bytes().to_vec()),
        (kind::NONCE, client.nonce.clone()),
    ];
    for missing in [kind::USERNAME, kind::REALM, kind::NONCE] {
        let mut bytes = allocate().plain(client.next_transaction());
        for (kind, value) in credentials.iter().filter(|(kind, _)| *kind != missing) {
            append(&mut bytes, *kind, value);
        }
        append_integrity(&mut bytes, &client.credentials.key);
        let response = relay.answer(&client, &bytes).unwrap();
        assert_eq!(response.outcome(), Err(400));
        assert_eq!(response.kinds(), [kind::ERROR_CODE]);
    }
}

#[test]
fn an_invalid_or_expired_username_is_refused_with_401() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let refused = [
        Credentials::new("", "password"),
        Credentials::new("alice", "password"),
        Credentials::mint("", "salt"),
        Credentials::mint("soon", "salt"),
        Credentials::mint(-1, "salt"),
        Credentials::mint("+1892160000", "salt"),
        Credentials::mint("01892160000", "salt"),
        Credentials::mint(" 1892160000", "salt"),
        Credentials::mint(1_892_160_000, ""),
        Credentials::mint(0, "salt"),
        Credentials::mint(UNIX_TIME - 1, "salt"),
        Credentials::mint(UNIX_TIME, "salt"),
        Credentials::mint(u128::from(u64::MAX) + 1, "salt"),
    ];
    for credentials in refused {
        client.credentials = credentials;
        let response = relay.ask_once(&mut client, &allocate());
        assert_eq!(response.outcome(), Err(401), "{:?}", client.credentials);
        assert_eq!(response.kinds(), [kind::ERROR_CODE, kind::REALM, kind::NONCE]);
    }
    client.credentials = Credentials::mint(UNIX_TIME + 1, "salt");
    assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), Ok(()));
    relay.granted(&mut client, &delete());
    relay.advance_secs(1);
    assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), Err(401), "what was valid a second ago is not now");
    assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Err(401), "it holds no allocation");
}

#[test]
fn a_wrong_password_is_refused_with_401() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let right = client.credentials.clone();

    client.credentials.key = [0; 16];
    let response = relay.ask_once(&mut client, &allocate());
    assert_eq!(response.outcome(), Err(401));
    assert_eq!(response.kinds(), [kind::ERROR_CODE, kind::REALM, kind::NONCE]);

    // A signed request cannot be changed, neither its transaction ID nor its attributes.
    client.credentials = right;
    let bytes = client.sign(&allocate().with_lifetime(1000));
    for at in [8, 19, 24, 35, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(relay.answer(&client, &changed).unwrap().outcome(), Err(401), "byte {at}");
    }
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
}

#[test]
fn responses_are_signed_with_the_clients_key() {
    let mut relay = Relay::new();
    let mut client = client();
    let peer = "203.0.113.1:9".parse().unwrap();
    relay.challenge(&mut client);
    let asked = [
        (refresh(), Err(437)),
        (allocate().with_family(9), Err(440)),
        (allocate(), Ok(())),
        (bind(0x1000, peer), Err(400)),
        (bind(0x4000, peer), Ok(())),
        (permit(&[peer]), Ok(())),
        (refresh().with(0x7777, &[]), Err(420)),
        (delete(), Ok(())),
    ];
    for (request, outcome) in asked {
        // `ask_once` checks MESSAGE-INTEGRITY.
        let response = relay.ask_once(&mut client, &request);
        assert_eq!(response.outcome(), outcome);
        let kinds = response.kinds();
        assert_eq!(kinds.last(), Some(&kind::MESSAGE_INTEGRITY));
        assert!(!kinds.iter().any(|kind| [kind::USERNAME, kind::REALM, kind::NONCE].contains(kind)), "{kinds:04x?}");
    }
}

#[test]
fn attributes_after_message_integrity_are_ignored() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let mut bytes = client.sign(&allocate());
    // Before MESSAGE-INTEGRITY, these would be answered with 440 and 420.
    append(&mut bytes, kind::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0]);
    append(&mut bytes, 0x7777, &[]);
    let mut fingerprinted = bytes.clone();
    append_fingerprint(&mut fingerprinted);
    let mut wrong = fingerprinted.clone();
    *wrong.last_mut().unwrap() ^= 1;

    assert_eq!(relay.answer(&client, &wrong), None, "FINGERPRINT counts wherever it is");
    assert_eq!(relay.answer(&client, &bytes).unwrap().outcome(), Ok(()));
    let response = relay.answer(&client, &fingerprinted).unwrap();
    assert_eq!(response.outcome(), Ok(()), "a retransmission");
    assert_eq!(response.kinds().last(), Some(&kind::FINGERPRINT));
}

#[test]
fn a_username_of_763_bytes_is_parsed() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    let expiry = UNIX_TIME + 86_400;
    for (length, outcome) in [(508, Ok(())), (763, Ok(())), (764, Err(401))] {
        client.credentials = Credentials::mint(expiry, &"s".repeat(length - 11));
        assert_eq!(client.credentials.username.len(), length);
        assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), outcome, "{length} bytes");
        if outcome.is_ok() {
            relay.granted(&mut client, &delete());
        }
    }
}
