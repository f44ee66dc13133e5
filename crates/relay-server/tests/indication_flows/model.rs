//! A model of the flows. After random operations, the installed flows must be those of the bound channels and of the peers with which
//! data was relayed by indications and which have been permitted ever since.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use relay_server::{
    Allocation, AllocationId, Arriving, FlowKey, Leaving, Output, PeerAction, PeerPolicy, PeerRule, RelayAddresses,
};

use crate::{
    send_to,
    support::{Client, LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, allocate_dual_stack, bind, delete, permit, refresh},
};

const CLIENTS: usize = 2;
const PEERS: [&str; 6] = [
    "203.0.113.1:9",
    "203.0.113.1:10",
    "203.0.113.2:9",
    "[2001:db8:9::1]:9",
    "[2001:db8:9::1]:10",
    // The relayed transport address of the next client.
    "192.0.2.1:50000",
];
const RULES: [&str; 5] =
    ["deny 203.0.113.1", "deny 203.0.113.1:9", "deny 203.0.113.1:10", "deny 2001:db8:9::/48", "deny 203.0.113.0/24:9"];

fn peer(index: usize) -> SocketAddr {
    PEERS[index].parse().unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Allocate(usize),
    Permit(usize, Vec<usize>),
    Bind(usize, u16, usize),
    Send(usize, usize),
    Hear(usize, usize),
    Refresh(usize, Option<u8>),
    Delete(usize, Option<u8>),
    Fail(usize),
    /// The client refreshes its allocation and its permissions until after its channels have expired.
    Keep(usize),
    Wait {
        seconds: u64,
        late: bool,
    },
    /// The peer policy changes to these rules.
    Rules(Vec<usize>),
    /// This peer's address becomes the relay's own; `None` removes it again.
    Own(Option<usize>),
}

fn op() -> impl Strategy<Value = Op> {
    let (client, peer) = (|| 0..CLIENTS, || 0..PEERS.len());
    let family = || proptest::option::weighted(0.5, 1_u8..3);
    prop_oneof![
        3 => client().prop_map(Op::Allocate),
        6 => (client(), prop::collection::vec(peer(), 1..4)).prop_map(|(client, peers)| Op::Permit(client, peers)),
        4 => (client(), 0x4000_u16..0x4003, peer()).prop_map(|(client, number, peer)| Op::Bind(client, number, peer)),
        10 => (client(), peer()).prop_map(|(client, peer)| Op::Send(client, peer)),
        6 => (client(), peer()).prop_map(|(client, peer)| Op::Hear(client, peer)),
        2 => (client(), family()).prop_map(|(client, family)| Op::Refresh(client, family)),
        1 => (client(), family()).prop_map(|(client, family)| Op::Delete(client, family)),
        1 => client().prop_map(Op::Fail),
        3 => client().prop_map(Op::Keep),
        6 => (prop_oneof![1_u64..30, 290_u64..310, Just(300), Just(600)], any::<bool>())
            .prop_map(|(seconds, late)| Op::Wait { seconds, late }),
        3 => proptest::sample::subsequence((0..RULES.len()).collect::<Vec<_>>(), 0..3).prop_map(Op::Rules),
        1 => proptest::option::of(0..PEERS.len() - 1).prop_map(Op::Own),
    ]
}

/// A flow, reduced to its key, its destination, and its encapsulation.
type Way = (FlowKey, SocketAddr, Leaving);

struct World {
    relay: Relay,
    clients: Vec<Client>,
    policy: PeerPolicy,
    own: Option<SocketAddr>,
    /// In the order of the first data.
    remembered: Vec<(AllocationId, SocketAddr)>,
    limit: u32,
}

impl World {
    fn new(limit: u32) -> Self {
        let mut relay = Relay::with(|config| {
            config.indicated_peers = limit;
            config.peer_policy = policy(&[]).into();
        });
        relay.recorded = Some(Vec::new());
        let client = |index| Client::new(&format!("198.51.100.7:{}", 50_000 + index));
        Self {
            relay,
            clients: (0..CLIENTS).map(client).collect(),
            policy: policy(&[]),
            own: None,
            remembered: Vec::new(),
            limit,
        }
    }

    fn step(&mut self, op: Op) {
        self.relay.jump_to(self.relay.now);
        match op {
            Op::Allocate(client) => self.ask(client, &allocate_dual_stack()),
            Op::Permit(client, peers) => {
                self.ask(client, &permit(&peers.into_iter().map(peer).collect::<Vec<_>>()));
            }
            Op::Bind(client, number, to) => self.ask(client, &bind(number, peer(to))),
            Op::Send(client, to) => {
                let datagram = self.clients[client].unsigned(&send_to(peer(to)));
                if self.relay.receive(&self.clients[client], &datagram).is_some() {
                    self.note_relayed(client, peer(to));
                }
            }
            Op::Hear(client, from) => {
                let Some(port) = self.allocation(client).map(Allocation::port) else { return };
                let forward = self.relay.receive_from_peer(port, peer(from), b"data");
                if forward.is_some_and(|forward| forward.channel().is_none()) {
                    self.note_relayed(client, peer(from));
                }
            }
            Op::Refresh(client, family) => {
                let request = refresh().with_lifetime(3_600);
                self.ask(client, &family.map_or(request.clone(), |family| request.with_family(family)));
            }
            Op::Delete(client, family) => {
                self.ask(client, &family.map_or(delete(), |family| delete().with_family(family)));
            }
            Op::Fail(client) => {
                if let Some(id) = self.allocation(client).map(Allocation::id) {
                    self.relay.server.handle_relay_failed(id);
                    self.relay.drain();
                }
            }
            Op::Keep(client) => {
                for _ in 0..3 {
                    let permissions = self.allocation(client).map(Allocation::permissions).unwrap_or_default();
                    let peers = permissions.iter().map(|permission| SocketAddr::new(permission.address(), 9));
                    let peers: Vec<_> = peers.collect();
                    self.ask(client, &permit(&peers));
                    self.ask(client, &refresh().with_lifetime(3_600));
                    self.relay.advance_secs(250);
                }
            }
            Op::Wait { seconds, late: false } => self.relay.advance_secs(seconds),
            Op::Wait { seconds, late: true } => self.relay.jump_to(self.relay.now + Duration::from_secs(seconds)),
            Op::Rules(rules) => {
                self.policy = policy(&rules.into_iter().map(|rule| RULES[rule]).collect::<Vec<_>>());
                self.relay.server.handle_peer_policy(self.policy.clone().into());
                self.relay.drain();
            }
            Op::Own(index) => {
                self.own = index.map(peer);
                let own = self.own;
                self.relay.own_addresses(|addresses| addresses.own.extend(own.map(|peer| peer.ip())));
            }
        }
    }

    fn ask(&mut self, client: usize, request: &crate::support::Request) {
        self.relay.ask(&mut self.clients[client], request);
    }

    fn allocation(&self, client: usize) -> Option<&Allocation> {
        let five_tuple = self.clients[client].five_tuple();
        self.relay.server.allocations().find(|allocation| allocation.five_tuple() == five_tuple)
    }

    /// Data was relayed in an indication, so the peer is remembered.
    fn note_relayed(&mut self, client: usize, peer: SocketAddr) {
        let Some(id) = self.allocation(client).map(Allocation::id) else { return };
        let has_room = self.remembered.len() < self.limit as usize;
        if has_room && self.may_be_forwarded(peer) && !self.remembered.contains(&(id, peer)) {
            self.remembered.push((id, peer));
        }
    }

    /// Whether `peer` is no address of the relay and no rule denies it.
    fn may_be_forwarded(&self, peer: SocketAddr) -> bool {
        let is_own = self.own.is_some_and(|own| own.ip() == peer.ip()) || peer.ip() == RELAY_V4;
        let denied = self.policy.rules().any(|rule| {
            let ports = rule.range.ports().is_none_or(|ports| (ports.first()..=ports.last()).contains(&peer.port()));
            rule.action == PeerAction::Deny && rule.range.net().contains(&peer.ip()) && ports
        });
        !is_own && !denied
    }

    fn check(&mut self) {
        let Self { relay, remembered, policy: _, .. } = self;
        let permitted = |id, peer: SocketAddr| {
            let allocation = relay.server.allocations().find(|allocation| allocation.id() == id);
            let mut permissions = allocation.iter().flat_map(|allocation| allocation.permissions());
            permissions.any(|permission| permission.address() == peer.ip())
        };
        let mut left = std::mem::take(remembered);
        left.retain(|(id, peer)| permitted(*id, *peer));
        left.retain(|(_, peer)| self.may_be_forwarded(*peer));
        self.remembered = left;

        let installed: BTreeSet<String> =
            self.relay.flows.values().map(|flow| format!("{:?}", (flow.key, flow.to, flow.leaves_in))).collect();
        let expected: BTreeSet<String> = self.expected().iter().map(|way| format!("{way:?}")).collect();
        assert_eq!(installed, expected);
        self.check_order();
    }

    fn expected(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        for allocation in self.relay.server.allocations() {
            let (client, port) = (allocation.five_tuple().client.address(), allocation.port().get());
            let from_client = |carries| FlowKey { remote: client, local_port: LISTEN_PORT, carries };
            let from = |remote| FlowKey { remote, local_port: port, carries: Arriving::Bare };
            let bound = allocation.channels().iter().filter(|channel| channel.is_bound());
            let bound: Vec<_> = bound.filter(|channel| channel.peer().address().ip() != RELAY_V4).collect();
            for channel in &bound {
                let (number, peer) = (channel.number(), channel.peer().address());
                ways.push((from_client(Arriving::Channel(number)), peer, Leaving::Bare));
                ways.push((from(peer), client, Leaving::Channel(number)));
            }
            for (_, peer) in self.remembered.iter().filter(|(id, _)| *id == allocation.id()) {
                ways.push((from_client(Arriving::Send(*peer)), *peer, Leaving::Bare));
                if bound.iter().all(|channel| channel.peer().address() != *peer) {
                    ways.push((from(*peer), client, Leaving::Data));
                }
            }
        }
        ways
    }

    /// Checks that no flow was installed over another with the same key.
    fn check_order(&mut self) {
        let mut keys: BTreeSet<FlowKey> = BTreeSet::new();
        for output in self.relay.recorded.iter().flatten() {
            match output {
                Output::InstallFlow(flow) => assert!(keys.insert(flow.key), "{flow:?} in place of another"),
                Output::RemoveFlow(key) => _ = keys.remove(key),
                _ => {}
            }
        }
    }
}

fn policy(rules: &[&str]) -> PeerPolicy {
    let addresses = RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) };
    PeerPolicy::of_relay_at(&addresses, rules.iter().map(|rule| rule.parse::<PeerRule>().unwrap()))
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn flows_are_those_of_channels_and_of_peers_that_are_permitted(
        limit in prop_oneof![2 => Just(1_000), 1 => 1_u32..6],
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let mut world = World::new(limit);
        for client in 0..CLIENTS {
            world.step(Op::Allocate(client));
        }
        for op in ops {
            world.step(op);
            world.check();
        }
        world.step(Op::Wait { seconds: 4_000, late: true });
        world.check();
        assert_eq!((world.relay.flows.len(), world.relay.server.allocation_count()), (0, 0));
    }
}
