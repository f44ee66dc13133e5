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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::testing::client;

    const START: u64 = 3_000_000 * NonceIssuer::BUCKET_SECONDS;

    fn issuer() -> NonceIssuer {
        NonceIssuer::new([1; 32])
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_nonce_holds_for_its_bucket_and_the_next() {
        for age in [0, 1, NonceIssuer::BUCKET_SECONDS - 1] {
            let nonce = issuer().issue(UnixTime(START + age), client());
            for later in [age, NonceIssuer::BUCKET_SECONDS, 2 * NonceIssuer::BUCKET_SECONDS - 1] {
                assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START + later), client()), Ok(()));
            }
            for later in [2, 3, 255, 256, 257, 65_536].map(|buckets| buckets * NonceIssuer::BUCKET_SECONDS) {
                let verified = issuer().verify(nonce.as_bytes(), UnixTime(START + later), client());
                assert_eq!(verified, Err(StaleNonce), "{later} s later");
            }
        }
    }

    /// RFC 8656 asks for an hour at most: <https://www.rfc-editor.org/rfc/rfc8656#section-5>.
    #[test]
    fn a_nonce_expires_within_the_hour() {
        const { assert!(2 * NonceIssuer::BUCKET_SECONDS <= 3600) };
    }

    #[test]
    fn a_nonce_of_the_future_is_stale() {
        let nonce = issuer().issue(UnixTime(START), client());
        assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START - 1), client()), Err(StaleNonce));
    }

    #[test]
    fn both_ends_of_time_have_nonces() {
        for now in [0, 1, u64::MAX].map(UnixTime) {
            let nonce = issuer().issue(now, client());
            assert_eq!(issuer().verify(nonce.as_bytes(), now, client()), Ok(()));
        }
    }

    #[test]
    fn a_nonce_belongs_to_one_address_and_port() {
        let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"));
        for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000", "[::192.0.2.1]:1000"] {
            assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), address(other)), Err(StaleNonce), "{other}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"));
        assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), address("[::ffff:192.0.2.1]:1000")), Ok(()));
    }

    #[test]
    fn a_nonce_belongs_to_one_issuer() {
        let nonce = NonceIssuer::new([2; 32]).issue(UnixTime(START), client());
        assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), client()), Err(StaleNonce));
    }

    #[test]
    fn a_changed_nonce_is_stale() {
        let nonce = issuer().issue(UnixTime(START), client());
        let text = nonce.as_bytes();
        for bit in 0..8 * text.len() {
            let mut changed = *text;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(issuer().verify(&changed, UnixTime(START), client()), Err(StaleNonce), "bit {bit}");
        }
        for len in 0..text.len() {
            assert_eq!(issuer().verify(&text[..len], UnixTime(START), client()), Err(StaleNonce), "{len} bytes");
        }
        let longer = [text.as_slice(), b"="].concat();
        assert_eq!(issuer().verify(&longer, UnixTime(START), client()), Err(StaleNonce));
    }

    /// It may stand between quotation marks: <https://www.rfc-editor.org/rfc/rfc8489#section-14.10>.
    #[test]
    fn a_nonce_is_twelve_characters_of_base64() {
        for now in START..START + 200 * NonceIssuer::BUCKET_SECONDS {
            if now % NonceIssuer::BUCKET_SECONDS == 0 {
                let nonce = issuer().issue(UnixTime(now), client());
                let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
                assert!(nonce.as_bytes().iter().all(is_base64), "{nonce}");
                assert_eq!(nonce.to_string().as_bytes(), nonce.as_bytes());
            }
        }
    }

    #[test]
    fn clients_get_different_nonces() {
        let clients = (0..=u16::MAX).map(|port| SocketAddr::new([192, 0, 2, 1].into(), port));
        let nonces: HashSet<_> = clients.map(|client| issuer().issue(UnixTime(START), client)).collect();
        assert_eq!(nonces.len(), 1 << 16);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", issuer()), "NonceIssuer(..)");
    }

    proptest! {
        #![proptest_config(property_tests::config())]

        #[test]
        fn any_bytes_are_stale(bytes in prop::collection::vec(any::<u8>(), 0..32), now: u64) {
            prop_assert_eq!(issuer().verify(&bytes, UnixTime(now), client()), Err(StaleNonce));
        }

        #[test]
        fn a_nonce_holds_by_its_bucket_alone(issued in 0_u64..10_000_000_000, later in 0_u64..3600, ip: [u8; 16], port: u16) {
            let client = SocketAddr::new(ip.into(), port);
            let nonce = issuer().issue(UnixTime(issued), client);
            let buckets = (issued + later) / NonceIssuer::BUCKET_SECONDS - issued / NonceIssuer::BUCKET_SECONDS;
            let verified = issuer().verify(nonce.as_bytes(), UnixTime(issued + later), client);
            prop_assert_eq!(verified.is_ok(), buckets <= 1);
        }
    }
}
