use crate::{Allocation, AllocationId};

/// Why an allocation was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// The 5-tuple has an allocation already: a retransmission if the transaction id is the same, else 437 (Allocation
    /// Mismatch).
    #[error("the 5-tuple is in use by allocation {0}")]
    AlreadyAllocated(AllocationId),
    /// No port of the wanted kind is free: 508 (Insufficient Capacity).
    #[error("no fitting port is free")]
    NoFreePort,
    /// The user has as many unused reservations as it may: 486 (Allocation Quota Reached).
    #[error("the user has its {limit} reservations")]
    TooManyReservations {
        /// How many a user may have, [`MAX_RESERVATIONS_PER_USER`](crate::MAX_RESERVATIONS_PER_USER).
        limit: u16,
    },
    /// The token was not issued to this user, was used already, or has expired: 508 (Insufficient Capacity).
    #[error("the reservation token is not valid")]
    UnknownReservation,
}

/// Why an allocation did not get another port.
#[derive(Debug, thiserror::Error)]
pub enum RetryPortError {
    /// There is no other suitable port, or too many were tried: 508 (Insufficient Capacity). This is the allocation, which was
    /// removed.
    #[error("no other port for allocation {}", .0.id())]
    NoFreePort(Box<Allocation>),
    /// There is no such allocation.
    #[error(transparent)]
    UnknownAllocation(#[from] UnknownAllocation),
}

/// There is no such allocation, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no allocation {0}")]
pub struct UnknownAllocation(pub AllocationId);

/// Why a channel was not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The number is bound to another peer, or still reserved for it: 400 (Bad Request).
    #[error("the channel number belongs to another peer")]
    ChannelInUse,
    /// The peer is bound to another number, or still reserved for it: 400 (Bad Request).
    #[error("the peer belongs to another channel number")]
    PeerHasAnotherChannel,
    /// The allocation has as many channels as it may: 508 (Insufficient Capacity).
    #[error("the allocation has its {limit} channels")]
    TooManyChannels {
        /// How many an allocation may have, lapsed ones included.
        limit: u16,
    },
    /// All allocations together have as many channels as they may: 508 (Insufficient Capacity).
    #[error("all allocations together have their {limit} channels")]
    NoChannelLeft {
        /// How many they may have, lapsed ones included.
        limit: u32,
    },
    /// There is no such allocation: 437 (Allocation Mismatch).
    #[error(transparent)]
    UnknownAllocation(#[from] UnknownAllocation),
}

/// Why a permission was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// The allocation would have more permissions than it may: 508 (Insufficient Capacity).
    #[error("the allocation would have more than {limit} permissions")]
    TooManyPermissions {
        /// How many an allocation may have.
        limit: u16,
    },
    /// All allocations together would have more permissions than they may: 508 (Insufficient Capacity).
    #[error("all allocations together would have more than {limit} permissions")]
    NoPermissionLeft {
        /// How many they may have.
        limit: u32,
    },
    /// There is no such allocation: 437 (Allocation Mismatch).
    #[error(transparent)]
    UnknownAllocation(#[from] UnknownAllocation),
}

/// Why a Send indication from a client is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// The 5-tuple has no allocation.
    #[error("no allocation")]
    NoAllocation,
    /// The allocation has no permission for the peer's address.
    #[error("the peer is not permitted")]
    NoPermission,
}

/// Why ChannelData from a client is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelPeerError {
    /// The 5-tuple has no allocation.
    #[error("no allocation")]
    NoAllocation,
    /// The number is not bound.
    #[error("the channel is not bound")]
    NoChannel,
}

/// Why a datagram from a peer is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerChannelError {
    /// No allocation has that port.
    #[error("no allocation has this port")]
    UnknownPort,
    /// The allocation has no channel bound to that peer.
    #[error("no channel is bound to the peer")]
    UnknownPeer,
}
