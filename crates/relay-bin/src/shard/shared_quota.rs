//! Counts the allocations of each user and each network over all shards.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use relay_server::QuotaHolder;

/// The number of allocations of each user, and of each network where that is limited, over all shards. A shard claims an allocation
/// here before the client can learn of it. So concurrent requests on several shards never exceed the limit together.
///
/// The lock is held for one look-up, at the beginning and at the end of an allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedQuota(Arc<Mutex<HashMap<QuotaHolder, u32>>>);

impl SharedQuota {
    /// Counts one more allocation of `holder`, unless it has `limit` already. Returns whether it was counted.
    pub(super) fn claim(&self, holder: &QuotaHolder, limit: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if limit == 0 {
            return false;
        }
        match counts.get_mut(holder) {
            Some(count) if *count >= limit => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                counts.insert(holder.clone(), 1);
                true
            }
        }
    }

    /// What another process counted, when it handed its allocations over.
    pub(crate) fn of(counts: impl IntoIterator<Item = (QuotaHolder, u32)>) -> Self {
        Self(Arc::new(Mutex::new(counts.into_iter().collect())))
    }

    /// What is counted.
    pub(crate) fn counts(&self) -> BTreeMap<QuotaHolder, u32> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(holder, count)| (holder.clone(), *count)).collect()
    }

    /// Counts one allocation of `holder` less.
    pub(super) fn release(&self, holder: &QuotaHolder) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(holder) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = counts.remove(holder),
        }
        if counts.len() < counts.capacity() / 4 {
            let twice = counts.len() * 2;
            counts.shrink_to(twice);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_limit_holds_and_what_is_released_can_be_claimed_again() {
        let quota = SharedQuota::default();
        let [alice, bob] = ["alice", "bob"].map(|user| QuotaHolder::User(user.into()));
        assert_eq!([(); 3].map(|()| quota.claim(&alice, 2)), [true, true, false]);
        assert!(quota.claim(&bob, 2) && !quota.claim(&bob, 0));
        quota.clone().release(&alice);
        assert_eq!([(); 2].map(|()| quota.claim(&alice, 2)), [true, false]);
        for user in [&alice, &alice, &bob] {
            quota.release(user);
        }
        assert!(quota.0.lock().unwrap().is_empty());
    }

    #[test]
    fn many_threads_together_get_no_more() {
        const LIMIT: u32 = 5;
        let (quota, held) = (SharedQuota::default(), AtomicU32::new(0));
        let user = QuotaHolder::User("alice".into());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if quota.claim(&user, LIMIT) {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < LIMIT);
                            held.fetch_sub(1, Ordering::SeqCst);
                            quota.release(&user);
                        }
                    }
                });
            }
        });
        assert!(quota.0.lock().unwrap().is_empty());
    }
}
