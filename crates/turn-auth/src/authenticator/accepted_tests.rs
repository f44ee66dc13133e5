//! Which credentials are accepted: schemes, secrets, static users, and those that an existing allocation was made with.

use md5::{Digest, Md5};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    AuthSecret, Credentials, Scheme, Schemes, UserKeys, UsernameError,
    testing::{EXPIRY, NOW, client, push_sha1, request, secret},
};

const BOTH: [Scheme; 2] = [Scheme::Firezone, Scheme::TurnRest];

fn of(schemes: Schemes, secrets: &[&AuthSecret]) -> Authenticator {
    let secrets = secrets.iter().map(|secret| (*secret).clone()).collect();
    with(AcceptedCredentials { schemes, secrets, users: [].into(), nonce_key: None })
}

fn with(accepted: AcceptedCredentials) -> Authenticator {
    Authenticator::new(Arc::new(accepted), NonceIssuer::new([7; 32]), "firezone").unwrap()
}

fn signed(authenticator: &Authenticator, credentials: &Credentials) -> Vec<u8> {
    let Credentials { username, password } = credentials;
    let mut bytes = request(username, "firezone", authenticator.nonce(NOW, client(), false).as_bytes());
    push_sha1(&mut bytes, &key(username, password));
    bytes
}

fn key(username: &str, password: &str) -> [u8; 16] {
    Md5::digest(format!("{username}:firezone:{password}")).into()
}

/// The user id, if the credentials are accepted.
fn user_id(authenticator: &Authenticator, credentials: &Credentials) -> Result<String, AuthError> {
    let bytes = signed(authenticator, credentials);
    let message = Message::parse(&bytes).unwrap();
    let authenticated = authenticator.authenticate(&message, NOW, client())?;
    assert_eq!(authenticated.username, credentials.username);
    Ok(authenticated.user_id.to_owned())
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials { username: username.to_owned(), password: password.to_owned().into() }
}

#[test]
fn a_scheme_is_accepted_where_it_was_asked_for() {
    for minted in BOTH {
        let credentials = minted.mint(&secret(), EXPIRY, "alice");
        for only in BOTH {
            let expected = if only == minted { Ok("alice".to_owned()) } else { Err(AuthError::WrongPassword) };
            assert_eq!(user_id(&of(Schemes::Only(only), &[&secret()]), &credentials), expected);
        }
        assert_eq!(user_id(&of(Schemes::Both, &[&secret()]), &credentials).as_deref(), Ok("alice"));
    }
}

/// As coturn 4.6.1 does with `--static-auth-secret=north`.
#[test]
fn all_forms_of_turn_rest_usernames_are_accepted() {
    let north = AuthSecret::any_text("north").unwrap();
    for schemes in [Schemes::Only(Scheme::TurnRest), Schemes::Both] {
        let authenticator = of(schemes, &[&north]);
        for (username, password, user) in [
            ("1892160000:alice", "tO6gO9w0y8QNFL1FJ17XIrhO37M=", "alice"),
            ("1892160000", "XsdaEAgK0Hp2zaKT+0ACP1/fhxQ=", "1892160000"),
            ("alice:1892160000", "X7sFP52DnPxWb1/P8xW1bY9zdV8=", "alice"),
        ] {
            assert_eq!(user_id(&authenticator, &credentials(username, password)).as_deref(), Ok(user));
            let unpadded = credentials(username, password.trim_end_matches('='));
            assert_eq!(user_id(&authenticator, &unpadded), Err(AuthError::WrongPassword));
        }
    }
    let firezone = of(Schemes::Only(Scheme::Firezone), &[&north]);
    let bare = credentials("1892160000", "XsdaEAgK0Hp2zaKT+0ACP1/fhxQ=");
    assert_eq!(user_id(&firezone, &bare), Err(AuthError::Username(UsernameError::NoColon)));
}

#[test]
fn an_expired_username_of_any_form_is_refused() {
    let authenticator = of(Schemes::Both, &[&secret()]);
    for username in [format!("{}:alice", NOW.0), format!("alice:{}", NOW.0), NOW.0.to_string()] {
        let expired = user_id(&authenticator, &credentials(&username, "whatever"));
        assert_eq!(expired, Err(AuthError::Expired { seconds_ago: 0 }), "{username}");
    }
}

#[test]
fn each_of_several_secrets_is_as_good_as_the_first() {
    let [old, new, other] = [[1; 32], [2; 32], [3; 32]].map(AuthSecret::from_random);
    let mut authenticator = of(Schemes::Both, &[&new, &old]);
    for scheme in BOTH {
        assert!(user_id(&authenticator, &scheme.mint(&old, EXPIRY, "alice")).is_ok());
        assert!(user_id(&authenticator, &scheme.mint(&new, EXPIRY, "alice")).is_ok());
        let refused = user_id(&authenticator, &scheme.mint(&other, EXPIRY, "alice"));
        assert_eq!(refused, Err(AuthError::WrongPassword));
    }
    authenticator.accept(new.clone().into());
    assert!(user_id(&authenticator, &Credentials::mint(&new, EXPIRY, "alice")).is_ok());
    let refused = user_id(&authenticator, &Credentials::mint(&old, EXPIRY, "alice"));
    assert_eq!(refused, Err(AuthError::WrongPassword));
}

#[test]
fn static_users_do_not_expire_and_come_first() {
    let user = |name: &str, password| (Box::from(name), UserKeys::of_password(name, "firezone", password));
    // The last one looks as if it had expired long ago.
    let users = [user("bob", "s3cret"), user("1000", "pbx")].into();
    let authenticator =
        with(AcceptedCredentials { schemes: Schemes::Both, secrets: vec![secret()], users, nonce_key: None });
    assert_eq!(user_id(&authenticator, &credentials("bob", "s3cret")).as_deref(), Ok("bob"));
    assert_eq!(user_id(&authenticator, &credentials("1000", "pbx")).as_deref(), Ok("1000"));
    assert_eq!(user_id(&authenticator, &credentials("bob", "guess")), Err(AuthError::WrongPassword));
    let unknown = user_id(&authenticator, &credentials("Bob", "s3cret"));
    assert_eq!(unknown, Err(AuthError::Username(UsernameError::NoColon)));
    assert!(user_id(&authenticator, &Credentials::mint(&secret(), EXPIRY, "alice")).is_ok());

    let bytes = {
        let mut bytes = request("bob", "elsewhere", b"stale");
        push_sha1(&mut bytes, &key("bob", "s3cret"));
        bytes
    };
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(authenticator.authenticate(&message, NOW, client()).unwrap_err(), AuthError::WrongRealm);
}

#[test]
fn without_secrets_only_static_users_are_accepted() {
    let users = [(Box::from("bob"), UserKeys::of_password("bob", "firezone", "s3cret"))].into();
    let authenticator =
        with(AcceptedCredentials { schemes: Schemes::Both, secrets: Vec::new(), users, nonce_key: None });
    assert!(user_id(&authenticator, &credentials("bob", "s3cret")).is_ok());
    let refused = user_id(&authenticator, &Credentials::mint(&secret(), EXPIRY, "alice"));
    assert_eq!(refused, Err(AuthError::WrongPassword));
}

/// Credentials of the allocation are accepted even after their secret was replaced, or after they expired.
#[test]
fn what_an_allocation_was_made_with_outlives_its_secret_and_its_expiry() {
    let gone = AuthSecret::from_random([1; 32]);
    let authenticator = of(Schemes::Both, &[&secret()]);
    let made_with = Credentials::mint(&gone, UnixTime(NOW.0 - 1), "alice");
    let held = IntegrityKey::from(key(&made_with.username, &made_with.password));
    let holder = Holder { username: &made_with.username, key: &held, expiry: None };
    let authenticate = |bytes: &[u8], holder| {
        let message = Message::parse(bytes).unwrap();
        authenticator.authenticate_holder(&message, NOW, client(), holder).map(|it| it.user_id.to_owned())
    };
    let good = signed(&authenticator, &made_with);
    assert_eq!(authenticate(&good, holder).as_deref(), Ok("alice"));

    // The expiry is checked if it is given.
    let strict = Holder { expiry: Some(UnixTime(NOW.0 - 1)), ..holder };
    assert_eq!(authenticate(&good, strict), Err(AuthError::Expired { seconds_ago: 1 }));
    let lasting = Holder { expiry: Some(EXPIRY), ..holder };
    assert_eq!(authenticate(&good, lasting).as_deref(), Ok("alice"));

    // Everything else is checked as usual.
    let forged = signed(&authenticator, &credentials(&made_with.username, "guess"));
    assert_eq!(authenticate(&forged, holder), Err(AuthError::Expired { seconds_ago: 1 }));
    let mut stale = request(&made_with.username, "firezone", b"stale");
    push_sha1(&mut stale, &key(&made_with.username, &made_with.password));
    assert_eq!(authenticate(&stale, holder), Err(AuthError::StaleNonce));
    let other = Credentials::mint(&gone, EXPIRY, "alice");
    assert_eq!(authenticate(&signed(&authenticator, &other), holder), Err(AuthError::WrongPassword));
    let other = Credentials::mint(&secret(), EXPIRY, "bob");
    assert_eq!(authenticate(&signed(&authenticator, &other), holder).as_deref(), Ok("bob"));
}
