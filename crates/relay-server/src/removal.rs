//! The end of channels, of allocations, and of one family of a dual-stack allocation.

use allocation::{Allocation, Expired};

use crate::{AllocationId, ChannelNumber, Event, PeerSocket, RemovalReason, Server, Timestamp, family::families};

impl Server {
    /// Does what is due at `now`.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.allocations.handle_timeout(now);
        while let Some(expired) = self.allocations.poll_expired() {
            match expired {
                Expired::Allocation(allocation) => self.bury(&allocation, RemovalReason::Expired),
                Expired::ChannelExpired { id, channel, peer } => self.channel_expired(id, channel, peer),
                Expired::ChannelReleased { id, channel, peer } => {
                    self.emit(Event::ChannelReleased { id, channel, peer });
                }
            }
        }
    }

    fn channel_expired(&mut self, id: AllocationId, channel: ChannelNumber, peer: PeerSocket) {
        if let Some(allocation) = self.allocations.get(id) {
            let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
            self.remove_flows(five_tuple, port, channel, peer);
        }
        self.emit(Event::ChannelExpired { id, channel, peer });
    }

    pub(crate) fn remove_allocation(&mut self, id: AllocationId, reason: RemovalReason) {
        if let Some(allocation) = self.allocations.remove(id) {
            self.bury(&allocation, reason);
        }
    }

    /// Ends every allocation of `username` but `except`.
    pub(crate) fn remove_of_username(&mut self, username: &str, except: Option<AllocationId>) {
        let ids: Vec<_> =
            self.allocations.of_username(username).map(Allocation::id).filter(|id| Some(*id) != except).collect();
        for id in ids {
            self.remove_allocation(id, RemovalReason::Replaced);
        }
    }

    /// Undoes what an allocation, already taken from the table, meant to the outside.
    pub(crate) fn bury(&mut self, allocation: &Allocation, reason: RemovalReason) {
        let (id, five_tuple, port) = (allocation.id(), allocation.five_tuple(), allocation.port());
        if let Some(opening) = self.openings.remove(&id) {
            // Nobody has heard of it yet.
            return self.close_relays(id, port, opening.opened());
        }
        for channel in allocation.channels().iter().filter(|channel| channel.is_bound()) {
            self.remove_flows(five_tuple, port, channel.number(), channel.peer());
        }
        self.close_relays(id, port, families(allocation));
        self.emit(Event::AllocationRemoved { id, five_tuple, port, reason });
    }
}
