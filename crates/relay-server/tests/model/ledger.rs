//! Rebuilds the state of a relay from its events alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use relay_server::{AllocationId, Event, Families, Family, FiveTuple};

/// The state according to the events.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    allocations: BTreeMap<AllocationId, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    five_tuple: FiveTuple,
    port: u16,
    families: Families,
    /// By channel number: the peer, and whether the channel is bound.
    channels: BTreeMap<u16, (SocketAddr, bool)>,
    permissions: BTreeSet<IpAddr>,
}

/// An allocation of the [`Ledger`]: 5-tuple, port, families, its channels with peer and whether they are bound, and its permissions.
pub(crate) type Row = (FiveTuple, u16, Vec<Family>, Vec<(u16, SocketAddr, bool)>, Vec<IpAddr>);

impl Ledger {
    /// Applies an event. It must be consistent with the state.
    pub(crate) fn enter(&mut self, event: &Event) {
        match event {
            Event::AllocationCreated { id, five_tuple, port, families, .. } => {
                let entry = Entry {
                    five_tuple: *five_tuple,
                    port: port.get(),
                    families: *families,
                    channels: BTreeMap::new(),
                    permissions: BTreeSet::new(),
                };
                assert!(self.allocations.insert(*id, entry).is_none(), "{id} is created twice");
            }
            Event::AllocationRefreshed { id, family, .. } => {
                let families = self.entry(*id).families;
                assert!(family.is_none_or(|family| families.contains(family)), "{event:?}");
            }
            Event::FamilyRemoved { id, family, .. } => {
                let entry = self.entry(*id);
                assert!(entry.families.contains(*family), "{event:?}");
                entry.families = entry.families.without(*family).expect("the last family is the allocation");
                entry.channels.retain(|_, (peer, _)| Family::of(peer.ip()) != *family);
                entry.permissions.retain(|address| Family::of(*address) != *family);
            }
            Event::AllocationRemoved { id, five_tuple, port, .. } => {
                let entry = self.allocations.remove(id).expect("what is removed was created");
                assert_eq!((entry.five_tuple, entry.port), (*five_tuple, port.get()));
            }
            Event::ChannelBound { id, channel, peer, renewal } => {
                let before = self.entry(*id).channels.insert(channel.get(), (peer.address(), true));
                assert_eq!(before.map(|(peer, _)| peer), renewal.then_some(peer.address()), "{event:?}");
            }
            Event::ChannelExpired { id, channel, peer } => {
                let before = self.entry(*id).channels.insert(channel.get(), (peer.address(), false));
                assert_eq!(before, Some((peer.address(), true)), "{event:?}");
            }
            Event::ChannelReleased { id, channel, peer } => {
                let before = self.entry(*id).channels.remove(&channel.get());
                assert_eq!(before, Some((peer.address(), false)), "{event:?}");
            }
            Event::PermissionInstalled { id, address, renewal } => {
                assert_eq!(self.entry(*id).permissions.insert(*address), !renewal, "{event:?}");
            }
            Event::PermissionExpired { id, address } => {
                assert!(self.entry(*id).permissions.remove(address), "{event:?}");
            }
            _ => {}
        }
    }

    /// All allocations, sorted by 5-tuple.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let rows = self.allocations.values().map(|entry| {
            let channels = entry.channels.iter().map(|(number, (peer, bound))| (*number, *peer, *bound));
            let permissions = entry.permissions.iter().copied().collect();
            (entry.five_tuple, entry.port, entry.families.iter().collect(), channels.collect(), permissions)
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort();
        rows
    }

    fn entry(&mut self, id: AllocationId) -> &mut Entry {
        self.allocations.get_mut(&id).expect("what an event is about was created and not removed")
    }
}
