//! Replaces a server that has failed.

use crate::Server;

impl Server {
    /// Takes over the shared state from `former`, a server of the same shard whose allocations have ended: lent ports,
    /// reservations, and the number of allocations that users have on other shards. There must be no allocations here yet.
    pub fn inherit(&mut self, former: &Self) {
        self.allocations.inherit(&former.allocations);
        self.remote_quota.clone_from(&former.remote_quota);
        // New numbers: a port that is lent for a request of the former server is returned.
        self.borrowings.next = former.borrowings.next;
        self.borrowings.lender = former.borrowings.lender;
    }

    /// How many Allocate requests wait for a port of another shard.
    #[must_use]
    pub fn requests_waiting(&self) -> usize {
        self.borrowings.by_number.len()
    }
}
