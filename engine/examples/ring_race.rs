//! Two threads, one ring: moves N million events with marks and checks every one of them.
//!
//! Made to run under a thread sanitizer, which sees the real instructions where the model checker
//! sees a model. `cargo run --release --example ring_race [millions, 2] [capacity, 256]`

use pelton::Timestamp;
use pelton::ring::{Consumer, Producer, ring};
use std::process::ExitCode;
use std::thread;

/// An order as wide as those of a merge.
type Order = [u64; 7];

/// Events between two marks.
const EVERY: u64 = 1000;
/// The longest push or claim.
const BATCH: u64 = 100;

fn order(i: u64) -> Order {
    [i, !i, i ^ 1, i ^ 2, i ^ 3, i ^ 4, i ^ 5]
}

/// The same event at any time: its value depends on its number alone.
fn value(i: u64) -> u32 {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32
}

fn produce(producer: &mut Producer<Order, u32, u64>, count: u64) -> u64 {
    let (mut times, mut orders, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut next, mut sum, mut marks) = (0, 0u64, 0);
    while next < count {
        // Once, also where no event fits after it yet.
        if next == marks * EVERY {
            while producer.push_mark(next).is_err() {
                thread::yield_now();
            }
            marks += 1;
        }
        let block_end = (next / EVERY + 1) * EVERY;
        let numbers = next..(next + 1 + next % BATCH).min(block_end).min(count);
        // By copy and in place, in turns.
        let pushed = if next.is_multiple_of(2) {
            times.clear();
            orders.clear();
            values.clear();
            times.extend(numbers.clone().map(|i| Timestamp::from_nanos(i as i64)));
            orders.extend(numbers.clone().map(order));
            values.extend(numbers.map(value));
            producer.push(&times, &orders, &values)
        } else {
            let mut claim = producer.claim((numbers.end - numbers.start) as usize);
            let len = claim.len();
            for (slot, i) in numbers.take(len).enumerate() {
                claim.set(slot, Timestamp::from_nanos(i as i64), order(i), value(i));
            }
            claim.commit(len);
            len
        };
        if pushed == 0 {
            thread::yield_now();
        }
        for i in next..next + pushed as u64 {
            sum = sum.wrapping_add(u64::from(value(i)));
        }
        next += pushed as u64;
    }
    sum
}

/// The sum of the values, or what was wrong.
fn consume(consumer: &mut Consumer<Order, u32, u64>, count: u64) -> Result<u64, String> {
    let (mut next, mut sum, mut marks) = (0, 0u64, 0);
    while next < count {
        if let Some(mark) = consumer.next_mark() {
            if mark != next || mark != marks * EVERY {
                return Err(format!("mark {mark} stands at event {next}, after {marks} marks"));
            }
            marks += 1;
        }
        let run = consumer.peek();
        if run.is_empty() {
            if consumer.is_finished() {
                return Err(format!("the producer went after event {next}"));
            }
            thread::yield_now();
            continue;
        }
        // Sometimes less than all, so that the two ends meet in every phase.
        let len = run.len().min(1 + (next % 130) as usize);
        for slot in 0..len {
            let i = next + slot as u64;
            let time = run.times[slot].as_nanos() as u64;
            if time != i || run.orders[slot] != order(i) || run.values[slot] != value(i) || marks != i / EVERY + 1 {
                return Err(format!("event {time} at {i}, after {marks} marks"));
            }
            sum = sum.wrapping_add(u64::from(run.values[slot]));
        }
        consumer.release(len);
        next += len as u64;
    }
    Ok(sum)
}

fn run(millions: u64, capacity: usize) -> Result<String, String> {
    let count = millions * 1_000_000;
    let (mut producer, mut consumer) = ring(capacity, 4);
    let gauge = producer.gauge();
    // The ends come back, so that the memory is freed after both threads were joined: the sanitizer
    // does not understand the fence in the standard library's reference counts.
    let writer = thread::spawn(move || (produce(&mut producer, count), producer));
    let reader = thread::spawn(move || (consume(&mut consumer, count), consumer));
    let (seen, mut consumer) = reader.join().map_err(|_| "the consumer panicked")?;
    // Before the producer is joined: after a wrong event nobody reads on, and it would wait for ever.
    let seen = seen?;
    let (sum, producer) = writer.join().map_err(|_| "the producer panicked")?;
    drop(producer);
    if !consumer.is_finished() || gauge.len() != 0 {
        return Err(format!("{} events are left", gauge.len()));
    }
    if sum != seen {
        return Err(format!("sum {seen}, expected {sum}"));
    }
    Ok(format!("{count} events and {} marks through a ring of {}: sum {sum}", count / EVERY, gauge.capacity()))
}

fn argument(position: usize, default: u64) -> Result<u64, String> {
    match std::env::args().nth(position) {
        Some(text) => text.parse().map_err(|error| format!("argument {text:?}: {error}")),
        None => Ok(default),
    }
}

fn main() -> ExitCode {
    let outcome = argument(1, 2).and_then(|millions| run(millions, argument(2, 256)? as usize));
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ring_race: {error}");
            ExitCode::FAILURE
        }
    }
}
