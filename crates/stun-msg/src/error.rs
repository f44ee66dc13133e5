use crate::AttributeType;

/// Why a datagram is neither STUN nor ChannelData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ClassifyError {
    /// Its first byte belongs to neither protocol, or it lacks STUN's magic cookie.
    #[error("neither STUN nor ChannelData")]
    Neither,
    /// A STUN message whose length field is not a multiple of four.
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
    /// A ChannelData message whose length field exceeds the datagram. Both lengths in bytes, header included.
    #[error("the ChannelData header promises {expected} bytes, the datagram has {actual}")]
    TruncatedChannelData {
        /// According to the header.
        expected: usize,
        /// The datagram's length.
        actual: usize,
    },
}

/// Why bytes are not a valid STUN message. Do not respond to any of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseError {
    /// The header is wrong.
    #[error(transparent)]
    Header(#[from] ClassifyError),
    /// An attribute is longer than the rest of the message.
    #[error("the attribute at byte {offset} overruns the message")]
    AttributeOverrun {
        /// Where it begins, in bytes from the beginning of the message.
        offset: usize,
    },
    /// An attribute of fixed length has another length.
    #[error("{attribute} is {actual} bytes long")]
    AttributeLength {
        /// Its type.
        attribute: AttributeType,
        /// Its length in bytes.
        actual: usize,
    },
    /// Attributes follow the FINGERPRINT, which
    /// [must be the last](https://www.rfc-editor.org/rfc/rfc8489#section-14.7).
    #[error("FINGERPRINT is not the last attribute")]
    FingerprintNotLast,
    /// The FINGERPRINT is wrong.
    #[error("FINGERPRINT does not match")]
    FingerprintMismatch,
}
