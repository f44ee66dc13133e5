//! Requests for an allocation that wait for a port of another shard.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use allocation::Owner;

use crate::{Families, FiveTuple, PortNeed, ShardId, Timestamp, requester::Requester};

/// A request for an allocation, and where it looks for a port.
#[derive(Debug)]
pub(crate) struct Borrowing {
    pub(crate) request: Borrow,
    /// The shard whose answer is awaited.
    pub(crate) asked: ShardId,
    /// How many are left to ask after that.
    pub(crate) others_left: u16,
    /// When to go on without that answer.
    pub(crate) due: Timestamp,
    /// When to go on without any.
    pub(crate) give_up_at: Timestamp,
}

/// What is needed to make the allocation once there is a port.
#[derive(Debug)]
pub(crate) struct Borrow {
    pub(crate) requester: Requester,
    pub(crate) dual_stack: bool,
    pub(crate) owner: Arc<Owner>,
    pub(crate) lifetime: Duration,
    pub(crate) families: Families,
    pub(crate) need: PortNeed,
    /// How many ports that other programs held were tried already.
    pub(crate) tried: u8,
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Borrowings {
    pub(crate) by_number: BTreeMap<u64, Borrowing>,
    pub(crate) by_client: BTreeMap<FiveTuple, u64>,
    pub(crate) next: u64,
    /// The shard that has lent last, and may have more.
    pub(crate) lender: Option<ShardId>,
}

impl Borrowings {
    /// The request of a client that waits.
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
