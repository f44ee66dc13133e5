//! The channels of other shards' clients that this shard's clients can send to directly.

use std::fmt;

use allocation::KeyedHash;
use hashbrown::HashTable;
use rand::RngCore;

use crate::{AllocationPort, ChannelNumber, Crossing, Family, FiveTuple, Traffic};

/// The channels of other shards' allocations that are bound to ports of this shard.
///
/// The hash is keyed: clients choose the ports, by binding channels.
pub(crate) struct Crossings {
    hash: KeyedHash,
    table: HashTable<Known>,
}

/// A crossing and the traffic that it has carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) crossing: Crossing,
    pub(crate) crossed: Traffic,
}

impl Crossings {
    pub(crate) fn new(rng: &mut impl RngCore) -> Self {
        Self { hash: KeyedHash::new(rng), table: HashTable::new() }
    }

    /// The client and the channel for data from port `from` to port `to`.
    pub(crate) fn find(
        &self,
        family: Family,
        from: AllocationPort,
        to: AllocationPort,
    ) -> Option<(FiveTuple, ChannelNumber)> {
        let key = key(family, from, to);
        let Known { crossing, .. } = self.table.find(self.hash.number(key), |known| key_of(&known.crossing) == key)?;
        Some((crossing.five_tuple, crossing.channel))
    }

    /// Like [`Self::find`], and counts a packet with `bytes` bytes of application data.
    pub(crate) fn relay(
        &mut self,
        family: Family,
        from: AllocationPort,
        to: AllocationPort,
        bytes: usize,
    ) -> Option<(FiveTuple, ChannelNumber)> {
        let key = key(family, from, to);
        let hash = self.hash.number(key);
        let Known { crossing, crossed } = self.table.find_mut(hash, |known| key_of(&known.crossing) == key)?;
        crossed.count(bytes);
        Some((crossing.five_tuple, crossing.channel))
    }

    /// All crossings, with the traffic that each has carried so far.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Crossing, Traffic)> {
        self.table.iter().map(|known| (known.crossing, known.crossed))
    }

    /// Adds a crossing. The last message wins: the shard of a port's new owner may announce its channel before the shard of the old
    /// owner announces the end of the old one. Returns the crossing that this one replaces.
    pub(crate) fn insert(&mut self, crossing: Crossing) -> Option<Known> {
        let new = Known { crossing, crossed: Traffic::default() };
        let key = key_of(&crossing);
        let hash = self.hash.number(key);
        if let Some(known) = self.table.find_mut(hash, |known| key_of(&known.crossing) == key) {
            return Some(std::mem::replace(known, new));
        }
        let Self { hash: keyed, table } = self;
        table.insert_unique(hash, new, |known| keyed.number(key_of(&known.crossing)));
        None
    }

    /// Restores a crossing from a snapshot, with the traffic that it has carried. Returns the crossing that it replaces.
    pub(crate) fn put_back(&mut self, crossing: Crossing, crossed: Traffic) -> Option<Known> {
        let before = self.insert(crossing);
        let key = key_of(&crossing);
        if let Some(known) = self.table.find_mut(self.hash.number(key), |known| key_of(&known.crossing) == key) {
            known.crossed = crossed;
        }
        before
    }

    /// Removes `crossing`, unless a newer one has replaced it.
    pub(crate) fn remove(&mut self, crossing: &Crossing) -> Option<Known> {
        let known =
            self.table.find_entry(self.hash.number(key_of(crossing)), |known| known.crossing == *crossing).ok()?;
        let (removed, _) = known.remove();
        let Self { hash: keyed, table } = self;
        if table.len() < table.capacity() / 4 {
            table.shrink_to(table.len() * 2, |known| keyed.number(key_of(&known.crossing)));
        }
        Some(removed)
    }
}

impl fmt::Debug for Crossings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crossings").field("len", &self.table.len()).finish_non_exhaustive()
    }
}

fn key_of(crossing: &Crossing) -> u64 {
    key(crossing.family, crossing.from, crossing.to)
}

fn key(family: Family, from: AllocationPort, to: AllocationPort) -> u64 {
    let family = match family {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    family << 32 | u64::from(from.get()) << 16 | u64::from(to.get())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn crossings() -> Crossings {
        Crossings::new(&mut ChaCha20Rng::from_seed([3; 32]))
    }

    fn crossing(from: u16, to: u16) -> Crossing {
        Crossing {
            family: Family::V4,
            from: AllocationPort::new(from),
            to: AllocationPort::new(to),
            five_tuple: FiveTuple {
                client: SocketAddr::from(([198, 51, 100, 1], to)).into(),
                server: IpAddr::from([192, 0, 2, 1]),
            },
            channel: ChannelNumber::MIN,
        }
    }

    fn find(crossings: &Crossings, crossing: &Crossing) -> Option<(FiveTuple, ChannelNumber)> {
        crossings.find(crossing.family, crossing.from, crossing.to)
    }

    #[test]
    fn a_crossing_has_one_direction_and_one_family() {
        let mut crossings = crossings();
        let known = crossing(1, 2);
        crossings.insert(known);
        assert_eq!(find(&crossings, &known), Some((known.five_tuple, known.channel)));
        for other in [crossing(2, 1), crossing(1, 1), crossing(1, 3), Crossing { family: Family::V6, ..known }] {
            assert_eq!(find(&crossings, &other), None);
        }
    }

    #[test]
    fn a_late_word_of_the_end_does_not_end_what_began_meanwhile() {
        let mut crossings = crossings();
        let old = crossing(1, 2);
        let new = Crossing { five_tuple: crossing(1, 3).five_tuple, ..old };
        assert!(crossings.insert(old).is_none());
        assert!(crossings.relay(old.family, old.from, old.to, 100).is_some());
        assert!(crossings.relay(old.family, old.to, old.from, 100).is_none());
        let replaced = crossings.insert(new).map(|known| (known.crossing, known.crossed));
        assert_eq!(replaced, Some((old, Traffic { packets: 1, bytes: 100 })));
        assert_eq!(crossings.iter().collect::<Vec<_>>(), [(new, Traffic::default())]);
        assert!(crossings.remove(&old).is_none());
        assert_eq!(find(&crossings, &old), Some((new.five_tuple, new.channel)));
        assert!(crossings.remove(&new).is_some());
        assert_eq!(find(&crossings, &old), None);
        assert!(crossings.remove(&new).is_none());
    }

    #[test]
    fn what_is_over_takes_no_memory() {
        let mut crossings = crossings();
        assert_eq!(crossings.table.capacity(), 0);
        for to in 0..10_000 {
            crossings.insert(crossing(to % 7, to));
        }
        assert_eq!(crossings.table.len(), 10_000);
        for to in 0..10_000 {
            assert!(crossings.remove(&crossing(to % 7, to)).is_some());
        }
        assert_eq!(crossings.table.capacity(), 0);
    }
}
