//! The ring against a queue, by hand, by chance, and between two threads.

use super::protocol::Sound;
use super::spsc::build;
use super::{Consumer, Producer, ring};
use crate::Timestamp;
use proptest::prelude::*;
use std::collections::VecDeque;
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
fn picked_elements_are_pushed_as_far_as_they_fit_also_across_the_wrap() {
    for start in [0, 1, 3, usize::MAX - 1] {
        let (mut producer, mut consumer): Ends = build::<_, _, _, Sound>(4, 1, start);
        let (times, orders, values) = columns(0..50);
        for (picks, fitting) in [(&[0u32, 7, 8][..], 3), (&[9, 11, 30, 31, 49], 4), (&[4], 1), (&[], 0), (&[5, 6], 2)] {
            assert_eq!(producer.push_picked(picks, &times, |pick| orders[pick], &values), fitting);
            let taken = [take(&mut consumer, 9), take(&mut consumer, 9)].concat();
            let expected: Vec<_> = picks[..fitting].iter().map(|&pick| u64::from(pick)).collect();
            assert_eq!(taken, expected);
        }
        assert_eq!(producer.push_picked(&[1, 2, 3, 4], &times, |pick| orders[pick], &values), 4);
        assert_eq!(producer.push_picked(&[5], &times, |pick| orders[pick], &values), 0);
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

#[derive(Debug, Clone)]
enum Step {
    Push(u64),
    Claim(u64, u64),
    Mark,
    Refresh,
    Take(usize),
    NextMark,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u64).prop_map(Step::Push),
        2 => (0..12u64, 0..12u64).prop_map(|(wanted, used)| Step::Claim(wanted, used)),
        2 => Just(Step::Mark),
        1 => Just(Step::Refresh),
        4 => (0..12usize).prop_map(Step::Take),
        3 => Just(Step::NextMark),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Item {
    Data(u64),
    Mark(u64),
}

/// How many elements come first in the queue, before a mark.
fn data_first(queue: &VecDeque<Item>) -> usize {
    queue.iter().take_while(|item| matches!(item, Item::Data(_))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ring_behaves_like_a_queue(
        log_capacity in 0..4u32,
        log_marks in 0..3u32,
        start in prop_oneof![Just(0), (0..20usize).prop_map(|back| usize::MAX - back)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (capacity, marks_capacity) = (1usize << log_capacity, 1usize << log_marks);
        let (mut producer, mut consumer): Ends = build::<_, _, _, Sound>(capacity, marks_capacity, start);
        let mut queue = VecDeque::new();
        let (mut next, mut next_mark) = (0, 0);
        let held = |queue: &VecDeque<Item>| queue.iter().filter(|item| matches!(item, Item::Data(_))).count();
        for step in steps {
            match step {
                Step::Push(wanted) => {
                    let fits = wanted.min((capacity - held(&queue)) as u64);
                    prop_assert_eq!(push(&mut producer, next..next + wanted) as u64, fits);
                    queue.extend((next..next + fits).map(Item::Data));
                    next += fits;
                }
                Step::Claim(wanted, used) => {
                    let fits = wanted.min((capacity - held(&queue)) as u64);
                    let mut claim = producer.claim(wanted as usize);
                    prop_assert_eq!(claim.len() as u64, fits);
                    let (times, orders, values) = columns(next..next + fits);
                    for i in 0..claim.len() {
                        claim.set(i, times[i], orders[i], values[i]);
                    }
                    if used <= fits {
                        claim.commit(used as usize);
                        queue.extend((next..next + used).map(Item::Data));
                        next += used;
                    }
                }
                Step::Mark => {
                    if queue.len() - held(&queue) < marks_capacity {
                        prop_assert_eq!(producer.push_mark(next_mark), Ok(()));
                        queue.push_back(Item::Mark(next_mark));
                    } else {
                        prop_assert_eq!(producer.push_mark(next_mark), Err(next_mark));
                    }
                    next_mark += 1;
                }
                Step::Refresh => {
                    consumer.refresh();
                    // All of it, but for the wrap.
                    let seen = peek(&mut consumer).len();
                    let first = data_first(&queue);
                    let head = start.wrapping_add(next as usize - held(&queue));
                    prop_assert_eq!(seen, first.min(capacity - (head & (capacity - 1))));
                }
                Step::Take(most) => {
                    let got = take(&mut consumer, most);
                    let first = data_first(&queue);
                    prop_assert!(got.len() <= first.min(most));
                    prop_assert!(!got.is_empty() || first.min(most) == 0, "data hidden");
                    for number in got {
                        prop_assert_eq!(queue.pop_front(), Some(Item::Data(number)));
                    }
                }
                Step::NextMark => {
                    let expected = match queue.front() {
                        Some(&Item::Mark(mark)) => Some(mark),
                        _ => None,
                    };
                    prop_assert_eq!(consumer.peek_mark(), expected);
                    prop_assert_eq!(consumer.next_mark(), expected);
                    if expected.is_some() {
                        queue.pop_front();
                    }
                }
            }
            prop_assert_eq!(producer.len(), held(&queue));
        }
        drop(producer);
        prop_assert_eq!(consumer.is_finished(), queue.is_empty());
        while let Some(item) = queue.pop_front() {
            match item {
                Item::Data(number) => prop_assert_eq!(take(&mut consumer, 1), vec![number]),
                Item::Mark(mark) => prop_assert_eq!(consumer.next_mark(), Some(mark)),
            }
        }
        prop_assert!(consumer.is_finished());
    }
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
        let count = if capacity < 64 { COUNT / 10 } else { COUNT };
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
