//! Slow, obvious models of the built-in operators: one row after the other, everything searched
//! from the front, nothing shared with the operators they are held against.

use super::verify::{Expected, Script, Step};
use crate::{Aggregate, CanonicalKey, Dictionary, Key, Record, Timestamp, Window, hash_key};

/// A row with its time.
pub type Timed<In> = (Timestamp, In);

/// The rows of one window and key, in order.
type Group<K, In> = (Window, K, Vec<Timed<In>>);

/// What the windows of a script give.
///
/// `assign` tells the window of a time and `result` the row for all rows of a window and key, in
/// order. A window fires when the watermark reaches its last nanosecond; a row whose window's last
/// nanosecond is at or before the watermark at the row's own place is late.
pub fn tumbling<K: Key, In: Record, Out: Record>(
    script: &Script<In>,
    assign: impl Fn(Timestamp) -> Window,
    key_of: impl Fn(&In) -> K,
    result: impl Fn(Window, &K, &[Timed<In>]) -> Out,
) -> Expected<Out, In> {
    let mut main = Vec::new();
    let mut late = Vec::new();
    let mut open: Vec<Group<K, In>> = Vec::new();
    let mut add = |open: &mut Vec<Group<K, In>>, time, value, watermark: Timestamp| {
        let (window, key) = (assign(time), key_of(&value));
        if window.max_timestamp() <= watermark {
            late.push((time, value));
        } else if let Some(group) = open.iter_mut().find(|group| group.0 == window && group.1 == key) {
            group.2.push((time, value));
        } else {
            open.push((window, key, vec![(time, value)]));
        }
    };
    for step in script.steps() {
        match *step {
            Step::Row { time, value } => add(&mut open, time, value, Timestamp::MIN),
            Step::Behind { time, value, watermark } => add(&mut open, time, value, watermark),
            Step::Watermark(watermark) => {
                let (mut fired, rest): (Vec<_>, Vec<_>) =
                    open.into_iter().partition(|(window, ..)| window.max_timestamp() <= watermark);
                open = rest;
                fired.sort_by_key(|(window, key, _)| (window.max_timestamp(), order_of(key, script.symbols())));
                main.extend(
                    fired.iter().map(|(window, key, rows)| (window.max_timestamp(), result(*window, key, rows))),
                );
            }
        }
    }
    Expected { main, late }
}

/// The order of keys at one time: canonical text, hash, bytes.
fn order_of<K: Key>(key: &K, symbols: &Dictionary) -> (u128, u64, Vec<u8>) {
    (CanonicalKey::of(key, symbols).value(), hash_key(key), bytemuck::bytes_of(key).to_vec())
}

/// The result for [`tumbling`] that an aggregate gives, each row added to one state.
///
/// It holds the operator against its aggregate, and the aggregate against nothing.
pub fn added<K: Key, A: Aggregate<K>>(aggregate: A) -> impl Fn(Window, &K, &[Timed<A::In>]) -> A::Out {
    move |window, key, rows| {
        let mut acc = bytemuck::Zeroable::zeroed();
        rows.iter().for_each(|(time, row)| aggregate.add(&mut acc, *time, row));
        aggregate.result(window, key, &acc)
    }
}

/// What a process function is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<In> {
    /// A row came.
    Row {
        /// The row's time.
        time: Timestamp,
        /// The row.
        row: In,
        /// Whether the row lies behind the watermark at its own place.
        behind: bool,
        /// The watermark: as of the last one that came, or at the row's own place when it is behind.
        watermark: Timestamp,
    },
    /// A timer fired.
    Timer {
        /// The time that was asked for.
        time: Timestamp,
        /// The watermark that fired it.
        watermark: Timestamp,
    },
}

/// What a process function did in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions<Out> {
    /// Rows it emitted, in order.
    pub rows: Vec<Out>,
    /// Times it asked timers for, in order.
    pub timers: Vec<Timestamp>,
}

/// A timer that waits: the time it fires at, its key, the time it was asked for.
struct Timer<K> {
    at: Timestamp,
    key: K,
    time: Timestamp,
}

/// What a process function gives over a script, one call after the other.
///
/// `function` does what [`ProcessFunction`](crate::ProcessFunction) would, and returns it. Timers
/// fire in order of time and canonical key when the watermark reaches them, those asked for at or
/// before the time of the timer that asks 1 ns after it. A timer that waits is not doubled. At the
/// watermark [`Timestamp::MAX`] timers ask for others in vain.
///
/// ```
/// use pelton::testing::model::{self, Actions, Call};
/// use pelton::testing::{self, Verify};
/// use pelton::{ProcessContext, ProcessFunction, Timestamp};
///
/// /// Emits what came last, 5 ns after it came.
/// #[derive(Clone)]
/// struct Delayed;
///
/// impl ProcessFunction<u32> for Delayed {
///     type In = u32;
///     type State = u32;
///     type Out = u32;
///     fn on_row(&self, _: &u32, time: Timestamp, row: &u32, last: &mut u32, context: &mut ProcessContext<'_, u32, u32>) {
///         *last = *row;
///         context.timer(time.plus_nanos(5));
///     }
///     fn on_timer(&self, _: &u32, _: Timestamp, last: &mut u32, context: &mut ProcessContext<'_, u32, u32>) {
///         context.emit(*last);
///     }
/// }
///
/// Verify::new(|| testing::process(|row: &u32| row % 2, Delayed))
///     .keyed_by(|row: &u32| row % 2)
///     .row(1, 3)
///     .row(2, 4)
///     .watermark(6)
///     .row(7, 5)
///     .end()
///     .against(|script| {
///         model::process(script, |row| row % 2, |_, call, last: &mut u32| match call {
///             Call::Row { time, row, .. } => {
///                 *last = row;
///                 Actions { rows: vec![], timers: vec![time.plus_nanos(5)] }
///             }
///             Call::Timer { .. } => Actions { rows: vec![*last], timers: vec![] },
///         })
///     })
///     .check();
/// ```
pub fn process<K: Key, S: Record, In: Record, Out: Record>(
    script: &Script<In>,
    key_of: impl Fn(&In) -> K,
    function: impl Fn(&K, Call<In>, &mut S) -> Actions<Out>,
) -> Expected<Out, In> {
    let mut main = Vec::new();
    let mut states: Vec<(K, S)> = Vec::new();
    let mut timers: Vec<Timer<K>> = Vec::new();
    let mut last_watermark = Timestamp::MIN;
    let mut call = |key: &K, call: Call<In>| {
        let known = states.iter().position(|(other, _)| other == key);
        let at = known.unwrap_or_else(|| {
            states.push((*key, S::zeroed()));
            states.len() - 1
        });
        function(key, call, &mut states[at].1)
    };
    for step in script.steps() {
        match *step {
            Step::Row { time, value } | Step::Behind { time, value, .. } => {
                let key = key_of(&value);
                let own = if let Step::Behind { watermark, .. } = *step { Some(watermark) } else { None };
                let (behind, watermark) = (own.is_some(), own.unwrap_or(last_watermark));
                let actions = call(&key, Call::Row { time, row: value, behind, watermark });
                main.extend(actions.rows.into_iter().map(|row| (time, row)));
                for asked in actions.timers {
                    wait(&mut timers, Timer { at: asked, key, time: asked });
                }
            }
            Step::Watermark(watermark) => {
                last_watermark = watermark;
                // Those it reaches now fire, and those they ask for at or before it.
                let (mut due, rest): (Vec<_>, Vec<_>) = timers.into_iter().partition(|timer| timer.at <= watermark);
                timers = rest;
                let order = |timer: &Timer<K>| (timer.at, order_of(&timer.key, script.symbols()), timer.time);
                while let Some(first) = (0..due.len()).min_by_key(|&i| order(&due[i])) {
                    let Timer { at, key, time } = due.remove(first);
                    let actions = call(&key, Call::Timer { time, watermark });
                    main.extend(actions.rows.into_iter().map(|row| (at, row)));
                    for asked in actions.timers.into_iter().filter(|_| watermark < Timestamp::MAX) {
                        if asked > watermark {
                            wait(&mut timers, Timer { at: asked, key, time: asked });
                        } else {
                            wait(&mut due, Timer { at: asked.max(at.plus_nanos(1)), key, time: asked });
                        }
                    }
                }
            }
        }
    }
    Expected { main, late: Vec::new() }
}

/// Adds a timer where none waits for the same key and time.
fn wait<K: Key>(timers: &mut Vec<Timer<K>>, timer: Timer<K>) {
    if !timers.iter().any(|other| other.key == timer.key && other.time == timer.time) {
        timers.push(timer);
    }
}
