//! Which credentials the relay accepts: schemes, several secrets, users, and changes at run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use test_support::{
    PATIENCE,
    echo::Echo,
    port::free_port,
    relay::{Relay, SECRET, command, run},
    wait_until,
};
use turn_auth::{AuthSecret, Scheme, UnixTime};
use turn_client::{Allocate, BlockingClient, Credentials, Error};

const LATER: UnixTime = UnixTime(4_000_000_000);
const OTHER_SECRET: &str = "1cab293a-4032-46f4-862a-40e5d174b0d2";
const CHANNEL: u16 = 0x4000;
const USAGE: Option<i32> = Some(2);

/// A relay on IPv4 loopback with these options, and its output.
fn start(options: &[&str]) -> (Relay, String) {
    let port = free_port();
    let port_text = port.to_string();
    let all = [&["--public-ip4-addr", "127.0.0.1", "--listen-port", &port_text, "--workers", "2"], options].concat();
    Relay::spawn_and_read(&mut command(all), port)
}

fn minted(scheme: Scheme, secret: &str, expiry: UnixTime, user: &str) -> Credentials {
    let minted = scheme.mint(&AuthSecret::any_text(secret).unwrap(), expiry, user);
    Credentials::new(minted.username, minted.password)
}

fn connect(relay: &Relay, credentials: Credentials) -> BlockingClient {
    BlockingClient::connect(relay.v4(), credentials).unwrap()
}

/// A client with an allocation, or the error code.
fn allocate(relay: &Relay, credentials: Credentials) -> Result<BlockingClient, u16> {
    let mut client = connect(relay, credentials);
    match client.allocate(Allocate::default()) {
        Ok(_) => Ok(client),
        Err(error) => Err(code(&error)),
    }
}

fn code(error: &Error) -> u16 {
    error.code().unwrap_or_else(|| panic!("{error}"))
}

/// Exchanges a message with a peer.
fn relays(client: &mut BlockingClient, echo: &Echo) {
    client.bind(CHANNEL, echo.address).unwrap();
    for _ in 0..10 {
        client.send(CHANNEL, b"hello").unwrap();
        if client.receive(PATIENCE / 10).unwrap() == Some((CHANNEL, b"hello".to_vec())) {
            return;
        }
    }
    panic!("nothing comes back");
}

#[expect(clippy::disallowed_methods, reason = "a test outside of the relay")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A file in a temporary directory.
struct File(tempfile::TempDir);

impl File {
    fn new(content: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        fs::write(file.path(), content).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file")
    }

    fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Replaces the file atomically.
    fn replace(&self, content: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

#[test]
fn credentials_of_both_schemes_are_accepted_standalone() {
    let (relay, _) = start(&["--auth-secret", SECRET]);
    for scheme in [Scheme::Firezone, Scheme::TurnRest] {
        assert!(allocate(&relay, minted(scheme, SECRET, LATER, "alice")).is_ok());
        assert_eq!(allocate(&relay, minted(scheme, OTHER_SECRET, LATER, "alice")).err(), Some(401));
        assert_eq!(allocate(&relay, minted(scheme, SECRET, UnixTime(now() - 1), "alice")).err(), Some(401));
    }
}

/// Test vectors that coturn 4.6.1 accepts with `--static-auth-secret=north`.
#[test]
fn every_form_of_coturn_s_usernames_is_accepted() {
    let (relay, printed) = start(&["--credential-scheme", "turn-rest", "--auth-secret", "north"]);
    for (username, password) in [
        ("1892160000:alice", "tO6gO9w0y8QNFL1FJ17XIrhO37M="),
        ("1892160000", "XsdaEAgK0Hp2zaKT+0ACP1/fhxQ="),
        ("alice:1892160000", "X7sFP52DnPxWb1/P8xW1bY9zdV8="),
    ] {
        assert!(allocate(&relay, Credentials::new(username, password)).is_ok(), "{username}");
    }
    assert_eq!(allocate(&relay, minted(Scheme::Firezone, "north", LATER, "alice")).err(), Some(401));
    wait_until(|| relay.has_logged("a secret of fewer than 16 characters can be guessed"));
    assert!(printed.contains("--credential-scheme turn-rest"), "{printed}");
    assert!(allocate(&relay, printed_credentials(&printed)).is_ok());
}

#[test]
fn a_scheme_can_be_excluded() {
    let (relay, _) = start(&["--credential-scheme", "firezone", "--auth-secret", SECRET]);
    assert!(allocate(&relay, minted(Scheme::Firezone, SECRET, LATER, "alice")).is_ok());
    assert_eq!(allocate(&relay, minted(Scheme::TurnRest, SECRET, LATER, "alice")).err(), Some(401));
}

fn printed_credentials(printed: &str) -> Credentials {
    let json = printed.lines().find(|line| line.starts_with('{')).unwrap();
    let server: serde_json::Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| server[name].as_str().unwrap().to_owned();
    Credentials::new(text("username"), text("credential"))
}

/// One session for each of two secrets, while one secret is removed.
#[test]
fn a_secret_is_replaced_without_a_session_ending() {
    let file = File::new(&format!("{OTHER_SECRET}\n{SECRET}\n"));
    let (relay, _) = start(&["--auth-secret-file", &file.text()]);
    let echo = Echo::start(relay.v4());
    let mut sessions = [SECRET, OTHER_SECRET]
        .map(|secret| allocate(&relay, minted(Scheme::TurnRest, secret, LATER, "alice")).ok().unwrap());
    sessions.iter_mut().for_each(|session| relays(session, &echo));

    file.replace(&format!("# the old one is gone\n{OTHER_SECRET}\n"));
    wait_until(|| relay.has_logged("secrets_removed=1"));
    for session in &mut sessions {
        relays(session, &echo);
        assert_eq!(session.refresh(Duration::from_secs(700)).unwrap(), Duration::from_secs(700));
    }
    wait_until(|| allocate(&relay, minted(Scheme::TurnRest, SECRET, LATER, "alice")).err() == Some(401));
    assert!(allocate(&relay, minted(Scheme::TurnRest, OTHER_SECRET, LATER, "alice")).is_ok());

    file.replace(&format!("{SECRET}\n{OTHER_SECRET}\n"));
    wait_until(|| allocate(&relay, minted(Scheme::Firezone, SECRET, LATER, "bob")).is_ok());
    relay.signal("HUP");
    wait_until(|| relay.has_logged("SIGHUP: reading the files of options again"));
    let log = relay.stop().log;
    assert!(!log.contains(SECRET) && !log.contains(OTHER_SECRET), "{log}");
}

#[test]
fn a_file_that_goes_wrong_while_it_runs_is_told_and_what_was_read_stays() {
    let file = File::new("alice:one\n");
    let (relay, printed) = start(&["--users-file", &file.text()]);
    assert!(printed.contains("1 users") && !printed.contains('{'), "{printed}");
    let alice = |password: &str| allocate(&relay, Credentials::new("alice", password));
    assert!(alice("one").is_ok());
    assert_eq!(alice("two").err(), Some(401));

    for (content, said) in [
        ("alice:two\nhunter2\n", "line 2: there is no colon"),
        ("", "holds no user"),
        ("alice:two\nalice:hunter2\n", "line 2: user \"alice\" stands on an earlier line"),
    ] {
        file.replace(content);
        wait_until(|| relay.has_logged(said));
        assert!(alice("one").is_ok());
        assert_eq!(alice("two").err(), Some(401));
    }
    fs::remove_file(file.path()).unwrap();
    wait_until(|| relay.has_logged("No such file"));
    assert!(alice("one").is_ok());

    file.replace("bob:three\nalice:two\n");
    wait_until(|| alice("two").is_ok());
    assert_eq!(alice("one").err(), Some(401));
    assert!(allocate(&relay, Credentials::new("bob", "three")).is_ok());
    let log = relay.stop().log;
    assert!(!log.contains("hunter2") && log.contains("what was read before stays in force"), "{log}");
}

#[test]
fn users_have_passwords_or_keys_and_do_not_expire() {
    let key = Command::new("sh").args(["-c", "printf carol:example.org:s3cret | md5sum"]).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let file = File::new(&format!("# users\ncarol:0x{}\n", &key[..32]));
    let options = ["--realm", "example.org", "--user", "alice:one", "--user", "1000:two", "--users-file", &file.text()];
    let (relay, printed) = start(&options);
    assert!(printed.contains("3 users"), "{printed}");
    for (name, password) in [("alice", "one"), ("1000", "two"), ("carol", "s3cret")] {
        assert!(allocate(&relay, Credentials::new(name, password)).is_ok(), "{name}");
        assert_eq!(allocate(&relay, Credentials::new(name, "guess")).err(), Some(401), "{name}");
    }
    assert_eq!(allocate(&relay, Credentials::new("dave", "one")).err(), Some(401));
}

#[test]
fn files_that_are_wrong_at_the_start_are_told_with_the_line() {
    let long = File::new(&format!("{SECRET}\n# fine\nhunter2\n"));
    let empty = File::new("# nothing\n");
    let users = File::new("alice:one\nbob\n");
    let (long, empty, users) = (long.text(), empty.text(), users.text());
    for (option, path, said) in [
        ("--auth-secret-file", long.as_str(), "line 3: the secret has 7 characters"),
        ("--auth-secret-file", &empty, "holds no secret"),
        ("--auth-secret-file", "/nowhere/secrets", "cannot read /nowhere/secrets: No such file"),
        ("--auth-secret-file", "/", "/ is no regular file"),
        ("--users-file", &users, "line 2: there is no colon"),
        ("--users-file", &empty, "holds no user"),
    ] {
        let (status, _, stderr) = run([option, path]);
        assert_eq!((status.code(), stderr.lines().count()), (USAGE, 1), "{stderr}");
        assert!(stderr.contains(path) && stderr.contains(said) && stderr.contains(option), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    let (status, _, stderr) = run(["--auth-secret", &format!("{SECRET},{OTHER_SECRET}")]);
    assert_eq!((status.code(), stderr.lines().count()), (USAGE, 1), "{stderr}");
    assert!(stderr.contains("comma") && !stderr.contains(SECRET), "{stderr}");
}

/// A client that has allocated with a credential that has expired since.
fn outlived(relay: &Relay) -> (BlockingClient, Credentials) {
    loop {
        let expiry = now() + 3;
        let credentials = minted(Scheme::TurnRest, SECRET, UnixTime(expiry), "alice");
        // On a slow machine it may have expired before the Allocate.
        if let Ok(client) = allocate(relay, credentials.clone()) {
            wait_until(|| now() > expiry + 1);
            return (client, credentials);
        }
    }
}

#[test]
fn a_call_outlives_its_credential() {
    let (relay, _) = start(&["--auth-secret", SECRET]);
    let echo = Echo::start(relay.v4());
    let (mut client, credentials) = outlived(&relay);
    relays(&mut client, &echo);
    assert_eq!(client.refresh(Duration::from_secs(700)).unwrap(), Duration::from_secs(700));
    assert_eq!(allocate(&relay, credentials).err(), Some(401));
}

#[test]
fn with_strict_expiry_it_does_not() {
    let (relay, _) = start(&["--auth-secret", SECRET, "--strict-expiry"]);
    let (mut client, credentials) = outlived(&relay);
    assert_eq!(code(&client.refresh(Duration::from_secs(700)).unwrap_err()), 401);
    assert_eq!(allocate(&relay, credentials).err(), Some(401));
}

#[test]
fn one_user_with_twelve_credentials_has_as_many_allocations_as_one_may() {
    let (relay, _) = start(&["--auth-secret", SECRET, "--allocations-per-username", "2"]);
    let mut held = Vec::new();
    for number in 0..12 {
        let credentials = minted(Scheme::TurnRest, SECRET, UnixTime(LATER.0 + number), "alice");
        match allocate(&relay, credentials) {
            Ok(client) => held.push(client),
            Err(code) => assert_eq!(code, 486),
        }
    }
    assert_eq!(held.len(), 2);
    assert!(allocate(&relay, minted(Scheme::TurnRest, SECRET, LATER, "bob")).is_ok());
}

#[test]
fn what_a_relay_to_be_tried_prints_is_for_everybody_and_what_another_prints_is_one_user_s() {
    let (relay, printed) = start(&[]);
    let clients: Vec<_> = (0..15).map(|_| allocate(&relay, printed_credentials(&printed))).collect();
    assert!(clients.iter().all(Result::is_ok));

    let (relay, printed) = start(&["--auth-secret", SECRET]);
    assert!(printed.contains("up to 10 allocations"), "{printed}");
    let clients: Vec<_> = (0..11).map(|_| allocate(&relay, printed_credentials(&printed))).collect();
    assert_eq!(clients.iter().filter(|client| client.is_ok()).count(), 10);
}

#[test]
fn a_uri_for_gstreamer_has_username_and_password_percent_encoded_once() {
    let (relay, printed) = start(&["--auth-secret", SECRET]);
    let uri = printed.lines().map(str::trim).find(|line| line.starts_with("turn://")).unwrap();
    let (who, place) = uri.trim_start_matches("turn://").split_once('@').unwrap();
    assert_eq!(place, format!("127.0.0.1:{}", relay.port));
    assert!(!who.contains(['/', '+', '=']), "{uri}");
    let (username, password) = who.split_once(':').unwrap();
    let credentials = Credentials::new(username.replace("%3A", ":"), password.replace("%3D", "="));
    assert!(allocate(&relay, credentials).is_ok());

    let url = format!("turn:127.0.0.1:{}", relay.port);
    for scheme in ["firezone", "turn-rest"] {
        let arguments = ["credentials", "--secret", SECRET, "--credential-scheme", scheme, "--url", &url];
        let (status, uri, stderr) = run(arguments.into_iter().chain(["--format", "uri", "--user", "a/lice"]));
        assert!(status.success(), "{stderr}");
        let (who, _) = uri.trim_start_matches("turn://").split_once('@').unwrap();
        let (username, password) = who.split_once(':').unwrap();
        assert!(username.ends_with("%3Aa%2Flice") && !who.contains('/'), "{uri}");
        let decode = |text: &str| text.replace("%3A", ":").replace("%2F", "/").replace("%2B", "+").replace("%3D", "=");
        assert!(allocate(&relay, Credentials::new(decode(username), decode(password))).is_ok(), "{uri}");
    }
}

#[test]
fn credentials_are_minted_with_the_first_secret_of_a_file() {
    let file = File::new(&format!("# newest first\n{OTHER_SECRET}\n{SECRET}\n"));
    let (relay, printed) = start(&["--auth-secret-file", &file.text()]);
    assert!(printed.contains(&format!("--secret-file \"{}\"", file.text())), "{printed}");
    let (status, minted_json, stderr) = run(["credentials", "--secret-file", &file.text(), "--user", "me"]);
    assert!(status.success(), "{stderr}");
    assert!(allocate(&relay, printed_credentials(&minted_json)).is_ok());
    assert!(Path::new(&file.text()).exists());
    file.replace(&format!("{OTHER_SECRET}\n"));
    wait_until(|| relay.has_logged("secrets_removed=1"));
    assert!(allocate(&relay, printed_credentials(&minted_json)).is_ok());
}
