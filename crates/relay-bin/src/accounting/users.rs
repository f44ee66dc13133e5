//! The totals of users, for a limited number of users.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    sync::Arc,
};

use relay_server::Relayed;
use serde::{Deserialize, Serialize};

/// The totals of one user's allocations, or of many users'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The [`Users`] of a process, for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsersSnapshot {
    totals: Vec<(Arc<str>, Totals)>,
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

    /// All totals and what was forgotten, for the next process.
    pub(super) fn export(&self) -> UsersSnapshot {
        let Self { room: _, totals, by_bytes: _, forgotten, forgotten_times } = self;
        let totals = totals.iter().map(|(user, totals)| (Arc::clone(user), *totals)).collect();
        UsersSnapshot { totals, forgotten: *forgotten, forgotten_times: *forgotten_times }
    }

    /// Adds the totals of the process before this one. The users with the fewest bytes are forgotten if there is no room for all.
    pub(super) fn inherit(&mut self, snapshot: UsersSnapshot) {
        let UsersSnapshot { totals, forgotten, forgotten_times } = snapshot;
        self.forgotten += forgotten;
        self.forgotten_times += forgotten_times;
        totals.iter().for_each(|(user, totals)| self.add(user, *totals));
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
    fn the_next_process_knows_the_same_users_or_as_many_as_it_has_room_for() {
        let mut before = Users::new(3);
        for (number, bytes) in [1, 20, 300, 4_000].into_iter().enumerate() {
            before.add(&format!("user-{number}").into(), of(bytes));
        }
        let bytes = postcard::to_allocvec(&before.export()).unwrap();
        let snapshot = || postcard::from_bytes::<UsersSnapshot>(&bytes).unwrap();
        let mut same = Users::new(3);
        same.inherit(snapshot());
        assert_eq!((same.export(), &same.by_bytes), (before.export(), &before.by_bytes));

        let mut smaller = Users::new(2);
        smaller.inherit(snapshot());
        let left: Vec<_> = smaller.iter().map(|(user, totals)| (&**user, totals.bytes())).collect();
        assert_eq!(left, [("user-2", 300), ("user-3", 4_000)]);
        let (times, forgotten) = smaller.forgotten();
        assert_eq!((times, forgotten.allocations, forgotten.bytes()), (2, 2, 21));
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
