//! Which clients of a capture failed, and why.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod capture;
mod files;
mod recorded;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use capture::*;
use relay_replay::{ClientReport, Problem, ProblemKind, Status};

/// The only problem of a client that failed.
#[track_caller]
fn problem(client: &ClientReport, status: Status) -> &Problem {
    assert_eq!((client.status, client.more_problems), (status, 0), "{:?}", client.problems);
    let [problem] = &client.problems[..] else { panic!("{:?}", client.problems) };
    problem
}

#[track_caller]
fn succeeds(client: &ClientReport) {
    assert_eq!((client.status, &client.problems[..]), (Status::Succeeded, &[][..]));
}

#[test]
fn a_challenge_and_a_stale_nonce_are_the_ordinary_course() {
    let mut capture = Capture::new();
    capture.allocate(600).chat(3, PEER);
    capture.up(&stun(REFRESH, 4, &[username()])).down(&error(REFRESH, 4, 438, "Stale Nonce"));
    capture.up(&stun(REFRESH, 5, &[username()])).down(&success(REFRESH, 5, &[lifetime(600)]));
    let client = capture.client();
    succeeds(&client);
    assert_eq!((client.username.as_deref(), client.packets_to_peers, client.packets_from_peers), (Some("alice"), 1, 1));
    assert!(client.relayed.contains(&RELAYED.parse().unwrap()));
    let refresh = client.requests["Refresh"];
    assert_eq!((refresh.requests, refresh.challenged, refresh.succeeded, refresh.refused), (2, 1, 1, 0));
}

#[test]
fn refusals_are_told_with_code_reason_time_and_number() {
    for (code, title) in [
        (401, "401: the credentials are wrong"),
        (437, "437: allocation mismatch"),
        (486, "486: allocation quota reached"),
        (508, "508: insufficient capacity"),
    ] {
        let mut capture = Capture::new();
        for transaction in [1, 2] {
            capture.up(&stun(ALLOCATE, transaction, &[username()])).wait(1_000);
            capture.down(&error(ALLOCATE, transaction, code, "Because\0\0"));
        }
        let client = capture.client();
        let refusal = problem(&client, Status::Failed);
        assert_eq!(
            (refusal.kind, refusal.what.as_str(), refusal.title.as_str()),
            (ProblemKind::Refused, "Allocate", title)
        );
        assert_eq!((refusal.code, refusal.reason.as_deref()), (Some(code), Some("Because")));
        assert_eq!((refusal.packet, refusal.seconds, refusal.until, refusal.count), (2, 1.01, 2.03, 2));
        assert!(refusal.advice.is_some() && refusal.link.is_some());
        // Whoever gets it in the end has not failed.
        succeeds(&{
            capture.up(&stun(ALLOCATE, 3, &[username()])).down(&success(ALLOCATE, 3, &[relayed()]));
            capture.client()
        });
    }
}

#[test]
fn a_peer_that_is_refused_is_part_of_a_success_where_another_is_reached() {
    let forbidden = "10.0.0.9:53";
    let mut capture = Capture::new();
    capture.allocate(600);
    capture.up(&stun(CREATE_PERMISSION, 9, &[username(), peer(forbidden)]));
    capture.down(&error(CREATE_PERMISSION, 9, 403, "Forbidden"));
    let client = capture.client();
    let refusal = problem(&client, Status::Failed);
    assert_eq!((refusal.title.as_str(), refusal.code), ("403: forbidden", Some(403)));
    assert_eq!(refusal.peers, [forbidden.parse().unwrap()].into());
    capture.chat(3, PEER);
    assert_eq!(problem(&capture.client(), Status::Partly).code, Some(403));
    // Of several peers, those are named that were not reached in the end.
    let mut capture = Capture::new();
    capture.allocate(600);
    capture.up(&stun(CREATE_PERMISSION, 9, &[username(), peer(forbidden), peer(PEER)]));
    capture.down(&error(CREATE_PERMISSION, 9, 403, "Forbidden")).chat(3, PEER);
    assert_eq!(problem(&capture.client(), Status::Partly).peers, [forbidden.parse().unwrap()].into());
}

#[test]
fn a_channel_that_is_refused_fails_until_the_peer_has_one() {
    let bind = |number, transaction| stun(CHANNEL_BIND, transaction, &[username(), channel(number), peer(PEER)]);
    let mut capture = Capture::new();
    capture.allocate(600).up(&bind(0x4000, 3)).down(&error(CHANNEL_BIND, 3, 400, "Bad Request"));
    let client = capture.client();
    assert_eq!(problem(&client, Status::Failed).what, "ChannelBind");
    capture.up(&stun(CREATE_PERMISSION, 4, &[username(), peer(PEER)])).down(&success(CREATE_PERMISSION, 4, &[]));
    assert_eq!(capture.client().status, Status::Failed, "a permission is no channel");
    capture.up(&bind(0x4001, 5)).down(&success(CHANNEL_BIND, 5, &[]));
    succeeds(&capture.client());
}

#[test]
fn a_request_without_an_answer_is_told_with_its_copies() {
    let request = stun(ALLOCATE, 1, &[]);
    let mut capture = Capture::new();
    capture.up(&request).wait(490).up(&request).wait(990).up(&request);
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!((failure.kind, failure.title.as_str()), (ProblemKind::Unanswered, "There is no answer"));
    assert_eq!((failure.packet, failure.seconds, failure.until, failure.count), (1, 0.0, 1.5, 3));
    let tally = client.requests["Allocate"];
    assert_eq!((tally.requests, tally.copies, tally.unanswered), (1, 2, 1));
    // Another attempt is answered: the packet was lost, and nothing else is wrong.
    capture.up(&stun(ALLOCATE, 2, &[])).down(&success(ALLOCATE, 2, &[relayed()]));
    succeeds(&capture.client());
}

#[test]
fn a_capture_that_ends_at_once_decides_nothing() {
    let mut capture = Capture::new();
    capture.up(&stun(BINDING, 1, &[]));
    assert_eq!((capture.client().status, capture.report().summary.undecided), (Status::Undecided, 1));
    capture.wait(490).packet(PEER, CLIENT, b"another packet, so the capture goes on");
    assert_eq!(problem(&capture.client(), Status::Failed).what, "Binding");
    // A client that got something already has succeeded so far.
    let mut capture = Capture::new();
    capture.allocate(600).up(&stun(REFRESH, 3, &[username()]));
    succeeds(&capture.client());
}

#[test]
fn a_packet_that_is_captured_twice_was_sent_once() {
    let request = stun(BINDING, 1, &[]);
    let mut capture = Capture::new();
    capture.up(&request);
    capture.now -= 9_999;
    capture.up(&request).down(&success(BINDING, 1, &[])).down(&success(BINDING, 1, &[]));
    let client = capture.client();
    succeeds(&client);
    let tally = client.requests["Binding"];
    assert_eq!((tally.requests, tally.copies, tally.succeeded), (1, 0, 1));
}

#[test]
fn a_client_that_leaves_need_not_be_answered() {
    for answer in [None, Some(error(REFRESH, 3, 437, "Allocation Mismatch"))] {
        let mut capture = Capture::new();
        capture.allocate(600).up(&stun(REFRESH, 3, &[username(), lifetime(0)]));
        if let Some(answer) = answer {
            capture.down(&answer);
        }
        capture.wait(5_000).packet(PEER, CLIENT, b"");
        succeeds(&capture.client());
    }
}

#[test]
fn an_answer_that_the_client_does_not_hear_is_told_from_none() {
    let request = stun(ALLOCATE, 1, &[]);
    let mut capture = Capture::new();
    capture.up(&request).down(&error(ALLOCATE, 1, 401, "Unauthorized"));
    capture.wait(500).up(&request).wait(1_000).up(&request);
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!(
        (failure.kind, failure.title.as_str()),
        (ProblemKind::AnswerLost, "The answer does not reach the client")
    );
    assert!(failure.text.contains("2 times"), "{}", failure.text);
    // Copies that cross the answer are usual where the way is long.
    let mut capture = Capture::new();
    capture.up(&request).down(&error(ALLOCATE, 1, 401, "Unauthorized")).wait(90).up(&request).wait(90).up(&request);
    capture.up(&stun(ALLOCATE, 2, &[username()])).down(&success(ALLOCATE, 2, &[relayed()]));
    succeeds(&capture.client());
}

#[test]
fn an_answer_from_another_address_is_no_answer() {
    const CHANGE_REQUEST: u16 = 0x0003;
    let answer = success(BINDING, 1, &[]);
    let mut capture = Capture::new();
    capture.up(&stun(BINDING, 1, &[])).packet("203.0.113.2:3478", CLIENT, &answer);
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!(failure.kind, ProblemKind::AnsweredElsewhere);
    assert!(failure.text.contains(SERVER) && failure.text.contains("203.0.113.2:3478"), "{}", failure.text);
    let mut capture = Capture::new();
    capture.up(&stun(BINDING, 1, &[(CHANGE_REQUEST, vec![0, 0, 0, 6])])).packet("203.0.113.2:3479", CLIENT, &answer);
    succeeds(&capture.client());
}

#[test]
fn a_challenge_that_nobody_answers_is_a_failure_after_a_second() {
    let mut capture = Capture::new();
    capture.up(&stun(ALLOCATE, 1, &[])).down(&error(ALLOCATE, 1, 401, "Unauthorized"));
    assert_eq!(capture.client().status, Status::Undecided);
    capture.wait(990).packet(PEER, CLIENT, b"");
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!(
        (failure.kind, failure.title.as_str()),
        (ProblemKind::Challenged, "The client did not answer the challenge")
    );
}

#[test]
fn nonces_that_are_always_stale_are_a_failure_at_once() {
    let mut capture = Capture::new();
    for transaction in 1..=5 {
        capture.up(&stun(ALLOCATE, transaction, &[username()])).down(&error(ALLOCATE, transaction, 438, "Stale Nonce"));
        let status = if transaction < 5 { Status::Undecided } else { Status::Failed };
        assert_eq!(capture.client().status, status, "{transaction}");
    }
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!((failure.title.as_str(), failure.code, failure.count), ("438: the nonce is stale", Some(438), 5));
}

#[test]
fn data_without_a_permission_is_dropped_by_every_server() {
    let mut capture = Capture::new();
    capture.allocate(600);
    for _ in 0..3 {
        capture.up(&stun(SEND, 9, &[peer(PEER), data()]));
    }
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!((failure.kind, failure.what.as_str(), failure.count), (ProblemKind::Dropped, "Send indication", 3));
    assert_eq!((failure.title.as_str(), client.packets_to_peers), ("Dropped: no permission for the peer", 0));
    assert_eq!(failure.peers, [PEER.parse().unwrap()].into());
    capture.chat(3, PEER);
    succeeds(&capture.client());
}

#[test]
fn data_that_comes_after_the_end_is_told_by_what_ended() {
    let mut capture = Capture::new();
    capture.allocate(60).chat(3, PEER).wait(70_000).up(&channel_data(0x4000)).up(&channel_data(0x4000));
    let client = capture.client();
    let failure = problem(&client, Status::Failed);
    assert_eq!((failure.kind, failure.title.as_str()), (ProblemKind::Expired, "Allocation A1 expired"));
    assert_eq!((failure.count, failure.what.as_str()), (2, "ChannelData"));
    // A client that goes away without a word does no harm.
    let mut capture = Capture::new();
    capture.allocate(60).chat(3, PEER).wait(70_000).packet(PEER, CLIENT, b"");
    succeeds(&capture.client());
    // A channel ends before its allocation.
    let mut capture = Capture::new();
    capture.allocate(3_600).up(&stun(CHANNEL_BIND, 3, &[username(), channel(0x4000), peer(PEER)]));
    capture.down(&success(CHANNEL_BIND, 3, &[])).up(&channel_data(0x4000)).down(&channel_data(0x4000));
    capture.wait(610_000).up(&channel_data(0x4000));
    let client = capture.client();
    assert_eq!(problem(&client, Status::Partly).title, "Channel 0x4000 of A1 expired");
    capture.up(&stun(CHANNEL_BIND, 4, &[username(), channel(0x4000), peer(PEER)])).down(&success(CHANNEL_BIND, 4, &[]));
    succeeds(&capture.client());
}

#[test]
fn an_icmp_error_says_why_there_is_no_answer() {
    for (code, words) in [(3, "nobody listens at the server's port"), (13, "a firewall"), (1, "no way to the server")] {
        let request = udp(CLIENT, SERVER, &stun(BINDING, 1, &[]));
        let message = [&[3, code, 0, 0, 0, 0, 0, 0], &request[..28]].concat();
        let mut capture = Capture::new();
        capture.frame(&request).frame(&ipv4(1, SERVER, CLIENT, &message)).wait(500).frame(&request);
        let client = capture.client();
        let failure = problem(&client, Status::Failed);
        assert_eq!((failure.kind, failure.title.as_str()), (ProblemKind::Unanswered, "The server cannot be reached"));
        assert!(failure.text.contains(words), "{}", failure.text);
        assert_eq!(capture.report().capture.skipped, [], "it was read");
    }
}

#[test]
fn an_icmp_error_about_a_peer_is_told_until_the_peer_answers() {
    let icmp = (0x8004, vec![0, 0, 3, 3, 0, 0, 0, 0]);
    let mut capture = Capture::new();
    capture.allocate(600).chat(3, "198.51.100.31:1").down(&stun(DATA, 9, &[peer(PEER), icmp]));
    let client = capture.client();
    let failure = problem(&client, Status::Partly);
    assert_eq!((failure.kind, failure.peers.len()), (ProblemKind::Icmp, 1));
    capture.chat(4, "198.51.100.30:41001");
    assert_eq!(capture.client().status, Status::Partly, "another port of the peer");
    capture.chat(5, PEER);
    succeeds(&capture.client());
}

#[test]
fn a_client_that_is_sent_elsewhere_fails_unless_it_is_served_there() {
    let mut capture = Capture::new();
    capture.up(&stun(ALLOCATE, 1, &[username()])).down(&error(ALLOCATE, 1, 300, "Try Alternate"));
    assert_eq!(problem(&capture.client(), Status::Failed).code, Some(300));
    capture.packet(CLIENT, "203.0.113.9:3478", &stun(ALLOCATE, 2, &[username()]));
    capture.packet("203.0.113.9:3478", CLIENT, &success(ALLOCATE, 2, &[relayed()]));
    let summary = capture.report().summary;
    assert_eq!((summary.clients, summary.succeeded), (2, 2));
}

#[test]
fn data_that_nobody_answers_is_remarked() {
    let mut capture = Capture::new();
    capture.allocate(600).up(&stun(CREATE_PERMISSION, 3, &[username(), peer(PEER)]));
    capture.down(&success(CREATE_PERMISSION, 3, &[])).up(&stun(SEND, 4, &[peer(PEER), data()]));
    let report = capture.report();
    succeeds(&report.clients[0]);
    assert!(report.capture.notes[0].contains("none came back"), "{:?}", report.capture.notes);
    assert_eq!(capture.down(&stun(DATA, 5, &[peer(PEER), data()])).report().capture.notes.len(), 0);
}

#[test]
fn packets_between_peers_are_nobody_s_clients() {
    const PRIORITY: u16 = 0x0024;
    let check = stun(BINDING, 1, &[username(), (PRIORITY, vec![0; 4])]);
    let mut capture = Capture::new();
    capture.packet(CLIENT, PEER, &check).packet(PEER, CLIENT, &error(BINDING, 1, 487, "Role Conflict"));
    // A packet of QUIC that could be ChannelData, and a request that no STUN or TURN server knows.
    capture.packet(CLIENT, "203.0.113.1:443", &channel_data(0x4000));
    capture.packet(CLIENT, PEER, &stun(0x0200, 2, &[])).wait(5_000).packet(CLIENT, PEER, b"");
    let report = capture.report();
    assert_eq!((report.clients.len(), report.capture.connectivity_checks), (0, 1));
}
