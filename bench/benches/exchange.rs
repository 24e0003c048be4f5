//! The exchange by key: trades through a keyed step that passes them on, in order, to a blackhole.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pelton::VecSource;
use pelton_bench::work;
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use std::time::Duration;

const EVENTS: u64 = 200_000;
const KEYS: u32 = 1_000;

fn benches(criterion: &mut Criterion) {
    let trades: Vec<_> = trades(&TradeOptions { events: EVENTS, keys: KEYS, ..TradeOptions::default() }).collect();
    let source = || VecSource::new(trades.clone(), 4096).with_symbols(symbol_names(KEYS));
    let mut group = criterion.benchmark_group("exchange");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(EVENTS));
    let mut expected = None;
    for workers in [1, 2] {
        let run = |source| {
            let (seen, _) = work::exchange_job(source, workers).unwrap_or_else(|error| panic!("{error}"));
            (seen.count(), seen.hash())
        };
        // Each trade once, in the same order on any number of workers.
        let found = run(source());
        assert_eq!(found.0, EVENTS);
        assert_eq!(found, *expected.get_or_insert(found));
        group.bench_function(BenchmarkId::new("workers", workers), |bencher| {
            bencher.iter_batched(source, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(exchange_benches, benches);
criterion_main!(exchange_benches);
