//! Snapshots of a server that nobody took.

use relay_server::{Config, RelayAddresses, Snapshot, Timestamp, UnixTime};

/// Reads `input` as what comes after the header of a snapshot, with a checksum that matches. What can be restored must work to its end.
pub fn snapshot(input: &[u8]) {
    let mut bytes = b"\x89FZRELAY".to_vec();
    bytes.extend_from_slice(&Snapshot::VERSION.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(input).to_be_bytes());
    bytes.extend_from_slice(input);
    let Ok(snapshot) = Snapshot::from_bytes(&bytes) else { return };
    let ports = snapshot.ports();
    let addresses =
        RelayAddresses { v4: Some([192, 0, 2, 1].into()), v6: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()) };
    let config = Config { ports, indicated_peers: 100, ..Config::of_relay_at(addresses) };
    let secret = relay_server::AuthSecret::from_random([1; 32]);
    let Ok(mut server) = snapshot.restore(config, secret) else { return };
    server.handle_wall_clock(Timestamp::ZERO, UnixTime(1_800_000_000));
    let mut now = Timestamp::ZERO;
    // Everything that is due, one after the other, as far as it goes.
    for _ in 0..1_000 {
        while server.poll_output().is_some() {}
        let Some(due) = server.poll_timeout() else { break };
        now = now.max(due);
        server.handle_timeout(now);
    }
    while server.poll_output().is_some() {}
    drop(server.snapshot(now).to_bytes());
}
