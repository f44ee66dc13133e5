use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// How many allocations each user has on other shards. A limit holds for all shards together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RemoteQuota {
    /// Users without one have no entry.
    counts: BTreeMap<Arc<str>, u32>,
}

impl RemoteQuota {
    pub(crate) fn count(&self, user_id: &str) -> u32 {
        self.counts.get(user_id).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, user_id: &Arc<str>) {
        let count = self.counts.entry(Arc::clone(user_id)).or_insert(0);
        *count = count.saturating_add(1);
    }

    #[cfg(feature = "invariants")]
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn subtract(&mut self, user_id: &str) {
        match self.counts.get_mut(user_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(user_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn counts_and_forgets() {
        let mut remote_quota = RemoteQuota::default();
        let alice: Arc<str> = "alice".into();
        remote_quota.add(&alice);
        remote_quota.add(&alice);
        assert_eq!((remote_quota.count("alice"), remote_quota.count("bob")), (2, 0));
        remote_quota.subtract("alice");
        assert_eq!(remote_quota.count("alice"), 1);
        remote_quota.subtract("alice");
        remote_quota.subtract("alice");
        assert_eq!((remote_quota.count("alice"), remote_quota.counts.len()), (0, 0));
    }
}
