//! The options about credentials.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use relay_server::{DEFAULT_NONCE_LIFETIME, NonceIssuer};
use turn_auth::{AuthSecret, Scheme, Schemes};

use super::{duration, problems::Collector};
use crate::{
    credentials::{CredentialConfig, PrintWhen, Sources, Users, advice, parse_secret, parse_user},
    option_names::{AUTH_SECRET_FILE, Name, PRINT_CREDENTIALS, USERS_FILE},
};

pub(super) const CREDENTIAL_SCHEME: Name = Name::new("--credential-scheme", "CREDENTIAL_SCHEME");
const AUTH_SECRET: Name = Name::new("--auth-secret", "AUTH_SECRET");
const USERS: Name = Name::new("--user", "USERS");
const NONCE_LIFETIME: Name = Name::new("--nonce-lifetime", "NONCE_LIFETIME");
const STRICT_EXPIRY: Name = Name::new("--strict-expiry", "STRICT_EXPIRY");

/// Whose credentials are accepted.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialOptions {
    /// The secret that credentials are made with: a long random string, such as `openssl rand -hex 32` prints. Given several times, or
    /// several separated by white space, all of them are accepted, and the first one mints: so a secret is replaced
    /// [default: drawn at start, and printed on a terminal, if there are no users either]
    #[arg(long, env = "AUTH_SECRET", value_name = "SECRET", hide_env_values = true, help_heading = "Credentials")]
    pub(crate) auth_secret: Vec<String>,

    /// A file with one secret on each line; lines that begin with # are comments. It is read again whenever it changes
    #[arg(long, env = "AUTH_SECRET_FILE", value_name = "FILE", help_heading = "Credentials")]
    pub(crate) auth_secret_file: Option<String>,

    /// How passwords follow from a secret: `firezone`, `turn-rest` (what coturn calls use-auth-secret, and most back ends mint), or
    /// `both`; docs/credentials.md has the formulas [default: both; with a portal it is firezone]
    #[arg(long, env = "CREDENTIAL_SCHEME", value_name = "SCHEME", help_heading = "Credentials")]
    pub(crate) credential_scheme: Option<String>,

    /// A user whose password does not expire, as name:password, or name:0x and the MD5 of name:realm:password in hexadecimal. May be
    /// repeated; the variable separates several by white space
    #[arg(long, env = "USERS", value_name = "NAME:PASSWORD", hide_env_values = true, help_heading = "Credentials")]
    pub(crate) user: Vec<String>,

    /// A file with one such user on each line; lines that begin with # are comments. It is read again whenever it changes
    #[arg(long, env = "USERS_FILE", value_name = "FILE", help_heading = "Credentials")]
    pub(crate) users_file: Option<String>,

    /// Whether a relay without a portal prints an ICE server with credentials for 24 hours when it is up: `always`, `never`, or `auto`,
    /// on a terminal only, since what a service prints is kept in its journal [default: auto]
    #[arg(long, env = "PRINT_CREDENTIALS", value_name = "WHEN", help_heading = "Credentials")]
    pub(crate) print_credentials: Option<String>,

    /// Whether a credential must not have expired for any request: true or false. Otherwise it must not when a client allocates, and a
    /// call may outlive its credential. With a portal it is true [default: false]
    #[arg(
        long,
        env = "STRICT_EXPIRY",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        help_heading = "Credentials"
    )]
    pub(crate) strict_expiry: Option<String>,

    /// How long a nonce holds at least, from 1m to 30m, such as `5m` or `600`; it holds for twice as long at most. Then a client is
    /// told a new one (438) and asks again, so a request that somebody recorded is of no use for longer [default: 10m]
    #[arg(long, env = "NONCE_LIFETIME", value_name = "DURATION", help_heading = "Credentials")]
    pub(crate) nonce_lifetime: Option<String>,
}

/// Reads `options`. `draw` draws a secret. `nonce_key` is random, and used for nonces if no secret is strong.
pub(crate) fn read(
    options: &CredentialOptions,
    realm: &str,
    has_portal: bool,
    draw: impl FnOnce(&mut Collector) -> Option<AuthSecret>,
    nonce_key: Option<[u8; 32]>,
    problems: &mut Collector,
) -> Option<CredentialConfig> {
    let schemes = read_schemes(options, has_portal, problems);
    let print_when =
        problems.read(PRINT_CREDENTIALS, options.print_credentials.as_deref(), "always, never or auto", |text| {
            match text {
                "always" => Some(PrintWhen::Always),
                "never" => Some(PrintWhen::Never),
                "auto" => Some(PrintWhen::OnATerminal),
                _ => None,
            }
        });
    let strict_expiry = read_bool(STRICT_EXPIRY, options.strict_expiry.as_deref(), problems);
    let nonce_lifetime = problems.read(
        NONCE_LIFETIME,
        options.nonce_lifetime.as_deref(),
        "from 1m to 30m, such as 5m",
        parse_nonce_lifetime,
    );
    let sources = Sources {
        schemes,
        realm: realm.to_owned(),
        secrets: read_secrets(options, schemes, problems),
        secrets_file: file(options.auth_secret_file.as_deref()),
        users: read_users(options, realm, problems),
        users_file: file(options.users_file.as_deref()),
    };
    // An error in the options was reported already. Then no secret must be drawn.
    let is_given = sources.has_files()
        || [&options.auth_secret, &options.user].into_iter().flatten().any(|value| !value.trim().is_empty());
    let mut accepted =
        sources.read().map_err(|wrong| wrong.into_iter().for_each(|problem| problems.add(problem))).ok()?;
    if !is_given {
        accepted.secrets.push(draw(problems)?);
    }
    accepted.nonce_key = nonce_key.filter(|_| !accepted.has_strong_secret()).map(Into::into);
    if has_portal && (accepted.secrets.len() > 1 || !accepted.users.is_empty()) {
        problems.add(format!(
            "{AUTH_SECRET}, {AUTH_SECRET_FILE}, {USERS}, {USERS_FILE}: a portal is told one secret and mints all credentials: \
             give one secret or none, and no users, or leave the portal's token out"
        ));
    }
    Some(CredentialConfig {
        sources,
        accepted: Arc::new(accepted),
        is_drawn: !is_given,
        strict_expiry: strict_expiry || has_portal,
        nonce_lifetime: nonce_lifetime.unwrap_or(DEFAULT_NONCE_LIFETIME),
        is_portal_s: has_portal,
        print_when: print_when.unwrap_or_default(),
    })
}

fn parse_nonce_lifetime(text: &str) -> Option<Duration> {
    let allowed = NonceIssuer::MIN_PERIOD_SECONDS..=NonceIssuer::MAX_PERIOD_SECONDS;
    duration::parse(text).filter(|lifetime| allowed.contains(&lifetime.as_secs()))
}

/// The schemes with this name.
pub(super) fn parse_schemes(name: &str) -> Option<Schemes> {
    match name {
        "firezone" => Some(Schemes::Only(Scheme::Firezone)),
        "turn-rest" => Some(Schemes::Only(Scheme::TurnRest)),
        "both" => Some(Schemes::Both),
        _ => None,
    }
}

fn read_schemes(options: &CredentialOptions, has_portal: bool, problems: &mut Collector) -> Schemes {
    let wanted = "firezone, turn-rest or both";
    let given = problems.read(CREDENTIAL_SCHEME, options.credential_scheme.as_deref(), wanted, parse_schemes);
    let firezone = Schemes::Only(Scheme::Firezone);
    match given {
        Some(schemes) if has_portal && schemes != firezone => {
            problems
                .add(format!("{CREDENTIAL_SCHEME}: a portal mints credentials of the scheme firezone: leave it out"));
            firezone
        }
        Some(schemes) => schemes,
        None if has_portal => firezone,
        None => Schemes::Both,
    }
}

/// The secrets in a value, separated by white space.
pub(super) fn split_secrets(
    name: Name,
    value: &str,
    schemes: Schemes,
) -> impl Iterator<Item = Result<AuthSecret, String>> {
    value.split_whitespace().map(move |text| {
        if text.contains(',') {
            return Err(format!(
                "{name} has a comma, which does not separate secrets: repeat the option or separate them by white space; a \
                 secret that has a comma goes into a file, {AUTH_SECRET_FILE}"
            ));
        }
        parse_secret(text, schemes).map_err(|error| format!("{name}: {error}: {}", advice(schemes)))
    })
}

fn read_secrets(options: &CredentialOptions, schemes: Schemes, problems: &mut Collector) -> Vec<AuthSecret> {
    let mut all = Vec::new();
    for value in &options.auth_secret {
        match split_secrets(AUTH_SECRET, value, schemes).collect::<Result<Vec<_>, _>>() {
            Ok(secrets) => all.extend(secrets),
            Err(problem) if value.trim().contains(char::is_whitespace) => {
                problems.add(format!(
                    "{problem}; white space separates secrets, and one that has some goes into a file, {AUTH_SECRET_FILE}"
                ));
            }
            Err(problem) => problems.add(problem),
        }
    }
    all
}

fn read_users(options: &CredentialOptions, realm: &str, problems: &mut Collector) -> Users {
    let mut users = Users::new();
    for (number, text) in (1..).zip(options.user.iter().flat_map(|value| value.split_whitespace())) {
        match parse_user(text, realm) {
            Ok((name, key)) => {
                if users.insert(name.into(), key).is_some() {
                    problems.add(format!("{USERS}: user {name:?} is given twice: give each user once"));
                }
            }
            Err(problem) => problems.add(format!(
                "{USERS}, number {number}: {problem}; a password with white space goes into a file, {USERS_FILE}"
            )),
        }
    }
    users
}

fn read_bool(name: Name, value: Option<&str>, problems: &mut Collector) -> bool {
    problems.read(name, value, "true or false", |text| text.parse().ok()).unwrap_or(false)
}

fn file(value: Option<&str>) -> Option<PathBuf> {
    value.map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
