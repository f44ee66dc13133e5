use zeroize::Zeroizing;

use super::{AllocationsSnapshot, Entry, Generator};
use crate::{Allocation, Allocations, timers::TimerKey};

impl Allocations {
    /// All state as plain data, from which [`AllocationsSnapshot::restore`] makes the same allocations again. O(n).
    ///
    /// Take what has expired ([`Self::poll_expired`]) and what is to be returned ([`Self::poll_left_port`]) first: they are not part of it.
    #[must_use]
    pub fn snapshot(&self) -> AllocationsSnapshot {
        let mut allocations: Vec<_> = self.iter().collect();
        allocations.sort_unstable_by_key(|allocation| allocation.id);
        let (mut quarantined, mut waits) = (Vec::new(), Vec::new());
        for (at, key) in self.timers.iter() {
            match key {
                TimerKey::Quarantine(port) => quarantined.push((at, port)),
                TimerKey::Wait(number) => waits.push((at, number)),
                // Their owners know when they are due.
                TimerKey::Allocation(_)
                | TimerKey::Permission(..)
                | TimerKey::ChannelExpires(..)
                | TimerKey::ChannelReusable(..)
                | TimerKey::Reservation(_) => {}
            }
        }
        let reservations = self.reservations.iter();
        AllocationsSnapshot {
            ports_of_all_shards: self.ports,
            ports: self.pool.range(),
            free: self.pool.lists().clone(),
            lent: self.lent.iter().copied().collect(),
            quarantined,
            waits,
            reservations: reservations.map(|(token, reservation)| (*token, reservation.clone())).collect(),
            has_other_shards: self.reservations.are_shared(),
            created: self.slots.created(),
            allocations: allocations.into_iter().map(Entry::of).collect(),
            rng: Generator { seed: Zeroizing::new(self.rng.get_seed()), word_pos: self.rng.get_word_pos() },
        }
    }
}

impl Entry {
    fn of(allocation: &Allocation) -> Self {
        let owner = allocation.owner();
        let user_id = (owner.user_id() != owner.username()).then(|| owner.user_id().to_string());
        Self {
            id: allocation.id.as_u64(),
            five_tuple: allocation.five_tuple(),
            families: allocation.families,
            port: allocation.port,
            port_kind: allocation.port_kind,
            ports_tried: allocation.ports_tried,
            relayed: allocation.relayed(),
            created_at: allocation.created_at,
            lifetime: allocation.lifetime,
            deadlines: allocation.deadlines,
            username: owner.username().to_string(),
            user_id,
            key: Zeroizing::new(owner.key().to_vec()),
            credential_expires_at: owner.expires_at(),
            transaction_id: allocation.transaction_id,
            reservation: allocation.reservation,
            channels: allocation.channels().to_vec(),
            permissions: allocation.permissions().to_vec(),
        }
    }
}
