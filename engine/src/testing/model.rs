//! Slow, obvious models of the built-in operators: one row after the other, everything searched
//! from the front, nothing shared with the operators they are held against.

use super::script::{Script, Step};
use super::verify::Expected;
use crate::{Aggregate, CanonicalKey, Dictionary, Key, Record, Timestamp, Window, Windowed};

/// A row with its time.
pub type Timed<In> = (Timestamp, In);

/// What an aggregate is given.
type Rows<'a, A> = &'a [Timed<<A as Aggregate>::In>];

/// The rows of one window and key, in order.
type Group<K, In> = (Window, K, Vec<Timed<In>>);

/// What the windows of a script give.
///
/// `assign` tells the window of a time and `result` the row for all rows of a window and key, in
/// order. A window fires when the watermark reaches its last nanosecond; a row whose window's last
/// nanosecond is at or before the watermark before the row is late.
pub fn tumbling<K: Key, In: Record, Out: Record>(
    script: &Script<In>,
    assign: impl Fn(Timestamp) -> Window,
    key_of: impl Fn(&In) -> K,
    result: impl Fn(Window, &K, &[Timed<In>]) -> Out,
) -> Expected<Out, In> {
    let mut late = Vec::new();
    let mut groups: Vec<Group<K, In>> = Vec::new();
    for step in script.steps() {
        let Step::Row { time, value, watermark } = *step else { continue };
        let (window, key) = (assign(time), key_of(&value));
        if window.max_timestamp() <= watermark {
            late.push((time, value));
        } else if let Some(group) = groups.iter_mut().find(|group| group.0 == window && group.1 == key) {
            group.2.push((time, value));
        } else {
            groups.push((window, key, vec![(time, value)]));
        }
    }
    // Nothing is added to a window that has fired, so it does not matter when it did.
    groups.retain(|(window, ..)| window.max_timestamp() <= script.reached());
    groups.sort_by_key(|(window, key, _)| (window.max_timestamp(), order_of(key, script.symbols())));
    let main = groups.iter().map(|(window, key, rows)| (window.max_timestamp(), result(*window, key, rows)));
    Expected { main: main.collect(), late }
}

/// The order of keys at one time: canonical text and its hash, then bytes.
fn order_of<K: Key>(key: &K, symbols: &Dictionary) -> (CanonicalKey, Vec<u8>) {
    (CanonicalKey::of(key, symbols), bytemuck::bytes_of(key).to_vec())
}

/// The result for [`tumbling`] that an aggregate gives, each row added to one state.
///
/// It holds the operator against its aggregate, and the aggregate against nothing.
pub fn added<K: Key, A: Aggregate>(aggregate: A) -> impl Fn(Window, &K, Rows<'_, A>) -> Windowed<K, A::Value> {
    move |window, key, rows| {
        let mut acc = bytemuck::Zeroable::zeroed();
        rows.iter().for_each(|(time, row)| aggregate.add(&mut acc, *time, row));
        super::windowed(window, *key, aggregate.value(&acc))
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
        /// Whether the row lies behind the watermark before it.
        behind: bool,
        /// The watermark before the row.
        watermark: Timestamp,
    },
    /// A timer fired.
    Timer {
        /// The time that was asked for.
        time: Timestamp,
        /// What the function is shown: the time at which the timer fires, [`Timestamp::MAX`] at the end of the input.
        /// For one that a row asks for at or before its watermark, that watermark.
        watermark: Timestamp,
    },
}

/// What a process function did in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions<Out> {
    /// Rows it emitted, in order.
    pub rows: Vec<Out>,
    /// Times whose timers it removed, before it asked for any.
    pub removed: Vec<Timestamp>,
    /// Times it asked timers for, in order.
    pub timers: Vec<Timestamp>,
}

/// What a process function gives over a script, one call after the other.
///
/// `function` does what [`ProcessFunction`](crate::ProcessFunction) would, and returns it.
///
/// - Before each row, and at each watermark, the timers fire that the watermark has reached, in order of time and
///   canonical key. A timer that waits is not doubled.
/// - A timer that a row asks for at or before its watermark fires at once, behind the row, and what it emits has a time
///   that is ahead of that watermark. A timer that a firing at `t` asks for at or before `t` fires at once, behind it,
///   and what it emits has the time `t`. Several of them fire in order of time; if these ask for others as early, those
///   are dropped.
/// - At the watermark [`Timestamp::MAX`] timers ask for others in vain.
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
///     fn on_row(&self, _: &u32, time: Timestamp, row: &u32, last: &mut u32, context: &mut ProcessContext<'_, u32>) {
///         *last = *row;
///         context.timer(time.plus_nanos(5));
///     }
///     fn on_timer(&self, _: &u32, _: Timestamp, last: &mut u32, context: &mut ProcessContext<'_, u32>) {
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
///                 Actions { rows: vec![], removed: vec![], timers: vec![time.plus_nanos(5)] }
///             }
///             Call::Timer { .. } => Actions { rows: vec![*last], removed: vec![], timers: vec![] },
///         })
///     })
///     .check();
/// ```
pub fn process<K: Key, S: Record, In: Record, Out: Record>(
    script: &Script<In>,
    key_of: impl Fn(&In) -> K,
    function: impl Fn(&K, Call<In>, &mut S) -> Actions<Out>,
) -> (Vec<(Timestamp, Out)>,) {
    let mut job = Job { function, symbols: script.symbols(), states: Vec::new(), timers: Vec::new(), main: Vec::new() };
    for step in script.steps() {
        match *step {
            Step::Watermark(watermark) => job.fire(watermark),
            Step::Row { time, value, watermark } => {
                job.fire(watermark);
                let key = key_of(&value);
                let asked = job.call(&key, Call::Row { time, row: value, behind: time <= watermark, watermark }, time);
                job.take(&key, asked, (watermark, watermark), watermark.plus_nanos(1));
            }
        }
    }
    (job.main,)
}

/// A process function with its states and timers, each in any order.
struct Job<'a, K, S, Out, F> {
    function: F,
    symbols: &'a Dictionary,
    states: Vec<(K, S)>,
    timers: Vec<(Timestamp, K)>,
    main: Vec<(Timestamp, Out)>,
}

impl<K: Key, S: Record, Out, F> Job<'_, K, S, Out, F> {
    /// Calls the function, whose rows get this time, and returns what timers it asks for.
    fn call<In>(&mut self, key: &K, call: Call<In>, time: Timestamp) -> Vec<Timestamp>
    where
        F: Fn(&K, Call<In>, &mut S) -> Actions<Out>,
    {
        let known = self.states.iter().position(|(other, _)| other == key);
        let at = known.unwrap_or_else(|| {
            self.states.push((*key, S::zeroed()));
            self.states.len() - 1
        });
        let actions = (self.function)(key, call, &mut self.states[at].1);
        self.main.extend(actions.rows.into_iter().map(|row| (time, row)));
        self.timers.retain(|(at, other)| other != key || !actions.removed.contains(at));
        actions.timers
    }

    /// Has the timers wait that a key asked for behind `reached`, and fires the others, whose rows have `time` at least.
    fn take<In>(
        &mut self,
        key: &K,
        mut asked: Vec<Timestamp>,
        (reached, watermark): (Timestamp, Timestamp),
        time: Timestamp,
    ) where
        F: Fn(&K, Call<In>, &mut S) -> Actions<Out>,
    {
        asked.sort();
        asked.dedup();
        for at in asked {
            if at > reached {
                self.wait(at, key);
                continue;
            }
            let later = self.call(key, Call::Timer { time: at, watermark }, at.max(time));
            later.into_iter().filter(|later| *later > reached).for_each(|later| self.wait(later, key));
        }
    }

    /// Has a timer wait where none does for the same key and time.
    fn wait(&mut self, at: Timestamp, key: &K) {
        if !self.timers.contains(&(at, *key)) {
            self.timers.push((at, *key));
        }
    }

    /// Fires what the watermark has reached.
    fn fire<In>(&mut self, watermark: Timestamp)
    where
        F: Fn(&K, Call<In>, &mut S) -> Actions<Out>,
    {
        let order = |(at, key): &(Timestamp, K)| (*at, order_of(key, self.symbols));
        while let Some(first) = (0..self.timers.len()).min_by_key(|&i| order(&self.timers[i]))
            && self.timers[first].0 <= watermark
        {
            let (at, key) = self.timers.remove(first);
            let is_end = watermark == Timestamp::MAX;
            let shown = if is_end { watermark } else { at };
            let asked = self.call(&key, Call::Timer { time: at, watermark: shown }, at);
            if !is_end {
                self.take(&key, asked, (at, shown), at);
            }
        }
    }
}
