use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    AllocationId, AllocationPort, Channel, ChannelNumber, ClientSocket, Families, Family, FiveTuple, Owner, PeerSocket,
    Permission, PortNeed, Relayed, ReservationToken, Timestamp, ToClient, channels::Channels, keyed_hash::KeyedHash,
    permissions::Permissions, shortcut::Shortcut, timers::TimerKey, traffic::Meter,
};

/// One client's relayed transport address, in one or both families, and the channels bound on it.
///
/// [RFC 8656, section 3.2](https://www.rfc-editor.org/rfc/rfc8656#section-3.2)
#[derive(Debug)]
// Fields are in the order of use. For nearly all allocations the data path reads only the first cache line and counts in the second.
// Processors fetch the two together if the first begins at a multiple of 128 bytes.
#[repr(C, align(128))]
pub struct Allocation {
    // Two fields instead of a `FiveTuple`: its padding would not leave room for the others in this cache line.
    pub(crate) client: ClientSocket,
    pub(crate) server: IpAddr,
    pub(crate) families: Families,
    pub(crate) port: AllocationPort,
    /// A copy of the first of [`Self::channels`]; [`Self::change_channels`] keeps it up to date.
    pub(crate) shortcut: Shortcut,
    pub(crate) port_kind: PortKind,
    pub(crate) ports_tried: u8,
    /// The slot of the allocation that the same user made before this one.
    pub(crate) previous_of_user: u16,
    // The second cache line begins here.
    pub(crate) meter: Meter,
    pub(crate) id: AllocationId,
    pub(crate) created_at: Timestamp,
    /// In nanoseconds: half the size of a `Duration`.
    pub(crate) lifetime: u64,
    pub(crate) owner: Arc<Owner>,
    // The third cache line begins here.
    pub(crate) channels: Channels,
    pub(crate) deadlines: Deadlines,
    // The fourth cache line begins here.
    pub(crate) transaction_id: [u8; 12],
    pub(crate) reservation: Option<ReservationToken>,
    /// The slot of the allocation that the same user made after this one.
    pub(crate) next_of_user: u16,
}

/// What kind of port the Allocate request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PortKind {
    Any,
    Even,
    FirstOfPair,
    Reserved,
}

/// When each family of an allocation expires. Meaningless for a family that the allocation does not have.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    v4: Timestamp,
    v6: Timestamp,
}

impl Deadlines {
    /// The same deadline for both families.
    pub(crate) const fn both(at: Timestamp) -> Self {
        Self { v4: at, v6: at }
    }

    pub(crate) const fn of(self, family: Family) -> Timestamp {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Sets the deadline of `family` and returns the previous one.
    pub(crate) const fn set(&mut self, family: Family, at: Timestamp) -> Timestamp {
        match family {
            Family::V4 => std::mem::replace(&mut self.v4, at),
            Family::V6 => std::mem::replace(&mut self.v6, at),
        }
    }
}

impl Allocation {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> AllocationId {
        self.id
    }

    /// The 5-tuple of its client.
    #[must_use]
    pub const fn five_tuple(&self) -> FiveTuple {
        FiveTuple { client: self.client, server: self.server }
    }

    /// The owner: the credentials that it was made with.
    #[must_use]
    pub const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// What kind of port can replace its port; `None` if the port was reserved, as no other one will do.
    #[must_use]
    pub const fn port_need(&self) -> Option<PortNeed> {
        match self.port_kind {
            PortKind::Any => Some(PortNeed::Any),
            PortKind::Even => Some(PortNeed::Even),
            PortKind::FirstOfPair => Some(PortNeed::Pair),
            PortKind::Reserved => None,
        }
    }

    /// How many ports have been tried for it, its present one included.
    #[must_use]
    pub const fn ports_tried(&self) -> u8 {
        self.ports_tried
    }

    /// The transaction id of the Allocate request that made it. A retransmission has the same one.
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

    /// What it has relayed: the packets counted with [`Self::count_to_peer`] and [`Self::count_from_peer`].
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

    /// When the last of its families expires, unless it is refreshed.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.families.iter().map(|family| self.deadlines.of(family)).max().unwrap_or(Timestamp::MAX)
    }

    /// When its relayed transport address of this family expires, unless it is refreshed; `None` if it has none of this family.
    #[must_use]
    pub fn family_expires_at(&self, family: Family) -> Option<Timestamp> {
        self.families.contains(family).then(|| self.deadlines.of(family))
    }

    /// The token of the port after its own, if its client asked to reserve that one.
    ///
    /// The token stays here even after the reservation is used or has expired, so that a retransmitted request gets the same answer.
    #[must_use]
    pub const fn reservation(&self) -> Option<ReservationToken> {
        self.reservation
    }

    /// Its channels, bound and lapsed. The same calls give the same order.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        self.channels.as_slice()
    }

    /// Its permissions. The same calls give the same order.
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

    /// How data from `peer` is delivered to its client; `None` if neither a channel nor a permission allows it.
    #[inline]
    pub(crate) fn to_client(&self, hash: &KeyedHash, peer: PeerSocket) -> Option<ToClient> {
        self.shortcut.number(peer).map(ToClient::Channel).or_else(|| self.channels.to_client(hash, peer))
    }

    /// Changes the channels. All changes go through here, so that the shortcut stays up to date.
    pub(crate) fn change_channels<T>(&mut self, change: impl FnOnce(&mut Channels) -> T) -> T {
        let changed = change(&mut self.channels);
        self.shortcut = Shortcut::to(self.channels.as_slice());
        changed
    }

    /// Changes the permissions. All changes go through here.
    pub(crate) fn change_permissions<T>(&mut self, change: impl FnOnce(&mut Permissions) -> T) -> T {
        self.channels.change_permissions(change)
    }

    /// The timer that it has armed for itself: one, for the family that expires first.
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
