//! A model of several shards of one relay. Messages are delayed, and those of different senders overtake each other. Data between
//! clients must arrive, and go straight once all messages have arrived. Limits on users hold for all shards together. Each shard can
//! use the whole range of ports: no port is used twice or lost. Every request gets an answer.

mod check;
mod op;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use relay_server::{
    AllocationPort, ChannelNumber, Families, FiveTuple, Permission, QuotaHolder, RelayOpenError, Timestamp,
    UsernameLimit,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, Relay, Request, Response, Shards, allocate, allocate_dual_stack, bind, delete, kind, permit, refresh,
};

use check::relayed;
use op::{AllocateKind, Op};

const SHARDS: usize = 3;
/// The same number on each shard.
const CLIENTS: usize = 6;
const USERS: [&str; 2] = ["alice", "bob"];
const PORTS_EACH: u16 = 2;
const ALL_PORTS: Range<u16> = Shards::LOWEST_PORT..Shards::LOWEST_PORT + 3 * PORTS_EACH;
const DATA: &[u8] = b"data";

/// An allocation and its shard.
#[derive(Clone, Debug)]
struct Entry {
    shard: usize,
    five_tuple: FiveTuple,
    user_id: Arc<str>,
    port: AllocationPort,
    families: Families,
    /// The bound channels.
    channels: Vec<(ChannelNumber, SocketAddr)>,
    /// The addresses of its permissions.
    permissions: Vec<IpAddr>,
}

struct World {
    limit: UsernameLimit,
    shards: Shards,
    clients: Vec<Client>,
    tokens: Vec<Vec<u8>>,
    /// The clients that wait for the answer to an Allocate, and since when.
    waiting: BTreeMap<usize, Timestamp>,
    /// Until then, ports may be reserved or in quarantine, so it is unknown which are free.
    unclear_until: Timestamp,
    /// When all messages had last arrived.
    heard_at: Timestamp,
}

impl World {
    fn new(limit: UsernameLimit) -> Self {
        let client =
            |index: usize| Client::named(&format!("198.51.100.7:{}", 50_000 + index), USERS[index % USERS.len()]);
        Self {
            limit,
            shards: Shards::new(3, PORTS_EACH, |config| {
                config.username_limit = limit;
                // All peers are addresses of the relay, so none is remembered.
                config.indicated_peers = 1_000;
            }),
            clients: (0..CLIENTS).map(client).collect(),
            tokens: Vec::new(),
            waiting: BTreeMap::new(),
            unclear_until: Timestamp::ZERO,
            heard_at: Timestamp::ZERO,
        }
    }

    /// The response to a client's request, if there is one at once. `None` if the client waits already.
    fn ask(&mut self, client: usize, request: &Request) -> Option<Response> {
        if self.waiting.contains_key(&client) {
            return None;
        }
        self.shards.try_ask(client % SHARDS, &mut self.clients[client], request)
    }

    fn allocate(&mut self, client: usize, kind: AllocateKind, request: &Request) {
        if self.waiting.contains_key(&client) {
            return;
        }
        let over_limit = self.is_over_limit(client);
        let can = self.can_allocate(kind, client);
        let Some(response) = self.ask(client, request) else {
            self.waiting.insert(client, self.now());
            if let Some(can) = can {
                // All shards are up to date, so the result is known.
                self.deliver_all();
                let has = self.entries().iter().any(|one| one.five_tuple == self.clients[client].five_tuple());
                assert_eq!(has, can, "the whole range is there for each shard");
            }
            return;
        };
        if let Some(over_limit) = over_limit {
            assert_eq!(response.error_code() == Some(486), over_limit, "all have heard of all allocations");
        }
        self.take_answer(client, &response);
    }

    /// Handles the response to an Allocate.
    fn take_answer(&mut self, client: usize, response: &Response) {
        self.waiting.remove(&client);
        if let Some(token) = response.attribute(kind::RESERVATION_TOKEN) {
            self.tokens.push(token.to_vec());
            self.unclear_for(36);
        }
    }

    /// Handles the responses that came later.
    fn take_answers(&mut self) {
        for shard in 0..SHARDS {
            while let Some(sent) = self.shards.relays[shard].take_sent() {
                let client = self.clients.iter().position(|client| client.socket == sent.to).unwrap();
                assert!(self.waiting.contains_key(&client), "nobody asked");
                self.take_answer(client, &sent.response);
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.shards.relays[0].now
    }

    fn unclear_for(&mut self, seconds: u64) {
        self.unclear_until = self.unclear_until.max(self.now() + Duration::from_secs(seconds));
    }

    fn deliver_all(&mut self) {
        self.shards.deliver_all();
        self.take_answers();
        assert_eq!(self.waiting.len(), 0, "all that were asked have answered");
        self.heard_at = self.now();
    }

    /// Whether there is a port for a new allocation of `client`; `None` if that is unknown.
    fn can_allocate(&mut self, kind: AllocateKind, client: usize) -> Option<bool> {
        self.shards.post();
        let is_clear = self.shards.has_heard_all() && self.now() >= self.unclear_until && self.waiting.is_empty();
        if !is_clear || self.is_over_limit(client) != Some(false) {
            return None;
        }
        let taken: BTreeSet<_> = self.entries().iter().map(|entry| entry.port.get()).collect();
        let is_free = |port: &u16| !taken.contains(port);
        match kind {
            AllocateKind::V4 | AllocateKind::V6 | AllocateKind::Both => {
                Some(ALL_PORTS.clone().any(|port| is_free(&port)))
            }
            AllocateKind::Pair => {
                let mut evens = ALL_PORTS.clone().step_by(2);
                Some(evens.any(|even| is_free(&even) && is_free(&(even + 1))))
            }
            AllocateKind::Reserved(_) => None,
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Allocate { client, kind } => {
                let request = match kind {
                    AllocateKind::V4 => allocate(),
                    AllocateKind::V6 => allocate().with_family(2),
                    AllocateKind::Both => allocate_dual_stack(),
                    AllocateKind::Pair => allocate().with_even_port(true),
                    AllocateKind::Reserved(back) => {
                        // In a real relay, sockets prevent a port from being allocated twice while the messages are under way.
                        self.deliver_all();
                        match self.tokens.iter().rev().nth(back) {
                            Some(token) => allocate().with_token(token),
                            None => return,
                        }
                    }
                };
                self.allocate(client, kind, &request);
            }
            Op::Extend { client } => _ = self.ask(client, &refresh().with_lifetime(3600)),
            Op::Delete { client, family } => {
                let request = family.map_or_else(delete, |family| delete().with_family(family));
                self.ask(client, &request);
            }
            Op::Bind { client, number, port, family } => {
                self.ask(client, &bind(number, relayed(family, AllocationPort::new(port))));
            }
            Op::BindEachOther { clients: (one, other), number, family } => {
                for (client, peer) in [(one, other), (other, one)] {
                    let five_tuple = self.clients[peer].five_tuple();
                    let peer = self.entries().into_iter().find(|entry| entry.five_tuple == five_tuple);
                    if let Some(peer) = peer {
                        self.ask(client, &bind(number, relayed(family, peer.port)));
                    }
                }
            }
            Op::Permit { client, family } => _ = self.ask(client, &permit(&[relayed(family, AllocationPort::new(0))])),
            Op::PermitEachOther { clients: (one, other), family } => {
                for client in [one, other] {
                    self.ask(client, &permit(&[relayed(family, AllocationPort::new(0))]));
                }
            }
            Op::RelayFailed { client } => {
                let five_tuple = self.clients[client].five_tuple();
                let relay = &mut self.shards.relays[client % SHARDS];
                let id = relay.server.allocations().find(|one| one.five_tuple() == five_tuple).map(|one| one.id());
                if let Some(id) = id {
                    relay.server.handle_relay_failed(id);
                    relay.drain();
                }
            }
            Op::Wait { seconds } => {
                // Messages usually take less than a second.
                self.deliver_all();
                self.shards.advance_secs(seconds);
                self.heard_at = self.now();
            }
            Op::Stall { millis } => {
                // Messages arrive before a reservation expires.
                if self.now() >= self.heard_at + Duration::from_secs(10) {
                    self.deliver_all();
                }
                self.shards.advance(Duration::from_millis(millis));
                self.take_answers();
                let now = self.now();
                assert!(
                    self.waiting.values().all(|since| now < *since + Duration::from_secs(1)),
                    "no request waits longer"
                );
            }
            Op::PortHeld { shard } => {
                self.shards.relays[shard].answers = [Err(RelayOpenError::PortInUse)].into();
            }
            Op::Restore { shard } => self.shards.relays[shard].restore(),
            Op::Deliver { from, to } => self.shards.deliver(from, to),
            Op::DeliverAll => self.deliver_all(),
        }
        self.shards.post();
        self.take_answers();
        // A held port is in quarantine for a minute after its shard has the message.
        if self.shards.relays.iter().any(|relay| !relay.answers.is_empty()) {
            self.unclear_for(75);
        }
        // Events happen at different times.
        for relay in &mut self.shards.relays {
            relay.now = relay.now + Duration::from_nanos(1);
        }
        self.check();
    }

    /// Whether a new allocation of `client` exceeds the limit; `None` if the client has one already, or messages are under way.
    fn is_over_limit(&mut self, client: usize) -> Option<bool> {
        self.shards.post();
        let entries = self.entries();
        let user_id = USERS[client % USERS.len()];
        let client = &self.clients[client];
        let is_clear = self.shards.has_heard_all() && entries.iter().all(|one| one.five_tuple != client.five_tuple());
        let of_username = entries.iter().filter(|one| *one.user_id == *user_id).count();
        is_clear.then_some(match self.limit {
            UsernameLimit::ReplaceOldest => false,
            UsernameLimit::RefuseBeyond(limit) => of_username >= limit as usize,
        })
    }

    /// Checks that no user exceeds the limit at any time. With `ReplaceOldest`, there is one allocation per user once all
    /// messages have arrived.
    fn check_usernames(&self, entries: &[Entry]) {
        if let UsernameLimit::RefuseBeyond(limit) = self.limit {
            let mut counts = BTreeMap::<_, u32>::new();
            entries
                .iter()
                .for_each(|entry| *counts.entry(QuotaHolder::User(Arc::clone(&entry.user_id))).or_default() += 1);
            assert!(counts.values().all(|count| *count <= limit), "{counts:?}");
            let claims = self.shards.relays[0].claims.borrow();
            assert!(claims.iter().filter(|(_, count)| **count > 0).eq(&counts), "{claims:?} claimed, {counts:?} held");
        }
        if self.limit == UsernameLimit::ReplaceOldest && self.shards.has_heard_all() {
            let mut counts = BTreeMap::<_, usize>::new();
            entries.iter().for_each(|entry| *counts.entry(&entry.user_id).or_default() += 1);
            assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let of_shard = |(shard, relay): (usize, &Relay)| {
            let entries = relay.server.allocations().map(|allocation| Entry {
                shard,
                five_tuple: allocation.five_tuple(),
                user_id: Arc::clone(allocation.owner().user_id()),
                port: allocation.port(),
                families: allocation.families(),
                channels: allocation
                    .channels()
                    .iter()
                    .filter(|channel| channel.is_bound())
                    .map(|channel| (channel.number(), channel.peer().address()))
                    .collect(),
                permissions: allocation.permissions().iter().map(Permission::address).collect(),
            });
            entries.collect::<Vec<_>>()
        };
        self.shards.relays.iter().enumerate().flat_map(of_shard).collect()
    }

    /// Lets everything expire, and checks that nothing is left.
    fn finish(mut self) {
        self.shards.relays.iter_mut().for_each(|relay| relay.answers.clear());
        for seconds in [3600, 61] {
            self.deliver_all();
            self.shards.advance_secs(seconds);
        }
        self.deliver_all();
        self.check();
        for relay in &self.shards.relays {
            assert_eq!((relay.server.allocation_count(), relay.flows.len()), (0, 0));
            assert!(format!("{:?}", relay.server).contains("Crossings { len: 0, .. }"));
        }
        let mut new = (50_000..).map(|number| Client::new(&format!("198.51.100.8:{number}")));
        for _ in ALL_PORTS {
            assert_eq!(self.shards.ask(1, &mut new.next().unwrap(), &allocate()).outcome(), Ok(()));
        }
        assert_eq!(self.shards.ask(1, &mut new.next().unwrap(), &allocate()).outcome(), Err(508));
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn shards_act_as_one_relay(
        limit in prop_oneof![
            Just(UsernameLimit::ReplaceOldest),
            Just(UsernameLimit::RefuseBeyond(2)),
            Just(UsernameLimit::RefuseBeyond(10)),
        ],
        ops in proptest::collection::vec(op::any(), 1..80),
    ) {
        let mut world = World::new(limit);
        for op in ops {
            world.step(op);
        }
        world.finish();
    }
}
