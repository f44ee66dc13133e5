//! The random operations of the model of several shards.

use proptest::prelude::*;
use relay_server::Family;

use super::{CLIENTS, SHARDS};
use crate::support::Shards;

#[derive(Clone, Debug)]
pub(super) enum Op {
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
    /// A client permits the relay's address of a family, and with it all clients of the relay.
    Permit {
        client: usize,
        family: Family,
    },
    PermitEachOther {
        clients: (usize, usize),
        family: Family,
    },
    RelayFailed {
        client: usize,
    },
    Wait {
        seconds: u64,
    },
    /// Time passes without any messages.
    Stall {
        millis: u64,
    },
    /// For the next socket, another program holds the port.
    PortHeld {
        shard: usize,
    },
    /// A shard's server is replaced with one restored from a snapshot.
    Restore {
        shard: usize,
    },
    Deliver {
        from: usize,
        to: usize,
    },
    DeliverAll,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AllocateKind {
    V4,
    V6,
    Both,
    /// With the next port reserved.
    Pair,
    /// A reserved port, counted from the latest token.
    Reserved(usize),
}

pub(super) fn any() -> impl Strategy<Value = Op> {
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
        10 => ((client.clone(), client.clone()), number, family.clone())
            .prop_map(|(clients, number, family)| Op::BindEachOther { clients, number, family }),
        2 => (client.clone(), family.clone()).prop_map(|(client, family)| Op::Permit { client, family }),
        5 => ((client.clone(), client.clone()), family)
            .prop_map(|(clients, family)| Op::PermitEachOther { clients, family }),
        1 => client.prop_map(|client| Op::RelayFailed { client }),
        3 => prop_oneof![Just(1_u64), Just(31), Just(300), Just(599), Just(600)].prop_map(|seconds| Op::Wait { seconds }),
        1 => prop_oneof![Just(100_u64), Just(250), Just(1000)].prop_map(|millis| Op::Stall { millis }),
        1 => (0..SHARDS).prop_map(|shard| Op::PortHeld { shard }),
        3 => (0..SHARDS).prop_map(|shard| Op::Restore { shard }),
        10 => (0..SHARDS, 0..SHARDS).prop_map(|(from, to)| Op::Deliver { from, to }),
        2 => Just(Op::DeliverAll),
    ]
}
