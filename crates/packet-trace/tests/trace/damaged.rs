//! Files that are cut, contradictory, newer, or of another kind are errors, and keep their packets where they can.

use packet_trace::{Direction, Limits, ReadError, Record, TraceHeader, TraceReader};

use super::{CLIENT, LISTENER, datagram, read, small_file, write};

#[test]
fn files_of_other_kinds_are_named() {
    assert_eq!(read(b"", |_| ()), Err(ReadError::Empty));
    assert_eq!(read(b"GET", |_| ()), Err(ReadError::NotACapture { first: b"GET".to_vec() }));
    assert_eq!(read(b"\x89PNG\r\n", |_| ()), Err(ReadError::NotACapture { first: b"\x89PNG".to_vec() }));
    assert_eq!(read(b"\x1f\x8b\x08\0\0", |_| ()), Err(ReadError::Compressed("gzip")));
    let mut wifi = include_bytes!("../captures/ethernet.pcap").to_vec();
    wifi[20] = 105;
    let error = read(&wifi, |_| ()).unwrap_err();
    assert!(error.to_string().contains("IEEE 802.11 (link type 105)"), "{error}");
}

#[test]
fn a_cut_file_keeps_its_packets_and_says_where_it_ends() {
    let file = small_file();
    for len in 4..file.len() {
        let mut packets = 0;
        let result = read(&file[..len], |record| packets += usize::from(matches!(record, Record::Packet(_))));
        match result {
            Ok(()) => {}
            Err(ReadError::Truncated { at, missing }) => {
                assert!(at < len as u64 && missing > 0, "{len}: {at} {missing}");
                assert!(len as u64 + missing <= file.len() as u64, "{len}: {missing}");
            }
            Err(error) => panic!("{len}: {error}"),
        }
        assert!(packets <= 3);
    }
}

#[test]
fn errors_repeat() {
    let mut reader = TraceReader::new();
    reader.push(b"nothing of the kind");
    let first = reader.read().unwrap_err();
    reader.push(&small_file());
    assert_eq!(reader.read().unwrap_err(), first);
}

#[test]
fn a_newer_format_and_broken_replay_data_leave_the_packets_readable() {
    let newer = TraceHeader { format: 3, ..TraceHeader::example() };
    let file = write(newer, Limits::default(), |writer, out| {
        let _ = writer.packet(0, 0, Direction::Inbound, datagram(CLIENT, LISTENER, b"x"), out);
    });
    let text = b"\"realm\"";
    let mut broken = small_file();
    let at = broken.windows(text.len()).position(|window| window == text).unwrap();
    broken[at] = b'!';
    for (file, packets, is_expected) in [
        (file, 1, (|error| matches!(error, ReadError::NewerFormat { found: 3, supported: 2 })) as fn(&ReadError) -> _),
        (broken, 3, |error| matches!(error, ReadError::BadReplayData { .. })),
    ] {
        let mut reader = TraceReader::new();
        reader.push(&file);
        reader.end();
        let error = reader.read().unwrap_err();
        assert!(is_expected(&error), "{error}");
        let mut seen = 0;
        while let Some(record) = reader.read().unwrap() {
            seen += usize::from(matches!(record, Record::Packet(_)));
        }
        assert_eq!(seen, packets);
    }
}

#[test]
fn contradictions_are_corrupt_blocks() {
    let file = small_file();
    let with = |at: usize, value: u8| {
        let mut file = file.clone();
        file[at] = value;
        read(&file, |_| ()).unwrap_err().to_string()
    };
    assert!(with(8, 0).contains("no byte order"));
    assert!(with(4, 1).contains("length is impossible"));
    assert!(with(7, 1).contains("16 MiB"));
    let first_len = usize::from(file[4]) | usize::from(file[5]) << 8;
    assert!(with(first_len - 1, 9).contains("lengths differ"));
}
