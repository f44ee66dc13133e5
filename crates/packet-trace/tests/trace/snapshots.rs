//! The state of a shard comes back as it was written, or is an error.

use packet_trace::{
    AcceptedCredentials, Direction, Limits, ReadError, Record, Recorded, ShardSnapshot, TraceHeader, TraceReader,
};

use super::{CLIENT, LISTENER, datagram, read, write};

/// More than two blocks of it.
const STATE_LEN: usize = (2 << 20) + 7;

fn snapshot(shard: u32, state: Vec<u8>) -> ShardSnapshot {
    ShardSnapshot {
        shard,
        unix_nanos: TraceHeader::example().clock.unix_nanos + 5,
        config: TraceHeader::example().shards[0].config.clone(),
        accepted: AcceptedCredentials {
            firezone: true,
            turn_rest: false,
            secrets: Vec::new(),
            nonce_key: None,
            users: std::collections::BTreeMap::new(),
        },
        with_secret: false,
        offers_algorithms: true,
        state,
    }
}

/// Bytes of all values, also those that end a line.
fn state() -> Vec<u8> {
    (0..=250).cycle().take(STATE_LEN).collect()
}

/// A file with these snapshots and a packet.
fn file(snapshots: &[ShardSnapshot]) -> Vec<u8> {
    let header = TraceHeader { from_start: false, snapshots: true, ..TraceHeader::example() };
    write(header, Limits::default(), |writer, out| {
        for snapshot in snapshots {
            assert_eq!(writer.snapshot(5, ShardSnapshot { unix_nanos: 0, ..snapshot.clone() }, out), Recorded::Written);
        }
        let _ = writer.packet(0, 6, Direction::Inbound, datagram(CLIENT, LISTENER, b"x"), out);
    })
}

#[test]
fn states_of_any_length_come_back_whatever_the_pieces_of_the_file() {
    let expected =
        [snapshot(0, state()), snapshot(1, Vec::new()), snapshot(2, vec![0; 1 << 20]), snapshot(3, vec![10])];
    let file = file(&expected);
    for piece in [file.len(), 65_537, 4_096] {
        let mut reader = TraceReader::new();
        let mut found = Vec::new();
        for piece in file.chunks(piece) {
            reader.push(piece);
            while let Some(record) = reader.read().unwrap() {
                if let Record::Snapshot(snapshot) = record {
                    found.push(*snapshot);
                }
            }
        }
        assert!(found == expected, "in pieces of {piece} bytes: {found:?}");
    }
}

#[test]
fn it_is_not_shown() {
    let shown = format!("{:?}", snapshot(0, vec![171; 9]));
    assert!(shown.contains("state_len: 9") && !shown.contains("171"), "{shown}");
}

/// The blocks of `file` with a part of a state.
fn parts(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let len = usize::try_from(u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap())).unwrap();
        if file[at..at + len].windows(24).any(|window| window == b"firezone-relay-snapshot\n") {
            parts.push(at..at + len);
        }
        at += len;
    }
    parts
}

/// Reads a damaged file: what is wrong with its snapshot, how many there are, and how many packets.
fn damaged(file: &[u8]) -> (Vec<ReadError>, usize, usize) {
    let mut reader = TraceReader::new();
    reader.push(file);
    reader.end();
    let (mut errors, mut snapshots, mut packets) = (Vec::new(), 0, 0);
    loop {
        match reader.read() {
            Ok(None) => return (errors, snapshots, packets),
            Ok(Some(record)) => {
                snapshots += usize::from(matches!(record, Record::Snapshot(_)));
                packets += usize::from(matches!(record, Record::Packet(_)));
            }
            Err(error @ (ReadError::BadReplayData { .. } | ReadError::NewerFormat { .. })) => errors.push(error),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_state_that_lacks_a_part_is_an_error_and_the_packets_are_read() {
    let file = file(&[snapshot(0, state())]);
    let parts = parts(&file);
    assert_eq!(parts.len(), 3);
    for part in &parts[..2] {
        let without = [&file[..part.start], &file[part.end..]].concat();
        let (errors, snapshots, packets) = damaged(&without);
        assert!(matches!(errors[0], ReadError::BadReplayData { .. }), "{errors:?}");
        assert_eq!((snapshots, packets), (0, 1));
    }
    // Without its end it is never complete.
    let without = [&file[..parts[2].start], &file[parts[2].end..]].concat();
    assert_eq!(damaged(&without), (Vec::new(), 0, 1));
    // A part that is there twice is not what comes next.
    let twice = [&file[..parts[1].end], &file[parts[1].start..]].concat();
    assert_eq!(damaged(&twice).1, 0);
}

#[test]
fn false_descriptions_are_errors() {
    let file = file(&[snapshot(0, vec![7; 100])]);
    for (text, other, said) in [
        (&b"\"length\":100"[..], &b"\"length\":999"[..], "shorter than it says"),
        (b"\"total\":100,", b"\"total\":9e9,", "invalid type"),
        (b"\"total\":100,", b"\"total\":1,  ", "do not agree"),
        (b"\"offset\":0,", b"\"offset\":7,", "a part of the relay's state is missing"),
        // The line feed distinguishes it from the header's.
        (b"\n{\"format\":1,", b"\n{\"format\":2,", "has format 2"),
        (b"\n{\"format\":1,", b"\n{\"format\":x,", "expected value"),
    ] {
        let at = file.windows(text.len()).position(|window| window == text).unwrap();
        let mut changed = file.clone();
        changed[at..at + text.len()].copy_from_slice(other);
        let (errors, snapshots, packets) = damaged(&changed);
        assert_eq!((errors.len(), snapshots, packets), (1, 0, 1), "{errors:?}");
        assert!(errors[0].to_string().contains(said), "{}", errors[0]);
    }
}

#[test]
fn a_state_that_claims_to_be_huge_is_refused() {
    let mut file = file(&[snapshot(0, vec![7; 1 << 20])]);
    let (text, other) = (b"1048576,\"total\":1048576", b"1,\"total\":9999999999999");
    let at = file.windows(text.len()).position(|window| window == text).unwrap();
    file[at..at + text.len()].copy_from_slice(other);
    let (errors, snapshots, packets) = damaged(&file);
    assert_eq!((snapshots, packets), (0, 1));
    assert!(errors[0].to_string().contains("longer than 256 MiB"), "{errors:?}");
}

#[test]
fn a_limit_that_is_reached_leaves_the_snapshot_out() {
    let header = TraceHeader { from_start: false, snapshots: true, ..TraceHeader::example() };
    let limits = Limits { bytes: Some(10), packets: None };
    let file = write(header, limits, |writer, out| {
        assert_eq!(writer.snapshot(5, snapshot(0, vec![1]), out), Recorded::LimitReached);
    });
    read(&file, |record| assert!(!matches!(record, Record::Snapshot(_)))).unwrap();
}
