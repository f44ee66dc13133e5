use crate::{Allocation, AllocationId, keyed_hash::KeyedHash};

/// No slot. An allocation has a port of its own and there are at most 65,535, so this many slots are never taken.
pub(crate) const NO_SLOT: u16 = u16::MAX;

/// Where allocations live: small numbers for the indexes to hold, ids that are never used twice to hand out.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Box<Allocation>>>,
    free: Vec<u16>,
    created: u64,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The id of the next allocation, which is to be inserted at once.
    pub(crate) fn take_id(&mut self) -> AllocationId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u16::try_from(self.slots.len() - 1).unwrap_or(NO_SLOT)
        });
        let id = AllocationId::new(self.created, slot);
        self.created += 1;
        id
    }

    /// Stores `allocation`, whose id comes from [`Self::take_id`].
    pub(crate) fn insert(&mut self, allocation: Box<Allocation>) -> &Allocation {
        self.slots[usize::from(allocation.id.slot())].insert(allocation)
    }

    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let removed = self.slots.get_mut(usize::from(id.slot()))?.take_if(|allocation| allocation.id == id)?;
        self.free.push(id.slot());
        if self.free.len() == self.slots.len() {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
        Some(removed)
    }

    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.at(id.slot()).filter(|allocation| allocation.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.at_mut(id.slot()).filter(|allocation| allocation.id == id)
    }

    pub(crate) fn at(&self, slot: u16) -> Option<&Allocation> {
        self.slots.get(usize::from(slot))?.as_deref()
    }

    pub(crate) fn at_mut(&mut self, slot: u16) -> Option<&mut Allocation> {
        self.slots.get_mut(usize::from(slot))?.as_deref_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.slots.iter().flatten().map(Box::as_ref)
    }

    /// What a table of slots needs to know to move its entries: the hash of each one's 5-tuple.
    pub(crate) fn rehash_five_tuple(&self, hash: &KeyedHash) -> impl Fn(&u16) -> u64 {
        // Every slot in such a table is taken; one that were not could never be found, whatever its hash.
        |slot| self.at(*slot).map_or(0, |allocation| hash.hash(&allocation.five_tuple))
    }
}
