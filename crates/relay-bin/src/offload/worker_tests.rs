//! Tests of two workers that share a small flow table.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use proptest::prelude::*;
use relay_server::{Arriving, ChannelNumber};

use super::*;
use crate::offload::addresses::tests::up;

/// The state of a table for two workers, with counters of the calls.
#[derive(Default)]
struct Shared {
    room: usize,
    flows: RefCell<BTreeSet<(u16, u16)>>,
    inserts: Cell<usize>,
    removals: Cell<u64>,
}

struct Table(Rc<Shared>);

/// The table has one entry for a client's indication peers from port 1,000 on whose ports differ by a multiple of this.
const SHADOWS: u16 = 100;

/// A flow from a client, in one of its channels.
fn flow(client: u16, channel: u16) -> Flow {
    let flow = up(&format!("192.0.2.1:{client}"), "10.0.0.7", "198.51.100.2:2000");
    let carries = Arriving::Channel(ChannelNumber::new(0x4000 + channel).unwrap());
    Flow { key: FlowKey { carries, ..flow.key }, ..flow }
}

fn number(key: &FlowKey) -> (u16, u16) {
    let number = match key.carries {
        Arriving::Channel(channel) => channel.get() - 0x4000,
        Arriving::Send(peer) => peer.port(),
        Arriving::Bare => panic!("{key:?}"),
    };
    (key.remote.port(), number)
}

impl Shared {
    fn is_shadowed(&self, key: &FlowKey) -> bool {
        let (client, peer) = number(key);
        let is_same = |(other, has): &(u16, u16)| *other == client && has % SHADOWS == peer % SHADOWS && *has != peer;
        matches!(key.carries, Arriving::Send(_))
            && self.flows.borrow().iter().filter(|(_, has)| *has >= 1_000).any(is_same)
    }
}

/// A flow of a client's Send indications, with the peer's port.
fn send(client: u16, peer: u16) -> Flow {
    let flow = flow(client, 0);
    let carries = Arriving::Send(([198, 51, 100, 2], peer).into());
    Flow { key: FlowKey { carries, ..flow.key }, ..flow }
}

impl FlowTable for Table {
    fn can_take(&self, _: &Flow) -> bool {
        true
    }

    fn insert(&mut self, flow: &Flow) -> Inserted {
        if self.0.is_shadowed(&flow.key) {
            return Inserted::Never;
        }
        let mut flows = self.0.flows.borrow_mut();
        self.0.inserts.set(self.0.inserts.get() + 1);
        if flows.len() >= self.0.room {
            return Inserted::Full;
        }
        assert!(flows.insert(number(&flow.key)), "twice: {flow:?}");
        Inserted::Yes
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Traffic> {
        assert!(!self.0.is_shadowed(key), "the entry is another's");
        let removed = self.0.flows.borrow_mut().remove(&number(key));
        self.0.removals.set(self.0.removals.get() + u64::from(removed));
        removed.then(Traffic::default)
    }

    fn note_full(&mut self, _: &Flow) {}

    fn note_over_share(&mut self, _: &Flow) {}

    fn removals(&self) -> u64 {
        self.0.removals.get()
    }

    fn set_addresses(&mut self, _: &AddressState) -> bool {
        false
    }
}

fn workers(room: usize, channels_each: u32) -> (Rc<Shared>, [Worker<Table>; 2]) {
    let shared = Rc::new(Shared { room, ..Shared::default() });
    let workers = [0, 1].map(|_| Worker::new(Table(Rc::clone(&shared)), channels_each));
    (shared, workers)
}

fn enter(worker: &mut Worker<Table>) -> Vec<(u16, u16)> {
    std::iter::from_fn(|| worker.install_waiting()).map(|flow| number(&flow.key)).collect()
}

#[test]
fn refused_flows_enter_in_their_order_when_there_is_room_whoever_made_it() {
    let (_, [mut one, mut other]) = workers(2, 10);
    assert!(one.install(&flow(1, 0)) && other.install(&flow(2, 0)));
    for client in [3, 4, 5] {
        assert!(!one.install(&flow(client, 0)));
    }
    assert_eq!(enter(&mut one), []);
    assert!(other.remove(&flow(2, 0).key).is_some());
    assert_eq!(enter(&mut one), [(3, 0)]);
    // A flow whose channel ends no longer waits.
    assert_eq!(one.remove(&flow(4, 0).key), None);
    assert!(one.remove(&flow(3, 0).key).is_some());
    assert_eq!(enter(&mut one), [(5, 0)]);
    assert!(one.remove(&flow(5, 0).key).is_some() && one.remove(&flow(1, 0).key).is_some());
    assert_eq!(enter(&mut one), []);
    assert!(one.waiting.is_empty());
}

#[test]
fn flows_beyond_a_share_enter_when_others_of_the_allocation_end() {
    let (_, [mut worker, _]) = workers(100, 2);
    assert!(worker.install(&flow(1, 0)) && worker.install(&flow(1, 1)) && worker.install(&flow(2, 0)));
    assert!(!worker.install(&flow(1, 2)) && !worker.install(&flow(1, 3)));
    worker.remove(&flow(2, 0).key);
    assert_eq!(enter(&mut worker), [], "another allocation's end makes no room in this one's share");
    worker.remove(&flow(1, 0).key);
    assert_eq!(enter(&mut worker), [(1, 2)]);
    worker.remove(&flow(1, 2).key);
    worker.remove(&flow(1, 1).key);
    assert_eq!(enter(&mut worker), [(1, 3)]);
}

#[test]
fn one_that_leaves_while_it_waits_for_room_gives_its_share_to_the_next() {
    let (_, [mut worker, mut other]) = workers(1, 1);
    assert!(worker.install(&flow(1, 0)));
    assert!(!worker.install(&flow(1, 1)) && !worker.install(&flow(1, 2)));
    assert!(worker.remove(&flow(1, 0).key).is_some() && other.install(&flow(2, 0)));
    assert_eq!(enter(&mut worker), []);
    worker.remove(&flow(1, 1).key);
    other.remove(&flow(2, 0).key);
    assert_eq!(enter(&mut worker), [(1, 2)]);
}

#[test]
fn one_whose_place_another_has_takes_nothing_away_from_it() {
    let (shared, [mut worker, _]) = workers(2, 2);
    let [first, second] = [send(1, 1_000), send(1, 1_000 + SHADOWS)];
    // Like the driver, which removes a key before it installs it.
    assert_eq!(worker.remove(&first.key), None);
    assert!(worker.install(&first));
    assert_eq!(worker.remove(&second.key), None);
    assert!(!worker.install(&second) && worker.waiting.is_empty());
    // The second flow has neither an entry nor a share. Removing it must not remove the first.
    assert!(worker.install(&flow(1, 1)));
    assert_eq!(worker.remove(&second.key), None);
    assert_eq!(shared.flows.borrow().len(), 2);
    assert!(worker.remove(&first.key).is_some() && worker.install(&second));
    assert_eq!(worker.remove(&first.key), None);

    // The same for a flow that waited for room while the other was installed.
    assert!(!worker.install(&send(2, 1_000)) && !worker.install(&send(2, 1_000 + SHADOWS)));
    worker.remove(&second.key);
    worker.remove(&flow(1, 1).key);
    assert_eq!(enter(&mut worker), [(2, 1_000)]);
    assert!(worker.waiting.is_empty());
    assert_eq!(worker.remove(&send(2, 1_000 + SHADOWS).key), None);
    assert!(worker.remove(&send(2, 1_000).key).is_some() && worker.sends.is_empty());
}

#[test]
fn while_the_table_stays_full_nobody_asks_it_again() {
    let (shared, [mut worker, _]) = workers(1, 10);
    for client in 0..1_000 {
        worker.install(&flow(client, 0));
    }
    let inserts = shared.inserts.get();
    for _ in 0..100 {
        assert_eq!(enter(&mut worker), []);
    }
    assert!(shared.inserts.get() <= inserts + 1);
    let inserts = shared.inserts.get();
    worker.remove(&flow(0, 0).key);
    assert_eq!(enter(&mut worker), [(1, 0)]);
    assert!(shared.inserts.get() <= inserts + 2, "one enters, and the next one finds the table full");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Install(usize, u16, u16),
    Remove(usize, u16, u16),
}

fn step() -> impl Strategy<Value = Step> {
    // Each client belongs to one worker.
    (0..6_u16, 0..4_u16, any::<bool>()).prop_map(|(client, channel, installs)| {
        let worker = usize::from(client % 2);
        if installs { Step::Install(worker, client, channel) } else { Step::Remove(worker, client, channel) }
    })
}

proptest! {
    #[test]
    fn nobody_waits_while_there_is_room_and_nobody_has_more_than_a_share(
        room in 0..9_usize,
        channels_each in 1..4_u32,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (shared, mut workers) = workers(room, channels_each);
        // The bound channels, with their worker.
        let mut bound: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Install(worker, client, channel) => {
                    workers[worker].remove(&flow(client, channel).key);
                    workers[worker].install(&flow(client, channel));
                    bound.insert((client, channel), worker);
                }
                Step::Remove(worker, client, channel) => {
                    workers[worker].remove(&flow(client, channel).key);
                    bound.remove(&(client, channel));
                }
            }
            for worker in &mut workers {
                enter(worker);
            }
            let flows = shared.flows.borrow();
            prop_assert!(flows.len() <= room && flows.iter().all(|flow| bound.contains_key(flow)), "{flows:?} {bound:?}");
            for (client, channel) in bound.keys() {
                let held = flows.iter().filter(|(holder, _)| holder == client).count();
                prop_assert!(held <= channels_each as usize);
                let waits = !flows.contains(&(*client, *channel));
                prop_assert!(!waits || flows.len() == room || held == channels_each as usize, "{client} {channel} waits");
            }
            let waiting = bound.len() - flows.len();
            let known: usize = workers.iter().map(|worker| worker.waiting.len()).sum();
            prop_assert_eq!(waiting, known, "as many wait as are bound and not installed");
        }
    }
}
