//! Reads recorded credentials.

use std::{collections::BTreeMap, sync::Arc};

use packet_trace::TraceHeader;
use relay_server::{AcceptedCredentials, AuthSecret, Scheme, Schemes, UserKeys};

/// The error for invalid keys of a user.
const NO_KEYS: &str = "a user's keys are 32 hexadecimal digits, or 96";

/// The credentials at the start of the relay that `header` describes. The error says what is wrong with the description.
pub(super) fn of_header(header: &TraceHeader) -> Result<Arc<AcceptedCredentials>, String> {
    match (&header.accepted, &header.auth_secret) {
        (Some(accepted), _) => read(accepted),
        (None, Some(secret)) => Ok(AuthSecret::any_text(secret).map_err(|error| error.to_string())?.into()),
        (None, None) => Err("there is no secret".to_owned()),
    }
}

/// The credentials of a shard when its recording began. Without secrets, nobody's password is right, except that of users who have
/// allocations.
#[cfg(feature = "snapshots")]
pub(super) fn of_snapshot(snapshot: &packet_trace::ShardSnapshot) -> Result<Arc<AcceptedCredentials>, String> {
    let accepted = read(&snapshot.accepted)?;
    if snapshot.with_secret || snapshot.offers_algorithms {
        return Ok(accepted);
    }
    // A user whose SHA-256 key is not known is what keeps a relay from offering algorithms.
    let mut accepted = AcceptedCredentials::clone(&accepted);
    accepted.users.insert("".into(), UserKeys::from_bytes([0; 16], None));
    Ok(Arc::new(accepted))
}

/// The credentials that the recorded relay began to accept.
pub(super) fn read(recorded: &packet_trace::AcceptedCredentials) -> Result<Arc<AcceptedCredentials>, String> {
    let schemes = match (recorded.firezone, recorded.turn_rest) {
        (true, true) => Schemes::Both,
        (true, false) => Schemes::Only(Scheme::Firezone),
        (false, true) => Schemes::Only(Scheme::TurnRest),
        (false, false) => return Err("there is no credential scheme".to_owned()),
    };
    let secrets = recorded.secrets.iter().map(|secret| AuthSecret::any_text(secret).map_err(|error| error.to_string()));
    let users = recorded.users.iter().map(|(name, digits)| {
        let (md5, sha256) = digits.split_at_checked(32).ok_or(NO_KEYS)?;
        let sha256 = if sha256.is_empty() { None } else { Some(key(sha256).ok_or(NO_KEYS)?) };
        Ok((name.as_str().into(), UserKeys::from_bytes(key(md5).ok_or(NO_KEYS)?, sha256)))
    });
    let nonce_key =
        recorded.nonce_key.as_ref().map(|digits| key(digits).ok_or("a key of nonces is 64 hexadecimal digits"));
    Ok(Arc::new(AcceptedCredentials {
        schemes,
        secrets: secrets.collect::<Result<_, String>>()?,
        users: users.collect::<Result<BTreeMap<_, _>, String>>()?,
        nonce_key: nonce_key.transpose()?.map(Into::into),
    }))
}

fn key<const LEN: usize>(digits: &str) -> Option<[u8; LEN]> {
    let mut key = [0; LEN];
    hex::decode_to_slice(digits, &mut key).ok().map(|()| key)
}
