use std::rc::Rc;

use relay_server::{AllocationPort, Family, PortRange};
use tokio::task::AbortHandle;

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

/// A socket and the task that reads it, which ends with it.
#[derive(Debug)]
struct Relay {
    socket: Rc<UdpSocket>,
    reader: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl RelayTable {
    pub(super) fn new(ports: PortRange) -> Self {
        let slots = ports.iter().map(|_| Slot::default()).collect();
        Self { lowest: ports.lowest(), slots }
    }

    pub(super) fn get(&self, port: AllocationPort, family: Family) -> Option<&Rc<UdpSocket>> {
        let slot = self.slots.get(self.index(port)?)?;
        let relay = match family {
            Family::V4 => &slot.v4,
            Family::V6 => &slot.v6,
        };
        relay.as_ref().map(|relay| &relay.socket)
    }

    /// Keeps `socket`, in place of one that was there.
    pub(super) fn insert(&mut self, port: AllocationPort, family: Family, socket: Rc<UdpSocket>, reader: AbortHandle) {
        if let Some(place) = self.place(port, family) {
            *place = Some(Relay { socket, reader });
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
