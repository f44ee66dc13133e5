use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

use crate::{Allocation, AllocationId};

/// No slot. Each allocation has its own port, and there are at most 65,535 ports, so slots of real allocations are below this number.
pub(crate) const NO_SLOT: u16 = u16::MAX;

/// How many slots are allocated and freed at a time.
const CHUNK: usize = 32;

type Chunk = Box<[Option<Allocation>; CHUNK]>;

/// The storage of allocations. Indexes refer to an allocation by its slot, a small number that is used again; callers, by its id,
/// which is never used again.
///
/// Chunks hold the allocations themselves, so that the data path need not follow another pointer to reach one.
/// The lowest free slot is taken first, so that the last chunks become empty, and are freed, when allocations become fewer.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    chunks: Vec<Option<Chunk>>,
    /// How many slots of each chunk are taken.
    taken: Vec<u8>,
    /// The free slots among those of `chunks`, freed chunks included.
    free: BinaryHeap<Reverse<u16>>,
    len: usize,
    created: u64,
}

impl Slots {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The id of the next allocation. That has to be inserted before the next call.
    pub(crate) fn next_id(&mut self) -> AllocationId {
        if self.free.is_empty() {
            let first = self.chunks.len() * CHUNK;
            self.chunks.push(None);
            self.taken.push(0);
            self.free.extend((first..first + CHUNK).filter_map(|slot| u16::try_from(slot).ok().map(Reverse)));
        }
        let slot = self.free.peek().map_or(NO_SLOT, |lowest| lowest.0);
        AllocationId::new(self.created, slot)
    }

    /// Stores `allocation`, whose id comes from [`Self::next_id`].
    pub(crate) fn insert(&mut self, allocation: Allocation) -> &Allocation {
        self.free.pop();
        self.created += 1;
        self.len += 1;
        let (chunk, at) = place(allocation.id.slot());
        self.taken[chunk] += 1;
        let chunk = self.chunks[chunk].get_or_insert_with(|| Box::new(std::array::from_fn(|_| None)));
        chunk[at].insert(allocation)
    }

    /// Empty slots for allocations with these ids, after `created` were made. [`Self::put_back`] fills them.
    pub(crate) fn for_ids(created: u64, ids: impl Iterator<Item = AllocationId>) -> Self {
        let taken: BTreeSet<_> = ids.map(AllocationId::slot).collect();
        let chunks = taken.last().map_or(0, |last| usize::from(*last) / CHUNK + 1);
        let slots = (0..chunks * CHUNK).filter_map(|slot| u16::try_from(slot).ok());
        let free = slots.filter(|slot| !taken.contains(slot)).map(Reverse).collect();
        Self { chunks: (0..chunks).map(|_| None).collect(), taken: vec![0; chunks], free, len: 0, created }
    }

    /// Stores an allocation in the slot that its id names, which is empty.
    pub(crate) fn put_back(&mut self, allocation: Allocation) {
        self.len += 1;
        let (chunk, at) = place(allocation.id.slot());
        self.taken[chunk] += 1;
        let chunk = self.chunks[chunk].get_or_insert_with(|| Box::new(std::array::from_fn(|_| None)));
        chunk[at] = Some(allocation);
    }

    /// How many allocations were made.
    pub(crate) const fn created(&self) -> u64 {
        self.created
    }

    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let (chunk, at) = place(id.slot());
        let slots = self.chunks.get_mut(chunk)?;
        let removed = Box::new(slots.as_mut()?[at].take_if(|allocation| allocation.id == id)?);
        self.taken[chunk] -= 1;
        if self.taken[chunk] == 0 {
            *slots = None;
        }
        self.len -= 1;
        if self.len == 0 {
            *self = Self { created: self.created, ..Self::default() };
        } else {
            self.free.push(Reverse(id.slot()));
        }
        Some(removed)
    }

    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.at(id.slot()).filter(|allocation| allocation.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.at_mut(id.slot()).filter(|allocation| allocation.id == id)
    }

    #[inline]
    pub(crate) fn at(&self, slot: u16) -> Option<&Allocation> {
        let (chunk, at) = place(slot);
        self.chunks.get(chunk)?.as_ref()?[at].as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u16) -> Option<&mut Allocation> {
        let (chunk, at) = place(slot);
        self.chunks.get_mut(chunk)?.as_mut()?[at].as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.iter()).flatten()
    }
}

/// The chunk of `slot`, and its position in the chunk.
fn place(slot: u16) -> (usize, usize) {
    (usize::from(slot) / CHUNK, usize::from(slot) % CHUNK)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Allocations, PortRange, PortRequest,
        testing::{T0, request},
    };

    fn chunks(allocations: &Allocations) -> usize {
        allocations.slots.chunks.iter().flatten().count()
    }

    #[test]
    fn gives_memory_back_as_chunks_become_empty_and_takes_the_lowest_slot_first() {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let clients = 0..u16::try_from(4 * CHUNK).unwrap();
        let ids: Vec<_> =
            clients.map(|client| allocations.allocate(T0, request(client, PortRequest::Any)).unwrap().id()).collect();
        assert_eq!(chunks(&allocations), 4);
        for id in &ids[CHUNK..] {
            allocations.remove(*id);
        }
        assert_eq!(chunks(&allocations), 1);
        allocations.remove(ids[7]);
        let again = allocations.allocate(T0, request(7, PortRequest::Any)).unwrap().id();
        assert_eq!((again.slot(), chunks(&allocations)), (ids[7].slot(), 1));
        assert!(ids.iter().all(|id| *id < again));
        allocations.handle_timeout(T0 + Duration::from_secs(600));
        assert_eq!((chunks(&allocations), allocations.slots.free.capacity()), (0, 0));
    }
}
