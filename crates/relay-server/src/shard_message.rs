//! The messages that the shards of one relay send to one another.

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

/// A message from one shard of a relay to all others, or to one of them. Limits, reservations, ports and crossings concern the whole
/// relay, although each shard has its own allocations.
///
/// A shard sends it with [`Output::TellShards`](crate::Output::TellShards) or [`Output::TellShard`](crate::Output::TellShard),
/// before its response to the client. The others receive it with
/// [`Server::handle_shard_message`](crate::Server::handle_shard_message). Every message must arrive exactly once. Messages are
/// FIFO per sender and unordered across senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// A user that may have one allocation ([`Config::username_limit`](crate::Config::username_limit)) has made a new one. It
    /// replaces all older ones.
    UsernameMoved {
        /// The user.
        user_id: Arc<str>,
        /// When the new allocation was made, by the clock that all shards share.
        created_at: Timestamp,
    },
    /// A user has made an allocation. It counts against the user's limit on all shards.
    Allocated {
        /// The user.
        user_id: Arc<str>,
    },
    /// An allocation of a user has ended.
    Ended {
        /// The user.
        user_id: Arc<str>,
    },
    /// A port was reserved. The client may redeem its reservation on any shard
    /// ([RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2): a reservation is server-wide).
    PortReserved(ReservedPort),
    /// A reservation was redeemed: its port has an allocation.
    ReservationTaken {
        /// The reservation's token.
        token: ReservationToken,
    },
    /// The sender does not use a lent port any more, for example because its allocation has ended.
    PortReturned {
        /// The port.
        port: AllocationPort,
    },
    /// Like [`Self::PortReturned`], for a port that another program holds.
    PortHeld {
        /// The port.
        port: AllocationPort,
    },
    /// The sender has no port left for an Allocate request and asks one shard for a port. That shard answers with
    /// [`Self::PortLent`] or [`Self::NoPort`].
    PortWanted {
        /// The shard that asks.
        by: ShardId,
        /// The number that it has given to the request.
        number: u64,
        /// The kind of port needed.
        need: PortNeed,
    },
    /// The sender lends a port, until [`Self::PortReturned`] or [`Self::PortHeld`].
    PortLent {
        /// The shard that lends it.
        from: ShardId,
        /// The number of the request.
        number: u64,
        /// The port; for [`PortNeed::Pair`], the next port is lent, too.
        port: AllocationPort,
        /// The kind of port asked for.
        need: PortNeed,
    },
    /// The sender has no port to lend.
    NoPort {
        /// The shard that answers.
        from: ShardId,
        /// The number of the request.
        number: u64,
    },
    /// A channel was bound to a relayed transport address of the relay itself. The shard of the allocation at that address can send
    /// data straight to the channel's client.
    CrossingOpened(Crossing),
    /// Such a channel has ended.
    CrossingClosed(Crossing),
}

impl ShardMessage {
    /// Whether the receiving shard must handle the message at once. The others change only answers to requests: a shard may handle
    /// them just before the datagrams that arrived later.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        match self {
            // These end sockets, or flows that the kernel forwards even while the shard is idle.
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
