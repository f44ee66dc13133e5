//! Dissects ChannelData messages.

use super::{Field, attribute::application_data};

const RFC: &str = "https://www.rfc-editor.org/rfc/rfc8656#section-12.4";
const HEADER_LEN: usize = 4;

/// Dissects a ChannelData message; `None` if it does not look like one.
pub(super) fn dissect(payload: &[u8], payload_len: usize) -> Option<Field> {
    let &[n0, n1, l0, l1] = payload.first_chunk::<HEADER_LEN>()?;
    if n0 >> 6 != 0b01 {
        return None;
    }
    let number = u16::from_be_bytes([n0, n1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let available = payload_len - HEADER_LEN;
    let mut number_field = Field::new("Channel number", format!("{number:#06x}"), 0..2).link(RFC);
    if number >= 0x5000 {
        number_field =
            number_field.note("RFC 8656 ends the range at 0x4fff; RFC 5766 let clients use 0x4000 to 0x7fff");
    }
    let mut length_field = Field::new("Length", format!("{length} bytes"), 2..4).link(RFC);
    if length > available {
        length_field = length_field.problem(format!("only {available} bytes follow"));
    }
    let end = payload.len().min(HEADER_LEN + length);
    let mut data = application_data(&payload[HEADER_LEN..end], length.min(available));
    data.shift(HEADER_LEN);
    let mut children = vec![number_field, length_field, data];
    if end < payload.len() {
        let padding = payload.len() - end;
        let field = Field::new("Padding", format!("{padding} bytes"), end..payload.len()).link(RFC);
        children.push(if padding > 3 { field.problem("padding is at most 3 bytes") } else { field });
    }
    Some(
        Field::new("ChannelData", format!("channel {number:#06x}, {length} bytes"), 0..payload.len())
            .link(RFC)
            .children(children),
    )
}
