//! What the shards of one relay tell each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AllocationPort, Crossing, PortNeed, ReservationToken, ReservedPort, Timestamp};

/// A shard of a relay, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A message from one shard of a relay to all others, or to one of them: what must hold for the whole relay though each shard has
/// allocations of its own.
///
/// A shard says so with [`Output::TellShards`](crate::Output::TellShards) or [`Output::TellShard`](crate::Output::TellShard), before its client can know; the others hear of it by
/// [`Server::handle_shard_message`](crate::Server::handle_shard_message). Every message must arrive, once. Those of one shard arrive in order; those of several may come
/// in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// A user who may have one allocation ([`Config::quota_by`](crate::Config::quota_by)) has made a new one, which takes the place of
    /// those that are older.
    UsernameMoved {
        /// Who.
        user_id: Arc<str>,
        /// When that was, by the clock that all shards share.
        created_at: Timestamp,
    },
    /// A user has made an allocation, which counts against the limit on all shards.
    Allocated {
        /// Who.
        user_id: Arc<str>,
    },
    /// An allocation of a user has ended.
    Ended {
        /// Who.
        user_id: Arc<str>,
    },
    /// A port was reserved: the client may come to any shard for it
    /// ([RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2): a reservation is server-wide).
    PortReserved(ReservedPort),
    /// The reserved port has its allocation now.
    ReservationTaken {
        /// The reservation's token.
        token: ReservationToken,
    },
    /// A port that belongs to another shard is of no use here any more: its allocation has ended, for one.
    PortReturned {
        /// The port.
        port: AllocationPort,
    },
    /// The same of a port that another program turned out to hold.
    PortHeld {
        /// The port.
        port: AllocationPort,
    },
    /// A request for an allocation waits for a port, since its shard has none left. To one shard, which answers with
    /// [`Self::PortLent`] or [`Self::NoPort`].
    PortWanted {
        /// Who asks.
        by: ShardId,
        /// What it calls the request.
        number: u64,
        /// What it needs.
        need: PortNeed,
    },
    /// Here is one, until [`Self::PortReturned`] or [`Self::PortHeld`].
    PortLent {
        /// Who answers.
        from: ShardId,
        /// The request.
        number: u64,
        /// The port; for [`PortNeed::Pair`] the next one is lent, too.
        port: AllocationPort,
        /// What was needed.
        need: PortNeed,
    },
    /// There is none.
    NoPort {
        /// Who answers.
        from: ShardId,
        /// The request.
        number: u64,
    },
    /// A channel is bound to a relayed transport address of the relay itself: the shard of the allocation there can send its data
    /// straight to the channel's client.
    CrossingOpened(Crossing),
    /// It is not any more.
    CrossingClosed(Crossing),
}

impl ShardMessage {
    /// Whether the shard has to hear of it at once. The others change nothing but the answers to requests: it is enough that a
    /// shard has heard of them before it handles a datagram that arrived later.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        match self {
            // These concern sockets, and flows in the kernel, which relay whether or not the shard does anything.
            Self::UsernameMoved { .. } | Self::CrossingOpened(_) | Self::CrossingClosed(_) => true,
            // A client waits.
            Self::PortWanted { .. } | Self::PortLent { .. } | Self::NoPort { .. } => true,
            Self::Allocated { .. }
            | Self::Ended { .. }
            | Self::PortReserved(_)
            | Self::ReservationTaken { .. }
            | Self::PortReturned { .. }
            | Self::PortHeld { .. } => false,
        }
    }
}
