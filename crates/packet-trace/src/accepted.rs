use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// The credentials that a relay accepts. Anyone who has this can use the relay. Its `Debug` shows neither secrets nor keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCredentials {
    /// Whether passwords of Firezone's scheme are accepted.
    #[serde(default)]
    pub firezone: bool,
    /// Whether passwords of the TURN REST scheme are accepted.
    #[serde(default)]
    pub turn_rest: bool,
    /// The secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The key of nonces, if it is not derived from a secret, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_key: Option<String>,
    /// The static users' long-term keys, in hexadecimal, by name: the MD5 key, followed by the SHA-256 key if it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, String>,
}

impl fmt::Debug for AcceptedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedCredentials")
            .field("firezone", &self.firezone)
            .field("turn_rest", &self.turn_rest)
            .field("secrets", &self.secrets.len())
            .field("users", &self.users.len())
            .finish()
    }
}
