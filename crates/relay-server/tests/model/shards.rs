//! Several shards of one relay, whose messages are delayed and overtake each other as those of several senders may: data between their
//! clients goes where it may, and by the shortest way once they have heard of each other; limits of usernames hold for all shards
//! together; and the whole range of ports is there for each of them, none twice, none lost, and no request left without an answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use relay_server::{
    AllocationPort, ChannelNumber, Crossing, Encapsulation, Families, Family, FiveTuple, Flow, FlowKey, Forward,
    RelayAddresses, RelayOpenError, ShardMessage, Timestamp, UsernameLimit, Via,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, Request, Response, Shards, allocate, allocate_dual_stack, bind,
    channel_data, delete, kind, refresh,
};

const SHARDS: usize = 3;
/// As many on each shard.
const CLIENTS: usize = 6;
const USERS: [&str; 2] = ["alice", "bob"];
const PORTS_EACH: u16 = 2;
const ALL_PORTS: Range<u16> = Shards::LOWEST_PORT..Shards::LOWEST_PORT + 3 * PORTS_EACH;
const DATA: &[u8] = b"data";

#[derive(Clone, Debug)]
enum Op {
    Allocate {
        client: usize,
        kind: AllocateKind,
    },
    Extend {
        client: usize,
    },
    Delete {
        client: usize,
        family: Option<u8>,
    },
    Bind {
        client: usize,
        number: u16,
        port: u16,
        family: Family,
    },
    BindEachOther {
        clients: (usize, usize),
        number: u16,
        family: Family,
    },
    RelayFailed {
        client: usize,
    },
    Wait {
        seconds: u64,
    },
    /// Time passes, and no message arrives.
    Stall {
        millis: u64,
    },
    /// The next socket finds its port held by another program.
    PortHeld {
        shard: usize,
    },
    Deliver {
        from: usize,
        to: usize,
    },
    DeliverAll,
}

#[derive(Clone, Copy, Debug)]
enum AllocateKind {
    V4,
    V6,
    Both,
    /// With the next port reserved.
    Pair,
    /// The port of a reservation, counted from the latest.
    Reserved(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    let number = 0x4000_u16..0x4003;
    let family = prop_oneof![3 => Just(Family::V4), 1 => Just(Family::V6)];
    let kind = prop_oneof![
        3 => Just(AllocateKind::V4), 1 => Just(AllocateKind::V6), 2 => Just(AllocateKind::Both),
        2 => Just(AllocateKind::Pair), 3 => (0_usize..2).prop_map(AllocateKind::Reserved),
    ];
    let port = Shards::LOWEST_PORT..Shards::LOWEST_PORT + 6;
    prop_oneof![
        6 => (client.clone(), kind).prop_map(|(client, kind)| Op::Allocate { client, kind }),
        1 => client.clone().prop_map(|client| Op::Extend { client }),
        2 => (client.clone(), prop_oneof![2 => Just(None), 1 => (1_u8..3).prop_map(Some)])
            .prop_map(|(client, family)| Op::Delete { client, family }),
        2 => (client.clone(), number.clone(), port, family.clone())
            .prop_map(|(client, number, port, family)| Op::Bind { client, number, port, family }),
        10 => ((client.clone(), client.clone()), number, family)
            .prop_map(|(clients, number, family)| Op::BindEachOther { clients, number, family }),
        1 => client.prop_map(|client| Op::RelayFailed { client }),
        3 => prop_oneof![Just(1_u64), Just(31), Just(300), Just(599), Just(600)].prop_map(|seconds| Op::Wait { seconds }),
        1 => prop_oneof![Just(100_u64), Just(250), Just(1000)].prop_map(|millis| Op::Stall { millis }),
        1 => (0..SHARDS).prop_map(|shard| Op::PortHeld { shard }),
        10 => (0..SHARDS, 0..SHARDS).prop_map(|(from, to)| Op::Deliver { from, to }),
        2 => Just(Op::DeliverAll),
    ]
}

/// An allocation, on whichever shard.
#[derive(Clone, Debug)]
struct Entry {
    shard: usize,
    five_tuple: FiveTuple,
    user_id: Arc<str>,
    port: AllocationPort,
    families: Families,
    /// The channels that relay.
    channels: Vec<(ChannelNumber, SocketAddr)>,
}

struct World {
    limit: UsernameLimit,
    shards: Shards,
    clients: Vec<Client>,
    tokens: Vec<Vec<u8>>,
    /// The clients whose requests for an allocation are not answered yet, and since when.
    waiting: BTreeMap<usize, Timestamp>,
    /// Until when ports may be reserved, or held by other programs, so that it is not known which are free.
    unclear_until: Timestamp,
    /// When all shards have last heard all.
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
                config.indications = false;
            }),
            clients: (0..CLIENTS).map(client).collect(),
            tokens: Vec::new(),
            waiting: BTreeMap::new(),
            unclear_until: Timestamp::ZERO,
            heard_at: Timestamp::ZERO,
        }
    }

    /// What a client hears at once that asks its shard; nothing if it waits already, or has to wait.
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
                // Nothing else is under way, and nothing else happens.
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

    /// Takes what a request for an allocation came to.
    fn take_answer(&mut self, client: usize, response: &Response) {
        self.waiting.remove(&client);
        if let Some(token) = response.attribute(kind::RESERVATION_TOKEN) {
            self.tokens.push(token.to_vec());
            self.unclear_for(31);
        }
    }

    /// Takes the answers that came late.
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

    /// Whether there is a port for a new allocation of `client`; `None` where that is not clear.
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
                        // Sockets see to it that a port is not allocated twice while shards are yet to hear of it.
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
                // What shards say takes less than a second, as a rule.
                self.deliver_all();
                self.shards.advance_secs(seconds);
                self.heard_at = self.now();
            }
            Op::Stall { millis } => {
                // No reservation ends while shards are yet to hear of it.
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
            Op::Deliver { from, to } => self.shards.deliver(from, to),
            Op::DeliverAll => self.deliver_all(),
        }
        self.shards.post();
        self.take_answers();
        // A held port is out of use for a minute, from when its shard has heard of it on.
        if self.shards.relays.iter().any(|relay| !relay.answers.is_empty()) {
            self.unclear_for(75);
        }
        // No two things happen at the same time.
        for relay in &mut self.shards.relays {
            relay.now = relay.now + Duration::from_nanos(1);
        }
        self.check();
    }

    /// Whether a new allocation of `client` is one too many; `None` where it already has one, or shards are yet to hear of others.
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

    /// Where a new allocation takes the place of the old, there is one of each username once all shards have heard of it.
    fn check_usernames(&self, entries: &[Entry]) {
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
            });
            entries.collect::<Vec<_>>()
        };
        self.shards.relays.iter().enumerate().flat_map(of_shard).collect()
    }

    fn check(&mut self) {
        let entries = self.entries();
        let ports: BTreeSet<_> = entries.iter().map(|entry| entry.port).collect();
        assert_eq!(ports.len(), entries.len(), "a port has one allocation");
        self.check_usernames(&entries);
        let mut keys = vec![BTreeSet::new(); SHARDS];
        for entry in &entries {
            for (number, peer) in &entry.channels {
                keys[entry.shard].insert(self.check_channel(&entries, entry, *number, *peer));
            }
        }
        for (relay, keys) in self.shards.relays.iter().zip(keys) {
            assert!(relay.flows.keys().all(|key| keys.contains(key)), "a flow of a channel that is gone");
        }
    }

    /// Where data in a channel goes. Returns what its flow is known by.
    fn check_channel(&mut self, entries: &[Entry], entry: &Entry, number: ChannelNumber, peer: SocketAddr) -> FlowKey {
        let Entry { shard, port, five_tuple, .. } = *entry;
        let family = Family::of(peer.ip());
        let far_port = AllocationPort::new(peer.port());
        let far = entries.iter().find(|far| far.port == far_port && far.families.contains(family));
        let answer = far.and_then(|far| {
            let back = far.channels.iter().find(|(_, peer)| *peer == relayed(family, port));
            back.map(|(channel, _)| Crossing {
                family,
                from: port,
                to: far_port,
                five_tuple: far.five_tuple,
                channel: *channel,
            })
        });

        let client = self.clients.iter().find(|client| client.five_tuple() == five_tuple).unwrap();
        let forward = self.shards.relays[shard].receive(client, &channel_data(number.get(), DATA));
        let key = FlowKey { remote: client.socket, local_port: LISTEN_PORT, channel: Some(number) };
        let flow = self.shards.relays[shard].flows.get(&key).copied();
        let straight_flow = |forward: &Forward| Flow {
            key,
            arrives: Via::Listener(client.server),
            leaves: forward.from,
            to: forward.to,
            channel: forward.channel(),
        };

        // What the shard is yet to hear of this.
        let mut closing = Vec::new();
        let mut is_opening = false;
        for message in self.shards.under_way_to(shard) {
            match message {
                ShardMessage::CrossingClosed(told) if (told.family, told.from, told.to) == (family, port, far_port) => {
                    closing.push(straight(told));
                }
                ShardMessage::CrossingOpened(told) => is_opening |= answer == Some(*told),
                _ => {}
            }
        }

        let through_socket = Forward {
            from: Via::Relay(port),
            to: peer,
            encapsulation: Encapsulation::Bare,
            payload: 4..4 + DATA.len(),
        };
        let answer = answer.as_ref().map(straight);
        if far.is_some_and(|far| far.shard == shard) {
            assert_eq!(forward, answer);
        } else if forward == Some(through_socket) {
            // Never lost. It may be the longer way while the shard is yet to hear, and of a port that was lent to it.
            let is_own = self.shards.relays[shard].server.config().ports.contains(port);
            assert!(answer.is_none() || is_opening || !is_own, "the shard should know of {answer:?}");
        } else {
            assert!(
                answer.iter().chain(&closing).any(|way| Some(way) == forward.as_ref()),
                "{forward:?}, but {answer:?}"
            );
        }
        // The kernel forwards the same, or leaves it to the sockets; until the shard has heard of an end, what it knew before.
        let same = forward.filter(|forward| forward.channel().is_some()).as_ref().map(straight_flow);
        let is_known = |way: &Forward| flow.is_none_or(|flow| flow == straight_flow(way));
        assert!(flow == same || closing.iter().any(is_known), "{flow:?} in the kernel, {same:?} here");
        key
    }

    /// Everything ends by itself, and nothing may be left.
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

fn straight(crossing: &Crossing) -> Forward {
    Forward {
        from: Via::Listener(crossing.five_tuple.server),
        to: crossing.five_tuple.client.address(),
        encapsulation: Encapsulation::Channel(crossing.channel),
        payload: 4..4 + DATA.len(),
    }
}

fn relayed(family: Family, port: AllocationPort) -> SocketAddr {
    RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) }.socket(family, port).unwrap()
}

proptest! {
    #![proptest_config(property_tests::config())]

    #[test]
    fn shards_act_as_one_relay(
        limit in prop_oneof![
            Just(UsernameLimit::ReplaceOldest),
            Just(UsernameLimit::RefuseBeyond(2)),
            Just(UsernameLimit::RefuseBeyond(10)),
        ],
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new(limit);
        for op in ops {
            world.step(op);
        }
        world.finish();
    }
}
