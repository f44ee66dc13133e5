//! Dissects a packet into a tree of fields, each with its bytes and a link to the section that defines it.
//!
//! It is made for people: it goes on where a parser must stop, and notes problems on the field itself.

mod address;
mod attribute;
mod channel_data;
mod field;
mod find;
mod icmp;
mod stun;

use packet_trace::{Checksum, Packet, UdpPacket};

pub use field::Field;

pub(crate) use attribute::{application_data, error_code, name as attribute_name, username_expiry};
pub(crate) use find::*;
pub(crate) use icmp::Icmp;
pub(crate) use stun::class_and_method;

/// Dissects a captured packet: its headers and its payload. Ranges count from the beginning of the frame.
///
/// `is_application_data` is true for packets between the relay and a peer, whose payload is data whatever it looks like.
#[must_use]
pub fn dissect_packet(packet: &Packet<'_>, is_application_data: bool) -> Vec<Field> {
    match packet.udp() {
        Ok(udp) => {
            let mut fields = headers(packet, &udp);
            let mut payload = if is_application_data {
                application_data(udp.payload, udp.payload_len)
            } else {
                dissect_payload(udp.payload, udp.payload_len)
            };
            payload.shift(udp.payload_at);
            fields.push(payload);
            fields
        }
        Err(reason) => {
            let name = "Packet";
            let value = format!("{} bytes on the wire, {} captured", packet.original_len, packet.frame.len());
            vec![Field::new(name, value, 0..packet.frame.len()).problem(reason.to_string())]
        }
    }
}

/// Dissects a UDP payload of `payload_len` bytes, of which `payload` was captured.
#[must_use]
pub fn dissect_payload(payload: &[u8], payload_len: usize) -> Field {
    if let Some(message) = stun::dissect(payload, payload_len) {
        return message;
    }
    if let Some(channel_data) = channel_data::dissect(payload, payload_len) {
        return channel_data;
    }
    application_data(payload, payload_len)
}

fn headers(packet: &Packet<'_>, udp: &UdpPacket<'_>) -> Vec<Field> {
    let udp_at = udp.payload_at.saturating_sub(8);
    let version = if udp.source.is_ipv4() { "IPv4" } else { "IPv6" };
    let ip_len = if udp.source.is_ipv4() { 20 } else { 40 };
    let ip_at = udp_at.saturating_sub(ip_len);
    // Extension headers are part of the IP header's range; everything before it is the link header's.
    let ip_at = match packet.frame.get(ip_at).map(|byte| byte >> 4) {
        Some(4 | 6) => ip_at,
        _ => 0,
    };
    let ip = Field::new(
        version,
        format!("{} \u{2192} {}", udp.source.ip(), udp.destination.ip()),
        ip_at..udp_at.min(packet.frame.len()),
    )
    .link(if udp.source.is_ipv4() {
        "https://www.rfc-editor.org/rfc/rfc791#section-3.1"
    } else {
        "https://www.rfc-editor.org/rfc/rfc8200#section-3"
    });
    let part =
        |name: &'static str, value: String, from: usize, to: usize| Field::new(name, value, udp_at + from..udp_at + to);
    let mut checksum = part("Checksum", format!("{:?}", udp.checksum).to_ascii_lowercase(), 6, 8);
    if udp.checksum == Checksum::Wrong {
        checksum = checksum.note(
            "In a capture taken on the sending machine this is usual: the network card would have filled it in later.",
        );
    }
    let value =
        format!("port {} \u{2192} {}, {} bytes of payload", udp.source.port(), udp.destination.port(), udp.payload_len);
    let udp =
        Field::new("UDP", value, udp_at..udp.payload_at).link("https://www.rfc-editor.org/rfc/rfc768").children(vec![
            part("Source port", udp.source.port().to_string(), 0, 2),
            part("Destination port", udp.destination.port().to_string(), 2, 4),
            part("Length", (udp.payload_len + 8).to_string(), 4, 6),
            checksum,
        ]);
    vec![ip, udp]
}

#[cfg(test)]
mod tests;
