//! How many allocations users have, for all shards.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The allocations of each user on all shards, counted before anybody is told of them: when several shards are asked at the same
/// moment, what they grant together is never more than the limit.
///
/// Its lock is held for one look-up, once when an allocation begins and once when it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedQuota(Arc<Mutex<HashMap<Arc<str>, u32>>>);

impl SharedQuota {
    /// Counts one more allocation of the user, unless there are `limit`. Whether it did.
    pub(super) fn claim(&self, user_id: &Arc<str>, limit: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if limit == 0 {
            return false;
        }
        match counts.get_mut(user_id) {
            Some(count) if *count >= limit => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                counts.insert(Arc::clone(user_id), 1);
                true
            }
        }
    }

    /// What is counted, for tests that compare it with what there is.
    #[cfg(test)]
    pub(super) fn counts(&self) -> std::collections::BTreeMap<Arc<str>, u32> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(user_id, count)| (Arc::clone(user_id), *count)).collect()
    }

    /// Counts one less.
    pub(super) fn release(&self, user_id: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(user_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = counts.remove(user_id),
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
        let [alice, bob] = ["alice", "bob"].map(Arc::<str>::from);
        assert_eq!([(); 3].map(|()| quota.claim(&alice, 2)), [true, true, false]);
        assert!(quota.claim(&bob, 2) && !quota.claim(&bob, 0));
        quota.clone().release("alice");
        assert_eq!([(); 2].map(|()| quota.claim(&alice, 2)), [true, false]);
        for user in ["alice", "alice", "bob"] {
            quota.release(user);
        }
        assert!(quota.0.lock().unwrap().is_empty());
    }

    #[test]
    fn many_threads_together_get_no_more() {
        const LIMIT: u32 = 5;
        let (quota, held) = (SharedQuota::default(), AtomicU32::new(0));
        let user: Arc<str> = "alice".into();
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
