//! The ring under every interleaving and every value that a load may return, and the same models
//! with one mistake each, which they must find.
//!
//! A model never waits for the other thread: each side tries a few times, then the sides are joined
//! and the rest is drained. So no interleaving is cut short and no preemption bound is needed.

use super::protocol::{Protocol, Sound};
use super::spsc::build;
use super::{Consumer, Producer};
use crate::Timestamp;
use crate::base::sync::Ordering::{self, Relaxed};
use loom::thread;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

type Ends<P> = (Producer<u64, u32, u64, P>, Consumer<u64, u32, u64, P>);

fn columns(numbers: std::ops::Range<u64>) -> (Vec<Timestamp>, Vec<u64>, Vec<u32>) {
    let times = numbers.clone().map(|i| Timestamp::from_nanos(i as i64)).collect();
    (times, numbers.clone().map(|i| !i).collect(), numbers.map(|i| 100 + i as u32).collect())
}

/// Pushes all numbers of the range that fit.
fn push<P: Protocol>(producer: &mut Producer<u64, u32, u64, P>, numbers: std::ops::Range<u64>) -> u64 {
    let (times, orders, values) = columns(numbers);
    producer.push(&times, &orders, &values) as u64
}

/// What a model came to see, to show that its executions differ in what matters.
type Outcome = Vec<u64>;

/// What a consumer saw: the next number to come, and the marks so far.
#[derive(Default)]
struct Seen {
    next: u64,
    marks: Vec<u64>,
}

impl Seen {
    /// Polls so often, and notes in the outcome what was there each time.
    fn polls<P: Protocol>(&mut self, consumer: &mut Consumer<u64, u32, u64, P>, times: usize) -> Outcome {
        let mut outcome = Outcome::new();
        for _ in 0..times {
            self.poll(consumer);
            outcome.push(self.next + 10 * self.marks.len() as u64);
        }
        outcome
    }

    /// Takes what is there now; every mark carries the number that must come after it.
    fn poll<P: Protocol>(&mut self, consumer: &mut Consumer<u64, u32, u64, P>) -> bool {
        let run = consumer.peek();
        for i in 0..run.len() {
            let number = self.next + i as u64;
            let got = (run.times[i].as_nanos() as u64, run.orders[i], run.values[i]);
            assert_eq!(got, (number, !number, 100 + number as u32), "wrong element");
        }
        let len = run.len();
        consumer.release(len);
        self.next += len as u64;
        let mark = consumer.next_mark();
        if let Some(mark) = mark {
            assert_eq!(mark, self.next, "mark out of place");
            self.marks.push(mark);
        }
        len > 0 || mark.is_some()
    }

    fn drain<P: Protocol>(&mut self, consumer: &mut Consumer<u64, u32, u64, P>) {
        while consumer.has_any() {
            assert!(self.poll(consumer), "nothing where something was told");
        }
        assert!(!self.poll(consumer), "something where nothing was told");
    }
}

/// Batches through a ring of 2, around the wrap.
fn wrap<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(2, 1, usize::MAX);
    let writer = thread::spawn(move || {
        let mut next = push(&mut producer, 0..2);
        next += push(&mut producer, next..next + 2);
        next += push(&mut producer, next..next + 2);
        next + push(&mut producer, next..next + 1)
    });
    let mut seen = Seen::default();
    let mut outcome = seen.polls(&mut consumer, 4);
    let pushed = writer.join().unwrap();
    seen.drain(&mut consumer);
    assert_eq!(seen.next, pushed, "elements lost");
    outcome.push(pushed);
    outcome
}

/// Elements written in place, the last claim dropped.
fn claim<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(2, 1, 1);
    let writer = thread::spawn(move || {
        let mut next = 0;
        for (wanted, kept) in [(2, 2), (2, 1), (1, 0), (2, 2)] {
            let mut claim = producer.claim(wanted);
            let len = claim.len();
            let (times, orders, values) = columns(next..next + len as u64);
            if kept == len {
                claim.fill(|i| (times[i], orders[i], values[i]));
                next += len as u64;
                continue;
            }
            for i in 0..len {
                claim.set(i, times[i], orders[i], values[i]);
            }
            if kept > 0 {
                claim.commit(len.min(kept));
                next += len.min(kept) as u64;
            }
        }
        next
    });
    let mut seen = Seen::default();
    let mut outcome = seen.polls(&mut consumer, 3);
    let pushed = writer.join().unwrap();
    seen.drain(&mut consumer);
    assert_eq!(seen.next, pushed, "elements lost");
    outcome.push(pushed);
    outcome
}

/// Marks before, between and after data, in a ring that has room for all.
fn marks<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(4, 4, usize::MAX);
    let writer = thread::spawn(move || {
        producer.push_mark(0).unwrap();
        push(&mut producer, 0..1);
        producer.push_mark(1).unwrap();
        push(&mut producer, 1..3);
        producer.push_mark(3).unwrap();
    });
    let mut seen = Seen::default();
    let outcome = seen.polls(&mut consumer, 3);
    writer.join().unwrap();
    seen.drain(&mut consumer);
    assert_eq!((seen.next, &seen.marks[..]), (3, &[0, 1, 3][..]), "elements or marks lost");
    outcome
}

/// More marks than there is room for, without data.
fn marks_full<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(1, 1, usize::MAX);
    let writer = thread::spawn(move || (0..3).filter(|_| producer.push_mark(0).is_ok()).count());
    let mut seen = Seen::default();
    let mut outcome = Outcome::new();
    for _ in 0..3 {
        if consumer.next_mark().is_some() {
            seen.marks.push(0);
        }
        outcome.push(seen.marks.len() as u64);
    }
    let pushed = writer.join().unwrap();
    seen.drain(&mut consumer);
    assert_eq!(seen.marks.len(), pushed, "marks lost");
    outcome.push(pushed as u64);
    outcome
}

/// A producer that pushes, marks and goes: whoever sees the end has seen all.
fn close<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(2, 1, 0);
    let writer = thread::spawn(move || {
        push(&mut producer, 0..1);
        producer.push_mark(1).unwrap();
        drop(producer);
    });
    let mut seen = Seen::default();
    let mut outcome = Outcome::new();
    for _ in 0..3 {
        let finished = consumer.is_finished();
        if finished {
            assert_eq!((seen.next, seen.marks.len()), (1, 1), "finished too early");
        }
        outcome.push(u64::from(finished));
        seen.poll(&mut consumer);
    }
    writer.join().unwrap();
    seen.drain(&mut consumer);
    assert!(consumer.is_finished(), "never finished");
    assert_eq!((seen.next, seen.marks.len()), (1, 1), "elements or marks lost");
    outcome
}

/// Both ends go while the other may still work; loom checks that all memory is freed, once.
fn abandon<P: Protocol>() -> Outcome {
    let (mut producer, mut consumer): Ends<P> = build(2, 1, 0);
    let gauge = producer.gauge();
    let writer = thread::spawn(move || {
        push(&mut producer, 0..2);
        let abandoned = producer.is_abandoned();
        push(&mut producer, 2..3);
        assert!(!abandoned || producer.is_abandoned(), "the consumer came back");
        u64::from(abandoned)
    });
    let mut outcome = Seen::default().polls(&mut consumer, 1);
    drop(consumer);
    assert!(gauge.len() <= gauge.capacity());
    outcome.push(writer.join().unwrap());
    outcome
}

/// Runs a model to the end, says how much that was, and checks that it came to the outcomes named.
fn check(name: &str, model: fn() -> Outcome, reached: &[&[u64]]) {
    let builder = loom::model::Builder::new();
    assert_eq!(builder.preemption_bound, None, "unset LOOM_MAX_PREEMPTIONS: the models are exhaustive");
    let seen = Arc::new(Mutex::new((0, BTreeSet::new())));
    let (inside, started) = (seen.clone(), Instant::now());
    builder.check(move || {
        let outcome = model();
        let mut seen = inside.lock().unwrap();
        seen.0 += 1;
        seen.1.insert(outcome);
    });
    let (executions, outcomes) = &*seen.lock().unwrap();
    println!("{name}: {executions} executions, {} outcomes, {:?}", outcomes.len(), started.elapsed());
    for &outcome in reached {
        assert!(outcomes.contains(outcome), "{outcome:?} was never reached: {outcomes:?}");
    }
}

#[test]
fn loom_wrap() {
    // Seen after each poll, then pushed: nobody meets, and both go hand in hand.
    check("wrap", wrap::<Sound>, &[&[0, 0, 0, 0, 2], &[1, 2, 3, 4, 6]]);
}

#[test]
fn loom_claim() {
    check("claim", claim::<Sound>, &[&[0, 0, 0, 2], &[1, 2, 3, 5]]);
}

#[test]
fn loom_marks() {
    check("marks", marks::<Sound>, &[&[0, 0, 0], &[10, 21, 33]]);
}

#[test]
fn loom_marks_full() {
    check("marks_full", marks_full::<Sound>, &[&[0, 0, 0, 1], &[1, 2, 3, 3]]);
}

#[test]
fn loom_close() {
    check("close", close::<Sound>, &[&[0, 0, 0], &[0, 1, 1], &[0, 0, 1]]);
}

#[test]
fn loom_abandon() {
    check("abandon", abandon::<Sound>, &[&[0, 0], &[0, 1], &[2, 0]]);
}

/// A model that must fail, and what loom or the model says.
fn planted(model: fn() -> Outcome, expected: &[&str]) {
    let failure = catch_unwind(AssertUnwindSafe(|| loom::model::Builder::new().check(move || drop(model()))));
    let payload = failure.expect_err("the planted mistake was not found");
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    assert!(expected.iter().any(|part| text.contains(part)), "found, but for another reason: {text}");
}

/// What loom says of two accesses to a cell of which neither happens before the other.
const RACE: &str = "Causality violation";

macro_rules! planted {
    ($($test:ident: $model:ident, $expected:expr, { $($name:ident: $kind:ty = $value:expr),* };)*) => {$(
        #[test]
        fn $test() {
            struct Mistake;
            impl Protocol for Mistake {
                $(const $name: $kind = $value;)*
            }
            planted($model::<Mistake>, &$expected);
        }
    )*};
}

planted! {
    loom_planted_relaxed_publish_of_data: wrap, [RACE], { TAIL_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_data: wrap, [RACE], { TAIL_LOAD: Ordering = Relaxed };
    loom_planted_relaxed_publish_of_room: wrap, [RACE], { HEAD_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_room: wrap, [RACE], { HEAD_LOAD: Ordering = Relaxed };
    loom_planted_relaxed_publish_of_a_claim: claim, [RACE], { TAIL_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_room_for_a_claim: claim, [RACE], { HEAD_LOAD: Ordering = Relaxed };
    loom_planted_data_published_before_the_copy: wrap, [RACE, "wrong element"], { TAIL_BEFORE_COPY: bool = true };
    loom_planted_release_before_the_read: wrap, [RACE], { RELEASE_BEFORE_READ: bool = true };
    loom_planted_one_slot_too_many: wrap, [RACE, "wrong element"], { EXTRA_ROOM: usize = 1 };
    loom_planted_relaxed_publish_of_a_mark: marks, [RACE], { MARKS_TAIL_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_a_mark: marks, [RACE], { MARKS_TAIL_LOAD: Ordering = Relaxed };
    loom_planted_relaxed_publish_of_room_for_marks: marks_full, [RACE], { MARKS_HEAD_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_room_for_marks: marks_full, [RACE], { MARKS_HEAD_LOAD: Ordering = Relaxed };
    loom_planted_mark_published_before_the_write: marks_full, [RACE], { MARKS_TAIL_BEFORE_WRITE: bool = true };
    loom_planted_mark_released_before_the_read: marks_full, [RACE], { MARK_RELEASE_BEFORE_READ: bool = true };
    loom_planted_one_mark_too_many: marks_full, [RACE, "marks lost"], { EXTRA_MARKS: usize = 1 };
    loom_planted_marks_looked_for_before_data: marks, ["mark out of place", "marks lost"],
        { MARKS_BEFORE_DATA: bool = true };
    loom_planted_relaxed_close: close, ["finished too early"], { GONE_STORE: Ordering = Relaxed };
    loom_planted_relaxed_sight_of_the_close: close, ["finished too early"], { GONE_LOAD: Ordering = Relaxed };
    loom_planted_emptiness_judged_before_the_close: close, ["finished too early"], { GONE_AFTER_EMPTY: bool = true };
}
