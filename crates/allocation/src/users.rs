use std::sync::Arc;

use hashbrown::HashTable;

use crate::{
    Allocation,
    keyed_hash::KeyedHash,
    slots::{NO_SLOT, Slots},
};

/// The allocations of each username, as lists threaded through the allocations themselves, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: HashTable<User>,
}

/// The ends of one username's list.
#[derive(Debug)]
pub(crate) struct User {
    name: Arc<str>,
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) count: u16,
}

impl Users {
    pub(crate) fn get(&self, hash: &KeyedHash, name: &str) -> Option<&User> {
        self.users.find(hash.username(name), |user| *user.name == *name)
    }

    /// `name`, shared with the allocations that `name` has already.
    pub(crate) fn share_name(&self, hash: &KeyedHash, name: &str) -> Arc<str> {
        self.get(hash, name).map_or_else(|| Arc::from(name), |user| Arc::clone(&user.name))
    }

    /// Appends the allocation that will be in `slot` to those of `name`. Returns the slot of the one before it.
    pub(crate) fn append(&mut self, hash: &KeyedHash, slots: &mut Slots, name: &Arc<str>, slot: u16) -> u16 {
        let hashed = hash.username(name);
        let Some(user) = self.users.find_mut(hashed, |user| user.name == *name) else {
            let user = User { name: Arc::clone(name), oldest: slot, newest: slot, count: 1 };
            self.users.insert_unique(hashed, user, |user| hash.username(&user.name));
            return NO_SLOT;
        };
        user.count += 1;
        let previous = std::mem::replace(&mut user.newest, slot);
        if let Some(allocation) = slots.at_mut(previous) {
            allocation.next_of_user = slot;
        }
        previous
    }

    /// Takes `allocation`, which is out of its slot already, from those of its username.
    pub(crate) fn unlink(&mut self, hash: &KeyedHash, slots: &mut Slots, allocation: &Allocation) {
        let name = &allocation.username;
        let Ok(mut entry) = self.users.find_entry(hash.username(name), |user| user.name == *name) else { return };
        let user = entry.get_mut();
        user.count -= 1;
        if user.count == 0 {
            entry.remove();
            if self.users.len() < self.users.capacity() / 4 {
                self.users.shrink_to(self.users.len() * 2, |user| hash.username(&user.name));
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

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}
