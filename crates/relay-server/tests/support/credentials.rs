//! Credentials as a portal issues them, made after the specification.

use std::fmt::Display;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use md5::Md5;
use sha2::{Digest, Sha256};

/// The realm of every relay under test.
pub(crate) const REALM: &str = "firezone";
/// The secret of every relay under test.
pub(crate) const SECRET: &str = "4c98bf59c99b3e467ecd7cf9d6b3e5279645fca59be67bc5bb4af3cf653761ab";

/// A username and the key from its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: Vec<u8>,
    pub(crate) key: [u8; 16],
}

impl Credentials {
    /// `{expiry}:{salt}`, with the password that the secret gives. `expiry` is text, so that tests can use invalid ones.
    pub(crate) fn mint(expiry: impl ToString, salt: &str) -> Self {
        let expiry = expiry.to_string();
        Self::new(&format!("{expiry}:{salt}"), &password(SECRET, &expiry, salt))
    }

    /// Like [`Self::mint`], with another secret.
    pub(crate) fn mint_with(secret: &str, expiry: u64, salt: &str) -> Self {
        Self::new(&format!("{expiry}:{salt}"), &password(secret, expiry, salt))
    }

    pub(crate) fn new(username: &str, password: &str) -> Self {
        let key = Md5::digest(format!("{username}:{REALM}:{password}")).into();
        Self { username: username.as_bytes().to_vec(), key }
    }
}

/// The password that the secret gives for this username.
pub(crate) fn password(secret: &str, expiry: impl Display, salt: &str) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(format!("{expiry}:{secret}:{salt}")))
}
