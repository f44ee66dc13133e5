use std::net::IpAddr;

use hashbrown::HashTable;

use crate::{Permission, Timestamp, keyed_hash::KeyedHash};

/// Up to this many permissions are searched from end to end, which is faster than an index and takes no memory for it.
const UNINDEXED: usize = 8;

/// The permissions of one allocation, found by address.
///
/// A timer refers to a permission by its position in the list: an address would make every timer of the relay larger.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    list: Vec<Permission>,
    index: Option<Box<HashTable<u16>>>,
}

/// What a removal did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) permission: Permission,
    /// The permission that moved into the gap, and its former position.
    pub(crate) moved: Option<(Permission, u16)>,
}

impl Permissions {
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[Permission] {
        &self.list
    }

    /// Whether there is a permission for `address`. Most allocations have a handful, so the search through the list is inlined.
    #[inline]
    pub(crate) fn contains(&self, hash: &KeyedHash, address: IpAddr) -> bool {
        if self.index.is_some() {
            return self.contains_among_many(hash, address);
        }
        match address {
            IpAddr::V4(v4) => {
                self.list.iter().any(|permission| matches!(permission.address, IpAddr::V4(ip) if ip == v4))
            }
            IpAddr::V6(v6) => {
                self.list.iter().any(|permission| matches!(permission.address, IpAddr::V6(ip) if ip == v6))
            }
        }
    }

    /// A separate cold function, so that its use of registers does not slow down the search through a short list.
    #[cold]
    fn contains_among_many(&self, hash: &KeyedHash, address: IpAddr) -> bool {
        self.position(hash, address).is_some()
    }

    pub(crate) fn position(&self, hash: &KeyedHash, address: IpAddr) -> Option<u16> {
        match &self.index {
            None => self.list.iter().position(|permission| permission.address == address).map(position),
            Some(index) => {
                index.find(hash.address(address), |at| self.list[usize::from(*at)].address == address).copied()
            }
        }
    }

    /// Renews the permission at position `at`, and returns when it would have ended.
    pub(crate) fn renew(&mut self, at: u16, expires_at: Timestamp) -> Option<Timestamp> {
        let permission = self.list.get_mut(usize::from(at))?;
        Some(std::mem::replace(&mut permission.expires_at, expires_at))
    }

    /// Adds a permission for a new address, and returns its position.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, permission: Permission) -> u16 {
        let at = position(self.list.len());
        if self.list.is_empty() {
            // Most allocations have one or two permissions, and a `Vec` would begin with room for four.
            self.list.reserve_exact(1);
        }
        self.list.push(permission);
        let list = &self.list;
        let hash_at = |at: &u16| hash.address(list[usize::from(*at)].address);
        match &mut self.index {
            Some(index) => _ = index.insert_unique(hash.address(permission.address), at, hash_at),
            None if list.len() > UNINDEXED => {
                let mut index = Box::<HashTable<u16>>::default();
                for at in 0..position(list.len()) {
                    index.insert_unique(hash_at(&at), at, hash_at);
                }
                self.index = Some(index);
            }
            None => {}
        }
        at
    }

    /// Removes the permission at position `at`. The last one moves there.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, at: u16) -> Option<Removed> {
        let permission = *self.list.get(usize::from(at))?;
        let last = position(self.list.len() - 1);
        let moved = (at != last).then(|| self.list[usize::from(last)]);
        if let Some(index) = &mut self.index {
            if let Ok(entry) = index.find_entry(hash.address(permission.address), |other| *other == at) {
                entry.remove();
            }
            if let Some(moved) = moved
                && let Some(position) = index.find_mut(hash.address(moved.address), |other| *other == last)
            {
                *position = at;
            }
        }
        self.list.swap_remove(usize::from(at));
        // Half of the threshold, so that one permission more or less does not build and drop the index repeatedly.
        if self.list.len() <= UNINDEXED / 2 {
            self.index = None;
        }
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            let list = &self.list;
            if let Some(index) = &mut self.index {
                index.shrink_to(list.len() * 2, |at| hash.address(list[usize::from(*at)].address));
            }
        }
        Some(Removed { permission, moved: moved.map(|moved| (moved, last)) })
    }
}

/// [`Limits::permissions_per_allocation`](crate::Limits::permissions_per_allocation) is 16 bits, so positions always fit.
fn position(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(any(test, feature = "invariants"))]
impl Permissions {
    /// Checks that every permission is found by its address, and that the index holds nothing else.
    pub(crate) fn assert_consistent(&self, hash: &KeyedHash) {
        for (at, permission) in self.list.iter().enumerate() {
            assert_eq!(self.position(hash, permission.address), Some(position(at)));
        }
        if let Some(index) = &self.index {
            assert_eq!(index.len(), self.list.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn permission(last: u16) -> Permission {
        let [high, low] = last.to_be_bytes();
        Permission { address: [198, 51, high, low].into(), expires_at: Timestamp::from_secs(last.into()) }
    }

    #[test]
    fn any_number_is_found_by_address_until_removed_and_memory_comes_back() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let hash = KeyedHash::new(&mut rng);
        let mut permissions = Permissions::default();
        for number in 0..100 {
            assert_eq!(permissions.position(&hash, permission(number).address), None);
            assert_eq!(permissions.insert(&hash, permission(number)), number);
            permissions.assert_consistent(&hash);
            assert_eq!(permissions.index.is_some(), usize::from(number) + 1 > UNINDEXED);
        }
        for left in (0..100).rev() {
            let at = rng.random_range(0..=left);
            let (gone, last) = (permissions.list[usize::from(at)], permissions.list[usize::from(left)]);
            let moved = (at != left).then_some((last, left));
            assert_eq!(permissions.remove(&hash, at), Some(Removed { permission: gone, moved }));
            assert_eq!(permissions.position(&hash, gone.address), None);
            permissions.assert_consistent(&hash);
        }
        assert_eq!(permissions.remove(&hash, 0), None);
        assert!(permissions.is_empty() && permissions.index.is_none() && permissions.list.capacity() == 0);
    }

    #[test]
    fn a_permission_is_renewed_in_its_place() {
        let hash = KeyedHash::new(&mut ChaCha20Rng::from_seed([3; 32]));
        let mut permissions = Permissions::default();
        let at = permissions.insert(&hash, permission(1));
        assert_eq!(permissions.renew(at, Timestamp::from_secs(9)), Some(Timestamp::from_secs(1)));
        assert_eq!(permissions.as_slice()[0].expires_at, Timestamp::from_secs(9));
        assert_eq!(permissions.renew(at + 1, Timestamp::from_secs(9)), None);
    }
}
