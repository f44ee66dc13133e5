//! What ends in the model, and when.

use super::{Ended, Model};
use crate::{CHANNEL_REUSE_DELAY, Timestamp};

impl Model {
    /// Everything that will be reported as expired, with its deadline.
    fn deadlines(&self) -> impl Iterator<Item = (Timestamp, Ended)> {
        self.allocations.iter().flat_map(|allocation| {
            let id = allocation.id;
            let channels = allocation.channels.iter().map(move |&(number, peer, expires_at, bound)| {
                if bound {
                    (expires_at, Ended::Channel(id, number, peer))
                } else {
                    (expires_at + CHANNEL_REUSE_DELAY, Ended::Reserved(id, number, peer))
                }
            });
            let at_once = allocation.families.iter().all(|(_, at)| *at == allocation.families[0].1);
            let families = allocation.families.iter().map(move |&(family, at)| {
                let part = (!at_once).then(|| (family, allocation.numbers_of(family)));
                (at, Ended::Allocation(id, part))
            });
            let permissions = allocation.permissions.iter().enumerate();
            let permissions =
                permissions.map(move |(at, &(address, until))| (until, Ended::Permission(id, at, address)));
            channels.chain(families).chain(permissions)
        })
    }

    pub(in crate::allocations::model) fn poll_timeout(&self) -> Option<Timestamp> {
        let told = self.deadlines().map(|(at, _)| at);
        let reservations = self.reservations.iter().map(|reservation| reservation.expires_at);
        let quarantine = self.quarantine.iter().map(|(_, until)| *until);
        told.chain(reservations).chain(quarantine).min()
    }

    pub(in crate::allocations::model) fn handle_timeout(&mut self, now: Timestamp) {
        self.reservations.retain(|reservation| reservation.expires_at > now);
        self.quarantine.retain(|(_, until)| *until > now);
        while let Some((_, ended)) = self.deadlines().min().filter(|(at, _)| *at <= now) {
            match ended.clone() {
                Ended::Allocation(id, None) => self.allocations.retain(|allocation| allocation.id != id),
                Ended::Allocation(id, Some((family, _))) => _ = self.remove_family(id, family),
                Ended::Permission(id, at, _) => _ = self.get_mut(id).unwrap().permissions.swap_remove(at),
                Ended::Channel(id, number, _) => {
                    let channels = self.get_mut(id).unwrap().channels.iter_mut();
                    channels.filter(|(other, ..)| *other == number).for_each(|(.., bound)| *bound = false);
                }
                Ended::Reserved(id, number, _) => {
                    self.get_mut(id).unwrap().channels.retain(|(other, ..)| *other != number);
                }
            }
            self.ended.push(ended);
        }
    }
}
