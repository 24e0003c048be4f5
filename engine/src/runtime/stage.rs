//! A stage: a step that takes rows in order, as the tasks that feed it see it.

use crate::base::blame;
use crate::operator::{Batch, Cause, Firing, Operator, Outbox};
use crate::progress::mark::BlockMark;
use crate::progress::place::{Place, Placed, Places};
use crate::runtime::chained::position_of;
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{FanOut, Outlet, Rows};
use crate::runtime::shared::JobShared;
use crate::{Error, Record, Sink, Timestamp};
use std::sync::Arc;

/// Rows that an outbox holds before it is full.
const OUTBOX_ROWS: usize = 1024;

/// What takes rows in order.
///
/// `rows`, `mark` and `end` each follow an `is_ready` that said yes.
pub(crate) trait Stage<T> {
    /// Whether it matters where each row stands.
    const USES_PLACES: bool = true;

    /// Moves on what is held up; whether nothing is held up any more.
    fn is_ready(&mut self) -> bool;
    /// Takes rows from the front and says how many.
    fn rows(&mut self, rows: Rows<'_, T>) -> usize;
    /// Takes a block's end; `is_ready` says when all it causes has gone on.
    fn mark(&mut self, mark: BlockMark);
    /// Learns that nothing below `place` will come, and that the stream pauses. Whether it need not be told again
    /// before something else comes.
    fn frontier(&mut self, place: Place) -> bool;
    /// Learns that nothing more will come.
    fn end(&mut self);
}

/// What a keyed step still owes for a block's end.
#[derive(Clone, Copy)]
enum Pending {
    Nothing,
    /// The operator has more to fire.
    Firing(BlockMark),
    /// All was fired; the mark goes on when the outputs are ready.
    Mark(BlockMark),
}

/// A keyed step: an operator with its outputs.
pub(crate) struct KeyedStage<Op: Operator> {
    operator: Op,
    outbox: Outbox<Op::Out, Op::In>,
    main: FanOut<Op::Out>,
    main_uses_places: bool,
    late: FanOut<Op::In>,
    /// The exchanges between the sources and this step, at least 1.
    depth: usize,
    pending: Pending,
    /// While a mark is pending: nothing below this place will be fired any more.
    fired: Place,
    places: Vec<Place>,
    counters: Arc<StepCounters>,
    /// Whether the rows it takes are the step's input; announced windows are not.
    counts_input: bool,
    worker: usize,
    shared: Arc<JobShared>,
}

impl<Op: Operator> KeyedStage<Op> {
    /// A stage of windows whose rows are counted where they are combined.
    pub(crate) fn behind_combiners(mut self) -> Self {
        self.counts_input = false;
        self
    }

    pub(crate) fn new(
        operator: Op,
        outputs: (FanOut<Op::Out>, FanOut<Op::In>),
        depth: usize,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let outbox = Outbox::new(OUTBOX_ROWS, shared.symbols.clone());
        let (main, late) = outputs;
        let places = Vec::new();
        Self {
            operator,
            outbox,
            main_uses_places: main.uses_places(),
            main,
            late,
            depth,
            pending: Pending::Nothing,
            fired: Place::MIN,
            places,
            counters,
            counts_input: true,
            worker,
            shared,
        }
    }

    fn fail(&self, error: crate::operator::OperatorError) {
        self.shared.fail(Error::Step { step: self.counters.name.to_string(), error });
    }

    /// Gives the emitted rows on. `places` are those of the rows that caused them, `block` the one
    /// whose end fired them.
    fn give_on(&mut self, places: Places<'_>, block: u64, behind: Option<Timestamp>) {
        let counters = self.counters.of(self.worker);
        let depth = self.depth;
        let main = &self.outbox.main;
        if !main.values.is_empty() {
            add(&counters.rows_out, main.values.len() as u64);
            let caused = Caused { causes: &main.causes, places, block, depth };
            if matches!(self.pending, Pending::Firing(_)) {
                // Rows with one place are given on together.
                self.fired = caused.place(main.causes.len() - 1).behind_all_it_becomes(0);
            }
            let places = if self.main_uses_places {
                caused.all(&mut self.places)
            } else {
                Places::Unasked { of: &caused, first: 0 }
            };
            self.main.rows(Rows { behind, ..Rows::new(&main.times, &main.values, places) });
        }
        let late = &self.outbox.late;
        if !late.values.is_empty() {
            add(&counters.late, late.values.len() as u64);
            let places = Caused { causes: &late.causes, places, block, depth }.all(&mut self.places);
            self.late.rows(Rows { behind, ..Rows::new(&late.times, &late.values, places) });
        }
        self.outbox.clear();
    }

    /// Goes on firing as far as the outputs take it; whether the mark has gone on.
    fn fire(&mut self) -> bool {
        loop {
            match self.pending {
                Pending::Nothing => return true,
                _ if self.shared.is_halted() => return false,
                Pending::Firing(mark) => {
                    let (operator, outbox, name) = (&mut self.operator, &mut self.outbox, &self.counters.name);
                    let fired = blame::at_position(
                        |_| format!("watermark {} at the end of block {}", mark.watermark, mark.block),
                        || blame::in_step(name, || operator.on_watermark(mark.watermark, outbox)),
                    );
                    match fired {
                        Ok(firing) => {
                            self.give_on(Places::Full(&[]), mark.block, None);
                            if firing == Firing::Done {
                                self.pending = Pending::Mark(mark);
                            }
                        }
                        Err(error) => {
                            self.fail(error);
                            return false;
                        }
                    }
                }
                Pending::Mark(mark) => {
                    self.pending = Pending::Nothing;
                    self.counters.of(self.worker).watermark.set(mark.watermark.as_nanos());
                    self.main.mark(mark);
                    self.late.mark(mark);
                }
            }
            if !self.outputs_ready() {
                return false;
            }
        }
    }

    fn outputs_ready(&mut self) -> bool {
        let main = self.main.is_ready();
        self.late.is_ready() && main
    }
}

/// Emitted rows, whose places follow from what caused them.
#[derive(Debug)]
struct Caused<'a> {
    causes: &'a [Cause],
    /// Of the rows that are among the causes.
    places: Places<'a>,
    /// Whose end fired what else is among the causes, this many exchanges behind the sources.
    block: u64,
    depth: usize,
}

impl Placed for Caused<'_> {
    fn place(&self, index: usize) -> Place {
        match self.causes[index] {
            Cause::Row(row) => self.places.place(row as usize),
            Cause::Fired { time, key, hash } => Place::fired(self.block, self.depth, time.as_nanos(), key, hash),
        }
    }
}

impl Caused<'_> {
    /// The places of all rows, written down in `places`.
    fn all<'a>(&self, places: &'a mut Vec<Place>) -> Places<'a> {
        places.clear();
        places.extend((0..self.causes.len()).map(|index| self.place(index)));
        Places::Full(places)
    }
}

impl<Op: Operator> Stage<Op::In> for KeyedStage<Op> {
    fn is_ready(&mut self) -> bool {
        self.outputs_ready() && self.fire()
    }

    fn rows(&mut self, rows: Rows<'_, Op::In>) -> usize {
        let Rows { times, values, bounds, behind, ahead, .. } = rows;
        let batch = Batch { times, values, behind, bounds, ahead };
        let (operator, outbox, name) = (&mut self.operator, &mut self.outbox, &self.counters.name);
        let result = blame::at_position(
            |index| position_of(&rows.places, index),
            || blame::in_step(name, || operator.on_batch(batch, outbox)),
        );
        match result {
            Ok(taken) => {
                if self.counts_input {
                    add(&self.counters.of(self.worker).rows_in, taken as u64);
                }
                self.give_on(rows.places, rows.places.block(), rows.behind);
                taken
            }
            Err(error) => {
                self.fail(error);
                0
            }
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.pending = Pending::Firing(mark);
        self.fired = Place::fired(mark.block, self.depth, i64::MIN, 0, 0);
        self.fire();
    }

    fn frontier(&mut self, place: Place) -> bool {
        // Rows that the block's end will fire here stand before that end; while a mark fires, those
        // still to fire stand behind the last one that has.
        let place = match self.pending {
            Pending::Nothing => place.min(Place::fired(place.block(), self.depth, i64::MIN, 0, 0)),
            Pending::Firing(_) | Pending::Mark(_) => self.fired,
        };
        let main_told = self.main.frontier(place);
        let late_told = self.late.frontier(place);
        // What is pending moves the place on by itself.
        main_told && late_told && matches!(self.pending, Pending::Nothing)
    }

    fn end(&mut self) {
        self.main.end();
        self.late.end();
    }
}

/// An ordered sink.
pub(crate) struct SinkStage<T> {
    sink: Box<dyn Sink<T>>,
    /// Whether rows were written since the last flush.
    dirty: bool,
    ended: bool,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

impl<T: Record> SinkStage<T> {
    pub(crate) fn new(
        sink: Box<dyn Sink<T>>,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let mut stage = Self { sink, dirty: false, ended: false, counters, worker, shared };
        let opened = blame::in_step(&stage.counters.name, || stage.sink.open(&stage.shared.symbols));
        stage.check(opened);
        stage
    }

    fn check<R>(&self, result: Result<R, crate::BoxError>) -> Option<R> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.shared.fail(Error::Sink { name: self.counters.name.to_string(), error });
                None
            }
        }
    }
}

impl<T: Record> Stage<T> for SinkStage<T> {
    const USES_PLACES: bool = false;

    fn is_ready(&mut self) -> bool {
        true
    }

    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        let sink = &mut self.sink;
        let name = &self.counters.name;
        let result = blame::at_position(
            |index| position_of(&rows.places, index),
            || blame::in_step(name, || sink.write(rows.times, rows.values)),
        );
        let taken = self.check(result).unwrap_or(0).min(rows.values.len());
        let counters = self.counters.of(self.worker);
        add(&counters.rows_in, taken as u64);
        add(&counters.rows_out, taken as u64);
        self.dirty |= taken > 0;
        taken
    }

    fn mark(&mut self, mark: BlockMark) {
        self.counters.of(self.worker).watermark.set(mark.watermark.as_nanos());
    }

    fn frontier(&mut self, _: Place) -> bool {
        if self.dirty {
            self.dirty = false;
            let sink = &mut self.sink;
            let flushed = blame::in_step(&self.counters.name, || sink.flush());
            self.check(flushed);
        }
        true
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.counters.of(self.worker).watermark.set(i64::MAX);
            let sink = &mut self.sink;
            let finished = blame::in_step(&self.counters.name, || sink.finish());
            self.check(finished);
        }
    }
}
