//! Password algorithms: [RFC 8489, section 9.2.4](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).

use md5::Md5;
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    AuthSecret, Credentials, Schemes, UserKeys,
    testing::{EXPIRY, NOW, authenticator, client, push_sha1, push_sha256, request_with, secret},
};

const OFFER: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];

#[derive(Clone, Copy)]
enum Signed {
    Sha1,
    Sha256,
}

/// A request after a challenge that offered algorithms or not, with these PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM.
fn request(
    credentials: &Credentials,
    was_offered: bool,
    list: Option<&[u8]>,
    named: Option<&[u8]>,
    (key, signed): (PasswordAlgorithm, Signed),
) -> Vec<u8> {
    let Credentials { username, password } = credentials;
    let nonce = authenticator().nonce(NOW, client(), was_offered);
    let mut attributes =
        vec![(0x0006, username.as_bytes()), (0x0014, b"firezone".as_slice()), (0x0015, nonce.as_bytes())];
    attributes.extend(list.map(|list| (0x8002, list)));
    attributes.extend(named.map(|named| (0x001D, named)));
    let mut bytes = request_with(&attributes);
    let text = format!("{username}:firezone:{}", **password);
    let key = match key {
        PasswordAlgorithm::Md5 => Md5::digest(text).to_vec(),
        PasswordAlgorithm::Sha256 => Sha256::digest(text).to_vec(),
    };
    match signed {
        Signed::Sha1 => push_sha1(&mut bytes, &key),
        Signed::Sha256 => push_sha256(&mut bytes, &key),
    }
    bytes
}

fn algorithm_of(authenticator: &Authenticator, bytes: &[u8]) -> Result<PasswordAlgorithm, AuthError> {
    let message = Message::parse(bytes).unwrap();
    authenticator.authenticate(&message, NOW, client()).map(|authenticated| authenticated.key.algorithm())
}

#[test]
fn a_client_signs_with_the_algorithm_that_it_names() {
    use PasswordAlgorithm::{Md5, Sha256};
    use Signed::{Sha1, Sha256 as WithSha256};
    let credentials = Credentials::mint(&secret(), EXPIRY, "alice");
    for (list, named, signed, expected) in [
        (Some(OFFER), Some(SHA256), (Sha256, WithSha256), Ok(Sha256)),
        (Some(OFFER), Some(MD5), (Md5, WithSha256), Ok(Md5)),
        // A client of RFC 5389, which ignores the offer.
        (None, None, (Md5, Sha1), Ok(Md5)),
        // The key of an algorithm that was not named.
        (Some(OFFER), Some(SHA256), (Md5, WithSha256), Err(AuthError::WrongPassword)),
        (Some(OFFER), Some(MD5), (Sha256, WithSha256), Err(AuthError::WrongPassword)),
        (None, None, (Sha256, WithSha256), Err(AuthError::WrongPassword)),
        // An attacker on the path who removes an algorithm from the list is detected.
        (Some(MD5), Some(MD5), (Md5, WithSha256), Err(AuthError::PasswordAlgorithms)),
        (Some(OFFER), None, (Md5, Sha1), Err(AuthError::PasswordAlgorithms)),
        (None, Some(SHA256), (Sha256, WithSha256), Err(AuthError::PasswordAlgorithms)),
        (Some(OFFER), Some(&[0, 3, 0, 0]), (Sha256, WithSha256), Err(AuthError::PasswordAlgorithms)),
    ] {
        let bytes = request(&credentials, true, list, named, signed);
        assert_eq!(algorithm_of(&authenticator(), &bytes), expected, "{list:?} {named:?}");
    }
    assert_eq!(AuthError::PasswordAlgorithms.error_code(), stun_msg::ErrorCode::BAD_REQUEST);
}

#[test]
fn what_was_not_offered_is_ignored() {
    let credentials = Credentials::mint(&secret(), EXPIRY, "alice");
    let md5 = (PasswordAlgorithm::Md5, Signed::Sha1);
    let bytes = request(&credentials, false, Some(OFFER), Some(SHA256), md5);
    assert_eq!(algorithm_of(&authenticator(), &bytes), Ok(PasswordAlgorithm::Md5));
}

#[test]
fn a_holder_signs_with_the_key_of_the_allocation() {
    let credentials = Credentials::mint(&AuthSecret::from_random([1; 32]), EXPIRY, "alice");
    let sha256 = (PasswordAlgorithm::Sha256, Signed::Sha256);
    let bytes = request(&credentials, true, Some(OFFER), Some(SHA256), sha256);
    let message = Message::parse(&bytes).unwrap();
    for (algorithm, expected) in
        [(PasswordAlgorithm::Sha256, Ok(())), (PasswordAlgorithm::Md5, Err(AuthError::WrongPassword))]
    {
        let key = IntegrityKey::long_term(algorithm, &credentials.username, "firezone", &credentials.password);
        let holder = Holder { username: &credentials.username, key: &key, expiry: None };
        let authenticated = authenticator().authenticate_holder(&message, NOW, client(), holder);
        assert_eq!(authenticated.map(drop), expected);
    }
}

#[test]
fn algorithms_are_offered_if_every_user_has_a_key_of_each() {
    let with = |user: Option<UserKeys>| {
        let users = user.into_iter().map(|keys| (Box::from("bob"), keys)).collect();
        AcceptedCredentials { schemes: Schemes::Both, secrets: vec![secret()], users, nonce_key: None }
    };
    let of_password = UserKeys::of_password("bob", "firezone", "s3cret");
    let of_md5 = UserKeys::from_bytes([1; 16], None);
    let mut authenticator = authenticator();
    for (user, expected) in [(None, true), (Some(of_md5), false), (Some(of_password), true)] {
        authenticator.accept(with(user).into());
        assert_eq!(authenticator.offers_algorithms(), expected);
    }
    let bob = Credentials { username: "bob".to_owned(), password: "s3cret".to_owned().into() };
    let sha256 = (PasswordAlgorithm::Sha256, Signed::Sha256);
    let bytes = request(&bob, true, Some(OFFER), Some(SHA256), sha256);
    assert_eq!(algorithm_of(&authenticator, &bytes), Ok(PasswordAlgorithm::Sha256));
}
