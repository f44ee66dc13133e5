//! Messages between the shards of one relay: handles those received, and sends those about users' allocations.

use std::sync::Arc;

use crate::{Output, Server, ShardMessage, Timestamp, UsernameLimit};

impl Server {
    /// Handles a message of another shard ([`Output::TellShards`], [`Output::TellShard`]).
    pub fn handle_shard_message(&mut self, now: Timestamp, message: &ShardMessage) {
        self.expire_if_due(now);
        match message {
            ShardMessage::UsernameMoved { user_id, created_at } => {
                self.remove_of_user(user_id, |allocation| allocation.created_at() < *created_at);
            }
            ShardMessage::Allocated { user_id } => {
                self.remote_quota.add(user_id);
                self.divide_bandwidth(user_id);
            }
            ShardMessage::Ended { user_id } => {
                self.remote_quota.subtract(user_id);
                self.divide_bandwidth(user_id);
            }
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

    /// Divides a user's limit among the shards again, after its number of allocations on other shards has changed.
    fn divide_bandwidth(&mut self, user_id: &str) {
        if let Some(limit) = &mut self.bandwidth {
            limit.set_elsewhere(user_id, self.remote_quota.count(user_id));
        }
    }

    pub(crate) fn tell_shards(&mut self, message: ShardMessage) {
        if self.has_other_shards() {
            self.outputs.push_back(Output::TellShards(message));
        }
    }

    /// Announces a new allocation of the user.
    pub(crate) fn tell_of_allocation(&mut self, user_id: Arc<str>, created_at: Timestamp) {
        self.tell_shards(match self.config.username_limit {
            UsernameLimit::ReplaceOldest => ShardMessage::UsernameMoved { user_id, created_at },
            UsernameLimit::RefuseBeyond(_) => ShardMessage::Allocated { user_id },
        });
    }

    /// Announces the end of an allocation of the user, if other shards count it.
    pub(crate) fn tell_of_end(&mut self, user_id: Arc<str>) {
        match self.config.username_limit {
            UsernameLimit::ReplaceOldest => {}
            UsernameLimit::RefuseBeyond(_) => self.tell_shards(ShardMessage::Ended { user_id }),
        }
    }
}
