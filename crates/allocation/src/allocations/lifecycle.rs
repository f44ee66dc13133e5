use std::time::Duration;

use super::Allocations;
use crate::{
    AllocateError, Allocation, AllocationId, Channel, Expired, Families, Family, MAX_RESERVATIONS_PER_USER,
    NewAllocation, PortNeed, PortRequest, RemovedFamily, Timestamp, UnknownAllocation,
    allocation::{Deadlines, PortKind},
    channels::Channels,
    shortcut::Shortcut,
    slots::NO_SLOT,
    timers::TimerKey,
    traffic::Meter,
};

impl Allocations {
    /// Makes an allocation.
    ///
    /// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2)
    ///
    /// # Errors
    ///
    /// When the 5-tuple has an allocation already, no port of the requested kind is free, the reservation token is not valid, or the user
    /// has too many reservations.
    pub fn allocate(&mut self, now: Timestamp, new: NewAllocation<'_>) -> Result<&Allocation, AllocateError> {
        self.handle_timeout(now);
        if let Some(existing) = self.by_five_tuple(&new.five_tuple) {
            return Err(AllocateError::AlreadyAllocated(existing.id));
        }
        let limit = MAX_RESERVATIONS_PER_USER;
        if new.port.need() == Some(PortNeed::Pair) && self.reservations.count_of(new.credential.user_id) >= limit {
            return Err(AllocateError::TooManyReservations { limit });
        }
        let owner = self.users.owner(&self.hash, &self.slots, &new.credential);
        let user = owner.user_id();
        let (mut families, mut ports_tried) = (new.families, 1);
        let (port_kind, drawn) = match new.port {
            PortRequest::Any => (PortKind::Any, self.draw_port(now, PortKind::Any, families, user)),
            PortRequest::Even => (PortKind::Even, self.draw_port(now, PortKind::Even, families, user)),
            PortRequest::EvenAndReserveNext => {
                (PortKind::FirstOfPair, self.draw_port(now, PortKind::FirstOfPair, families, user))
            }
            PortRequest::Reserved(token) => {
                let reserved = self.take_reservation(now, token, user).ok_or(AllocateError::UnknownReservation)?;
                if self.by_port(reserved.port).is_some() {
                    return Err(AllocateError::NoFreePort);
                }
                families = reserved.families;
                (PortKind::Reserved, Some((reserved.port, None)))
            }
            PortRequest::Lent { port, need, tried } => {
                ports_tried = tried.saturating_add(1);
                match need {
                    PortNeed::Any => (PortKind::Any, Some((port, None))),
                    PortNeed::Even => (PortKind::Even, Some((port, None))),
                    PortNeed::Pair => {
                        (PortKind::FirstOfPair, Some((port, Some(self.reserve_after(now, port, families, user)))))
                    }
                }
            }
        };
        let (port, reservation) = drawn.ok_or(AllocateError::NoFreePort)?;

        let id = self.slots.next_id();
        let expires_at = now + new.lifetime;
        let previous_of_user = self.users.append(&self.hash, &mut self.slots, user, id.slot());
        self.clients.insert(&self.hash, &self.slots, &new.five_tuple, id.slot());
        self.set_slot_of_port(port, id.slot());
        self.timers.arm((expires_at, TimerKey::Allocation(id)));
        Ok(self.slots.insert(Allocation {
            id,
            client: new.five_tuple.client,
            server: new.five_tuple.server,
            port,
            port_kind,
            ports_tried,
            families,
            shortcut: Shortcut::NONE,
            meter: Meter::default(),
            channels: Channels::default(),
            owner,
            transaction_id: new.transaction_id,
            reservation,
            created_at: now,
            lifetime: nanos(new.lifetime),
            deadlines: Deadlines::both(expires_at),
            previous_of_user,
            next_of_user: NO_SLOT,
        }))
    }

    /// Sets the lifetime of allocation `id` to `lifetime` from now, in one of its families or in all of them. Returns when it expires.
    ///
    /// A lifetime of zero makes it expire at `now`; to delete it, call [`Self::remove`]. If the allocation does not have the
    /// family, nothing changes.
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

    /// Removes one family of allocation `id`, with the channels and permissions of peers of that family. Removes the whole allocation if
    /// it has no other family. `None` if there is no such allocation, or it does not have that family.
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
            allocation.change_channels(|channels| channels.remove(&self.hash, channel.number));
        }
        self.channel_count -= count(&channels);
        self.remove_permissions_of(id, family);
        Some(RemovedFamily::Family(channels))
    }

    /// Ends the family of allocation `id` that expires first, or both if they expire together.
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

    /// Removes allocation `id` with its channels and permissions, and returns it. Its 5-tuple and port are free at once.
    /// A port that it had reserved stays reserved until the reservation is used or expires.
    pub fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.take_out(id)?;
        self.set_slot_of_port(allocation.port, NO_SLOT);
        self.leave_port(allocation.port);
        Some(allocation)
    }

    /// Removes allocation `id` from everything but the port pool.
    pub(super) fn take_out(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.slots.remove(id)?;
        self.clients.remove(&self.hash, &self.slots, &allocation);
        self.users.unlink(&self.hash, &mut self.slots, &allocation);
        self.timers.disarm(allocation.timer());
        for channel in allocation.channels() {
            self.timers.disarm(channel.timer(id));
        }
        for timer in allocation.permission_timers() {
            self.timers.disarm(timer);
        }
        self.channel_count -= count(allocation.channels());
        self.permission_count -= count(allocation.permissions());
        Some(allocation)
    }
}

/// The limits of an allocation in [`Limits`](crate::Limits) are 16 bits, so this always fits.
fn count<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

/// Longer lifetimes are cut to 584 years.
fn nanos(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        PortRange,
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
