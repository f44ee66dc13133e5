use std::collections::HashSet;

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use zeroize::Zeroizing;

use super::*;
use crate::{AuthSecret, Scheme, Schemes, UserKeys, testing::client};

const START: u64 = 3_000_000 * NonceIssuer::PERIOD_SECONDS;

fn issuer() -> NonceIssuer {
    NonceIssuer::new([1; 32])
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_nonce_holds_for_its_period_and_the_next() {
    for age in [0, 1, NonceIssuer::PERIOD_SECONDS - 1] {
        let nonce = issuer().issue(UnixTime(START + age), client(), false);
        for later in [age, NonceIssuer::PERIOD_SECONDS, 2 * NonceIssuer::PERIOD_SECONDS - 1] {
            assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START + later), client().ip()), Ok(()));
        }
        for later in [2, 3, 255, 256, 257, 65_536].map(|periods| periods * NonceIssuer::PERIOD_SECONDS) {
            let verified = issuer().verify(nonce.as_bytes(), UnixTime(START + later), client().ip());
            assert_eq!(verified, Err(StaleNonce), "{later} s later");
        }
    }
}

/// RFC 8656 asks for an hour at most: <https://www.rfc-editor.org/rfc/rfc8656#section-5>.
#[test]
fn a_nonce_expires_within_the_hour() {
    const { assert!(2 * NonceIssuer::MAX_PERIOD_SECONDS <= 3600) };
}

#[test]
fn a_nonce_outlives_a_clock_that_is_set_back_by_ten_minutes() {
    let nonce = issuer().issue(UnixTime(START), client(), false);
    let verify = |now| issuer().verify(nonce.as_bytes(), UnixTime(now), client().ip());
    assert_eq!(verify(START - NonceIssuer::PERIOD_SECONDS), Ok(()));
    assert_eq!(verify(START - NonceIssuer::PERIOD_SECONDS - 1), Err(StaleNonce));
}

#[test]
fn both_ends_of_time_have_nonces() {
    for now in [0, 1, u64::MAX].map(UnixTime) {
        let nonce = issuer().issue(now, client(), false);
        assert_eq!(issuer().verify(nonce.as_bytes(), now, client().ip()), Ok(()));
    }
}

#[test]
fn a_nonce_belongs_to_one_address_at_any_port() {
    let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"), false);
    let verify = |client: &str| issuer().verify(nonce.as_bytes(), UnixTime(START), client.parse().unwrap());
    assert_eq!(verify("192.0.2.1"), Ok(()));
    assert_ne!(issuer().issue(UnixTime(START), address("192.0.2.1:1001"), false), nonce);
    for other in ["192.0.2.2", "2001:db8::1", "::192.0.2.1"] {
        assert_eq!(verify(other), Err(StaleNonce), "{other}");
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"), false);
    let mapped = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), mapped), Ok(()));
}

#[test]
fn a_secret_makes_an_issuer_that_outlives_the_process() {
    let issuer = |secret: &str| {
        let secret = AuthSecret::new(secret).unwrap();
        NonceIssuer::from_credentials(&AcceptedCredentials::of_secret(Schemes::Only(Scheme::Firezone), secret)).unwrap()
    };
    let nonce = issuer("0123456789abcdef").issue(UnixTime(START), client(), false);
    let verify = |secret| issuer(secret).verify(nonce.as_bytes(), UnixTime(START + 60), client().ip());
    assert_eq!(verify("0123456789abcdef"), Ok(()));
    assert_eq!(verify("0123456789abcdeg"), Err(StaleNonce));
}

/// Otherwise anybody who gets a nonce could find the secret by trying.
#[test]
fn nonces_do_not_follow_from_what_can_be_guessed() {
    let issuer = |secret: Option<&str>, password: &str, nonce_key: Option<[u8; 32]>| {
        NonceIssuer::from_credentials(&AcceptedCredentials {
            schemes: Schemes::Both,
            secrets: secret.map(|text| AuthSecret::any_text(text).unwrap()).into_iter().collect(),
            users: [("alice".into(), UserKeys::of_password("alice", "realm", password))].into(),
            nonce_key: nonce_key.map(Zeroizing::new),
        })
    };
    let nonce = |issuer: Option<NonceIssuer>| issuer.unwrap().issue(UnixTime(START), client(), false);
    for secret in [None, Some("north"), Some("fifteen letters")] {
        assert!(issuer(secret, "one", None).is_none());
        let expected = NonceIssuer::new([1; 32]).issue(UnixTime(START), client(), false);
        assert_eq!(nonce(issuer(secret, "one", Some([1; 32]))), expected);
        assert_eq!(nonce(issuer(secret, "two", Some([1; 32]))), expected);
    }
    let strong = Some("sixteen letters!");
    assert_eq!(nonce(issuer(strong, "one", None)), nonce(issuer(strong, "two", Some([1; 32]))));
}

#[test]
fn a_nonce_belongs_to_one_issuer() {
    let nonce = NonceIssuer::new([2; 32]).issue(UnixTime(START), client(), false);
    assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), client().ip()), Err(StaleNonce));
}

#[test]
fn a_changed_nonce_is_stale() {
    for offers_algorithms in [false, true] {
        let nonce = issuer().issue(UnixTime(START), client(), offers_algorithms);
        let verify = |changed: &[u8]| issuer().verify(changed, UnixTime(START), client().ip());
        let text = nonce.as_bytes();
        assert_eq!(verify(text), Ok(()));
        for bit in 0..8 * text.len() {
            let mut changed = text.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&changed), Err(StaleNonce), "bit {bit}");
        }
        for len in 0..text.len() {
            assert_eq!(verify(&text[..len]), Err(StaleNonce), "{len} bytes");
        }
        assert_eq!(verify(&[text, b"="].concat()), Err(StaleNonce));
    }
}

/// [RFC 8489, section 18.1](https://www.rfc-editor.org/rfc/rfc8489#section-18.1): the leftmost of 24 bits says "Password algorithms".
#[test]
fn the_cookie_says_that_password_algorithms_are_offered() {
    let nonce = issuer().issue(UnixTime(START), client(), true);
    let (magic, features) = nonce.as_bytes()[..13].split_at(9);
    assert_eq!(magic, b"obMatJos2");
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(features).unwrap(), [0x80, 0, 0]);
    assert!(Nonce::is_offer(nonce.as_bytes()));
    assert_eq!(nonce.as_bytes().len(), Nonce::OFFER_LEN);
    assert!(!Nonce::is_offer(issuer().issue(UnixTime(START), client(), false).as_bytes()));
}

/// [Bid-down protection](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.1): an attacker on the path cannot add the cookie to a nonce, or
/// remove it.
#[test]
fn the_cookie_is_neither_taken_off_nor_put_on() {
    let [with, without] = [true, false].map(|offers| issuer().issue(UnixTime(START), client(), offers));
    let verify = |nonce: &[u8]| issuer().verify(nonce, UnixTime(START), client().ip());
    assert_eq!(verify(&with.as_bytes()[13..]), Err(StaleNonce));
    assert_eq!(verify(&[&with.as_bytes()[..13], without.as_bytes()].concat()), Err(StaleNonce));
}

#[test]
fn a_nonce_holds_for_one_to_two_periods_of_any_length() {
    for (asked, period) in [(0, 60), (59, 60), (60, 60), (90, 90), (1800, 1800), (1801, 1800), (u64::MAX, 1800)] {
        let issuer = issuer().with_period(asked);
        let start = 1_000_000 * period;
        let nonce = issuer.issue(UnixTime(start), client(), false);
        let verify = |later| issuer.verify(nonce.as_bytes(), UnixTime(start + later), client().ip());
        assert_eq!(verify(2 * period - 1), Ok(()), "{asked}");
        assert_eq!(verify(2 * period), Err(StaleNonce), "{asked}");
    }
}

/// It may stand between quotation marks: <https://www.rfc-editor.org/rfc/rfc8489#section-14.10>.
#[test]
fn a_nonce_is_twelve_characters_of_base64() {
    for now in START..START + 200 * NonceIssuer::PERIOD_SECONDS {
        if now % NonceIssuer::PERIOD_SECONDS == 0 {
            let nonce = issuer().issue(UnixTime(now), client(), false);
            let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            assert!(nonce.as_bytes().iter().all(is_base64), "{nonce}");
            assert_eq!(nonce.to_string().as_bytes(), nonce.as_bytes());
        }
    }
}

#[test]
fn clients_get_different_nonces() {
    let clients = (0..=u16::MAX).map(|port| SocketAddr::new([192, 0, 2, 1].into(), port));
    let nonces: HashSet<_> = clients.map(|client| issuer().issue(UnixTime(START), client, false)).collect();
    assert_eq!(nonces.len(), 1 << 16);
}

#[test]
fn debug_does_not_show_the_key() {
    assert_eq!(format!("{:?}", issuer()), "NonceIssuer(..)");
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn any_bytes_are_stale(bytes in prop::collection::vec(any::<u8>(), 0..32), now: u64) {
        prop_assert_eq!(issuer().verify(&bytes, UnixTime(now), client().ip()), Err(StaleNonce));
    }

    #[test]
    fn a_nonce_holds_by_its_period_alone(issued in 0_u64..10_000_000_000, later in 0_u64..3600, ip: [u8; 16], port: u16) {
        let client = SocketAddr::new(ip.into(), port);
        let nonce = issuer().issue(UnixTime(issued), client, false);
        let periods = (issued + later) / NonceIssuer::PERIOD_SECONDS - issued / NonceIssuer::PERIOD_SECONDS;
        let verified = issuer().verify(nonce.as_bytes(), UnixTime(issued + later), client.ip());
        prop_assert_eq!(verified.is_ok(), periods <= 1);
    }
}
