//! The keyed tumbling window over trades in memory, next to the loop written by hand.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pelton::VecSource;
use pelton_bench::{work, yardstick};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::{Trade, blackhole};
use std::time::Duration;

const EVENTS: u64 = 500_000;
const WINDOW: Duration = Duration::from_millis(100);

fn by_hand(source: VecSource<Trade>) -> (u64, u64) {
    let mut sink = blackhole();
    yardstick::keyed_window(&source, WINDOW, &mut sink).unwrap_or_else(|error| panic!("{error}"));
    (sink.seen().count(), sink.seen().hash())
}

fn by_job(source: VecSource<Trade>) -> (u64, u64) {
    let (seen, _) = work::window_job(source, WINDOW, 1).unwrap_or_else(|error| panic!("{error}"));
    (seen.count(), seen.hash())
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(EVENTS));
    for keys in [100, 10_000] {
        let trades: Vec<_> = trades(&TradeOptions { events: EVENTS, keys, ..TradeOptions::default() }).collect();
        let source = || VecSource::new(trades.clone(), 4096).with_symbols(symbol_names(keys));
        assert_eq!(by_job(source()), by_hand(source()));
        group.bench_function(BenchmarkId::new("by hand", keys), |bencher| {
            bencher.iter_batched(source, by_hand, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("job, 1 worker", keys), |bencher| {
            bencher.iter_batched(source, by_job, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(window_benches, benches);
criterion_main!(window_benches);
