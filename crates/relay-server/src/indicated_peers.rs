//! The peers that clients exchange data with by indications, as far as a faster data path is to know them.

use std::collections::BTreeMap;

use crate::{AllocationId, PeerSocket};

/// How many such peers of one allocation are remembered. Data of others is relayed all the same, by the state machine.
pub const INDICATED_PEERS_PER_ALLOCATION: usize = 64;

/// Transport addresses of peers, by allocation: so many in all and of each, and none makes room for another.
#[derive(Debug, Default)]
pub(crate) struct IndicatedPeers {
    /// How many there may be in all.
    limit: u32,
    count: u32,
    /// In ascending order, and none is empty.
    by_allocation: BTreeMap<AllocationId, Vec<PeerSocket>>,
}

impl IndicatedPeers {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, count: 0, by_allocation: BTreeMap::new() }
    }

    /// Whether there may be any.
    pub(crate) const fn are_wanted(&self) -> bool {
        self.limit > 0
    }

    /// Those of allocation `id`.
    #[inline]
    pub(crate) fn of(&self, id: AllocationId) -> &[PeerSocket] {
        if self.count == 0 { &[] } else { self.by_allocation.get(&id).map_or(&[], Vec::as_slice) }
    }

    /// Those of each allocation that has any, oldest first.
    pub(crate) fn by_allocation(&self) -> impl Iterator<Item = (AllocationId, &[PeerSocket])> {
        self.by_allocation.iter().map(|(id, peers)| (*id, peers.as_slice()))
    }

    #[inline]
    pub(crate) fn contains(&self, id: AllocationId, peer: PeerSocket) -> bool {
        self.of(id).binary_search(&peer).is_ok()
    }

    /// Whether one more of allocation `id` has room.
    pub(crate) fn has_room(&self, id: AllocationId) -> bool {
        self.count < self.limit && self.of(id).len() < INDICATED_PEERS_PER_ALLOCATION
    }

    /// Adds a peer that is not there, if it has room.
    pub(crate) fn insert(&mut self, id: AllocationId, peer: PeerSocket) -> bool {
        if !self.has_room(id) {
            return false;
        }
        let peers = self.by_allocation.entry(id).or_default();
        let Err(at) = peers.binary_search(&peer) else { return false };
        if peers.is_empty() {
            // Most allocations talk to one or two, and a list begins with room for four.
            peers.reserve_exact(1);
        }
        peers.insert(at, peer);
        self.count += 1;
        true
    }

    /// Takes out those of allocation `id` that are `gone`.
    pub(crate) fn take(&mut self, id: AllocationId, gone: &dyn Fn(PeerSocket) -> bool) -> Vec<PeerSocket> {
        let Some(peers) = self.by_allocation.get_mut(&id) else { return Vec::new() };
        let taken: Vec<_> = peers.extract_if(.., |peer| gone(*peer)).collect();
        if peers.is_empty() {
            self.by_allocation.remove(&id);
        } else if peers.len() < peers.capacity() / 4 {
            peers.shrink_to(peers.len() * 2);
        }
        self.count -= u32::try_from(taken.len()).unwrap_or(u32::MAX);
        taken
    }
}

#[cfg(any(test, feature = "invariants"))]
impl IndicatedPeers {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, PeerSocket)> {
        self.by_allocation.iter().flat_map(|(id, peers)| peers.iter().map(|peer| (*id, *peer)))
    }

    /// Counts agree, bounds hold, and each allocation's are in order.
    pub(crate) fn assert_consistent(&self) {
        assert_eq!(self.count as usize, self.iter().count());
        assert!(self.count <= self.limit);
        for peers in self.by_allocation.values() {
            assert!((1..=INDICATED_PEERS_PER_ALLOCATION).contains(&peers.len()));
            assert!(peers.is_sorted_by(|one, next| one < next), "{peers:?}");
        }
    }
}

#[cfg(test)]
#[path = "indicated_peers_tests.rs"]
mod tests;
