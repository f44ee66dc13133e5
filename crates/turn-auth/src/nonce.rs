use std::{
    fmt, hint,
    net::{IpAddr, SocketAddr},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{AcceptedCredentials, UnixTime};

/// How many bytes of the HMAC a nonce contains: as many as fit into 12 characters after the port.
const TAG_LEN: usize = 7;

/// The length of a decoded nonce in bytes: the port, in network byte order, and the tag.
const RAW_LEN: usize = 2 + TAG_LEN;

/// The length of its base64 text in characters.
const TEXT_LEN: usize = 12;

/// The [nonce cookie](https://www.rfc-editor.org/rfc/rfc8489#section-9.2), nine characters, and the base64 of its 24 feature bits: only
/// "Password algorithms", the [leftmost](https://www.rfc-editor.org/rfc/rfc8489#section-18.1), is set.
const COOKIE: [u8; 13] = *b"obMatJos2gAAA";

/// A NONCE: 12 characters of base64, or 25 with a cookie in front.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce {
    /// The cookie, whether or not it is part of the nonce, and the rest.
    characters: [u8; COOKIE.len() + TEXT_LEN],
    offers_algorithms: bool,
}

impl Nonce {
    /// How many characters a nonce has without a cookie.
    pub const LEN: usize = TEXT_LEN;

    /// How many characters a nonce has that [offers password algorithms](Self::is_offer).
    pub const OFFER_LEN: usize = COOKIE.len() + TEXT_LEN;

    /// The NONCE as it is sent, with the cookie if it has one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.characters[if self.offers_algorithms { 0 } else { COOKIE.len() }..]
    }

    /// Whether the nonce with these characters came with PASSWORD-ALGORITHMS: it begins with the nonce cookie that says so.
    #[must_use]
    pub fn is_offer(characters: &[u8]) -> bool {
        characters.len() == Self::OFFER_LEN && characters.starts_with(&COOKIE)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

/// The nonce was not issued to this address by this issuer, or too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the nonce was not issued to this address, or too long ago")]
pub struct StaleNonce;

/// Issues nonces and recognises them again without remembering any.
///
/// A nonce contains the client's port and an HMAC-SHA256, truncated to 7 bytes, of that port, the client's address and the period of
/// wall-clock time in which the nonce was issued. A period is ten minutes by default. The port makes sure that
/// [no two clients get the same nonce](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4). The nonce is accepted from every
/// port of that address: a NAT may choose another port between the challenge and the request that answers it, and several clients
/// give up when their first authenticated request is answered with 438.
///
/// A nonce is valid for at least one period and at most two. If the wall clock is set back by up to a period, it is valid for one
/// period more.
///
/// A nonce that comes with PASSWORD-ALGORITHMS begins with the [nonce cookie](https://www.rfc-editor.org/rfc/rfc8489#section-9.2) of
/// RFC 8489. To a client, a nonce without it means a server of RFC 5389, and the client uses MD5 keys. The HMAC covers the cookie: an
/// attacker who removes both PASSWORD-ALGORITHMS and the cookie makes the nonce stale.
#[derive(Clone)]
pub struct NonceIssuer {
    /// An HMAC that has processed the key already: half of the work.
    keyed: Hmac<Sha256>,
    key: Zeroizing<[u8; 32]>,
    period_seconds: u64,
}

impl NonceIssuer {
    /// How long a period is by default, in seconds.
    pub const PERIOD_SECONDS: u64 = 600;
    /// The shortest period, in seconds: clients send a request about once a minute.
    pub const MIN_PERIOD_SECONDS: u64 = 60;
    /// The longest period, in seconds: a nonce
    /// [should not be valid for more than an hour](https://www.rfc-editor.org/rfc/rfc8656#section-5).
    pub const MAX_PERIOD_SECONDS: u64 = 1800;

    /// An issuer with this key, which must be secret and random.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { keyed: keyed(&key), key: Zeroizing::new(key), period_seconds: Self::PERIOD_SECONDS }
    }

    /// The key, so that another process recognises the same nonces. Whoever has it can make nonces.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The same issuer with a period of `seconds`, clamped to [`Self::MIN_PERIOD_SECONDS`] and [`Self::MAX_PERIOD_SECONDS`]. Its nonces
    /// are valid for one to two periods.
    #[must_use]
    pub fn with_period(mut self, seconds: u64) -> Self {
        self.period_seconds = seconds.clamp(Self::MIN_PERIOD_SECONDS, Self::MAX_PERIOD_SECONDS);
        self
    }

    /// An issuer whose key is derived from the first accepted secret that has at least [`AuthSecret::MIN_LEN`](crate::AuthSecret::MIN_LEN)
    /// characters. So all shards of a relay recognise each other's nonces, and a relay recognises its own after a restart.
    ///
    /// Without such a secret the key is [`AcceptedCredentials::nonce_key`]. Anybody can get nonces and test guesses of the key on them
    /// offline, so the key must not depend on a short secret or on a user's password. `None` if there is no such key, either.
    #[must_use]
    pub fn from_credentials(accepted: &AcceptedCredentials) -> Option<Self> {
        let Some(secret) = accepted.strong_secret() else {
            return accepted.nonce_key.as_ref().map(|key| Self::new(**key));
        };
        let mac = keyed(secret.expose().as_bytes());
        Some(Self::new(mac.chain_update(b"the key of nonces").finalize().into_bytes().into()))
    }

    /// The nonce for this client at this time, with the cookie if the challenge has PASSWORD-ALGORITHMS.
    #[must_use]
    pub fn issue(&self, now: UnixTime, client: SocketAddr, offers_algorithms: bool) -> Nonce {
        self.nonce(self.period(now), client.ip(), client.port().to_be_bytes(), offers_algorithms)
    }

    /// Checks in constant time that `nonce` was issued to `client`, at any port, in the present period, the one before or the one after.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn verify(&self, nonce: &[u8], now: UnixTime, client: IpAddr) -> Result<(), StaleNonce> {
        let offers_algorithms = Nonce::is_offer(nonce);
        let text = if offers_algorithms { &nonce[COOKIE.len()..] } else { nonce };
        let mut raw = [0; RAW_LEN];
        if STANDARD_NO_PAD.decode_slice(text, &mut raw) != Ok(RAW_LEN) {
            return Err(StaleNonce);
        }
        let port = [raw[0], raw[1]];
        let now = self.period(now);
        let fresh = [now, now.saturating_sub(1), now.saturating_add(1)]
            .into_iter()
            .any(|period| self.nonce(period, client, port, offers_algorithms).as_bytes().ct_eq(nonce).into());
        if fresh { Ok(()) } else { Err(StaleNonce) }
    }

    #[expect(clippy::expect_used, reason = "9 bytes are 12 characters of base64")]
    fn nonce(&self, period: u64, client: IpAddr, port: [u8; 2], offers_algorithms: bool) -> Nonce {
        let mut mac = self.keyed.clone();
        mac.update(&period.to_be_bytes());
        // A dual-stack socket reports the same IPv4 client with a mapped address.
        match client.to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&port);
        if offers_algorithms {
            mac.update(&COOKIE);
        }

        let mut raw = [0; RAW_LEN];
        raw[..2].copy_from_slice(&port);
        raw[2..].copy_from_slice(&mac.finalize().into_bytes()[..TAG_LEN]);
        let mut characters = [0; Nonce::OFFER_LEN];
        characters[..COOKIE.len()].copy_from_slice(&COOKIE);
        STANDARD_NO_PAD.encode_slice(raw, &mut characters[COOKIE.len()..]).expect("9 bytes are 12 characters");
        Nonce { characters, offers_algorithms }
    }

    /// The number of the period that `now` is in.
    const fn period(&self, now: UnixTime) -> u64 {
        now.0 / self.period_seconds
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

impl Drop for NonceIssuer {
    fn drop(&mut self) {
        self.keyed = keyed(&[]);
        // Keeps the compiler from leaving out the write, as nothing reads the key again.
        hint::black_box(&self.keyed);
    }
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceIssuer(..)")
    }
}

#[cfg(test)]
mod tests;
