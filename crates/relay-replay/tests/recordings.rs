//! What the relay's release binary recorded of real clients replays without a difference, natively and under WebAssembly.
//!
//! A difference means that this version would have answered these clients otherwise. If that is meant, record them anew, as
//! `docs/traces.md` says.
#![allow(clippy::unwrap_used, reason = "tests")]

use relay_replay::{Flags, Mode, Session};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Replays `trace` and returns it, with how many packets clients sent through their channels.
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

fn count(session: &Session, filter: &str) -> usize {
    session.filter(&filter.parse().unwrap()).len()
}

#[test]
fn coturn_s_client_through_two_shards() {
    let (session, up) = replay(include_bytes!("recordings/turnutils_uclient.pcapng"));
    assert_eq!(session.header().unwrap().shards.len(), 2);
    assert!(up >= 12, "four allocations, three messages each: {up}");
    assert!(count(&session, "allocate success") >= 4);
    // Payloads were cut to keep the file small; messages of STUN are whole, or their integrity would be wrong.
    assert!(session.rows().iter().any(|row| row.flags.contains(Flags::TRUNCATED)));
}

#[test]
fn aioice() {
    let (session, up) = replay(include_bytes!("recordings/aioice.pcapng"));
    assert!(up > 0);
    assert!(count(&session, "allocate error") > 0, "the challenge");
    assert!(count(&session, "allocate success") > 0);
}
