//! Converts accepted credentials to the trace format.

use std::collections::BTreeMap;

use relay_server::{AcceptedCredentials, PasswordAlgorithm, Scheme, UserKeys};

/// All credentials, with secrets and keys: only for recordings that may contain them.
pub(super) fn recorded_credentials(accepted: &AcceptedCredentials) -> packet_trace::AcceptedCredentials {
    packet_trace::AcceptedCredentials {
        firezone: accepted.schemes.contains(Scheme::Firezone),
        turn_rest: accepted.schemes.contains(Scheme::TurnRest),
        secrets: accepted.secrets.iter().map(|secret| secret.expose().to_owned()).collect(),
        nonce_key: accepted.nonce_key.as_deref().map(hex::encode),
        users: accepted.users.iter().map(|(name, keys)| (name.to_string(), recorded_keys(keys))).collect(),
    }
}

/// What anybody may know of the credentials: which kinds there are.
pub(super) fn public_credentials(accepted: &AcceptedCredentials) -> packet_trace::AcceptedCredentials {
    packet_trace::AcceptedCredentials {
        firezone: accepted.schemes.contains(Scheme::Firezone),
        turn_rest: accepted.schemes.contains(Scheme::TurnRest),
        secrets: Vec::new(),
        nonce_key: None,
        users: BTreeMap::new(),
    }
}

/// The MD5 key in hexadecimal, followed by the SHA-256 key if there is one.
fn recorded_keys(keys: &UserKeys) -> String {
    let digits = |algorithm| keys.key(algorithm).map(|key| hex::encode(key.as_bytes()));
    [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256].into_iter().filter_map(digits).collect()
}
