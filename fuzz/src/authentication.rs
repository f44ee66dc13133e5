use std::net::SocketAddr;

use stun_msg::{IntegrityKey, Message};
use turn_auth::{
    AcceptedCredentials, AuthError, AuthSecret, Authenticator, Holder, NonceIssuer, Scheme, Schemes, UnixTime, UserKeys,
};

use crate::input::{self, Input};

/// Nobody is authenticated who knows neither a secret nor a password, whatever USERNAME, REALM and NONCE say and whatever schemes are
/// accepted.
pub fn authentication(input: &[u8]) {
    let mut input = Input(input);
    let now = UnixTime(input.u64());
    let client = input.address();
    let message_type = input.u16();

    // A right realm and a right nonce, if wanted, so that the later checks are reached.
    let issuer = NonceIssuer::new([7; 32]);
    let (realm, fresh, integrity) = (input.flag(), input.byte(), input.flag());
    let nonce = issuer.issue(now, client, fresh & 2 != 0);
    let mut bytes = input::message(message_type, &mut Input(&[]));
    if realm {
        input::push(&mut bytes, 0x0014, b"firezone");
    }
    if fresh & 1 != 0 {
        input::push(&mut bytes, 0x0015, nonce.as_bytes());
    }
    let rest = input::message(message_type, &mut input);
    bytes.extend(&rest[20..]);
    let length = u16::try_from(bytes.len() - 20).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    if integrity {
        input::push(&mut bytes, 0x0008, &[0; 20]);
    }

    for schemes in [Schemes::Only(Scheme::Firezone), Schemes::Only(Scheme::TurnRest), Schemes::Both] {
        let accepted = AcceptedCredentials {
            schemes,
            secrets: [[9; 32], [8; 32]].map(AuthSecret::from_random).into(),
            users: ["alice", "", "1000"].map(|name| (name.into(), UserKeys::from_bytes([7; 16], Some([7; 32])))).into(),
            nonce_key: None,
        };
        let authenticator =
            Authenticator::new(std::sync::Arc::new(accepted), issuer.clone(), "firezone").expect("a realm");
        check(&authenticator, &bytes, now, client);
    }
}

fn check(authenticator: &Authenticator, bytes: &[u8], now: UnixTime, client: SocketAddr) {
    let Ok(message) = Message::parse(bytes) else { return };
    let error = authenticator.authenticate(&message, now, client).expect_err("authenticated without the secret");
    assert_ne!(error, AuthError::StaleNonce, "a nonce is checked after the password");
    assert_eq!(error == AuthError::Unauthenticated, !message.has_integrity());
    // Who has an allocation is asked for its key, and nothing else changes.
    let username = message.username().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    // Of users and of an allocation: not what a message of zeros is signed with.
    let keys = [IntegrityKey::from([7; 16]), IntegrityKey::from([7; 32])];
    for (key, expiry) in keys.iter().zip([None, Some(now)]).chain(keys.iter().zip([Some(UnixTime(u64::MAX)), None])) {
        let holder = Holder { username, key, expiry };
        let with_allocation = authenticator.authenticate_holder(&message, now, client, holder);
        assert_eq!(with_allocation.expect_err("authenticated without the key"), error);
    }
    // What an operator reads must not panic either.
    assert!(!error.to_string().is_empty());
    assert_eq!(error.needs_challenge(), error.error_code().number() != 400);
}
