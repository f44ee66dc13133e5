//! A relay of several shards, and the messages under way between them.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use relay_server::{Config, PortRange, ShardMessage};

use super::{client::Client, relay::Relay, request::Request, response::Response};

/// Shards that draw from equal parts of the ports from [`Self::LOWEST_PORT`] on. Messages from one shard to another arrive in order,
/// when a test delivers them.
pub(crate) struct Shards {
    pub(crate) relays: Vec<Relay>,
    /// The messages under way, by sender and receiver.
    under_way: BTreeMap<(usize, usize), VecDeque<ShardMessage>>,
}

impl Shards {
    pub(crate) const LOWEST_PORT: u16 = 50_000;

    pub(crate) fn new(count: u16, ports_each: u16, configure: impl Fn(&mut Config)) -> Self {
        Self::with_ports(count, ports_each, count * ports_each, configure)
    }

    /// Like [`Self::new`], with `ports` ports in all, so that the last shards have fewer or none.
    pub(crate) fn with_ports(count: u16, ports_each: u16, ports: u16, configure: impl Fn(&mut Config)) -> Self {
        let lowest = Self::LOWEST_PORT;
        let all = PortRange::new(lowest, lowest + ports - 1).unwrap();
        let ports_of = |number: u16| ports.saturating_sub(number * ports_each).min(ports_each);
        let shard = |number: u16| {
            let seed = [7 + u8::try_from(number).unwrap(); 32];
            let mut relay = Relay::seeded(seed, |config| {
                config.ports = match ports_of(number) {
                    0 => PortRange::EMPTY,
                    ports => {
                        PortRange::new(lowest + number * ports_each, lowest + number * ports_each + ports - 1).unwrap()
                    }
                };
                configure(config);
            });
            relay.share_ports(number, count, all);
            relay
        };
        let mut relays: Vec<_> = (0..count).map(shard).collect();
        let claims = Rc::clone(&relays[0].claims);
        relays.iter_mut().for_each(|relay| relay.claims = Rc::clone(&claims));
        Self { relays, under_way: BTreeMap::new() }
    }

    /// The response of shard `index` to a request, after all messages have arrived.
    pub(crate) fn ask(&mut self, index: usize, client: &mut Client, request: &Request) -> Response {
        match self.try_ask(index, client, request) {
            Some(response) => response,
            None => {
                self.deliver_all();
                self.relays[index].take_sent().expect("an answer").response
            }
        }
    }

    /// The response of shard `index` to a request, without delivering messages. `None` while the shard waits for another.
    pub(crate) fn try_ask(&mut self, index: usize, client: &mut Client, request: &Request) -> Option<Response> {
        let relay = &mut self.relays[index];
        relay.challenge(client);
        let bytes = client.sign(request);
        relay.answer(client, &bytes)
    }

    /// Puts new messages of all shards under way.
    pub(crate) fn post(&mut self) {
        let count = self.relays.len();
        for (from, relay) in self.relays.iter_mut().enumerate() {
            for (only, message) in std::mem::take(&mut relay.told) {
                let is_told = |to: usize| only.is_none_or(|only| usize::from(only.get()) == to);
                for to in (0..count).filter(|to| *to != from && is_told(*to)) {
                    self.under_way.entry((from, to)).or_default().push_back(message.clone());
                }
            }
        }
    }

    /// Delivers the next message from one shard to another.
    pub(crate) fn deliver(&mut self, from: usize, to: usize) {
        self.post();
        // Events happen at different times.
        for relay in &mut self.relays {
            relay.now = relay.now + Duration::from_nanos(1);
        }
        if let Some(message) = self.under_way.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            self.relays[to].hear(&message);
        }
    }

    /// Delivers all messages, and the answers to them.
    pub(crate) fn deliver_all(&mut self) {
        self.post();
        while let Some((&(from, to), _)) = self.under_way.iter().find(|(_, messages)| !messages.is_empty()) {
            self.deliver(from, to);
            self.post();
        }
    }

    /// The messages under way to shard `to`.
    pub(crate) fn under_way_to(&self, to: usize) -> impl Iterator<Item = &ShardMessage> {
        let to_it = self.under_way.iter().filter(move |((_, receiver), _)| *receiver == to);
        to_it.flat_map(|(_, messages)| messages)
    }

    /// Whether no message is under way.
    pub(crate) fn has_heard_all(&self) -> bool {
        self.under_way.values().all(VecDeque::is_empty)
    }

    /// Advances the time on all shards.
    pub(crate) fn advance_secs(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        for relay in &mut self.relays {
            relay.advance(duration);
        }
    }
}
