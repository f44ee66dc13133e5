//! Rebuilds every index from the allocations and compares: an index is only a cache.

use std::collections::{BTreeMap, BTreeSet};

use super::Allocations;
use crate::{AllocationPort, Timestamp, shortcut::Shortcut, slots::NO_SLOT, timers::TimerKey};

impl Allocations {
    /// Checks that every index agrees with the allocations, and that every port of this shard is in exactly one place.
    ///
    /// # Panics
    ///
    /// When a check fails.
    pub fn assert_consistent(&self) {
        let all: Vec<_> = self.iter().collect();
        assert_eq!(self.len(), all.len());

        // Client to allocation, port to allocation.
        assert_eq!(self.clients.len(), all.len());
        self.clients.assert_consistent(&self.hash, &self.slots);
        let mut by_port = vec![NO_SLOT; self.by_port.len()];
        for allocation in &all {
            assert_eq!(self.get(allocation.id()).map(|found| found.id()), Some(allocation.id()));
            assert_eq!(self.by_five_tuple(&allocation.five_tuple()).map(|found| found.id()), Some(allocation.id()));
            let index = self.ports.index_of(allocation.port());
            assert!(index.is_some(), "{} is no port of any shard", allocation.port());
            index.into_iter().for_each(|index| by_port[index] = allocation.id().slot());
        }
        assert_eq!(self.by_port, by_port);

        // User to allocations.
        let mut by_user = BTreeMap::<_, BTreeSet<_>>::new();
        for allocation in &all {
            by_user.entry(&**allocation.owner().user_id()).or_default().insert(allocation.id());
        }
        assert_eq!(self.users.len(), by_user.len());
        for (user, ids) in by_user {
            assert_eq!(self.count_of_user(user), ids.len());
            assert!(self.of_user(user).map(|allocation| allocation.id()).eq(ids), "oldest first");
        }

        // Timers: each owner's armed deadline, and nothing else.
        let mut timers: BTreeSet<(Timestamp, TimerKey)> = self.reservations.timers().collect();
        for allocation in &all {
            timers.insert(allocation.timer());
            timers.extend(allocation.permission_timers());
            timers.extend(allocation.channels().iter().map(|channel| channel.timer(allocation.id())));
        }
        let mut quarantined = BTreeSet::new();
        for (at, key) in self.timers.iter() {
            match key {
                TimerKey::Quarantine(port) => assert!(quarantined.insert(port), "{port} is in quarantine twice"),
                TimerKey::Wait(_) => {}
                _ => assert!(timers.remove(&(at, key)), "nobody armed {key:?} at {at:?}"),
            }
        }
        assert_eq!(timers, BTreeSet::new(), "armed, but not in the queue");
        assert_eq!(self.poll_timeout(), self.timers.iter().map(|(at, _)| at).min());

        // Every port of this shard is in exactly one place.
        let mut ports: BTreeSet<_> = self.pool.assert_consistent().into_iter().collect();
        let elsewhere =
            all.iter().map(|allocation| allocation.port()).chain(self.reservations.ports()).chain(quarantined);
        for port in elsewhere.filter(|port| self.pool.owns(*port)).chain(self.lent.iter().copied()) {
            assert!(ports.insert(port), "{port} is in two places");
        }
        assert!(ports.into_iter().eq(self.pool.range().iter()));
        assert_eq!(self.left, []);

        let mut reservations: BTreeMap<_, u16> = BTreeMap::new();
        for user in self.reservations.users() {
            *reservations.entry(user).or_default() += 1;
        }
        assert!(self.reservations.counts().eq(reservations));

        let (channels, permissions) = all.iter().fold((0, 0), |(channels, permissions), allocation| {
            (channels + allocation.channels().len(), permissions + allocation.permissions().len())
        });
        assert_eq!((self.channel_count as usize, self.permission_count as usize), (channels, permissions));
        assert!(self.channel_count <= self.limits.channels && self.permission_count <= self.limits.permissions);

        for allocation in &all {
            allocation.channels.assert_consistent(&self.hash);
            assert_eq!(allocation.shortcut, Shortcut::to(allocation.channels()));
        }
    }

    /// Checks that no allocation or reservation is left.
    ///
    /// # Panics
    ///
    /// When one is.
    pub fn assert_empty(&self) {
        self.assert_consistent();
        assert!(self.is_empty());
        assert_eq!((self.free_ports(), self.poll_timeout()), (usize::from(self.pool.range().len()), None));
    }

    /// The ports that this shard has lent to others.
    pub fn lent_ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.lent.iter().copied()
    }

    /// The ports that this shard has reserved, borrowed ones included.
    pub fn reserved_ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.reservations.ports()
    }
}
