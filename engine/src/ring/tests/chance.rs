//! The ring against a queue, step by step as chance has it.

use super::{Ends, columns, peek, push, take};
use crate::ring::protocol::Sound;
use crate::ring::spsc::build;
use proptest::prelude::*;
use std::collections::VecDeque;

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
