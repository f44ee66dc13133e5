//! RFC 8489, sections 9.2.1 and 9.2.4: SHA-256 for clients that choose it, and no change for others.

use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, REALM, Relay, Request, Response, SECRET, UNIX_TIME, allocate, append, append_fingerprint,
    append_integrity_sha256, bind, delete, kind, password, refresh,
};

/// PASSWORD-ALGORITHMS: SHA-256, MD5.
const OFFER: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
/// The nonce cookie with the first of its 24 security feature bits set.
const COOKIE: &[u8] = b"obMatJos2gAAA";

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

/// An Allocate that is long enough for a challenge with an offer, which may be twice as long.
fn large_allocate() -> Request {
    allocate().with(kind::SOFTWARE, b"a client of RFC 8489")
}

fn sha256_key() -> [u8; 32] {
    let (expiry, salt) = (UNIX_TIME + 365 * 86_400, "198.51.100.7:50000");
    Sha256::digest(format!("{expiry}:{salt}:{REALM}:{}", password(SECRET, expiry, salt))).into()
}

fn challenge(relay: &mut Relay, client: &mut Client, request: &Request) -> Response {
    let bytes = client.unsigned(request);
    let response = relay.answer(client, &bytes).expect("a challenge");
    assert_eq!(response.outcome(), Err(401));
    client.nonce = response.nonce().unwrap().to_vec();
    response
}

/// `request`, signed as an RFC 8489 client does that chooses `algorithm` with `key`.
fn signed(client: &mut Client, request: &Request, (list, named): (&[u8], &[u8]), key: &[u8]) -> Vec<u8> {
    let mut bytes = request.plain(client.next_transaction());
    append(&mut bytes, kind::USERNAME, &client.credentials.username);
    append(&mut bytes, kind::REALM, REALM.as_bytes());
    append(&mut bytes, kind::NONCE, &client.nonce);
    append(&mut bytes, kind::PASSWORD_ALGORITHMS, list);
    append(&mut bytes, kind::PASSWORD_ALGORITHM, named);
    append_integrity_sha256(&mut bytes, key);
    append_fingerprint(&mut bytes);
    bytes
}

#[test]
fn a_challenge_offers_sha256_if_it_stays_within_twice_the_request() {
    let mut relay = Relay::new();
    for software in 0..60 {
        for fingerprint in [false, true] {
            let request = allocate().with(kind::SOFTWARE, &vec![b'x'; software]);
            let request = if fingerprint { request.with_fingerprint() } else { request };
            let mut client = client();
            let request_len = client.unsigned(&request).len();
            let response = challenge(&mut relay, &mut client, &request);
            assert!(response.bytes.len() <= 2 * request_len, "{} for {request_len} bytes", response.bytes.len());
            let is_offer = response.attribute(kind::PASSWORD_ALGORITHMS) == Some(OFFER);
            assert_eq!(is_offer, client.nonce.starts_with(COOKIE));
            let len_of_offer = if fingerprint { 92 } else { 84 };
            assert_eq!(is_offer, 2 * request_len >= len_of_offer, "{request_len} bytes");
        }
    }
}

#[test]
fn a_client_that_chooses_sha256_is_answered_with_sha256() {
    let (mut relay, mut client, key) = (Relay::new(), client(), sha256_key());
    challenge(&mut relay, &mut client, &large_allocate());
    for request in [allocate(), refresh(), bind(0x4000, "203.0.113.1:9".parse().unwrap()), delete()] {
        let bytes = signed(&mut client, &request, (OFFER, SHA256), &key);
        let response = relay.answer(&client, &bytes).unwrap();
        assert_eq!(response.outcome(), Ok(()));
        assert!(response.is_signed_with_sha256(&key));
        assert!(!response.kinds().contains(&kind::MESSAGE_INTEGRITY));
    }
    // Errors are signed with SHA-256, too.
    let bytes = signed(&mut client, &refresh(), (OFFER, SHA256), &key);
    let refused = relay.answer(&client, &bytes).unwrap();
    assert_eq!(refused.outcome(), Err(437));
    assert!(refused.is_signed_with_sha256(&key));
}

/// A client that names MD5 knows RFC 8489. Its responses have a MESSAGE-INTEGRITY-SHA256, made with the MD5 key.
#[test]
fn a_client_that_names_md5_is_answered_with_message_integrity_sha256() {
    let (mut relay, mut client) = (Relay::new(), client());
    challenge(&mut relay, &mut client, &large_allocate());
    let key = client.credentials.key;
    let bytes = signed(&mut client, &allocate(), (OFFER, MD5), &key);
    let response = relay.answer(&client, &bytes).unwrap();
    assert_eq!(response.outcome(), Ok(()));
    assert!(response.is_signed_with_sha256(&key));
}

/// Almost all deployed clients copy the nonce and ignore the rest.
#[test]
fn a_client_of_rfc_5389_takes_no_notice_of_the_offer() {
    let (mut relay, mut client) = (Relay::new(), client());
    challenge(&mut relay, &mut client, &large_allocate());
    assert!(client.nonce.starts_with(COOKIE));
    // `ask_once` checks the MESSAGE-INTEGRITY of the response.
    for request in [allocate(), refresh(), delete()] {
        let response = relay.ask_once(&mut client, &request);
        assert_eq!(response.outcome(), Ok(()));
        assert!(!response.kinds().contains(&kind::MESSAGE_INTEGRITY_SHA256));
    }
}

/// A bid-down attack: somebody on the path removes SHA-256 from the offer so that the client chooses MD5. The server detects it.
#[test]
fn an_offer_that_was_changed_on_its_way_is_refused_with_400() {
    let (mut relay, mut client) = (Relay::new(), client());
    challenge(&mut relay, &mut client, &large_allocate());
    let key = client.credentials.key;
    for (list, named) in [(MD5, MD5), (OFFER, &[0, 3, 0, 0]), (&[][..], SHA256), (OFFER, &[])] {
        let bytes = signed(&mut client, &allocate(), (list, named), &key);
        let refused = relay.answer(&client, &bytes).unwrap();
        assert_eq!(refused.outcome(), Err(400));
        assert!(refused.nonce().is_none() && refused.attribute(kind::REALM).is_none());
    }
    // If the attacker also removes the cookie from the nonce, the nonce is invalid.
    client.nonce.drain(..COOKIE.len());
    assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), Err(438));
}

/// A 438 response replaces only the nonce: a client with an offer gets an offer again, one without does not.
#[test]
fn a_fresh_nonce_offers_what_the_stale_one_did() {
    let mut relay = Relay::new();
    let (mut large, mut small, key) = (client(), client(), sha256_key());
    challenge(&mut relay, &mut large, &large_allocate());
    challenge(&mut relay, &mut small, &allocate());
    let bytes = signed(&mut large, &allocate().with_lifetime(3600), (OFFER, SHA256), &key);
    assert_eq!(relay.answer(&large, &bytes).unwrap().outcome(), Ok(()));

    relay.advance_secs(1300);
    let refused = relay.ask_once(&mut small, &refresh());
    assert_eq!(refused.outcome(), Err(438));
    assert_eq!(refused.attribute(kind::PASSWORD_ALGORITHMS), None);
    let bytes = signed(&mut large, &refresh(), (OFFER, SHA256), &key);
    let refused = relay.answer(&large, &bytes).unwrap();
    assert_eq!(refused.outcome(), Err(438));
    assert_eq!(refused.attribute(kind::PASSWORD_ALGORITHMS), Some(OFFER));
    large.nonce = refused.nonce().unwrap().to_vec();
    let bytes = signed(&mut large, &refresh(), (OFFER, SHA256), &key);
    assert_eq!(relay.answer(&large, &bytes).unwrap().outcome(), Ok(()));
}

#[test]
fn a_nonce_holds_for_as_long_as_the_configuration_says() {
    let mut relay = Relay::with(|config| config.nonce_lifetime = std::time::Duration::from_secs(60));
    let mut client = client();
    relay.challenge(&mut client);
    relay.advance_secs(59);
    assert_eq!(relay.ask_once(&mut client, &allocate()).outcome(), Ok(()));
    relay.advance_secs(61);
    assert_eq!(relay.ask_once(&mut client, &refresh()).outcome(), Err(438));
}
