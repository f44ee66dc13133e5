use std::fmt;

use hmac::{
    Hmac, Mac,
    digest::{self, KeyInit},
};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::PasswordAlgorithm;

/// The key that a client and a server sign messages with, and the kind of HMAC for responses.
///
/// `Debug` does not show the key, and dropping it overwrites it.
#[derive(Clone)]
pub struct IntegrityKey {
    /// An MD5 key is followed by zeros.
    bytes: [u8; Self::MAX_LEN],
    algorithm: PasswordAlgorithm,
    signs_with_sha256: bool,
}

impl IntegrityKey {
    /// The length of the longest key in bytes.
    pub const MAX_LEN: usize = PasswordAlgorithm::Sha256.key_len();

    /// The key of the [long-term credential mechanism](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2): the hash of
    /// `username:realm:password`. Responses are signed with MESSAGE-INTEGRITY by an MD5 key and with MESSAGE-INTEGRITY-SHA256
    /// by a SHA-256 key.
    #[must_use]
    pub fn long_term(algorithm: PasswordAlgorithm, username: &str, realm: &str, password: &str) -> Self {
        let parts = [username, ":", realm, ":", password];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::new(algorithm, &digest::<Md5>(parts)),
            PasswordAlgorithm::Sha256 => Self::new(algorithm, &digest::<Sha256>(parts)),
        }
    }

    /// A key that was computed earlier: 16 bytes of MD5 or 32 of SHA-256. `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let algorithm =
            [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256].into_iter().find(|of| of.key_len() == bytes.len())?;
        Some(Self::new(algorithm, bytes))
    }

    fn new(algorithm: PasswordAlgorithm, key: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..key.len()].copy_from_slice(key);
        Self { bytes, algorithm, signs_with_sha256: algorithm == PasswordAlgorithm::Sha256 }
    }

    /// The same key, but signs responses with MESSAGE-INTEGRITY-SHA256. A client that names its password algorithm
    /// [must get such responses](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4), even if it names MD5.
    #[must_use]
    pub const fn signing_with_sha256(mut self) -> Self {
        self.signs_with_sha256 = true;
        self
    }

    /// Whether it signs responses with MESSAGE-INTEGRITY-SHA256.
    #[must_use]
    pub const fn signs_with_sha256(&self) -> bool {
        self.signs_with_sha256
    }

    /// The hash that it was made with.
    #[must_use]
    pub const fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }

    /// Its 16 or 32 bytes. Whoever has them needs no password.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.key_len()]
    }
}

/// The MD5 key with these bytes.
impl From<[u8; 16]> for IntegrityKey {
    fn from(bytes: [u8; 16]) -> Self {
        Self::new(PasswordAlgorithm::Md5, &bytes)
    }
}

/// The SHA-256 key with these bytes.
impl From<[u8; 32]> for IntegrityKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self::new(PasswordAlgorithm::Sha256, &bytes)
    }
}

impl Drop for IntegrityKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

fn digest<D: Digest>(parts: [&str; 5]) -> digest::Output<D> {
    parts.into_iter().fold(D::new(), D::chain_update).finalize()
}

/// HMAC-SHA1 over `parts` in sequence.
pub(crate) fn sign_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    mac::<Hmac<Sha1>>(key, parts).finalize().into_bytes().into()
}

/// HMAC-SHA256 over `parts` in sequence.
pub(crate) fn sign_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac::<Hmac<Sha256>>(key, parts).finalize().into_bytes().into()
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
    /// It was made with another key, or the message was changed in transit.
    #[error("MESSAGE-INTEGRITY does not match")]
    Mismatch,
}
