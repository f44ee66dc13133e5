//! Recordings of the relay's release binary with real clients replay without a difference, natively and under WebAssembly.
//!
//! A difference means that this version would answer these clients differently. If that is intended, record them again
//! (`docs/traces.md`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use relay_replay::{Flags, Mode, Session, View};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Replays `trace`. Returns the session, and how many packets clients sent.
fn replay(trace: &[u8]) -> (Session, u64) {
    let mut session = Session::new();
    trace.chunks(1_000).for_each(|piece| session.push(piece));
    session.end();
    assert_eq!((session.error(), session.warnings().len(), session.dropped()), (None, 0, 0));
    assert_eq!(session.mode(), Mode::Replay);
    assert_eq!(session.differences(), []);
    let last = u32::try_from(session.rows().len() - 1).unwrap();
    let up = session.view_at(last).counters.packets_up;
    (session, up)
}

/// The relay's state after the last packet.
fn end(session: &Session) -> View {
    session.view_at(u32::try_from(session.rows().len() - 1).unwrap())
}

fn count(session: &Session, filter: &str) -> usize {
    session.filter(&filter.parse().unwrap()).len()
}

#[test]
fn coturn_s_client_through_two_shards() {
    let (session, up) = replay(include_bytes!("recordings/turnutils_uclient.pcapng"));
    assert_eq!(session.header().unwrap().shards.len(), 2);
    assert!(up >= 12, "four allocations, three messages each: {up}");
    assert!(count(&session, "allocate success") >= 4);
    // Payloads were truncated to keep the file small. STUN messages are whole, since their integrity would be wrong otherwise.
    assert!(session.rows().iter().any(|row| row.flags.contains(Flags::TRUNCATED)));
}

#[test]
fn aioice() {
    let (session, up) = replay(include_bytes!("recordings/aioice.pcapng"));
    assert!(up > 0);
    assert!(count(&session, "allocate error") > 0, "the challenge");
    assert!(count(&session, "allocate success") > 0);
}

/// Firefox sends all data in Send indications, the first ones right behind CreatePermission.
#[test]
fn firefox() {
    let (session, up) = replay(include_bytes!("recordings/firefox.pcapng"));
    assert_eq!(count(&session, "channelbind|channeldata"), 0);
    // The first check of one side comes before the other has its permission. It is repeated.
    let dropped = count(&session, "send dropped");
    assert_eq!((count(&session, "send") - dropped) as u64, up);
    assert!(dropped <= 2, "{dropped} Send indications were dropped");
    assert!(count(&session, "dataindication") >= 8, "four messages each way");
    assert_eq!(count(&session, "createpermission request rejected"), 0);
    assert_eq!(count(&session, "dataindication truncated"), count(&session, "dataindication"), "cut");
    // Data of one client goes straight to the other, whose permission counts it, too.
    let last = *session.filter(&"send".parse().unwrap()).first().unwrap() + 20;
    let [(up_a, down_a, packets_a), (up_b, down_b, packets_b)] = session
        .view_at(last)
        .allocations
        .values()
        .map(|found| {
            (found.bytes_up, found.bytes_down, found.permissions.values().map(|found| found.packets).sum::<u64>())
        })
        .collect::<Vec<_>>()[..]
    else {
        panic!("there are not two allocations")
    };
    assert_eq!((up_a, up_b, packets_a), (down_b, down_a, packets_b));
    // Both peers have deleted their allocations.
    assert!(end(&session).allocations.is_empty());
}

/// Chromium sends its connectivity checks in Send indications, and binds a channel for the rest.
#[test]
fn chromium() {
    let (session, _) = replay(include_bytes!("recordings/chromium.pcapng"));
    assert!(count(&session, "send") > 0 && count(&session, "dataindication") > 0);
    assert_eq!(count(&session, "channelbind success"), 2);
    assert!(count(&session, "channeldata") > 8, "four messages each way");
    assert!(end(&session).allocations.is_empty());
}

#[test]
fn firefox_fails_without_indications() {
    let (session, up) = replay(include_bytes!("recordings/firefox-without-indications.pcapng"));
    assert_eq!((up, count(&session, "createpermission success")), (0, 2));
    assert!(count(&session, "send dropped") > 2);
    assert_eq!(end(&session).counters.drops["send indication"], count(&session, "send") as u64);
    let [trouble] = &session.troubles()[..] else { panic!("{:?}", session.troubles()) };
    assert_eq!((trouble.text.as_str(), trouble.count), ("dropped: send indication", count(&session, "send") as u64));
    assert_eq!(trouble.row, session.filter(&"send".parse().unwrap())[0]);
}

#[test]
fn chromium_fails_at_an_ipv6_relay_that_gives_ipv4() {
    let (session, up) = replay(include_bytes!("recordings/chromium-wrong-family.pcapng"));
    assert_eq!((up, count(&session, "allocate success")), (0, 0));
    // Each socket asks twice, without credentials and with them, and not again.
    let refused = count(&session, "440 request");
    assert!(refused >= 2, "both peers are refused");
    assert_eq!(count(&session, "allocate request"), 2 * refused);
    assert_eq!(session.troubles()[0].text, "Allocate refused: 440");
}

/// Browsers exchange data over DTLS, whose records begin like this.
#[test]
fn recordings_of_browsers_hold_no_data_of_theirs() {
    for trace in [&include_bytes!("recordings/firefox.pcapng")[..], include_bytes!("recordings/chromium.pcapng")] {
        let (session, _) = replay(trace);
        assert_eq!(session.header().unwrap().payload_limit, Some(20));
        // The subject of every WebRTC certificate, which is part of the handshake.
        assert!(!trace.windows(6).any(|bytes| bytes == b"WebRTC"));
    }
}
