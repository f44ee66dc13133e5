use std::{sync::Arc, time::Duration};

use super::Allocations;
use crate::{
    AllocateError, Allocation, AllocationId, AllocationPort, Channel, Expired, Families, Family,
    MAX_RESERVATIONS_PER_USERNAME, NewAllocation, PortRequest, RemovedFamily, ReservationToken, RetryPortError,
    Timestamp, UnknownAllocation,
    allocation::{Deadlines, PortKind},
    channels::Channels,
    slots::NO_SLOT,
    timers::TimerKey,
};

/// How long a port that another program held stays out of use: 1 minute, so that such ports cost one attempt each now
/// and then rather than one per request.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(60);

/// How many ports are tried for one allocation before it is given up.
pub const MAX_PORTS_TRIED: u8 = 16;

impl Allocations {
    /// Makes an allocation.
    ///
    /// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2)
    ///
    /// # Errors
    ///
    /// When the 5-tuple has one already, or there is no port for it.
    pub fn allocate(&mut self, now: Timestamp, new: NewAllocation<'_>) -> Result<&Allocation, AllocateError> {
        self.handle_timeout(now);
        if let Some(existing) = self.by_five_tuple(&new.five_tuple) {
            return Err(AllocateError::AlreadyAllocated(existing.id));
        }
        let limit = MAX_RESERVATIONS_PER_USERNAME;
        if new.port == PortRequest::EvenAndReserveNext && self.reservations.count_of(new.username) >= limit {
            return Err(AllocateError::TooManyReservations { limit });
        }
        let username = self.users.share_name(&self.hash, new.username);
        let mut families = new.families;
        let (port_kind, drawn) = match new.port {
            PortRequest::Any => (PortKind::Any, self.draw_port(now, PortKind::Any, families, &username)),
            PortRequest::Even => (PortKind::Even, self.draw_port(now, PortKind::Even, families, &username)),
            PortRequest::EvenAndReserveNext => {
                (PortKind::FirstOfPair, self.draw_port(now, PortKind::FirstOfPair, families, &username))
            }
            PortRequest::Reserved(token) => {
                let reserved = self
                    .reservations
                    .take(&mut self.timers, token, &username)
                    .ok_or(AllocateError::UnknownReservation)?;
                families = reserved.families;
                (PortKind::Reserved, Some((reserved.port, None)))
            }
        };
        let (port, reservation) = drawn.ok_or(AllocateError::NoFreePort)?;

        let id = self.slots.next_id();
        let expires_at = now + new.lifetime;
        let previous_of_user = self.users.append(&self.hash, &mut self.slots, &username, id.slot());
        self.clients.insert(&self.hash, &self.slots, &new.five_tuple, id.slot());
        self.set_slot_of_port(port, id.slot());
        self.timers.arm((expires_at, TimerKey::Allocation(id)));
        Ok(self.slots.insert(Allocation {
            id,
            five_tuple: new.five_tuple,
            port,
            port_kind,
            ports_tried: 1,
            families,
            channels: Channels::default(),
            username,
            transaction_id: new.transaction_id,
            reservation,
            created_at: now,
            lifetime: nanos(new.lifetime),
            deadlines: Deadlines::both(expires_at),
            previous_of_user,
            next_of_user: NO_SLOT,
        }))
    }

    /// Another program holds the port of allocation `id`, which no client has been told of yet: draws another port of
    /// the same kind.
    ///
    /// The unusable port stays away for [`PORT_QUARANTINE`]. With [`PortRequest::EvenAndReserveNext`] the port after it
    /// is given up too and another one reserved, under another token.
    ///
    /// # Errors
    ///
    /// When no other port will do (a reserved port cannot be replaced) or [`MAX_PORTS_TRIED`] have been tried. The
    /// allocation is gone then.
    pub fn retry_port(&mut self, now: Timestamp, id: AllocationId) -> Result<AllocationPort, RetryPortError> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let (unusable, kind, families) = (allocation.port, allocation.port_kind, allocation.families);
        let username = Arc::clone(&allocation.username);
        let reservation = allocation.reservation.take();
        let may_retry = allocation.ports_tried < MAX_PORTS_TRIED;
        allocation.ports_tried = allocation.ports_tried.saturating_add(1);

        self.set_slot_of_port(unusable, NO_SLOT);
        self.timers.arm((now + PORT_QUARANTINE, TimerKey::Quarantine(unusable)));
        if let Some(next) = reservation.and_then(|token| self.reservations.take(&mut self.timers, token, &username)) {
            self.pool.release(next.port);
        }
        let drawn = if may_retry { self.draw_port(now, kind, families, &username) } else { None };
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

    /// Allocation `id` lives for `lifetime` from now, in one of its families or in all of them. Returns when that ends.
    ///
    /// A lifetime of zero makes it end at `now`; to delete it, [`Self::remove`] it. A family that it does not have
    /// changes nothing.
    ///
    /// [RFC 8656, section 8.2](https://www.rfc-editor.org/rfc/rfc8656#section-8.2)
    ///
    /// # Errors
    ///
    /// When there is no such allocation.
    pub fn refresh(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        only: Option<Family>,
        lifetime: Duration,
    ) -> Result<Timestamp, UnknownAllocation> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let expires_at = now + lifetime;
        allocation.lifetime = nanos(lifetime);
        let armed = allocation.timer();
        for family in allocation.families.iter().filter(|family| only.is_none_or(|only| only == *family)) {
            allocation.deadlines.set(family, expires_at);
        }
        self.timers.rearm(armed, allocation.timer());
        Ok(expires_at)
    }

    /// Ends one family of allocation `id` and the channels to peers of that family; all of it, if it has no other.
    /// `None` if there is no such allocation, or it does not have that family.
    ///
    /// [RFC 8656, section 8.1](https://www.rfc-editor.org/rfc/rfc8656#section-8.1)
    pub fn remove_family(&mut self, id: AllocationId, family: Family) -> Option<RemovedFamily> {
        let allocation = self.slots.get_mut(id).filter(|allocation| allocation.families.contains(family))?;
        let Some(rest) = allocation.families.without(family) else {
            return self.remove(id).map(RemovedFamily::Allocation);
        };
        let armed = allocation.timer();
        allocation.families = rest;
        self.timers.rearm(armed, allocation.timer());
        let ended = |channel: &&Channel| Family::of(channel.peer.address().ip()) == family;
        let channels: Vec<_> = allocation.channels.as_slice().iter().filter(ended).copied().collect();
        for channel in &channels {
            self.timers.disarm(channel.timer(id));
            allocation.channels.remove(&self.hash, channel.number);
        }
        Some(RemovedFamily::Family(channels))
    }

    /// The lifetime of allocation `id` is over in the family that ends first, or in both.
    pub(super) fn expire(&mut self, id: AllocationId) {
        let Some(allocation) = self.slots.get(id) else { return };
        let (now, _) = allocation.timer();
        let lasting = allocation.families.iter().find(|family| allocation.deadlines.of(*family) > now);
        let expired = match lasting.and_then(|lasting| allocation.families.without(lasting)) {
            Some(Families::Only(family)) => match self.remove_family(id, family) {
                Some(RemovedFamily::Family(channels)) => Some(Expired::Family { id, family, channels }),
                Some(RemovedFamily::Allocation(allocation)) => Some(Expired::Allocation(allocation)),
                None => None,
            },
            _ => self.remove(id).map(Expired::Allocation),
        };
        self.expired.extend(expired);
    }

    /// Ends allocation `id` and all that belongs to it, and returns what it was. Its 5-tuple and port are free at once;
    /// a port that it had reserved stays so until the reservation is used or lapses.
    pub fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.take_out(id)?;
        self.set_slot_of_port(allocation.port, NO_SLOT);
        self.pool.release(allocation.port);
        Some(allocation)
    }

    /// Draws a port of that kind, and reserves the one after it if it is the first of a pair.
    fn draw_port(
        &mut self,
        now: Timestamp,
        kind: PortKind,
        families: Families,
        username: &Arc<str>,
    ) -> Option<(AllocationPort, Option<ReservationToken>)> {
        match kind {
            PortKind::Any => Some((self.pool.draw_any(&mut self.rng)?, None)),
            PortKind::Even => Some((self.pool.draw_even(&mut self.rng)?, None)),
            PortKind::FirstOfPair => {
                let (port, next) = self.pool.draw_pair(&mut self.rng)?;
                let (timers, rng) = (&mut self.timers, &mut self.rng);
                Some((port, Some(self.reservations.reserve(now, timers, rng, next, families, username))))
            }
            PortKind::Reserved => None,
        }
    }

    /// Takes allocation `id` out of everything but the ports.
    fn take_out(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.slots.remove(id)?;
        self.clients.remove(&self.hash, &self.slots, &allocation);
        self.users.unlink(&self.hash, &mut self.slots, &allocation);
        self.timers.disarm(allocation.timer());
        for channel in allocation.channels() {
            self.timers.disarm(channel.timer(id));
        }
        Some(allocation)
    }

    fn set_slot_of_port(&mut self, port: AllocationPort, slot: u16) {
        if let Some(index) = self.ports.index_of(port) {
            self.by_port[index] = slot;
        }
    }
}

/// 584 years at the most.
fn nanos(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Expired, PortRange, RESERVATION_LIFETIME,
        testing::{T0, five_tuple, number, peer, request},
    };

    fn dynamic() -> Allocations {
        Allocations::new(PortRange::DYNAMIC, [1; 32])
    }

    #[test]
    fn one_allocation_per_five_tuple_and_again_at_once_after_removal() {
        let mut allocations = dynamic();
        let first = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        let refused = allocations.allocate(T0, request(1, PortRequest::Any)).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::AlreadyAllocated(first)));
        assert!(allocations.remove(first).is_some());
        assert!(allocations.remove(first).is_none());
        let second = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        assert_ne!(first, second);
        assert!(allocations.get(first).is_none());
    }

    #[test]
    fn an_allocation_ends_with_its_lifetime_and_takes_its_channels_along() {
        let mut allocations = dynamic();
        let id = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        assert_eq!(allocations.poll_timeout(), Some(T0 + Duration::from_secs(600)));
        let refreshed = T0 + Duration::from_secs(599);
        assert_eq!(
            allocations.refresh(refreshed, id, None, Duration::from_secs(60)),
            Ok(refreshed + Duration::from_secs(60))
        );
        allocations.bind_channel(refreshed, id, number(0), peer(0)).unwrap();
        allocations.handle_timeout(refreshed + Duration::from_secs(60));
        let Some(Expired::Allocation(gone)) = allocations.poll_expired() else { panic!("it has expired") };
        assert_eq!((gone.id(), gone.five_tuple(), gone.channels().len()), (id, five_tuple(1), 1));
        assert!(allocations.poll_expired().is_none(), "the channel went with it");
        allocations.assert_empty();
    }

    #[test]
    fn an_expired_five_tuple_may_allocate_again_before_anybody_looked_at_the_clock() {
        let mut allocations = dynamic();
        let id = allocations.allocate(T0, request(1, PortRequest::Any)).unwrap().id();
        let end = T0 + Duration::from_secs(600);
        assert_eq!(allocations.refresh(end, id, None, Duration::from_secs(600)), Err(UnknownAllocation(id)));
        assert!(allocations.allocate(end, request(1, PortRequest::Any)).is_ok());
        assert!(matches!(allocations.poll_expired(), Some(Expired::Allocation(gone)) if gone.id() == id));
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

        let stranger = NewAllocation { username: "mallory", ..request(2, PortRequest::Reserved(token)) };
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
        let limit = MAX_RESERVATIONS_PER_USERNAME;
        for _ in 0..limit {
            let id = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).unwrap().id();
            allocations.remove(id);
        }
        let refused = allocations.allocate(T0, request(1, PortRequest::EvenAndReserveNext)).map(Allocation::id);
        assert_eq!(refused, Err(AllocateError::TooManyReservations { limit }));
        assert!(allocations.allocate(T0, request(1, PortRequest::Even)).is_ok());
        let other = NewAllocation { username: "bob", ..request(2, PortRequest::EvenAndReserveNext) };
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

    #[test]
    fn one_family_of_a_dual_allocation_ends_with_its_channels_and_the_other_lives_on() {
        let mut allocations = dynamic();
        let dual = NewAllocation { families: Families::Both, ..request(1, PortRequest::Any) };
        let id = allocations.allocate(T0, dual).unwrap().id();
        for both in 0..2 {
            allocations.bind_channel(T0, id, number(both), peer(both)).unwrap();
        }
        let end = T0 + Duration::from_secs(600);
        let refreshed = allocations.refresh(T0, id, Some(Family::V4), Duration::from_secs(900)).unwrap();
        assert_eq!(allocations.get(id).unwrap().family_expires_at(Family::V6), Some(end));
        assert_eq!(allocations.get(id).unwrap().expires_at(), refreshed);

        allocations.bind_channel(T0 + Duration::from_secs(500), id, number(1), peer(1)).unwrap();
        allocations.handle_timeout(end);
        let Some(Expired::Family { family: Family::V6, channels, .. }) = allocations.poll_expired() else {
            panic!("IPv6 has expired")
        };
        assert_eq!(channels.iter().map(Channel::number).collect::<Vec<_>>(), [number(1)]);
        assert_eq!(allocations.get(id).unwrap().families(), Families::Only(Family::V4));
        assert_eq!(allocations.get(id).unwrap().channels().len(), 1);
        assert!(allocations.remove_family(id, Family::V6).is_none());
        assert!(matches!(allocations.remove_family(id, Family::V4), Some(RemovedFamily::Allocation(_))));
        assert!(allocations.is_empty());
    }
}
