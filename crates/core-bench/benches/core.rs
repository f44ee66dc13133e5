//! What the state machine costs as the number of allocations grows.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use core_bench::{Relay, SCENARIOS};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [10, 1_000, 60_000];

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

criterion_group!(benches, scenarios);
criterion_main!(benches);
