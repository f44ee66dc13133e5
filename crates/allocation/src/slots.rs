use crate::{Allocation, AllocationId};

/// No slot. There are at most 65,535 ports, so this many slots are never taken.
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

    /// Stores what `make` makes for the id it is given; `None` when all slots are taken.
    pub(crate) fn insert(&mut self, make: impl FnOnce(AllocationId) -> Box<Allocation>) -> Option<AllocationId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u16::try_from(self.slots.len()).ok().filter(|slot| *slot != NO_SLOT)?;
                self.slots.push(None);
                slot
            }
        };
        let id = AllocationId::new(self.created, slot);
        self.created += 1;
        self.slots[usize::from(slot)] = Some(make(id));
        Some(id)
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
}
