use std::num::NonZeroU32;

use allocation::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Budgets, ReplyLimit};

/// The state of the limit as plain data, for a [`Snapshot`](crate::Snapshot).
#[derive(Serialize, Deserialize)]
pub(crate) struct ReplyLimitSnapshot {
    per_second: NonZeroU32,
    key: [u64; 2],
    /// The buckets that are not full, of each of the five tables.
    taken: [Vec<(u16, u32, u32)>; 5],
}

impl ReplyLimit {
    pub(crate) fn snapshot(&self, now: Timestamp) -> ReplyLimitSnapshot {
        let Self { per_second, bindings, challenges, proven, key } = self;
        let tables = [&bindings.addresses, &bindings.prefixes, &challenges.addresses, &challenges.prefixes, proven];
        ReplyLimitSnapshot {
            per_second: *per_second,
            key: *key,
            taken: tables.map(|buckets| buckets.taken_places(now)),
        }
    }

    /// Restores the buckets. If the limit has changed, all start full.
    pub(crate) fn put_back(&mut self, snapshot: &ReplyLimitSnapshot) {
        self.key = snapshot.key;
        if self.per_second != snapshot.per_second {
            return;
        }
        let Self { bindings, challenges, proven, .. } = self;
        let [binding_addresses, binding_prefixes, challenge_addresses, challenge_prefixes, of_proven] = &snapshot.taken;
        for (Budgets { addresses, prefixes }, of_addresses, of_prefixes) in
            [(bindings, binding_addresses, binding_prefixes), (challenges, challenge_addresses, challenge_prefixes)]
        {
            addresses.put_back(of_addresses);
            prefixes.put_back(of_prefixes);
        }
        proven.put_back(of_proven);
    }
}
