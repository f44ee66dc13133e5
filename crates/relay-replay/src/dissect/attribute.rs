//! Dissects STUN and TURN attributes.

use std::{borrow::Cow, net::SocketAddr, str};

use super::{Field, Icmp, address, find, stun};
use crate::time;

/// The format of an attribute's value.
#[derive(Clone, Copy)]
enum Shape {
    Address,
    XorAddress,
    Text,
    Username,
    Hex,
    Seconds,
    ChannelNumber,
    Transport,
    Family,
    EvenPort,
    ErrorCode,
    AddressErrorCode,
    TypeList,
    Data,
    Icmp,
    Number,
    Empty,
}

struct Known {
    number: u16,
    name: &'static str,
    rfc: &'static str,
    shape: Shape,
}

const fn known(number: u16, name: &'static str, rfc: &'static str, shape: Shape) -> Known {
    Known { number, name, rfc, shape }
}

/// All attributes that clients and relays use in practice, with the section that defines each.
const KNOWN: &[Known] = &[
    known(0x0001, "MAPPED-ADDRESS", "rfc8489#section-14.1", Shape::Address),
    known(0x0003, "CHANGE-REQUEST", "rfc5780#section-7.2", Shape::Hex),
    known(0x0006, "USERNAME", "rfc8489#section-14.3", Shape::Username),
    known(0x0008, "MESSAGE-INTEGRITY", "rfc8489#section-14.5", Shape::Hex),
    known(0x0009, "ERROR-CODE", "rfc8489#section-14.8", Shape::ErrorCode),
    known(0x000a, "UNKNOWN-ATTRIBUTES", "rfc8489#section-14.13", Shape::TypeList),
    known(0x000c, "CHANNEL-NUMBER", "rfc8656#section-18.1", Shape::ChannelNumber),
    known(0x000d, "LIFETIME", "rfc8656#section-18.2", Shape::Seconds),
    known(0x0012, "XOR-PEER-ADDRESS", "rfc8656#section-18.3", Shape::XorAddress),
    known(0x0013, "DATA", "rfc8656#section-18.4", Shape::Data),
    known(0x0014, "REALM", "rfc8489#section-14.9", Shape::Text),
    known(0x0015, "NONCE", "rfc8489#section-14.10", Shape::Text),
    known(0x0016, "XOR-RELAYED-ADDRESS", "rfc8656#section-18.5", Shape::XorAddress),
    known(0x0017, "REQUESTED-ADDRESS-FAMILY", "rfc8656#section-18.6", Shape::Family),
    known(0x0018, "EVEN-PORT", "rfc8656#section-18.7", Shape::EvenPort),
    known(0x0019, "REQUESTED-TRANSPORT", "rfc8656#section-18.8", Shape::Transport),
    known(0x001a, "DONT-FRAGMENT", "rfc8656#section-18.9", Shape::Empty),
    known(0x001b, "ACCESS-TOKEN", "rfc7635#section-6.2", Shape::Hex),
    known(0x001c, "MESSAGE-INTEGRITY-SHA256", "rfc8489#section-14.6", Shape::Hex),
    known(0x001d, "PASSWORD-ALGORITHM", "rfc8489#section-14.12", Shape::Hex),
    known(0x001e, "USERHASH", "rfc8489#section-14.4", Shape::Hex),
    known(0x0020, "XOR-MAPPED-ADDRESS", "rfc8489#section-14.2", Shape::XorAddress),
    known(0x0022, "RESERVATION-TOKEN", "rfc8656#section-18.10", Shape::Hex),
    known(0x0024, "PRIORITY", "rfc8445#section-16.1", Shape::Number),
    known(0x0025, "USE-CANDIDATE", "rfc8445#section-16.1", Shape::Empty),
    known(0x0026, "PADDING", "rfc5780#section-7.6", Shape::Hex),
    known(0x0027, "RESPONSE-PORT", "rfc5780#section-7.5", Shape::Hex),
    known(0x002a, "CONNECTION-ID", "rfc6062#section-6.2.1", Shape::Hex),
    known(0x8000, "ADDITIONAL-ADDRESS-FAMILY", "rfc8656#section-18.11", Shape::Family),
    known(0x8001, "ADDRESS-ERROR-CODE", "rfc8656#section-18.12", Shape::AddressErrorCode),
    known(0x8002, "PASSWORD-ALGORITHMS", "rfc8489#section-14.11", Shape::Hex),
    known(0x8003, "ALTERNATE-DOMAIN", "rfc8489#section-14.16", Shape::Text),
    known(0x8004, "ICMP", "rfc8656#section-18.13", Shape::Icmp),
    known(0x8022, "SOFTWARE", "rfc8489#section-14.14", Shape::Text),
    known(0x8023, "ALTERNATE-SERVER", "rfc8489#section-14.15", Shape::Address),
    known(0x8028, "FINGERPRINT", "rfc8489#section-14.7", Shape::Hex),
    known(0x8029, "ICE-CONTROLLED", "rfc8445#section-16.1", Shape::Hex),
    known(0x802a, "ICE-CONTROLLING", "rfc8445#section-16.1", Shape::Hex),
    known(0x802b, "RESPONSE-ORIGIN", "rfc5780#section-7.3", Shape::Address),
    known(0x802c, "OTHER-ADDRESS", "rfc5780#section-7.4", Shape::Address),
    known(0x8030, "MOBILITY-TICKET", "rfc8016#section-3.1", Shape::Hex),
];

/// The name of the attribute type `number`.
pub(crate) fn name(number: u16) -> Cow<'static, str> {
    match KNOWN.iter().find(|known| known.number == number) {
        Some(known) => known.name.into(),
        None => format!("attribute {number:#06x}").into(),
    }
}

/// Dissects the attribute at byte `at` of `message`, which was `message_len` bytes long. Also returns where the next attribute
/// begins.
pub(super) fn dissect(message: &[u8], at: usize, message_len: usize) -> (Field, usize) {
    let rest = &message[at..];
    let Some((&[t0, t1, l0, l1], after)) = rest.split_first_chunk() else {
        let field = Field::new("Attribute", format!("{} stray bytes", rest.len()), at..message.len());
        return (field.problem("an attribute begins with 4 bytes of type and length"), message.len());
    };
    let number = u16::from_be_bytes([t0, t1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let value_at = at + 4;
    let end = value_at + after.len().min(length);
    let next = (value_at + length.next_multiple_of(4)).min(message.len());
    let value = &message[value_at..end];

    let header = vec![
        Field::new("Type", format!("{number:#06x}"), at..at + 2),
        Field::new("Length", format!("{length} bytes"), at + 2..at + 4),
    ];
    let known = KNOWN.iter().find(|known| known.number == number);
    let is_cut = message.len() < message_len && value_at + length <= message_len;
    let mut field = if after.len() < length && is_cut && number == super::DATA {
        data("DATA", value, length, value_at, at..next)
    } else if after.len() < length && is_cut {
        Field::new(name(number), hex(value), at..next).note(format!("{} of {length} bytes were captured", after.len()))
    } else if after.len() < length {
        Field::new(name(number), "", at..next).problem(format!("it claims {length} bytes, {} follow", after.len()))
    } else {
        match known {
            Some(known) => decode(known, message, value, value_at, at..next),
            None => {
                let field = Field::new(name(number), hex(value), at..next);
                if number < 0x8000 {
                    field.note("a server that does not know it must refuse the request (420)")
                } else {
                    field.note("who does not know it may ignore it")
                }
            }
        }
    };
    if let Some(known) = known {
        field.link = Some(format!("https://www.rfc-editor.org/rfc/{}", known.rfc).into());
    }
    let parts = std::mem::take(&mut field.children);
    field.children = header.into_iter().chain(parts).collect();
    if field.children.len() == 2 && !value.is_empty() {
        field.children.push(Field::new("Value", field.value.clone(), value_at..end));
    }
    if next > end {
        field.children.push(Field::new("Padding", format!("{} bytes", next - end), end..next));
    }
    (field, next)
}

fn decode(known: &Known, message: &[u8], value: &[u8], at: usize, range: std::ops::Range<usize>) -> Field {
    let text = |text: String| Field::new(known.name, text, range.clone());
    let bad =
        |expected: &str| text(hex(value)).problem(format!("its value is {} bytes long, not {expected}", value.len()));
    let byte = value.first().copied();
    match known.shape {
        Shape::Address => show_address(text, address::read(value, None), value, at, false),
        Shape::XorAddress => show_address(text, address::read(value, message.get(4..20)), value, at, true),
        Shape::Text => text(quoted(value)),
        Shape::Username => {
            let field = text(quoted(value));
            match username_expiry(value) {
                Some(expiry) => field.note(format!("credentials valid until {}", time::utc(expiry))),
                None => field,
            }
        }
        Shape::Hex => text(hex(value)),
        Shape::Seconds => match value.try_into().map(u32::from_be_bytes) {
            Ok(0) => text("0 seconds".to_owned()).note("asks for deletion, or confirms it"),
            Ok(seconds) => text(format!("{seconds} seconds ({})", time::span(u64::from(seconds)))),
            Err(_) => bad("4"),
        },
        Shape::Number => match value.try_into().map(u32::from_be_bytes) {
            Ok(number) => text(number.to_string()),
            Err(_) => bad("4"),
        },
        Shape::ChannelNumber => match value.first_chunk().copied().map(u16::from_be_bytes) {
            Some(number) if !(0x4000..=0x7fff).contains(&number) => {
                text(format!("{number:#06x}")).problem("channel numbers lie between 0x4000 and 0x4fff")
            }
            Some(number) => text(format!("{number:#06x}")),
            None => bad("4"),
        },
        Shape::Transport => match byte {
            Some(17) => text("17: UDP".to_owned()),
            Some(6) => text("6: TCP".to_owned()),
            Some(other) => text(format!("{other}: an IP protocol number")),
            None => bad("4"),
        },
        Shape::Family => match byte {
            Some(1) => text("IPv4".to_owned()),
            Some(2) => text("IPv6".to_owned()),
            Some(other) => text(format!("{other:#04x}")).problem("neither IPv4 (0x01) nor IPv6 (0x02)"),
            None => bad("4"),
        },
        Shape::EvenPort => match byte {
            Some(byte) if byte & 0x80 != 0 => text("an even port, and reserve the next".to_owned()),
            Some(_) => text("an even port".to_owned()),
            None => bad("1"),
        },
        Shape::ErrorCode => match error_code(value) {
            Some(code) => text(format!("{code} {}", quoted(value.get(4..).unwrap_or_default()))).children(vec![
                Field::new("Code", code.to_string(), at + 2..at + 4),
                Field::new("Reason phrase", quoted(&value[4..]), at + 4..at + value.len()),
            ]),
            None => bad("at least 4"),
        },
        Shape::AddressErrorCode => match (byte, error_code(value)) {
            (Some(family), Some(code)) => {
                let family = if family == 2 { "IPv6" } else { "IPv4" };
                text(format!("{family}: {code} {}", quoted(value.get(4..).unwrap_or_default())))
            }
            _ => bad("at least 4"),
        },
        Shape::TypeList => {
            let names: Vec<_> = value.chunks_exact(2).map(|two| name(u16::from_be_bytes([two[0], two[1]]))).collect();
            text(names.join(", "))
        }
        Shape::Data => data(known.name, value, value.len(), at, range),
        Shape::Icmp => match Icmp::read(value, is_about_ipv6(message)) {
            Some(icmp) => {
                let is_v6 = is_about_ipv6(message);
                text(icmp.to_string()).note(format!("what the client sent did not arrive: {}", icmp.meaning(is_v6)))
            }
            None => bad("8"),
        },
        Shape::Empty => {
            if value.is_empty() {
                text("present".to_owned())
            } else {
                bad("0")
            }
        }
    }
}

/// Whether the message's peer has an IPv6 address.
fn is_about_ipv6(message: &[u8]) -> bool {
    find::peer(message).is_some_and(|peer| peer.is_ipv6())
}

/// Application data in an attribute of `len` bytes, of which `value` was captured.
fn data(name: &'static str, value: &[u8], len: usize, at: usize, range: std::ops::Range<usize>) -> Field {
    let mut data = application_data(value, len);
    data.shift(at);
    Field::new(name, format!("{len} bytes"), range).children(vec![data])
}

fn show_address(
    text: impl Fn(String) -> Field,
    address: Result<SocketAddr, String>,
    value: &[u8],
    at: usize,
    is_xored: bool,
) -> Field {
    match address {
        Ok(address) => text(address.to_string()).children(address::parts(value, at, address, is_xored)),
        Err(problem) => text(hex(value)).problem(problem),
    }
}

/// The code in an ERROR-CODE's value.
pub(crate) fn error_code(value: &[u8]) -> Option<u16> {
    let &[_, _, class, number] = value.first_chunk()?;
    Some(u16::from(class & 0x07) * 100 + u16::from(number))
}

/// The expiry at the beginning of a time-limited username, as Unix time in seconds.
pub(crate) fn username_expiry(value: &[u8]) -> Option<u64> {
    let (expiry, _) = str::from_utf8(value).ok()?.split_once(':')?;
    expiry.parse().ok()
}

fn quoted(value: &[u8]) -> String {
    match str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => hex(value),
    }
}

fn hex(value: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut text: String = value.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if value.len() > SHOWN {
        text.push('\u{2026}');
    }
    text
}

/// Application data is opaque to a relay. A guess about its protocol still helps a reader.
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
    // Peers check their connection with STUN, too (ICE).
    let nested = stun::dissect(data, len).into_iter().collect();
    let field = Field::new("Application data", value, 0..data.len())
        .link("https://www.rfc-editor.org/rfc/rfc8656#section-12.5")
        .children(nested);
    if data.len() < len { field.note(format!("{} of {len} bytes were captured", data.len())) } else { field }
}
