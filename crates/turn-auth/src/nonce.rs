use std::{
    fmt,
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

/// The nonce was not issued to this address by this issuer, or too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the nonce was not issued to this address, or too long ago")]
pub struct StaleNonce;

/// Issues nonces and recognises them again without remembering any.
///
/// A nonce holds the client's port and an HMAC-SHA256, cut to 7 bytes, over that port, the client's address and the ten minutes of
/// wall-clock time in which the nonce was issued. The port makes sure that
/// [no two clients are given the same one](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4). The nonce is accepted from every
/// port of that address: a NAT may choose another port between the challenge and the request that answers it, and several clients
/// take 438 as the end of their first authenticated request.
///
/// A nonce holds for at least ten minutes and at most twenty. It holds for ten more when the wall clock is set back by up to ten
/// minutes.
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

    /// An issuer whose key follows from the first accepted secret that has at least [`AuthSecret::MIN_LEN`](crate::AuthSecret::MIN_LEN) characters, so that all shards
    /// of a relay recognise each other's nonces, and a relay that is started again recognises those that it issued before.
    ///
    /// Without such a secret the key is [`AcceptedCredentials::nonce_key`]: strangers are given nonces, and whatever those follow from
    /// can be guessed at leisure, so it must be neither a short secret nor the password of a user. `None` if there is none either.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub fn from_credentials(accepted: &AcceptedCredentials) -> Option<Self> {
        let Some(secret) = accepted.strong_secret() else { return accepted.nonce_key.map(Self::new) };
        let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length");
        Some(Self::new(mac.chain_update(b"the key of nonces").finalize().into_bytes().into()))
    }

    /// The nonce for this client at this time.
    #[must_use]
    pub fn issue(&self, now: UnixTime, client: SocketAddr) -> Nonce {
        self.nonce(bucket(now), client.ip(), client.port().to_be_bytes())
    }

    /// Whether `nonce` was issued to `client`, at any of its ports, in this bucket or one beside it; in constant time.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn verify(&self, nonce: &[u8], now: UnixTime, client: IpAddr) -> Result<(), StaleNonce> {
        let mut raw = [0; RAW_LEN];
        if STANDARD_NO_PAD.decode_slice(nonce, &mut raw) != Ok(RAW_LEN) {
            return Err(StaleNonce);
        }
        let port = [raw[0], raw[1]];
        let now = bucket(now);
        let fresh = [now, now.saturating_sub(1), now.saturating_add(1)]
            .into_iter()
            .any(|bucket| self.nonce(bucket, client, port).as_bytes().ct_eq(nonce).into());
        if fresh { Ok(()) } else { Err(StaleNonce) }
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length; 9 bytes are 12 characters of base64")]
    fn nonce(&self, bucket: u64, client: IpAddr, port: [u8; 2]) -> Nonce {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(&bucket.to_be_bytes());
        // A dual-stack socket reports IPv4 clients by mapped addresses: the same client.
        match client.to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&port);

        let mut raw = [0; RAW_LEN];
        raw[..2].copy_from_slice(&port);
        raw[2..].copy_from_slice(&mac.finalize().into_bytes()[..TAG_LEN]);
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

    use stun_msg::IntegrityKey;

    use super::*;
    use crate::AuthSecret;
    use crate::{Scheme, Schemes, testing::client};

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
                assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START + later), client().ip()), Ok(()));
            }
            for later in [2, 3, 255, 256, 257, 65_536].map(|buckets| buckets * NonceIssuer::BUCKET_SECONDS) {
                let verified = issuer().verify(nonce.as_bytes(), UnixTime(START + later), client().ip());
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
    fn a_nonce_outlives_a_clock_that_is_set_back_by_ten_minutes() {
        let nonce = issuer().issue(UnixTime(START), client());
        let verify = |now| issuer().verify(nonce.as_bytes(), UnixTime(now), client().ip());
        assert_eq!(verify(START - NonceIssuer::BUCKET_SECONDS), Ok(()));
        assert_eq!(verify(START - NonceIssuer::BUCKET_SECONDS - 1), Err(StaleNonce));
    }

    #[test]
    fn both_ends_of_time_have_nonces() {
        for now in [0, 1, u64::MAX].map(UnixTime) {
            let nonce = issuer().issue(now, client());
            assert_eq!(issuer().verify(nonce.as_bytes(), now, client().ip()), Ok(()));
        }
    }

    #[test]
    fn a_nonce_belongs_to_one_address_at_any_port() {
        let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"));
        let verify = |client: &str| issuer().verify(nonce.as_bytes(), UnixTime(START), client.parse().unwrap());
        assert_eq!(verify("192.0.2.1"), Ok(()));
        assert_ne!(issuer().issue(UnixTime(START), address("192.0.2.1:1001")), nonce);
        for other in ["192.0.2.2", "2001:db8::1", "::192.0.2.1"] {
            assert_eq!(verify(other), Err(StaleNonce), "{other}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let nonce = issuer().issue(UnixTime(START), address("192.0.2.1:1000"));
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), mapped), Ok(()));
    }

    #[test]
    fn a_secret_makes_an_issuer_that_outlives_the_process() {
        let issuer = |secret: &str| {
            let secret = AuthSecret::new(secret).unwrap();
            NonceIssuer::from_credentials(&AcceptedCredentials::of_secret(Schemes::Only(Scheme::Firezone), secret))
                .unwrap()
        };
        let nonce = issuer("0123456789abcdef").issue(UnixTime(START), client());
        let verify = |secret| issuer(secret).verify(nonce.as_bytes(), UnixTime(START + 60), client().ip());
        assert_eq!(verify("0123456789abcdef"), Ok(()));
        assert_eq!(verify("0123456789abcdeg"), Err(StaleNonce));
    }

    /// Or else a stranger, who is given nonces, could find it by trying.
    #[test]
    fn nonces_do_not_follow_from_what_can_be_guessed() {
        let issuer = |secret: Option<&str>, password: &str, nonce_key| {
            NonceIssuer::from_credentials(&AcceptedCredentials {
                schemes: Schemes::Both,
                secrets: secret.map(|text| AuthSecret::any_text(text).unwrap()).into_iter().collect(),
                users: [("alice".into(), IntegrityKey::long_term("alice", "realm", password))].into(),
                nonce_key,
            })
        };
        let nonce = |issuer: Option<NonceIssuer>| issuer.unwrap().issue(UnixTime(START), client());
        for secret in [None, Some("north"), Some("fifteen letters")] {
            assert!(issuer(secret, "one", None).is_none());
            let expected = NonceIssuer::new([1; 32]).issue(UnixTime(START), client());
            assert_eq!(nonce(issuer(secret, "one", Some([1; 32]))), expected);
            assert_eq!(nonce(issuer(secret, "two", Some([1; 32]))), expected);
        }
        let strong = Some("sixteen letters!");
        assert_eq!(nonce(issuer(strong, "one", None)), nonce(issuer(strong, "two", Some([1; 32]))));
    }

    #[test]
    fn a_nonce_belongs_to_one_issuer() {
        let nonce = NonceIssuer::new([2; 32]).issue(UnixTime(START), client());
        assert_eq!(issuer().verify(nonce.as_bytes(), UnixTime(START), client().ip()), Err(StaleNonce));
    }

    #[test]
    fn a_changed_nonce_is_stale() {
        let nonce = issuer().issue(UnixTime(START), client());
        let text = nonce.as_bytes();
        for bit in 0..8 * text.len() {
            let mut changed = *text;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(issuer().verify(&changed, UnixTime(START), client().ip()), Err(StaleNonce), "bit {bit}");
        }
        for len in 0..text.len() {
            assert_eq!(issuer().verify(&text[..len], UnixTime(START), client().ip()), Err(StaleNonce), "{len} bytes");
        }
        let longer = [text.as_slice(), b"="].concat();
        assert_eq!(issuer().verify(&longer, UnixTime(START), client().ip()), Err(StaleNonce));
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
        #![proptest_config(test_support::property::config())]

        #[test]
        fn any_bytes_are_stale(bytes in prop::collection::vec(any::<u8>(), 0..32), now: u64) {
            prop_assert_eq!(issuer().verify(&bytes, UnixTime(now), client().ip()), Err(StaleNonce));
        }

        #[test]
        fn a_nonce_holds_by_its_bucket_alone(issued in 0_u64..10_000_000_000, later in 0_u64..3600, ip: [u8; 16], port: u16) {
            let client = SocketAddr::new(ip.into(), port);
            let nonce = issuer().issue(UnixTime(issued), client);
            let buckets = (issued + later) / NonceIssuer::BUCKET_SECONDS - issued / NonceIssuer::BUCKET_SECONDS;
            let verified = issuer().verify(nonce.as_bytes(), UnixTime(issued + later), client.ip());
            prop_assert_eq!(verified.is_ok(), buckets <= 1);
        }
    }
}
