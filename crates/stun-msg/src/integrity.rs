use std::fmt;

use hmac::{Hmac, Mac, digest::KeyInit};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// The key of a MESSAGE-INTEGRITY; its `Debug` does not show it.
#[derive(Clone)]
pub struct IntegrityKey([u8; 16]);

impl IntegrityKey {
    /// The key of the [long-term credential mechanism](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2):
    /// MD5 of `username:realm:password`.
    #[must_use]
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        let mut digest = Md5::new();
        for part in [username, ":", realm, ":", password] {
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// The key that these bytes are: one that was computed before.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, which are as good as the password.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 16] {
        self.0
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// HMAC-SHA1 over `parts` in sequence.
pub(crate) fn sign_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    mac::<Hmac<Sha1>>(key, parts).finalize().into_bytes().into()
}

/// Whether `expected` is the HMAC-SHA1 over `parts`, in constant time.
pub(crate) fn verify_sha1(key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
    mac::<Hmac<Sha1>>(key, parts).verify_slice(expected).is_ok()
}

/// Whether `expected` is the HMAC-SHA256 over `parts`, in constant time.
pub(crate) fn verify_sha256(key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
    mac::<Hmac<Sha256>>(key, parts).verify_slice(expected).is_ok()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// Why [`Message::verify_integrity`](crate::Message::verify_integrity) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IntegrityError {
    /// The message carries neither MESSAGE-INTEGRITY nor MESSAGE-INTEGRITY-SHA256.
    #[error("the message has no MESSAGE-INTEGRITY")]
    Missing,
    /// It was made with another key, or the message was changed on its way.
    #[error("MESSAGE-INTEGRITY does not match")]
    Mismatch,
}
