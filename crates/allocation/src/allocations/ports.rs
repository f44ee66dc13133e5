use std::sync::Arc;

use super::Allocations;
use crate::{
    AllocationId, AllocationPort, Families, MAX_PORTS_TRIED, ReservationToken, RetryPortError, Timestamp,
    UnknownAllocation, allocation::PortKind, slots::NO_SLOT,
};

impl Allocations {
    /// Draws another port of the same kind for allocation `id`, because another program holds its port. For an allocation
    /// whose client has not had an answer yet.
    ///
    /// The unusable port is in quarantine for [`PORT_QUARANTINE`](crate::PORT_QUARANTINE), here or on the shard that lent it. With
    /// [`EvenAndReserveNext`](crate::PortRequest::EvenAndReserveNext) the port after it
    /// is released too, and another one is reserved under another token.
    ///
    /// # Errors
    ///
    /// When no other port is free, the port was reserved (a reserved port cannot be replaced), or [`MAX_PORTS_TRIED`] have been
    /// tried. The allocation is removed then.
    pub fn retry_port(&mut self, now: Timestamp, id: AllocationId) -> Result<AllocationPort, RetryPortError> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let (unusable, kind, families) = (allocation.port, allocation.port_kind, allocation.families);
        let user = Arc::clone(allocation.owner.user_id());
        let reservation = allocation.reservation.take();
        let may_retry = allocation.ports_tried < MAX_PORTS_TRIED;
        allocation.ports_tried = allocation.ports_tried.saturating_add(1);

        self.set_slot_of_port(unusable, NO_SLOT);
        self.leave_held_port(now, unusable);
        if let Some(next) = reservation.and_then(|token| self.reservations.take(now, &mut self.timers, token, &user)) {
            self.leave_port(next.port);
        }
        let drawn = if may_retry { self.draw_port(now, kind, families, &user) } else { None };
        let Some((port, reservation)) = drawn else {
            return Err(match self.take_out(id) {
                Some(allocation) => RetryPortError::NoFreePort(allocation),
                None => UnknownAllocation(id).into(),
            });
        };
        self.set_slot_of_port(port, id.slot());
        if let Some(allocation) = self.slots.get_mut(id) {
            allocation.port = port;
            allocation.reservation = reservation;
        }
        Ok(port)
    }

    /// Draws a port of `kind`, and reserves the next one if it is the first of a pair.
    pub(super) fn draw_port(
        &mut self,
        now: Timestamp,
        kind: PortKind,
        families: Families,
        user: &Arc<str>,
    ) -> Option<(AllocationPort, Option<ReservationToken>)> {
        match kind {
            PortKind::Any => Some((self.pool.draw_any(&mut self.rng)?, None)),
            PortKind::Even => Some((self.pool.draw_even(&mut self.rng)?, None)),
            PortKind::FirstOfPair => {
                let (port, _) = self.pool.draw_pair(&mut self.rng)?;
                Some((port, Some(self.reserve_after(now, port, families, user))))
            }
            PortKind::Reserved => None,
        }
    }

    /// Reserves the port after `port`. The caller has taken that port from the pool.
    pub(super) fn reserve_after(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        families: Families,
        user: &Arc<str>,
    ) -> ReservationToken {
        let next = AllocationPort::new(port.get().saturating_add(1));
        self.reservations.reserve(now, &mut self.timers, &mut self.rng, next, families, user)
    }

    pub(super) fn set_slot_of_port(&mut self, port: AllocationPort, slot: u16) {
        if let Some(index) = self.ports.index_of(port) {
            self.by_port[index] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        AllocateError, Allocation, Credential, Family, MAX_RESERVATIONS_PER_USER, NewAllocation, PORT_QUARANTINE,
        PortRange, PortRequest, RESERVATION_LIFETIME,
        testing::{T0, request},
    };

    fn dynamic() -> Allocations {
        Allocations::new(PortRange::DYNAMIC, [1; 32])
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_ports_and_tokens_and_another_seed_others() {
        let run = |seed| {
            let mut allocations = Allocations::new(PortRange::DYNAMIC, [seed; 32]);
            let mut drawn = Vec::new();
            for client in 0..8 {
                let allocation = allocations.allocate(T0, request(client, PortRequest::EvenAndReserveNext)).unwrap();
                drawn.push((allocation.port(), allocation.reservation()));
            }
            drawn
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_reserved_port_and_its_families_go_to_whoever_reserved_them_and_once() {
        let mut allocations = dynamic();
        let first =
            NewAllocation { families: Families::Only(Family::V6), ..request(1, PortRequest::EvenAndReserveNext) };
        let first = allocations.allocate(T0, first).unwrap();
        let (port, token) = (first.port(), first.reservation().unwrap());
        assert!(port.get().is_multiple_of(2));

        let stranger =
            NewAllocation { credential: Credential::unsigned("mallory"), ..request(2, PortRequest::Reserved(token)) };
        let refused = allocations.allocate(T0, stranger).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::UnknownReservation));
        let second = allocations.allocate(T0, request(2, PortRequest::Reserved(token))).unwrap();
        assert_eq!((second.port().get(), second.families()), (port.get() + 1, Families::Only(Family::V6)));
        let again = allocations.allocate(T0, request(3, PortRequest::Reserved(token))).map(Allocation::id);
        assert_eq!(again, Err(AllocateError::UnknownReservation));
    }

    #[test]
    fn a_reservation_is_held_for_30_s_even_if_its_allocation_ends() {
        assert_eq!(RESERVATION_LIFETIME, Duration::from_secs(30));
        let lapse = T0 + RESERVATION_LIFETIME;
        for (now, valid) in [(Timestamp::from_nanos(lapse.as_nanos() - 1), true), (lapse, false)] {
            let mut allocations = dynamic();
            let first = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap();
            let (id, token) = (first.id(), first.reservation().unwrap());
            allocations.remove(id);
            assert_eq!(allocations.free_ports(), usize::from(PortRange::DYNAMIC.len()) - 1);
            let second = allocations.allocate(now, request(2, PortRequest::Reserved(token))).map(Allocation::id);
            assert_eq!(second.is_ok(), valid);
        }
    }

    #[test]
    fn a_client_cannot_tie_up_all_ports_with_reservations() {
        let mut allocations = dynamic();
        let limit = MAX_RESERVATIONS_PER_USER;
        for _ in 0..limit {
            let id = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap().id();
            allocations.remove(id);
        }
        let refused = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::TooManyReservations { limit }));
        assert!(allocations.allocate(T0, request(1, PortRequest::Even)).is_ok());
        let other =
            NewAllocation { credential: Credential::unsigned("bob"), ..request(2, PortRequest::EvenAndReserveNext) };
        assert!(allocations.allocate(T0, other).is_ok());
        let later = T0 + RESERVATION_LIFETIME;
        assert!(allocations.allocate(later, request(3, PortRequest::EvenAndReserveNext)).is_ok());
    }

    #[test]
    fn a_port_that_another_program_holds_is_not_drawn_again_for_60_s() {
        assert_eq!(PORT_QUARANTINE, Duration::from_secs(60));
        let mut allocations = Allocations::new(PortRange::new(10, 12).unwrap(), [1; 32]);
        let allocation = allocations.allocate(T0, request(1, PortRequest::Even)).unwrap();
        let (id, held) = (allocation.id(), allocation.port());
        let other = allocations.retry_port(T0, id).unwrap();
        assert!(other.get().is_multiple_of(2) && other != held);
        assert!(allocations.by_port(held).is_none());
        assert_eq!(allocations.by_port(other).map(Allocation::id), Some(id));

        let refused = allocations.allocate(T0, request(2, PortRequest::Even)).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::NoFreePort));
        let again = allocations.allocate(T0 + PORT_QUARANTINE, request(2, PortRequest::Even)).map(Allocation::port);
        assert_eq!(again, Ok(held));
    }

    #[test]
    fn an_allocation_without_another_port_to_try_is_gone() {
        let mut allocations = Allocations::new(PortRange::new(10, 11).unwrap(), [1; 32]);
        let first = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap();
        let (first, token) = (first.id(), first.reservation().unwrap());
        let second = allocations.allocate(T0, request(2, PortRequest::Reserved(token))).unwrap().id();
        for id in [second, first] {
            let Err(RetryPortError::NoFreePort(gone)) = allocations.retry_port(T0, id) else {
                panic!("no port is left")
            };
            assert_eq!(gone.id(), id);
            assert!(allocations.by_port(gone.port()).is_none());
        }
        assert!(allocations.is_empty());
        allocations.handle_timeout(T0 + PORT_QUARANTINE);
        allocations.assert_empty();
    }

    #[test]
    fn a_pair_whose_first_port_is_held_is_exchanged_for_another_pair() {
        let mut allocations = dynamic();
        let first = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap();
        let (id, port, token) = (first.id(), first.port(), first.reservation().unwrap());
        let other = allocations.retry_port(T0, id).unwrap();
        assert!(other.get().is_multiple_of(2) && other != port);
        let other_token = allocations.get(id).and_then(Allocation::reservation).unwrap();
        let refused = allocations.allocate(T0, request(2, PortRequest::Reserved(token))).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::UnknownReservation));
        let second = allocations.allocate(T0, request(2, PortRequest::Reserved(other_token))).map(Allocation::port);
        assert_eq!(second, Ok(AllocationPort::new(other.get() + 1)));
    }

    #[test]
    fn gives_up_after_16_ports() {
        let mut allocations = dynamic();
        let id = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        for _ in 1..MAX_PORTS_TRIED {
            allocations.retry_port(T0, id).unwrap();
        }
        assert!(matches!(allocations.retry_port(T0, id), Err(RetryPortError::NoFreePort(gone)) if gone.id() == id));
        let unusable = usize::from(PortRange::DYNAMIC.len()) - allocations.free_ports();
        assert_eq!(unusable, usize::from(MAX_PORTS_TRIED));
    }

    #[test]
    fn every_port_of_a_range_can_be_in_use_at_once() {
        let range = PortRange::new(1, u16::MAX).unwrap();
        let mut allocations = Allocations::new(range, [1; 32]);
        for client in 0..range.len() {
            allocations.allocate(T0, request(client, PortRequest::Any)).unwrap();
        }
        let refused = allocations.allocate(T0, request(u16::MAX, PortRequest::Any)).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::NoFreePort));
        allocations.assert_consistent();
        allocations.handle_timeout(T0 + Duration::from_secs(600));
        allocations.assert_empty();
    }
}
