//! Checks of a server's state, for tests that cannot see it otherwise. All outputs must have been taken.

use allocation::Allocation;

use crate::{AllocationPort, Server};

impl Server {
    /// Checks that every index agrees with the allocations, and that nothing is queued or half done.
    ///
    /// # Panics
    ///
    /// When a check fails.
    pub fn assert_consistent(&self) {
        self.allocations.assert_consistent();
        assert_eq!(self.outputs.len(), 0, "outputs are left");
        assert!(self.pending.is_empty(), "sockets are opened at once, but {:?} wait for theirs", self.pending);
        let waiting = &self.borrowings;
        assert_eq!(waiting.by_client.len(), waiting.by_number.len());
        for (five_tuple, number) in &waiting.by_client {
            let borrowing = waiting.by_number.get(number);
            assert!(borrowing.is_some_and(|borrowing| borrowing.request.requester.five_tuple == *five_tuple));
            assert!(
                self.allocations.by_five_tuple(five_tuple).is_none(),
                "{five_tuple:?} waits for a second allocation"
            );
        }
        for allocation in self.allocations.iter() {
            for channel in allocation.channels().iter().filter(|channel| channel.is_bound()) {
                assert!(allocation.families().contains(crate::Family::of(channel.peer().address().ip())));
            }
        }
        self.indicated_peers.assert_consistent();
        for (id, peer) in self.indicated_peers.iter() {
            let allocation = self.allocations.get(id);
            let mut permissions = allocation.iter().flat_map(|allocation| allocation.permissions());
            let address = peer.address().ip();
            assert!(permissions.any(|permission| permission.address() == address), "{peer} without permission");
        }
    }

    /// Checks that no allocation, no reservation, and nothing of other shards' allocations is left.
    ///
    /// # Panics
    ///
    /// When something is left.
    pub fn assert_empty(&self) {
        self.assert_consistent();
        self.allocations.assert_empty();
        assert_eq!(self.requests_waiting(), 0);
        assert!(self.remote_quota.is_empty(), "{:?}", self.remote_quota);
        assert_eq!(self.crossings.iter().count(), 0);
        assert_eq!(self.indicated_peers.iter().count(), 0);
    }

    /// How many allocations user `id` has on other shards, as far as this shard knows.
    #[must_use]
    pub fn remote_allocations_of(&self, id: &str) -> u32 {
        self.remote_quota.count(id)
    }

    /// How many allocations user `id` has on this shard.
    #[must_use]
    pub fn allocations_of(&self, id: &str) -> usize {
        self.allocations.count_of_user(id)
    }

    /// The ports that this shard has lent to others.
    pub fn lent_ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.allocations.lent_ports()
    }

    /// The ports of allocations and reservations on this shard, borrowed ones included.
    pub fn held_ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.allocations.iter().map(Allocation::port).chain(self.allocations.reserved_ports())
    }
}
