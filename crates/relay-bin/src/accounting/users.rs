//! The totals of users, for a limited number of users.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    sync::Arc,
};

use relay_server::Relayed;

/// The totals of one user's allocations, or of many users'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) allocations: u64,
    pub(super) in_user_space: Relayed,
    pub(super) in_kernel: Relayed,
}

impl Totals {
    pub(super) const fn bytes(&self) -> u64 {
        self.in_user_space.bytes().saturating_add(self.in_kernel.bytes())
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.allocations += other.allocations;
        self.in_user_space += other.in_user_space;
        self.in_kernel += other.in_kernel;
    }
}

/// The totals of ended allocations by user id. When there are too many users, the one with the fewest bytes is forgotten. So
/// somebody with many user ids drives out only users that have relayed no more.
#[derive(Debug)]
pub(super) struct Users {
    room: usize,
    totals: BTreeMap<Arc<str>, Totals>,
    by_bytes: BTreeSet<(u64, Arc<str>)>,
    forgotten: Totals,
    forgotten_times: u64,
}

impl Users {
    /// Totals for at most `room` users.
    pub(super) const fn new(room: usize) -> Self {
        Self { room, totals: BTreeMap::new(), by_bytes: BTreeSet::new(), forgotten: ZERO, forgotten_times: 0 }
    }

    /// Adds an ended allocation of `user`.
    pub(super) fn add(&mut self, user: &Arc<str>, ended: Totals) {
        let totals = self.totals.entry(Arc::clone(user)).or_default();
        self.by_bytes.remove(&(totals.bytes(), Arc::clone(user)));
        *totals += ended;
        self.by_bytes.insert((totals.bytes(), Arc::clone(user)));
        while self.totals.len() > self.room {
            let Some((_, smallest)) = self.by_bytes.pop_first() else { return };
            self.forgotten += self.totals.remove(&smallest).unwrap_or_default();
            self.forgotten_times += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Totals)> {
        self.totals.iter()
    }

    /// How often users were forgotten, and the sum of their totals.
    pub(super) const fn forgotten(&self) -> (u64, Totals) {
        (self.forgotten_times, self.forgotten)
    }
}

const ZERO: Totals = {
    let none = relay_server::Traffic { packets: 0, bytes: 0 };
    let none = Relayed { to_peers: none, from_peers: none };
    Totals { allocations: 0, in_user_space: none, in_kernel: none }
};

#[cfg(test)]
mod tests {
    use relay_server::Traffic;

    use super::*;

    fn of(bytes: u64) -> Totals {
        let to_peers = Traffic { packets: 1, bytes };
        Totals { allocations: 1, in_user_space: Relayed { to_peers, ..Relayed::default() }, ..Totals::default() }
    }

    #[test]
    fn strangers_with_many_user_ids_take_no_more_room_and_drive_out_nobody_who_has_relayed_more() {
        let mut users = Users::new(100);
        let name = |number: usize| Arc::<str>::from(format!("user-{number}"));
        for number in 0..50 {
            users.add(&name(number), of(1_000_000));
        }
        for number in 1_000..101_000 {
            users.add(&name(number), of(5));
        }
        assert_eq!((users.totals.len(), users.by_bytes.len()), (100, 100));
        assert_eq!(users.iter().filter(|(_, totals)| totals.bytes() == 1_000_000).count(), 50);
        let (times, forgotten) = users.forgotten();
        assert_eq!((times, forgotten.allocations, forgotten.bytes()), (100_000 - 50, 100_000 - 50, 5 * (100_000 - 50)));
    }

    #[test]
    fn a_users_allocations_add_up() {
        let mut users = Users::new(2);
        let [one, other, third] = ["one", "other", "third"].map(Arc::<str>::from);
        for (user, bytes) in [(&one, 5), (&other, 1), (&one, 7), (&third, 2)] {
            users.add(user, of(bytes));
        }
        let left: Vec<_> = users.iter().map(|(user, totals)| (&**user, totals.allocations, totals.bytes())).collect();
        assert_eq!(left, [("one", 2, 12), ("third", 1, 2)]);
    }
}
