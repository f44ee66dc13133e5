//! Borrows a port from another shard for an Allocate request, when this shard has none left.
//!
//! The shard asks the others one after the other until one lends a port. A shard that is asked answers at once, with a port or
//! without. It does not ask further shards, so no two wait for each other. A shard that does not answer in time is passed over, and
//! a port that comes too late is returned at once. A lent port goes back to its shard when its allocation ends, so that
//! pairs of ports stay together and no shard keeps ports that it does not use.

use std::time::Duration;

use allocation::{AllocateError, Allocation, MAX_PORTS_TRIED, NewAllocation};

use crate::{
    AllocationPort, DropReason, Output, PortNeed, Rejection, Server, ShardId, ShardMessage, Timestamp,
    borrowings::{Borrow, Borrowing},
    pending_allocation::PendingAllocation,
    requester::Requester,
};

/// How long a shard waits for another one's answer before it asks the next: 250 ms. An answer takes less than 1 ms unless the other
/// shard is stuck.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// How long a request waits in all: 1 s. Its client gets no answer meanwhile and must not give the relay up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

impl Server {
    /// Asks another shard for a port for `request`. Refuses the request if there is no other shard.
    pub(crate) fn borrow(&mut self, now: Timestamp, request: Borrow) {
        if !self.has_other_shards() || request.tried >= MAX_PORTS_TRIED {
            return self.reject(&request.requester, Rejection::NoFreePort);
        }
        let asked = self.borrowings.lender.unwrap_or_else(|| self.shard_after(self.shard));
        let others_left = self.shard_count.saturating_sub(2);
        let (due, give_up_at) = (now + ANSWER_WITHIN, now + GIVE_UP_AFTER);
        let need = request.need;
        let number = self.borrowings.insert(Borrowing { request, asked, others_left, due, give_up_at });
        self.ask_for_port(number, asked, need, due);
    }

    /// Handles an Allocate request of a client that has one waiting: drops a retransmission and refuses any other. `None` if none
    /// waits.
    pub(crate) fn check_borrowing(&mut self, requester: &Requester, username: &str) -> Option<Result<(), Rejection>> {
        let waiting = self.borrowings.of_client(&requester.five_tuple)?;
        let is_same =
            waiting.requester.transaction.id == requester.transaction.id && **waiting.owner.username() == *username;
        if !is_same {
            return Some(Err(Rejection::AllocationExists));
        }
        self.drop_from_client(requester.five_tuple, DropReason::RequestInProgress);
        Some(Ok(()))
    }

    /// Handles [`ShardMessage::PortWanted`].
    pub(crate) fn port_wanted(&mut self, now: Timestamp, by: ShardId, number: u64, need: PortNeed) {
        let from = self.shard;
        let answer = match self.allocations.lend(now, need) {
            Some(port) => ShardMessage::PortLent { from, number, port, need },
            None => ShardMessage::NoPort { from, number },
        };
        self.tell_shard(by, answer);
    }

    /// Handles [`ShardMessage::PortLent`].
    pub(crate) fn port_lent(
        &mut self,
        now: Timestamp,
        from: ShardId,
        number: u64,
        port: AllocationPort,
        need: PortNeed,
    ) {
        let Some(borrowing) = self.borrowings.remove(number) else {
            return self.give_back(port, need);
        };
        self.allocations.stop_waiting(borrowing.due, number);
        self.borrowings.lender = Some(from);
        let request = borrowing.request;
        // The user may have reached its quota meanwhile.
        if let Err(rejection) = self.check_quota(request.owner.user_id()) {
            self.give_back(port, need);
            return self.reject(&request.requester, rejection);
        }
        let with = allocation::PortRequest::Lent { port, need, tried: request.tried };
        if let Err(rejection) = self.allocate_borrowed(now, &request, with) {
            self.give_back(port, need);
            self.reject(&request.requester, rejection);
        }
    }

    /// Handles [`ShardMessage::NoPort`].
    pub(crate) fn no_port(&mut self, now: Timestamp, from: ShardId, number: u64) {
        if self.borrowings.by_number.get(&number).is_some_and(|borrowing| borrowing.asked == from) {
            self.ask_next(now, number);
        }
    }

    /// Handles a time-out: the shard that was asked has not answered.
    pub(crate) fn no_answer(&mut self, now: Timestamp, number: u64) {
        self.ask_next(now, number);
    }

    fn ask_next(&mut self, now: Timestamp, number: u64) {
        let Some(borrowing) = self.borrowings.by_number.get_mut(&number) else {
            return;
        };
        self.allocations.stop_waiting(borrowing.due, number);
        if borrowing.others_left == 0 || borrowing.give_up_at <= now {
            return self.give_up(now, number);
        }
        borrowing.others_left -= 1;
        borrowing.due = (now + ANSWER_WITHIN).min(borrowing.give_up_at);
        let (last, need, due) = (borrowing.asked, borrowing.request.need, borrowing.due);
        let asked = self.shard_after(last);
        if let Some(borrowing) = self.borrowings.by_number.get_mut(&number) {
            borrowing.asked = asked;
        }
        self.ask_for_port(number, asked, need, due);
    }

    fn ask_for_port(&mut self, number: u64, asked: ShardId, need: PortNeed, due: Timestamp) {
        self.allocations.wait(due, number);
        self.tell_shard(asked, ShardMessage::PortWanted { by: self.shard, number, need });
    }

    /// No other shard has lent a port. Tries this shard once more, then refuses the request.
    fn give_up(&mut self, now: Timestamp, number: u64) {
        let Some(Borrowing { request, .. }) = self.borrowings.remove(number) else {
            return;
        };
        let allocated = self
            .check_quota(request.owner.user_id())
            .and_then(|()| self.allocate_borrowed(now, &request, request.need.request()));
        if let Err(rejection) = allocated {
            self.reject(&request.requester, rejection);
        }
    }

    fn allocate_borrowed(
        &mut self,
        now: Timestamp,
        request: &Borrow,
        port: allocation::PortRequest,
    ) -> Result<(), Rejection> {
        let new = NewAllocation {
            five_tuple: request.requester.five_tuple,
            credential: request.owner.credential(),
            transaction_id: request.requester.transaction.id.0,
            lifetime: request.lifetime,
            families: request.families,
            port,
        };
        let id = self.allocations.allocate(now, new).map(Allocation::id).map_err(Rejection::of_allocate)?;
        self.pending.insert(id, PendingAllocation::new(request.requester.clone(), request.dual_stack));
        self.continue_opening(id);
        Ok(())
    }

    /// Returns a lent port that is not needed.
    fn give_back(&mut self, port: AllocationPort, need: PortNeed) {
        self.tell_shards(ShardMessage::PortReturned { port });
        if need == PortNeed::Pair {
            let port = AllocationPort::new(port.get().saturating_add(1));
            self.tell_shards(ShardMessage::PortReturned { port });
        }
    }

    /// Returns the ports of other shards that are not used here any more.
    pub(crate) fn return_ports(&mut self) {
        while let Some(left) = self.allocations.poll_left_port() {
            let port = left.port;
            self.tell_shards(if left.is_held {
                ShardMessage::PortHeld { port }
            } else {
                ShardMessage::PortReturned { port }
            });
        }
    }

    /// The next shard in turn, this one left out.
    fn shard_after(&self, shard: ShardId) -> ShardId {
        let after = |shard: ShardId| {
            let next = shard.get().saturating_add(1);
            ShardId::new(if next < self.shard_count { next } else { 0 })
        };
        let next = after(shard);
        if next == self.shard { after(next) } else { next }
    }

    fn tell_shard(&mut self, to: ShardId, message: ShardMessage) {
        self.outputs.push_back(Output::TellShard { to, message });
    }
}

impl Rejection {
    /// The reason for the refusal of an Allocate request.
    pub(crate) const fn of_allocate(error: AllocateError) -> Self {
        match error {
            AllocateError::AlreadyAllocated(_) => Self::AllocationExists,
            AllocateError::UnknownReservation => Self::UnknownReservation,
            AllocateError::TooManyReservations { .. } => Self::QuotaReached,
            AllocateError::NoFreePort => Self::NoFreePort,
        }
    }
}
