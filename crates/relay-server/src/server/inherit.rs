//! A server that takes the place of one that has failed.

use crate::Server;

impl Server {
    /// Takes over what other shards know and hold from `former`, a server of the same shard whose allocations have ended: the ports that
    /// it has lent, reservations, how many allocations users have elsewhere. There must be no allocations here yet.
    pub fn inherit(&mut self, former: &Self) {
        self.allocations.inherit(&former.allocations);
        self.remote_quota.clone_from(&former.remote_quota);
        // A port that is lent for a request of the former server goes back.
        self.borrowings.next = former.borrowings.next;
        self.borrowings.lender = former.borrowings.lender;
    }

    /// How many requests for an allocation wait for a port of another shard.
    #[must_use]
    pub fn requests_waiting(&self) -> usize {
        self.borrowings.by_number.len()
    }
}
