use std::{collections::BTreeMap, sync::Arc};

/// How many allocations users have on other shards of the relay: a limit holds for all of them together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere {
    /// None is zero.
    counts: BTreeMap<Arc<str>, u32>,
}

impl Elsewhere {
    pub(crate) fn count(&self, user_id: &str) -> u32 {
        self.counts.get(user_id).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, user_id: &Arc<str>) {
        let count = self.counts.entry(Arc::clone(user_id)).or_insert(0);
        *count = count.saturating_add(1);
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
        let mut elsewhere = Elsewhere::default();
        let alice: Arc<str> = "alice".into();
        elsewhere.add(&alice);
        elsewhere.add(&alice);
        assert_eq!((elsewhere.count("alice"), elsewhere.count("bob")), (2, 0));
        elsewhere.subtract("alice");
        assert_eq!(elsewhere.count("alice"), 1);
        elsewhere.subtract("alice");
        elsewhere.subtract("alice");
        assert_eq!((elsewhere.count("alice"), elsewhere.counts.len()), (0, 0));
    }
}
