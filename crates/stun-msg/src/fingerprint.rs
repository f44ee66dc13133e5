use crate::{AttributeType, ParseError};

/// What a CRC-32 is XOR-ed with: <https://www.rfc-editor.org/rfc/rfc8489#section-14.7>.
const XOR: u32 = 0x5354_554E;

/// Checks a FINGERPRINT at `offset` of `message`, which must be the last attribute.
///
/// Since it is the last, the length in the header is the one that it was made with, and the message need be gone over but once.
///
/// # Errors
///
/// When it is wrong, or not the last.
pub(crate) fn check(message: &[u8], offset: usize, value: &[u8]) -> Result<(), ParseError> {
    let Ok(value) = <[u8; 4]>::try_from(value) else {
        return Err(ParseError::AttributeLength { attribute: AttributeType::FINGERPRINT, actual: value.len() });
    };
    if offset + 8 != message.len() {
        return Err(ParseError::FingerprintNotLast);
    }
    let expected = crc32fast::hash(&message[..offset]) ^ XOR;
    if u32::from_be_bytes(value) == expected { Ok(()) } else { Err(ParseError::FingerprintMismatch) }
}
