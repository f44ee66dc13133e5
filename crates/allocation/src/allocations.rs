mod bind;
mod inherit;
#[cfg(any(test, feature = "invariants"))]
mod invariants;
mod lending;
mod lifecycle;
#[cfg(test)]
mod model;
mod permit;
mod ports;
mod revoke;
mod snapshot;

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::{
    Allocation, AllocationId, AllocationPort, ChannelNumber, ChannelPeerError, Expired, FiveTuple, LeftPort, Limits,
    PeerChannelError, PeerSocket, PermissionError, PortRange, Timestamp, ToClient,
    clients::Clients,
    keyed_hash::KeyedHash,
    port_pool::PortPool,
    reservations::{Reservation, Reservations},
    slots::{NO_SLOT, Slots},
    timers::{TimerKey, Timers},
    users::Users,
};

pub use bind::Bound;
pub use permit::Permitted;
pub use snapshot::{AllocationsSnapshot, SnapshotError};

/// All allocations of a relay, or of one of its shards; the crate's documentation shows how to drive it.
#[derive(Debug)]
pub struct Allocations {
    hash: KeyedHash,
    pub(crate) slots: Slots,
    clients: Clients,
    /// The slot of each port of the range.
    by_port: Vec<u16>,
    users: Users,
    timers: Timers,
    /// The ports that [`Self::by_port`] covers: those of `pool`, and those of other shards.
    ports: PortRange,
    pool: PortPool,
    /// Ports of this shard that are lent to other shards.
    lent: BTreeSet<AllocationPort>,
    /// Ports of other shards that this shard no longer needs, for [`Self::poll_left_port`].
    left: Vec<LeftPort>,
    reservations: Reservations,
    expired: VecDeque<Expired>,
    limits: Limits,
    /// How many channels all allocations have, lapsed ones included.
    channel_count: u32,
    /// How many permissions all allocations have.
    permission_count: u32,
    rng: ChaCha20Rng,
}

impl Allocations {
    /// No allocations. Ports come from `ports`. All random choices follow from `rng_seed`, so the same seed and the same
    /// calls give the same results. Keep the seed secret: it predicts ports and tokens.
    #[must_use]
    pub fn new(ports: PortRange, rng_seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(rng_seed);
        Self {
            hash: KeyedHash::new(&mut rng),
            slots: Slots::default(),
            clients: Clients::default(),
            by_port: vec![NO_SLOT; usize::from(ports.len())],
            users: Users::default(),
            timers: Timers::default(),
            ports,
            pool: PortPool::new(ports),
            lent: BTreeSet::new(),
            left: Vec::new(),
            reservations: Reservations::default(),
            expired: VecDeque::new(),
            limits: Limits::default(),
            channel_count: 0,
            permission_count: 0,
            rng,
        }
    }

    /// Also accepts allocations of ports that belong to other shards of the relay: ports that were lent ([`Self::lend`]) or reserved
    /// ([`Self::adopt_reservation`]) there. `ports` contains the ports of all shards. [`Self::poll_left_port`] tells which of
    /// them are no longer needed here.
    #[must_use]
    pub fn with_ports_of_all_shards(mut self, ports: PortRange) -> Self {
        self.by_port = vec![NO_SLOT; usize::from(ports.len())];
        self.ports = ports;
        self.reservations.share();
        self
    }

    /// Bounds channels and permissions by `limits` instead of [`Limits::default`].
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The allocation that relays ChannelData with `number` from the client of `five_tuple`, and the peer that it goes to.
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
        match allocation.bound_peer(&self.hash, number) {
            Some(peer) => Ok((allocation, peer)),
            None => Err(ChannelPeerError::NoChannel),
        }
    }

    /// The allocation whose client gets a datagram from `peer` to `port`, and the channel that carries it.
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
        match allocation.bound_number(&self.hash, peer) {
            Some(number) => Ok((allocation, number)),
            None => Err(PeerChannelError::UnknownPeer),
        }
    }

    /// The allocation that relays a Send indication from the client of `five_tuple` to a peer at `address`.
    ///
    /// # Errors
    ///
    /// When the client has no allocation, or the allocation has no permission for the address.
    pub fn permitted_to_send(&self, five_tuple: &FiveTuple, address: IpAddr) -> Result<&Allocation, PermissionError> {
        let allocation = self.by_five_tuple(five_tuple).ok_or(PermissionError::NoAllocation)?;
        if allocation.is_permitted(&self.hash, address) { Ok(allocation) } else { Err(PermissionError::NoPermission) }
    }

    /// The allocation whose client gets a datagram from `peer` to `port`, and how it is delivered: in the channel bound to the peer, or,
    /// without one, in a Data indication if there is a permission for the peer's address.
    ///
    /// # Errors
    ///
    /// When no allocation has the port, or it has neither such a channel nor such a permission.
    #[inline]
    pub fn to_client(
        &self,
        port: AllocationPort,
        peer: PeerSocket,
    ) -> Result<(&Allocation, ToClient), PeerChannelError> {
        let allocation = self.by_port(port).ok_or(PeerChannelError::UnknownPort)?;
        match self.hears(allocation, peer) {
            Some(how) => Ok((allocation, how)),
            None => Err(PeerChannelError::UnknownPeer),
        }
    }

    /// How a datagram from `peer` is delivered to the client of `allocation`, which is one of these; `None` if nothing allows it.
    #[inline]
    #[must_use]
    pub fn hears(&self, allocation: &Allocation, peer: PeerSocket) -> Option<ToClient> {
        allocation.to_client(&self.hash, peer)
    }

    /// The id of the live allocation that has this [number](AllocationId::as_u64).
    #[must_use]
    pub fn id_of(&self, number: u64) -> Option<AllocationId> {
        self.get(AllocationId::from_u64(number)).map(Allocation::id)
    }

    /// Allocation `id`.
    #[must_use]
    pub fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.slots.get(id)
    }

    /// The allocation of a client.
    #[must_use]
    pub fn by_five_tuple(&self, five_tuple: &FiveTuple) -> Option<&Allocation> {
        self.clients.find(&self.hash, &self.slots, five_tuple)
    }

    /// The allocation that has `port`.
    #[inline]
    #[must_use]
    pub fn by_port(&self, port: AllocationPort) -> Option<&Allocation> {
        self.slots.at(self.slot_of_port(port))
    }

    #[inline]
    fn slot_of_port(&self, port: AllocationPort) -> u16 {
        self.ports.index_of(port).map_or(NO_SLOT, |index| self.by_port[index])
    }

    /// How many allocations user `id` has. O(1).
    #[must_use]
    pub fn count_of_user(&self, id: &str) -> usize {
        self.users.get(&self.hash, id).map_or(0, |user| usize::from(user.count))
    }

    /// The allocations of user `id`, oldest first.
    pub fn of_user(&self, id: &str) -> impl Iterator<Item = &Allocation> {
        let oldest = self.users.get(&self.hash, id).map_or(NO_SLOT, |user| user.oldest);
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

    /// All allocations. The same calls give the same order. O(n): for views, not for the data path.
    pub fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.slots.iter()
    }

    /// How many ports can be drawn.
    #[must_use]
    pub fn free_ports(&self) -> usize {
        self.pool.len()
    }

    /// When to call [`Self::handle_timeout`] next; `None` if nothing will expire. O(1).
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Ends everything that expires by `now`, and queues it for [`Self::poll_expired`]. Afterwards [`Self::poll_timeout`] is `None`
    /// or later than `now`.
    ///
    /// Every other method that takes `now` does this first, so that it never acts on something that has expired.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Allocation(id) => self.expire(id),
                TimerKey::Permission(id, at) => self.expire_permission(id, at),
                TimerKey::ChannelExpires(id, number) => {
                    let Some(allocation) = self.slots.get_mut(id) else { continue };
                    let lapsed = allocation.change_channels(|channels| {
                        let channel = channels.by_number_mut(&self.hash, number)?;
                        channel.bound = false;
                        Some(*channel)
                    });
                    let Some(channel) = lapsed else { continue };
                    self.expired.push_back(Expired::ChannelExpired { id, channel: number, peer: channel.peer });
                    self.timers.arm(channel.timer(id));
                }
                TimerKey::ChannelReusable(id, number) => {
                    let Some(allocation) = self.slots.get_mut(id) else { continue };
                    let released = allocation.change_channels(|channels| channels.remove(&self.hash, number));
                    let Some(channel) = released else { continue };
                    self.channel_count -= 1;
                    self.expired.push_back(Expired::ChannelReleased { id, channel: number, peer: channel.peer });
                }
                TimerKey::Reservation(token) => {
                    if let Some(Reservation { port, is_adopted: false, .. }) = self.reservations.lapse(token) {
                        self.leave_port(port);
                    }
                }
                TimerKey::Quarantine(port) => self.pool.release(port),
                TimerKey::Wait(number) => self.expired.push_back(Expired::Wait(number)),
            }
        }
    }

    /// The next thing that has expired, in the order of deadlines. With equal deadlines, allocations come first, the oldest
    /// at the front, then permissions and channels by allocation.
    pub fn poll_expired(&mut self) -> Option<Expired> {
        let expired = self.expired.pop_front();
        if expired.is_none() && self.expired.capacity() > 0 {
            self.expired = VecDeque::new();
        }
        expired
    }
}
