//! `firezone-relay credentials`, and the ICE server entry that a standalone relay prints.

use std::time::Duration;

use serde::Serialize;
use turn_auth::{AuthSecret, Credentials, UnixTime};

use crate::{
    cli::CredentialsOptions,
    config::Entropy,
    duration,
    problems::{Collector, Name, Problems},
};

const SECRET: Name = Name::new("--secret", "AUTH_SECRET");

/// How long what a standalone relay prints at its start is valid.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest salt that fits into a username.
const MAX_SALT: usize = 400;

/// An entry of `iceServers` in an
/// [`RTCConfiguration`](https://www.w3.org/TR/webrtc/#dom-rtciceserver).
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct IceServer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    username: String,
    credential: String,
}

impl IceServer {
    /// An entry with credentials that are valid from `now` for `ttl`. Without a salt, one is drawn.
    ///
    /// # Errors
    ///
    /// When a salt must be drawn and the operating system has no randomness.
    pub(crate) fn mint(
        urls: Vec<String>,
        secret: &AuthSecret,
        now: UnixTime,
        ttl: Duration,
        salt: Option<&str>,
        entropy: &impl Entropy,
    ) -> Result<Self, String> {
        let expiry = UnixTime(now.0.saturating_add(ttl.as_secs()));
        let salt = match salt {
            Some(salt) => salt.to_owned(),
            None => draw_salt(entropy)?,
        };
        let Credentials { username, password } = Credentials::mint(secret, expiry, &salt);
        Ok(Self { urls, username, credential: password })
    }

    /// The entry on one line.
    pub(crate) fn to_json(&self) -> String {
        // Strings and sequences of strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn draw_salt(entropy: &impl Entropy) -> Result<String, String> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// What `firezone-relay credentials` prints.
///
/// # Errors
///
/// Everything that is wrong with `options`.
pub(crate) fn run(options: &CredentialsOptions, now: UnixTime, entropy: &impl Entropy) -> Result<String, Problems> {
    let mut problems = Collector::default();
    let secret = AuthSecret::new(options.secret.trim())
        .map_err(|error| problems.add(format!("{SECRET}: {error}: give the secret that the relay runs with")))
        .ok();
    let ttl = duration::parse(&options.ttl).filter(|ttl| !ttl.is_zero());
    if ttl.is_none() {
        problems.add(format!("--ttl is {:?}: give a time such as 90s, 15m, 24h or 7d", options.ttl));
    }
    let salt = options.salt.as_deref();
    if let Some(salt) = salt
        && (salt.is_empty() || salt.len() > MAX_SALT)
    {
        problems.add(format!("--salt has {} bytes: give 1 to {MAX_SALT}, or leave it out", salt.len()));
    }
    let server = match (secret, ttl) {
        (Some(secret), Some(ttl)) => IceServer::mint(options.url.clone(), &secret, now, ttl, salt, entropy)
            .map_err(|error| problems.add(error))
            .ok(),
        _ => None,
    };
    problems.finish(server.map(|server| server.to_json()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
            bytes.fill(0xAB);
            Ok(())
        }
    }

    fn options(secret: &str, ttl: &str, salt: Option<&str>) -> CredentialsOptions {
        CredentialsOptions {
            secret: secret.to_owned(),
            ttl: ttl.to_owned(),
            salt: salt.map(str::to_owned),
            url: Vec::new(),
        }
    }

    #[test]
    fn mints_what_the_deployed_system_would() {
        let options = CredentialsOptions {
            url: vec!["turn:203.0.113.7:3478".to_owned()],
            ..options("1cab293a-4032-46f4-862a-40e5d174b0d2", "1d", Some("uvdgKvS9GXYZ_vmv"))
        };
        let printed = run(&options, UnixTime(1_685_984_278 - 86_400), &Fixed).unwrap();
        let expected = r#"{"urls":["turn:203.0.113.7:3478"],"username":"1685984278:uvdgKvS9GXYZ_vmv","credential":"6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg"}"#;
        assert_eq!(printed, expected);
    }

    #[test]
    fn draws_a_salt_and_leaves_out_urls() {
        let printed = run(&options("0123456789abcdef", "1s", None), UnixTime(1), &Fixed).unwrap();
        assert!(printed.starts_with(r#"{"username":"2:abababababababab","credential":""#), "{printed}");
    }

    #[test]
    fn problems_are_told_at_once_and_without_the_secret() {
        let problems = run(&options("hunter2", "soon", Some("")), UnixTime(1), &Fixed).unwrap_err();
        assert_eq!(problems.iter().count(), 3);
        assert!(!problems.to_string().contains("hunter2"));
    }

    #[test]
    fn an_absurd_ttl_does_not_overflow() {
        let ttl = format!("{}s", u64::MAX);
        let printed = run(&options("0123456789abcdef", &ttl, Some("s")), UnixTime(1), &Fixed).unwrap();
        assert!(printed.contains(&format!("{}:s", u64::MAX)), "{printed}");
    }
}
