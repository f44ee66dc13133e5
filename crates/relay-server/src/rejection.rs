use stun_msg::{AttributeType, ErrorCode};
use turn_auth::AuthError;

use crate::PeerForbidden;

/// Why a request was refused; [`Self::error_code`] says what its client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The request is not authenticated, or not by somebody who may.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthError),
    /// Comprehension-required attributes that this relay does not know or cannot honour.
    #[error("the request has attributes that are not supported, the first is {first}")]
    UnknownAttributes {
        /// The first of them.
        first: AttributeType,
    },
    /// An attribute whose value cannot be.
    #[error("{attribute} is malformed")]
    MalformedAttribute {
        /// Its type.
        attribute: AttributeType,
    },
    /// Allocate from an address that no client may have.
    #[error("the client's address is that of a Teredo or 6to4 tunnel")]
    ClientForbidden,
    /// Allocate from a relayed transport address of this relay: allocations inside of one another multiply traffic.
    #[error("the client is an allocation of this relay")]
    ClientIsRelay,
    /// Allocate on a 5-tuple that has an allocation.
    #[error("the 5-tuple has an allocation already")]
    AllocationExists,
    /// Anything else on a 5-tuple that has none.
    #[error("the 5-tuple has no allocation")]
    NoAllocation,
    /// The allocation was made with another username.
    #[error("the allocation belongs to another username")]
    WrongCredentials,
    /// Allocate without REQUESTED-TRANSPORT.
    #[error("REQUESTED-TRANSPORT is missing")]
    NoRequestedTransport,
    /// A transport other than UDP.
    #[error("transport protocol {protocol} is not supported")]
    UnsupportedTransport {
        /// The IANA protocol number asked for.
        protocol: u8,
    },
    /// RESERVATION-TOKEN together with an attribute that says where to allocate.
    #[error("RESERVATION-TOKEN excludes EVEN-PORT, REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY")]
    ReservationConflict,
    /// A RESERVATION-TOKEN that reserves nothing, or not any more.
    #[error("the reservation is not valid")]
    UnknownReservation,
    /// REQUESTED-ADDRESS-FAMILY together with ADDITIONAL-ADDRESS-FAMILY.
    #[error("REQUESTED-ADDRESS-FAMILY excludes ADDITIONAL-ADDRESS-FAMILY")]
    FamilyConflict,
    /// ADDITIONAL-ADDRESS-FAMILY asks for IPv4, which is what one gets anyway.
    #[error("ADDITIONAL-ADDRESS-FAMILY can only ask for IPv6")]
    AdditionalIpv4,
    /// An address family that this relay has no address of.
    #[error("the address family is not supported")]
    FamilyNotSupported,
    /// The relay's address of the family asked for is not on its machine now.
    #[error("the relay's address is not there now")]
    AddressMissing,
    /// EVEN-PORT that reserves the next port, together with ADDITIONAL-ADDRESS-FAMILY.
    #[error("reserving the next port excludes ADDITIONAL-ADDRESS-FAMILY")]
    EvenPortConflict,
    /// Every port of the kind asked for is taken.
    #[error("no port is free")]
    NoFreePort,
    /// The system would not open the relay's socket.
    #[error("the relay socket could not be opened")]
    RelayNotOpened,
    /// The username has as many allocations as it may.
    #[error("the username has reached its allocation quota")]
    QuotaReached,
    /// The clients of a network have as many allocations as they may.
    #[error("the clients of this network have as many allocations as they may")]
    PrefixQuotaReached,
    /// The relay is about to stop.
    #[error("the relay takes no new allocations because it is about to stop")]
    Draining,
    /// A family that the allocation has no relayed transport address of.
    #[error("the address family is not the allocation's")]
    FamilyMismatch,
    /// A peer that may not be relayed to.
    #[error("the peer is denied: {0}")]
    PeerForbidden(PeerForbidden),
    /// ChannelBind without CHANNEL-NUMBER.
    #[error("CHANNEL-NUMBER is missing")]
    NoChannelNumber,
    /// ChannelBind or CreatePermission without XOR-PEER-ADDRESS.
    #[error("XOR-PEER-ADDRESS is missing")]
    NoPeerAddress,
    /// A channel number outside `0x4000..=0x7FFF`.
    #[error("channel number {number:#06x} is out of range")]
    ChannelOutOfRange {
        /// The number.
        number: u16,
    },
    /// The channel is bound to, or reserved for, another peer.
    #[error("the channel is bound to another peer")]
    ChannelInUse,
    /// The peer is bound to, or reserved for, another channel.
    #[error("the peer is bound to another channel")]
    PeerInUse,
    /// The allocation has as many channels as it may.
    #[error("the allocation has too many channels")]
    TooManyChannels {
        /// How many that is.
        limit: u16,
    },
    /// The allocation would have more permissions than it may.
    #[error("the allocation has too many permissions")]
    TooManyPermissions {
        /// How many it may have.
        limit: u16,
    },
    /// All allocations of the relay together have as many channels as they may.
    #[error("the relay has no room for another channel")]
    NoChannelLeft,
    /// All allocations of the relay together would have more permissions than they may.
    #[error("the relay has no room for another permission")]
    NoPermissionLeft,
}

impl From<PeerForbidden> for Rejection {
    fn from(why: PeerForbidden) -> Self {
        Self::PeerForbidden(why)
    }
}

impl Rejection {
    /// The ERROR-CODE on the wire.
    #[must_use]
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::NotAuthenticated(error) => error.error_code(),
            Self::MalformedAttribute { .. }
            | Self::NoRequestedTransport
            | Self::ReservationConflict
            | Self::FamilyConflict
            | Self::AdditionalIpv4
            | Self::EvenPortConflict
            | Self::NoChannelNumber
            | Self::NoPeerAddress
            | Self::ChannelOutOfRange { .. }
            | Self::ChannelInUse
            | Self::PeerInUse => ErrorCode::BAD_REQUEST,
            Self::ClientForbidden | Self::ClientIsRelay | Self::PeerForbidden(_) => ErrorCode::FORBIDDEN,
            Self::UnknownAttributes { .. } => ErrorCode::UNKNOWN_ATTRIBUTE,
            Self::AllocationExists | Self::NoAllocation => ErrorCode::ALLOCATION_MISMATCH,
            Self::FamilyNotSupported => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
            Self::WrongCredentials => ErrorCode::WRONG_CREDENTIALS,
            Self::UnsupportedTransport { .. } => ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
            Self::FamilyMismatch => ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
            Self::QuotaReached | Self::PrefixQuotaReached => ErrorCode::ALLOCATION_QUOTA_REACHED,
            Self::UnknownReservation
            | Self::NoFreePort
            | Self::RelayNotOpened
            | Self::AddressMissing
            | Self::Draining
            | Self::TooManyChannels { .. }
            | Self::TooManyPermissions { .. }
            | Self::NoChannelLeft
            | Self::NoPermissionLeft => ErrorCode::INSUFFICIENT_CAPACITY,
        }
    }

    /// The reason phrase: the standard's name for the code, which client developers know, and what is behind it.
    #[must_use]
    pub fn reason_phrase(self) -> String {
        format!("{}: {self}", self.error_code().reason())
    }
}
