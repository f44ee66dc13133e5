use std::sync::Arc;

use hashbrown::HashTable;

use crate::{
    Allocation, Credential, Owner,
    keyed_hash::KeyedHash,
    slots::{NO_SLOT, Slots},
};

/// The allocations of each user, oldest first, as a doubly linked list whose links are fields of the allocations.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: HashTable<User>,
}

/// The ends of one user's list.
#[derive(Debug)]
pub(crate) struct User {
    id: Arc<str>,
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) count: u16,
}

impl Users {
    pub(crate) fn get(&self, hash: &KeyedHash, id: &str) -> Option<&User> {
        self.users.find(hash.user_id(id), |user| *user.id == *id)
    }

    /// An owner with `credential`. Shares that of the user's newest allocation if it has the same credential.
    pub(crate) fn owner(&self, hash: &KeyedHash, slots: &Slots, credential: &Credential<'_>) -> Arc<Owner> {
        let user = self.get(hash, credential.user_id);
        let newest = user.and_then(|user| slots.at(user.newest)).map(|allocation| &allocation.owner);
        match newest.filter(|owner| owner.has(credential)) {
            Some(same) => Arc::clone(same),
            None => Arc::new(Owner::new(credential, user.map(|user| &user.id))),
        }
    }

    /// Appends the allocation that will be in `slot` to the list of user `id`. Returns the slot of the one before it.
    pub(crate) fn append(&mut self, hash: &KeyedHash, slots: &mut Slots, id: &Arc<str>, slot: u16) -> u16 {
        let hashed = hash.user_id(id);
        let Some(user) = self.users.find_mut(hashed, |user| user.id == *id) else {
            let user = User { id: Arc::clone(id), oldest: slot, newest: slot, count: 1 };
            self.users.insert_unique(hashed, user, |user| hash.user_id(&user.id));
            return NO_SLOT;
        };
        user.count += 1;
        let previous = std::mem::replace(&mut user.newest, slot);
        if let Some(allocation) = slots.at_mut(previous) {
            allocation.next_of_user = slot;
        }
        previous
    }

    /// Removes `allocation`, which has been taken out of its slot already, from the list of its user.
    pub(crate) fn unlink(&mut self, hash: &KeyedHash, slots: &mut Slots, allocation: &Allocation) {
        let id = allocation.owner.user_id();
        let Ok(mut entry) = self.users.find_entry(hash.user_id(id), |user| user.id == *id) else { return };
        let user = entry.get_mut();
        user.count -= 1;
        if user.count == 0 {
            entry.remove();
            if self.users.len() < self.users.capacity() / 4 {
                self.users.shrink_to(self.users.len() * 2, |user| hash.user_id(&user.id));
            }
            return;
        }
        match slots.at_mut(allocation.previous_of_user) {
            Some(previous) => previous.next_of_user = allocation.next_of_user,
            None => user.oldest = allocation.next_of_user,
        }
        match slots.at_mut(allocation.next_of_user) {
            Some(next) => next.previous_of_user = allocation.previous_of_user,
            None => user.newest = allocation.previous_of_user,
        }
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}
