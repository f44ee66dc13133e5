use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    AllocationId, AllocationPort, Channel, ChannelNumber, ClientSocket, Families, Family, FiveTuple, Owner, PeerSocket,
    Permission, PortNeed, Relayed, ReservationToken, Timestamp, ToClient, channels::Channels, keyed_hash::KeyedHash,
    permissions::Permissions, shortcut::Shortcut, timers::TimerKey, traffic::Meter,
};

/// One client's relayed transport address, in one or both families, and the channels bound on it.
///
/// [RFC 8656, section 3.2](https://www.rfc-editor.org/rfc/rfc8656#section-3.2)
#[derive(Debug)]
// In the order of use: of nearly all allocations, the data path reads the first cache line and counts in the second, which processors
// fetch along with it where the two begin at a multiple of 128 bytes.
#[repr(C, align(128))]
pub struct Allocation {
    // Not a `FiveTuple`, whose padding the other fields need.
    pub(crate) client: ClientSocket,
    pub(crate) server: IpAddr,
    pub(crate) families: Families,
    pub(crate) port: AllocationPort,
    /// To the first of [`Self::channels`]; kept so by [`Self::change_channels`].
    pub(crate) shortcut: Shortcut,
    pub(crate) port_kind: PortKind,
    pub(crate) ports_tried: u8,
    /// The slot of the allocation that the same user made before this one.
    pub(crate) previous_of_user: u16,
    // Here the second cache line begins.
    pub(crate) meter: Meter,
    pub(crate) id: AllocationId,
    pub(crate) created_at: Timestamp,
    /// In nanoseconds, which takes half of what a `Duration` does.
    pub(crate) lifetime: u64,
    pub(crate) owner: Arc<Owner>,
    // Here the third one begins.
    pub(crate) channels: Channels,
    pub(crate) deadlines: Deadlines,
    // Here the fourth one begins.
    pub(crate) transaction_id: [u8; 12],
    pub(crate) reservation: Option<ReservationToken>,
    /// The slot of the allocation that the same user made after this one.
    pub(crate) next_of_user: u16,
}

/// What a port was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortKind {
    Any,
    Even,
    FirstOfPair,
    Reserved,
}

/// When each family of an allocation ends; only those that it has mean anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    v4: Timestamp,
    v6: Timestamp,
}

impl Deadlines {
    /// The same for both.
    pub(crate) const fn both(at: Timestamp) -> Self {
        Self { v4: at, v6: at }
    }

    pub(crate) const fn of(self, family: Family) -> Timestamp {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Sets one and returns what it was.
    pub(crate) const fn set(&mut self, family: Family, at: Timestamp) -> Timestamp {
        match family {
            Family::V4 => std::mem::replace(&mut self.v4, at),
            Family::V6 => std::mem::replace(&mut self.v6, at),
        }
    }
}

impl Allocation {
    /// Names it.
    #[must_use]
    pub const fn id(&self) -> AllocationId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn five_tuple(&self) -> FiveTuple {
        FiveTuple { client: self.client, server: self.server }
    }

    /// The credentials it was made with.
    #[must_use]
    pub const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Which port it needs if the one that it has is of no use; `None` for one that was reserved, which nothing can replace.
    #[must_use]
    pub const fn port_need(&self) -> Option<PortNeed> {
        match self.port_kind {
            PortKind::Any => Some(PortNeed::Any),
            PortKind::Even => Some(PortNeed::Even),
            PortKind::FirstOfPair => Some(PortNeed::Pair),
            PortKind::Reserved => None,
        }
    }

    /// How many ports have been tried for it, counting the one that it has.
    #[must_use]
    pub const fn ports_tried(&self) -> u8 {
        self.ports_tried
    }

    /// The transaction id of the Allocate request that made it, by which a retransmission is known.
    #[must_use]
    pub const fn transaction_id(&self) -> [u8; 12] {
        self.transaction_id
    }

    /// The port of its relayed transport addresses.
    #[must_use]
    pub const fn port(&self) -> AllocationPort {
        self.port
    }

    /// The families of its relayed transport addresses.
    #[must_use]
    pub const fn families(&self) -> Families {
        self.families
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// What it has relayed, as far as those who relayed it have said so.
    #[must_use]
    pub const fn relayed(&self) -> Relayed {
        self.meter.read()
    }

    /// Counts a packet with `bytes` bytes of application data that goes from its client to a peer.
    #[inline]
    pub fn count_to_peer(&self, bytes: usize) {
        self.meter.count_to_peer(bytes);
    }

    /// Counts a packet with `bytes` bytes of application data that goes from a peer to its client.
    #[inline]
    pub fn count_from_peer(&self, bytes: usize) {
        self.meter.count_from_peer(bytes);
    }

    /// The lifetime last granted.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        Duration::from_nanos(self.lifetime)
    }

    /// When it ends, in all of its families, unless it is refreshed.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.families.iter().map(|family| self.deadlines.of(family)).max().unwrap_or(Timestamp::MAX)
    }

    /// When its relayed transport address of this family ends, if it has one, unless it is refreshed.
    #[must_use]
    pub fn family_expires_at(&self, family: Family) -> Option<Timestamp> {
        self.families.contains(family).then(|| self.deadlines.of(family))
    }

    /// The token of the port after its own, if its client asked to reserve that one.
    ///
    /// It stays here for the sake of retransmitted requests, also when the reservation is used or gone.
    #[must_use]
    pub const fn reservation(&self) -> Option<ReservationToken> {
        self.reservation
    }

    /// Its channels, bound and lapsed, in an order that depends on nothing but what was done to them.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        self.channels.as_slice()
    }

    /// Its permissions, in an order that depends on nothing but what was done to them.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        self.channels.permissions().map_or(&[], Permissions::as_slice)
    }

    /// Whether it has a permission for `address`.
    #[inline]
    pub(crate) fn is_permitted(&self, hash: &KeyedHash, address: IpAddr) -> bool {
        self.channels.is_permitted(hash, address)
    }

    /// The timers of all its permissions.
    pub(crate) fn permission_timers(&self) -> impl Iterator<Item = (Timestamp, TimerKey)> {
        let positions = 0..;
        positions
            .zip(self.permissions())
            .map(|(at, permission)| (permission.expires_at, TimerKey::Permission(self.id, at)))
    }

    /// The peer that channel `number` relays to, if it is bound.
    #[inline]
    pub(crate) fn bound_peer(&self, hash: &KeyedHash, number: ChannelNumber) -> Option<PeerSocket> {
        self.shortcut.peer(number).or_else(|| self.channels.bound_peer(hash, number))
    }

    /// The number of the channel that relays to `peer`, if it is bound.
    #[inline]
    pub(crate) fn bound_number(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ChannelNumber> {
        self.shortcut.number(peer).or_else(|| self.channels.bound_number(hash, peer))
    }

    /// How its client hears of what `peer` sends, if it may.
    #[inline]
    pub(crate) fn to_client(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ToClient> {
        self.shortcut.number(peer).map(ToClient::Channel).or_else(|| self.channels.to_client(hash, peer))
    }

    /// Lets `change` change the channels, as nothing else does.
    pub(crate) fn change_channels<T>(&mut self, change: impl FnOnce(&mut Channels) -> T) -> T {
        let changed = change(&mut self.channels);
        self.shortcut = Shortcut::to(self.channels.as_slice());
        changed
    }

    /// Lets `change` change the permissions, as nothing else does.
    pub(crate) fn change_permissions<T>(&mut self, change: impl FnOnce(&mut Permissions) -> T) -> T {
        self.channels.change_permissions(change)
    }

    /// The one timer that it has armed for itself: for the family that ends first.
    pub(crate) fn timer(&self) -> (Timestamp, TimerKey) {
        let first = self.families.iter().map(|family| self.deadlines.of(family)).min();
        (first.unwrap_or(Timestamp::MAX), TimerKey::Allocation(self.id))
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn takes_four_cache_lines_of_which_the_data_path_reads_two() {
        let line = 64;
        assert_eq!(size_of::<Option<Allocation>>(), 4 * line);
        assert!(offset_of!(Allocation, shortcut) + size_of::<Shortcut>() <= line);
        assert_eq!(offset_of!(Allocation, meter), line, "all before is read together");
        assert_eq!(offset_of!(Allocation, channels), 2 * line);
        assert!(size_of::<Channels>() <= line);
    }
}
