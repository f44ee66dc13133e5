//! A recording that begins while the relay runs replays from the state that the relay had.
#![cfg(feature = "snapshots")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;

use relay_replay::{Change, ClientId, Mode, NotReplayed, Request, Session, World, WorldConfig};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PEER: &str = "198.51.100.9:6000";

fn peer() -> SocketAddr {
    PEER.parse().unwrap()
}

fn open(trace: &[u8]) -> Session {
    let mut session = Session::new();
    session.push(trace);
    session.end();
    session
}

fn last_row(session: &Session) -> u32 {
    u32::try_from(session.rows().len() - 1).unwrap()
}

/// A world with two clients that have allocations, one of them with a channel and a permission.
fn world() -> (World, ClientId, ClientId) {
    let config = WorldConfig { indications: true, ..WorldConfig::default() };
    let mut world = World::with_config([7; 32], 1_800_000_000, config).unwrap();
    let one = world.add_client("192.0.2.10:50000".parse().unwrap());
    let other = world.add_client("[2001:db8:1::7]:50000".parse().unwrap());
    for client in [one, other] {
        world.request(client, Request::Allocate(Default::default())).unwrap();
        world.advance(100);
    }
    world.request(one, Request::ChannelBind { channel: 0x4001, peer: peer() }).unwrap();
    world.request(one, Request::CreatePermission { peers: vec!["198.51.100.77:1".parse().unwrap()] }).unwrap();
    world.advance(30);
    (world, one, other)
}

/// Requests and data of the two clients that need what they have.
fn go_on(world: &mut World, one: ClientId, other: ClientId) {
    world.send(one, 0x4001, b"data").unwrap();
    world.send_from_peer(peer(), one, b"data").unwrap();
    world.send_to(one, "198.51.100.77:1".parse().unwrap(), b"data").unwrap();
    // Long enough for the permission and the channel to expire, and for nonces to become stale.
    for _ in 0..5 {
        world.advance(200);
        for client in [one, other] {
            world.request(client, Request::Refresh { lifetime: None }).unwrap();
        }
    }
    world.send(one, 0x4001, b"too late").unwrap();
    world.request(other, Request::Refresh { lifetime: Some(std::time::Duration::ZERO) }).unwrap();
}

#[test]
fn a_recording_that_begins_in_the_middle_replays_without_a_difference() {
    let (mut world, one, other) = world();
    world.record_anew(true);
    go_on(&mut world, one, other);
    let newcomer = world.add_client("192.0.2.11:50000".parse().unwrap());
    world.request(newcomer, Request::Allocate(Default::default())).unwrap();
    let session = open(&world.finish());
    assert_eq!((session.mode(), session.error(), session.warnings().len()), (Mode::Replay, None, 0));
    assert_eq!(session.differences().len(), 0, "{:?}", session.differences());
    let view = session.view_at(last_row(&session));
    assert_eq!(view.allocations.len(), 2, "that of the first client and that of the newcomer");
    assert_eq!((view.counters.packets_up, view.counters.packets_down), (2, 1));
}

#[test]
fn the_first_row_has_the_state_that_there_was() {
    let (mut world, one, other) = world();
    let before = open(&world.take_recording());
    world.record_anew(true);
    go_on(&mut world, one, other);
    let session = open(&world.finish());
    let expected = before.view_at(last_row(&before)).allocations;
    assert_eq!(session.view_at(0).allocations, expected);
    assert_eq!(expected.values().map(|allocation| allocation.channels.len()).sum::<usize>(), 1);
    let [Change::Began { shard: 0, allocations, is_draining: false }] = session.changes(0) else {
        panic!("{:?}", session.changes(0))
    };
    assert_eq!(allocations.len(), 2);
    assert!(session.explain(0, &[], &[])[0].text.contains("2 allocations"));
}

#[test]
fn a_relay_without_allocations_begins_without_a_row() {
    let mut world = World::new([7; 32], 1_800_000_000).unwrap();
    world.record_anew(true);
    let client = world.add_client("192.0.2.10:50000".parse().unwrap());
    world.request(client, Request::Allocate(Default::default())).unwrap();
    let session = open(&world.finish());
    assert_eq!((session.mode(), session.differences().len()), (Mode::Replay, 0), "{:?}", session.differences());
    assert!(session.rows()[0].captured > 0);
}

#[test]
fn without_the_secret_what_there_was_replays_and_a_newcomer_is_inspected() {
    let (mut world, one, other) = world();
    world.record_anew(false);
    go_on(&mut world, one, other);
    let replayed = world.take_recording();
    assert!(!replayed.windows(13).any(|window| window == b"\"auth_secret\""));
    let session = open(&replayed);
    assert_eq!((session.mode(), session.differences().len()), (Mode::Replay, 0), "{:?}", session.differences());
    let rows = session.rows().len();

    let newcomer = world.add_client("192.0.2.11:50000".parse().unwrap());
    world.request(newcomer, Request::Allocate(Default::default())).unwrap();
    world.request(one, Request::ChannelBind { channel: 0x4001, peer: peer() }).unwrap();
    world.send(one, 0x4001, b"data").unwrap();
    let session = open(&[replayed, world.finish()].concat());
    // A request without credentials, the challenge, and then the request that only the secret can check.
    let packet = u32::try_from(rows + 3).unwrap();
    assert_eq!(session.mode(), Mode::Inspection(NotReplayed::SecretNeeded { packet }));
    assert_eq!(session.differences().len(), 0, "{:?}", session.differences());
    let view = session.view_at(last_row(&session));
    assert_eq!(view.allocations.len(), 2);
    let first = view.allocations.values().find(|allocation| !allocation.channels.is_empty()).unwrap();
    assert_eq!(first.channels[&0x4001].packets, 1, "the inspection knows the allocations of before");
}

/// Where the state is in the file, after its description.
fn state(trace: &[u8]) -> std::ops::Range<usize> {
    let magic = b"firezone-relay-snapshot\n";
    let at = trace.windows(magic.len()).position(|window| window == magic).unwrap();
    let start = at + magic.len() + trace[at + magic.len()..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length = b"\"total\":";
    let digits = at + trace[at..].windows(length.len()).position(|window| window == length).unwrap() + length.len();
    let digits = trace[digits..].iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| usize::from(*byte - b'0'));
    start..start + digits.fold(0, |length, digit| 10 * length + digit)
}

fn recording() -> Vec<u8> {
    let (mut world, one, other) = world();
    world.record_anew(true);
    go_on(&mut world, one, other);
    world.finish()
}

#[test]
fn a_state_that_was_changed_is_an_error_and_the_packets_are_shown() {
    let trace = recording();
    let rows = open(&trace).rows().iter().filter(|row| row.captured > 0).count();
    for at in state(&trace).step_by(61).chain(state(&trace).take(20)) {
        let mut changed = trace.clone();
        changed[at] ^= 0x10;
        let session = open(&changed);
        let Mode::Inspection(NotReplayed::BadState { shard: 0, what }) = session.mode() else {
            panic!("byte {at}: {:?}", session.mode())
        };
        assert!(!what.is_empty());
        assert_eq!(session.rows().iter().filter(|row| row.captured > 0).count(), rows);
    }
}

#[test]
fn another_configuration_than_that_of_the_state_is_an_error() {
    let mut trace = recording();
    let needle = b"\"lowest_port\":49152";
    // The first is in the header.
    let at = trace.windows(needle.len()).rposition(|window| window == needle).unwrap();
    trace[at + needle.len() - 5..at + needle.len()].copy_from_slice(b"49153");
    let Mode::Inspection(reason) = open(&trace).mode() else { panic!("it was replayed") };
    assert!(reason.to_string().contains("ports"), "{reason}");
}

#[test]
fn a_state_that_is_missing_is_said_and_one_that_comes_twice_too() {
    let trace = recording();
    let magic = b"firezone-relay-snapshot\n";
    let at = trace.windows(magic.len()).position(|window| window == magic).unwrap();
    // The block's type, its length and the enterprise number come first.
    let start = at - 12;
    let length = usize::try_from(u32::from_le_bytes(trace[start + 4..start + 8].try_into().unwrap())).unwrap();
    let block = start..start + length;
    let without = [&trace[..block.start], &trace[block.end..]].concat();
    assert_eq!(open(&without).mode(), Mode::Inspection(NotReplayed::NoState(0)));
    let twice = [&trace[..block.end], &trace[block.start..]].concat();
    let Mode::Inspection(NotReplayed::BadState { what, .. }) = open(&twice).mode() else { panic!("it was replayed") };
    assert!(what.contains("a second time"), "{what}");
}

#[test]
fn a_recording_that_is_cut_off_replays_as_far_as_it_goes() {
    let trace = recording();
    for len in (0..trace.len()).step_by(61) {
        let session = open(&trace[..len]);
        assert!(matches!(session.mode(), Mode::Replay | Mode::Undecided), "{len}: {:?}", session.mode());
        // Only the response to the last packet may be missing.
        assert!(session.differences().len() <= 1, "{len}: {:?}", session.differences());
    }
}
