//! The command `firezone-relay credentials`.

use clap::{Args, ValueEnum};
use turn_auth::{AuthSecret, Scheme, Schemes, UnixTime};

use super::{
    credentials::{CREDENTIAL_SCHEME, parse_schemes, split_secrets},
    duration,
    entropy::Entropy,
    problems::{Collector, Problems},
};
use crate::{
    credentials::{IceServer, mint_for_anybody, minting_scheme, secrets_of},
    option_names::{AUTH_SECRET_FILE, Name},
};

const SECRET: Name = Name::new("--secret", "AUTH_SECRET");

/// The longest user id or salt, in bytes, that fits in a username.
const MAX_USER: usize = 400;

/// Options of `firezone-relay credentials`.
#[derive(Args, Debug)]
pub(crate) struct MintOptions {
    /// The relay's secret; of several that are separated by white space, the first.
    #[arg(long, env = "AUTH_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,

    /// The file with the relay's secrets, of which the first is taken.
    #[arg(long, alias = "auth-secret-file", env = "AUTH_SECRET_FILE", value_name = "FILE")]
    pub(crate) secret_file: Option<String>,

    /// How the password follows from the secret: firezone or turn-rest; `both` means firezone [default: firezone].
    #[arg(long, env = "CREDENTIAL_SCHEME", value_name = "SCHEME")]
    pub(crate) credential_scheme: Option<String>,

    /// How long they are valid, such as 90s, 15m, 24h or 7d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) ttl: String,

    /// What the username says after the time of expiry: the user id, whose allocations are limited together [default: drawn].
    #[arg(long, visible_alias = "user", value_name = "TEXT")]
    pub(crate) salt: Option<String>,

    /// The relay's URL, such as turn:203.0.113.7:3478, to print a whole ICE server entry. May be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,

    /// What to print: an entry for iceServers, or the URL with username and password in it, for GStreamer.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
}

/// What `firezone-relay credentials` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line of JSON.
    Json,
    /// A line for each URL.
    Uri,
}

/// A random user id.
///
/// # Errors
///
/// When the operating system has no random bytes.
fn draw_user(entropy: &impl Entropy) -> Result<String, String> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// The output of `firezone-relay credentials`.
///
/// # Errors
///
/// Everything that is wrong with `options`.
pub(crate) fn mint(options: &MintOptions, now: UnixTime, entropy: &impl Entropy) -> Result<String, Problems> {
    let mut problems = Collector::default();
    let wanted = "firezone or turn-rest";
    let schemes = problems.read(CREDENTIAL_SCHEME, options.credential_scheme.as_deref(), wanted, parse_schemes);
    // For turn-rest a short secret is allowed, as in relays that accept any text.
    let scheme = schemes.map_or(Scheme::Firezone, minting_scheme);
    let secret = read_secret(options, scheme, &mut problems);
    let ttl = duration::parse(&options.ttl).filter(|ttl| !ttl.is_zero());
    if ttl.is_none() {
        problems.add(format!("--ttl is {:?}: give a time such as 90s, 15m, 24h or 7d", options.ttl));
    }
    let user = options.salt.as_deref();
    if let Some(user) = user
        && (user.is_empty() || user.len() > MAX_USER)
    {
        problems.add(format!("--salt has {} bytes: give 1 to {MAX_USER}, or leave it out", user.len()));
    }
    if options.format == Format::Uri && options.url.is_empty() {
        problems.add("--format uri needs the relay's URL: give --url, such as --url turn:203.0.113.7:3478".to_owned());
    }
    let credentials = secret.zip(ttl).and_then(|(secret, ttl)| {
        let expiry = now.0.saturating_add(ttl.as_secs());
        match user {
            Some(user) => Some(scheme.mint(&secret, UnixTime(expiry), user)),
            None => {
                let minted = mint_for_anybody(scheme, &secret, expiry, || draw_user(entropy));
                minted.map_err(|error| problems.add(error)).ok()
            }
        }
    });
    let server = credentials.map(|credentials| IceServer::new(options.url.clone(), credentials));
    problems.finish(server.map(|server| match options.format {
        Format::Json => server.to_json(),
        Format::Uri => server.to_uris().join("\n"),
    }))
}

/// Reads the first secret.
fn read_secret(options: &MintOptions, scheme: Scheme, problems: &mut Collector) -> Option<AuthSecret> {
    let schemes = Schemes::Only(scheme);
    let given =
        |value: &Option<String>| value.as_deref().map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
    let secret = match (given(&options.secret), given(&options.secret_file)) {
        (Some(value), _) => split_secrets(SECRET, &value, schemes).next(),
        (None, Some(path)) => {
            let secrets = secrets_of(path.as_ref(), schemes);
            Some(secrets.map_err(|error| format!("{AUTH_SECRET_FILE}: {error}"))).map(|secrets| {
                secrets.and_then(|secrets| secrets.into_iter().next().ok_or_else(|| "there is no secret".to_owned()))
            })
        }
        (None, None) => Some(Err(format!("{SECRET} is missing: give the secret that the relay runs with"))),
    };
    secret?.map_err(|problem| problems.add(problem)).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
            bytes.fill(0xAB);
            Ok(())
        }
    }

    /// Returns different bytes each time.
    struct Counting(Cell<u8>);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
            self.0.set(self.0.get() + 1);
            bytes.fill(self.0.get());
            Ok(())
        }
    }

    fn options(secret: &str, ttl: &str, salt: Option<&str>) -> MintOptions {
        MintOptions {
            secret: Some(secret.to_owned()),
            secret_file: None,
            credential_scheme: None,
            ttl: ttl.to_owned(),
            salt: salt.map(str::to_owned),
            url: Vec::new(),
            format: Format::Json,
        }
    }

    /// The test vector that coturn 4.6.1 accepts.
    #[test]
    fn mints_what_coturn_would() {
        let options =
            MintOptions { credential_scheme: Some("turn-rest".to_owned()), ..options("north", "1h", Some("alice")) };
        let printed = mint(&options, UnixTime(1_892_160_000 - 3600), &Fixed).unwrap();
        assert_eq!(printed, r#"{"username":"1892160000:alice","credential":"tO6gO9w0y8QNFL1FJ17XIrhO37M="}"#);
    }

    #[test]
    fn a_uri_is_percent_encoded_once() {
        let options = MintOptions {
            url: vec!["turn:203.0.113.7:3478?transport=udp".to_owned(), "turn:[2001:db8::7]:3478".to_owned()],
            format: Format::Uri,
            ..options("1cab293a-4032-46f4-862a-40e5d174b0d2", "1d", Some("uvdgKvS9GXYZ_vmv"))
        };
        let printed = mint(&options, UnixTime(1_685_984_278 - 86_400), &Fixed).unwrap();
        let who = "1685984278%3AuvdgKvS9GXYZ_vmv:6xUIoZ%2BQvxKhRasLifwfRkMXl%2BETLJUsFkHlXjlHAkg";
        assert_eq!(printed, format!("turn://{who}@203.0.113.7:3478\nturn://{who}@[2001:db8::7]:3478"));

        let without_url = MintOptions { url: Vec::new(), ..options };
        assert!(mint(&without_url, UnixTime(1), &Fixed).unwrap_err().to_string().contains("--url"));
    }

    #[test]
    fn drawn_users_get_passwords_without_slash_and_plus() {
        for scheme in ["firezone", "turn-rest"] {
            let options = |ttl: u64| MintOptions {
                credential_scheme: Some(scheme.to_owned()),
                ..options("0123456789abcdef", &format!("{ttl}s"), None)
            };
            for ttl in 1..=50 {
                let printed = mint(&options(ttl), UnixTime(1_700_000_000), &Counting(Cell::new(0))).unwrap();
                assert!(!printed.contains(['/', '+']), "{printed}");
                assert!(printed.contains(&format!("\"{}:", 1_700_000_000 + ttl)), "{printed}");
            }
        }
    }

    #[test]
    fn of_several_secrets_the_first_mints() {
        let of = |secret: &str| mint(&options(secret, "1s", Some("s")), UnixTime(1), &Fixed);
        assert_eq!(of("0123456789abcdef fedcba9876543210"), of("0123456789abcdef"));
        assert!(of("0123456789abcdef,fedcba9876543210").unwrap_err().to_string().contains("comma"));
        let none = MintOptions { secret: None, ..options("", "1s", None) };
        assert!(mint(&none, UnixTime(1), &Fixed).unwrap_err().to_string().contains("AUTH_SECRET) is missing"));
    }

    #[test]
    fn mints_what_the_deployed_system_would() {
        let options = MintOptions {
            url: vec!["turn:203.0.113.7:3478".to_owned()],
            ..options("1cab293a-4032-46f4-862a-40e5d174b0d2", "1d", Some("uvdgKvS9GXYZ_vmv"))
        };
        let printed = mint(&options, UnixTime(1_685_984_278 - 86_400), &Fixed).unwrap();
        let expected = r#"{"urls":["turn:203.0.113.7:3478"],"username":"1685984278:uvdgKvS9GXYZ_vmv","credential":"6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg"}"#;
        assert_eq!(printed, expected);
    }

    #[test]
    fn draws_a_salt_and_leaves_out_urls() {
        let printed = mint(&options("0123456789abcdef", "1s", None), UnixTime(1), &Fixed).unwrap();
        assert!(printed.starts_with(r#"{"username":"2:abababababababab","credential":""#), "{printed}");
    }

    #[test]
    fn problems_are_told_at_once_and_without_the_secret() {
        let problems = mint(&options("hunter2", "soon", Some("")), UnixTime(1), &Fixed).unwrap_err();
        assert_eq!(problems.iter().count(), 3);
        assert!(!problems.to_string().contains("hunter2"));
    }

    #[test]
    fn an_absurd_ttl_does_not_overflow() {
        let ttl = format!("{}s", u64::MAX);
        let printed = mint(&options("0123456789abcdef", &ttl, Some("s")), UnixTime(1), &Fixed).unwrap();
        assert!(printed.contains(&format!("{}:s", u64::MAX)), "{printed}");
    }
}
