//! Queues of flows for which the kernel's table had no room.

use std::collections::{BTreeMap, HashMap};

use relay_server::{Flow, FlowKey};

use super::shares::Holder;

/// What a flow waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queue {
    /// Room in the table.
    Room,
    /// Room in its allocation's share of the table.
    Share(Holder),
}

/// The flows of one worker that wait to be installed, first come, first served.
///
/// A flow leaves when the state machine removes it, so there are never more than bound channels and remembered indication peers.
/// Each operation takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct WaitingFlows {
    flows: BTreeMap<Place, Flow>,
    places: HashMap<FlowKey, Place>,
    /// The number of the next flow.
    next: u64,
}

type Place = (Queue, u64);

impl WaitingFlows {
    /// Puts `flow` at the end of `queue`, and removes it from any other.
    pub(super) fn push(&mut self, queue: Queue, flow: Flow) {
        self.remove(&flow.key);
        let place = (queue, self.next);
        self.next += 1;
        self.places.insert(flow.key, place);
        self.flows.insert(place, flow);
    }

    /// The flow that has waited longest in `queue`.
    pub(super) fn first(&self, queue: Queue) -> Option<&Flow> {
        self.flows.range((queue, 0)..=(queue, u64::MAX)).next().map(|(_, flow)| flow)
    }

    /// Removes a flow. Returns whether it was waiting.
    pub(super) fn remove(&mut self, key: &FlowKey) -> bool {
        let Some(place) = self.places.remove(key) else { return false };
        self.flows.remove(&place);
        if self.places.len() < self.places.capacity() / 4 {
            let twice = self.places.len() * 2;
            self.places.shrink_to(twice);
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::addresses::tests::up;

    fn flow(client: u16) -> Flow {
        up(&format!("192.0.2.1:{client}"), "10.0.0.7", "198.51.100.2:2000")
    }

    #[test]
    fn the_first_to_come_is_the_first_to_leave_and_queues_are_apart() {
        let mut waiting = WaitingFlows::default();
        let share = Queue::Share(Holder::of(&flow(1).key));
        for (queue, client) in [(Queue::Room, 3), (share, 1), (Queue::Room, 2), (share, 4)] {
            waiting.push(queue, flow(client));
        }
        let other_share = Queue::Share(Holder::of(&flow(9).key));
        assert_eq!(waiting.first(other_share), None);
        for (queue, client) in [(share, 1), (Queue::Room, 3), (share, 4), (Queue::Room, 2)] {
            assert_eq!(waiting.first(queue), Some(&flow(client)));
            assert!(waiting.remove(&flow(client).key) && !waiting.remove(&flow(client).key));
        }
        assert!(waiting.is_empty() && waiting.flows.is_empty());
    }

    #[test]
    fn one_that_comes_again_waits_at_the_end() {
        let mut waiting = WaitingFlows::default();
        [1, 2, 1].into_iter().for_each(|client| waiting.push(Queue::Room, flow(client)));
        assert_eq!(waiting.first(Queue::Room), Some(&flow(2)));
        waiting.remove(&flow(2).key);
        assert_eq!(waiting.first(Queue::Room), Some(&flow(1)));
        waiting.remove(&flow(1).key);
        assert!(waiting.is_empty());
    }
}
