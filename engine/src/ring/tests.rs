//! The ring by hand and between two threads; by chance in `chance`.

mod chance;

use super::protocol::Sound;
use super::spsc::build;
use super::{Consumer, Producer, ring};
use crate::Timestamp;
use std::sync::mpsc;
use std::time::Duration;

type Ends = (Producer<u64, u32, u64>, Consumer<u64, u32, u64>);

/// Element number `i`, the same in all columns.
fn columns(numbers: std::ops::Range<u64>) -> (Vec<Timestamp>, Vec<u64>, Vec<u32>) {
    let times = numbers.clone().map(|i| Timestamp::from_nanos(i as i64)).collect();
    (times, numbers.clone().map(|i| !i).collect(), numbers.map(|i| i as u32 ^ 0x5555_5555).collect())
}

fn push(producer: &mut Producer<u64, u32, u64>, numbers: std::ops::Range<u64>) -> usize {
    let (times, orders, values) = columns(numbers);
    producer.push(&times, &orders, &values)
}

/// The numbers of the run that can be read, whose columns must agree.
fn peek(consumer: &mut Consumer<u64, u32, u64>) -> Vec<u64> {
    let run = consumer.peek();
    assert_eq!((run.orders.len(), run.values.len()), (run.len(), run.len()));
    for i in 0..run.len() {
        let number = run.times[i].as_nanos() as u64;
        assert_eq!((run.orders[i], run.values[i]), (!number, number as u32 ^ 0x5555_5555));
    }
    run.times.iter().map(|time| time.as_nanos() as u64).collect()
}

fn take(consumer: &mut Consumer<u64, u32, u64>, most: usize) -> Vec<u64> {
    let mut taken = peek(consumer);
    taken.truncate(most);
    consumer.release(taken.len());
    taken
}

#[test]
fn capacities_are_powers_of_two_and_at_least_one() {
    for (asked, got) in [(0, 1), (1, 1), (2, 2), (3, 4), (1000, 1024)] {
        let (mut producer, consumer): Ends = ring(asked, asked);
        assert_eq!((producer.capacity(), consumer.capacity(), producer.room(1)), (got, got, got));
        assert!((0..got as u64).all(|i| producer.push_mark(i).is_ok()));
        assert_eq!(producer.push_mark(7), Err(7));
    }
}

#[test]
fn what_can_be_taken_is_told_also_where_an_earlier_look_has_seen_it() {
    let (mut producer, mut consumer): Ends = ring(4, 4);
    assert!(!consumer.has_any());
    // A look for data that finds none sees the mark behind which it stands.
    producer.push_mark(1).unwrap();
    assert!(consumer.peek().is_empty());
    assert!(consumer.has_any());
    assert_eq!(consumer.next_mark(), Some(1));
    assert!(!consumer.has_any());
    push(&mut producer, 0..2);
    producer.push_mark(2).unwrap();
    push(&mut producer, 2..3);
    for (taken, mark) in [(vec![0, 1], Some(2)), (vec![2], None)] {
        assert!(consumer.has_any() && consumer.has_any());
        assert_eq!(take(&mut consumer, 9), taken);
        assert_eq!((consumer.has_any(), consumer.next_mark()), (mark.is_some(), mark));
    }
    assert!(!consumer.has_any());
}

#[test]
fn elements_wrap_around_in_every_phase_and_at_the_end_of_numbers() {
    for capacity in [1, 2, 4, 8] {
        for start in [0, 3, usize::MAX - 5, usize::MAX, usize::MAX / 2] {
            let (mut producer, mut consumer): Ends = build::<_, _, _, Sound>(capacity, 1, start);
            let (mut pushed, mut taken) = (0, 0);
            for round in 0..40 {
                let wanted = round % (capacity as u64 + 2);
                let fits = capacity as u64 - (pushed - taken);
                assert_eq!(producer.len() as u64, pushed - taken);
                assert_eq!(push(&mut producer, pushed..pushed + wanted) as u64, wanted.min(fits));
                pushed += wanted.min(fits);
                let most = round as usize % 3;
                let got = take(&mut consumer, most);
                assert_eq!(got, (taken..taken + got.len() as u64).collect::<Vec<_>>());
                assert!(got.len() == most || got.len() as u64 <= pushed - taken);
                taken += got.len() as u64;
            }
            while taken < pushed {
                let got = take(&mut consumer, usize::MAX);
                assert_eq!(got, (taken..taken + got.len() as u64).collect::<Vec<_>>());
                assert_ne!(got.len(), 0);
                taken += got.len() as u64;
            }
            assert_eq!((producer.room(capacity), consumer.len()), (capacity, 0));
        }
    }
}

#[test]
fn room_asks_the_other_side_only_when_too_little_is_known() {
    let (mut producer, mut consumer): Ends = ring(4, 1);
    assert_eq!(push(&mut producer, 0..3), 3);
    assert_eq!(take(&mut consumer, 3), [0, 1, 2]);
    assert_eq!(producer.room(1), 1);
    assert_eq!(producer.room(2), 4);
}

#[test]
fn a_run_grows_by_a_look_and_not_by_itself() {
    let (mut producer, mut consumer): Ends = ring(8, 8);
    push(&mut producer, 0..2);
    assert_eq!(peek(&mut consumer), [0, 1]);
    push(&mut producer, 2..4);
    assert_eq!(peek(&mut consumer), [0, 1]);
    consumer.refresh();
    assert_eq!(peek(&mut consumer), [0, 1, 2, 3]);
    producer.push_mark(9).unwrap();
    push(&mut producer, 4..5);
    consumer.refresh();
    assert_eq!(take(&mut consumer, 9), [0, 1, 2, 3]);
    assert_eq!(peek(&mut consumer), []);
    assert_eq!(consumer.next_mark(), Some(9));
    assert_eq!(take(&mut consumer, 9), [4]);
}

#[test]
fn a_claim_publishes_what_is_committed_and_else_nothing() {
    let (mut producer, mut consumer): Ends = ring(4, 1);
    push(&mut producer, 0..3);
    take(&mut consumer, 3);
    // Across the wrap, backwards.
    let (times, orders, values) = columns(3..7);
    let mut claim = producer.claim(9);
    assert_eq!((claim.len(), claim.is_empty()), (4, false));
    for i in (0..4).rev() {
        claim.set(i, times[i], orders[i], values[i]);
    }
    drop(claim);
    assert_eq!((peek(&mut consumer), producer.room(4)), (vec![], 4));
    let mut claim = producer.claim(4);
    for i in 0..3 {
        claim.set(i, times[i], orders[i], values[i]);
    }
    claim.commit(2);
    assert_eq!(take(&mut consumer, 9), [3]);
    assert_eq!(take(&mut consumer, 9), [4]);
    assert_eq!(take(&mut consumer, 9), []);
    producer.claim(2).commit(0);
    assert_eq!(take(&mut consumer, 9), []);
}

#[test]
fn a_filled_claim_publishes_all_of_it_also_across_the_wrap() {
    for start in [0, 1, 3, usize::MAX - 1] {
        let (mut producer, mut consumer): Ends = build::<_, _, _, Sound>(4, 1, start);
        for (from, wanted) in [(0, 3), (3, 9), (7, 1), (8, 0), (8, 4)] {
            let claim = producer.claim(wanted);
            let len = claim.len() as u64;
            assert_eq!(len, wanted.min(4) as u64);
            let (times, orders, values) = columns(from..from + len);
            claim.fill(|i| (times[i], orders[i], values[i]));
            assert_eq!(take(&mut consumer, 9).len() + take(&mut consumer, 9).len(), len as usize);
        }
    }
}

#[test]
fn a_mark_stands_where_it_was_pushed_at_every_position() {
    for start in [0, 1, 2, 3, usize::MAX - 1] {
        for before in 0..=4 {
            let (mut producer, mut consumer): Ends = build::<_, _, _, Sound>(4, 2, start);
            assert_eq!(push(&mut producer, 0..before), before as usize);
            producer.push_mark(70).unwrap();
            producer.push_mark(71).unwrap();
            assert_eq!(producer.push_mark(72), Err(72));
            assert_eq!(push(&mut producer, before..4), 4 - before as usize);
            let mut seen = Vec::new();
            while seen.len() < before as usize {
                assert_eq!(consumer.next_mark(), None);
                seen.extend(take(&mut consumer, usize::MAX));
            }
            assert_eq!(seen, (0..before).collect::<Vec<_>>());
            assert_eq!(peek(&mut consumer), []);
            assert_eq!((consumer.peek_mark(), consumer.next_mark()), (Some(70), Some(70)));
            assert_eq!(peek(&mut consumer), []);
            assert_eq!((consumer.next_mark(), consumer.next_mark()), (Some(71), None));
            producer.push_mark(72).unwrap();
            while seen.len() < 4 {
                assert_eq!(consumer.peek_mark(), None);
                seen.extend(take(&mut consumer, usize::MAX));
            }
            assert_eq!(seen, [0, 1, 2, 3]);
            assert_eq!(consumer.next_mark(), Some(72));
        }
    }
}

#[test]
fn a_closed_ring_is_finished_once_data_and_marks_are_taken() {
    let (mut producer, mut consumer): Ends = ring(4, 4);
    assert!(!consumer.is_finished());
    push(&mut producer, 0..2);
    producer.push_mark(7).unwrap();
    drop(producer);
    assert!(!consumer.is_finished());
    assert_eq!(take(&mut consumer, 9), [0, 1]);
    assert!(!consumer.is_finished());
    assert_eq!(consumer.next_mark(), Some(7));
    assert!(consumer.is_finished());
    assert_eq!((peek(&mut consumer), consumer.next_mark()), (vec![], None));
}

#[test]
fn an_abandoned_ring_says_so_and_fills_up() {
    let (mut producer, consumer): Ends = ring(2, 1);
    assert!(!producer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
    assert_eq!((push(&mut producer, 0..3), push(&mut producer, 2..3)), (2, 0));
}

#[test]
fn a_gauge_outlives_the_ends_and_never_exceeds_the_capacity() {
    let (mut producer, mut consumer): Ends = ring(4, 1);
    let gauge = consumer.gauge();
    push(&mut producer, 0..4);
    assert_eq!((gauge.len(), producer.gauge().len(), consumer.len()), (4, 4, 4));
    take(&mut consumer, 3);
    drop((producer, consumer));
    assert_eq!((gauge.len(), gauge.capacity()), (1, 4));
}

#[test]
#[should_panic(expected = "2 elements released of 1")]
fn what_stands_behind_a_mark_is_not_released() {
    let (mut producer, mut consumer): Ends = ring(4, 4);
    push(&mut producer, 0..1);
    producer.push_mark(7).unwrap();
    push(&mut producer, 1..3);
    assert_eq!(peek(&mut consumer), [0]);
    consumer.release(2);
}

#[test]
#[should_panic(expected = "1 elements released of 0")]
fn what_was_never_seen_is_not_released() {
    let (mut producer, mut consumer): Ends = ring(4, 4);
    push(&mut producer, 0..1);
    consumer.release(1);
}

#[test]
#[should_panic(expected = "columns of different lengths")]
fn columns_of_different_lengths_are_refused() {
    let (mut producer, _consumer): Ends = ring(4, 4);
    producer.push(&[Timestamp::MIN; 2], &[0; 2], &[0; 1]);
}

#[test]
#[should_panic(expected = "element 2 of a claim of 2")]
fn a_claim_is_not_written_past_its_end() {
    let (mut producer, _consumer): Ends = ring(2, 4);
    producer.claim(3).set(2, Timestamp::MIN, 0, 0);
}

#[test]
#[should_panic(expected = "3 elements of a claim of 2")]
fn a_claim_is_not_committed_past_its_end() {
    let (mut producer, _consumer): Ends = ring(2, 4);
    producer.claim(3).commit(3);
}

/// Waits for `threads` results, at most a minute for all: a test that hangs says so.
fn join_all(threads: usize, done: &mpsc::Receiver<u64>) -> Vec<u64> {
    (0..threads).map(|_| done.recv_timeout(Duration::from_secs(60)).expect("a thread hangs or panicked")).collect()
}

#[test]
fn two_threads_see_every_element_and_mark_in_order() {
    const COUNT: u64 = 300_000;
    const EVERY: u64 = 37;
    for capacity in [1, 2, 64, 1024] {
        // Small rings change hands at each element, which takes a time slice each on a busy machine.
        let count = if capacity < 64 { COUNT / 100 } else { COUNT };
        let (mut producer, mut consumer): Ends = ring(capacity, 2);
        let (sender, done) = mpsc::channel();
        let finished = sender.clone();
        std::thread::spawn(move || {
            let (mut next, mut stalls) = (0, 0);
            while next < count {
                if next % EVERY == 0 {
                    while producer.push_mark(next).is_err() {
                        std::thread::yield_now();
                    }
                }
                let end = (next / EVERY + 1) * EVERY;
                let end = end.min(count);
                while next < end {
                    let wanted = (next % 50 + 1).min(end - next);
                    let pushed = if next % 2 == 0 {
                        push(&mut producer, next..next + wanted) as u64
                    } else {
                        let mut claim = producer.claim(wanted as usize);
                        let (times, orders, values) = columns(next..next + wanted);
                        for i in 0..claim.len() {
                            claim.set(i, times[i], orders[i], values[i]);
                        }
                        let len = claim.len();
                        claim.commit(len);
                        len as u64
                    };
                    next += pushed;
                    if pushed == 0 {
                        stalls += 1;
                        std::thread::yield_now();
                    }
                }
            }
            drop(producer);
            let _ = finished.send(stalls);
        });
        std::thread::spawn(move || {
            let (mut next, mut marks) = (0, 0);
            while !consumer.is_finished() {
                let got = take(&mut consumer, (next % 70 + 1) as usize);
                for number in &got {
                    assert_eq!(*number, next);
                    assert_eq!(marks, next / EVERY + 1, "element {next} before its mark");
                    next += 1;
                }
                if let Some(mark) = consumer.next_mark() {
                    assert_eq!((mark, mark), (next, marks * EVERY), "a mark out of place");
                    marks += 1;
                } else if got.is_empty() {
                    std::thread::yield_now();
                }
            }
            assert_eq!((next, marks), (count, count.div_ceil(EVERY)));
            let _ = sender.send(0);
        });
        join_all(2, &done);
    }
}

#[test]
fn a_producer_that_waits_for_an_abandoned_ring_ends() {
    let (mut producer, mut consumer): Ends = ring(4, 1);
    let (sender, done) = mpsc::channel();
    let finished = sender.clone();
    std::thread::spawn(move || {
        let mut next = 0;
        while !producer.is_abandoned() {
            next += push(&mut producer, next..next + 3) as u64;
            std::thread::yield_now();
        }
        let _ = finished.send(next);
    });
    std::thread::spawn(move || {
        let mut taken = 0;
        while taken < 1000 {
            taken += take(&mut consumer, 2).len() as u64;
            std::thread::yield_now();
        }
        drop(consumer);
        let _ = sender.send(taken);
    });
    assert!(join_all(2, &done).iter().all(|&count| count >= 1000));
}
