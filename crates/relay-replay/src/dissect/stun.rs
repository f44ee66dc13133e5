//! Dissects STUN messages.

use stun_msg::{Message, Method, ParseError};

use super::{Field, attribute, find::HEADER_LEN};

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const RFC: &str = "https://www.rfc-editor.org/rfc/rfc8489#section-5";

/// Dissects a STUN message, which may be truncated; `None` if it does not look like one.
pub(super) fn dissect(payload: &[u8], payload_len: usize) -> Option<Field> {
    let header = payload.first_chunk::<HEADER_LEN>()?;
    if header[0] >> 6 != 0 || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let (class, method) = class_and_method(kind);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let transaction: String = header[8..].iter().map(|byte| format!("{byte:02x}")).collect();

    let mut length_field = Field::new("Message length", format!("{length} bytes after the header"), 2..4).link(RFC);
    if length % 4 != 0 {
        length_field = length_field.problem("it must be a multiple of 4");
    } else if length + HEADER_LEN != payload_len {
        length_field = length_field
            .problem(format!("the datagram has {} bytes after the header", payload_len.saturating_sub(HEADER_LEN)));
    }
    let mut children = vec![
        Field::new("Message type", format!("{kind:#06x}: {method} {class}"), 0..2).link(RFC),
        length_field,
        Field::new("Magic cookie", "0x2112a442", 4..8).link(RFC),
        Field::new("Transaction ID", transaction, 8..20).link(RFC),
    ];
    let mut at = HEADER_LEN;
    while at < payload.len() {
        let (field, next) = attribute::dissect(payload, at, payload_len);
        children.push(field);
        at = next;
    }
    let mut message = Field::new("STUN", format!("{method} {class}"), 0..payload.len())
        .link(method_link(method).unwrap_or(RFC))
        .children(children);
    if payload.len() < payload_len {
        message = message.note(format!("{} of {payload_len} bytes were captured", payload.len()));
    } else {
        match Message::parse(payload) {
            Ok(_) => {}
            Err(ParseError::FingerprintMismatch) => mark_fingerprint(&mut message),
            Err(error) => message = message.problem(error.to_string()),
        }
    }
    Some(message)
}

fn mark_fingerprint(message: &mut Field) {
    for child in &mut message.children {
        if child.name == "FINGERPRINT" {
            child.problem = Some("it does not match: the message was damaged or changed on its way".to_owned());
        }
    }
}

/// The class in words and the method of a message type.
pub(crate) fn class_and_method(kind: u16) -> (&'static str, Method) {
    let class = match (kind >> 7 & 0b10) | (kind >> 4 & 0b01) {
        0 => "request",
        1 => "indication",
        2 => "success response",
        _ => "error response",
    };
    let method = (kind & 0x000f) | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0f80);
    (class, Method::new(method))
}

const fn method_link(method: Method) -> Option<&'static str> {
    Some(match method {
        Method::BINDING => "https://www.rfc-editor.org/rfc/rfc8489#section-2",
        Method::ALLOCATE => "https://www.rfc-editor.org/rfc/rfc8656#section-7",
        Method::REFRESH => "https://www.rfc-editor.org/rfc/rfc8656#section-8",
        Method::CREATE_PERMISSION => "https://www.rfc-editor.org/rfc/rfc8656#section-10",
        Method::SEND | Method::DATA => "https://www.rfc-editor.org/rfc/rfc8656#section-11",
        Method::CHANNEL_BIND => "https://www.rfc-editor.org/rfc/rfc8656#section-12",
        _ => return None,
    })
}
