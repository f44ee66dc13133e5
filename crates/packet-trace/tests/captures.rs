//! Captures of a real session, taken by tcpdump with several link types, read as the same datagrams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use packet_trace::{FileKind, Record, TraceReader};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Seen = (String, String, Vec<u8>);

/// Reads `file`, pushed in pieces of `piece` bytes.
fn datagrams(file: &[u8], piece: usize) -> (Vec<Seen>, Option<FileKind>) {
    let mut reader = TraceReader::new();
    let mut seen = Vec::new();
    let drain = |reader: &mut TraceReader, seen: &mut Vec<Seen>| {
        while let Some(record) = reader.read().unwrap() {
            if let Record::Packet(packet) = record {
                let udp = packet.udp().unwrap();
                seen.push((udp.source.to_string(), udp.destination.to_string(), udp.payload.to_vec()));
                let at = usize::try_from(packet.file_offset).unwrap() + udp.payload_at;
                assert_eq!(&file[at..at + udp.payload.len()], udp.payload, "the offset leads back to the payload");
            }
        }
    };
    for piece in file.chunks(piece) {
        reader.push(piece);
        drain(&mut reader, &mut seen);
    }
    reader.end();
    drain(&mut reader, &mut seen);
    (seen, reader.kind())
}

#[test]
fn every_link_type_holds_the_same_session() {
    let ethernet = include_bytes!("captures/ethernet.pcap");
    let (expected, kind) = datagrams(ethernet, ethernet.len());
    assert_eq!((expected.len(), kind), (40, Some(FileKind::Pcap)));
    assert_eq!(expected[0].1, "127.0.0.1:34780");
    for (name, file, kind) in [
        ("sll", &include_bytes!("captures/linux-sll-nanosecond.pcap")[..], FileKind::Pcap),
        ("sll2", &include_bytes!("captures/linux-sll2.pcap")[..], FileKind::Pcap),
        ("pcapng", &include_bytes!("captures/ethernet.pcapng")[..], FileKind::PcapNg),
    ] {
        for piece in [1, 7, 4096] {
            let (seen, found) = datagrams(file, piece);
            assert_eq!((seen.len(), found), (40, Some(kind)), "{name}");
            assert!(seen == expected, "{name} in pieces of {piece}");
        }
    }
}
