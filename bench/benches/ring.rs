//! The ring between two workers: runs of 64 and one element at a time, on one thread and on two.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pelton::Timestamp;
use pelton::ring::ring;
use pelton_bench::yardstick::ring_throughput;
use std::time::Duration;

/// Pushes a run and takes it out again; the sum of what came out.
fn round_trips(runs: u64, run: usize) -> u64 {
    let (mut producer, mut consumer) = ring::<u64, u64, ()>(1024, 1);
    let (times, orders) = (vec![Timestamp::MIN; run], vec![0; run]);
    let mut values = vec![0; run];
    let mut sum = 0u64;
    for number in 0..runs {
        values.fill(number);
        producer.push(&times, &orders, &values);
        let mut left = run;
        while left > 0 {
            let elements = consumer.peek();
            let count = elements.len().min(left);
            sum = elements.values[..count].iter().fold(sum, |sum, value| sum.wrapping_add(*value));
            consumer.release(count);
            left -= count;
        }
    }
    sum
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for run in [64, 1] {
        assert_eq!(round_trips(1000, run), 499_500 * run as u64);
        group.throughput(Throughput::Elements(1000 * run as u64));
        group.bench_function(BenchmarkId::new("one thread", run), |bencher| {
            bencher.iter(|| round_trips(std::hint::black_box(1000), run));
        });
        // It checks what came out, every time.
        const EVENTS: u64 = 200_000;
        group.throughput(Throughput::Elements(EVENTS));
        group.bench_function(BenchmarkId::new("two threads", run), |bencher| {
            bencher.iter_custom(|rounds| {
                (0..rounds).map(|_| ring_throughput(EVENTS, run).unwrap_or_else(|error| panic!("{error}"))).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(ring_benches, benches);
criterion_main!(ring_benches);
