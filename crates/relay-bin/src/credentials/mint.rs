//! How credentials are minted, and the ICE server entry that they go into.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use turn_auth::{AuthSecret, Credentials, Scheme, UnixTime};

/// How long what a standalone relay prints at its start is valid.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Whom a standalone relay prints credentials for.
pub(crate) const PRINTED_USER: &str = "printed";

/// How many passwords to look at for one without `/` and `+`: one in two to four has neither.
const MAX_TRIES: u64 = 64;

/// What may stand in a URI as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An entry of `iceServers` in an
/// [`RTCConfiguration`](https://www.w3.org/TR/webrtc/#dom-rtciceserver).
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct IceServer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    username: String,
    credential: String,
}

/// Credentials of `user` that are valid for `ttl` from `now`, or up to a minute longer so that the password has no `/` and `+`.
pub(crate) fn mint_for_about(
    scheme: Scheme,
    secret: &AuthSecret,
    user: &str,
    now: UnixTime,
    ttl: Duration,
) -> Credentials {
    let earliest = now.0.saturating_add(ttl.as_secs());
    let mint = |expiry| scheme.mint(secret, UnixTime(expiry), user);
    let plain = (earliest..=earliest.saturating_add(MAX_TRIES)).map(mint).find(is_plain);
    plain.unwrap_or_else(|| mint(earliest))
}

/// Whether the password goes into a URI as it is: some programs do not decode it, and some fail on a raw slash without a word.
fn is_plain(credentials: &Credentials) -> bool {
    !credentials.password.contains(['/', '+'])
}

impl IceServer {
    pub(crate) fn new(urls: Vec<String>, credentials: Credentials) -> Self {
        let Credentials { username, password } = credentials;
        Self { urls, username, credential: password.to_string() }
    }

    /// The entry on one line.
    pub(crate) fn to_json(&self) -> String {
        // Strings and sequences of strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Its URLs as GStreamer wants them, `turn://user:password@host:port`, with username and password percent-encoded once.
    pub(crate) fn to_uris(&self) -> Vec<String> {
        let encode = |text| utf8_percent_encode(text, UNRESERVED);
        let uri = |url: &String| {
            let (scheme, rest) = url.split_once(':').unwrap_or(("turn", url));
            let host = rest.trim_start_matches('/').split('?').next().unwrap_or_default();
            format!("{scheme}://{}:{}@{host}", encode(&self.username), encode(&self.credential))
        };
        self.urls.iter().map(uri).collect()
    }
}

/// Credentials for a user of `draw` whose password has no `/` and `+`, if there soon is one.
///
/// # Errors
///
/// When no user can be drawn.
pub(crate) fn mint_for_anybody<E>(
    scheme: Scheme,
    secret: &AuthSecret,
    expiry: u64,
    draw: impl Fn() -> Result<String, E>,
) -> Result<Credentials, E> {
    let mint = || draw().map(|user| scheme.mint(secret, UnixTime(expiry), &user));
    let mut credentials = mint()?;
    for _ in 0..MAX_TRIES {
        if is_plain(&credentials) {
            break;
        }
        credentials = mint()?;
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_for_a_given_user_expires_a_little_later_for_a_plain_password() {
        let secret = AuthSecret::new("0123456789abcdef").unwrap();
        for scheme in [Scheme::Firezone, Scheme::TurnRest] {
            for now in (0..50).map(UnixTime) {
                let minted = mint_for_about(scheme, &secret, "alice", now, Duration::from_secs(100));
                assert!(is_plain(&minted), "{}", *minted.password);
                let expiry: u64 = minted.username.trim_end_matches(":alice").parse().unwrap();
                assert!((now.0 + 100..=now.0 + 164).contains(&expiry));
            }
        }
    }
}
