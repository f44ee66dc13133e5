use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{AuthSecret, UnixTime};

/// SHA-256 of `{expiry}:{secret}:{salt}` in base64 without padding.
///
/// A length extension attack on SHA-256 is possible: with one password, one can compute that of a longer salt, which contains the hash's
/// padding. The padding begins with byte 0x80, so no such salt is UTF-8, and only usernames in UTF-8 are accepted.
pub(super) fn password(secret: &AuthSecret, expiry: UnixTime, salt: &str) -> Zeroizing<String> {
    let expiry = expiry.0.to_string();
    let parts = [&expiry, ":", secret.expose(), ":", salt];
    Zeroizing::new(STANDARD_NO_PAD.encode(parts.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize()))
}
