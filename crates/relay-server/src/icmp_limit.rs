//! Limits the ICMP errors that are sent to clients.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{AllocationPort, Timestamp};

/// How many ICMP errors per second are sent to the client of an allocation. The client, or an attacker who forges them, can cause
/// any number, and a few carry all the information.
pub const MAX_ICMP_PER_SECOND: u8 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Counts the ICMP errors of each allocation in the current second. Allocations without one take no memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IcmpLimit {
    since: Timestamp,
    told: BTreeMap<AllocationPort, u8>,
}

impl IcmpLimit {
    /// Whether one more ICMP error may be sent to the client of the allocation with `port`. If so, it is counted.
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
