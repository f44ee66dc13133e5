//! Takes a packet apart into a tree of fields, each with the bytes it was read from and the section that defines it.
//!
//! This is for people: it goes on where a parser must stop, and says what is odd on the field itself.

mod address;
mod attribute;
mod channel_data;
mod icmp;
mod stun;

use std::{borrow::Cow, ops::Range};

use packet_trace::{Checksum, Packet, UdpPacket};
use serde::Serialize;

pub(crate) use address::read as read_address;
pub(crate) use attribute::{error_code, find_cut, name as attribute_name, username_expiry};
pub(crate) use icmp::Icmp;
pub(crate) use stun::class_and_method;

pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA: u16 = 0x0013;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const ICMP: u16 = 0x8004;

/// The values of the attributes of type `number` in a message that may be damaged.
pub(crate) fn find_all(message: &[u8], number: u16) -> impl Iterator<Item = &[u8]> {
    attribute::iterate(message).filter_map(move |(found, value)| (found == number).then_some(value))
}

/// The attribute types of a message that may be damaged, in order.
pub(crate) fn types(message: &[u8]) -> impl Iterator<Item = u16> {
    attribute::iterate(message).map(|(number, _)| number)
}

/// The value of the first attribute of type `number`.
pub(crate) fn find(message: &[u8], number: u16) -> Option<&[u8]> {
    find_all(message, number).next()
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What it is called in the RFCs.
    pub name: Cow<'static, str>,
    /// Its value in words.
    pub value: String,
    /// Which bytes of the frame it was read from.
    pub range: Range<usize>,
    /// Where it is defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Cow<'static, str>>,
    /// What a reader may want to know beyond the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Field>,
}

impl Field {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>, range: Range<usize>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            range,
            link: None,
            note: None,
            problem: None,
            children: Vec::new(),
        }
    }

    pub(crate) fn link(mut self, link: impl Into<Cow<'static, str>>) -> Self {
        self.link = Some(link.into());
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn problem(mut self, problem: impl Into<String>) -> Self {
        self.problem = Some(problem.into());
        self
    }

    pub(crate) fn children(mut self, children: Vec<Self>) -> Self {
        self.children = children;
        self
    }

    /// Moves the whole tree `by` bytes towards the end.
    fn shift(&mut self, by: usize) {
        self.range.start += by;
        self.range.end += by;
        self.children.iter_mut().for_each(|child| child.shift(by));
    }

    /// The innermost field that holds byte `at`.
    #[must_use]
    pub fn at(&self, at: usize) -> Option<&Self> {
        if !self.range.contains(&at) {
            return None;
        }
        self.children.iter().find_map(|child| child.at(at)).or(Some(self))
    }
}

/// Takes apart a captured packet: its headers and its payload. Ranges count from the beginning of the frame.
///
/// What goes between the relay and a peer `is_application_data`, whatever it looks like.
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

/// Takes apart a UDP payload of which `payload` was captured; it was `payload_len` bytes long.
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

/// Application data is opaque to a relay; what it probably is helps a reader all the same.
pub(crate) fn application_data(data: &[u8], len: usize) -> Field {
    let what = match data {
        [] if len == 0 => "empty",
        [1..=4, 0, 0, 0, ..] => "looks like WireGuard",
        [0x14..=0x17, 0xfe, 0xfd | 0xff, ..] => "looks like DTLS",
        [0x80..=0xbf, kind, ..] if (192..=223).contains(kind) => "looks like RTCP",
        [0x80..=0xbf, ..] if data.len() >= 12 => "looks like RTP",
        _ if !data.is_empty() && data.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => "text",
        _ => "opaque",
    };
    let mut value = format!("{len} bytes, {what}");
    if what == "text" {
        value = format!("{value}: {}", String::from_utf8_lossy(&data[..data.len().min(80)]));
    }
    // Peers check their connection with STUN too (ICE).
    let nested = stun::dissect(data, len).into_iter().collect();
    let field = Field::new("Application data", value, 0..data.len())
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-12.5")
        .children(nested);
    if data.len() < len { field.note(format!("{} of {len} bytes were captured", data.len())) } else { field }
}

fn headers(packet: &Packet<'_>, udp: &UdpPacket<'_>) -> Vec<Field> {
    let udp_at = udp.payload_at.saturating_sub(8);
    let version = if udp.source.is_ipv4() { "IPv4" } else { "IPv6" };
    let ip_len = if udp.source.is_ipv4() { 20 } else { 40 };
    let ip_at = udp_at.saturating_sub(ip_len);
    // Extension headers make the header longer; what precedes the IP header is the link's.
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
    let mut checksum = part("Checksum", format!("{:?}", udp.checksum).to_lowercase(), 6, 8);
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
