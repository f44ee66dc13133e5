use crate::{AttributeType, ParseError};

/// The constant that the CRC-32 is XOR-ed with: <https://www.rfc-editor.org/rfc/rfc8489#section-14.7>.
const XOR: u32 = 0x5354_554E;

/// The length of the attribute in bytes, header included.
const LEN: usize = 8;

/// Checks a FINGERPRINT at `offset` of `message`, which must be the last attribute.
///
/// As it is the last attribute, the CRC covers the length in the header as it is, so one pass over the message is enough.
///
/// # Errors
///
/// When it is wrong, or not the last.
pub(crate) fn check(message: &[u8], offset: usize, value: &[u8]) -> Result<(), ParseError> {
    let Ok(value) = <[u8; 4]>::try_from(value) else {
        return Err(ParseError::AttributeLength { attribute: AttributeType::FINGERPRINT, actual: value.len() });
    };
    if offset + LEN != message.len() {
        return Err(ParseError::FingerprintNotLast);
    }
    matches(&message[..offset], value)
}

/// Checks a FINGERPRINT in the last eight bytes of `message`.
///
/// # Errors
///
/// When it is wrong.
#[inline]
pub(crate) fn check_last(message: &[u8]) -> Result<(), ParseError> {
    match message.split_last_chunk::<LEN>() {
        Some((protected, &[.., v0, v1, v2, v3])) => matches(protected, [v0, v1, v2, v3]),
        None => Err(ParseError::FingerprintMismatch),
    }
}

#[inline]
fn matches(protected: &[u8], value: [u8; 4]) -> Result<(), ParseError> {
    if u32::from_be_bytes(value) == of(protected) { Ok(()) } else { Err(ParseError::FingerprintMismatch) }
}

/// Writes the right value into the FINGERPRINT at `offset` of `message`, its last attribute.
pub(crate) fn write(message: &mut [u8], offset: usize) {
    let Some((protected, [_, _, _, _, value @ ..])) = message.split_at_mut_checked(offset) else { return };
    if value.len() == 4 {
        value.copy_from_slice(&of(protected).to_be_bytes());
    }
}

#[inline]
fn of(protected: &[u8]) -> u32 {
    crc32fast::hash(protected) ^ XOR
}
