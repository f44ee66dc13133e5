//! Requests for tests, written by stun-types and signed by hand: not by the code under test.

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use stun_types::{
    attribute::RawAttribute,
    message::{
        Message as StunMessage, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, Method,
    },
};

use crate::{AuthError, AuthSecret, Authenticated, Authenticator, NonceIssuer, UnixTime};

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const EXPIRY: UnixTime = UnixTime(NOW.0 + 1);

pub(crate) fn client() -> SocketAddr {
    SocketAddr::new([192, 0, 2, 1].into(), 32853)
}

pub(crate) fn secret() -> AuthSecret {
    AuthSecret::new("4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab").unwrap()
}

pub(crate) fn authenticator() -> Authenticator {
    Authenticator::new(secret(), NonceIssuer::new([7; 32]), "firezone").unwrap()
}

/// Parses and checks a request as the server does.
pub(crate) fn authenticate(bytes: &[u8]) -> Result<Authenticated<'_>, AuthError> {
    let message = stun_msg::Message::parse(bytes).unwrap();
    authenticator().authenticate(&message, NOW, client())
}

/// A Refresh request without MESSAGE-INTEGRITY with these attributes.
pub(crate) fn request_with(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let message_type = MessageType::from_class_method(MessageClass::Request, Method::new(4));
    let mut message = StunMessage::builder(message_type, 7.into(), MessageWriteVec::new());
    for (kind, value) in attributes {
        message.add_attribute(&RawAttribute::new((*kind).into(), value)).unwrap();
    }
    message.finish()
}

/// A Refresh request with USERNAME, REALM and NONCE.
pub(crate) fn request(username: &str, realm: &str, nonce: &[u8]) -> Vec<u8> {
    request_with(&[(0x0006, username.as_bytes()), (0x0014, realm.as_bytes()), (0x0015, nonce)])
}

/// Appends a MESSAGE-INTEGRITY.
pub(crate) fn push_sha1(bytes: &mut Vec<u8>, key: &[u8]) {
    push::<Hmac<Sha1>>(bytes, key, 0x0008, 20);
}

/// Appends a MESSAGE-INTEGRITY-SHA256.
pub(crate) fn push_sha256(bytes: &mut Vec<u8>, key: &[u8]) {
    push::<Hmac<Sha256>>(bytes, key, 0x001C, 32);
}

fn push<M: Mac + hmac::digest::KeyInit>(bytes: &mut Vec<u8>, key: &[u8], kind: u16, len: u16) {
    let length = u16::try_from(bytes.len() - 20).unwrap() + 4 + len;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let hmac = <M as Mac>::new_from_slice(key).unwrap().chain_update(&bytes).finalize().into_bytes();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(hmac);
}
