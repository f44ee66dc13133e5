use crate::{ChannelData, message};

/// What a datagram from a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classified {
    /// A STUN message by its header: give it to [`Message::parse`](crate::Message::parse).
    Stun,
    /// Data on a channel.
    ChannelData(ChannelData),
}

/// Why a datagram is neither STUN nor ChannelData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// It starts like no protocol that is spoken here, or it lacks STUN's magic cookie.
    #[error("neither STUN nor ChannelData")]
    Neither,
    /// A STUN message whose length field is no multiple of four.
    #[error("the length {0} in the STUN header is no multiple of four")]
    UnalignedStun(u16),
    /// A STUN message whose length field does not match the datagram. Both in bytes, header included.
    #[error("the STUN header promises {expected} bytes, the datagram has {actual}")]
    StunLength {
        /// According to the header.
        expected: usize,
        /// The datagram's length.
        actual: usize,
    },
    /// A ChannelData message whose length field promises more than the datagram holds. Both in bytes, header included.
    #[error("the ChannelData header promises {expected} bytes, the datagram has {actual}")]
    TruncatedChannelData {
        /// According to the header.
        expected: usize,
        /// The datagram's length.
        actual: usize,
    },
}

/// Tells STUN from ChannelData by the first byte and checks the header's length field, without copying.
///
/// A ChannelData message may be followed by
/// [padding](https://www.rfc-editor.org/rfc/rfc8656#section-12.5); a STUN message must fill the datagram.
///
/// # Errors
///
/// When it is neither, or less of it than its header says.
#[inline]
pub fn classify(datagram: &[u8]) -> Result<Classified, ClassifyError> {
    match datagram {
        [0x40..=0x7F, rest @ ..] => channel_data(datagram[0], rest).map(Classified::ChannelData),
        [0x00..=0x3F, ..] => message::check_header(datagram).map(|()| Classified::Stun),
        _ => Err(ClassifyError::Neither),
    }
}

#[inline]
fn channel_data(first: u8, rest: &[u8]) -> Result<ChannelData, ClassifyError> {
    let actual = rest.len() + 1;
    let &[second, high, low, ref data @ ..] = rest else {
        return Err(ClassifyError::TruncatedChannelData { expected: ChannelData::HEADER_LEN, actual });
    };
    let expected = ChannelData::HEADER_LEN + usize::from(u16::from_be_bytes([high, low]));
    if data.len() + ChannelData::HEADER_LEN < expected {
        return Err(ClassifyError::TruncatedChannelData { expected, actual });
    }
    Ok(ChannelData { channel: u16::from_be_bytes([first, second]), payload: ChannelData::HEADER_LEN..expected })
}
