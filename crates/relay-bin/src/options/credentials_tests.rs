//! Tests of the options about credentials.

use std::time::Duration;

use relay_server::PasswordAlgorithm;

use super::*;

const SECRET: &str = "0123456789abcdef";

fn read(options: &CredentialOptions, has_portal: bool) -> Result<CredentialConfig, Vec<String>> {
    let mut problems = Collector::default();
    let draw = |_: &mut Collector| Some(AuthSecret::from_random([7; 32]));
    let config = super::read(options, "firezone", has_portal, draw, Some([9; 32]), &mut problems);
    problems.finish(config).map_err(|problems| problems.iter().map(str::to_owned).collect())
}

fn secrets(config: &CredentialConfig) -> Vec<&str> {
    config.accepted.secrets.iter().map(AuthSecret::expose).collect()
}

fn of(secrets: &[&str]) -> CredentialOptions {
    CredentialOptions { auth_secret: strings(secrets), ..CredentialOptions::default() }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[track_caller]
fn refused(options: &CredentialOptions, has_portal: bool, mentions: &[&str]) {
    let problems = read(options, has_portal).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in mentions {
        assert!(problems[0].contains(part), "{part:?} not in {:?}", problems[0]);
    }
    assert!(!problems[0].contains('\n') && !problems[0].contains("hunter2"), "{problems:?}");
}

#[test]
fn standalone_both_schemes_are_accepted_and_a_secret_is_drawn() {
    for options in [CredentialOptions::default(), of(&[""]), of(&[" ", ""])] {
        let config = read(&options, false).unwrap();
        assert!(config.is_drawn && !config.strict_expiry);
        assert_eq!(config.accepted.schemes, Schemes::Both);
        assert_eq!(secrets(&config), ["07".repeat(32)]);
    }
}

#[test]
fn with_a_portal_the_scheme_is_firezone_and_expiry_strict() {
    for options in [CredentialOptions::default(), of(&[SECRET])] {
        let config = read(&options, true).unwrap();
        assert_eq!(config.accepted.schemes, Schemes::Only(Scheme::Firezone));
        assert!(config.strict_expiry);
    }
    let scheme = |name: &str| CredentialOptions { credential_scheme: Some(name.to_owned()), ..of(&[]) };
    assert!(read(&scheme("firezone"), true).is_ok());
    refused(&scheme("turn-rest"), true, &["CREDENTIAL_SCHEME", "a portal"]);
    refused(&scheme("both"), true, &["CREDENTIAL_SCHEME", "a portal"]);
    refused(&of(&[SECRET, "fedcba9876543210"]), true, &["one secret"]);
    refused(&CredentialOptions { user: strings(&["alice:hunter2"]), ..of(&[]) }, true, &["no users"]);
}

#[test]
fn several_secrets_are_accepted_and_the_first_mints() {
    let both = [SECRET, "fedcba9876543210"];
    for options in
        [of(&both), of(&["0123456789abcdef fedcba9876543210"]), of(&["0123456789abcdef\nfedcba9876543210\n", SECRET])]
    {
        let config = read(&options, false).unwrap();
        assert_eq!(secrets(&config), both);
        assert!(!config.is_drawn);
        assert_eq!(config.secret().map(AuthSecret::expose), Some(SECRET));
    }
    let many: Vec<_> = (0..17).map(|number| format!("{SECRET}{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(secrets(&read(&of(&many[..16]), false).unwrap()), many[..16]);
    refused(&of(&many), false, &["17 secrets", "up to 16"]);
}

#[test]
fn a_comma_is_no_separator_and_no_secret() {
    for secret in ["0123456789abcdef,fedcba9876543210", "0123456789abcdef,"] {
        refused(&of(&[secret]), false, &["AUTH_SECRET", "comma", "AUTH_SECRET_FILE"]);
    }
}

#[test]
fn a_short_secret_is_taken_where_it_is_coturn_s() {
    refused(&of(&["hunter2"]), false, &["AUTH_SECRET", "needs at least 16", "turn-rest"]);
    refused(&of(&["0123456789 abcdef"]), false, &["AUTH_SECRET"]);
    refused(&of(&["hunter2 and more"]), false, &["needs at least 16", "white space separates secrets"]);
    let with_scheme = |name: &str| CredentialOptions { credential_scheme: Some(name.to_owned()), ..of(&["north"]) };
    assert_eq!(secrets(&read(&with_scheme("turn-rest"), false).unwrap()), ["north"]);
    refused(&with_scheme("firezone"), false, &["needs at least 16"]);
    refused(
        &CredentialOptions { credential_scheme: Some("coturn".into()), ..of(&[SECRET]) },
        false,
        &["turn-rest or both"],
    );
}

#[test]
fn nonces_hold_for_ten_minutes_unless_told_otherwise() {
    let of = |text: &str| CredentialOptions { nonce_lifetime: Some(text.to_owned()), ..of(&[SECRET]) };
    assert_eq!(read(&self::of(&[SECRET]), false).unwrap().nonce_lifetime, Duration::from_secs(600));
    for (text, seconds) in [("1m", 60), ("60", 60), ("30m", 1800), ("301", 301)] {
        assert_eq!(read(&of(text), false).unwrap().nonce_lifetime, Duration::from_secs(seconds));
    }
    for text in ["59s", "31m", "1h", "never"] {
        refused(&of(text), false, &["NONCE_LIFETIME", "from 1m to 30m"]);
    }
}

#[test]
fn users_alone_need_no_secret() {
    let users = |users: &[&str]| CredentialOptions { user: strings(users), ..of(&[]) };
    let key = format!("carol:0x{}", "ab".repeat(16));
    for options in [users(&["alice:one", "bob:two", &key]), users(&[&format!("alice:one bob:two\n{key}")])] {
        let config = read(&options, false).unwrap();
        assert!(!config.is_drawn && config.secret().is_none());
        let names: Vec<_> = config.accepted.users.keys().map(|name| &**name).collect();
        assert_eq!(names, ["alice", "bob", "carol"]);
        assert_eq!(config.accepted.users["carol"].key(PasswordAlgorithm::Md5).unwrap().as_bytes(), [0xAB; 16]);
    }
    refused(&users(&["alice:one", "alice:hunter2"]), false, &["USERS", "alice", "twice"]);
    refused(&users(&["alice:one", "hunter2"]), false, &["USERS), number 2", "no colon", "USERS_FILE"]);
}

/// Strangers get nonces, and could test guesses of a weak secret on them.
#[test]
fn nonces_are_random_where_no_secret_is_strong() {
    let nonce_key = |options: &CredentialOptions| read(options, false).unwrap().accepted.nonce_key.as_deref().copied();
    assert_eq!(nonce_key(&CredentialOptions::default()), None);
    assert_eq!(nonce_key(&of(&[SECRET])), None);
    let turn_rest = Some("turn-rest".to_owned());
    assert_eq!(nonce_key(&CredentialOptions { credential_scheme: turn_rest, ..of(&["north"]) }), Some([9; 32]));
    assert_eq!(nonce_key(&CredentialOptions { user: strings(&["alice:one"]), ..of(&[]) }), Some([9; 32]));
}

#[test]
fn strict_expiry_is_a_wish() {
    let strict = |value: &str| CredentialOptions { strict_expiry: Some(value.to_owned()), ..of(&[SECRET]) };
    assert!(read(&strict("true"), false).unwrap().strict_expiry);
    assert!(!read(&strict("false"), false).unwrap().strict_expiry);
    assert!(!read(&strict(""), false).unwrap().strict_expiry);
    refused(&strict("perhaps"), false, &["STRICT_EXPIRY", "true or false"]);
}
