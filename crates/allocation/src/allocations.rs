use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashTable;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::{
    AllocateError, Allocation, AllocationId, AllocationPort, BindError, CHANNEL_BINDING_LIFETIME, Channel,
    ChannelNumber, ChannelPeerError, Expired, FiveTuple, NewAllocation, PeerChannelError, PeerSocket, PortRange,
    PortRequest, ReservationToken, RetryPortError, Timestamp, UnknownAllocation,
    allocation::{Families, PortKind},
    channels::Channels,
    keyed_hash::KeyedHash,
    port_pool::PortPool,
    slots::{NO_SLOT, Slots},
    timers::{TimerKey, Timers},
    users::Users,
};

/// How long a reserved port waits for its token to come back: the least that
/// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) allows.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How long a port that another program held stays out of use.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(60);

/// How many ports are tried for one allocation before it is given up.
pub const MAX_PORTS_TRIED: u8 = 16;

/// How many channels an allocation may have unless told otherwise: as many as there are numbers in
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12), `0x4000..=0x4FFF`.
pub const DEFAULT_CHANNEL_LIMIT: u16 = 0x1000;

/// All allocations of a relay, or of one of its shards.
#[derive(Debug)]
pub struct Allocations {
    hash: KeyedHash,
    slots: Slots,
    by_five_tuple: HashTable<u16>,
    /// The slot of each port of the range.
    by_port: Vec<u16>,
    users: Users,
    timers: Timers,
    ports: PortRange,
    pool: PortPool,
    reservations: BTreeMap<ReservationToken, Reservation>,
    expired: VecDeque<Expired>,
    channel_limit: u16,
    rng: ChaCha20Rng,
}

#[derive(Debug)]
struct Reservation {
    port: AllocationPort,
    families: Families,
    username: Arc<str>,
    expires_at: Timestamp,
}

/// What binding a channel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The channel is new.
    New,
    /// The channel was bound already and now is for longer.
    Refreshed,
    /// The channel had lapsed and relays again.
    Rebound,
}

impl Allocations {
    /// No allocations. Ports come from `ports`; `rng_seed` makes every random choice, so the same seed and the same calls give the same results.
    #[must_use]
    pub fn new(ports: PortRange, rng_seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(rng_seed);
        Self {
            hash: KeyedHash::new(&mut rng),
            slots: Slots::default(),
            by_five_tuple: HashTable::new(),
            by_port: vec![NO_SLOT; usize::from(ports.len())],
            users: Users::default(),
            timers: Timers::default(),
            ports,
            pool: PortPool::new(ports),
            reservations: BTreeMap::new(),
            expired: VecDeque::new(),
            channel_limit: DEFAULT_CHANNEL_LIMIT,
            rng,
        }
    }

    /// Lets each allocation have up to `limit` channels, lapsed ones included, instead of [`DEFAULT_CHANNEL_LIMIT`].
    #[must_use]
    pub const fn with_channel_limit(mut self, limit: u16) -> Self {
        self.channel_limit = limit;
        self
    }

    /// Makes an allocation.
    ///
    /// # Errors
    ///
    /// When the 5-tuple has one already, or there is no port for it.
    pub fn allocate(&mut self, now: Timestamp, new: NewAllocation<'_>) -> Result<&Allocation, AllocateError> {
        self.handle_timeout(now);
        if let Some(existing) = self.by_five_tuple(&new.five_tuple) {
            return Err(AllocateError::AlreadyAllocated(existing.id));
        }
        let username = self.users.shared_name(&self.hash, new.username);
        let mut families = Families { v4: new.v4, v6: new.v6 };
        let mut reservation = None;
        let (port, port_kind) = match new.port {
            PortRequest::Any => (self.pool.draw_any(&mut self.rng), PortKind::Any),
            PortRequest::Even => (self.pool.draw_even(&mut self.rng), PortKind::Even),
            PortRequest::EvenAndReserveNext => {
                let drawn = self.draw_and_reserve(now, families, &username);
                reservation = drawn.map(|(_, token)| token);
                (drawn.map(|(port, _)| port), PortKind::FirstOfPair)
            }
            PortRequest::Reserved(token) => {
                let reserved = self.take_reservation(token, &username).ok_or(AllocateError::UnknownReservation)?;
                families = reserved.families;
                (Some(reserved.port), PortKind::Reserved)
            }
        };
        let port = port.ok_or(AllocateError::NoFreePort)?;
        let expires_at = now + new.lifetime;
        let id = self
            .slots
            .insert(|id| {
                Box::new(Allocation {
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
                    lifetime: new.lifetime,
                    expires_at,
                    previous_of_user: NO_SLOT,
                    next_of_user: NO_SLOT,
                })
            })
            .ok_or(AllocateError::NoFreePort)?;
        self.users.link(&self.hash, &mut self.slots, id.slot());
        self.by_five_tuple.insert_unique(
            self.hash.hash(&new.five_tuple),
            id.slot(),
            rehash_five_tuples(&self.hash, &self.slots),
        );
        self.set_slot_of_port(port, id.slot());
        self.timers.arm(expires_at, TimerKey::Allocation(id));
        self.slots.get(id).ok_or(AllocateError::NoFreePort)
    }

    /// Another program holds the port of allocation `id`, which nobody has been told of yet: draws another of the same kind.
    ///
    /// The unusable port stays away for [`PORT_QUARANTINE`]. With [`PortRequest::EvenAndReserveNext`] the port after it is
    /// given up and another is reserved, under another token.
    ///
    /// # Errors
    ///
    /// When no other port will do (for a reserved port there is none) or [`MAX_PORTS_TRIED`] were tried. The allocation is
    /// gone then.
    pub fn retry_port(&mut self, now: Timestamp, id: AllocationId) -> Result<AllocationPort, RetryPortError> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let (unusable, kind, families) = (allocation.port, allocation.port_kind, allocation.families);
        let username = Arc::clone(&allocation.username);
        let another = allocation.ports_tried < MAX_PORTS_TRIED;
        allocation.ports_tried = allocation.ports_tried.saturating_add(1);
        let mut reservation = allocation.reservation;
        if let Some(given_up) = reservation.take().and_then(|token| self.take_reservation(token, &username)) {
            self.pool.release(given_up.port);
        }
        let port = match kind {
            _ if !another => None,
            PortKind::Any => self.pool.draw_any(&mut self.rng),
            PortKind::Even => self.pool.draw_even(&mut self.rng),
            PortKind::FirstOfPair => {
                let drawn = self.draw_and_reserve(now, families, &username);
                reservation = drawn.map(|(_, token)| token);
                drawn.map(|(port, _)| port)
            }
            PortKind::Reserved => None,
        };
        self.set_slot_of_port(unusable, NO_SLOT);
        self.timers.arm(now + PORT_QUARANTINE, TimerKey::Quarantine(unusable));
        match (port, self.slots.get_mut(id)) {
            (Some(port), Some(allocation)) => {
                allocation.port = port;
                allocation.reservation = reservation;
                self.set_slot_of_port(port, id.slot());
                Ok(port)
            }
            _ => Err(match self.take_out(id) {
                Some(allocation) => RetryPortError::NoFreePort(allocation),
                None => UnknownAllocation(id).into(),
            }),
        }
    }

    /// Allocation `id` lives for `lifetime` from now. Returns when it ends.
    ///
    /// A lifetime of zero makes it end at `now`; to delete it, [`Self::remove`] it.
    ///
    /// # Errors
    ///
    /// When there is no such allocation.
    pub fn refresh(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        lifetime: Duration,
    ) -> Result<Timestamp, UnknownAllocation> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let expires_at = now + lifetime;
        allocation.lifetime = lifetime;
        let armed = std::mem::replace(&mut allocation.expires_at, expires_at);
        self.timers.disarm(armed, TimerKey::Allocation(id));
        self.timers.arm(expires_at, TimerKey::Allocation(id));
        Ok(expires_at)
    }

    /// Ends allocation `id` and all that belongs to it. Its port may be drawn again at once.
    pub fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let allocation = self.take_out(id)?;
        self.set_slot_of_port(allocation.port, NO_SLOT);
        self.pool.release(allocation.port);
        Some(allocation)
    }

    /// Binds `number` to `peer` in allocation `id`, for [`CHANNEL_BINDING_LIFETIME`] from now.
    ///
    /// [RFC 8656, section 12.2](https://www.rfc-editor.org/rfc/rfc8656#section-12.2)
    ///
    /// # Errors
    ///
    /// When the number or the peer is bound otherwise, the allocation has too many channels, or there is no such allocation.
    pub fn bind_channel(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        number: ChannelNumber,
        peer: PeerSocket,
    ) -> Result<Bound, BindError> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let expires_at = now + CHANNEL_BINDING_LIFETIME;
        if let Some(channel) = allocation.channels.by_number_mut(&self.hash, number) {
            if channel.peer != peer {
                return Err(BindError::ChannelInUse);
            }
            let (armed, key) = timer_of(id, channel);
            let bound = if channel.bound { Bound::Refreshed } else { Bound::Rebound };
            channel.bound = true;
            channel.expires_at = expires_at;
            self.timers.disarm(armed, key);
            self.timers.arm(expires_at, TimerKey::ChannelExpires(id, number));
            return Ok(bound);
        }
        if allocation.channels.by_peer(&self.hash, peer).is_some() {
            return Err(BindError::PeerHasAnotherChannel);
        }
        if allocation.channels.len() >= usize::from(self.channel_limit) {
            return Err(BindError::TooManyChannels { limit: self.channel_limit });
        }
        allocation.channels.insert(&self.hash, Channel { peer, number, bound: true, expires_at });
        self.timers.arm(expires_at, TimerKey::ChannelExpires(id, number));
        Ok(Bound::New)
    }

    /// The peer that ChannelData with `number` from the client of `five_tuple` goes to, and the allocation it leaves by.
    ///
    /// # Errors
    ///
    /// When the client has no allocation, or the channel is not bound.
    pub fn channel_peer(
        &self,
        five_tuple: &FiveTuple,
        number: ChannelNumber,
    ) -> Result<(&Allocation, PeerSocket), ChannelPeerError> {
        let allocation = self.by_five_tuple(five_tuple).ok_or(ChannelPeerError::NoAllocation)?;
        match allocation.channels.by_number(&self.hash, number) {
            Some(channel) if channel.bound => Ok((allocation, channel.peer)),
            _ => Err(ChannelPeerError::NoChannel),
        }
    }

    /// The channel that a datagram from `peer` to `port` goes back in, and the allocation whose client hears of it.
    ///
    /// # Errors
    ///
    /// When no allocation has the port, or it has no channel bound to the peer.
    pub fn peer_channel(
        &self,
        port: AllocationPort,
        peer: PeerSocket,
    ) -> Result<(&Allocation, ChannelNumber), PeerChannelError> {
        let allocation = self.by_port(port).ok_or(PeerChannelError::UnknownPort)?;
        match allocation.channels.by_peer(&self.hash, peer) {
            Some(channel) if channel.bound => Ok((allocation, channel.number)),
            _ => Err(PeerChannelError::UnknownPeer),
        }
    }

    /// Allocation `id`.
    #[must_use]
    pub fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.slots.get(id)
    }

    /// The allocation of a client.
    #[must_use]
    pub fn by_five_tuple(&self, five_tuple: &FiveTuple) -> Option<&Allocation> {
        let slot = self.by_five_tuple.find(self.hash.hash(five_tuple), |slot| {
            self.slots.at(*slot).is_some_and(|allocation| allocation.five_tuple == *five_tuple)
        })?;
        self.slots.at(*slot)
    }

    /// The allocation that has `port`.
    #[must_use]
    pub fn by_port(&self, port: AllocationPort) -> Option<&Allocation> {
        self.slots.at(self.by_port[self.ports.index_of(port)?])
    }

    /// How many allocations `username` has. O(1).
    #[must_use]
    pub fn count_of_username(&self, username: &str) -> usize {
        self.users.get(&self.hash, username).map_or(0, |user| usize::from(user.count))
    }

    /// The allocations of `username`, oldest first.
    pub fn of_username(&self, username: &str) -> impl Iterator<Item = &Allocation> {
        let oldest = self.users.get(&self.hash, username).map_or(NO_SLOT, |user| user.oldest);
        std::iter::successors(self.slots.at(oldest), |allocation| self.slots.at(allocation.next_of_user))
    }

    /// How many allocations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All allocations, in an order that depends on nothing but what was done to them. O(n): for views, not for the data path.
    pub fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.slots.iter()
    }

    /// How many ports can be drawn.
    #[must_use]
    pub fn free_ports(&self) -> usize {
        self.pool.len()
    }

    /// When to call [`Self::handle_timeout`] next. O(1).
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Ends everything whose time is up at `now`; [`Self::poll_expired`] tells what that was. Afterwards [`Self::poll_timeout`] is later than `now`.
    ///
    /// Every other method that takes the time does this first, so that it never acts on something that has ended.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.timers.pop_due(now) {
            match key {
                TimerKey::Allocation(id) => {
                    if let Some(allocation) = self.remove(id) {
                        self.expired.push_back(Expired::Allocation(allocation));
                    }
                }
                TimerKey::ChannelExpires(id, number) => {
                    let Some(allocation) = self.slots.get_mut(id) else { continue };
                    let Some(channel) = allocation.channels.by_number_mut(&self.hash, number) else { continue };
                    channel.bound = false;
                    self.expired.push_back(Expired::ChannelExpired { id, channel: number, peer: channel.peer });
                    self.timers.arm(channel.reusable_at(), TimerKey::ChannelReusable(id, number));
                }
                TimerKey::ChannelReusable(id, number) => {
                    let Some(allocation) = self.slots.get_mut(id) else { continue };
                    let Some(channel) = allocation.channels.remove(&self.hash, number) else { continue };
                    self.expired.push_back(Expired::ChannelReleased { id, channel: number, peer: channel.peer });
                }
                TimerKey::Reservation(token) => {
                    if let Some(reservation) = self.reservations.remove(&token) {
                        debug_assert_eq!(reservation.expires_at, at, "a reservation's deadline never moves");
                        self.pool.release(reservation.port);
                    }
                }
                TimerKey::Quarantine(port) => self.pool.release(port),
            }
        }
    }

    /// The next thing that has ended, in the order of its deadline; at the same time allocations come first, oldest first,
    /// then channels by allocation and number.
    pub fn poll_expired(&mut self) -> Option<Expired> {
        let expired = self.expired.pop_front();
        if expired.is_none() && self.expired.capacity() > 0 {
            self.expired = VecDeque::new();
        }
        expired
    }

    fn draw_and_reserve(
        &mut self,
        now: Timestamp,
        families: Families,
        username: &Arc<str>,
    ) -> Option<(AllocationPort, ReservationToken)> {
        let (port, next) = self.pool.draw_pair(&mut self.rng)?;
        let token = loop {
            let token = ReservationToken::draw(&mut self.rng);
            if !self.reservations.contains_key(&token) {
                break token;
            }
        };
        let expires_at = now + RESERVATION_LIFETIME;
        let reservation = Reservation { port: next, families, username: Arc::clone(username), expires_at };
        self.reservations.insert(token, reservation);
        self.timers.arm(expires_at, TimerKey::Reservation(token));
        Some((port, token))
    }

    fn take_reservation(&mut self, token: ReservationToken, username: &str) -> Option<Reservation> {
        if *self.reservations.get(&token)?.username != *username {
            return None;
        }
        let reservation = self.reservations.remove(&token)?;
        self.timers.disarm(reservation.expires_at, TimerKey::Reservation(token));
        Some(reservation)
    }

    /// Takes allocation `id` out of everything but the ports.
    fn take_out(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let five_tuple = self.slots.get(id)?.five_tuple;
        if let Ok(entry) = self.by_five_tuple.find_entry(self.hash.hash(&five_tuple), |slot| *slot == id.slot()) {
            entry.remove();
        }
        let mut allocation = self.slots.remove(id)?;
        self.users.unlink(&self.hash, &mut self.slots, &mut allocation);
        if self.by_five_tuple.len() < self.by_five_tuple.capacity() / 4 {
            self.by_five_tuple.shrink_to(self.by_five_tuple.len() * 2, rehash_five_tuples(&self.hash, &self.slots));
        }
        self.timers.disarm(allocation.expires_at, TimerKey::Allocation(id));
        for channel in allocation.channels.as_slice() {
            let (armed, key) = timer_of(id, channel);
            self.timers.disarm(armed, key);
        }
        Some(allocation)
    }

    fn set_slot_of_port(&mut self, port: AllocationPort, slot: u16) {
        if let Some(index) = self.ports.index_of(port) {
            self.by_port[index] = slot;
        }
    }
}

/// The deadline that `channel` of allocation `id` has armed.
fn timer_of(id: AllocationId, channel: &Channel) -> (Timestamp, TimerKey) {
    if channel.bound {
        (channel.expires_at, TimerKey::ChannelExpires(id, channel.number))
    } else {
        (channel.reusable_at(), TimerKey::ChannelReusable(id, channel.number))
    }
}

fn rehash_five_tuples<'a>(hash: &'a KeyedHash, slots: &'a Slots) -> impl Fn(&u16) -> u64 + 'a {
    // Every slot in the table is taken; if one were not, it could not be found either way.
    move |slot| slots.at(*slot).map_or(0, |allocation| hash.hash(&allocation.five_tuple))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    fn five_tuple(port: u16) -> FiveTuple {
        FiveTuple {
            client: SocketAddr::from(([203, 0, 113, 1], port)).into(),
            server: IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        }
    }

    fn peer(port: u16) -> PeerSocket {
        SocketAddr::from(([198, 51, 100, 1], port)).into()
    }

    fn channel(number: u16) -> ChannelNumber {
        ChannelNumber::new(number).unwrap()
    }

    fn new(client: u16, port: PortRequest) -> NewAllocation<'static> {
        NewAllocation {
            five_tuple: five_tuple(client),
            username: "alice",
            transaction_id: [7; 12],
            lifetime: Duration::from_secs(600),
            v4: true,
            v6: false,
            port,
        }
    }

    const T0: Timestamp = Timestamp::from_secs(1000);

    fn all_empty(allocations: &Allocations) {
        assert!(allocations.is_empty());
        assert_eq!(allocations.free_ports(), usize::from(allocations.ports.len()));
        assert_eq!((allocations.timers.len(), allocations.poll_timeout()), (0, None));
        assert_eq!(
            (allocations.users.len(), allocations.by_five_tuple.len(), allocations.reservations.len()),
            (0, 0, 0)
        );
        assert!(allocations.by_port.iter().all(|slot| *slot == NO_SLOT));
    }

    #[test]
    fn a_channel_relays_both_ways_until_it_lapses_and_is_reserved_until_it_is_released() {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let allocation = allocations.allocate(T0, new(1, PortRequest::Any)).unwrap();
        let (id, port) = (allocation.id(), allocation.port());
        allocations.refresh(T0, id, Duration::from_secs(3600)).unwrap();

        assert_eq!(allocations.bind_channel(T0, id, channel(0x4000), peer(9)), Ok(Bound::New));
        assert_eq!(allocations.channel_peer(&five_tuple(1), channel(0x4000)).unwrap().1, peer(9));
        assert_eq!(allocations.peer_channel(port, peer(9)).unwrap().1, channel(0x4000));

        let lapse = T0 + CHANNEL_BINDING_LIFETIME;
        assert_eq!(allocations.poll_timeout(), Some(lapse));
        allocations.handle_timeout(lapse);
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelExpired { .. })));
        assert_eq!(allocations.channel_peer(&five_tuple(1), channel(0x4000)).unwrap_err(), ChannelPeerError::NoChannel);
        assert_eq!(allocations.peer_channel(port, peer(9)).unwrap_err(), PeerChannelError::UnknownPeer);
        assert_eq!(allocations.bind_channel(lapse, id, channel(0x4000), peer(8)), Err(BindError::ChannelInUse));
        assert_eq!(
            allocations.bind_channel(lapse, id, channel(0x4001), peer(9)),
            Err(BindError::PeerHasAnotherChannel)
        );
        assert_eq!(allocations.bind_channel(lapse, id, channel(0x4000), peer(9)), Ok(Bound::Rebound));
        assert_eq!(allocations.bind_channel(lapse, id, channel(0x4000), peer(9)), Ok(Bound::Refreshed));

        let released = lapse + CHANNEL_BINDING_LIFETIME + crate::CHANNEL_REUSE_DELAY;
        assert_eq!(allocations.bind_channel(released, id, channel(0x4001), peer(9)), Ok(Bound::New));
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelExpired { .. })));
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelReleased { .. })));
        assert!(allocations.poll_expired().is_none());

        assert!(allocations.remove(id).is_some());
        all_empty(&allocations);
    }

    #[test]
    fn a_reserved_port_goes_to_its_owner_once() {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let first = allocations.allocate(T0, new(1, PortRequest::EvenAndReserveNext)).unwrap();
        let (first, port, token) = (first.id(), first.port(), first.reservation().unwrap());
        assert_eq!(port.get() % 2, 0);

        let stranger = NewAllocation { username: "mallory", ..new(2, PortRequest::Reserved(token)) };
        assert_eq!(allocations.allocate(T0, stranger).unwrap_err(), AllocateError::UnknownReservation);
        let second = allocations.allocate(T0, new(2, PortRequest::Reserved(token))).unwrap();
        assert_eq!(second.port().get(), port.get() + 1);
        let second = second.id();
        assert_eq!(
            allocations.allocate(T0, new(3, PortRequest::Reserved(token))).unwrap_err(),
            AllocateError::UnknownReservation
        );
        assert_eq!(allocations.of_username("alice").map(Allocation::id).collect::<Vec<_>>(), [first, second]);

        allocations.remove(first);
        allocations.remove(second);
        all_empty(&allocations);
    }

    #[test]
    fn a_port_held_by_another_program_stays_away_for_a_while() {
        let mut allocations = Allocations::new(PortRange::new(10, 12).unwrap(), [1; 32]);
        let allocation = allocations.allocate(T0, new(1, PortRequest::Even)).unwrap();
        let (id, bad) = (allocation.id(), allocation.port());
        let other = allocations.retry_port(T0, id).unwrap();
        assert_eq!((other.get() % 2, other != bad), (0, true));
        assert!(allocations.by_port(bad).is_none());
        assert_eq!(allocations.by_port(other).map(Allocation::id), Some(id));
        assert!(matches!(allocations.retry_port(T0, id), Err(RetryPortError::NoFreePort(gone)) if gone.id() == id));
        assert_eq!(allocations.free_ports(), 1);
        allocations.handle_timeout(T0 + PORT_QUARANTINE);
        all_empty(&allocations);
    }
}
