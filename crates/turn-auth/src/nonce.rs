use std::{
    fmt, hint,
    net::{IpAddr, SocketAddr},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{AcceptedCredentials, UnixTime};

/// How many bytes of the HMAC a nonce holds: as many as fit into 12 characters behind the port.
const TAG_LEN: usize = 7;

/// How many bytes a nonce stands for: the port, in network byte order, and the tag.
const RAW_LEN: usize = 2 + TAG_LEN;

/// How many characters of base64 those are.
const TEXT_LEN: usize = 12;

/// The [nonce cookie](https://www.rfc-editor.org/rfc/rfc8489#section-9.2) with the bit "Password algorithms": nine characters, and the
/// base64 of 24 bits of which the [leftmost is set](https://www.rfc-editor.org/rfc/rfc8489#section-18.1).
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

    /// Its characters.
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
/// A nonce holds the client's port and an HMAC-SHA256, cut to 7 bytes, over that port, the client's address and the period of
/// wall-clock time in which the nonce was issued: ten minutes by default. The port makes sure that
/// [no two clients are given the same one](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4). The nonce is accepted from every
/// port of that address: a NAT may choose another port between the challenge and the request that answers it, and several clients
/// take 438 as the end of their first authenticated request.
///
/// A nonce holds for at least one period and at most two. It holds for one more when the wall clock is set back by up to a
/// period.
///
/// A nonce that comes with PASSWORD-ALGORITHMS begins with the [nonce cookie](https://www.rfc-editor.org/rfc/rfc8489#section-9.2) of
/// RFC 8489. Without it the server looks like one of RFC 5389 to a client, which then uses MD5 keys. The HMAC covers the cookie: who takes
/// it off, so that a client does not miss the PASSWORD-ALGORITHMS taken off with it, makes the nonce stale.
#[derive(Clone)]
pub struct NonceIssuer {
    /// With the key in it, which half of the work of an HMAC goes into.
    keyed: Hmac<Sha256>,
    period_seconds: u64,
}

impl NonceIssuer {
    /// How long a period is by default, in seconds.
    pub const PERIOD_SECONDS: u64 = 600;
    /// The shortest period, in seconds: clients ask for something every minute or so.
    pub const MIN_PERIOD_SECONDS: u64 = 60;
    /// The longest period, in seconds: a nonce
    /// [should not hold for more than an hour](https://www.rfc-editor.org/rfc/rfc8656#section-5).
    pub const MAX_PERIOD_SECONDS: u64 = 1800;

    /// An issuer with a secret random key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { keyed: keyed(&key), period_seconds: Self::PERIOD_SECONDS }
    }

    /// The same issuer, whose nonces hold for one to two times this many seconds: from [`Self::MIN_PERIOD_SECONDS`] to
    /// [`Self::MAX_PERIOD_SECONDS`]; the nearest of them otherwise.
    #[must_use]
    pub fn with_period(mut self, seconds: u64) -> Self {
        self.period_seconds = seconds.clamp(Self::MIN_PERIOD_SECONDS, Self::MAX_PERIOD_SECONDS);
        self
    }

    /// An issuer whose key follows from the first accepted secret that has at least [`AuthSecret::MIN_LEN`](crate::AuthSecret::MIN_LEN) characters, so that all shards
    /// of a relay recognise each other's nonces, and a relay that is started again recognises those that it issued before.
    ///
    /// Without such a secret the key is [`AcceptedCredentials::nonce_key`]: strangers are given nonces, and whatever those follow from
    /// can be guessed at leisure, so it must be neither a short secret nor the password of a user. `None` if there is none either.
    #[must_use]
    pub fn from_credentials(accepted: &AcceptedCredentials) -> Option<Self> {
        let Some(secret) = accepted.strong_secret() else {
            return accepted.nonce_key.as_ref().map(|key| Self::new(**key));
        };
        let mac = keyed(secret.expose().as_bytes());
        Some(Self::new(mac.chain_update(b"the key of nonces").finalize().into_bytes().into()))
    }

    /// The nonce for this client at this time, with the cookie if PASSWORD-ALGORITHMS comes with it.
    #[must_use]
    pub fn issue(&self, now: UnixTime, client: SocketAddr, offers_algorithms: bool) -> Nonce {
        self.nonce(self.period(now), client.ip(), client.port().to_be_bytes(), offers_algorithms)
    }

    /// Whether `nonce` was issued to `client`, at any of its ports, in this period or one beside it; in constant time.
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
        // A dual-stack socket reports IPv4 clients by mapped addresses: the same client.
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
        // Nobody reads it again: it is written all the same.
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
