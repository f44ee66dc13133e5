//! Keeps the books of a relay from nothing but its events.

use std::{collections::BTreeMap, net::SocketAddr};

use relay_server::{AllocationId, Event, Families, Family, FiveTuple};

/// What exists, if the events are to be believed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    allocations: BTreeMap<AllocationId, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    five_tuple: FiveTuple,
    port: u16,
    families: Families,
    /// By number: the peer, and whether data is relayed.
    channels: BTreeMap<u16, (SocketAddr, bool)>,
}

/// An allocation of the [`Ledger`]: 5-tuple, port, families, and its channels with peer and whether they are bound.
pub(crate) type Row = (FiveTuple, u16, Vec<Family>, Vec<(u16, SocketAddr, bool)>);

impl Ledger {
    /// Takes down an event, which must fit what is there.
    pub(crate) fn enter(&mut self, event: &Event) {
        match event {
            Event::AllocationCreated { id, five_tuple, port, families, .. } => {
                let channels = BTreeMap::new();
                let entry = Entry { five_tuple: *five_tuple, port: port.get(), families: *families, channels };
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
            _ => {}
        }
    }

    /// What exists, in the order of 5-tuples.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let rows = self.allocations.values().map(|entry| {
            let channels = entry.channels.iter().map(|(number, (peer, bound))| (*number, *peer, *bound));
            (entry.five_tuple, entry.port, entry.families.iter().collect(), channels.collect())
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort();
        rows
    }

    fn entry(&mut self, id: AllocationId) -> &mut Entry {
        self.allocations.get_mut(&id).expect("what an event is about was created and not removed")
    }
}
