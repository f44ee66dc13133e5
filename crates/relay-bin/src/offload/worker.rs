//! Decides which flows of one worker are installed, and which ones wait.

use std::collections::HashSet;

use relay_server::{Arriving, Flow, FlowKey, Traffic};

use super::{
    Offload,
    shares::{FlowShares, Holder},
    waiting::{Queue, WaitingFlows},
};
use crate::addresses::AddressState;

/// A flow table that all workers share.
pub(crate) trait FlowTable {
    /// Whether the table could accept `flow` if it had room.
    fn can_take(&self, flow: &Flow) -> bool;

    /// Installs `flow`, whose key must not be installed.
    fn insert(&mut self, flow: &Flow) -> Inserted;

    /// Removes a flow. Returns what it has forwarded; `None` if it was not installed.
    fn remove(&mut self, key: &FlowKey) -> Option<Traffic>;

    /// Counts that `flow` waits because the table is full.
    fn note_full(&mut self, flow: &Flow);

    /// Counts that `flow` waits because its allocation has used up its share.
    fn note_over_share(&mut self, flow: &Flow);

    /// How many flows all workers have removed so far. While the number is the same, a table that was full still is.
    fn removals(&self) -> u64;

    /// Replaces the relay's addresses. Returns whether the caller must install all flows again.
    fn set_addresses(&mut self, addresses: &AddressState) -> bool;
}

/// The result of inserting a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Yes,
    /// The table is full.
    Full,
    /// The table cannot accept the flow, even with room: for example because its key stands for another installed flow, too.
    Never,
}

/// One worker's access to the table. Limits each allocation to its share, and queues flows that find no room.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    table: T,
    shares: FlowShares,
    waiting: WaitingFlows,
    /// The installed flows of Send indications. Several may have the same key in the table: removing one that is not installed must
    /// not remove another.
    sends: HashSet<FlowKey>,
    /// [`FlowTable::removals`] when the table was last found to be full.
    full_at: Option<u64>,
}

impl<T: FlowTable> Worker<T> {
    /// Lets at most `channels_per_allocation` channels and indication peers of each allocation into `table`.
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

    /// Moves the next flow that waits for `holder`'s share to the queue for room, after a flow of `holder` was removed or stopped
    /// waiting.
    fn promote(&mut self, holder: Holder) {
        if let Some(flow) = self.waiting.first(Queue::Share(holder)).copied()
            && self.shares.has_room(&flow.key)
        {
            self.waiting.push(Queue::Room, flow);
        }
    }

    /// Whether `flow` could be installed if there were room.
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
                // The flow keeps its place in the queue.
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
