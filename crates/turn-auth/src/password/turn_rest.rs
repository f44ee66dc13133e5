use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::AuthSecret;

/// HMAC-SHA1 of the whole username with the secret as its key, in base64 with padding.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
pub(super) fn password(secret: &AuthSecret, username: &str) -> Zeroizing<String> {
    let mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length");
    Zeroizing::new(STANDARD.encode(mac.chain_update(username).finalize().into_bytes()))
}
