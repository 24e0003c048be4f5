//! What the engine promises, as plain loops: the merged order of sources, jumps of event time, and timers fired row by
//! row.

use std::collections::BTreeSet;

/// A row with its time and the clock before it: the largest time so far, or `i64::MIN`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed<T> {
    /// Its time in nanoseconds.
    pub time: i64,
    /// The clock before it.
    pub clock: i64,
    /// The row.
    pub row: T,
}

/// The watermark where the clock stands at `clock`.
pub const fn watermark(clock: i64, bound: i64) -> i64 {
    clock.saturating_sub(bound).saturating_sub(1)
}

/// All events of bounded sources in the job's order, given the times of each: source, position, and clock before.
pub fn merged(sources: &[Vec<i64>]) -> Vec<(usize, usize, i64)> {
    let up_to = |times: &Vec<i64>| -> Vec<i64> {
        let mut largest = i64::MIN;
        let mut take = |time: &i64| {
            largest = largest.max(*time);
            largest
        };
        times.iter().map(&mut take).collect()
    };
    merged_by(&sources.iter().map(up_to).collect::<Vec<_>>())
}

/// The same, given for each source the largest time up to each of its events.
pub fn merged_by(sources: &[Vec<i64>]) -> Vec<(usize, usize, i64)> {
    let mut all = Vec::new();
    for (source, reached) in sources.iter().enumerate() {
        all.extend(reached.iter().enumerate().map(|(position, largest)| (*largest, source, position)));
    }
    all.sort_unstable();
    let mut clock = i64::MIN;
    let place = |(largest, source, position)| (source, position, std::mem::replace(&mut clock, largest));
    all.into_iter().map(place).collect()
}

/// For each event of a source the largest time up to it, and whether it jumped ahead of it: by more than `max`, and not
/// believed, as those are with which `believed_after` do so in a row.
pub fn reached(times: &[i64], max: i64, believed_after: usize) -> Vec<(i64, bool)> {
    let mut largest = None;
    let mut row: Vec<i64> = Vec::new();
    let mut judged = Vec::new();
    for &time in times {
        let jumps_from = |largest: Option<i64>| largest.is_some_and(|largest| time > largest && time - largest > max);
        if jumps_from(largest) {
            row.push(time);
            if row.len() == believed_after {
                largest = row.drain(..).min();
                row.extend(jumps_from(largest).then_some(time));
            }
        } else if largest.is_none_or(|largest| time >= largest) {
            row.clear();
        }
        let jumped = jumps_from(largest);
        if !jumped {
            largest = largest.max(Some(time));
        }
        judged.push((largest.unwrap_or(time), jumped));
    }
    judged
}

/// The events of one source with the clock before each, and the clock behind all.
pub fn placed<T: Copy>(events: &[T], time_of: impl Fn(&T) -> i64) -> (Vec<Placed<T>>, i64) {
    let mut clock = i64::MIN;
    let place = |row: &T| {
        let time = time_of(row);
        let before = clock;
        clock = clock.max(time);
        Placed { time, clock: before, row: *row }
    };
    let rows = events.iter().map(place).collect();
    (rows, clock)
}

/// What a function asks for while it is called.
#[derive(Debug)]
pub struct Call<Out> {
    /// As the engine shows it.
    pub watermark: i64,
    /// Whether it is called for a row at or behind the watermark.
    pub is_behind: bool,
    /// Rows that it emits.
    pub rows: Vec<Out>,
    /// Timers that it asks for.
    pub timers: Vec<i64>,
}

/// A function over rows and timers, with states of its own.
pub trait Function<T> {
    /// What it emits.
    type Out;
    /// A row's key.
    fn key(&self, row: &T) -> u64;
    /// A row came.
    fn row(&mut self, key: u64, time: i64, row: &T, call: &mut Call<Self::Out>);
    /// A timer fired.
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Self::Out>);
}

struct Run<T, F: Function<T>> {
    function: F,
    bound: i64,
    /// What fires behind this fires at the end of the input: it shows the end of time, and asks in vain.
    end: i64,
    timers: BTreeSet<(i64, u64)>,
    out: Vec<Placed<F::Out>>,
}

/// Runs a function over rows in the job's order, and then to the end of time; behind all events the clock stands at `end`.
pub fn run<T, F: Function<T>>(rows: &[Placed<T>], end: i64, bound: i64, function: F) -> Vec<Placed<F::Out>> {
    let mut run = Run { function, bound, end: watermark(end, bound), timers: BTreeSet::new(), out: Vec::new() };
    for placed in rows {
        run.row(placed);
    }
    run.fire(run.end);
    run.fire(i64::MAX);
    run.out
}

impl<T, F: Function<T>> Run<T, F> {
    fn row(&mut self, placed: &Placed<T>) {
        let Placed { time, clock, row } = placed;
        let reached = watermark(*clock, self.bound);
        self.fire(reached);
        let key = self.function.key(row);
        let mut call = Call { watermark: reached, is_behind: *time <= reached, rows: Vec::new(), timers: Vec::new() };
        self.function.row(key, *time, row, &mut call);
        self.out.extend(call.rows.drain(..).map(|row| Placed { time: *time, clock: *clock, row }));
        self.ask(key, call.timers, reached, (reached.saturating_add(1), *clock), reached);
    }

    fn fire(&mut self, reached: i64) {
        while let Some(&(time, key)) = self.timers.first().filter(|(time, _)| *time <= reached) {
            self.timers.pop_first();
            // Behind all rows whose watermark is below its time.
            let clock = time + self.bound;
            let is_end = time > self.end;
            let shown = if is_end { i64::MAX } else { time };
            let asked = self.call(key, time, time, clock, shown);
            if !is_end {
                self.ask(key, asked, time, (time, clock), shown);
            }
        }
    }

    /// Keeps the timers ahead of `reached`, and fires the others at once and once.
    fn ask(&mut self, key: u64, mut asked: Vec<i64>, reached: i64, (least, clock): (i64, i64), shown: i64) {
        asked.sort_unstable();
        asked.dedup();
        for at in asked {
            if at > reached {
                self.timers.insert((at, key));
                continue;
            }
            let later = self.call(key, at, at.max(least), clock, shown);
            self.timers.extend(later.into_iter().filter(|later| *later > reached).map(|later| (later, key)));
        }
    }

    fn call(&mut self, key: u64, at: i64, time: i64, clock: i64, shown: i64) -> Vec<i64> {
        let mut call = Call { watermark: shown, is_behind: false, rows: Vec::new(), timers: Vec::new() };
        self.function.timer(key, at, &mut call);
        self.out.extend(call.rows.drain(..).map(|row| Placed { time, clock, row }));
        call.timers
    }
}
