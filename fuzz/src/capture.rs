use packet_trace::{ReadError, Record, TraceReader};

/// A file is read to its end or to what is wrong with it, in the same way however it arrives; what a packet says of itself is in the packet.
pub fn capture(input: &[u8]) {
    let Some((&piece, file)) = input.split_first() else { return };
    let whole = read(file, file.len().max(1));
    let in_pieces = read(file, usize::from(piece) + 1);
    assert_eq!(whole, in_pieces, "in pieces of {}", usize::from(piece) + 1);
}

/// The records and errors of a file that arrives in pieces of this size.
fn read(file: &[u8], piece: usize) -> Vec<String> {
    let mut reader = TraceReader::new();
    let mut seen = Vec::new();
    for piece in file.chunks(piece) {
        reader.push(piece);
        if !drain(&mut reader, file, &mut seen) {
            return seen;
        }
    }
    reader.end();
    drain(&mut reader, file, &mut seen);
    seen
}

/// Whether reading may go on.
fn drain(reader: &mut TraceReader, file: &[u8], seen: &mut Vec<String>) -> bool {
    loop {
        match reader.read() {
            Ok(None) => return true,
            Ok(Some(record)) => {
                check(&record, file);
                seen.push(format!("{record:?}"));
            }
            Err(error @ (ReadError::BadReplayData { .. } | ReadError::NewerFormat { .. })) => {
                seen.push(error.to_string());
            }
            Err(error) => {
                assert_eq!(reader.read(), Err(error.clone()), "a final error is repeated");
                seen.push(error.to_string());
                return false;
            }
        }
    }
}

fn check(record: &Record<'_>, file: &[u8]) {
    let Record::Packet(packet) = record else { return };
    let start = usize::try_from(packet.file_offset).expect("within the file");
    assert_eq!(&file[start..start + packet.frame.len()], packet.frame, "the offset leads to the frame");
    let Ok(udp) = packet.udp() else { return };
    let end = udp.payload_at + udp.payload.len();
    assert_eq!(&packet.frame[udp.payload_at..end], udp.payload);
    assert!(udp.payload_len >= udp.payload.len());
}
