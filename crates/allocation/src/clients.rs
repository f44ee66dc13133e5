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

    /// Adds the allocation that will be in `slot`, and is not there yet; its 5-tuple has none yet.
    pub(crate) fn insert(&mut self, hash: &KeyedHash, slots: &Slots, five_tuple: &FiveTuple, slot: u16) {
        if self.table.is_full() {
            self.resize(hash, slots, self.table.len() + 1);
        }
        self.table.insert(hash.five_tuple(five_tuple), slot);
    }

    /// Takes out `allocation`, which is out of its slot already.
    pub(crate) fn remove(&mut self, hash: &KeyedHash, slots: &Slots, allocation: &Allocation) {
        self.table
            .remove(hash.five_tuple(&allocation.five_tuple()), allocation.id.slot(), |slot| hash_of(hash, slots, slot));
        if self.table.is_sparse() {
            self.resize(hash, slots, self.table.len());
        }
    }

    /// Makes room for `len` allocations, or gives back that for more. All that are in their slots are in the table.
    fn resize(&mut self, hash: &KeyedHash, slots: &Slots, len: usize) {
        // From one slot to the next: unlike the order of the table, that is one that the processor foresees.
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
    // Every slot in the table is taken; if one were not, its entry could not be found, whatever its hash.
    slots.at(slot).map_or(0, |allocation| hash.five_tuple(&allocation.five_tuple()))
}
