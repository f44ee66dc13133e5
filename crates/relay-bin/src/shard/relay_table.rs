//! The table of a shard's relay sockets.

use std::mem;

use relay_server::{AllocationId, AllocationPort, Family, PortRange};
use slab::Slab;
use udp_batch::UdpSocket;

/// The sockets of allocations, by port.
///
/// The sockets are adjacent in a slab, and each port has a small index into it. An array with a slot for each port would spread a
/// hundred sockets over a hundred pages, more than the TLB keeps from one packet to the next.
#[derive(Debug)]
pub(super) struct RelayTable {
    lowest: u16,
    /// The index in `relays` of each port's socket.
    v4: Box<[u32]>,
    v6: Box<[u32]>,
    relays: Slab<Relay>,
}

/// Not an index in [`RelayTable::relays`], which has at most two entries for each port.
const NOWHERE: u32 = u32::MAX;

/// The socket of an allocation.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) socket: UdpSocket,
    pub(super) id: AllocationId,
    /// The number of errors in a row.
    pub(super) errors: u8,
    /// Whether it waits for its turn.
    pub(super) is_ready: bool,
}

impl RelayTable {
    pub(super) fn new(ports: PortRange) -> Self {
        let nowhere = || ports.iter().map(|_| NOWHERE).collect();
        Self { lowest: ports.lowest(), v4: nowhere(), v6: nowhere(), relays: Slab::new() }
    }

    pub(super) fn get(&self, port: AllocationPort, family: Family) -> Option<&Relay> {
        let places = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        self.relays.get(usize::try_from(*places.get(self.index(port)?)?).ok()?)
    }

    /// All of them, with the port and the family of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AllocationPort, Family, &Relay)> {
        [(Family::V4, &self.v4), (Family::V6, &self.v6)].into_iter().flat_map(move |(family, places)| {
            (self.lowest..=u16::MAX).zip(places.iter()).filter_map(move |(port, place)| {
                Some((AllocationPort::new(port), family, self.relays.get(usize::try_from(*place).ok()?)?))
            })
        })
    }

    pub(super) fn get_mut(&mut self, port: AllocationPort, family: Family) -> Option<&mut Relay> {
        let key = usize::try_from(*self.place(port, family)?).ok()?;
        self.relays.get_mut(key)
    }

    /// Stores `socket`, in place of a former one.
    pub(super) fn insert(&mut self, port: AllocationPort, family: Family, socket: UdpSocket, id: AllocationId) {
        self.remove(port, family);
        let key = self.relays.vacant_key();
        if let (Some(place), Ok(number)) = (self.place(port, family), u32::try_from(key)) {
            *place = number;
            self.relays.insert(Relay { socket, id, errors: 0, is_ready: false });
        }
    }

    pub(super) fn remove(&mut self, port: AllocationPort, family: Family) {
        let Some(place) = self.place(port, family) else { return };
        if let Ok(key) = usize::try_from(mem::replace(place, NOWHERE)) {
            self.relays.try_remove(key);
        }
        if self.relays.is_empty() {
            self.relays = Slab::new();
        }
    }

    /// Closes all sockets and returns which they were.
    pub(super) fn take_all(&mut self) -> Vec<(AllocationPort, Family)> {
        let mut taken = Vec::new();
        for (places, family) in [(&mut self.v4, Family::V4), (&mut self.v6, Family::V6)] {
            for (port, place) in (self.lowest..=u16::MAX).zip(places.iter_mut()) {
                if mem::replace(place, NOWHERE) != NOWHERE {
                    taken.push((AllocationPort::new(port), family));
                }
            }
        }
        self.relays = Slab::new();
        taken
    }

    fn place(&mut self, port: AllocationPort, family: Family) -> Option<&mut u32> {
        let index = self.index(port)?;
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
        .get_mut(index)
    }

    fn index(&self, port: AllocationPort) -> Option<usize> {
        port.get().checked_sub(self.lowest).map(usize::from)
    }
}
