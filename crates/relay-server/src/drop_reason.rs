use allocation::PeerChannelError;
use stun_msg::{ClassifyError, SendError};

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// Neither STUN nor ChannelData.
    NotStunNorChannelData,
    /// A STUN message that does not parse, or whose FINGERPRINT is wrong.
    MalformedStun,
    /// A ChannelData message whose length field says more than arrived.
    TruncatedChannelData,
    /// ChannelData or a Send indication from a 5-tuple without an allocation.
    NoAllocation,
    /// ChannelData for a channel that the allocation has not bound, or whose binding expired.
    NoChannel,
    /// A peer's datagram, or an ICMP message about one to it, at a port that belongs to no allocation.
    UnknownPort,
    /// A peer's datagram from, or an ICMP message about one to, an address that no channel of the allocation is bound to, and that it has no permission for.
    UnknownPeer,
    /// A request from where no client can be: port 0, an address that is none of one host, or the relay's own listening port.
    ImpossibleSource,
    /// A STUN response or success, which no client sends to a server.
    UnexpectedResponse,
    /// A request with a method that this relay does not know; RFC 8489, section 6.3, has it discarded.
    UnknownMethod,
    /// An indication other than those below.
    UnknownIndication,
    /// A Send indication: this relay is configured to relay through channels only.
    SendIndication,
    /// A Send indication without a valid XOR-PEER-ADDRESS, or without DATA.
    IncompleteSend,
    /// A Send indication with a comprehension-required attribute that this relay does not know or cannot honour.
    UnknownAttribute,
    /// A Send indication to a peer that the allocation has no permission for.
    NoPermission,
    /// A Send indication to a peer of a family that the allocation has no relayed transport address of.
    PeerFamilyMismatch,
    /// A Send indication to, or a datagram from, a port that may not be relayed to: the relay's own listening port, or zero.
    PeerForbidden,
    /// An ICMP message of a type that clients are not told of.
    UnknownIcmp,
    /// An ICMP message: its client was told of [`MAX_ICMP_PER_SECOND`](crate::MAX_ICMP_PER_SECOND) in this second.
    IcmpLimit,
    /// Application data, either way: the allocation relays as much as one may ([`Bandwidth::per_allocation`](crate::Bandwidth::per_allocation)).
    AllocationBandwidth,
    /// The same for the allocations of one user together ([`Bandwidth::per_user`](crate::Bandwidth::per_user)).
    UserBandwidth,
    /// The same for all allocations together ([`Bandwidth::total`](crate::Bandwidth::total)).
    TotalBandwidth,
    /// A request of a kind that must not be answered yet: its predecessor with the same transaction is being worked on.
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
