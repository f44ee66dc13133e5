//! A relay of several shards, and what they have yet to hear of each other.

use std::collections::{BTreeMap, VecDeque};

use relay_server::{Config, PortRange, ShardMessage};

use super::relay::Relay;

/// Shards that draw from equal parts of the ports from [`Self::LOWEST_PORT`] on. What one says to the others arrives in order,
/// whenever a test has it arrive.
pub(crate) struct Shards {
    pub(crate) relays: Vec<Relay>,
    /// By sender and receiver.
    under_way: BTreeMap<(usize, usize), VecDeque<ShardMessage>>,
}

impl Shards {
    pub(crate) const LOWEST_PORT: u16 = 50_000;

    pub(crate) fn new(count: u16, ports_each: u16, configure: impl Fn(&mut Config)) -> Self {
        let lowest = Self::LOWEST_PORT;
        let all = PortRange::new(lowest, lowest + count * ports_each - 1).unwrap();
        let shard = |number: u16| {
            let first = lowest + number * ports_each;
            let seed = [7 + u8::try_from(number).unwrap(); 32];
            let mut relay = Relay::seeded(seed, |config| {
                config.ports = PortRange::new(first, first + ports_each - 1).unwrap();
                configure(config);
            });
            relay.share_ports(all);
            relay
        };
        Self { relays: (0..count).map(shard).collect(), under_way: BTreeMap::new() }
    }

    /// Sends off what shards have to say to others.
    pub(crate) fn post(&mut self) {
        let count = self.relays.len();
        for (from, relay) in self.relays.iter_mut().enumerate() {
            for message in std::mem::take(&mut relay.told) {
                for to in (0..count).filter(|to| *to != from) {
                    self.under_way.entry((from, to)).or_default().push_back(message.clone());
                }
            }
        }
    }

    /// Has the next word from one shard to another arrive.
    pub(crate) fn deliver(&mut self, from: usize, to: usize) {
        self.post();
        if let Some(message) = self.under_way.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            self.relays[to].hear(&message);
        }
    }

    /// Has everything arrive.
    pub(crate) fn deliver_all(&mut self) {
        self.post();
        while let Some((&(from, to), _)) = self.under_way.iter().find(|(_, messages)| !messages.is_empty()) {
            self.deliver(from, to);
        }
    }

    /// What shard `to` is yet to hear.
    pub(crate) fn under_way_to(&self, to: usize) -> impl Iterator<Item = &ShardMessage> {
        let to_it = self.under_way.iter().filter(move |((_, receiver), _)| *receiver == to);
        to_it.flat_map(|(_, messages)| messages)
    }

    /// Whether there is nothing that a shard has said and another is yet to hear.
    pub(crate) fn has_heard_all(&self) -> bool {
        self.under_way.values().all(VecDeque::is_empty)
    }

    /// Time passes on all shards.
    pub(crate) fn advance_secs(&mut self, seconds: u64) {
        for relay in &mut self.relays {
            relay.advance_secs(seconds);
        }
    }
}
