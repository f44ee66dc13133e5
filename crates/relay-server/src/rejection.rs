use stun_msg::{AttributeType, ErrorCode};
use turn_auth::AuthError;

use crate::PeerForbidden;

/// Why a request was refused; [`Self::error_code`] is the code in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The request is not authenticated, or its credentials are not accepted.
    #[error(transparent)]
    NotAuthenticated(#[from] AuthError),
    /// Comprehension-required attributes that this relay does not know or cannot honour.
    #[error("the request has attributes that are not supported, the first is {first}")]
    UnknownAttributes {
        /// The first of them.
        first: AttributeType,
    },
    /// An attribute with an invalid value.
    #[error("{attribute} is malformed")]
    MalformedAttribute {
        /// Its type.
        attribute: AttributeType,
    },
    /// Allocate from a Teredo or 6to4 address.
    #[error("the client's address is that of a Teredo or 6to4 tunnel")]
    ClientForbidden,
    /// Allocate from a relayed transport address of this relay. Nested allocations multiply traffic.
    #[error("the client is an allocation of this relay")]
    ClientIsRelay,
    /// Allocate on a 5-tuple that has an allocation.
    #[error("the 5-tuple has an allocation already")]
    AllocationExists,
    /// Any request but Allocate on a 5-tuple without an allocation.
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
    /// RESERVATION-TOKEN together with an attribute that selects a port or a family.
    #[error("RESERVATION-TOKEN excludes EVEN-PORT, REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY")]
    ReservationConflict,
    /// A RESERVATION-TOKEN without a valid reservation.
    #[error("the reservation is not valid")]
    UnknownReservation,
    /// REQUESTED-ADDRESS-FAMILY together with ADDITIONAL-ADDRESS-FAMILY.
    #[error("REQUESTED-ADDRESS-FAMILY excludes ADDITIONAL-ADDRESS-FAMILY")]
    FamilyConflict,
    /// ADDITIONAL-ADDRESS-FAMILY asks for IPv4, which a client gets anyway.
    #[error("ADDITIONAL-ADDRESS-FAMILY can only ask for IPv6")]
    AdditionalIpv4,
    /// An address family of which this relay has no address.
    #[error("the address family is not supported")]
    FamilyNotSupported,
    /// The machine does not have the relay's address of the requested family now.
    #[error("the relay's address is not there now")]
    AddressMissing,
    /// EVEN-PORT that reserves the next port, together with ADDITIONAL-ADDRESS-FAMILY.
    #[error("reserving the next port excludes ADDITIONAL-ADDRESS-FAMILY")]
    EvenPortConflict,
    /// Every port of the kind asked for is taken.
    #[error("no port is free")]
    NoFreePort,
    /// The system did not open the relay socket.
    #[error("the relay socket could not be opened")]
    RelayNotOpened,
    /// The user has as many allocations as allowed.
    #[error("the username has reached its allocation quota")]
    QuotaReached,
    /// The clients of a network have as many allocations as allowed.
    #[error("the clients of this network have as many allocations as they may")]
    PrefixQuotaReached,
    /// The relay is draining: it will stop soon.
    #[error("the relay takes no new allocations because it is about to stop")]
    Draining,
    /// The peer, or the family in a Refresh request, is of a family without a relayed transport address in the allocation.
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
    /// The allocation has as many channels as allowed.
    #[error("the allocation has too many channels")]
    TooManyChannels {
        /// The most channels of an allocation.
        limit: u16,
    },
    /// The allocation would have more permissions than allowed.
    #[error("the allocation has too many permissions")]
    TooManyPermissions {
        /// The most permissions of an allocation.
        limit: u16,
    },
    /// All allocations of the server together have as many channels as allowed.
    #[error("the relay has no room for another channel")]
    NoChannelLeft,
    /// All allocations of the server together would have more permissions than allowed.
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

    /// The reason phrase: the RFC's name for the code, which client developers know, and the details.
    #[must_use]
    pub fn reason_phrase(self) -> String {
        format!("{}: {self}", self.error_code().reason())
    }
}
