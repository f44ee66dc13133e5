use relay_server::{AllocationId, AllocationPort, Family, PortRange};

use crate::socket::UdpSocket;

/// The sockets of allocations, by port: the ports of a relay are few and lie close together.
#[derive(Debug)]
pub(super) struct RelayTable {
    lowest: u16,
    slots: Vec<Slot>,
}

/// The sockets at one port.
#[derive(Debug, Default)]
struct Slot {
    v4: Option<Relay>,
    v6: Option<Relay>,
}

/// The socket of an allocation.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) socket: UdpSocket,
    pub(super) id: AllocationId,
    /// Errors in a row.
    pub(super) errors: u8,
    /// Whether it waits for its turn.
    pub(super) is_ready: bool,
}

impl RelayTable {
    pub(super) fn new(ports: PortRange) -> Self {
        let slots = ports.iter().map(|_| Slot::default()).collect();
        Self { lowest: ports.lowest(), slots }
    }

    pub(super) fn get(&self, port: AllocationPort, family: Family) -> Option<&Relay> {
        let slot = self.slots.get(self.index(port)?)?;
        match family {
            Family::V4 => &slot.v4,
            Family::V6 => &slot.v6,
        }
        .as_ref()
    }

    pub(super) fn get_mut(&mut self, port: AllocationPort, family: Family) -> Option<&mut Relay> {
        self.place(port, family)?.as_mut()
    }

    /// Keeps `socket`, in place of one that was there.
    pub(super) fn insert(&mut self, port: AllocationPort, family: Family, socket: UdpSocket, id: AllocationId) {
        if let Some(place) = self.place(port, family) {
            *place = Some(Relay { socket, id, errors: 0, is_ready: false });
        }
    }

    pub(super) fn remove(&mut self, port: AllocationPort, family: Family) {
        if let Some(place) = self.place(port, family) {
            *place = None;
        }
    }

    fn place(&mut self, port: AllocationPort, family: Family) -> Option<&mut Option<Relay>> {
        let index = self.index(port)?;
        let slot = self.slots.get_mut(index)?;
        Some(match family {
            Family::V4 => &mut slot.v4,
            Family::V6 => &mut slot.v6,
        })
    }

    fn index(&self, port: AllocationPort) -> Option<usize> {
        port.get().checked_sub(self.lowest).map(usize::from)
    }
}
