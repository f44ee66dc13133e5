//! Random packets come back, and random damage never panics.

use packet_trace::{Direction, Limits, Record, Recorded, TraceHeader, TraceReader};
use proptest::prelude::*;

use super::{CLIENT, LISTENER, datagram, small_file, write};

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn any_packets_come_back(
        packets in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..64)), 0..20),
        piece in 1_usize..200,
    ) {
        let file = write(TraceHeader::example(), Limits::default(), |writer, out| {
            for (v6, inbound, nanos, payload) in &packets {
                let (source, destination) =
                    if *v6 { ("[2001:db8::1]:1", "[2001:db8::2]:2") } else { (CLIENT, LISTENER) };
                let direction = if *inbound { Direction::Inbound } else { Direction::Outbound };
                let recorded = writer.packet(0, *nanos, direction, datagram(source, destination, payload), out);
                assert_eq!(recorded, Recorded::Written);
            }
        });
        let clock = TraceHeader::example().clock;
        let mut reader = TraceReader::new();
        let mut index = 0;
        let mut pieces = file.chunks(piece);
        loop {
            while let Some(record) = reader.read().unwrap() {
                if let Record::Packet(packet) = record {
                    let (_, inbound, nanos, payload) = &packets[index];
                    prop_assert_eq!(packet.udp().unwrap().payload, &payload[..]);
                    prop_assert_eq!(packet.direction == Some(Direction::Inbound), *inbound);
                    prop_assert_eq!(packet.unix_nanos, clock.to_unix(*nanos));
                    index += 1;
                }
            }
            match pieces.next() {
                Some(piece) => reader.push(piece),
                None => break,
            }
        }
        prop_assert_eq!(index, packets.len());
    }

    #[test]
    fn damage_never_panics(
        which in 0_usize..5,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        piece in 1_usize..5000,
    ) {
        let mut file = match which {
            0 => include_bytes!("../captures/ethernet.pcap").to_vec(),
            1 => include_bytes!("../captures/linux-sll-nanosecond.pcap").to_vec(),
            2 => include_bytes!("../captures/linux-sll2.pcap").to_vec(),
            3 => include_bytes!("../captures/ethernet.pcapng").to_vec(),
            _ => small_file(),
        };
        for (at, value) in damage {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.truncate(cut.index(file.len()) + 1);
        let mut reader = TraceReader::new();
        let mut errors = 0;
        for piece in file.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.read() {
                    Ok(Some(Record::Packet(packet))) => {
                        let _ = packet.udp();
                        prop_assert!(packet.file_offset + packet.frame.len() as u64 <= file.len() as u64);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        errors += 1;
                        break;
                    }
                }
            }
        }
        prop_assert!(errors <= file.len());
    }
}
