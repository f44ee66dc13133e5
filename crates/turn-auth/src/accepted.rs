use std::{collections::BTreeMap, fmt, sync::Arc};

use stun_msg::IntegrityKey;

use crate::{AuthSecret, Scheme, Schemes};

/// Whose requests a relay accepts.
///
/// A username that [`Self::users`] has is that user's, whatever it looks like. Every other one must be of a form that
/// [`Self::schemes`] has, and its password made with one of [`Self::secrets`].
#[derive(Clone)]
pub struct AcceptedCredentials {
    /// How passwords follow from secrets.
    pub schemes: Schemes,
    /// The secrets, each as good as the others. Several of them let a secret be replaced while credentials of the old one live. A
    /// request with a wrong password costs as much work as there are secrets and schemes: [`Self::MAX_SECRETS`] at most.
    pub secrets: Vec<AuthSecret>,
    /// The users whose credentials do not expire, with their
    /// [long-term keys](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.2) for the relay's realm.
    pub users: BTreeMap<Box<str>, IntegrityKey>,
    /// What nonces follow from where no secret is long enough to withstand guessing: random, and the same for all shards of a relay.
    /// Only those at the start count.
    pub nonce_key: Option<[u8; 32]>,
}

impl AcceptedCredentials {
    /// How many secrets a relay should take.
    pub const MAX_SECRETS: usize = 16;

    /// The first secret that withstands guessing, if there is one.
    pub(crate) fn strong_secret(&self) -> Option<&AuthSecret> {
        self.secrets.iter().find(|secret| secret.expose().len() >= AuthSecret::MIN_LEN)
    }

    /// Whether nonces can follow from a secret. Every stranger gets nonces, and could otherwise try guesses on them.
    #[must_use]
    pub fn has_strong_secret(&self) -> bool {
        self.strong_secret().is_some()
    }

    /// Whoever has credentials of this scheme, made with this secret.
    #[must_use]
    pub fn of_secret(schemes: Schemes, secret: AuthSecret) -> Self {
        Self { schemes, secrets: vec![secret], users: BTreeMap::new(), nonce_key: None }
    }
}

/// With the scheme of the deployed system.
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
