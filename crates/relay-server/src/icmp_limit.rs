//! How many ICMP errors clients are told of.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{AllocationPort, Timestamp};

/// How many ICMP errors the client of an allocation is told of in one second. It causes them itself, or somebody who forges them does:
/// in either case, a few say all that there is to say.
pub const MAX_ICMP_PER_SECOND: u8 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// How many ICMP errors each allocation was told of in the current second. Holds nothing of allocations that had none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IcmpLimit {
    since: Timestamp,
    told: BTreeMap<AllocationPort, u8>,
}

impl IcmpLimit {
    /// Whether the client of the allocation with `port` may be told of one more.
    pub(crate) fn admit(&mut self, now: Timestamp, port: AllocationPort) -> bool {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.told.clear();
        }
        let told = self.told.entry(port).or_default();
        let is_admitted = *told < MAX_ICMP_PER_SECOND;
        *told += u8::from(is_admitted);
        is_admitted
    }
}
