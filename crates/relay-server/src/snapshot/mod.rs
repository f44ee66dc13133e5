//! The whole state of a [`Server`] as a value. A server restored from it continues where the first one stopped.
//!
//! A relay hands its allocations over to its next version with a snapshot, a recording can begin in the middle of a run, and tests
//! compare two servers.

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
/// It contains secrets: clients' keys, the key of nonces, and the state of the random number generator. Take it with
/// [`Server::snapshot`], store it with [`Self::to_bytes`], load it with [`Self::from_bytes`], and turn it into a server with
/// [`Self::restore`].
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    shard: ShardId,
    shard_count: u16,
    draining: bool,
    address_status: AddressStatuses,
    /// The last reading of the wall clock: when it was, and the time in seconds of Unix time.
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
    /// The server's number among the shards of its relay, and the number of shards.
    #[must_use]
    pub const fn shard(&self) -> (ShardId, u16) {
        (self.shard, self.shard_count)
    }

    /// The ports that the server draws from ([`Config::ports`](crate::Config::ports)).
    #[must_use]
    pub const fn ports(&self) -> PortRange {
        self.allocations.ports()
    }

    /// The ports of all shards.
    #[must_use]
    pub const fn ports_of_all_shards(&self) -> PortRange {
        self.allocations.ports_of_all_shards()
    }

    /// How many allocations it contains.
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
