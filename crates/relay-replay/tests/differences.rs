//! Every change of a recording shows as a difference, at the place of the change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use packet_trace::{Record, TraceReader};
use relay_replay::{DifferenceKind, EXAMPLES, Flags, Mode, Session};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn trace() -> Vec<u8> {
    EXAMPLES[0].record().unwrap()
}

fn open(trace: &[u8]) -> Session {
    let mut session = Session::new();
    session.push(trace);
    session.end();
    session
}

/// The first row sent by the relay among those that match `filter`.
fn sent(session: &Session, filter: &str) -> (u32, usize, usize) {
    let row = session
        .filter(&filter.parse().unwrap())
        .into_iter()
        .find(|row| session.rows()[usize::try_from(*row).unwrap()].flags.contains(Flags::OUTBOUND))
        .unwrap();
    let found = session.rows()[usize::try_from(row).unwrap()];
    let payload = usize::try_from(found.file_offset).unwrap() + usize::from(found.payload_at);
    (row, payload, usize::from(found.payload_len))
}

#[test]
fn a_changed_response_names_the_attribute() {
    let mut trace = trace();
    let (row, payload, _) = sent(&open(&trace), "allocate error");
    // ERROR-CODE comes first: header, type and length, then two reserved bytes, class and number.
    trace[payload + 20 + 4 + 3] = 3;
    let session = open(&trace);
    let [difference] = session.differences() else { panic!("{:?}", session.differences()) };
    assert_eq!((difference.row, difference.kind), (row, DifferenceKind::Bytes));
    assert!(difference.text.contains("sent ERROR-CODE 403") && difference.text.contains("sends ERROR-CODE 401"));
    assert_eq!(session.filter(&"different".parse().unwrap()), [row]);
}

#[test]
fn changed_application_data_is_a_difference() {
    let mut trace = trace();
    let (row, payload, len) = sent(&open(&trace), "data");
    trace[payload + len - 1] ^= 1;
    let session = open(&trace);
    assert_eq!(session.differences().iter().map(|found| found.row).collect::<Vec<_>>(), [row]);
}

#[test]
fn a_request_that_was_changed_is_answered_otherwise() {
    let mut trace = trace();
    let session = open(&trace);
    let bind = session.filter(&"channelbind request".parse().unwrap())[0];
    let row = session.rows()[usize::try_from(bind).unwrap()];
    let payload = usize::try_from(row.file_offset).unwrap() + usize::from(row.payload_at);
    // The last byte of the transaction id: FINGERPRINT and MESSAGE-INTEGRITY are wrong then.
    trace[payload + 19] ^= 1;
    let session = open(&trace);
    let kinds: Vec<_> = session.differences().iter().map(|difference| difference.kind).collect();
    assert!(kinds.contains(&DifferenceKind::NotReplayed), "{kinds:?}");
    assert!(session.rows()[usize::try_from(bind).unwrap()].flags.contains(Flags::DROPPED));
}

/// Removes the block that contains byte `at` from the file.
fn without_block(trace: &[u8], at: usize) -> Vec<u8> {
    let mut start = 0;
    loop {
        let length = usize::try_from(u32::from_le_bytes(trace[start + 4..start + 8].try_into().unwrap())).unwrap();
        if at < start + length {
            return [&trace[..start], &trace[start + length..]].concat();
        }
        start += length;
    }
}

#[test]
fn a_packet_that_is_missing_from_the_recording_is_reported_at_its_cause() {
    let trace = trace();
    let session = open(&trace);
    let (row, payload, _) = sent(&session, "binding success");
    let cause = session.rows()[usize::try_from(row).unwrap()].related;
    let session = open(&without_block(&trace, payload));
    let [difference] = session.differences() else { panic!("{:?}", session.differences()) };
    assert_eq!((difference.row, difference.kind), (cause, DifferenceKind::NotRecorded));
}

#[test]
fn a_seed_that_is_not_the_recorded_one_shows_at_once() {
    let mut trace = trace();
    let needle = b"\"seed\":\"";
    let at = trace.windows(needle.len()).position(|window| window == needle).unwrap() + needle.len();
    trace[at] = if trace[at] == b'0' { b'1' } else { b'0' };
    assert!(!open(&trace).differences().is_empty());
}

#[test]
fn a_header_that_makes_no_relay_is_said_and_the_packets_are_shown() {
    let mut trace = trace();
    let needle = b"\"lowest_port\":49152";
    let at = trace.windows(needle.len()).position(|window| window == needle).unwrap();
    trace[at + needle.len() - 5..at + needle.len()].copy_from_slice(b"    0");
    let session = open(&trace);
    assert!(matches!(session.mode(), Mode::Inspection(_)), "{:?}", session.mode());
    assert!(session.rows().len() > 10);
}

#[test]
fn a_cut_recording_replays_as_far_as_it_goes() {
    let trace = trace();
    for len in (0..trace.len()).step_by(97) {
        let session = open(&trace[..len]);
        let mut packets = 0;
        let mut reader = TraceReader::new();
        reader.push(&trace[..len]);
        while let Ok(Some(record)) = reader.read() {
            packets += usize::from(matches!(record, Record::Packet(_)));
        }
        assert_eq!(session.rows().iter().filter(|row| row.captured > 0).count(), packets);
        // Only the response to the last packet may be missing.
        assert!(session.differences().len() <= 1, "{:?}", session.differences());
    }
}
