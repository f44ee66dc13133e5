//! Ports that belong to one shard of a relay and are used by another: because they were lent, or because a client redeemed its
//! reservation at the other shard.
//!
//! A port always belongs to the same shard. There it is free, in use, reserved, in quarantine, or lent. A borrower gives a port back
//! with one message ([`LeftPort`]).

use super::Allocations;
use crate::{
    AllocationPort, LeftPort, PORT_QUARANTINE, PortNeed, ReservationToken, ReservedPort, Timestamp,
    reservations::Reservation, timers::TimerKey,
};

impl Allocations {
    /// Lends a free port to another shard; with [`PortNeed::Pair`], the next port as well. It cannot be drawn here until
    /// [`Self::return_port`] or [`Self::return_held_port`].
    pub fn lend(&mut self, now: Timestamp, need: PortNeed) -> Option<AllocationPort> {
        self.handle_timeout(now);
        let (port, next) = match need {
            PortNeed::Any => (self.pool.draw_any(&mut self.rng)?, None),
            PortNeed::Even => (self.pool.draw_even(&mut self.rng)?, None),
            PortNeed::Pair => self.pool.draw_pair(&mut self.rng).map(|(port, next)| (port, Some(next)))?,
        };
        self.lent.insert(port);
        self.lent.extend(next);
        Some(port)
    }

    /// Takes back a port that another shard has returned. Does nothing if the port is not lent.
    pub fn return_port(&mut self, port: AllocationPort) {
        if self.lent.remove(&port) {
            self.pool.release(port);
        }
    }

    /// Like [`Self::return_port`], for a port that another program holds: it is in quarantine for [`PORT_QUARANTINE`].
    pub fn return_held_port(&mut self, now: Timestamp, port: AllocationPort) {
        self.handle_timeout(now);
        if self.lent.remove(&port) {
            self.leave_held_port(now, port);
        }
    }

    /// The next port of another shard that is to be returned to it.
    pub fn poll_left_port(&mut self) -> Option<LeftPort> {
        self.left.pop()
    }

    /// The reservation that `token` names, for [`Self::adopt_reservation`] of other shards.
    #[must_use]
    pub fn reserved_port(&self, token: ReservationToken) -> Option<ReservedPort> {
        self.reservations.describe(token)
    }

    /// Adds a reservation that another shard has made, so that its client can redeem it here, too.
    ///
    /// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2): a reservation is server-wide.
    pub fn adopt_reservation(&mut self, now: Timestamp, reserved: &ReservedPort) {
        self.handle_timeout(now);
        if reserved.expires_at > now && self.ports.contains(reserved.port) {
            self.reservations.adopt(&mut self.timers, reserved);
        }
    }

    /// Ends the reservation of `token`: another shard has made an allocation of its port. If the port belongs here, it is lent from now on.
    pub fn forget_reservation(&mut self, token: ReservationToken) {
        let forgotten = self.reservations.forget(&mut self.timers, token);
        if let Some(Reservation { port, is_adopted: false, .. }) = forgotten
            && self.pool.owns(port)
        {
            self.lent.insert(port);
        }
    }

    /// Ends the reservation of `token` and frees its port. For a token that was never sent to the client.
    pub fn cancel_reservation(&mut self, token: ReservationToken) {
        let cancelled = self.reservations.forget(&mut self.timers, token);
        if let Some(Reservation { port, is_adopted: false, .. }) = cancelled {
            self.leave_port(port);
        }
    }

    /// Takes the port of a reservation for an allocation here. `None` if the reservation is not valid, or if the borrower of a port of
    /// this shard had reserved it and has returned it since: then the reservation has been used.
    pub(super) fn take_reservation(
        &mut self,
        now: Timestamp,
        token: ReservationToken,
        user: &str,
    ) -> Option<Reservation> {
        let reservation = self.reservations.take(now, &mut self.timers, token, user)?;
        let is_there =
            !reservation.is_adopted || !self.pool.owns(reservation.port) || self.lent.remove(&reservation.port);
        is_there.then_some(reservation)
    }

    /// Frees `port`, or queues it for return if it belongs to another shard.
    pub(super) fn leave_port(&mut self, port: AllocationPort) {
        if self.pool.owns(port) {
            self.pool.release(port);
        } else {
            self.left.push(LeftPort { port, is_held: false });
        }
    }

    /// Like [`Self::leave_port`], for a port that another program holds.
    pub(super) fn leave_held_port(&mut self, now: Timestamp, port: AllocationPort) {
        if self.pool.owns(port) {
            self.timers.arm((now + PORT_QUARANTINE, TimerKey::Quarantine(port)));
        } else {
            self.left.push(LeftPort { port, is_held: true });
        }
    }

    /// Sets a timer of the caller's: [`Expired::Wait`](crate::Expired::Wait) with `number` comes at `at`.
    pub fn wait(&mut self, at: Timestamp, number: u64) {
        self.timers.arm((at, TimerKey::Wait(number)));
    }

    /// Cancels a timer set with [`Self::wait`].
    pub fn stop_waiting(&mut self, at: Timestamp, number: u64) {
        self.timers.disarm((at, TimerKey::Wait(number)));
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Allocation, Expired, NewAllocation, PortRange, PortRequest, RESERVATION_LIFETIME, RetryPortError,
        reservations::HEARING_TIME,
        testing::{T0, request},
    };

    fn range(lowest: u16, highest: u16) -> PortRange {
        PortRange::new(lowest, highest).unwrap()
    }

    /// Shards with the ports 10 and 11, and 12 and 13.
    fn shards() -> [Allocations; 2] {
        [range(10, 11), range(12, 13)].map(|own| Allocations::new(own, [1; 32]).with_ports_of_all_shards(range(10, 13)))
    }

    fn lent(client: u16, port: AllocationPort, need: PortNeed) -> NewAllocation<'static> {
        request(client, PortRequest::Lent { port, need, tried: 0 })
    }

    fn left(allocations: &mut Allocations) -> Vec<(u16, bool)> {
        std::iter::from_fn(|| allocations.poll_left_port()).map(|left| (left.port.get(), left.is_held)).collect()
    }

    #[test]
    fn a_lent_port_is_nobodys_but_the_borrowers_until_it_comes_back() {
        let [mut home, mut borrower] = shards();
        let port = home.lend(T0, PortNeed::Even).unwrap();
        assert_eq!((port.get(), home.free_ports()), (10, 1));
        assert_eq!(home.lend(T0, PortNeed::Pair), None);
        assert_eq!(home.lend(T0, PortNeed::Any), Some(AllocationPort::new(11)));
        assert_eq!(home.lend(T0, PortNeed::Any), None);
        home.assert_consistent();

        let allocation = borrower.allocate(T0, lent(1, port, PortNeed::Even)).unwrap();
        assert_eq!((allocation.port(), allocation.port_need()), (port, Some(PortNeed::Even)));
        let id = allocation.id();
        assert_eq!(left(&mut borrower), []);
        borrower.remove(id);
        assert_eq!((left(&mut borrower), borrower.free_ports()), (vec![(10, false)], 2));
        borrower.assert_empty();
        for _ in 0..2 {
            home.return_port(port);
            assert_eq!(home.free_ports(), 1);
        }
        home.return_port(AllocationPort::new(12));
        home.return_port(AllocationPort::new(11));
        home.assert_empty();
    }

    #[test]
    fn the_second_port_of_a_lent_pair_comes_back_when_nobody_wants_it() {
        let [mut home, mut borrower] = shards();
        let port = home.lend(T0, PortNeed::Pair).unwrap();
        let first = borrower.allocate(T0, lent(1, port, PortNeed::Pair)).unwrap();
        let (first, token) = (first.id(), first.reservation().unwrap());
        let reserved = borrower.reserved_port(token).unwrap();
        assert_eq!(reserved.port.get(), 11);
        home.adopt_reservation(T0, &reserved);
        home.assert_consistent();
        let lapse = T0 + RESERVATION_LIFETIME + HEARING_TIME;
        home.handle_timeout(lapse);
        assert_eq!(home.free_ports(), 0, "the borrower says when");
        borrower.handle_timeout(lapse);
        assert_eq!(left(&mut borrower), [(11, false)]);
        home.return_port(reserved.port);
        borrower.remove(first);
        assert_eq!(left(&mut borrower), [(10, false)]);
        home.return_port(port);
        home.assert_empty();
    }

    #[test]
    fn a_port_that_was_lent_and_reserved_can_be_taken_at_home() {
        let [mut home, mut borrower] = shards();
        let port = home.lend(T0, PortNeed::Pair).unwrap();
        let token = borrower.allocate(T0, lent(1, port, PortNeed::Pair)).unwrap().reservation().unwrap();
        let reserved = borrower.reserved_port(token).unwrap();
        home.adopt_reservation(T0, &reserved);
        let second = home.allocate(T0, request(2, PortRequest::Reserved(token))).unwrap().id();
        home.assert_consistent();
        borrower.forget_reservation(token);
        borrower.handle_timeout(T0 + RESERVATION_LIFETIME + HEARING_TIME);
        assert_eq!(left(&mut borrower), []);
        home.remove(second);
        assert_eq!(home.free_ports(), 1);

        // The message about the reservation may arrive long after the port was returned.
        home.adopt_reservation(T0, &reserved);
        let refused = home.allocate(T0, request(3, PortRequest::Reserved(token))).map(Allocation::id);
        assert_eq!(refused, Err(crate::AllocateError::UnknownReservation));
    }

    #[test]
    fn a_reservation_taken_elsewhere_in_the_last_moment_may_be_told_of_later() {
        let [mut home, mut other] = shards();
        let token = home.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap().reservation().unwrap();
        let reserved = home.reserved_port(token).unwrap();
        other.adopt_reservation(T0, &reserved);
        let expiry = T0 + RESERVATION_LIFETIME;
        let just_before = Timestamp::from_nanos(expiry.as_nanos() - 1);
        let taken = other.allocate(just_before, request(2, PortRequest::Reserved(token))).unwrap().id();

        // The owner can no longer allocate it, but it is not free yet, either.
        let refused = home.allocate(expiry, request(3, PortRequest::Reserved(token))).map(Allocation::id);
        assert_eq!(refused, Err(crate::AllocateError::UnknownReservation));
        home.handle_timeout(expiry + HEARING_TIME / 2);
        assert_eq!(home.free_ports(), 0);
        home.forget_reservation(token);
        home.handle_timeout(expiry + HEARING_TIME);
        assert_eq!(home.free_ports(), 0, "it is lent");
        other.remove(taken);
        assert_eq!(left(&mut other), [(11, false)]);
        home.return_port(reserved.port);
        assert_eq!(home.free_ports(), 1);
        home.assert_consistent();
    }

    #[test]
    fn a_lent_port_that_another_program_holds_is_in_quarantine_at_home() {
        let [mut home, mut borrower] = shards();
        let port = home.lend(T0, PortNeed::Pair).unwrap();
        for client in 2..4 {
            borrower.allocate(T0, request(client, PortRequest::Any)).unwrap();
        }
        let id = borrower.allocate(T0, lent(1, port, PortNeed::Pair)).unwrap().id();
        let Err(RetryPortError::NoFreePort(gone)) = borrower.retry_port(T0, id) else { panic!("no port is left") };
        assert_eq!((gone.port_need(), gone.ports_tried()), (Some(PortNeed::Pair), 2));
        let mut left = left(&mut borrower);
        left.sort_unstable();
        assert_eq!(left, [(10, true), (11, false)]);
        home.return_held_port(T0, port);
        home.return_port(AllocationPort::new(11));
        assert_eq!(home.free_ports(), 1);
        home.assert_consistent();
        home.handle_timeout(T0 + PORT_QUARANTINE);
        home.assert_empty();
    }

    #[test]
    fn a_shard_without_ports_has_none_and_can_borrow() {
        let mut borrower = Allocations::new(PortRange::EMPTY, [1; 32]).with_ports_of_all_shards(range(10, 13));
        let refused = borrower.allocate(T0, request(1, PortRequest::Any)).map(Allocation::id);
        assert_eq!(refused, Err(crate::AllocateError::NoFreePort));
        assert_eq!(borrower.lend(T0, PortNeed::Any), None);
        let id = borrower.allocate(T0, lent(1, AllocationPort::new(13), PortNeed::Any)).unwrap().id();
        borrower.remove(id);
        assert_eq!(left(&mut borrower), [(13, false)]);
        borrower.assert_empty();
    }

    #[test]
    fn what_the_caller_waits_for_comes_when_it_is_due() {
        let [mut allocations, _] = shards();
        allocations.wait(T0 + PORT_QUARANTINE, 7);
        allocations.wait(T0, 8);
        allocations.stop_waiting(T0, 8);
        assert_eq!(allocations.poll_timeout(), Some(T0 + PORT_QUARANTINE));
        allocations.handle_timeout(T0 + PORT_QUARANTINE);
        assert!(matches!(allocations.poll_expired(), Some(Expired::Wait(7))));
        assert!(allocations.poll_expired().is_none());
    }
}
