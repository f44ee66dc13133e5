use crate::{Allocation, FiveTuple, keyed_hash::KeyedHash, slot_table::SlotTable, slots::Slots};

/// The allocation of each 5-tuple.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    table: SlotTable,
}

impl Clients {
    pub(crate) fn find<'a>(
        &self,
        hash: &KeyedHash,
        slots: &'a Slots,
        five_tuple: &FiveTuple,
    ) -> Option<&'a Allocation> {
        self.table.find(hash.five_tuple(five_tuple), |slot| {
            slots.at(slot).filter(|allocation| allocation.five_tuple() == *five_tuple)
        })
    }

    /// Adds the allocation that will be stored in `slot` afterwards. Its 5-tuple must not have one yet.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, slots: &Slots, five_tuple: &FiveTuple, slot: u16) {
        if self.table.is_full() {
            self.resize(hash, slots, self.table.len() + 1);
        }
        self.table.insert(hash.five_tuple(five_tuple), slot);
    }

    /// Removes `allocation`, which has been taken out of its slot already.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, slots: &Slots, allocation: &Allocation) {
        self.table
            .remove(hash.five_tuple(&allocation.five_tuple()), allocation.id.slot(), |slot| hash_of(hash, slots, slot));
        if self.table.is_sparse() {
            self.resize(hash, slots, self.table.len());
        }
    }

    /// Grows or shrinks the table to `len` allocations, and fills it from `slots`.
    fn resize(&mut self, hash: &KeyedHash, slots: &Slots, len: usize) {
        // In the order of slots, not of the table: the processor can prefetch sequential reads.
        let all = slots.iter().map(|allocation| (hash.five_tuple(&allocation.five_tuple()), allocation.id.slot()));
        self.table = SlotTable::new(len, all);
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn assert_consistent(&self, hash: &KeyedHash, slots: &Slots) {
        self.table.assert_consistent(|slot| hash_of(hash, slots, slot));
    }
}

fn hash_of(hash: &KeyedHash, slots: &Slots, slot: u16) -> u64 {
    // Every slot in the table holds an allocation. The entry of an empty one could not be found with any hash.
    slots.at(slot).map_or(0, |allocation| hash.five_tuple(&allocation.five_tuple()))
}
