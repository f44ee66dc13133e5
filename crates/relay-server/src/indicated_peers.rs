//! The remembered peers: those that clients exchange indications with, so that a faster data path can forward them.

use std::collections::BTreeMap;

use crate::{AllocationId, PeerSocket};

/// How many peers of one allocation are remembered. The state machine relays data of all others.
pub const INDICATED_PEERS_PER_ALLOCATION: usize = 64;

/// Transport addresses of peers, by allocation. When the total or the allocation's share is full, a new peer is not added; none is
/// evicted.
#[derive(Debug, Default)]
pub(crate) struct IndicatedPeers {
    /// The most peers of all allocations together.
    limit: u32,
    count: u32,
    /// The lists are sorted and not empty.
    by_allocation: BTreeMap<AllocationId, Vec<PeerSocket>>,
}

impl IndicatedPeers {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, count: 0, by_allocation: BTreeMap::new() }
    }

    /// Whether any peer is remembered at all.
    pub(crate) const fn are_wanted(&self) -> bool {
        self.limit > 0
    }

    /// The remembered peers of allocation `id`.
    #[inline]
    pub(crate) fn of(&self, id: AllocationId) -> &[PeerSocket] {
        if self.count == 0 { &[] } else { self.by_allocation.get(&id).map_or(&[], Vec::as_slice) }
    }

    /// The remembered peers of each allocation that has any, in the order of allocation ids.
    pub(crate) fn by_allocation(&self) -> impl Iterator<Item = (AllocationId, &[PeerSocket])> {
        self.by_allocation.iter().map(|(id, peers)| (*id, peers.as_slice()))
    }

    #[inline]
    pub(crate) fn contains(&self, id: AllocationId, peer: PeerSocket) -> bool {
        self.of(id).binary_search(&peer).is_ok()
    }

    /// Whether one more peer of allocation `id` fits.
    pub(crate) fn has_room(&self, id: AllocationId) -> bool {
        self.count < self.limit && self.of(id).len() < INDICATED_PEERS_PER_ALLOCATION
    }

    /// Adds `peer` if it is new and fits. Returns whether it did.
    pub(crate) fn insert(&mut self, id: AllocationId, peer: PeerSocket) -> bool {
        if !self.has_room(id) {
            return false;
        }
        let peers = self.by_allocation.entry(id).or_default();
        let Err(at) = peers.binary_search(&peer) else { return false };
        if peers.is_empty() {
            // Most allocations have one or two peers, and a list's first growth would make room for four.
            peers.reserve_exact(1);
        }
        peers.insert(at, peer);
        self.count += 1;
        true
    }

    /// Removes and returns the peers of allocation `id` for which `gone` is true.
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
    /// All remembered peers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, PeerSocket)> {
        self.by_allocation.iter().flat_map(|(id, peers)| peers.iter().map(|peer| (*id, *peer)))
    }

    /// Checks that the counts agree, the limits hold, and each list is sorted.
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
