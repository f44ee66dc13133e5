//! How much memory allocations take, that they give it back, and that the data path takes none.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use allocation::{
    AllocationId, Allocations, ChannelNumber, Credential, DEFAULT_PERMISSION_LIMIT, Families, FiveTuple, NewAllocation,
    PERMISSION_LIFETIME, PeerSocket, PortRange, PortRequest, Timestamp,
};
use allocation_counter::measure;

const T0: Timestamp = Timestamp::from_secs(1);
const MANY: u16 = 10_000;

fn five_tuple(client: u16) -> FiveTuple {
    FiveTuple { client: SocketAddr::from(([203, 0, 113, 1], client)).into(), server: [192, 0, 2, 1].into() }
}

fn channel(index: u16) -> ChannelNumber {
    ChannelNumber::new(0x4000 + index).unwrap()
}

fn peer(index: u16) -> PeerSocket {
    SocketAddr::from(([198, 51, 100, 1], 1 + index)).into()
}

fn allocate(allocations: &mut Allocations, client: u16) -> AllocationId {
    let id = allocate_only(allocations, client);
    allocations.bind_channel(T0, id, channel(0), peer(0)).unwrap();
    id
}

/// Without a channel.
fn allocate_only(allocations: &mut Allocations, client: u16) -> AllocationId {
    let username = format!("1892160000:{client:0>16}");
    let new = NewAllocation {
        five_tuple: five_tuple(client),
        credential: Credential::unsigned(&username),
        transaction_id: [0; 12],
        lifetime: Duration::from_secs(600),
        families: Families::Both,
        port: PortRequest::Any,
    };
    allocations.allocate(T0, new).unwrap().id()
}

/// Many allocations come and expire.
fn crowd(allocations: &mut Allocations) {
    for client in 0..MANY {
        allocate(allocations, client);
    }
    allocations.handle_timeout(T0 + Duration::from_secs(600));
    while allocations.poll_expired().is_some() {}
    assert!(allocations.is_empty());
}

#[test]
fn an_allocation_with_one_channel_takes_less_than_576_bytes_and_gives_it_back() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let mut ids = Vec::with_capacity(usize::from(MANY));
    let mut made = measure(|| ids.extend((0..MANY).map(|client| allocate_only(&mut allocations, client))));
    let idle = made.bytes_current / i64::from(MANY);
    made += measure(|| {
        for id in &ids {
            allocations.bind_channel(T0, *id, channel(0), peer(0)).unwrap();
        }
    });
    let each = made.bytes_current / i64::from(MANY);
    println!("an allocation takes {idle} bytes, with a channel {each}");
    assert!(each <= 576, "{each} bytes each");

    let removed = measure(|| ids.drain(..).for_each(|id| drop(allocations.remove(id))));
    let left = made.bytes_current + removed.bytes_current;
    assert!(left <= 1024, "{left} bytes are left of {}", made.bytes_current);
}

#[test]
fn an_expired_crowd_gives_its_memory_back() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let all = measure(|| crowd(&mut allocations));
    assert!(all.bytes_current <= 1024, "{} bytes are left of {}", all.bytes_current, all.bytes_max);
}

#[test]
fn allocating_and_removing_forever_does_not_grow_memory() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let mut rounds = |rounds: u16| {
        measure(|| {
            for _ in 0..rounds {
                let id = allocate(&mut allocations, 0);
                allocations.remove(id);
            }
        })
    };
    let few = rounds(10);
    let many = rounds(50_000);
    assert!(many.bytes_current <= 0, "{} bytes more", many.bytes_current);
    assert!(many.bytes_max <= few.bytes_max, "{} bytes at a time", many.bytes_max);
}

#[test]
fn a_channel_takes_less_than_150_bytes() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let id = allocate(&mut allocations, 0);
    let channels = 4000;
    let bound = measure(|| {
        for index in 1..=channels {
            allocations.bind_channel(T0, id, channel(index), peer(index)).unwrap();
        }
    });
    let each = bound.bytes_current / i64::from(channels);
    println!("each of {channels} channels of one allocation takes {each} bytes");
    assert!(each <= 150, "{each} bytes each");

    // Refreshed again and again, also after lapsing, they take what they took.
    let refreshed = measure(|| {
        for round in 1..=10_u16 {
            let now = T0 + Duration::from_secs(590) * u32::from(round);
            allocations.refresh(now, id, None, Duration::from_secs(3600)).unwrap();
            for index in 0..=channels {
                allocations.bind_channel(now, id, channel(index), peer(index)).unwrap();
            }
        }
    });
    assert!(refreshed.bytes_current <= bound.bytes_current / 10, "{} bytes more", refreshed.bytes_current);

    let removed = measure(|| drop(allocations.remove(id)));
    assert!(-removed.bytes_current >= bound.bytes_current + refreshed.bytes_current);
}

#[test]
fn a_permission_takes_less_than_150_bytes_and_gives_it_back() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let id = allocate(&mut allocations, 0);
    let address = |index: u16| IpAddr::from([198, 18, index.to_be_bytes()[0], index.to_be_bytes()[1]]);
    let all: BTreeSet<_> = (0..DEFAULT_PERMISSION_LIMIT).map(address).collect();
    let permitted = measure(|| _ = allocations.permit(T0, id, &all).unwrap());
    let each = permitted.bytes_current / i64::from(DEFAULT_PERMISSION_LIMIT);
    println!("each of {DEFAULT_PERMISSION_LIMIT} permissions of one allocation takes {each} bytes");
    assert!(each <= 150, "{each} bytes each");
    let few = all.iter().take(1).copied().collect();
    let refused = measure(|| assert!(allocations.permit(T0, id, &[address(DEFAULT_PERMISSION_LIMIT)].into()).is_err()));
    let refreshed = measure(|| (0..1_000).for_each(|_| _ = allocations.permit(T0, id, &few).unwrap()));
    assert_eq!((refused.bytes_current, refreshed.bytes_current), (0, 0));

    let ended = measure(|| {
        allocations.handle_timeout(T0 + PERMISSION_LIFETIME);
        while allocations.poll_expired().is_some() {}
    });
    let left = permitted.bytes_current + ended.bytes_current;
    assert!(left <= 1024, "{left} bytes are left of {}", permitted.bytes_current);
}

#[test]
fn relaying_takes_no_memory() {
    let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
    let ids: Vec<_> = (0..1000).map(|client| allocate(&mut allocations, client)).collect();
    // With an index of its own.
    for index in 1..100 {
        allocations.bind_channel(T0, ids[0], channel(index), peer(index)).unwrap();
    }
    let ports: Vec<_> = ids.iter().map(|id| allocations.get(*id).unwrap().port()).collect();
    let relayed = measure(|| {
        for (client, port) in (0..).zip(&ports) {
            assert!(allocations.channel_peer(&five_tuple(client), channel(0)).is_ok());
            assert!(allocations.channel_peer(&five_tuple(client), channel(0xFFF)).is_err());
            assert!(allocations.peer_channel(*port, peer(0)).is_ok());
            assert!(allocations.peer_channel(*port, peer(0xFFF)).is_err());
        }
        assert!(allocations.channel_peer(&five_tuple(0), channel(99)).is_ok());
        assert!(allocations.channel_peer(&five_tuple(u16::MAX), channel(0)).is_err());
        assert!(allocations.poll_timeout().is_some());
    });
    assert_eq!(relayed.count_total, 0);
}
