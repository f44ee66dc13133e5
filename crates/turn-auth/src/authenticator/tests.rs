use md5::{Digest, Md5};
use proptest::prelude::*;
use stun_msg::{ErrorCode, Request};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    AuthSecret, Credentials, UsernameError,
    testing::{
        EXPIRY, NOW, authenticate, authenticator, client, push_sha1, push_sha256, request, request_with, secret,
    },
};

fn credentials() -> Credentials {
    Credentials::mint(&secret(), EXPIRY, "salt")
}

fn nonce() -> Nonce {
    authenticator().nonce(NOW, client(), false)
}

fn key(username: &str, realm: &str, password: &str) -> [u8; 16] {
    Md5::digest(format!("{username}:{realm}:{password}")).into()
}

/// A request with these attributes, signed with a password.
fn signed(username: &str, realm: &str, nonce: &[u8], password: &str) -> Vec<u8> {
    let mut bytes = request(username, realm, nonce);
    push_sha1(&mut bytes, &key(username, realm, password));
    bytes
}

fn good() -> Vec<u8> {
    let Credentials { username, password } = credentials();
    signed(&username, "firezone", nonce().as_bytes(), &password)
}

#[test]
fn a_good_request_is_authenticated() {
    let bytes = good();
    let authenticated = authenticate(&bytes).unwrap();
    assert_eq!(authenticated.username, credentials().username);
}

#[test]
fn answers_are_signed_with_the_clients_key() {
    let bytes = good();
    let message = Message::parse(&bytes).unwrap();
    let authenticated = authenticate(&bytes).unwrap();
    let answer = stun_msg::Response::refresh_success(message.transaction(), std::time::Duration::from_secs(600))
        .finish(Some(&authenticated.key));

    let Credentials { username, password } = credentials();
    let mut expected = answer[..answer.len() - 24].to_vec();
    push_sha1(&mut expected, &key(&username, "firezone", &password));
    assert_eq!(answer, expected);
}

#[test]
fn without_integrity_a_request_is_unauthenticated() {
    assert_eq!(authenticate(&request_with(&[])).unwrap_err(), AuthError::Unauthenticated);
    let bytes = request(&credentials().username, "firezone", nonce().as_bytes());
    assert_eq!(authenticate(&bytes).unwrap_err(), AuthError::Unauthenticated);
}

#[test]
fn integrity_without_username_realm_or_nonce_is_a_bad_request() {
    let (username, nonce) = (credentials().username, nonce());
    let all = [
        (AttributeType::USERNAME, username.as_bytes()),
        (AttributeType::REALM, b"firezone"),
        (AttributeType::NONCE, nonce.as_bytes()),
    ];
    for (missing, _) in all {
        let rest: Vec<_> =
            all.iter().filter(|(kind, _)| *kind != missing).map(|(kind, value)| (kind.number(), *value)).collect();
        let mut bytes = request_with(&rest);
        push_sha1(&mut bytes, b"whatever");
        let error = authenticate(&bytes).unwrap_err();
        assert_eq!(error, AuthError::Missing(missing));
        assert_eq!((error.error_code(), error.needs_challenge()), (ErrorCode::BAD_REQUEST, false));
    }
}

/// What follows MESSAGE-INTEGRITY is not protected by it.
#[test]
fn username_realm_and_nonce_behind_the_integrity_are_missing() {
    let Credentials { username, password } = credentials();
    let mut bytes = request_with(&[]);
    push_sha1(&mut bytes, &key(&username, "firezone", &password));
    let before = bytes.len();
    let late = request(&username, "firezone", nonce().as_bytes());
    bytes.extend(&late[20..]);
    let length = u16::try_from(before - 20 + late.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(authenticate(&bytes).unwrap_err(), AuthError::Missing(AttributeType::USERNAME));
}

#[test]
fn a_userhash_is_not_offered() {
    let mut bytes = request_with(&[(0x001E, &[0; 32]), (0x0014, b"firezone"), (0x0015, nonce().as_bytes())]);
    push_sha1(&mut bytes, b"whatever");
    let error = authenticate(&bytes).unwrap_err();
    assert_eq!((error, error.error_code()), (AuthError::Userhash, ErrorCode::UNAUTHENTICATED));
}

#[test]
fn unknown_usernames_are_unauthenticated() {
    for (username, error) in [
        ("someone", UsernameError::NoColon),
        ("-1:salt", UsernameError::ExpiryNotANumber),
        ("18446744073709551616:salt", UsernameError::ExpiryTooLarge),
        ("1892160000:", UsernameError::NoSalt),
    ] {
        let bytes = signed(username, "firezone", nonce().as_bytes(), "password");
        let refused = authenticate(&bytes).unwrap_err();
        assert_eq!(refused, AuthError::Username(error));
        assert_eq!((refused.error_code(), refused.needs_challenge()), (ErrorCode::UNAUTHENTICATED, true));
    }
}

#[test]
fn credentials_hold_until_their_expiry() {
    for (expiry, result) in [
        (NOW.0 + 1, Ok(())),
        (1 << 63, Ok(())),
        (u64::MAX, Ok(())),
        (NOW.0, Err(AuthError::Expired { seconds_ago: 0 })),
        (NOW.0 - 3600, Err(AuthError::Expired { seconds_ago: 3600 })),
        (0, Err(AuthError::Expired { seconds_ago: NOW.0 })),
    ] {
        let Credentials { username, password } = Credentials::mint(&secret(), UnixTime(expiry), "salt");
        let bytes = signed(&username, "firezone", nonce().as_bytes(), &password);
        assert_eq!(authenticate(&bytes).map(|_| ()), result);
    }
}

#[test]
fn absurd_expiries_need_the_right_password_too() {
    for expiry in [1 << 63, u64::MAX] {
        let bytes = signed(&format!("{expiry}:salt"), "firezone", nonce().as_bytes(), "guess");
        assert_eq!(authenticate(&bytes).unwrap_err(), AuthError::WrongPassword);
    }
}

#[test]
fn another_realm_is_refused() {
    let Credentials { username, password } = credentials();
    for realm in ["Firezone", "firezone ", "", "example.org"] {
        let bytes = signed(&username, realm, nonce().as_bytes(), &password);
        assert_eq!(authenticate(&bytes).unwrap_err(), AuthError::WrongRealm, "{realm}");
    }
}

#[test]
fn another_password_is_refused() {
    let Credentials { username, password } = credentials();
    let of_other_secret = Credentials::mint(&AuthSecret::from_random([9; 32]), EXPIRY, "salt").password;
    let of_other_salt = Credentials::mint(&secret(), EXPIRY, "pepper").password;
    for wrong in ["", "password", &of_other_secret, &of_other_salt, &format!("{}=", *password)] {
        let bytes = signed(&username, "firezone", nonce().as_bytes(), wrong);
        assert_eq!(authenticate(&bytes).unwrap_err(), AuthError::WrongPassword);
    }
}

#[test]
fn a_stale_nonce_is_told() {
    let Credentials { username, password } = credentials();
    let other_client = authenticator().nonce(NOW, "198.51.100.77:1".parse().unwrap(), false);
    let old = authenticator().nonce(UnixTime(NOW.0 - 2 * NonceIssuer::PERIOD_SECONDS), client(), false);
    for nonce in [other_client.as_bytes(), old.as_bytes(), b"", b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"] {
        let bytes = signed(&username, "firezone", nonce, &password);
        let error = authenticate(&bytes).unwrap_err();
        assert_eq!(error, AuthError::StaleNonce);
        assert_eq!((error.error_code(), error.needs_challenge()), (ErrorCode::STALE_NONCE, true));
    }
}

/// A NAT may have chosen another port since.
#[test]
fn a_nonce_is_accepted_from_every_port_of_its_address() {
    let Credentials { username, password } = credentials();
    let other_port = SocketAddr::new(client().ip(), client().port() ^ 1);
    let nonce = authenticator().nonce(NOW, other_port, false);
    let bytes = signed(&username, "firezone", nonce.as_bytes(), &password);
    assert_eq!(authenticate(&bytes).unwrap().username, username);
    assert!(authenticator().recognises_nonce(nonce.as_bytes(), NOW, client().ip()));
    assert!(!authenticator().recognises_nonce(b"made up", NOW, client().ip()));
}

/// The order of <https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4>: who does not know the password does not learn
/// whether a nonce is good.
#[test]
fn the_first_failing_check_decides() {
    let Credentials { username, password } = credentials();
    let expired = Credentials::mint(&secret(), UnixTime(1), "salt").username;
    for (username, realm, nonce, password, error) in [
        ("nobody", "elsewhere", "stale", "wrong", AuthError::Username(UsernameError::NoColon)),
        (&expired, "elsewhere", "stale", "wrong", AuthError::Expired { seconds_ago: NOW.0 - 1 }),
        (&username, "elsewhere", "stale", "wrong", AuthError::WrongRealm),
        (&username, "firezone", "stale", "wrong", AuthError::WrongPassword),
        (&username, "firezone", "stale", &password, AuthError::StaleNonce),
    ] {
        assert_eq!(authenticate(&signed(username, realm, nonce.as_bytes(), password)).unwrap_err(), error);
    }
}

/// A server must check it where it is present, with the MD5 key where no other algorithm was agreed on.
#[test]
fn sha256_is_checked_where_it_is_present() {
    let Credentials { username, password } = credentials();
    let key = key(&username, "firezone", &password);
    let plain = request(&username, "firezone", nonce().as_bytes());

    let mut alone = plain.clone();
    push_sha256(&mut alone, &key);
    assert_eq!(authenticate(&alone).unwrap().username, username);
    let mut both = plain.clone();
    push_sha1(&mut both, &key);
    push_sha256(&mut both, &key);
    assert_eq!(authenticate(&both).unwrap().username, username);

    let mut wrong = plain.clone();
    push_sha1(&mut wrong, &key);
    push_sha256(&mut wrong, b"another key");
    assert_eq!(authenticate(&wrong).unwrap_err(), AuthError::WrongPassword);
}

#[test]
fn realms_are_checked() {
    let new = |realm: &str| {
        Authenticator::new(secret(), NonceIssuer::new([7; 32]), realm)
            .map(|authenticator| authenticator.realm().to_owned())
    };
    assert_eq!(new("firezone"), Ok("firezone".to_owned()));
    assert_eq!(new(""), Err(RealmError::Empty));
    assert!(new(&"\u{1F980}".repeat(127)).is_ok());
    assert_eq!(new(&"x".repeat(128)), Err(RealmError::TooLong { actual: 128 }));
    for realm in ["a\"b", "a\\b", "a\nb", "\0"] {
        assert_eq!(new(realm), Err(RealmError::ForbiddenCharacter));
    }
}

#[test]
fn debug_shows_no_secret() {
    let bytes = good();
    let shown = format!("{:?} {:?}", authenticator(), authenticate(&bytes).unwrap());
    let Credentials { username, password } = credentials();
    for hidden in [secret().expose(), &password, &hex::encode(key(&username, "firezone", &password)), "[7, 7"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let good = good();
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(message) = Message::parse(&bytes) {
            assert!(authenticator().authenticate(&message, NOW, client()).is_err(), "bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn minted_credentials_authenticate(expiry in NOW.0 + 1.., salt in ".{1,40}", port: u16) {
        let client = SocketAddr::new(client().ip(), port);
        let Credentials { username, password } = Credentials::mint(&secret(), UnixTime(expiry), &salt);
        let bytes = signed(&username, "firezone", authenticator().nonce(NOW, client, false).as_bytes(), &password);
        let message = Message::parse(&bytes).unwrap();
        let authenticated = authenticator().authenticate(&message, NOW, client).unwrap();
        prop_assert_eq!(authenticated.username, username);
        prop_assert!(matches!(message.request(), Ok(Request::Refresh(_))));
    }

    #[test]
    fn any_username_realm_and_nonce_are_refused(
        username in prop::collection::vec(any::<u8>(), 0..60),
        realm in prop::collection::vec(any::<u8>(), 0..20),
        nonce in prop::collection::vec(any::<u8>(), 0..20),
        now: u64,
    ) {
        let mut bytes = request_with(&[(0x0006, &username), (0x0014, &realm), (0x0015, &nonce)]);
        push_sha1(&mut bytes, b"whatever");
        let message = Message::parse(&bytes).unwrap();
        let error = authenticator().authenticate(&message, UnixTime(now), client()).unwrap_err();
        prop_assert_eq!(error.error_code(), ErrorCode::UNAUTHENTICATED);
    }
}
