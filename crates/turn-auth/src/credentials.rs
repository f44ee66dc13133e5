use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{AuthSecret, UnixTime};

/// A username and its password. Its `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `{expiry}:{salt}`.
    pub username: String,
    /// SHA-256 of `{expiry}:{secret}:{salt}` in base64 without padding.
    pub password: String,
}

impl Credentials {
    /// The credentials that are valid up to `expiry`. Different users get different salts; a relay that takes them knows
    /// nothing but `secret`. A salt must not be empty nor longer than 400 bytes, or no relay takes the credentials.
    #[must_use]
    pub fn mint(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> Self {
        Self { username: format!("{}:{salt}", expiry.0), password: password(secret, expiry, salt) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

pub(crate) fn password(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> String {
    let text = format!("{}:{}:{salt}", expiry.0, secret.expose());
    STANDARD_NO_PAD.encode(Sha256::digest(text))
}
