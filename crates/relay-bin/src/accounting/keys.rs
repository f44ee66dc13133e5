//! What accounts are found by.

use relay_server::{AllocationPort, ShardId};

/// Identifies an allocation: its shard, and its number on that shard.
pub(super) type Key = (ShardId, u64);

/// The shard that counts, the family, and the ports of both allocations.
pub(super) type CrossingKey = (ShardId, u8, AllocationPort, AllocationPort);
