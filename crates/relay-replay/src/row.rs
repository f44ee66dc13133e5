/// One line of the packet list: a packet, or something that happened inside the relay without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// Where the frame begins in the file, in bytes.
    pub file_offset: u64,
    /// How many bytes of the frame the file holds; 0 for what is no packet.
    pub captured: u32,
    /// The frame's length on the wire, in bytes.
    pub original: u32,
    /// Who sent it: an index into [`Session::endpoints`](crate::Session::endpoints), or [`Row::NONE`].
    pub source: u32,
    /// Who received it, likewise.
    pub destination: u32,
    /// The peer that it is about by its XOR-PEER-ADDRESS, the first one if there are several: likewise.
    pub peer: u32,
    /// The row that this one answers or forwards, or that answers or forwards this one, or [`Row::NONE`].
    pub related: u32,
    /// Where the changes that this row made end in the list of all changes; they begin where the row before ends.
    pub(crate) changes_end: u32,
    /// Where the UDP payload begins in the frame, in bytes.
    pub payload_at: u16,
    /// How long the payload was on the wire, in bytes.
    pub payload_len: u16,
    /// The link type of the frame.
    pub link: u16,
    /// The error code of an error response, the channel number of ChannelData, else 0.
    pub argument: u16,
    /// The relay's shard.
    pub shard: u32,
    /// What it is.
    pub kind: Kind,
    /// The low byte of a STUN method, else 0.
    pub method: u8,
    /// What is special about it.
    pub flags: Flags,
}

impl Row {
    /// Stands for no row, or no endpoint.
    pub const NONE: u32 = u32::MAX;
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Not a UDP datagram that can be looked into.
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
    /// Looks like STUN and is malformed.
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
    /// The relay refused what it asks for, or it is the refusal; a challenge is none.
    pub const REJECTED: Self = Self(2);
    /// The replay differs from what was recorded.
    pub const DIFFERENT: Self = Self(4);
    /// The file holds less than the whole packet.
    pub const TRUNCATED: Self = Self(8);
    /// The relay sent it.
    pub const OUTBOUND: Self = Self(16);
    /// Somebody left a comment on it.
    pub const COMMENTED: Self = Self(32);
    /// It changed the relay's state.
    pub const STATE: Self = Self(64);
    /// Packets are missing from the file before it.
    pub const GAP: Self = Self(128);

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
