//! What becomes of a worker's flows.

use std::collections::HashSet;

use relay_server::{Arriving, Flow, FlowKey, Traffic};

use super::{
    Offload,
    shares::{FlowShares, Holder},
    waiting::{Queue, WaitingFlows},
};
use crate::addresses::AddressState;

/// A table of flows that all workers share.
pub(crate) trait FlowTable {
    /// Whether it could take `flow`, if it had room.
    fn can_take(&self, flow: &Flow) -> bool;

    /// Takes `flow`, of a key that it does not have.
    fn insert(&mut self, flow: &Flow) -> Inserted;

    /// Gives it up. Returns what was forwarded of it; `None` if it was not there.
    fn remove(&mut self, key: &FlowKey) -> Option<Traffic>;

    /// `flow` waits, since the table is full.
    fn note_full(&mut self, flow: &Flow);

    /// `flow` waits, since its allocation has its share.
    fn note_over_share(&mut self, flow: &Flow);

    /// How many flows all workers have removed so far. While this stays, a table that was full is full.
    fn removals(&self) -> u64;

    /// The relay's addresses are these from now on. Whether flows that are there have to be installed anew for that.
    fn set_addresses(&mut self, addresses: &AddressState) -> bool;
}

/// What came of inserting a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Yes,
    /// There is no room.
    Full,
    /// It cannot be taken, room or not: for one because the table would take it for another that is there.
    Never,
}

/// One worker's access to the table: each allocation has its share, and flows that find no room wait for it.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    table: T,
    shares: FlowShares,
    waiting: WaitingFlows,
    /// The flows of Send indications that are in the table, which may know another one by the same entry: to remove a flow that is not
    /// there must not remove that one.
    sends: HashSet<FlowKey>,
    /// [`FlowTable::removals`] when the table was last found full.
    full_at: Option<u64>,
}

impl<T: FlowTable> Worker<T> {
    /// So many channels and peers of indications of each allocation enter `table`.
    pub(crate) fn new(table: T, channels_per_allocation: u32) -> Self {
        let shares = FlowShares::new(channels_per_allocation);
        Self { table, shares, waiting: WaitingFlows::default(), sends: HashSet::new(), full_at: None }
    }

    fn note_inserted(&mut self, key: &FlowKey) {
        self.shares.add(key);
        if matches!(key.carries, Arriving::Send(_)) {
            self.sends.insert(*key);
        }
    }

    /// A flow of `holder` has gone, from the table or from those that wait for room there: another one that waited for its share
    /// waits for room instead.
    fn promote(&mut self, holder: Holder) {
        if let Some(flow) = self.waiting.first(Queue::Share(holder)).copied()
            && self.shares.has_room(&flow.key)
        {
            self.waiting.push(Queue::Room, flow);
        }
    }

    /// Whether `flow` could enter, if there were room.
    #[cfg(test)]
    pub(crate) fn can_take(&self, flow: &Flow) -> bool {
        self.table.can_take(flow)
    }
}

impl<T: FlowTable> Offload for Worker<T> {
    fn install(&mut self, flow: &Flow) -> bool {
        self.waiting.remove(&flow.key);
        if !self.table.can_take(flow) {
            return false;
        }
        if !self.shares.has_room(&flow.key) {
            self.table.note_over_share(flow);
            self.waiting.push(Queue::Share(Holder::of(&flow.key)), *flow);
            return false;
        }
        let removals = self.table.removals();
        let inserted = self.table.insert(flow);
        match inserted {
            Inserted::Yes => self.note_inserted(&flow.key),
            Inserted::Full => {
                self.full_at = Some(removals);
                self.table.note_full(flow);
                self.waiting.push(Queue::Room, *flow);
            }
            Inserted::Never => {}
        }
        inserted == Inserted::Yes
    }

    fn install_waiting(&mut self) -> Option<Flow> {
        if self.waiting.is_empty() || self.full_at == Some(self.table.removals()) {
            return None;
        }
        while let Some(flow) = self.waiting.first(Queue::Room).copied() {
            let removals = self.table.removals();
            if !self.shares.has_room(&flow.key) {
                self.waiting.push(Queue::Share(Holder::of(&flow.key)), flow);
                continue;
            }
            match self.table.insert(&flow) {
                Inserted::Yes => {
                    self.waiting.remove(&flow.key);
                    self.note_inserted(&flow.key);
                    return Some(flow);
                }
                // It keeps its place.
                Inserted::Full => {
                    self.full_at = Some(removals);
                    return None;
                }
                Inserted::Never => {
                    self.waiting.remove(&flow.key);
                    self.promote(Holder::of(&flow.key));
                }
            }
        }
        None
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        let is_send = matches!(key.carries, Arriving::Send(_));
        let is_there = !self.waiting.remove(key) && (!is_send || self.sends.remove(key));
        if self.sends.len() < self.sends.capacity() / 4 {
            let twice = self.sends.len() * 2;
            self.sends.shrink_to(twice);
        }
        let forwarded = if is_there { self.table.remove(key) } else { None };
        if forwarded.is_some() {
            self.shares.remove(key);
        }
        self.promote(Holder::of(key));
        forwarded
    }

    fn set_addresses(&mut self, addresses: &AddressState) -> bool {
        self.table.set_addresses(addresses)
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
