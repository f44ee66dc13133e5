use crate::slots::NO_SLOT;

/// At most this share of the places is taken. With more, too many look-ups would read a second cache line. In a full relay, half of
/// them are taken.
const FULLEST: Share = Share { taken: 5, of: 8 };

/// The table shrinks if a smaller share is taken.
const EMPTIEST: Share = Share { taken: 1, of: 8 };

/// How many places the smallest table has: a cache line's worth.
const FEWEST: usize = 16;

struct Share {
    taken: usize,
    of: usize,
}

/// A hash table of slots, found by a hash of the allocation in them, with open addressing and linear probing.
///
/// A `hashbrown` table has two parts, and a look-up reads a cache line of each: two cache misses in a large table. This one reads
/// one cache line of one list. A search begins at the place that the hash selects, wraps around at the end, and stops at a free place.
#[derive(Debug, Default)]
pub(crate) struct SlotTable {
    /// Empty, or of a length that is a power of two.
    places: Vec<Entry>,
    len: usize,
}

/// Four bytes, so that the table of a full relay takes 512 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Bits of the hash that do not select the place. They differ between most entries, so a look-up hardly ever reads an allocation
    /// other than the one it looks for: that would be a cache miss.
    check: u16,
    /// [`NO_SLOT`] if the place is free.
    slot: u16,
}

const FREE: Entry = Entry { check: 0, slot: NO_SLOT };

impl SlotTable {
    /// A table with room for `len` slots that contains `entries`, each a hash and a slot.
    pub(crate) fn new(len: usize, entries: impl Iterator<Item = (u64, u16)>) -> Self {
        let mut table = Self { places: vec![FREE; places_for(len)], len: 0 };
        for (hashed, slot) in entries {
            table.insert(hashed, slot);
        }
        table
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Calls `look` with the slots of this hash until it returns something, and returns that.
    pub(crate) fn find<T>(&self, hashed: u64, mut look: impl FnMut(u16) -> Option<T>) -> Option<T> {
        let check = check_of(hashed);
        let mut at = self.home(hashed);
        loop {
            // The loop ends: if there are places at all, one of them is free.
            let entry = *self.places.get(at)?;
            if entry.slot == NO_SLOT {
                return None;
            }
            if entry.check == check
                && let Some(found) = look(entry.slot)
            {
                return Some(found);
            }
            at = self.after(at);
        }
    }

    /// Whether there is no room for another slot.
    pub(crate) const fn is_full(&self) -> bool {
        (self.len + 1) * FULLEST.of > self.places.len() * FULLEST.taken
    }

    /// Whether so few places are taken that the table is worth shrinking.
    pub(crate) fn is_sparse(&self) -> bool {
        self.len * EMPTIEST.of < self.places.len() * EMPTIEST.taken && places_for(self.len) < self.places.len()
    }

    /// Adds `slot`, which must not be in the table. The table must not be [full](Self::is_full).
    pub(crate) fn insert(&mut self, hashed: u64, slot: u16) {
        let mut at = self.home(hashed);
        while let Some(entry) = self.places.get_mut(at) {
            if entry.slot == NO_SLOT {
                *entry = Entry { check: check_of(hashed), slot };
                self.len += 1;
                return;
            }
            at = self.after(at);
        }
    }

    /// Removes `slot`, if it is in the table. `hash_of` returns the hash of every other slot in the table.
    pub(crate) fn remove(&mut self, hashed: u64, slot: u16, hash_of: impl Fn(u16) -> u64) {
        let mut gap = self.home(hashed);
        loop {
            let Some(entry) = self.places.get(gap) else { return };
            if entry.slot == NO_SLOT {
                return;
            }
            if entry.slot == slot {
                break;
            }
            gap = self.after(gap);
        }
        self.len -= 1;
        // Entries between here and the next free place may be there because this place was taken: move them back.
        let mut at = gap;
        loop {
            at = self.after(at);
            let entry = self.places[at];
            if entry.slot == NO_SLOT {
                break;
            }
            if self.distance(self.home(hash_of(entry.slot)), at) >= self.distance(gap, at) {
                self.places[gap] = entry;
                gap = at;
            }
        }
        self.places[gap] = FREE;
    }

    /// The place where the search for a hash begins, if there are any places.
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are wanted, 17 at most")]
    const fn home(&self, hashed: u64) -> usize {
        hashed as usize & self.mask()
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    /// The number of steps from one place to another.
    const fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    const fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }
}

/// How many places a new table has for `len` slots: a quarter to a half of them are taken.
fn places_for(len: usize) -> usize {
    if len == 0 { 0 } else { (2 * len).next_power_of_two().max(FEWEST) }
}

const fn check_of(hashed: u64) -> u16 {
    (hashed >> 48) as u16
}

#[cfg(any(test, feature = "invariants"))]
impl SlotTable {
    /// Checks that every slot is found, and that a free place ends every search.
    pub(crate) fn assert_consistent(&self, hash_of: impl Fn(u16) -> u64) {
        let taken = self.places.iter().filter(|entry| entry.slot != NO_SLOT);
        assert_eq!(taken.clone().count(), self.len);
        assert!(self.len * FULLEST.of <= self.places.len() * FULLEST.taken);
        assert!(!self.is_sparse());
        for entry in taken {
            let hashed = hash_of(entry.slot);
            assert_eq!(self.find(hashed, |slot| (slot == entry.slot).then_some(slot)), Some(entry.slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// A table with room for `len` slots, as the owner of the table makes it.
    fn table_of(len: usize, slots: &BTreeSet<u16>, hash_of: impl Fn(u16) -> u64) -> SlotTable {
        SlotTable::new(len, slots.iter().map(|&slot| (hash_of(slot), slot)))
    }

    #[test]
    fn no_places_are_searched_in_vain() {
        let mut table = SlotTable::default();
        table.remove(7, 7, |_| 0);
        assert_eq!(table.find(7, Some), None);
        assert!(table.is_full() && !table.is_sparse());
    }

    #[test]
    fn has_as_many_places_as_slots_need() {
        for (len, places) in
            [(0, 0), (1, 16), (8, 16), (9, 32), (16, 32), (17, 64), (32_769, 131_072), (65_535, 131_072)]
        {
            assert_eq!(places_for(len), places);
        }
        assert_eq!(size_of::<Entry>(), 4);
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        /// Compares the table with a set. The fewer bits of the hashes count, the more slots have the same home and the same check.
        #[test]
        fn holds_what_was_inserted_and_not_removed(
            bits in prop::sample::select(vec![0, 1 | 1 << 48, 0xF, 0xF | 0xF << 48, u64::MAX]),
            seed in any::<u64>(),
            ops in prop::collection::vec((any::<bool>(), 0_u16..100), 1..400),
        ) {
            // The multiplication spreads bits upwards, and the rotation brings them down.
            let hash_of = |slot: u16| (seed ^ u64::from(slot)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) & bits;
            let (mut table, mut slots) = (SlotTable::default(), BTreeSet::new());
            for (insert, slot) in ops {
                if insert && !slots.contains(&slot) {
                    if table.is_full() {
                        table = table_of(slots.len() + 1, &slots, hash_of);
                    }
                    table.insert(hash_of(slot), slot);
                    slots.insert(slot);
                } else if !insert {
                    table.remove(hash_of(slot), slot, hash_of);
                    slots.remove(&slot);
                    if table.is_sparse() {
                        table = table_of(slots.len(), &slots, hash_of);
                    }
                }
                prop_assert_eq!(table.len(), slots.len());
                table.assert_consistent(hash_of);
                for slot in 0..100 {
                    let found = table.find(hash_of(slot), |other| (other == slot).then_some(()));
                    prop_assert_eq!(found.is_some(), slots.contains(&slot));
                }
            }
        }
    }
}
