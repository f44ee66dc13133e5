//! Traces of several shards, with one interface for all and, as earlier versions wrote them, with one for each.

use packet_trace::{Direction, Limits, Record, TraceHeader, format_of};

use super::{CLIENT, LISTENER, datagram, read, write};

/// A trace of three shards, whose packets come from shards 2, 0 and 1.
fn trace(format: u32) -> Vec<u8> {
    let shard = TraceHeader::example().shards[0].clone();
    let header = TraceHeader { format, shards: vec![shard; 3], ..TraceHeader::example() };
    write(header, Limits::default(), |writer, out| {
        for shard in [2, 0, 1] {
            writer.dropped(shard, u64::from(shard));
            let _ = writer.packet(shard, 0, Direction::Inbound, datagram(CLIENT, LISTENER, b"x"), out);
        }
    })
}

/// The shards of the packets, with how many are missing before each.
type Packets = Vec<(u32, u64)>;

/// The statistics of the interfaces.
type Statistics = Vec<(u32, Option<u64>, Option<u64>)>;

fn look(file: &[u8]) -> (Packets, Statistics) {
    let (mut packets, mut statistics) = (Packets::new(), Statistics::new());
    read(file, |record| match record {
        Record::Packet(packet) => packets.push((packet.interface, packet.dropped)),
        Record::Statistics { interface, received, dropped } => statistics.push((interface, received, dropped)),
        _ => {}
    })
    .unwrap();
    (packets, statistics)
}

fn descriptions(file: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < file.len() {
        count += usize::from(file[at..at + 4] == [1, 0, 0, 0]);
        at += usize::try_from(u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap())).unwrap();
    }
    count
}

#[test]
fn packets_of_one_interface_have_their_shard() {
    let file = trace(format_of(3));
    assert_eq!(descriptions(&file), 1);
    assert_eq!(look(&file), (vec![(2, 2), (0, 0), (1, 1)], vec![(0, Some(3), Some(3))]));
}

#[test]
fn traces_with_an_interface_for_each_shard_are_read() {
    let file = trace(1);
    assert_eq!(descriptions(&file), 3);
    let statistics = vec![(0, Some(1), Some(0)), (1, Some(1), Some(1)), (2, Some(1), Some(2))];
    assert_eq!(look(&file), (vec![(2, 2), (0, 0), (1, 1)], statistics));
}

#[test]
fn one_shard_is_written_as_before() {
    assert_eq!((format_of(0), format_of(1)), (1, 1));
}

#[test]
fn options_of_others_are_no_shard() {
    let file = trace(format_of(3));
    let magic = b"shrd";
    let mut changed = file.clone();
    for at in (0..file.len() - magic.len()).filter(|at| file[*at..].starts_with(magic)) {
        changed[at] = b'x';
    }
    assert_eq!(look(&changed).0, [(0, 2), (0, 0), (0, 1)]);
}
