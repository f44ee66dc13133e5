//! What the state machine costs as the number of allocations grows.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use core_bench::{Relay, SCENARIOS, STRIDE};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// The last is more than one address has ports, and so lives in two state machines that have their turns alternately: see [`Relay`].
const SIZES: [usize; 3] = [10, 1_000, 100_000];

fn scenarios(criterion: &mut Criterion) {
    for size in SIZES {
        let mut relay = Relay::with_clients(size).unwrap();
        for scenario in SCENARIOS {
            criterion.benchmark_group(scenario.name).bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| (scenario.run)(&mut relay));
            });
        }
    }
}

/// What the processor's caches alone take of that: an array with a place for each allocation, of which one cache line is read, in
/// the order in which the clients have their turns. A look-up by 5-tuple reads two lines, one of the table and one of the
/// allocation.
fn memory(criterion: &mut Criterion) {
    /// As far apart as allocations are.
    const PLACE: usize = 192;
    for size in SIZES {
        let places = vec![[1_u8; PLACE]; size];
        let mut turn = 0;
        criterion.benchmark_group("memory: one cache line").bench_function(
            BenchmarkId::from_parameter(size),
            |bencher| {
                bencher.iter(|| {
                    turn = (turn + STRIDE) % size;
                    // Where the next one is depends on this one, as a look-up's steps do on each other.
                    turn += usize::from(black_box(places[turn][0])) - 1;
                });
            },
        );
    }
}

criterion_group!(benches, scenarios, memory);
criterion_main!(benches);
