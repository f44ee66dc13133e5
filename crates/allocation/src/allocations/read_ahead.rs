use std::hint::black_box;

use super::Allocations;
use crate::{AllocationPort, FiveTuple, slots::NO_SLOT};

/// As many are read at a time as processors can wait for, and somewhat more.
const AT_A_TIME: usize = 64;

/// Where there are fewer allocations, a processor's caches hold what look-ups read of them.
const FEWEST: usize = 8_192;

/// What the allocation of a datagram will be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It came from this client.
    FromClient(FiveTuple),
    /// It came from a peer, to the relayed transport address with this port.
    FromPeer(AllocationPort),
}

/// How far a look-up has come.
#[derive(Clone, Copy)]
enum Step {
    Hashed(u64),
    Slot(u16),
}

impl Allocations {
    /// Brings what the look-ups of all these datagrams will read into the processor's caches, and tells how many allocations that
    /// were. With so few allocations that they are there anyhow, it does nothing.
    ///
    /// Where there are many, a look-up waits for memory twice: for the table, and for the allocation that the table leads to. One
    /// after the other, that is most of what relaying a datagram takes. Here the waits are one, since no datagram's depend on
    /// another's.
    pub fn read_ahead(&self, arrivals: impl IntoIterator<Item = Arrival>) -> usize {
        if self.len() < FEWEST { 0 } else { self.read_each(arrivals) }
    }

    fn read_each(&self, arrivals: impl IntoIterator<Item = Arrival>) -> usize {
        let mut arrivals = arrivals.into_iter();
        let mut steps = [Step::Slot(NO_SLOT); AT_A_TIME];
        let mut found = 0;
        loop {
            let mut taken = 0;
            for (step, arrival) in steps.iter_mut().zip(&mut arrivals) {
                *step = match arrival {
                    Arrival::FromClient(five_tuple) => {
                        let hashed = self.hash.five_tuple(&five_tuple);
                        black_box(self.clients.first_slot(hashed));
                        Step::Hashed(hashed)
                    }
                    Arrival::FromPeer(port) => Step::Slot(self.slot_of_port(port)),
                };
                taken += 1;
            }
            for step in &steps[..taken] {
                let slot = match *step {
                    Step::Hashed(hashed) => self.clients.likely_slot(hashed),
                    Step::Slot(slot) => slot,
                };
                found += usize::from(self.slots.at(slot).is_some());
            }
            if taken < AT_A_TIME {
                return black_box(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        PortRange, PortRequest,
        testing::{T0, five_tuple, request},
    };

    fn allocations_of(clients: u16) -> Allocations {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        for client in 0..clients {
            allocations.allocate(T0, request(client, PortRequest::Any)).unwrap();
        }
        allocations
    }

    /// Of each client, and of a peer of each client's.
    fn arrivals(allocations: &Allocations) -> impl Iterator<Item = Arrival> {
        allocations
            .iter()
            .flat_map(|allocation| [Arrival::FromClient(allocation.five_tuple()), Arrival::FromPeer(allocation.port())])
    }

    #[test]
    fn reads_every_allocation_that_there_is() {
        // Less than is read at a time, as much, and more.
        for clients in [0, 1, 31, 32, 33, 100] {
            let allocations = allocations_of(clients);
            assert_eq!(allocations.read_each(arrivals(&allocations)), 2 * usize::from(clients));
        }
    }

    #[test]
    fn strangers_and_ports_that_are_no_allocations_are_read_in_vain() {
        let allocations = allocations_of(1);
        let taken = allocations.by_five_tuple(&five_tuple(0)).unwrap().port();
        let other = AllocationPort::new(if taken.get() == 50_000 { 50_001 } else { 50_000 });
        for nobody in [Arrival::FromPeer(other), Arrival::FromPeer(AllocationPort::new(1))] {
            assert_eq!(allocations.read_each([nobody]), 0);
        }
        assert_eq!(allocations_of(0).read_each([Arrival::FromClient(five_tuple(0))]), 0);
    }

    #[test]
    fn few_allocations_are_not_read() {
        let few = allocations_of(u16::try_from(FEWEST).unwrap() - 1);
        assert_eq!(few.read_ahead(arrivals(&few)), 0);
        let many = allocations_of(u16::try_from(FEWEST).unwrap());
        assert_eq!(many.read_ahead(arrivals(&many)), 2 * FEWEST);
    }
}
