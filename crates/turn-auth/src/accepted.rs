use std::{collections::BTreeMap, fmt, sync::Arc};

use stun_msg::{IntegrityKey, PasswordAlgorithm};
use zeroize::Zeroizing;

use crate::{AuthSecret, Scheme, Schemes};

/// The credentials that a relay accepts.
///
/// A username in [`Self::users`] belongs to that user, whatever its form. Every other username must have the form of one of
/// [`Self::schemes`], and a password that the scheme makes from one of [`Self::secrets`].
#[derive(Clone)]
pub struct AcceptedCredentials {
    /// How passwords are made from secrets.
    pub schemes: Schemes,
    /// The secrets, all equally valid. With several, a secret can be replaced while credentials made with the old one are still valid. A
    /// request with a wrong password is checked against every secret in every scheme, so have [`Self::MAX_SECRETS`] at most.
    pub secrets: Vec<AuthSecret>,
    /// The users whose credentials do not expire, with their
    /// [long-term keys](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2) for the relay's realm.
    pub users: BTreeMap<Box<str>, UserKeys>,
    /// The key of nonces, used if every secret is short enough to be guessed: random, and the same for all shards of a relay.
    /// Credentials that are accepted later do not change the key of nonces.
    pub nonce_key: Option<Zeroizing<[u8; 32]>>,
}

/// The long-term keys of a user whose credentials do not expire.
#[derive(Clone, Debug)]
pub struct UserKeys {
    md5: IntegrityKey,
    sha256: Option<IntegrityKey>,
}

impl UserKeys {
    /// The keys made from a password.
    #[must_use]
    pub fn of_password(username: &str, realm: &str, password: &str) -> Self {
        let key = |algorithm| IntegrityKey::long_term(algorithm, username, realm, password);
        Self { md5: key(PasswordAlgorithm::Md5), sha256: Some(key(PasswordAlgorithm::Sha256)) }
    }

    /// These keys: MD5, and SHA-256 if it is known.
    #[must_use]
    pub fn from_bytes(md5: [u8; 16], sha256: Option<[u8; 32]>) -> Self {
        Self { md5: IntegrityKey::from(md5), sha256: sha256.map(IntegrityKey::from) }
    }

    /// The key of this algorithm, if it is known.
    #[must_use]
    pub const fn key(&self, algorithm: PasswordAlgorithm) -> Option<&IntegrityKey> {
        match algorithm {
            PasswordAlgorithm::Md5 => Some(&self.md5),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

impl AcceptedCredentials {
    /// How many secrets a relay should accept at most.
    pub const MAX_SECRETS: usize = 16;

    /// The first secret that is too long to guess, if there is one.
    pub(crate) fn strong_secret(&self) -> Option<&AuthSecret> {
        self.secrets.iter().find(|secret| secret.expose().len() >= AuthSecret::MIN_LEN)
    }

    /// Whether every user can sign with every [`PasswordAlgorithm`].
    pub(crate) fn has_all_keys(&self) -> bool {
        self.users.values().all(|keys| keys.sha256.is_some())
    }

    /// Whether a secret is long enough to derive the key of nonces from. Anybody can get nonces, and test guesses of a short secret on them.
    #[must_use]
    pub fn has_strong_secret(&self) -> bool {
        self.strong_secret().is_some()
    }

    /// Accepts credentials made with this secret in these schemes.
    #[must_use]
    pub fn of_secret(schemes: Schemes, secret: AuthSecret) -> Self {
        Self { schemes, secrets: vec![secret], users: BTreeMap::new(), nonce_key: None }
    }
}

/// Accepts credentials of [`Scheme::Firezone`], the scheme of the deployed system.
impl From<AuthSecret> for Arc<AcceptedCredentials> {
    fn from(secret: AuthSecret) -> Self {
        Self::new(AcceptedCredentials::of_secret(Schemes::Only(Scheme::Firezone), secret))
    }
}

impl fmt::Debug for AcceptedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedCredentials")
            .field("schemes", &self.schemes)
            .field("secrets", &self.secrets.len())
            .field("users", &self.users.len())
            .finish()
    }
}
