use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::{
    AllocationPort, Families, ReservationToken, Timestamp,
    timers::{TimerKey, Timers},
};

/// How long a port stays reserved: 30 seconds, the least that
/// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) allows.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How much longer the shard that has reserved a port keeps it, if the relay has several shards: 5 seconds. Another shard may have
/// given the port to the client at the last moment, and its message about that takes some time.
pub(crate) const HEARING_TIME: Duration = Duration::from_secs(5);

/// How many reserved ports one user may have at a time. Otherwise, a client that allocates and deletes in a loop could
/// tie up half of all ports.
pub const MAX_RESERVATIONS_PER_USER: u16 = 10;

/// The ports that clients asked to keep for a later Allocate request.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_token: BTreeMap<ReservationToken, Reservation>,
    /// The number of reservations of each user that has any.
    counts: BTreeMap<Arc<str>, u16>,
    /// Whether the relay has other shards, where clients can redeem reservations, too.
    has_other_shards: bool,
}

/// A reservation, as one shard announces it to the others: the client may redeem it at any shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedPort {
    /// The RESERVATION-TOKEN that the client has to send.
    pub token: ReservationToken,
    /// The reserved port.
    pub port: AllocationPort,
    /// The families that it is reserved in.
    pub families: Families,
    /// The user that it is reserved for.
    pub user_id: Arc<str>,
    /// When the reservation expires.
    pub expires_at: Timestamp,
}

/// A reservation, as this shard keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) port: AllocationPort,
    pub(crate) families: Families,
    user: Arc<str>,
    expires_at: Timestamp,
    /// When the port is freed. Later than [`Self::expires_at`] by [`HEARING_TIME`] if this shard made the reservation and there are others.
    lapses_at: Timestamp,
    /// Whether another shard made the reservation. That shard frees the port if the reservation expires unused.
    pub(crate) is_adopted: bool,
}

impl Reservations {
    /// Clients can redeem reservations at other shards, too, from now on.
    pub(crate) const fn share(&mut self) {
        self.has_other_shards = true;
    }

    /// How many ports are reserved for `user`.
    pub(crate) fn count_of(&self, user: &str) -> u16 {
        self.counts.get(user).copied().unwrap_or(0)
    }

    /// Reserves `port` for `user`.
    pub(crate) fn reserve(
        &mut self,
        now: Timestamp,
        timers: &mut Timers,
        rng: &mut impl RngCore,
        port: AllocationPort,
        families: Families,
        user: &Arc<str>,
    ) -> ReservationToken {
        let token = loop {
            let token = ReservationToken::draw(rng);
            if !self.by_token.contains_key(&token) {
                break token;
            }
        };
        let expires_at = now + RESERVATION_LIFETIME;
        let reserved = ReservedPort { token, port, families, user_id: Arc::clone(user), expires_at };
        let lapses_at = if self.has_other_shards { expires_at + HEARING_TIME } else { expires_at };
        self.insert(timers, &reserved, lapses_at, false);
        token
    }

    /// Adds a reservation that another shard made, so that its client can redeem it here, too.
    pub(crate) fn adopt(&mut self, timers: &mut Timers, reserved: &ReservedPort) {
        if !self.by_token.contains_key(&reserved.token) {
            self.insert(timers, reserved, reserved.expires_at, true);
        }
    }

    fn insert(&mut self, timers: &mut Timers, reserved: &ReservedPort, lapses_at: Timestamp, is_adopted: bool) {
        let ReservedPort { token, port, families, user_id: ref user, expires_at } = *reserved;
        *self.counts.entry(Arc::clone(user)).or_insert(0) += 1;
        let user = Arc::clone(user);
        self.by_token.insert(token, Reservation { port, families, user, expires_at, lapses_at, is_adopted });
        timers.arm((lapses_at, TimerKey::Reservation(token)));
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ReservationToken, &Reservation)> {
        self.by_token.iter()
    }

    /// Adds a reservation that this shard had before it started anew. Whether it was not there yet; otherwise nothing changes.
    pub(crate) fn put_back(&mut self, timers: &mut Timers, token: ReservationToken, reservation: Reservation) -> bool {
        if self.by_token.contains_key(&token) {
            return false;
        }
        *self.counts.entry(Arc::clone(&reservation.user)).or_insert(0) += 1;
        timers.arm((reservation.lapses_at, TimerKey::Reservation(token)));
        self.by_token.insert(token, reservation);
        true
    }

    /// The reservation of `token`, to announce it to other shards.
    pub(crate) fn describe(&self, token: ReservationToken) -> Option<ReservedPort> {
        let Reservation { port, families, ref user, expires_at, .. } = *self.by_token.get(&token)?;
        Some(ReservedPort { token, port, families, user_id: Arc::clone(user), expires_at })
    }

    /// Ends the reservation of `token`, whichever user it belongs to.
    pub(crate) fn forget(&mut self, timers: &mut Timers, token: ReservationToken) -> Option<Reservation> {
        let reservation = self.lapse(token)?;
        timers.disarm((reservation.lapses_at, TimerKey::Reservation(token)));
        Some(reservation)
    }

    /// Ends the reservation of `token`, if it belongs to `user` and has not expired.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        timers: &mut Timers,
        token: ReservationToken,
        user: &str,
    ) -> Option<Reservation> {
        let reservation = self.by_token.get(&token)?;
        if *reservation.user != *user || reservation.expires_at <= now {
            return None;
        }
        self.forget(timers, token)
    }

    /// Ends the reservation of `token`, whose timer is no longer armed.
    pub(crate) fn lapse(&mut self, token: ReservationToken) -> Option<Reservation> {
        let reservation = self.by_token.remove(&token)?;
        match self.counts.get_mut(&reservation.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&reservation.user)),
        }
        Some(reservation)
    }

    /// Whether clients can redeem reservations at other shards.
    pub(crate) const fn are_shared(&self) -> bool {
        self.has_other_shards
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn ports(&self) -> impl Iterator<Item = AllocationPort> {
        self.by_token.values().filter(|reservation| !reservation.is_adopted).map(|reservation| reservation.port)
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn timers(&self) -> impl Iterator<Item = (Timestamp, TimerKey)> {
        self.by_token.iter().map(|(token, reservation)| (reservation.lapses_at, TimerKey::Reservation(*token)))
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.by_token.values().map(|reservation| &*reservation.user)
    }

    #[cfg(any(test, feature = "invariants"))]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, u16)> {
        self.counts.iter().map(|(user, count)| (&**user, *count))
    }
}
