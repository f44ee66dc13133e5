//! Snapshots: the format is stable, a stored snapshot serves its clients, and secrets of the configuration are not in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use relay_server::{AuthSecret, PortRange, Snapshot};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use support::{Client, REALM, Relay, SECRET, allocate, bind, channel_data, permit};

/// Whether a [`support::Relay`] replaces its server with one restored from a snapshot after every input.
const RESTORES: bool = false;

/// Written by this test with `RELAY_UPDATE_SNAPSHOT=1 cargo test --package relay-server --test snapshot`.
const FIXTURE: &[u8] = include_bytes!("fixtures/snapshot.bin");

/// A relay with an allocation that has channels, permissions and a reserved port.
fn busy() -> (Relay, Client) {
    let mut relay = Relay::with(|config| {
        config.ports = PortRange::new(50_000, 50_015).unwrap();
        config.indicated_peers = 10;
    });
    let mut client = Client::new("198.51.100.7:50000");
    relay.granted(&mut client, &allocate().with_even_port(true));
    relay.granted(&mut client, &bind(0x4000, "203.0.113.1:7000".parse().unwrap()));
    relay.granted(&mut client, &permit(&["203.0.113.2:1".parse().unwrap()]));
    (relay, client)
}

/// A change of a snapshot's content needs a new version, so that an older relay refuses it with the reason.
#[test]
fn the_format_stays_while_its_version_does() {
    let (relay, _) = busy();
    let bytes = relay.server.snapshot(relay.now).to_bytes();
    if std::env::var_os("RELAY_UPDATE_SNAPSHOT").is_some() {
        std::fs::write("tests/fixtures/snapshot.bin", &*bytes).unwrap();
        return;
    }
    assert!(*bytes == *FIXTURE, "the format has changed: raise its version, then write the fixture anew");
}

#[test]
fn a_stored_snapshot_serves_its_clients() {
    let (mut relay, client) = busy();
    let config = relay.server.config().clone();
    relay.server = Snapshot::from_bytes(FIXTURE).unwrap().restore(config, AuthSecret::new(SECRET).unwrap()).unwrap();
    let forward = relay.receive(&client, &channel_data(0x4000, b"data")).expect("the channel relays");
    assert_eq!(forward.payload.len(), 4);
}

#[test]
fn secrets_of_the_configuration_are_not_in_it() {
    let (relay, client) = busy();
    let bytes = relay.server.snapshot(relay.now).to_bytes();
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(contains(&client.credentials.username) && contains(&client.credentials.key), "the test would see it");
    assert!(!contains(SECRET.as_bytes()) && !contains(REALM.as_bytes()));
}
