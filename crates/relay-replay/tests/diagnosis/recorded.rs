//! Recordings of the relay itself: its own reasons are told.

use relay_replay::{
    Allocate, ClientId, Diagnosis, EXAMPLES, Family, Problem, ProblemKind, Report, Request, Status, World, WorldConfig,
    WorldError,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::capture::{CLIENT, PEER};

fn report(trace: &[u8], piece: usize) -> Report {
    let mut diagnosis = Diagnosis::new();
    trace.chunks(piece).for_each(|piece| diagnosis.push(piece));
    diagnosis.finish()
}

/// What failed of what a client does that has an allocation.
fn of(indications: bool, play: impl FnOnce(&mut World, ClientId) -> Result<(), WorldError>) -> (Status, Vec<Problem>) {
    let config = WorldConfig { indications, has_ipv4: true };
    let mut world = World::with_config([7; 32], 1_800_000_000, config).unwrap();
    let client = world.add_client(CLIENT.parse().unwrap());
    world.request(client, Request::Allocate(Allocate::default())).unwrap();
    play(&mut world, client).unwrap();
    let mut report = report(&world.finish(), usize::MAX);
    assert_eq!((report.capture.mode, report.error, &report.capture.notes[..]), ("replay", None, &[][..]));
    let client = report.clients.swap_remove(0);
    (client.status, client.problems)
}

fn permit(peer: &str) -> Request {
    Request::CreatePermission { peers: vec![peer.parse().unwrap()] }
}

#[track_caller]
fn one((status, problems): (Status, Vec<Problem>)) -> (Status, ProblemKind, String) {
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    (status, problem.kind, problem.title.clone())
}

#[test]
fn the_relay_s_own_reasons_are_told() {
    let peer = PEER.parse().unwrap();
    let refused = |title: &str| (Status::Failed, ProblemKind::Refused, title.to_owned());
    let dropped = |title: &str| (Status::Failed, ProblemKind::Dropped, title.to_owned());
    assert_eq!(
        one(of(true, |world, client| world.request(client, permit("224.0.0.1:1")))),
        refused("403: the peer may not be relayed to")
    );
    let other_family = Allocate { family: Some(Family::V6), ..Allocate::default() };
    assert_eq!(
        one(of(true, |world, client| world.request(client, Request::Allocate(other_family)))),
        refused("437: allocation mismatch")
    );
    let bind = |peer: &str| Request::ChannelBind { channel: 0x4000, peer: peer.parse().unwrap() };
    assert_eq!(
        one(of(true, |world, client| {
            world.request(client, bind(PEER))?;
            world.request(client, bind("198.51.100.31:1"))
        })),
        refused("400: the channel number is taken")
    );
    assert_eq!(
        one(of(false, |world, client| world.send_to(client, peer, b"check"))),
        dropped("Dropped: indications are switched off")
    );
    assert_eq!(
        one(of(true, |world, client| world.send(client, 0x4000, b"data"))),
        dropped("Dropped: there is no such channel")
    );
    assert_eq!(
        one(of(true, |world, client| world.send_from_peer(peer, client, b"let me in"))),
        dropped("Dropped: the peer was not invited")
    );
}

#[test]
fn a_stranger_at_a_relayed_address_fails_nobody_whom_peers_reach() {
    let peer = PEER.parse().unwrap();
    let (status, problems) = of(true, |world, client| {
        world.request(client, permit(PEER))?;
        world.send_from_peer(peer, client, b"hello")?;
        world.send_from_peer("198.51.100.99:1".parse().unwrap(), client, b"scan")
    });
    assert_eq!((status, problems), (Status::Succeeded, vec![]));
}

#[test]
fn data_through_an_allocation_that_expired_is_told_so_once() {
    let play = |world: &mut World, client| {
        world.advance(700);
        world.send(client, 0x4000, b"late")?;
        world.send(client, 0x4000, b"later")
    };
    let (status, problems) = of(true, play);
    assert_eq!((status, problems.len(), problems[0].count), (Status::Failed, 1, 2));
    assert_eq!(problems[0].title, "Allocation A1 expired");
}

/// How the clients of each example fare, in order.
#[test]
fn every_example_is_understood() {
    use Status::{Failed, Partly, Succeeded};
    for example in EXAMPLES {
        let expected = match example.name {
            "wrong-password" => &[Failed, Succeeded][..],
            "expired-channel" | "unreachable-peer" => &[Partly],
            "two-clients" | "port-hopping-nat" => &[Succeeded, Succeeded],
            _ => &[Succeeded],
        };
        let statuses: Vec<_> =
            report(&example.record().unwrap(), 4096).clients.iter().map(|client| client.status).collect();
        assert_eq!(statuses, expected, "{}", example.name);
    }
}

/// A recording that begins while a client has an allocation.
#[test]
fn an_allocation_that_is_older_than_the_recording_is_known() {
    let mut world = World::new([7; 32], 1_800_000_000).unwrap();
    let client = world.add_client(CLIENT.parse().unwrap());
    let silent = world.add_client("192.0.2.20:50000".parse().unwrap());
    for client in [client, silent] {
        world.request(client, Request::Allocate(Allocate::default())).unwrap();
    }
    let relayed = world.relayed(client).unwrap()[0];
    for (seconds, status) in [(0, Status::Succeeded), (700, Status::Failed)] {
        world.record_anew(true);
        world.advance(seconds);
        world.request(client, Request::Refresh { lifetime: None }).unwrap();
        let mut report = report(&world.take_recording(), 4096);
        // The other client sends nothing any more.
        assert_eq!((report.capture.mode, report.summary.clients), ("replay", 1));
        let client = report.clients.swap_remove(0);
        assert_eq!(client.status, status, "{:?}", client.problems);
        assert_eq!(client.relayed.contains(&relayed), status == Status::Succeeded);
        assert!(client.problems.iter().all(|problem| problem.title == "437: allocation mismatch"));
    }
}

/// tshark calls the first refusal frame 5: before it come the recording's header, a challenge and two requests.
#[test]
fn packets_are_numbered_as_in_wireshark() {
    let example = EXAMPLES.iter().find(|example| example.name == "wrong-password").unwrap();
    let report = report(&example.record().unwrap(), 4096);
    assert_eq!((report.clients[0].problems[0].packet, report.capture.packets), (5, 12));
}

/// A recording that cannot be replayed, and captures of other servers' traffic, in pieces of all sizes.
#[test]
fn pieces_make_no_difference() {
    let example = EXAMPLES.iter().find(|example| example.name == "wrong-password").unwrap().record().unwrap();
    let mut without_secret = example.clone();
    let needle = b"\"auth_secret\"";
    let at = without_secret.windows(needle.len()).position(|window| window == needle).unwrap();
    without_secret[at + 1] = b'x';
    for trace in [
        &example[..],
        &without_secret,
        include_bytes!("../../../packet-trace/tests/captures/linux-sll2.pcap"),
        include_bytes!("../captures/coturn-send-indications.pcap"),
        include_bytes!("../recordings/turnutils_uclient.pcapng"),
    ] {
        let whole = report(trace, trace.len());
        assert!(whole.summary.clients > 0 && whole.error.is_none());
        for piece in [1, 7, 4096] {
            assert!(report(trace, piece) == whole, "pieces of {piece}");
        }
    }
    let said = report(&without_secret, usize::MAX);
    assert!(said.capture.notes[0].contains("without the auth secret"), "{:?}", said.capture.notes);
    assert_eq!(said.clients[0].problems[0].title, "401: the credentials are wrong");
}
