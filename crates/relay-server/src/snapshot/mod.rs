//! The whole state of a [`Server`] as a value: another one that is made from it goes on where the first was.
//!
//! So a relay hands its allocations over to its next version, a recording begins in the middle of a run, and a test compares two servers.

mod encoding;
mod requests;
mod restore;
mod take;
#[cfg(test)]
mod tests;

use std::fmt;

use allocation::{AllocationsSnapshot, PeerSocket};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::requests::{BorrowingSnapshot, PendingSnapshot};
pub use self::{encoding::SnapshotError, restore::RestoreError};
#[cfg(doc)]
use crate::Server;
use crate::{
    AddressStatuses, Crossing, PortRange, ShardId, Timestamp, Traffic, bandwidth::BandwidthSnapshot,
    icmp_limit::IcmpLimit, remote_quota::RemoteQuota, reply_limit::ReplyLimitSnapshot, transaction_ids::TransactionIds,
};

/// The whole state of a [`Server`] at one moment, without its configuration and the credentials that it accepts.
///
/// It contains secrets: the keys that clients sign requests with, the key of nonces, and the state of the random number generator.
/// [`Server::snapshot`] takes it, [`Self::restore`] makes a server of it; [`Self::to_bytes`] and [`Self::from_bytes`] are for what is in
/// between.
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    shard: ShardId,
    shard_count: u16,
    draining: bool,
    address_status: AddressStatuses,
    /// When the wall clock was read last, and what it said, in seconds of Unix time.
    wall_clock: (Timestamp, u64),
    nonce_key: Zeroizing<[u8; 32]>,
    allocations: AllocationsSnapshot,
    pending: Vec<(u64, PendingSnapshot)>,
    borrowings: Vec<(u64, BorrowingSnapshot)>,
    next_borrowing: u64,
    lender: Option<ShardId>,
    remote_quota: RemoteQuota,
    crossings: Vec<(Crossing, Traffic)>,
    replies: Option<ReplyLimitSnapshot>,
    bandwidth: Option<BandwidthSnapshot>,
    transaction_ids: TransactionIds,
    icmp_limit: IcmpLimit,
    indicated_peers: Vec<(u64, Vec<PeerSocket>)>,
}

impl Snapshot {
    /// Which shard of its relay the server was, and of how many.
    #[must_use]
    pub const fn shard(&self) -> (ShardId, u16) {
        (self.shard, self.shard_count)
    }

    /// The ports that the server drew from ([`Config::ports`](crate::Config::ports)).
    #[must_use]
    pub const fn ports(&self) -> PortRange {
        self.allocations.ports()
    }

    /// The ports of all shards.
    #[must_use]
    pub const fn ports_of_all_shards(&self) -> PortRange {
        self.allocations.ports_of_all_shards()
    }

    /// How many allocations there were.
    #[must_use]
    pub const fn allocation_count(&self) -> usize {
        self.allocations.len()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("shard", &self.shard)
            .field("allocations", &self.allocations)
            .finish_non_exhaustive()
    }
}
