//! Allocate requests that wait for a port of another shard.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use allocation::Owner;

use crate::{Families, FiveTuple, PortNeed, ShardId, Timestamp, requester::Requester};

/// An Allocate request that waits, and the state of its search for a port.
#[derive(Debug)]
pub(crate) struct Borrowing {
    pub(crate) request: Borrow,
    /// The shard that was asked last and has not answered.
    pub(crate) asked: ShardId,
    /// How many shards are left to ask after that one.
    pub(crate) others_left: u16,
    /// When to ask the next shard if that one has not answered.
    pub(crate) due: Timestamp,
    /// When to stop asking.
    pub(crate) give_up_at: Timestamp,
}

/// The parameters of the allocation to make once a port is lent.
#[derive(Debug)]
pub(crate) struct Borrow {
    pub(crate) requester: Requester,
    pub(crate) dual_stack: bool,
    pub(crate) owner: Arc<Owner>,
    pub(crate) lifetime: Duration,
    pub(crate) families: Families,
    pub(crate) need: PortNeed,
    /// How many ports were tried that another program held.
    pub(crate) tried: u8,
}

/// All requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Borrowings {
    pub(crate) by_number: BTreeMap<u64, Borrowing>,
    pub(crate) by_client: BTreeMap<FiveTuple, u64>,
    pub(crate) next: u64,
    /// The shard that lent a port last. It is asked first.
    pub(crate) lender: Option<ShardId>,
}

impl Borrowings {
    /// The waiting request of a client.
    pub(crate) fn of_client(&self, five_tuple: &FiveTuple) -> Option<&Borrow> {
        let number = self.by_client.get(five_tuple)?;
        self.by_number.get(number).map(|borrowing| &borrowing.request)
    }

    pub(crate) fn insert(&mut self, borrowing: Borrowing) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_client.insert(borrowing.request.requester.five_tuple, number);
        self.by_number.insert(number, borrowing);
        number
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Borrowing> {
        let borrowing = self.by_number.remove(&number)?;
        self.by_client.remove(&borrowing.request.requester.five_tuple);
        Some(borrowing)
    }
}
