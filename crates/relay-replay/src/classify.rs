//! Classifies packets into rows of the packet list.

use packet_trace::{Direction, Packet};

use crate::{Flags, Kind, Row, dissect, endpoint::Endpoints};

/// The row of a packet.
pub(crate) fn packet(packet: &Packet<'_>, endpoints: &mut Endpoints) -> Row {
    let mut flags = Flags::default();
    if packet.direction == Some(Direction::Outbound) {
        flags.insert(Flags::OUTBOUND);
    }
    if packet.comment.is_some() {
        flags.insert(Flags::COMMENTED);
    }
    if packet.dropped > 0 {
        flags.insert(Flags::GAP);
    }
    let mut row = Row {
        unix_nanos: packet.unix_nanos,
        file_offset: packet.file_offset,
        captured: u32::try_from(packet.frame.len()).unwrap_or(u32::MAX),
        original: packet.original_len,
        source: Row::NONE,
        destination: Row::NONE,
        peer: Row::NONE,
        related: Row::NONE,
        changes_end: 0,
        payload_at: 0,
        payload_len: 0,
        link: packet.link.0,
        argument: 0,
        shard: packet.interface,
        kind: Kind::Unusable,
        method: 0,
        flags,
    };
    let Ok(udp) = packet.udp() else { return row };
    if udp.payload.len() < udp.payload_len {
        row.flags.insert(Flags::TRUNCATED);
    }
    row.source = endpoints.note(udp.source);
    row.destination = endpoints.note(udp.destination);
    row.payload_at = u16::try_from(udp.payload_at).unwrap_or(u16::MAX);
    row.payload_len = u16::try_from(udp.payload_len).unwrap_or(u16::MAX);
    let is_data = endpoints.is_relayed(udp.source) || endpoints.is_relayed(udp.destination);
    (row.kind, row.method, row.argument) =
        if is_data { (Kind::Data, 0, 0) } else { payload(udp.payload, udp.payload_len) };
    // Only requests and indications have an XOR-PEER-ADDRESS.
    if matches!(row.kind, Kind::Request | Kind::Indication)
        && let Some(peer) = dissect::peer(udp.payload)
    {
        row.peer = endpoints.mention(peer);
    }
    row
}

/// The kind of a payload, its method and its argument.
pub(crate) fn payload(payload: &[u8], payload_len: usize) -> (Kind, u8, u16) {
    let Some(&[b0, b1, b2, b3]) = payload.first_chunk() else { return (Kind::Other, 0, 0) };
    if b0 >> 6 == 0b01 {
        let length = usize::from(u16::from_be_bytes([b2, b3]));
        let fits = length + 4 <= payload_len;
        return (if fits { Kind::ChannelData } else { Kind::Malformed }, 0, u16::from_be_bytes([b0, b1]));
    }
    if b0 >> 6 != 0 || payload.get(4..8) != Some(&[0x21, 0x12, 0xa4, 0x42]) {
        return (Kind::Other, 0, 0);
    }
    let (class, method) = dissect::class_and_method(u16::from_be_bytes([b0, b1]));
    let method = method.number().to_be_bytes()[1];
    if payload.len() == payload_len && stun_msg::Message::parse(payload).is_err() {
        return (Kind::Malformed, method, 0);
    }
    match class {
        "request" => (Kind::Request, method, 0),
        "indication" => (Kind::Indication, method, 0),
        "success response" => (Kind::Success, method, 0),
        _ => (
            Kind::Error,
            method,
            dissect::find(payload, dissect::ERROR_CODE).and_then(dissect::error_code).unwrap_or(0),
        ),
    }
}
