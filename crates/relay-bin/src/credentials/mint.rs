//! Mints credentials and formats them as ICE server entries.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use turn_auth::{AuthSecret, Credentials, Scheme, UnixTime};

/// How long the credentials are valid that a standalone relay prints at its start.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The user for whom a standalone relay prints credentials.
pub(crate) const PRINTED_USER: &str = "printed";

/// How many passwords to try for one without `/` and `+`. One in two to four has neither.
const MAX_TRIES: u64 = 64;

/// The characters that a URI may contain unencoded, besides letters and digits.
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

/// Mints credentials of `user` that are valid for `ttl` from `now`. They may last up to about a minute longer, if the password then
/// has no `/` and `+`.
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

/// Whether the password needs no percent-encoding in a URI. Some programs do not decode it, and some fail silently on a raw slash.
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

    /// The URLs for GStreamer, `turn://user:password@host:port`, with username and password percent-encoded once.
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

/// Mints credentials for a user that `draw` returns. Draws again if the password has `/` or `+`, up to [`MAX_TRIES`] times.
///
/// # Errors
///
/// When `draw` fails.
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
