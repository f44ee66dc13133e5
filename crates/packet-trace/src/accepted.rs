use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Whose credentials a relay accepts: whoever has this can use the relay. Its `Debug` shows neither secrets nor keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCredentials {
    /// Whether passwords of Firezone's scheme are right.
    #[serde(default)]
    pub firezone: bool,
    /// Whether passwords of the TURN REST scheme are right.
    #[serde(default)]
    pub turn_rest: bool,
    /// The secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// What nonces follow from where they do not follow from a secret, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_key: Option<String>,
    /// The static users' long-term keys, in hexadecimal, by name: that of MD5, and behind it that of SHA-256 if it is known.
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
