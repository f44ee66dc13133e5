//! Password algorithms: which are offered, and how responses are signed.

use stun_types::message::{IntegrityAlgorithm, LongTermKeyCredentials};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{
    tests::{read, transaction},
    *,
};
use crate::{Message, Method};

/// A client that names an algorithm gets a response with MESSAGE-INTEGRITY-SHA256, checked with stun-types: with a SHA-256 key, and with
/// an MD5 key that [was named](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
#[test]
fn a_response_is_signed_as_its_key_says() {
    let long_term = |algorithm| IntegrityKey::long_term(algorithm, "user", "realm", "pass");
    let [md5, sha256] = [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256].map(long_term);
    for (key, kind, len) in [
        (md5.clone(), 0x0008, 20),
        (sha256.clone(), 0x001C, 32),
        (md5.signing_with_sha256(), 0x001C, 32),
        (sha256.clone().signing_with_sha256(), 0x001C, 32),
    ] {
        for fingerprint in [false, true] {
            let response = Response::create_permission_success(transaction(Method::CREATE_PERMISSION, fingerprint));
            let bytes = response.finish(Some(&key));
            let (signed_with, hmac) = &read(&bytes)[0];
            assert_eq!((*signed_with, hmac.len()), (kind, len));
            assert_eq!(Message::parse(&bytes).unwrap().verify_integrity(&key), Ok(()));
        }
    }
    let bytes = Response::channel_bind_success(transaction(Method::CHANNEL_BIND, true)).finish(Some(&sha256));
    let credentials = LongTermKeyCredentials::new("user".into(), "pass".into(), "realm".into());
    let theirs = credentials.make_key(IntegrityAlgorithm::Sha256);
    assert!(stun_types::message::Message::from_bytes(&bytes).unwrap().validate_integrity_with_key(&theirs).is_ok());
}

#[test]
fn an_offer_follows_the_nonce() {
    let challenge = || {
        Response::error(transaction(Method::ALLOCATE, false), ErrorCode::UNAUTHENTICATED).challenge("realm", b"nonce")
    };
    let plain = challenge().finish(None);
    let bytes = challenge().offer_password_algorithms().finish(None);
    assert_eq!(bytes.len(), plain.len() + 12);
    assert_eq!(read(&bytes)[3], (0x8002, vec![0, 2, 0, 0, 0, 1, 0, 0]));
    // Without a challenge there is no offer.
    let refused = || Response::error(transaction(Method::ALLOCATE, false), ErrorCode::BAD_REQUEST);
    assert_eq!(refused().offer_password_algorithms().finish(None), refused().finish(None));
}
