//! What the shards of one relay tell each other.

use std::sync::Arc;

use crate::{
    AllocationPort, Crossing, Output, PortNeed, ReservationToken, ReservedPort, Server, Timestamp, UsernameLimit,
};

/// A shard of a relay, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
/// A shard says so with [`Output::TellShards`] or [`Output::TellShard`], before its client can know; the others hear of it by
/// [`Server::handle_shard_message`]. Every message must arrive, once. Those of one shard arrive in order; those of several may come
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

impl Server {
    /// Another shard of the relay said `message` ([`Output::TellShards`]).
    pub fn handle_shard_message(&mut self, now: Timestamp, message: &ShardMessage) {
        self.expire_if_due(now);
        match message {
            ShardMessage::UsernameMoved { user_id, created_at } => {
                self.remove_of_user(user_id, |allocation| allocation.created_at() < *created_at);
            }
            ShardMessage::Allocated { user_id } => self.elsewhere.add(user_id),
            ShardMessage::Ended { user_id } => self.elsewhere.subtract(user_id),
            ShardMessage::PortReserved(reserved) => self.allocations.adopt_reservation(now, reserved),
            ShardMessage::ReservationTaken { token } => self.allocations.forget_reservation(*token),
            ShardMessage::PortReturned { port } => self.allocations.return_port(*port),
            ShardMessage::PortHeld { port } => self.allocations.return_held_port(now, *port),
            ShardMessage::PortWanted { by, number, need } => self.port_wanted(now, *by, *number, *need),
            ShardMessage::PortLent { from, number, port, need } => self.port_lent(now, *from, *number, *port, *need),
            ShardMessage::NoPort { from, number } => self.no_port(now, *from, *number),
            ShardMessage::CrossingOpened(crossing) => self.crossing_opened(crossing),
            ShardMessage::CrossingClosed(crossing) => self.crossing_closed(crossing),
        }
    }

    pub(crate) fn tell_shards(&mut self, message: ShardMessage) {
        if self.has_other_shards() {
            self.outputs.push_back(Output::TellShards(message));
        }
    }

    /// Says that the user has an allocation since `created_at`.
    pub(crate) fn tell_of_allocation(&mut self, user_id: Arc<str>, created_at: Timestamp) {
        self.tell_shards(match self.config.username_limit {
            UsernameLimit::ReplaceOldest => ShardMessage::UsernameMoved { user_id, created_at },
            UsernameLimit::RefuseBeyond(_) => ShardMessage::Allocated { user_id },
        });
    }

    /// Says that an allocation of the user has ended, where that counts.
    pub(crate) fn tell_of_end(&mut self, user_id: Arc<str>) {
        match self.config.username_limit {
            UsernameLimit::ReplaceOldest => {}
            UsernameLimit::RefuseBeyond(_) => self.tell_shards(ShardMessage::Ended { user_id }),
        }
    }
}
