use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::RngCore;

use crate::{
    AllocationPort, Families, ReservationToken, Timestamp,
    timers::{TimerKey, Timers},
};

/// How long a reserved port waits for its token to come back: 30 seconds, the least that
/// [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2) allows.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How much longer the shard that has reserved a port keeps it from others where a relay has several: 5 seconds. Another shard may have
/// given it to the client in the last moment, and this one may hear of that a little later.
pub(crate) const HEARING_TIME: Duration = Duration::from_secs(5);

/// How many ports one user may have reserved at a time, so that a client that allocates and deletes in a loop does
/// not tie up half of all ports.
pub const MAX_RESERVATIONS_PER_USER: u16 = 10;

/// The ports that clients asked to keep for a later Allocate request.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_token: BTreeMap<ReservationToken, Reservation>,
    /// How many of each user there are; none that is zero.
    counts: BTreeMap<Arc<str>, u16>,
    /// Whether other shards give reserved ports to clients, too.
    has_other_shards: bool,
}

/// A reservation as other shards of a relay are told of it: any of them may be asked for the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedPort {
    /// What the client shows.
    pub token: ReservationToken,
    /// What it gets.
    pub port: AllocationPort,
    /// In which families.
    pub families: Families,
    /// The user who may ask.
    pub user_id: Arc<str>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A port, and what comes with it.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) port: AllocationPort,
    pub(crate) families: Families,
    user: Arc<str>,
    expires_at: Timestamp,
    /// When the port is free for others. Later than [`Self::expires_at`] if shards may yet tell of it.
    lapses_at: Timestamp,
    /// Whether another shard has reserved it, which sees to what becomes of the port if nobody comes for it.
    pub(crate) is_adopted: bool,
}

impl Reservations {
    /// From now on other shards give reserved ports to clients, too.
    pub(crate) const fn share(&mut self) {
        self.has_other_shards = true;
    }

    /// How many ports are reserved for `user`.
    pub(crate) fn count_of(&self, user: &str) -> u16 {
        self.counts.get(user).copied().unwrap_or(0)
    }

    /// Keeps `port` for `user`.
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

    /// Holds a reservation that another shard made, so that its client may also come here.
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

    /// Holds a reservation as a shard's former allocations did.
    pub(crate) fn inherit(&mut self, timers: &mut Timers, token: ReservationToken, reservation: Reservation) {
        *self.counts.entry(Arc::clone(&reservation.user)).or_insert(0) += 1;
        timers.arm((reservation.lapses_at, TimerKey::Reservation(token)));
        self.by_token.insert(token, reservation);
    }

    /// The reservation named `token`, as other shards are told of it.
    pub(crate) fn describe(&self, token: ReservationToken) -> Option<ReservedPort> {
        let Reservation { port, families, ref user, expires_at, .. } = *self.by_token.get(&token)?;
        Some(ReservedPort { token, port, families, user_id: Arc::clone(user), expires_at })
    }

    /// Ends the reservation named `token`, whoever it belongs to.
    pub(crate) fn forget(&mut self, timers: &mut Timers, token: ReservationToken) -> Option<Reservation> {
        let reservation = self.lapse(token)?;
        timers.disarm((reservation.lapses_at, TimerKey::Reservation(token)));
        Some(reservation)
    }

    /// Ends the reservation named `token`, if it belongs to `user` and has not expired.
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

    /// The time of the reservation named `token` is up.
    pub(crate) fn lapse(&mut self, token: ReservationToken) -> Option<Reservation> {
        let reservation = self.by_token.remove(&token)?;
        match self.counts.get_mut(&reservation.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&reservation.user)),
        }
        Some(reservation)
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
