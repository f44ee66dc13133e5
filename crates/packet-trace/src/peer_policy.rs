use serde::{Deserialize, Serialize};

/// Which peers a relay could relay to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPolicy {
    /// The names of the special-purpose address ranges that were not denied, such as `private`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// Whether the addresses of the relay's machine were treated like any others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine_is_open: bool,
    /// The operator's rules, such as `allow 10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}
