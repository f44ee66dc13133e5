//! The cost of turning one direction of a channel into an entry of the kernel's map: its key and its route.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, net::SocketAddr};

use criterion::{Criterion, criterion_group, criterion_main};
use relay_ebpf::{Encapsulation, Flow};

const CHANNEL: u16 = 0x4000;

fn address(is_v4: bool, v4: &str, v6: &str, port: u16) -> SocketAddr {
    SocketAddr::new(if is_v4 { v4 } else { v6 }.parse().unwrap(), port)
}

/// The flow from a client to its peer.
fn up(client_is_v4: bool, peer_is_v4: bool) -> Flow {
    Flow {
        remote: address(client_is_v4, "192.0.2.1", "2001:db8:1::1", 40_000),
        local: address(client_is_v4, "203.0.113.9", "2001:db8:3::9", 3_478),
        arrives_in: Encapsulation::Channel(CHANNEL),
        source: address(peer_is_v4, "203.0.113.9", "2001:db8:3::9", 50_000),
        destination: address(peer_is_v4, "198.51.100.2", "2001:db8:2::2", 5_555),
        leaves_in: Encapsulation::Bare,
    }
}

/// The flow from the peer to the client.
fn down(client_is_v4: bool, peer_is_v4: bool) -> Flow {
    let up = up(client_is_v4, peer_is_v4);
    Flow {
        remote: up.destination,
        local: up.source,
        arrives_in: Encapsulation::Bare,
        source: up.local,
        destination: up.remote,
        leaves_in: up.arrives_in,
    }
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let families =
        [("v4 - v4", true, true), ("v4 - v6", true, false), ("v6 - v4", false, true), ("v6 - v6", false, false)];
    for (name, client_is_v4, peer_is_v4) in families {
        for (direction, flow) in [("up", up(client_is_v4, peer_is_v4)), ("down", down(client_is_v4, peer_is_v4))] {
            group.bench_function(format!("{name}, {direction}"), |bencher| {
                bencher.iter(|| black_box(&flow).route(black_box(7)).unwrap());
            });
        }
    }
    // The cost of refusing an invalid flow.
    let refused = Flow { destination: "224.0.0.1:5555".parse().unwrap(), ..up(true, true) };
    assert!(refused.route(7).is_err());
    group.bench_function("refused", |bencher| bencher.iter(|| black_box(&refused).route(black_box(7)).is_err()));
}

fn keys(criterion: &mut Criterion) {
    let flow = up(true, true);
    criterion.bench_function("key", |bencher| bencher.iter(|| black_box(&flow).key()));
}

criterion_group!(benches, routes, keys);
criterion_main!(benches);
