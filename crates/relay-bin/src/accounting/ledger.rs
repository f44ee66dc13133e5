//! Puts together what shards and the kernel count of each allocation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use relay_server::{
    AllocationPort, Crossing, Families, Family, FiveTuple, FlowKey, Relayed, ShardId, Timestamp, Traffic,
};

use super::{
    note::{Created, EndReason, Key},
    record::Record,
    users::Totals,
};

/// How long to wait for what others count of an allocation that has ended. A shard tells of it before it handles its next packet.
const PATIENCE: Duration = Duration::from_secs(5);

/// An allocation, by the order of their making.
type Number = u64;

/// A way that somebody other than an allocation's own shard counts: between clients of two shards, or in the kernel.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The allocation whose client sends, if it is not the sender's shard that counts for it.
    from: Option<Number>,
    /// The allocation whose client it goes to.
    to: Option<Number>,
    /// What was added to both so far.
    counted: Traffic,
}

#[derive(Debug)]
struct Account {
    key: Key,
    user_id: Arc<str>,
    five_tuple: FiveTuple,
    port: AllocationPort,
    families: Families,
    created_at: Timestamp,
    /// By its own shard.
    relayed: Relayed,
    /// By other shards.
    crossed: Traffic,
    in_kernel: Relayed,
    /// How many ways are open that somebody else counts.
    open_ways: usize,
    end: Option<(Timestamp, EndReason)>,
}

impl Account {
    fn in_user_space(&self) -> Relayed {
        let mut relayed = self.relayed;
        relayed.from_peers += self.crossed;
        relayed
    }

    fn record(self, now: Timestamp) -> Record {
        let in_user_space = self.in_user_space();
        let (ended_at, reason) = self.end.unwrap_or((now, EndReason::Shutdown));
        Record {
            user_id: self.user_id,
            port: self.port,
            families: self.families,
            created_at: self.created_at,
            ended_at,
            in_user_space,
            in_kernel: self.in_kernel,
            reason,
            is_complete: self.end.is_some() && self.open_ways == 0,
        }
    }
}

/// Between which ports, by which shard.
type CrossingKey = (ShardId, u8, AllocationPort, AllocationPort);

/// All allocations that are not told of yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<Number, Account>,
    by_key: BTreeMap<Key, Number>,
    by_port: BTreeMap<AllocationPort, Number>,
    flows: BTreeMap<FlowKey, Way>,
    crossings: BTreeMap<CrossingKey, Way>,
    /// Those that have ended while somebody else has yet to tell, and until when to wait for that.
    waiting: VecDeque<(Timestamp, Number)>,
    made: Number,
    done: VecDeque<Record>,
}

impl Ledger {
    pub(super) fn created(&mut self, shard: ShardId, created: Created) {
        let Created { id, user_id, five_tuple, port, families, at } = created;
        let (key, number) = ((shard, id), self.made);
        self.made += 1;
        self.by_key.insert(key, number);
        self.by_port.insert(port, number);
        let account = Account {
            key,
            user_id,
            five_tuple,
            port,
            families,
            created_at: at,
            relayed: Relayed::default(),
            crossed: Traffic::default(),
            in_kernel: Relayed::default(),
            open_ways: 0,
            end: None,
        };
        self.accounts.insert(number, account);
    }

    pub(super) fn ended(&mut self, now: Timestamp, key: Key, at: Timestamp, relayed: Relayed, reason: EndReason) {
        // Nobody has heard of one that was still being opened.
        let Some(number) = self.by_key.remove(&key) else { return };
        let Some(account) = self.accounts.get_mut(&number) else { return };
        account.relayed = relayed;
        account.end = Some((at, reason));
        // Another allocation may have the port by now.
        if self.by_port.get(&account.port) == Some(&number) {
            self.by_port.remove(&account.port);
        }
        if account.open_ways > 0 {
            self.waiting.push_back((now + PATIENCE, number));
        }
        self.settle(now, number);
    }

    pub(super) fn crossing_opened(&mut self, shard: ShardId, crossing: &Crossing) {
        let to = self.by_port.get(&crossing.to).copied();
        let to = to.filter(|to| self.accounts.get(to).is_some_and(|account| account.five_tuple == crossing.five_tuple));
        self.crossings.insert(crossing_key(shard, crossing), Way { from: None, to, counted: Traffic::default() });
        self.count_ways(to, 1);
    }

    pub(super) fn crossing_closed(&mut self, now: Timestamp, shard: ShardId, crossing: &Crossing, crossed: Traffic) {
        self.crossing_counted(shard, crossing, crossed);
        let Some(Way { to, .. }) = self.crossings.remove(&crossing_key(shard, crossing)) else { return };
        self.count_ways(to, -1);
        to.into_iter().for_each(|number| self.settle(now, number));
    }

    fn crossing_counted(&mut self, shard: ShardId, crossing: &Crossing, crossed: Traffic) {
        let Some(way) = self.crossings.get_mut(&crossing_key(shard, crossing)) else { return };
        let more = difference(crossed, way.counted);
        way.counted = crossed;
        if let Some(account) = way.to.and_then(|to| self.accounts.get_mut(&to)) {
            account.crossed += more;
        }
    }

    /// The kernel forwards from the client of one allocation, to that of one, or both.
    pub(super) fn flow_installed(&mut self, key: FlowKey, from: Option<AllocationPort>, to: Option<AllocationPort>) {
        let at = |port: Option<AllocationPort>| port.and_then(|port| self.by_port.get(&port).copied());
        let way = Way { from: at(from), to: at(to), counted: Traffic::default() };
        self.flows.insert(key, way);
        self.count_ways(way.from, 1);
        self.count_ways(way.to, 1);
    }

    pub(super) fn flow_removed(&mut self, now: Timestamp, key: &FlowKey, forwarded: Traffic) {
        self.flow_counted(key, forwarded);
        let Some(Way { from, to, .. }) = self.flows.remove(key) else { return };
        for number in [from, to].into_iter().flatten() {
            self.count_ways(Some(number), -1);
            self.settle(now, number);
        }
    }

    /// What the kernel has forwarded of a flow until now.
    pub(super) fn flow_counted(&mut self, key: &FlowKey, forwarded: Traffic) {
        let Some(way) = self.flows.get_mut(key) else { return };
        let more = difference(forwarded, way.counted);
        way.counted = forwarded;
        if let Some(account) = way.from.and_then(|from| self.accounts.get_mut(&from)) {
            account.in_kernel.to_peers += more;
        }
        if let Some(account) = way.to.and_then(|to| self.accounts.get_mut(&to)) {
            account.in_kernel.from_peers += more;
        }
    }

    /// The flows in the kernel.
    pub(super) fn flows(&self) -> Vec<FlowKey> {
        self.flows.keys().copied().collect()
    }

    /// What a shard has counted so far.
    pub(super) fn so_far(
        &mut self,
        shard: ShardId,
        allocations: Vec<(u64, Relayed)>,
        crossings: Vec<(Crossing, Traffic)>,
    ) {
        for (id, relayed) in allocations {
            let number = self.by_key.get(&(shard, id));
            if let Some(account) = number.and_then(|number| self.accounts.get_mut(number)) {
                account.relayed = relayed;
            }
        }
        for (crossing, crossed) in crossings {
            self.crossing_counted(shard, &crossing, crossed);
        }
    }

    /// The allocations that are not told of yet: whose, and what they come to so far.
    pub(super) fn living(&self) -> impl Iterator<Item = (&Arc<str>, Totals)> {
        self.accounts.values().map(|account| {
            let (in_user_space, in_kernel) = (account.in_user_space(), account.in_kernel);
            (&account.user_id, Totals { allocations: 1, in_user_space, in_kernel })
        })
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Waits no longer for what is due.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((_, number)) = self.waiting.pop_front_if(|(due, _)| *due <= now) {
            self.tell(now, number);
        }
    }

    /// Everything ends now.
    pub(super) fn finish(&mut self, now: Timestamp) {
        for number in self.accounts.keys().copied().collect::<Vec<_>>() {
            self.tell(now, number);
        }
    }

    /// The next allocation of which all is known.
    pub(super) fn poll_record(&mut self) -> Option<Record> {
        self.done.pop_front()
    }

    fn count_ways(&mut self, number: Option<Number>, change: isize) {
        if let Some(account) = number.and_then(|number| self.accounts.get_mut(&number)) {
            account.open_ways = account.open_ways.saturating_add_signed(change);
        }
    }

    /// Tells of an allocation if it has ended, and nobody else has anything to tell.
    fn settle(&mut self, now: Timestamp, number: Number) {
        let account = self.accounts.get(&number);
        if account.is_some_and(|account| account.end.is_some() && account.open_ways == 0) {
            self.waiting.retain(|(_, waiting)| *waiting != number);
            self.tell(now, number);
        }
    }

    fn tell(&mut self, now: Timestamp, number: Number) {
        let Some(account) = self.accounts.remove(&number) else { return };
        self.by_key.remove(&account.key);
        if self.by_port.get(&account.port) == Some(&number) {
            self.by_port.remove(&account.port);
        }
        self.done.push_back(account.record(now));
    }
}

fn crossing_key(shard: ShardId, crossing: &Crossing) -> CrossingKey {
    (shard, u8::from(crossing.family == Family::V6), crossing.from, crossing.to)
}

const fn difference(now: Traffic, before: Traffic) -> Traffic {
    Traffic { packets: now.packets.saturating_sub(before.packets), bytes: now.bytes.saturating_sub(before.bytes) }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
