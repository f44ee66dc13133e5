use hashbrown::HashTable;

use crate::{Allocation, FiveTuple, keyed_hash::KeyedHash, slots::Slots};

/// The allocation of each 5-tuple.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    table: HashTable<Entry>,
}

/// Four bytes, so that the table of a full relay stays within a core's cache.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Bits of the hash that the table does not use itself: with them, a look-up touches the allocation it is after and
    /// hardly ever another, each being a cache miss.
    check: u16,
    slot: u16,
}

impl Clients {
    pub(crate) fn find<'a>(
        &self,
        hash: &KeyedHash,
        slots: &'a Slots,
        five_tuple: &FiveTuple,
    ) -> Option<&'a Allocation> {
        let hashed = hash.five_tuple(five_tuple);
        let check = check_of(hashed);
        let mut found = None;
        self.table.find(hashed, |entry| {
            found = (entry.check == check)
                .then(|| slots.at(entry.slot))
                .flatten()
                .filter(|allocation| allocation.five_tuple == *five_tuple);
            found.is_some()
        });
        found
    }

    /// Adds the allocation that will be in `slot`, whose 5-tuple has none yet.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, slots: &Slots, five_tuple: &FiveTuple, slot: u16) {
        let hashed = hash.five_tuple(five_tuple);
        self.table.insert_unique(hashed, Entry { check: check_of(hashed), slot }, rehash(hash, slots));
    }

    /// Takes out `allocation`, which is out of its slot already.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, slots: &Slots, allocation: &Allocation) {
        let slot = allocation.id.slot();
        if let Ok(entry) = self.table.find_entry(hash.five_tuple(&allocation.five_tuple), |entry| entry.slot == slot) {
            entry.remove();
        }
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.table.len() * 2, rehash(hash, slots));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// hashbrown takes the lowest bits, 17 at most for so few entries, and the highest seven.
#[expect(clippy::cast_possible_truncation, reason = "16 bits are wanted")]
const fn check_of(hashed: u64) -> u16 {
    (hashed >> 40) as u16
}

fn rehash(hash: &KeyedHash, slots: &Slots) -> impl Fn(&Entry) -> u64 {
    // Every slot in the table is taken; if one were not, its entry could not be found, whatever its hash.
    |entry| slots.at(entry.slot).map_or(0, |allocation| hash.five_tuple(&allocation.five_tuple))
}
