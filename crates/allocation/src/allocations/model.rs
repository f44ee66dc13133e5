//! Applies random operations and jumps in time to the real allocations and to a naive model, and compares the two after
//! each step.

mod reference;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::Allocations;
use crate::{
    Allocation, AllocationId, AllocationPort, AllocationsSnapshot, CHANNEL_BINDING_LIFETIME, Channel, ChannelNumber,
    Credential, Expired, Families, Family, Limits, NewAllocation, PERMISSION_LIFETIME, PORT_QUARANTINE, PortRange,
    PortRequest, RESERVATION_LIFETIME, RemovedFamily, ReservationToken, RetryPortError, Timestamp,
    testing::{T0, five_tuple, number, peer},
};
use reference::{Ended, Model};

/// Few, so that operations often concern the same client.
const CLIENTS: u16 = 7;
const NUMBERS: u16 = 12;
const PEERS: u16 = 12;
const USERNAMES: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Clone, Debug)]
enum Op {
    Allocate {
        client: u16,
        username: usize,
        port: Port,
        lifetime: Duration,
        families: Families,
    },
    RetryPort {
        allocation: prop::sample::Index,
    },
    Refresh {
        allocation: prop::sample::Index,
        only: Option<Family>,
        lifetime: Duration,
    },
    RemoveFamily {
        allocation: prop::sample::Index,
        family: Family,
    },
    Remove {
        allocation: prop::sample::Index,
    },
    Bind {
        allocation: prop::sample::Index,
        number: u16,
        peer: u16,
    },
    /// Permits this many consecutive peers, from this one on.
    Permit {
        allocation: prop::sample::Index,
        peer: u16,
        count: u16,
    },
    /// Binds so many channels that an index is built.
    BindAll {
        allocation: prop::sample::Index,
    },
    Wait {
        duration: Duration,
    },
    /// Moves to the next deadline, or to just before it.
    Wake {
        early: bool,
    },
    /// Goes on with a copy that is restored from a snapshot.
    Restore,
}

#[derive(Clone, Debug)]
enum Port {
    Any,
    Even,
    Pair,
    /// One of the tokens handed out so far, or a made-up one.
    Reserved(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let port = prop_oneof![
        3 => Just(Port::Any),
        1 => Just(Port::Even),
        2 => Just(Port::Pair),
        2 => any::<prop::sample::Index>().prop_map(Port::Reserved),
    ];
    let lifetimes =
        || prop::sample::select(vec![0, 1, 30, 60, 600, 601, 900, 3600, 36_000]).prop_map(Duration::from_secs);
    let family = || prop::sample::select(Family::ALL.to_vec());
    let families = prop_oneof![
        1 => Just(Families::Only(Family::V4)),
        1 => Just(Families::Only(Family::V6)),
        2 => Just(Families::Both),
    ];
    let allocation = || any::<prop::sample::Index>();
    let constants =
        vec![RESERVATION_LIFETIME, PORT_QUARANTINE, PERMISSION_LIFETIME, CHANNEL_BINDING_LIFETIME, Duration::ZERO];
    prop_oneof![
        6 => (0..CLIENTS, 0..USERNAMES.len(), port, lifetimes(), families).prop_map(
            |(client, username, port, lifetime, families)| Op::Allocate { client, username, port, lifetime, families }
        ),
        2 => allocation().prop_map(|allocation| Op::RetryPort { allocation }),
        3 => (allocation(), prop::option::of(family()), lifetimes())
            .prop_map(|(allocation, only, lifetime)| Op::Refresh { allocation, only, lifetime }),
        1 => (allocation(), family()).prop_map(|(allocation, family)| Op::RemoveFamily { allocation, family }),
        1 => allocation().prop_map(|allocation| Op::Remove { allocation }),
        16 => (allocation(), 0..NUMBERS, 0..PEERS, any::<bool>()).prop_map(|(allocation, number, peer, same)| {
            // Most binds are of one fixed pairing: otherwise hardly any would succeed once there are a few.
            Op::Bind { allocation, number, peer: if same { number } else { peer } }
        }),
        8 => (allocation(), 0..PEERS, 0..PEERS)
            .prop_map(|(allocation, peer, count)| Op::Permit { allocation, peer, count }),
        1 => allocation().prop_map(|allocation| Op::BindAll { allocation }),
        2 => prop_oneof![prop::sample::select(constants), (0..1_000_000_000_000_u64).prop_map(Duration::from_nanos)]
            .prop_map(|duration| Op::Wait { duration }),
        3 => any::<bool>().prop_map(|early| Op::Wake { early }),
        1 => Just(Op::Restore),
    ]
}

struct Pair {
    real: Allocations,
    model: Model,
    now: Timestamp,
    /// All ids ever issued: using one of a removed allocation must fail.
    ids: Vec<AllocationId>,
    tokens: Vec<ReservationToken>,
}

impl Pair {
    fn step(&mut self, op: Op) {
        match op {
            Op::Allocate { client, username, port, lifetime, families } => {
                let made_up = [ReservationToken::new([0; 8])];
                let port = match port {
                    Port::Any => PortRequest::Any,
                    Port::Even => PortRequest::Even,
                    Port::Pair => PortRequest::EvenAndReserveNext,
                    Port::Reserved(index) => {
                        PortRequest::Reserved(*index.get(if self.tokens.is_empty() { &made_up } else { &self.tokens }))
                    }
                };
                let [high, low] = u16::try_from(self.ids.len()).unwrap().to_be_bytes();
                let new = NewAllocation {
                    five_tuple: five_tuple(client),
                    credential: Credential::unsigned(USERNAMES[username]),
                    transaction_id: [high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                    lifetime,
                    families,
                    port,
                };
                let made = self.real.allocate(self.now, new);
                if let Ok(allocation) = made {
                    assert!(!self.ids.contains(&allocation.id()), "an id was used twice");
                    assert!(self.ids.iter().all(|id| *id < allocation.id()), "ids sort by creation");
                    self.ids.push(allocation.id());
                    self.tokens.extend(allocation.reservation());
                }
                self.model.allocate(self.now, new, made);
            }
            Op::RetryPort { allocation } => {
                let Some(id) = self.pick(&allocation) else { return };
                let result = self.real.retry_port(self.now, id);
                let reservation = self.real.get(id).and_then(Allocation::reservation);
                self.tokens.extend(reservation);
                self.model.retry_port(self.now, id, result.as_ref().map(|port| (*port, reservation)));
                if let Err(RetryPortError::NoFreePort(gone)) = result {
                    assert_eq!(gone.id(), id);
                }
            }
            Op::Refresh { allocation, only, lifetime } => {
                let Some(id) = self.pick(&allocation) else { return };
                let (real, model) = (&mut self.real, &mut self.model);
                assert_eq!(real.refresh(self.now, id, only, lifetime), model.refresh(self.now, id, only, lifetime));
            }
            Op::RemoveFamily { allocation, family } => {
                let Some(id) = self.pick(&allocation) else { return };
                let removed = match self.real.remove_family(id, family) {
                    None => None,
                    Some(RemovedFamily::Allocation(allocation)) => {
                        assert_eq!(allocation.id(), id);
                        Some(None)
                    }
                    Some(RemovedFamily::Family(channels)) => Some(Some(numbers(&channels))),
                };
                assert_eq!(removed, self.model.remove_family(id, family));
            }
            Op::Remove { allocation } => {
                let Some(id) = self.pick(&allocation) else { return };
                let removed = self.real.remove(id);
                assert!(removed.as_ref().is_none_or(|removed| removed.id() == id));
                assert_eq!(removed.is_some(), self.model.remove(id));
            }
            Op::Bind { allocation, number, peer } => {
                let Some(id) = self.pick(&allocation) else { return };
                self.bind(id, number, peer);
            }
            Op::Permit { allocation, peer, count } => {
                let Some(id) = self.pick(&allocation) else { return };
                let addresses = (peer..peer + count).map(address).collect();
                assert_eq!(self.real.permit(self.now, id, &addresses), self.model.permit(self.now, id, &addresses));
            }
            Op::BindAll { allocation } => {
                let Some(id) = self.pick(&allocation) else { return };
                for both in 0..NUMBERS.min(PEERS) {
                    self.bind(id, both, both);
                }
            }
            Op::Restore => {
                let bytes = postcard::to_allocvec(&self.real.snapshot()).unwrap();
                let snapshot: AllocationsSnapshot = postcard::from_bytes(&bytes).unwrap();
                self.real = snapshot.restore(self.model.limits).unwrap();
            }
            Op::Wait { duration } => self.advance(self.now + duration),
            Op::Wake { early } => {
                let Some(at) = self.real.poll_timeout() else { return };
                let early = Timestamp::from_nanos(at.as_nanos() - u64::from(early));
                self.advance(early.max(self.now));
            }
        }
        self.compare();
    }

    fn bind(&mut self, id: AllocationId, channel: u16, address: u16) {
        let (channel, address) = (number(channel), peer(address));
        assert_eq!(
            self.real.bind_channel(self.now, id, channel, address),
            self.model.bind_channel(self.now, id, channel, address)
        );
    }

    fn advance(&mut self, to: Timestamp) {
        self.now = to;
        self.real.handle_timeout(to);
        self.model.handle_timeout(to);
        assert!(self.real.poll_timeout().is_none_or(|next| next > to), "what was due is done");
    }

    fn pick(&self, index: &prop::sample::Index) -> Option<AllocationId> {
        // Mostly one of the newest, which are the likeliest to be alive.
        let recent = &self.ids[self.ids.len().saturating_sub(6)..];
        (!recent.is_empty()).then(|| *index.get(recent))
    }

    fn compare(&mut self) {
        let mut ended = Vec::new();
        while let Some(expired) = self.real.poll_expired() {
            ended.push(match expired {
                Expired::Allocation(allocation) => Ended::Allocation(allocation.id(), None),
                Expired::Family { id, family, channels } => Ended::Allocation(id, Some((family, numbers(&channels)))),
                Expired::PermissionExpired { id, address } => {
                    // The event does not tell the position, which matters for the order only.
                    let position = self.model.ended.get(ended.len()).and_then(|ended| match ended {
                        Ended::Permission(_, position, _) => Some(*position),
                        _ => None,
                    });
                    Ended::Permission(id, position.unwrap_or_default(), address)
                }
                Expired::ChannelExpired { id, channel, peer } => Ended::Channel(id, channel, peer),
                Expired::ChannelReleased { id, channel, peer } => Ended::Reserved(id, channel, peer),
                Expired::Wait(number) => panic!("nobody waits for {number}"),
            });
        }
        assert_eq!(ended, std::mem::take(&mut self.model.ended));
        assert_eq!(self.real.poll_timeout(), self.model.poll_timeout());
        assert_eq!(self.real.len(), self.model.allocations.len());
        assert_eq!(self.real.free_ports(), self.model.free_ports().count());

        for id in &self.ids {
            self.model.assert_same(*id, self.real.get(*id));
        }
        for client in 0..CLIENTS {
            let five_tuple = five_tuple(client);
            self.model.assert_same_id(|other| other.five_tuple == five_tuple, self.real.by_five_tuple(&five_tuple));
            for address in (0..2 * PEERS).map(address) {
                let found = self.real.permitted_to_send(&five_tuple, address);
                assert_eq!(found.map(Allocation::id), self.model.permitted_to_send(five_tuple, address));
            }
            for channel in (0..NUMBERS).map(number) {
                let found = self.real.channel_peer(&five_tuple, channel);
                assert_eq!(found.map(|(found, peer)| (found.id(), peer)), self.model.channel_peer(five_tuple, channel));
            }
        }
        let beyond = [self.model.ports.lowest() - 1, self.model.ports.highest() + 1].map(AllocationPort::new);
        for port in self.model.ports.iter().chain(beyond) {
            self.model.assert_same_id(|other| other.port == port, self.real.by_port(port));
            for address in (0..PEERS).map(peer) {
                let found = self.real.peer_channel(port, address);
                assert_eq!(found.map(|(found, number)| (found.id(), number)), self.model.peer_channel(port, address));
            }
            let elsewhere = (0..2 * PEERS).map(|both| SocketAddr::new(address(both), 9).into());
            for peer in (0..PEERS).map(peer).chain(elsewhere) {
                let found = self.real.to_client(port, peer);
                assert_eq!(found.map(|(found, how)| (found.id(), how)), self.model.to_client(port, peer));
            }
        }
        for username in USERNAMES {
            let ids: Vec<_> = self.model.of_username(username).collect();
            assert_eq!(self.real.count_of_user(username), ids.len());
            assert!(self.real.of_user(username).map(Allocation::id).eq(ids));
        }
        self.real.assert_consistent();
    }
}

/// The address of a peer of either family, a different one for each number.
fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if number.is_multiple_of(2) {
        IpAddr::from([198, 51, high, low])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number])
    }
}

/// The numbers of channels, in order.
fn numbers(channels: &[Channel]) -> Vec<ChannelNumber> {
    let mut numbers: Vec<_> = channels.iter().map(Channel::number).collect();
    numbers.sort_unstable();
    numbers
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn behaves_as_the_naive_model(
        lowest in 2_u16..5,
        ports in 0_u16..10,
        seed in any::<[u8; 32]>(),
        (channels_per_allocation, channels) in (prop::sample::select(vec![0, 2, 10, 4096]), prop::sample::select(vec![3, 15, u32::MAX])),
        (permissions_per_allocation, permissions) in (prop::sample::select(vec![0, 3, 4096]), prop::sample::select(vec![4, 9, u32::MAX])),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let ports = PortRange::new(lowest, lowest + ports).unwrap();
        let limits = Limits { channels_per_allocation, permissions_per_allocation, channels, permissions };
        let mut pair = Pair {
            real: Allocations::new(ports, seed).with_limits(limits),
            model: Model::new(ports, limits),
            now: T0,
            ids: Vec::new(),
            tokens: Vec::new(),
        };
        for op in ops {
            pair.step(op);
        }
        for id in pair.ids.clone() {
            assert_eq!(pair.real.remove(id).is_some(), pair.model.remove(id));
            pair.compare();
        }
        pair.advance(pair.now + RESERVATION_LIFETIME.max(PORT_QUARANTINE));
        pair.real.assert_empty();
    }
}
