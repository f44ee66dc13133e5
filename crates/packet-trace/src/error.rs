use crate::LinkType;

/// Why a file cannot be read, or not any further. Records read before the error stay valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The first bytes do not belong to a supported capture format.
    #[error("this is neither a pcapng nor a pcap file: it begins with {first:02x?}")]
    NotACapture {
        /// The first four bytes, fewer if the file is shorter.
        first: Vec<u8>,
    },
    /// The file is compressed.
    #[error("the file is compressed with {0}: unpack it first")]
    Compressed(&'static str),
    /// The file ends inside a block or packet.
    #[error("the file ends in the middle of a block, {missing} bytes short at byte {at}: it was cut off")]
    Truncated {
        /// Where the incomplete block begins, in bytes from the file's start.
        at: u64,
        /// How many bytes it lacks at least.
        missing: u64,
    },
    /// A block contradicts itself.
    #[error("the block at byte {at} is corrupt: {what}")]
    Corrupt {
        /// Where the block begins, in bytes from the file's start.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// All frames of the file have a link type that is not supported.
    #[error(
        "the capture holds {0} frames; Ethernet, raw IP, Linux cooked (SLL, SLL2) and loopback (NULL, LOOP) captures can be read"
    )]
    UnsupportedLinkType(LinkType),
    /// The trace was written by a newer version.
    #[error("the trace has format {found}, and this version reads formats up to {supported}: use a newer one")]
    NewerFormat {
        /// The file's format.
        found: u32,
        /// The newest supported format.
        supported: u32,
    },
    /// A block of this crate's own does not parse.
    #[error("the replay data at byte {at} cannot be read: {what}")]
    BadReplayData {
        /// Where the block begins, in bytes from the file's start.
        at: u64,
        /// The parser's message.
        what: String,
    },
}
