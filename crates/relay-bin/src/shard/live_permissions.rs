//! Tracks how many permissions there are, from events, so that they can be counted as ended when their allocation ends.

use std::collections::BTreeMap;

use relay_server::{AllocationId, Event, Family, Server};

use super::stats::Counters;

/// The number of permissions of each allocation of a shard, by the family of the peers. Allocations without permissions have no
/// entry.
#[derive(Debug, Default)]
pub(super) struct LivePermissions(BTreeMap<AllocationId, PerFamily>);

#[derive(Clone, Copy, Debug, Default)]
struct PerFamily {
    v4: u64,
    v6: u64,
}

impl PerFamily {
    const fn of(&mut self, family: Family) -> &mut u64 {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl LivePermissions {
    /// The permissions of a server that was restored with its allocations. The process before this one has counted their beginning.
    pub(super) fn of(server: &Server) -> Self {
        let mut live = Self::default();
        for allocation in server.allocations() {
            for permission in allocation.permissions() {
                *live.0.entry(allocation.id()).or_default().of(Family::of(permission.address())) += 1;
            }
        }
        live
    }

    /// Counts the permissions that `event` installs or ends.
    pub(super) fn record(&mut self, event: &Event, counters: &mut Counters) {
        match event {
            Event::PermissionInstalled { id, address, renewal: false } => {
                *self.0.entry(*id).or_default().of(Family::of(*address)) += 1;
                counters.permissions_installed += 1;
            }
            Event::PermissionExpired { id, address } => {
                if let Some(permissions) = self.0.get_mut(id) {
                    let count = permissions.of(Family::of(*address));
                    counters.permissions_ended += u64::from(*count > 0);
                    *count = count.saturating_sub(1);
                }
            }
            Event::FamilyRemoved { id, family, .. } => {
                if let Some(permissions) = self.0.get_mut(id) {
                    counters.permissions_ended += std::mem::take(permissions.of(*family));
                }
            }
            Event::AllocationRemoved { id, .. } => {
                counters.permissions_ended +=
                    self.0.remove(id).map_or(0, |permissions| permissions.v4 + permissions.v6);
            }
            _ => {}
        }
    }
}
