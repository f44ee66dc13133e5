use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BandwidthLimit, Meters};
use crate::AllocationPort;

/// The state of the limits as plain data, for a [`Snapshot`](crate::Snapshot).
#[derive(Serialize, Deserialize)]
pub(crate) struct BandwidthSnapshot {
    allocations: Vec<(AllocationPort, Meters)>,
    users: Vec<(Arc<str>, Meters)>,
    total: Meters,
}

impl BandwidthLimit {
    pub(crate) fn snapshot(&self) -> BandwidthSnapshot {
        let ports = self.ports.iter().zip(&self.allocations);
        let allocations = ports.filter_map(|(port, metered)| Some((port, metered.as_ref()?.meters.clone())));
        let users = self.users.iter().map(|(id, meters)| (Arc::clone(id), meters.clone()));
        BandwidthSnapshot { allocations: allocations.collect(), users: users.collect(), total: self.total.clone() }
    }

    /// Restores the buckets. `user_of` returns the user of the allocation with a port, and how many allocations the user has on other
    /// shards.
    pub(crate) fn put_back(
        &mut self,
        snapshot: BandwidthSnapshot,
        user_of: impl Fn(AllocationPort) -> Option<(Arc<str>, u32)>,
    ) {
        for (port, meters) in snapshot.allocations {
            let Some((user_id, elsewhere)) = user_of(port) else { continue };
            self.open(port, &user_id, elsewhere);
            if let Some(metered) = self.index(port).and_then(|index| self.allocations[index].as_mut()) {
                metered.meters = meters;
            }
        }
        for (id, meters) in snapshot.users {
            self.users.set_meters(&id, meters);
        }
        self.total = snapshot.total;
    }
}
