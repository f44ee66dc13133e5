//! What the data path, timers and changes cost as the number of allocations grows.
//!
//! A relay has at most 65,535 ports, so no more allocations than that are live.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, net::SocketAddr, time::Duration};

use allocation::{
    AllocationId, AllocationPort, Allocations, AllocationsSnapshot, ChannelNumber, Credential, Families, FiveTuple,
    Limits, NewAllocation, PeerSocket, PortRange, PortRequest, Timestamp,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

const SIZES: [u16; 4] = [10, 1_000, 16_384, 65_000];
const T0: Timestamp = Timestamp::from_secs(1);

struct Client {
    five_tuple: FiveTuple,
    id: AllocationId,
    port: AllocationPort,
    channel: ChannelNumber,
    peer: PeerSocket,
}

fn five_tuple(index: u16) -> FiveTuple {
    let [high, low] = index.to_be_bytes();
    FiveTuple { client: SocketAddr::from(([203, 0, high, low], 40_000)).into(), server: [192, 0, 2, 1].into() }
}

fn allocate(allocations: &mut Allocations, index: u16) -> (AllocationId, AllocationPort) {
    let username = format!("1892160000:{index}");
    let new = NewAllocation {
        five_tuple: five_tuple(index),
        credential: Credential::unsigned(&username),
        transaction_id: [0; 12],
        lifetime: Duration::from_secs(600),
        families: Families::Both,
        port: PortRequest::Any,
    };
    let allocation = allocations.allocate(T0, new).unwrap();
    (allocation.id(), allocation.port())
}

/// `size` allocations with one channel each, and their clients in random order.
fn populate(size: u16) -> (Allocations, Vec<Client>) {
    let mut allocations = Allocations::new(PortRange::new(1, u16::MAX).unwrap(), [1; 32]);
    let mut clients = Vec::new();
    for index in 0..size {
        let (id, port) = allocate(&mut allocations, index);
        let channel = ChannelNumber::new(0x4000 + index % 0x1000).unwrap();
        let peer = PeerSocket::from(SocketAddr::from(([198, 51, 100, 1], index + 1)));
        allocations.bind_channel(T0, id, channel, peer).unwrap();
        clients.push(Client { five_tuple: five_tuple(index), id, port, channel, peer });
    }
    clients.shuffle(&mut ChaCha20Rng::from_seed([2; 32]));
    (allocations, clients)
}

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look_up");
    for size in SIZES {
        let (allocations, clients) = populate(size);
        group.bench_function(BenchmarkId::new("channel_peer", size), |bencher| {
            let mut clients = clients.iter().cycle();
            bencher.iter(|| {
                let client = clients.next().unwrap();
                let (allocation, peer) = allocations.channel_peer(&client.five_tuple, client.channel).unwrap();
                black_box((allocation.port(), peer))
            });
        });
        group.bench_function(BenchmarkId::new("peer_channel", size), |bencher| {
            let mut clients = clients.iter().cycle();
            bencher.iter(|| {
                let client = clients.next().unwrap();
                let (allocation, channel) = allocations.peer_channel(client.port, client.peer).unwrap();
                // In parts, as it is forwarded: to copy the whole of it costs more than to find it.
                let FiveTuple { client, server } = allocation.five_tuple();
                (black_box(client), black_box(server), channel)
            });
        });
        group.bench_function(BenchmarkId::new("stranger", size), |bencher| {
            let stranger = FiveTuple { server: [192, 0, 2, 2].into(), ..five_tuple(0) };
            bencher.iter(|| black_box(allocations.channel_peer(black_box(&stranger), ChannelNumber::MIN).is_err()));
        });
        group.bench_function(BenchmarkId::new("poll_timeout", size), |bencher| {
            bencher.iter(|| black_box(&allocations).poll_timeout());
        });
    }
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    for size in SIZES {
        let (mut allocations, clients) = populate(size);
        let mut now = T0;
        group.bench_function(BenchmarkId::new("refresh", size), |bencher| {
            let mut clients = clients.iter().cycle();
            bencher.iter(|| {
                let client = clients.next().unwrap();
                // Time goes on, or there would be nothing to do; too slowly for anything to expire.
                now = now + Duration::from_nanos(1);
                allocations.refresh(now, client.id, None, Duration::from_secs(600)).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("bind_channel", size), |bencher| {
            let mut clients = clients.iter().cycle();
            bencher.iter(|| {
                let client = clients.next().unwrap();
                now = now + Duration::from_nanos(1);
                allocations.bind_channel(now, client.id, client.channel, client.peer).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("allocate_bind_remove", size), |bencher| {
            bencher.iter(|| {
                let (id, _) = allocate(&mut allocations, size);
                allocations.bind_channel(T0, id, clients[0].channel, clients[0].peer).unwrap();
                allocations.remove(id)
            });
        });
    }
}

/// What a handover to another process takes of the time in which nothing is relayed.
fn snapshots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    for size in SIZES {
        let (allocations, _) = populate(size);
        group.bench_function(BenchmarkId::new("take", size), |bencher| {
            bencher.iter(|| postcard::to_allocvec(&allocations.snapshot()).unwrap());
        });
        let bytes = postcard::to_allocvec(&allocations.snapshot()).unwrap();
        group.bench_function(BenchmarkId::new("restore", size), |bencher| {
            bencher.iter_batched(
                || bytes.as_slice(),
                |bytes| {
                    let snapshot: AllocationsSnapshot = postcard::from_bytes(bytes).unwrap();
                    snapshot.restore(Limits::default()).unwrap()
                },
                BatchSize::PerIteration,
            );
        });
    }
}

/// All allocations and their channels end in one call, as when the clock was stopped meanwhile; the rate says what one of them takes.
fn expiry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expire_all");
    // The fewest that criterion does: populating takes longer than what is measured.
    group.sample_size(10);
    for size in [10, 1_000, 60_000] {
        group.throughput(Throughput::Elements(u64::from(size)));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || populate(size).0,
                |mut allocations| {
                    allocations.handle_timeout(T0 + Duration::from_secs(600));
                    allocations
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, look_ups, changes, snapshots, expiry);
criterion_main!(benches);
