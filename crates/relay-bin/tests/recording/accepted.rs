//! Accepted credentials and their changes are recorded, secrets only on request.

use std::{fs, path::Path};

use test_support::{
    relay::{Relay, SECRET},
    wait_until,
};
use turn_auth::{AuthSecret, Scheme, UnixTime};
use turn_client::{Allocate, BlockingClient, Credentials};

use crate::{Trace, start};

const OTHER_SECRET: &str = "1cab293a-4032-46f4-862a-40e5d174b0d2";
/// MD5 of `alice:firezone:two`, as it is in the file.
const KEY: &str = "c9174cec2802668cda12f3a54dcf1d9f";

fn allocate(relay: &Relay, credentials: Credentials) -> bool {
    let mut client = BlockingClient::connect(relay.v4(), credentials).unwrap();
    client.allocate(Allocate::default()).is_ok()
}

fn minted(scheme: Scheme, secret: &str) -> Credentials {
    let minted = scheme.mint(&AuthSecret::new(secret).unwrap(), UnixTime(4_000_000_000), "alice");
    Credentials::new(minted.username, minted.password)
}

/// A session with two secrets, both schemes, and a user whose password changes.
fn record(trace: &Trace, options: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    let replace = |content: &str| replace(&users, content);
    replace("alice:one\n");
    let options = [&["--auth-secret", OTHER_SECRET, "--users-file", users.to_str().unwrap()], options].concat();
    let relay = start(trace, &options);
    assert!(allocate(&relay, minted(Scheme::Firezone, SECRET)));
    assert!(allocate(&relay, minted(Scheme::TurnRest, OTHER_SECRET)));
    assert!(allocate(&relay, Credentials::new("alice", "one")));
    replace(&format!("alice:0x{KEY}\n"));
    wait_until(|| relay.has_logged("credentials were read again"));
    wait_until(|| !allocate(&relay, Credentials::new("alice", "one")));
    relay.stop();
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn credentials_of_every_kind_and_their_change_replay_without_a_difference() {
    let trace = Trace::new();
    record(&trace, &["--record-secret"]);
    let session = trace.replay();
    assert!(session.header().unwrap().accepted.is_some());
    let bytes = fs::read(&trace.0).unwrap();
    assert!([SECRET, OTHER_SECRET, KEY].iter().all(|secret| contains(&bytes, secret)));
}

#[test]
fn a_trace_without_secrets_has_none_of_any_kind() {
    let trace = Trace::new();
    record(&trace, &[]);
    let bytes = fs::read(&trace.0).unwrap();
    assert!(contains(&bytes, "credentials_accepted"));
    assert!(![SECRET, OTHER_SECRET, KEY].iter().any(|secret| contains(&bytes, secret)));
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
