//! The rows of the packet list.

/// A row of the packet list: a packet, or an event inside the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The time in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// The offset of the frame in the file, in bytes.
    pub file_offset: u64,
    /// How many bytes of the frame are in the file; 0 for an event.
    pub captured: u32,
    /// The length of the frame on the wire, in bytes.
    pub original: u32,
    /// The sender, as an index into [`Session::endpoints`](crate::Session::endpoints), or [`Row::NONE`].
    pub source: u32,
    /// The receiver, likewise.
    pub destination: u32,
    /// The peer in the first XOR-PEER-ADDRESS, likewise.
    pub peer: u32,
    /// The row that this one answers or forwards, or the other way round; or [`Row::NONE`].
    pub related: u32,
    /// The end of this row's changes in the list of all changes. They begin where those of the row before end.
    pub(crate) changes_end: u32,
    /// The offset of the UDP payload in the frame, in bytes.
    pub payload_at: u16,
    /// The length of the payload on the wire, in bytes.
    pub payload_len: u16,
    /// The link type of the frame.
    pub link: u16,
    /// The error code of an error response, the channel number of ChannelData, otherwise 0.
    pub argument: u16,
    /// The number of the relay's shard.
    pub shard: u32,
    /// The kind of row.
    pub kind: Kind,
    /// The low byte of a STUN method, otherwise 0.
    pub method: u8,
    /// The row's properties.
    pub flags: Flags,
}

impl Row {
    /// No row, or no endpoint.
    pub const NONE: u32 = u32::MAX;
}

/// The kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Not a readable UDP datagram.
    Unusable = 0,
    /// A UDP datagram of no kind below.
    Other = 1,
    /// A STUN request.
    Request = 2,
    /// A STUN indication.
    Indication = 3,
    /// A STUN success response.
    Success = 4,
    /// A STUN error response.
    Error = 5,
    /// ChannelData.
    ChannelData = 6,
    /// Application data between the relay and a peer.
    Data = 7,
    /// Looks like STUN, but is malformed.
    Malformed = 8,
    /// No packet: a time-out or another event inside the relay.
    Internal = 9,
}

/// A set of properties of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The relay dropped it.
    pub const DROPPED: Self = Self(1);
    /// A request that the relay refused, or the refusal. Challenges do not count.
    pub const REJECTED: Self = Self(2);
    /// The replay differs from the recording.
    pub const DIFFERENT: Self = Self(4);
    /// The packet is truncated in the file.
    pub const TRUNCATED: Self = Self(8);
    /// The relay sent it.
    pub const OUTBOUND: Self = Self(16);
    /// It has a comment.
    pub const COMMENTED: Self = Self(32);
    /// It changed the relay's state.
    pub const STATE: Self = Self(64);
    /// Packets before it are missing from the file.
    pub const GAP: Self = Self(128);

    /// Whether the set contains all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
