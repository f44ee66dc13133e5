//! Damaged captures are read as far as possible, without a panic.
#![cfg(all(not(target_arch = "wasm32"), feature = "snapshots"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use packet_trace::ReadError;
use proptest::prelude::*;
use relay_replay::{Diagnosis, EXAMPLES, Request, Session, World};

/// A recording that begins while the relay has an allocation.
fn from_the_middle() -> Vec<u8> {
    let mut world = World::new([7; 32], 1_800_000_000).unwrap();
    let client = world.add_client("192.0.2.10:50000".parse().unwrap());
    world.request(client, Request::Allocate(Default::default())).unwrap();
    world.record_anew(true);
    world.request(client, Request::Refresh { lifetime: None }).unwrap();
    world.finish()
}

proptest! {
    #[test]
    fn damage_never_panics(
        which in 0..EXAMPLES.len() + 3,
        keeps_secret in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        piece in 1_usize..4000,
    ) {
        let mut trace = match EXAMPLES.get(which) {
            Some(example) => example.record().unwrap(),
            None if which == EXAMPLES.len() => include_bytes!("../../packet-trace/tests/captures/ethernet.pcap").to_vec(),
            None if which == EXAMPLES.len() + 1 => {
                include_bytes!("../../packet-trace/tests/captures/linux-sll2.pcap").to_vec()
            }
            None => from_the_middle(),
        };
        let secret = b"\"auth_secret\"";
        if !keeps_secret && let Some(at) = trace.windows(secret.len()).position(|window| window == secret) {
            trace[at + 1] = b'x';
        }
        for (at, value) in damage {
            let at = at.index(trace.len());
            trace[at] = value;
        }
        let mut session = Session::new();
        trace.chunks(piece).for_each(|piece| session.push(piece));
        session.end();
        for index in 0..session.rows().len() {
            let row = session.rows()[index];
            let start = usize::try_from(row.file_offset).unwrap();
            let frame = &trace[start..start + usize::try_from(row.captured).unwrap()];
            let index = u32::try_from(index).unwrap();
            let fields = session.dissect(index, frame);
            prop_assert!(fields.iter().all(|field| field.range.end <= frame.len()));
            let _ = session.explain(index, frame, &[]);
            let _ = session.view_at(index);
        }
        let mut diagnosis = Diagnosis::new();
        trace.chunks(piece).for_each(|piece| diagnosis.push(piece));
        let report = diagnosis.finish();
        let summary = report.summary;
        prop_assert_eq!(summary.clients, summary.succeeded + summary.partly + summary.failed + summary.undecided);
        // A session shows frames that cannot be read, and a diagnosis of nothing else is an error.
        let is_foreign = matches!(report.error, Some(ReadError::UnsupportedLinkType(_))) && session.error().is_none();
        prop_assert!(is_foreign || report.error.as_ref() == session.error(), "{:?}", report.error);
    }
}
