//! All state of [`Allocations`](crate::Allocations) as plain data: taken from one and restored to another that goes on as the first would have.
//!
//! Indexes are not part of it: restoring builds them again. So a snapshot is as small as what it describes, and whatever bytes it was
//! read from, what is restored is consistent.

mod restore;
mod take;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    AllocationId, AllocationPort, Channel, Families, FiveTuple, Permission, PortRange, Relayed, ReservationToken,
    Timestamp,
    allocation::{Deadlines, PortKind},
    reservations::Reservation,
};

/// All state of [`Allocations`](crate::Allocations), for serialization. It contains the keys of users.
///
/// The fields are private, and their encoding may change with every version of this crate: whoever stores it stores a version beside it.
#[derive(Serialize, Deserialize)]
pub struct AllocationsSnapshot {
    ports_of_all_shards: PortRange,
    ports: PortRange,
    /// The free ports, in the order in which they are drawn.
    free: [Vec<u16>; 3],
    lent: Vec<AllocationPort>,
    quarantined: Vec<(Timestamp, AllocationPort)>,
    waits: Vec<(Timestamp, u64)>,
    reservations: Vec<(ReservationToken, Reservation)>,
    has_other_shards: bool,
    /// How many allocations were ever made.
    created: u64,
    /// In the order of creation.
    allocations: Vec<Entry>,
    rng: Generator,
}

/// An allocation.
#[derive(Serialize, Deserialize)]
struct Entry {
    id: u64,
    five_tuple: FiveTuple,
    families: Families,
    port: AllocationPort,
    port_kind: PortKind,
    ports_tried: u8,
    relayed: Relayed,
    created_at: Timestamp,
    /// In nanoseconds.
    lifetime: u64,
    deadlines: Deadlines,
    username: String,
    /// `None` if it is the username.
    user_id: Option<String>,
    key: Zeroizing<Vec<u8>>,
    credential_expires_at: Option<u64>,
    transaction_id: [u8; 12],
    reservation: Option<ReservationToken>,
    channels: Vec<Channel>,
    permissions: Vec<Permission>,
}

/// Where the random number generator is.
#[derive(Serialize, Deserialize)]
struct Generator {
    seed: Zeroizing<[u8; 32]>,
    word_pos: u128,
}

/// Why [`Allocations`](crate::Allocations) cannot be restored from a snapshot: it was not made by [`Allocations::snapshot`](crate::Allocations::snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The free ports are not ports of the range, or one of them is there twice.
    #[error("the free ports are not what a port range can have")]
    FreePorts,
    /// A port is in two places, or in none.
    #[error("port {0} is in two places, or in none")]
    Port(AllocationPort),
    /// Two allocations have the same id or the same place in memory, or an id was never given out.
    #[error("{0} is the id of two allocations, or of none that there can be")]
    Id(AllocationId),
    /// Two allocations have the same client.
    #[error("there are two allocations of {0}")]
    FiveTuple(FiveTuple),
    /// The channels of an allocation contradict one another.
    #[error("the channels of {0} contradict one another")]
    Channels(AllocationId),
    /// The permissions of an allocation contradict one another.
    #[error("the permissions of {0} contradict one another")]
    Permissions(AllocationId),
    /// The key of an allocation is too long.
    #[error("the key of {0} is too long")]
    Key(AllocationId),
    /// A reservation is there twice.
    #[error("a reservation is there twice")]
    Reservation,
}

impl AllocationsSnapshot {
    /// The ports that [`Allocations::new`](crate::Allocations::new) was called with.
    #[must_use]
    pub const fn ports(&self) -> PortRange {
        self.ports
    }

    /// The ports of all shards.
    #[must_use]
    pub const fn ports_of_all_shards(&self) -> PortRange {
        self.ports_of_all_shards
    }

    /// How many allocations there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }
}

impl std::fmt::Debug for AllocationsSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllocationsSnapshot").field("allocations", &self.len()).finish_non_exhaustive()
    }
}
