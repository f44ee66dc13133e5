use std::net::SocketAddr;

use stun_msg::Message;
use turn_auth::{AuthError, AuthSecret, Authenticator, NonceIssuer, UnixTime};

use crate::input::{self, Input};

/// Nobody is authenticated who does not know the secret, whatever USERNAME, REALM and NONCE say.
pub fn authentication(input: &[u8]) {
    let mut input = Input(input);
    let now = UnixTime(input.u64());
    let client = input.address();
    let message_type = input.u16();

    // A right realm and a right nonce, if wanted, so that the later checks are reached.
    let issuer = NonceIssuer::new([7; 32]);
    let nonce = issuer.issue(now, client);
    let (realm, fresh, integrity) = (input.flag(), input.flag(), input.flag());
    let mut bytes = input::message(message_type, &mut Input(&[]));
    if realm {
        input::push(&mut bytes, 0x0014, b"firezone");
    }
    if fresh {
        input::push(&mut bytes, 0x0015, nonce.as_bytes());
    }
    let rest = input::message(message_type, &mut input);
    bytes.extend(&rest[20..]);
    let length = u16::try_from(bytes.len() - 20).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    if integrity {
        input::push(&mut bytes, 0x0008, &[0; 20]);
    }

    let authenticator = Authenticator::new(AuthSecret::from_random([9; 32]), issuer, "firezone").expect("a realm");
    check(&authenticator, &bytes, now, client);
}

fn check(authenticator: &Authenticator, bytes: &[u8], now: UnixTime, client: SocketAddr) {
    let Ok(message) = Message::parse(bytes) else { return };
    let error = authenticator.authenticate(&message, now, client).expect_err("authenticated without the secret");
    assert_ne!(error, AuthError::StaleNonce, "a nonce is checked after the password");
    assert_eq!(error == AuthError::Unauthenticated, !message.has_integrity());
    // What an operator reads must not panic either.
    assert!(!error.to_string().is_empty());
    assert_eq!(error.needs_challenge(), error.error_code().number() != 400);
}
