//! What outlives the allocations of a shard that starts anew: ports lent to other shards, and reservations.

use super::Allocations;

impl Allocations {
    /// Takes over lent ports and reservations, its own and adopted ones, from `former`, which had the same ports and whose
    /// allocations have ended. There must be no allocations here yet.
    pub fn inherit(&mut self, former: &Self) {
        for port in &former.lent {
            self.pool.take(*port);
            self.lent.insert(*port);
        }
        for (token, reservation) in former.reservations.iter() {
            if !reservation.is_adopted {
                self.pool.take(reservation.port);
            }
            self.reservations.put_back(&mut self.timers, *token, reservation.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Allocation, PortNeed, PortRange, PortRequest, RESERVATION_LIFETIME,
        reservations::HEARING_TIME,
        testing::{T0, request},
    };

    #[test]
    fn lent_ports_and_reservations_outlive_allocations() {
        let ports = PortRange::new(10, 17).unwrap();
        let new = || Allocations::new(ports, [1; 32]).with_ports_of_all_shards(ports);
        let mut former = new();
        let lent = former.lend(T0, PortNeed::Any).unwrap();
        let first = former.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap();
        let (id, token) = (first.id(), first.reservation().unwrap());
        let reserved = former.reserved_port(token).unwrap();
        former.remove(id);

        let mut heir = new();
        heir.inherit(&former);
        heir.assert_consistent();
        assert_eq!((heir.free_ports(), heir.lent_ports().collect::<Vec<_>>()), (6, vec![lent]));
        heir.return_port(lent);
        assert_eq!(heir.free_ports(), 7);
        let second = heir.allocate(T0, request(2, PortRequest::Reserved(token))).map(Allocation::port);
        assert_eq!(second, Ok(reserved.port));
        heir.assert_consistent();

        // Its client does not redeem it.
        let mut heir = new();
        heir.inherit(&former);
        heir.return_port(lent);
        heir.handle_timeout(T0 + RESERVATION_LIFETIME + HEARING_TIME);
        heir.assert_empty();
    }
}
