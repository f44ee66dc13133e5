//! Takes a snapshot of a server.

use std::sync::Arc;

use turn_auth::{AcceptedCredentials, UnixTime};
use zeroize::Zeroizing;

use super::{
    Snapshot,
    requests::{BorrowingSnapshot, PendingSnapshot},
};
use crate::{Server, Timestamp, borrowings::Borrowings};

impl Server {
    /// The credentials that it accepts, which a snapshot does not contain.
    #[must_use]
    pub const fn accepted_credentials(&self) -> &Arc<AcceptedCredentials> {
        self.authenticator.accepted()
    }

    /// Whether it refuses new allocations ([`Self::handle_drain`]).
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// The whole state at `now`. Call [`Self::handle_timeout`] and take all outputs ([`Self::poll_output`]) first: a snapshot
    /// does not contain them. O(n) in allocations, channels and permissions.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let (read_at, UnixTime(unix_time)) = self.wall_clock.reading();
        let Borrowings { by_number, by_client: _, next, lender } = &self.borrowings;
        let mut crossings: Vec<_> = self.crossings.iter().collect();
        // The table's own order depends on its hash key.
        crossings.sort_unstable_by_key(|(crossing, _)| (crossing.family, crossing.from, crossing.to));
        Snapshot {
            shard: self.shard,
            shard_count: self.shard_count,
            draining: self.draining,
            address_status: self.address_status,
            wall_clock: (read_at, unix_time),
            nonce_key: Zeroizing::new(*self.authenticator.nonces().key()),
            allocations: self.allocations.snapshot(),
            pending: self.pending.iter().map(|(id, pending)| (id.as_u64(), PendingSnapshot::of(pending))).collect(),
            borrowings: by_number.iter().map(|(number, one)| (*number, BorrowingSnapshot::of(one))).collect(),
            next_borrowing: *next,
            lender: *lender,
            remote_quota: self.remote_quota.clone(),
            crossings,
            replies: self.replies.as_ref().map(|replies| replies.snapshot(now)),
            bandwidth: self.bandwidth.as_ref().map(|bandwidth| bandwidth.snapshot()),
            transaction_ids: self.transaction_ids.clone(),
            icmp_limit: self.icmp_limit.clone(),
            indicated_peers: self
                .indicated_peers
                .by_allocation()
                .map(|(id, peers)| (id.as_u64(), peers.to_vec()))
                .collect(),
        }
    }
}
