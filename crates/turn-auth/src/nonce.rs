use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::UnixTime;

/// How many bytes of the HMAC a nonce holds: as many as fit into 12 characters behind the bucket.
const TAG_LEN: usize = 8;

/// A NONCE: 12 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// How many characters a nonce has.
    pub const LEN: usize = 12;

    /// Its characters, base64.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

/// The nonce was not issued to this client by this issuer, or too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the nonce was not issued to this client, or too long ago")]
pub struct StaleNonce;

/// Issues nonces and recognises them again without remembering any.
///
/// A nonce is the number of the ten minutes that it was issued in (its low byte) and an HMAC-SHA256 over the whole of that
/// number and the client's address, cut to 8 bytes. It holds for those ten minutes and the next, from that address and port:
/// [no two clients are given the same one](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
///
/// It does not begin with the [nonce cookie](https://www.rfc-editor.org/rfc/rfc8489#section-9.2) of RFC 8489. To a client this
/// looks like a server of RFC 5389: it then uses MD5 keys and the plain username, which is all that is offered here. The cookie protects
/// the choice between features and there is none to protect; its 13 characters would make the answer to a
/// stranger's 28-byte Allocate more than twice as large as the request.
#[derive(Clone)]
pub struct NonceIssuer {
    key: [u8; 32],
}

impl NonceIssuer {
    /// How long a bucket is, in seconds. A nonce lives for one to two of them.
    pub const BUCKET_SECONDS: u64 = 600;

    /// An issuer with a secret random key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The nonce for this client at this time.
    #[must_use]
    pub fn issue(&self, now: UnixTime, client: SocketAddr) -> Nonce {
        self.nonce(bucket(now), client)
    }

    /// Whether `nonce` was issued to `client` in this bucket or the one before, in constant time.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn verify(&self, nonce: &[u8], now: UnixTime, client: SocketAddr) -> Result<(), StaleNonce> {
        let now = bucket(now);
        let fresh = [now, now.saturating_sub(1)]
            .into_iter()
            .any(|bucket| self.nonce(bucket, client).as_bytes().ct_eq(nonce).into());
        if fresh { Ok(()) } else { Err(StaleNonce) }
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length; 9 bytes are 12 characters of base64")]
    fn nonce(&self, bucket: u64, client: SocketAddr) -> Nonce {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(&bucket.to_be_bytes());
        // A dual-stack socket reports IPv4 clients by mapped addresses: the same client.
        match client.ip().to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());

        let mut raw = [0; 1 + TAG_LEN];
        raw[0] = bucket.to_be_bytes()[7];
        raw[1..].copy_from_slice(&mac.finalize().into_bytes()[..TAG_LEN]);
        let mut text = [0; Nonce::LEN];
        STANDARD_NO_PAD.encode_slice(raw, &mut text).expect("9 bytes are 12 characters");
        Nonce(text)
    }
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceIssuer(..)")
    }
}

const fn bucket(now: UnixTime) -> u64 {
    now.0 / NonceIssuer::BUCKET_SECONDS
}
