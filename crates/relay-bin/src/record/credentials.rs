//! What is accepted, in the words of a trace.

use relay_server::{AcceptedCredentials, Scheme};

/// All of it, secrets and keys included: for recordings that may hold them.
pub(super) fn recorded_credentials(accepted: &AcceptedCredentials) -> packet_trace::AcceptedCredentials {
    packet_trace::AcceptedCredentials {
        firezone: accepted.schemes.contains(Scheme::Firezone),
        turn_rest: accepted.schemes.contains(Scheme::TurnRest),
        secrets: accepted.secrets.iter().map(|secret| secret.expose().to_owned()).collect(),
        nonce_key: accepted.nonce_key.map(hex::encode),
        users: accepted.users.iter().map(|(name, key)| (name.to_string(), hex::encode(key.to_bytes()))).collect(),
    }
}
