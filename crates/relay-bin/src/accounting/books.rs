//! Accounting without its thread, for the simulation.

use relay_server::{Relayed, ShardId, Timestamp};

use super::{
    AccountingSender,
    ledger::Ledger,
    queue::{Receiver, Sender, queue},
};

/// The accounts of all shards, with counters of finished ones.
#[derive(Debug)]
pub(crate) struct Books {
    sender: Sender,
    receiver: Receiver,
    ledger: Ledger,
    /// How many accounts were finished.
    pub(crate) told: u64,
    /// How many of them are incomplete: a count of the kernel or of another shard is missing.
    pub(crate) incomplete: u64,
    /// What the finished accounts relayed in user space.
    pub(crate) in_user_space: Relayed,
}

impl Books {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = queue();
        let in_user_space = Relayed::default();
        Self { sender, receiver, ledger: Ledger::default(), told: 0, incomplete: 0, in_user_space }
    }

    /// The sender for the events of `shard`.
    pub(crate) fn sender(&self, shard: ShardId) -> AccountingSender {
        AccountingSender::new(shard, self.sender.clone())
    }

    /// Handles all events that were sent so far.
    pub(crate) fn take_all(&mut self, now: Timestamp) {
        while let Ok(batch) = self.receiver.events.try_recv() {
            self.receiver.note_taken(batch.len());
            batch.into_iter().for_each(|event| self.ledger.note(now, event));
        }
        self.ledger.handle_timeout(now);
        while let Some(record) = self.ledger.poll_record() {
            self.told += 1;
            self.incomplete += u64::from(!record.is_complete);
            self.in_user_space.to_peers += record.in_user_space.to_peers;
            self.in_user_space.from_peers += record.in_user_space.from_peers;
        }
    }

    /// How many accounts are still open.
    pub(crate) fn open(&self) -> usize {
        self.ledger.living().count()
    }
}
