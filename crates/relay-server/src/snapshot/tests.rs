use std::net::SocketAddr;

use turn_auth::{AuthSecret, UnixTime};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{Config, FiveTuple, RelayAddresses, Server};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn config() -> Config {
    Config::of_relay_at(RelayAddresses { v4: Some([192, 0, 2, 1].into()), v6: None })
}

fn secret() -> AuthSecret {
    AuthSecret::from_random([1; 32])
}

fn server() -> Server {
    Server::new(config(), secret(), [2; 32], NOW, UnixTime(1_800_000_000)).unwrap()
}

fn restore(bytes: &[u8]) -> Result<Server, RestoreError> {
    Snapshot::from_bytes(bytes).unwrap().restore(config(), secret())
}

#[test]
fn what_is_restored_answers_as_the_original_would() {
    let mut original = server();
    let mut restored = restore(&original.snapshot(NOW).to_bytes()).unwrap();
    let client = SocketAddr::from(([198, 51, 100, 7], 50_000)).into();
    let from = FiveTuple { client, server: [192, 0, 2, 1].into() };
    // An Allocate request without credentials, which is answered with a nonce.
    let request = [0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for server in [&mut original, &mut restored] {
        assert_eq!(server.handle_client_datagram(NOW, from, &request), None);
    }
    let outputs = |server: &mut Server| std::iter::from_fn(|| server.poll_output()).collect::<Vec<_>>();
    let expected = outputs(&mut original);
    assert_eq!(expected.len(), 2, "{expected:?}");
    assert_eq!(outputs(&mut restored), expected);
}

#[test]
fn other_bytes_are_refused_with_the_reason() {
    let bytes = server().snapshot(NOW).to_bytes();
    let error = |bytes: &[u8]| Snapshot::from_bytes(bytes).unwrap_err();
    assert_eq!(error(b""), SnapshotError::NotASnapshot);
    assert_eq!(error(&bytes[1..]), SnapshotError::NotASnapshot);
    let mut other_version = bytes.to_vec();
    other_version[9] = 77;
    assert_eq!(error(&other_version), SnapshotError::Version { actual: 77 });
    for len in 8..bytes.len() {
        assert_eq!(error(&bytes[..len]), SnapshotError::Checksum, "cut off after {len} bytes");
    }
    for at in 10..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        assert_eq!(error(&changed), SnapshotError::Checksum, "byte {at} was changed");
    }
}

#[test]
fn another_configuration_is_refused_where_it_matters() {
    let snapshot = || Snapshot::from_bytes(&server().snapshot(NOW).to_bytes()).unwrap();
    let ports = PortRange::new(50_000, 50_009).unwrap();
    let other = Config { ports, ..config() };
    let error = snapshot().restore(other, secret()).unwrap_err();
    assert_eq!(error, RestoreError::Ports { had: PortRange::DYNAMIC, configured: ports });
    assert!(matches!(
        snapshot().restore(Config { realm: String::new(), ..config() }, secret()),
        Err(RestoreError::Realm(_))
    ));
    assert!(snapshot().restore(Config { reply_limit: None, indications: false, ..config() }, secret()).is_ok());
}

#[test]
fn it_is_not_shown() {
    let shown = format!("{:?}", server().snapshot(NOW));
    assert_eq!(shown, "Snapshot { shard: ShardId(0), allocations: AllocationsSnapshot { allocations: 0, .. }, .. }");
}
