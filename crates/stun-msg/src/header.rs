use crate::ClassifyError;

/// The length of the STUN header in bytes.
pub(crate) const HEADER_LEN: usize = 20;
/// The [magic cookie](https://www.rfc-editor.org/rfc/rfc8489#section-5).
pub(crate) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// The [class](https://www.rfc-editor.org/rfc/rfc8489#section-5) of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A request, which gets a response.
    Request,
    /// An indication, which gets none.
    Indication,
    /// A success response.
    Success,
    /// An error response.
    Error,
}

/// Checks the header: the magic cookie, and a length that is exactly that of the message.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<(), ClassifyError> {
    let Some((&[first, _, l0, l1, c0, c1, c2, c3], _)) = bytes.split_first_chunk() else {
        return Err(ClassifyError::Neither);
    };
    if first >= 0x40 || [c0, c1, c2, c3] != MAGIC_COOKIE {
        return Err(ClassifyError::Neither);
    }
    let length = u16::from_be_bytes([l0, l1]);
    if !length.is_multiple_of(4) {
        return Err(ClassifyError::UnalignedStun(length));
    }
    let expected = HEADER_LEN + usize::from(length);
    if bytes.len() != expected {
        return Err(ClassifyError::StunLength { expected, actual: bytes.len() });
    }
    Ok(())
}
