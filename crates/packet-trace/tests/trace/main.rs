//! What the writer writes, the reader reads; and damaged files are errors, never panics.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod damaged;
mod random;
mod shards;
mod snapshots;

use packet_trace::{
    AddressStatus, Checksum, Crossing, Datagram, Direction, Input, IpFamily, Limits, Packet, PortNeed, ReadError,
    Record, Recorded, RelayOpened, TraceHeader, TraceReader, TraceWriter, Unusable,
};

const CLIENT: &str = "192.0.2.7:5000";
const LISTENER: &str = "203.0.113.1:3478";
const RELAYED: &str = "203.0.113.1:50000";
const PEER: &str = "198.51.100.9:6000";

fn datagram<'a>(source: &str, destination: &str, payload: &'a [u8]) -> Datagram<'a> {
    Datagram { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload }
}

fn write(header: TraceHeader, limits: Limits, script: impl FnOnce(&mut TraceWriter, &mut Vec<u8>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = TraceWriter::new(header, limits, &mut file);
    script(&mut writer, &mut file);
    assert_eq!(writer.bytes(), file.len() as u64);
    writer.finish(&mut file);
    file
}

/// Reads `file` to its end or first final error; `look` sees every record.
fn read(file: &[u8], mut look: impl FnMut(Record<'_>)) -> Result<(), ReadError> {
    let mut reader = TraceReader::new();
    reader.push(file);
    reader.end();
    while let Some(record) = reader.read()? {
        look(record);
    }
    Ok(())
}

fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    read(file, |record| {
        if let Record::Packet(packet) = record {
            payloads.push(packet.udp().unwrap().payload.to_vec());
        }
    })
    .unwrap();
    payloads
}

fn small_file() -> Vec<u8> {
    write(TraceHeader::example(), Limits::default(), |writer, out| {
        for byte in 0..3 {
            let payload = [byte; 5];
            let datagram = datagram(CLIENT, LISTENER, &payload);
            assert_eq!(writer.packet(0, 0, Direction::Inbound, datagram, out), Recorded::Written);
        }
    })
}

#[test]
fn header_inputs_packets_and_statistics_come_back_in_order() {
    let mut header = TraceHeader::example();
    header.auth_secret = Some("secret".to_owned());
    header.clock.monotonic_nanos = 1_000;
    let base = header.clock.unix_nanos;
    let crossing = Crossing {
        family: IpFamily::V4,
        from: 50_001,
        to: 50_002,
        client: CLIENT.parse().unwrap(),
        server: "2001:db8::1".parse().unwrap(),
        channel: 0x4FFF,
    };
    let inputs = [
        Input::RelayOpened { id: 1 << 40, family: IpFamily::V6, result: RelayOpened::PortInUse },
        Input::RelayFailed { id: 7 },
        Input::UsernameMoved { username: "1892160000:\"salt\"\n".to_owned(), created_at: 7 },
        Input::AllocatedElsewhere { username: "user".to_owned() },
        Input::EndedElsewhere { username: "user".to_owned() },
        Input::ResponseWithheld { to: CLIENT.parse().unwrap() },
        Input::PortReserved {
            token: "0123456789abcdef".to_owned(),
            port: 50_001,
            v4: true,
            v6: false,
            username: "user".to_owned(),
            expires_nanos: u64::MAX,
        },
        Input::ReservationTaken { token: "0123456789abcdef".to_owned() },
        Input::PortReturned { port: 50_001 },
        Input::PortHeld { port: 50_001 },
        Input::PortWanted { by: 3, number: u64::MAX, need: PortNeed::Any },
        Input::PortLent { from: 2, number: 7, port: 50_002, need: PortNeed::Pair },
        Input::NoPort { from: 1, number: 8 },
        Input::CrossingOpened(crossing),
        Input::CrossingClosed(crossing),
        Input::OwnAddresses {
            own: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            v4: AddressStatus::Missing,
            v6: AddressStatus::NoFamily,
        },
        Input::Drain,
        Input::WallClock { unix_seconds: 12 },
        Input::Timeout,
    ];
    let file = write(header.clone(), Limits::default(), |writer, out| {
        writer.comment("first");
        let _ = writer.packet(0, 1_005, Direction::Inbound, datagram(CLIENT, LISTENER, b"in"), out);
        for input in &inputs {
            assert_eq!(writer.input(0, 1_006, input.clone(), out), Recorded::Written);
        }
        writer.dropped(0, 4);
        let _ = writer.packet(0, 1_007, Direction::Outbound, datagram(RELAYED, PEER, b"out"), out);
    });

    let mut records = Vec::new();
    read(&file, |record| {
        records.push(match record {
            Record::Header(found) => {
                assert_eq!(*found, header);
                "header".to_owned()
            }
            Record::Input(found) => {
                assert_eq!((found.shard, found.unix_nanos), (0, base + 6));
                format!("{:?}", found.input)
            }
            Record::Packet(Packet { unix_nanos, interface, direction, dropped, comment, .. }) => {
                format!("{} {interface} {direction:?} {dropped} {comment:?}", unix_nanos - base)
            }
            Record::Statistics { interface, received, dropped } => {
                format!("{interface} {received:?} {dropped:?}")
            }
            _ => panic!("an unknown record"),
        });
    })
    .unwrap();
    let mut expected = vec!["header".to_owned(), "5 0 Some(Inbound) 0 Some(\"first\")".to_owned()];
    expected.extend(inputs.iter().map(|input| format!("{input:?}")));
    expected.extend(["7 0 Some(Outbound) 4 None".to_owned(), "0 Some(2) Some(4)".to_owned()]);
    assert_eq!(records, expected);
}

#[test]
fn application_data_is_cut_and_stun_is_not() {
    let header = TraceHeader { payload_limit: Some(8), ..TraceHeader::example() };
    let mut stun = [0x20_u8; 40];
    stun[..8].copy_from_slice(b"\0\x01\0\x14\x21\x12\xa4\x42");
    let (channel_data, alike) = ([0x40_u8; 40], [0x16_u8; 40]);
    let file = write(header, Limits::default(), |writer, out| {
        for (source, destination, payload, direction) in [
            (CLIENT, LISTENER, stun, Direction::Inbound),
            (LISTENER, CLIENT, stun, Direction::Outbound),
            (CLIENT, LISTENER, channel_data, Direction::Inbound),
            // DTLS that went astray, say.
            (CLIENT, LISTENER, alike, Direction::Inbound),
            (RELAYED, PEER, stun, Direction::Outbound),
            (PEER, RELAYED, channel_data, Direction::Inbound),
            (LISTENER, CLIENT, channel_data, Direction::Outbound),
        ] {
            let _ = writer.packet(0, 0, direction, datagram(source, destination, &payload), out);
        }
    });
    let mut lengths = Vec::new();
    read(&file, |record| {
        if let Record::Packet(packet) = record {
            let udp = packet.udp().unwrap();
            assert_eq!((udp.payload_len, packet.original_len), (40, 68));
            lengths.push(udp.payload.len());
        }
    })
    .unwrap();
    assert_eq!(lengths, [40, 40, 12, 20, 8, 8, 12]);
}

/// A Send indication or, with another type, a Data indication for a peer.
fn indication(kind: u8, data: &[u8], behind: &[u8]) -> Vec<u8> {
    let padding = data.len().next_multiple_of(4) - data.len();
    let length = 12 + 4 + data.len() + padding + behind.len();
    let mut message = [&[0, kind, 0, u8::try_from(length).unwrap()], &b"\x21\x12\xa4\x42transaction!"[..]].concat();
    message.extend(b"\0\x12\0\x08\0\x01\x36\x62\xe7\x21\xc0\x4b\0\x13\0");
    message.push(u8::try_from(data.len()).unwrap());
    message.extend(data);
    message.extend(&b"\0\0\0"[..padding]);
    message.extend(behind);
    message
}

#[test]
fn the_data_of_indications_is_not_in_the_file_and_everything_around_it_is() {
    let header = TraceHeader { payload_limit: Some(4), ..TraceHeader::example() };
    let software = b"\x80\x22\0\x04test";
    let send = indication(0x16, b"hush!", &[]);
    let with_software = indication(0x16, b"hush!", software);
    let data = indication(0x17, b"hush!", &[]);
    let file = write(header, Limits::default(), |writer, out| {
        let _ = writer.packet(0, 0, Direction::Inbound, datagram(CLIENT, LISTENER, &send), out);
        let _ = writer.packet(0, 0, Direction::Inbound, datagram(CLIENT, LISTENER, &with_software), out);
        let _ = writer.packet(0, 0, Direction::Outbound, datagram(LISTENER, CLIENT, &data), out);
    });
    assert!(!file.windows(5).any(|bytes| bytes == b"hush!"));
    assert_eq!(
        payloads(&file),
        [send[..40].to_vec(), [&with_software[..40], &[0; 4], software].concat(), data[..40].to_vec(),]
    );
    // The checksum is that of what is in the file.
    read(&file, |record| {
        if let Record::Packet(packet) = record {
            let udp = packet.udp().unwrap();
            let expected = if udp.payload.len() < udp.payload_len { Checksum::Unknown } else { Checksum::Right };
            assert_eq!(udp.checksum, expected);
        }
    })
    .unwrap();
}

#[test]
fn a_limit_stops_the_trace_and_counts_what_is_missing() {
    for (limits, expected) in [
        (Limits { packets: Some(2), bytes: None }, 2),
        (Limits { packets: None, bytes: Some(1) }, 0),
        (Limits { packets: Some(9), bytes: Some(u64::MAX) }, 5),
    ] {
        let file = write(TraceHeader::example(), limits, |writer, out| {
            for sent in 0..5 {
                let recorded = writer.packet(0, 0, Direction::Inbound, datagram(CLIENT, LISTENER, b"x"), out);
                let full = sent >= expected;
                assert_eq!(recorded, if full { Recorded::LimitReached } else { Recorded::Written });
            }
            assert_eq!(writer.is_full(), expected < 5);
        });
        assert_eq!(payloads(&file).len(), expected);
        let mut last = None;
        read(&file, |record| {
            if let Record::Statistics { received, dropped, .. } = record {
                last = Some((received, dropped));
            }
        })
        .unwrap();
        assert_eq!(last, Some((Some(5), Some(5 - expected as u64))));
    }
}

#[test]
fn packets_that_cannot_exist_are_counted_not_written() {
    let file = write(TraceHeader::example(), Limits::default(), |writer, out| {
        let mixed = datagram(CLIENT, "[2001:db8::1]:1", b"");
        assert_eq!(writer.packet(0, 0, Direction::Inbound, mixed, out), Recorded::Impossible);
        let fine = datagram(CLIENT, LISTENER, b"");
        assert_eq!(writer.packet(9, 0, Direction::Inbound, fine, out), Recorded::Impossible);
    });
    assert!(payloads(&file).is_empty());
}

/// A big-endian file of two sections, with units that are powers of two, an offset, a simple packet, an obsolete packet, a
/// packet of an unsupported interface and a block of an unknown kind.
#[test]
fn other_writers_choices_are_understood() {
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(12 + body.len()).unwrap().to_be_bytes();
        [&kind.to_be_bytes()[..], &length, body, &length].concat()
    }
    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
    let section = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]));
    // 2^-10 s, from 100 s on.
    let resolution = [&words(&[0x0009_0001])[..], &[0x8a, 0, 0, 0], &words(&[0x000e_0008, 0, 100, 0])].concat();
    let interface = block(1, &[words(&[0x0065_0000, 0]), resolution].concat());
    let usb = block(1, &words(&[0x00bd_0000, 0]));
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
    packet.extend_from_slice(&[0, 5, 0, 6, 0, 8, 0, 0]);
    let of = |interface: u32| [words(&[interface, 0, 1536, 28, 28]), packet.clone()].concat();
    let mut other_section = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]));
    other_section.extend(block(1, &words(&[0x0065_0000, 0])));
    let file = [
        section,
        interface,
        usb,
        block(0x0000_0bad, &words(&[1, 2])),
        block(0x7777, b"????"),
        block(6, &of(0)),
        block(2, &of(0x0000_0003)),
        block(3, &[words(&[28]), packet.clone()].concat()),
        block(6, &of(1)),
        other_section,
        block(6, &of(0)),
    ]
    .concat();

    let mut seen = Vec::new();
    read(&file, |record| {
        let Record::Packet(packet) = record else { panic!("{record:?}") };
        seen.push((packet.interface, packet.unix_nanos, packet.dropped, packet.udp().map(|udp| udp.source.port())));
    })
    .unwrap();
    let usb = packet_trace::LinkType(189);
    assert_eq!(
        seen,
        [
            (0, 101_500_000_000, 0, Ok(5)),
            (0, 101_500_000_000, 3, Ok(5)),
            (0, 101_500_000_000, 0, Ok(5)),
            (1, 1_536_000, 0, Err(Unusable::LinkType(usb))),
            (2, 1_536_000, 0, Ok(5)),
        ]
    );
}
