use allocation::PeerChannelError;
use stun_msg::{ClassifyError, SendError};

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// Neither STUN nor ChannelData.
    NotStunNorChannelData,
    /// A STUN message that does not parse, or whose FINGERPRINT is wrong.
    MalformedStun,
    /// A ChannelData message that is shorter than its length field says.
    TruncatedChannelData,
    /// ChannelData or a Send indication from a 5-tuple without an allocation.
    NoAllocation,
    /// ChannelData for a channel that the allocation has not bound, or whose binding expired.
    NoChannel,
    /// A peer's datagram to a port without an allocation, or an ICMP error about a datagram sent from such a port.
    UnknownPort,
    /// A peer's datagram, or an ICMP error about a datagram to that peer, where the allocation has neither a channel bound to
    /// the peer nor a permission for its address.
    UnknownPeer,
    /// A request from a source that no client can have: port 0, an address that is not unicast, or the relay's own listening port.
    ImpossibleSource,
    /// A STUN success or error response, which no client sends to a server.
    UnexpectedResponse,
    /// A request with a method that this relay does not know. RFC 8489, section 6.3, says to discard it.
    UnknownMethod,
    /// An indication whose method is neither Binding nor Send.
    UnknownIndication,
    /// A Send indication while [`Config::indications`](crate::Config::indications) is off.
    SendIndication,
    /// A Send indication without a valid XOR-PEER-ADDRESS, or without DATA.
    IncompleteSend,
    /// A Send indication with a comprehension-required attribute that this relay does not know or cannot honour.
    UnknownAttribute,
    /// A Send indication to a peer that the allocation has no permission for.
    NoPermission,
    /// A Send indication to a peer of a family that the allocation has no relayed transport address of.
    PeerFamilyMismatch,
    /// A Send indication to, or a datagram from, a port that may not be relayed to although there is a permission for the
    /// address: 0, or one that [`PeerPolicy`](crate::PeerPolicy) denies.
    PeerForbidden,
    /// An ICMP message of a type that is not sent on to clients.
    UnknownIcmp,
    /// An ICMP message beyond [`MAX_ICMP_PER_SECOND`](crate::MAX_ICMP_PER_SECOND).
    IcmpLimit,
    /// Application data, in either direction, beyond [`Bandwidth::per_allocation`](crate::Bandwidth::per_allocation).
    AllocationBandwidth,
    /// Application data, in either direction, beyond [`Bandwidth::per_user`](crate::Bandwidth::per_user).
    UserBandwidth,
    /// Application data, in either direction, beyond [`Bandwidth::total`](crate::Bandwidth::total).
    TotalBandwidth,
    /// A retransmission of an Allocate request that has no answer yet.
    RequestInProgress,
}

impl DropReason {
    pub(crate) const fn of_unclassified(error: ClassifyError) -> Self {
        match error {
            ClassifyError::TruncatedChannelData { .. } => Self::TruncatedChannelData,
            ClassifyError::UnalignedStun(_) | ClassifyError::StunLength { .. } => Self::MalformedStun,
            ClassifyError::Neither => Self::NotStunNorChannelData,
        }
    }

    pub(crate) const fn of_unbound(error: PeerChannelError) -> Self {
        match error {
            PeerChannelError::UnknownPort => Self::UnknownPort,
            PeerChannelError::UnknownPeer => Self::UnknownPeer,
        }
    }

    pub(crate) const fn of_send(error: SendError) -> Self {
        match error {
            SendError::UnknownAttribute(_) => Self::UnknownAttribute,
            SendError::NoPeer | SendError::NoData => Self::IncompleteSend,
            SendError::Malformed(_) => Self::MalformedStun,
        }
    }
}
