//! The bounded queue between the shards and the accounting thread.
//!
//! When it is full, new allocations, crossings and flows are left out as a whole: neither their beginning nor their end is queued.
//! The end of anything whose beginning was queued always has room. So the queue holds at most [`MOST`] events, and the ends of what
//! exists.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
};

use relay_server::{AllocationPort, Crossing, Family, FlowKey};

use super::event::AccountingEvent;

/// How many events may wait before beginnings are left out.
pub(super) const MOST: usize = 1 << 16;

/// Events as one shard sends them.
type Batch = Vec<AccountingEvent>;

/// The sending end. Its clones share the count of waiting events.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    events: mpsc::Sender<Batch>,
    load: Arc<Load>,
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) events: mpsc::Receiver<Batch>,
    load: Arc<Load>,
}

/// How full the queue is.
#[derive(Debug, Default)]
struct Load {
    waiting: AtomicUsize,
    /// How many allocations were left out.
    left_out: AtomicU64,
}

/// An empty queue.
pub(super) fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel();
    let load = Arc::<Load>::default();
    (Sender { events: sender, load: Arc::clone(&load) }, Receiver { events: receiver, load })
}

impl Sender {
    /// Sends `batch`. Returns false if accounting has ended.
    pub(super) fn send(&self, batch: Batch) -> bool {
        self.load.waiting.fetch_add(batch.len(), Ordering::Relaxed);
        self.events.send(batch).is_ok()
    }

    /// Whether there is room for a beginning, after `collected` events that are about to be sent.
    pub(super) fn has_room(&self, collected: usize) -> bool {
        self.load.waiting.load(Ordering::Relaxed) + collected < MOST
    }
}

impl Receiver {
    /// Notes that a batch of `count` events was taken out.
    pub(super) fn note_taken(&self, count: usize) {
        self.load.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many allocations were left out so far.
    pub(super) fn left_out(&self) -> u64 {
        self.load.left_out.load(Ordering::Relaxed)
    }
}

/// Beginnings that were left out and whose ends have not come yet.
#[derive(Debug, Default)]
pub(super) struct LeftOut(HashSet<Beginning>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Beginning {
    Allocation(u64),
    /// Whether it is IPv6, and both ports.
    Crossing(bool, AllocationPort, AllocationPort),
    Flow(FlowKey),
}

impl LeftOut {
    /// Whether to send `event`, after `collected` others by `sender`.
    pub(super) fn admits(&mut self, event: &AccountingEvent, sender: &Sender, collected: usize) -> bool {
        let beginning = match event {
            AccountingEvent::Created(_, created) => Beginning::Allocation(created.id),
            AccountingEvent::CrossingOpened(_, crossing) => of_crossing(crossing),
            AccountingEvent::FlowInstalled(flow) => Beginning::Flow(flow.key),
            AccountingEvent::Ended { key: (_, id), .. } => return !self.0.remove(&Beginning::Allocation(*id)),
            AccountingEvent::CrossingClosed(_, crossing, _) => return !self.0.remove(&of_crossing(crossing)),
            AccountingEvent::FlowRemoved(key, _) => return !self.0.remove(&Beginning::Flow(*key)),
            _ => return true,
        };
        if sender.has_room(collected) {
            return true;
        }
        if matches!(beginning, Beginning::Allocation(_)) {
            sender.load.left_out.fetch_add(1, Ordering::Relaxed);
        }
        self.0.insert(beginning);
        false
    }
}

fn of_crossing(crossing: &Crossing) -> Beginning {
    Beginning::Crossing(crossing.family == Family::V6, crossing.from, crossing.to)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use relay_server::{Families, FiveTuple, Relayed, ShardId, Timestamp};

    use super::*;
    use crate::accounting::{
        event::{Created, EndReason},
        ledger::Ledger,
    };

    const T0: Timestamp = Timestamp::from_secs(100);
    const SHARD: ShardId = ShardId::new(0);

    fn created(id: u64) -> AccountingEvent {
        let client = SocketAddr::from(([198, 51, 100, 7], 5000));
        let created = Created {
            id,
            user_id: "alice".into(),
            five_tuple: FiveTuple { client: client.into(), server: [192, 0, 2, 1].into() },
            port: AllocationPort::new(50_000),
            families: Families::Only(Family::V4),
            at: T0,
        };
        AccountingEvent::Created(SHARD, created)
    }

    fn ended(id: u64) -> AccountingEvent {
        AccountingEvent::Ended { key: (SHARD, id), at: T0, relayed: Relayed::default(), reason: EndReason::Shutdown }
    }

    /// Handles all waiting events. Returns how many there were, and how many accounts they finished.
    fn take_all(receiver: &Receiver, ledger: &mut Ledger) -> (usize, usize) {
        let (mut events, mut told) = (0, 0);
        while let Ok(batch) = receiver.events.try_recv() {
            receiver.note_taken(batch.len());
            events += batch.len();
            for event in batch {
                ledger.note(T0, event);
                told += std::iter::from_fn(|| ledger.poll_record()).count();
            }
        }
        (events, told)
    }

    #[test]
    fn what_nobody_takes_grows_so_far_and_each_beginning_has_its_end_or_neither_is_told() {
        let (sender, receiver) = queue();
        let (mut left_out, mut ledger) = (LeftOut::default(), Ledger::default());
        let mut send = |event: AccountingEvent| {
            if left_out.admits(&event, &sender, 0) {
                assert!(sender.send(vec![event]));
            }
        };
        let most = u64::try_from(MOST).unwrap();
        // These are live when the queue becomes full.
        (0..100).for_each(|id| send(created(id)));
        for id in 100..3 * most {
            send(created(id));
            send(ended(id));
        }
        let accounted = (most - 100).div_ceil(2);
        assert_eq!(receiver.left_out(), 3 * most - 100 - accounted);
        // Their ends have room.
        (0..100).for_each(|id| send(ended(id)));
        let (events, told) = take_all(&receiver, &mut ledger);
        assert!(events <= MOST + 101, "{events}");
        assert_eq!(told, usize::try_from(100 + accounted).unwrap());
        assert_eq!(ledger.living().count(), 0);

        // The queue has room again.
        let before = receiver.left_out();
        (0..10).for_each(|id| send(created(id)));
        (0..10).for_each(|id| send(ended(id)));
        assert_eq!((take_all(&receiver, &mut ledger), receiver.left_out()), ((20, 10), before));
        assert!(left_out.0.is_empty());
    }
}
