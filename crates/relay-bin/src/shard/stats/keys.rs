//! What some counters are kept by.

use std::fmt;

use relay_server::{DropReason, Rejection};

use crate::names::names;

/// Why a datagram was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// The state machine dropped it.
    Dropped(DropReason),
    /// The send buffer was full: the network is slower than the relay.
    SendBufferFull,
    /// The kernel refused to send it, for instance because there is no route.
    SendFailed,
    /// The socket to send it by is closed.
    NoSocket,
    /// The kernel did not report its destination address.
    NoDestination,
    /// A request without valid credentials was not answered: its address or prefix has had too many replies.
    ReplyLimit,
    /// It was early data or a waiting request when its worker panicked.
    WorkerPanicked,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(reason) => write!(f, "{reason:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

names! { Loss {
    Loss::SendBufferFull => "send_buffer_full",
    Loss::SendFailed => "send_failed",
    Loss::NoSocket => "no_socket",
    Loss::NoDestination => "no_destination",
    Loss::ReplyLimit => "reply_limit",
    Loss::WorkerPanicked => "worker_panicked",
    .. Loss::Dropped,
} }

/// A limit that requests are refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    AllocationsPerPrefix,
    AllocationsPerUsername,
    ChannelsPerAllocation,
    /// Of the whole relay.
    Channels,
    /// Of the whole relay.
    Permissions,
    PermissionsPerAllocation,
    Ports,
}

names! { Limit {
    Limit::AllocationsPerPrefix => "allocations_per_prefix",
    Limit::AllocationsPerUsername => "allocations_per_username",
    Limit::ChannelsPerAllocation => "channels_per_allocation",
    Limit::Channels => "max_channels",
    Limit::Permissions => "max_permissions",
    Limit::PermissionsPerAllocation => "permissions_per_allocation",
    Limit::Ports => "ports",
} }

impl Limit {
    /// The limit behind `rejection`, if there is one.
    pub(super) const fn of(rejection: Rejection) -> Option<Self> {
        Some(match rejection {
            Rejection::QuotaReached => Self::AllocationsPerUsername,
            Rejection::PrefixQuotaReached => Self::AllocationsPerPrefix,
            Rejection::NoFreePort => Self::Ports,
            Rejection::TooManyChannels { .. } => Self::ChannelsPerAllocation,
            Rejection::TooManyPermissions { .. } => Self::PermissionsPerAllocation,
            Rejection::NoChannelLeft => Self::Channels,
            Rejection::NoPermissionLeft => Self::Permissions,
            _ => return None,
        })
    }
}
