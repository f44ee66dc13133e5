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

#[derive(Debug)]
pub(crate) struct User {
    name: Arc<str>,
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) count: u16,
}

impl Users {
    pub(crate) fn get(&self, hash: &KeyedHash, name: &str) -> Option<&User> {
        self.users.find(hash.hash(name), |user| *user.name == *name)
    }

    /// The shared form of `name`, if it has allocations.
    pub(crate) fn shared_name(&self, hash: &KeyedHash, name: &str) -> Arc<str> {
        self.get(hash, name).map_or_else(|| Arc::from(name), |user| Arc::clone(&user.name))
    }

    /// Appends the allocation in `slot` to those of its username.
    pub(crate) fn link(&mut self, hash: &KeyedHash, slots: &mut Slots, slot: u16) {
        let Some(name) = slots.at(slot).map(|allocation| Arc::clone(&allocation.username)) else { return };
        let hashed = hash.hash(&*name);
        let Some(user) = self.users.find_mut(hashed, |user| user.name == name) else {
            let user = User { name, oldest: slot, newest: slot, count: 1 };
            self.users.insert_unique(hashed, user, |user| hash.hash(&*user.name));
            return;
        };
        let previous = std::mem::replace(&mut user.newest, slot);
        user.count += 1;
        if let Some(allocation) = slots.at_mut(previous) {
            allocation.next_of_user = slot;
        }
        if let Some(allocation) = slots.at_mut(slot) {
            allocation.previous_of_user = previous;
        }
    }

    /// Takes `allocation`, which is out of its slot already, from those of its username.
    pub(crate) fn unlink(&mut self, hash: &KeyedHash, slots: &mut Slots, allocation: &mut Allocation) {
        let Ok(mut entry) =
            self.users.find_entry(hash.hash(&*allocation.username), |user| user.name == allocation.username)
        else {
            return;
        };
        if !allocation.has_neighbours() {
            entry.remove();
            if self.users.len() < self.users.capacity() / 4 {
                self.users.shrink_to(self.users.len() * 2, |user| hash.hash(&*user.name));
            }
            return;
        }
        let previous = std::mem::replace(&mut allocation.previous_of_user, NO_SLOT);
        let next = std::mem::replace(&mut allocation.next_of_user, NO_SLOT);
        let user = entry.get_mut();
        user.count -= 1;
        match slots.at_mut(previous) {
            Some(neighbour) => neighbour.next_of_user = next,
            None => user.oldest = next,
        }
        match slots.at_mut(next) {
            Some(neighbour) => neighbour.previous_of_user = previous,
            None => user.newest = previous,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}
