//! Adds up what shards and the kernel count for each allocation.

mod snapshot;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use relay_server::{
    AllocationPort, Crossing, Families, Family, FiveTuple, FlowKey, Relayed, ShardId, Timestamp, Traffic,
};

use super::{
    event::{AccountingEvent, Created, EndReason},
    keys::{CrossingKey, Key},
    record::Record,
    users::Totals,
};

/// How long an ended allocation waits for counts of other shards and the kernel. A shard sends them before it handles its next
/// packet.
const PATIENCE: Duration = Duration::from_secs(5);

/// A path that is not counted by the shards of its allocations as they relay: a crossing between two shards, or a flow in the
/// kernel.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The allocation of the sending client; `None` if its own shard counts this path for it.
    from: Option<Key>,
    /// The allocation of the receiving client.
    to: Option<Key>,
    /// What was added to both accounts so far.
    counted: Traffic,
}

/// The account of an allocation that has not ended, or not been finished. Most have no counts yet, so those are boxed.
#[derive(Debug)]
struct Account {
    user_id: Arc<str>,
    five_tuple: FiveTuple,
    port: AllocationPort,
    families: Families,
    created_at: Timestamp,
    counted: Option<Box<Counted>>,
}

/// The counts of an allocation since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    /// Counted by its own shard.
    relayed: Relayed,
    /// Counted by other shards: what they sent straight to its client.
    crossed: Traffic,
    in_kernel: Relayed,
    /// How many [`Way`]s are open for it.
    open_ways: usize,
    end: Option<(Timestamp, EndReason)>,
}

impl Counted {
    fn in_user_space(&self) -> Relayed {
        let mut relayed = self.relayed;
        relayed.from_peers += self.crossed;
        relayed
    }

    /// Whether the allocation has ended and no path is open.
    const fn is_complete(&self) -> bool {
        self.end.is_some() && self.open_ways == 0
    }
}

impl Account {
    fn counted(&self) -> Counted {
        self.counted.as_deref().copied().unwrap_or_default()
    }

    fn counted_mut(&mut self) -> &mut Counted {
        self.counted.get_or_insert_default()
    }

    fn record(self, now: Timestamp) -> Record {
        let counted = self.counted();
        let (ended_at, reason) = counted.end.unwrap_or((now, EndReason::Shutdown));
        Record {
            user_id: self.user_id,
            port: self.port,
            families: self.families,
            created_at: self.created_at,
            ended_at,
            in_user_space: counted.in_user_space(),
            in_kernel: counted.in_kernel,
            reason,
            is_complete: counted.is_complete(),
        }
    }
}

/// All open accounts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    // Boxed: nearly half of the slots are empty in a B-tree whose keys are inserted in ascending order.
    accounts: BTreeMap<Key, Box<Account>>,
    by_port: BTreeMap<AllocationPort, Key>,
    flows: BTreeMap<FlowKey, Way>,
    crossings: BTreeMap<CrossingKey, Way>,
    /// Ended allocations with open paths, and how long to wait for each.
    waiting: VecDeque<(Timestamp, Key)>,
    done: VecDeque<Record>,
}

impl Ledger {
    /// Handles an event of a shard.
    pub(super) fn note(&mut self, now: Timestamp, event: AccountingEvent) {
        match event {
            AccountingEvent::Created(shard, created) => self.created(shard, created),
            AccountingEvent::Ended { key, at, relayed, reason } => self.ended(now, key, at, relayed, reason),
            AccountingEvent::CrossingOpened(shard, crossing) => self.crossing_opened(shard, &crossing),
            AccountingEvent::CrossingClosed(shard, crossing, crossed) => {
                self.crossing_closed(now, shard, &crossing, crossed);
            }
            AccountingEvent::FlowInstalled(flow) => {
                self.flow_installed(flow.key, flow.from_client_of, flow.to_client_of);
            }
            AccountingEvent::FlowRemoved(key, forwarded) => self.flow_removed(now, &key, forwarded),
            AccountingEvent::SoFar { .. }
            | AccountingEvent::AskShards(_)
            | AccountingEvent::Kernel(_)
            | AccountingEvent::TopUsers { .. }
            | AccountingEvent::Export(_)
            | AccountingEvent::Abandon
            | AccountingEvent::Finish => {}
        }
    }

    pub(super) fn created(&mut self, shard: ShardId, created: Created) {
        let Created { id, user_id, five_tuple, port, families, at } = created;
        let account = Account { user_id, five_tuple, port, families, created_at: at, counted: None };
        self.by_port.insert(port, (shard, id));
        self.accounts.insert((shard, id), Box::new(account));
    }

    pub(super) fn ended(&mut self, now: Timestamp, key: Key, at: Timestamp, relayed: Relayed, reason: EndReason) {
        // An allocation that was still being opened has no account.
        let Some(account) = self.accounts.get_mut(&key) else { return };
        let counted = account.counted_mut();
        counted.relayed = relayed;
        counted.end = Some((at, reason));
        if counted.open_ways > 0 {
            self.waiting.push_back((now + PATIENCE, key));
        }
        let port = account.port;
        self.leave(port, key);
        self.settle(now, key);
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
        to.into_iter().for_each(|key| self.settle(now, key));
    }

    fn crossing_counted(&mut self, shard: ShardId, crossing: &Crossing, crossed: Traffic) {
        let Some(way) = self.crossings.get_mut(&crossing_key(shard, crossing)) else { return };
        let more = difference(crossed, way.counted);
        way.counted = crossed;
        if let Some(account) = way.to.and_then(|to| self.accounts.get_mut(&to)) {
            account.counted_mut().crossed += more;
        }
    }

    /// The kernel forwards data from the client of `from`, to the client of `to`, or both.
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
        for end in [from, to].into_iter().flatten() {
            self.count_ways(Some(end), -1);
            self.settle(now, end);
        }
    }

    /// Adds what the kernel has forwarded of a flow, in all.
    pub(super) fn flow_counted(&mut self, key: &FlowKey, forwarded: Traffic) {
        let Some(way) = self.flows.get_mut(key) else { return };
        let more = difference(forwarded, way.counted);
        way.counted = forwarded;
        if let Some(account) = way.from.and_then(|from| self.accounts.get_mut(&from)) {
            account.counted_mut().in_kernel.to_peers += more;
        }
        if let Some(account) = way.to.and_then(|to| self.accounts.get_mut(&to)) {
            account.counted_mut().in_kernel.from_peers += more;
        }
    }

    /// All flows in the kernel.
    pub(super) fn flows(&self) -> Vec<FlowKey> {
        self.flows.keys().copied().collect()
    }

    /// Sets what a shard has counted so far.
    pub(super) fn so_far(
        &mut self,
        shard: ShardId,
        allocations: Vec<(u64, Relayed)>,
        crossings: Vec<(Crossing, Traffic)>,
    ) {
        for (id, relayed) in allocations {
            // The counts of an ended allocation are final.
            let living = self.accounts.get_mut(&(shard, id)).filter(|account| account.counted().end.is_none());
            if let Some(account) = living {
                account.counted_mut().relayed = relayed;
            }
        }
        for (crossing, crossed) in crossings {
            self.crossing_counted(shard, &crossing, crossed);
        }
    }

    /// The open accounts: the user id, and the totals so far.
    pub(super) fn living(&self) -> impl Iterator<Item = (&Arc<str>, Totals)> {
        self.accounts.values().map(|account| {
            let counted = account.counted();
            let (in_user_space, in_kernel) = (counted.in_user_space(), counted.in_kernel);
            (&account.user_id, Totals { allocations: 1, in_user_space, in_kernel })
        })
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Finishes accounts that have waited long enough.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.waiting.pop_front_if(|(due, _)| *due <= now) {
            self.tell(now, key);
        }
    }

    /// Finishes all accounts.
    pub(super) fn finish(&mut self, now: Timestamp) {
        for key in self.accounts.keys().copied().collect::<Vec<_>>() {
            self.tell(now, key);
        }
        self.waiting.clear();
    }

    /// The next finished account.
    pub(super) fn poll_record(&mut self) -> Option<Record> {
        self.done.pop_front()
    }

    fn count_ways(&mut self, key: Option<Key>, change: isize) {
        if let Some(account) = key.and_then(|key| self.accounts.get_mut(&key)) {
            let counted = account.counted_mut();
            counted.open_ways = counted.open_ways.saturating_add_signed(change);
        }
    }

    /// Finishes the account if it is complete.
    fn settle(&mut self, now: Timestamp, key: Key) {
        if self.accounts.get(&key).is_some_and(|account| account.counted().is_complete()) {
            self.tell(now, key);
            // Drop deadlines of accounts that were finished meanwhile.
            while self.waiting.pop_front_if(|(_, waiting)| !self.accounts.contains_key(waiting)).is_some() {}
        }
    }

    fn tell(&mut self, now: Timestamp, key: Key) {
        let Some(account) = self.accounts.remove(&key) else { return };
        self.leave(account.port, key);
        self.done.push_back(account.record(now));
    }

    /// Forgets which allocation has `port`, unless another allocation has it already.
    fn leave(&mut self, port: AllocationPort, key: Key) {
        if self.by_port.get(&port) == Some(&key) {
            self.by_port.remove(&port);
        }
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
pub(super) mod tests;
