//! A keyed step: an operator with its outputs, as whoever feeds it sees it.

use crate::base::blame;
use crate::operator::{Batch, Cause, Firing, Operator, OperatorError, OperatorInput, Outbox, Outputs, state};
use crate::progress::mark::Barrier;
use crate::progress::order::{Clocks, Places};
use crate::progress::place::{Place, due_clock};
use crate::runtime::checkpoint::{Contribution, Giver};
use crate::runtime::metrics::{Counts, StepCounters, add};
use crate::runtime::outputs::{Origin, StepOutputs, Ways, watermark_of};
use crate::runtime::receiver::{Flow, Needs, Receiver, Step};
use crate::runtime::rows::Rows;
use crate::runtime::shared::JobShared;
use crate::store::{Scope, StoreError};
use crate::{Error, Layout, Timestamp};
use std::sync::Arc;

/// Rows that an outbox holds before it is full: as many as stay in the first-level cache until they are given on, the
/// fewest, and the most.
const OUTBOX_BYTES: usize = 32 << 10;
const OUTBOX_ROWS: (usize, usize) = (64, 1024);

/// Rows that are taken before bytes of state are counted again: the fewest, once half of the room is used, and the most.
const UNCOUNTED_ROWS: (usize, usize) = (1024, 1 << 16);

/// Where a step stands in the graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepAt {
    /// Grows from step to step: of firings for one time, those of a step come before what they lead to.
    pub(crate) rank: usize,
    /// The watermark is this and 1 ns behind the clock.
    pub(crate) bound: i64,
    pub(crate) worker: usize,
    pub(crate) counting: Counting,
}

/// What of a stage counts in the report of its step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    /// Whether the rows it takes are the step's input.
    pub(crate) input: bool,
    /// Whether its results are counted, and its watermark is the step's.
    pub(crate) output: bool,
    /// The first input whose rows reach all workers, as those of all inputs behind it do.
    pub(crate) broadcast: Option<usize>,
}

impl Counting {
    /// Of a step that is one stage.
    pub(crate) const WHOLE: Self = Self { input: true, output: true, broadcast: None };
}

/// The rows that an outbox of these outputs holds.
fn outbox_rows<O: Outputs>() -> usize {
    let row_bytes = O::layouts().iter().map(Layout::size).max().unwrap_or(0) + size_of::<Cause>() + 8;
    (OUTBOX_BYTES / row_bytes).clamp(OUTBOX_ROWS.0, OUTBOX_ROWS.1)
}

/// A keyed step on one worker.
pub(crate) struct OperatorStage<Op: Operator>
where
    Op::Outputs: StepOutputs,
{
    operator: Op,
    outbox: Outbox<Op::Outputs>,
    ways: <Op::Outputs as StepOutputs>::Ways,
    needs: Needs,
    /// Whether rows of several outputs, which others may merge, have to leave in one order though the operator leaves
    /// firing to watermarks.
    keeps_order: bool,
    at: StepAt,
    /// Nothing below this will come.
    frontier: Place,
    pauses: bool,
    /// The watermark that the operator is told of, and whether it has fired all up to it.
    watermark: Timestamp,
    is_firing: bool,
    /// While it fires: nothing below this will be fired any more.
    fired: Place,
    /// The watermark behind all events, once it is known.
    end: Timestamp,
    /// The clock at which the operator wants to be called next.
    due: Timestamp,
    /// The most bytes of state, and rows taken since they were counted.
    bytes_max: usize,
    uncounted_rows: usize,
    /// How many rows may be taken before that.
    uncounted_max: usize,
    counters: Arc<StepCounters>,
    shared: Arc<JobShared>,
    /// Where checkpoints are taken, and the last one that this step gave to.
    giver: Option<Giver>,
    epoch: u64,
    /// The barrier at which its stores were marked, until all of that is given.
    saving: Option<Barrier>,
}

impl<Op: Operator> OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    pub(crate) fn new(
        operator: Op,
        ways: <Op::Outputs as StepOutputs>::Ways,
        at: StepAt,
        bytes_max: usize,
        counters: Arc<StepCounters>,
        shared: Arc<JobShared>,
    ) -> Self {
        // Places are asked for by those behind, or where rows behind the watermark may be given on.
        let needs = Needs { places: ways.needs().places, clocks: operator.needs_watermarks() };
        let taken = ways.taken();
        Self {
            due: due_clock(operator.next_firing(), at.bound),
            keeps_order: !needs.clocks && taken.iter().filter(|taken| **taken).count() > 1,
            operator,
            outbox: Outbox::new(outbox_rows::<Op::Outputs>(), shared.symbols.clone()).taken_by(taken, needs.places),
            ways,
            needs,
            at,
            frontier: Place::MIN,
            pauses: false,
            watermark: Timestamp::MIN,
            is_firing: false,
            fired: Place::MIN,
            end: Timestamp::MAX,
            bytes_max,
            uncounted_rows: 0,
            uncounted_max: if at.counting.input { UNCOUNTED_ROWS.0 } else { 1 },
            counters,
            shared,
            giver: None,
            epoch: 0,
            saving: None,
        }
    }

    /// Has the step give to checkpoints.
    pub(crate) fn giving(self, giver: Option<Giver>) -> Self {
        Self { giver, ..self }
    }

    /// Gives about `room` bytes of what was marked at the last barrier.
    fn save(&mut self, room: usize) {
        if let (Some(barrier), Some(giver)) = (self.saving, &self.giver) {
            let (operator, name) = (&mut self.operator, &self.counters.name);
            let (pieces, is_all) = blame::in_step(name, || state::take(operator, room));
            giver.give_pieces(barrier, pieces, is_all);
            if is_all {
                self.saving = None;
            }
        }
    }

    /// What it counted.
    fn contribution(&self) -> Contribution {
        let Counting { input, output, .. } = self.at.counting;
        let counts = self.counters.of(self.at.worker).counts();
        // Steps that stand for one count apart.
        let counts = Counts {
            rows_in: if input { counts.rows_in } else { 0 },
            late: if input { counts.late } else { 0 },
            rows_out: if output { counts.rows_out } else { 0 },
            watermark: if output { counts.watermark } else { i64::MAX },
            ..Counts::default()
        };
        Contribution { counts: vec![counts], ..Contribution::default() }
    }

    fn fail(&self, error: OperatorError) {
        self.shared.fail(Error::Step { step: self.counters.name.to_string(), error });
    }

    /// Ends the job where the state has grown beyond its limit.
    #[cold]
    fn check_bytes(&mut self) {
        let bytes = state::bytes(&mut self.operator);
        self.uncounted_rows = 0;
        let next = if bytes > self.bytes_max / 2 { UNCOUNTED_ROWS.0 } else { self.uncounted_max * 2 };
        // Tables of parts come as one row each.
        self.uncounted_max = if self.at.counting.input { next.min(UNCOUNTED_ROWS.1) } else { 1 };
        if bytes > self.bytes_max {
            self.fail(StoreError::TooManyBytes(bytes, self.bytes_max).into());
        }
    }

    /// Whether an operator that took no row does so for a reason: there is no room, it emitted, or more is due.
    fn moves_on(&self, watermark: Timestamp) -> bool {
        self.outbox.has_any() || self.operator.next_firing() <= watermark
    }

    /// Gives on what the operator emitted.
    fn give_on(&mut self, places: Places<'_>, clocks: Clocks<'_>) {
        let StepAt { bound, rank, worker, counting } = self.at;
        let counters = self.counters.of(worker);
        let fired = &mut self.fired;
        let count = |output: usize, rows: usize| {
            if Op::LATE_OUTPUTS.contains(&output) {
                add(&counters.late, rows as u64);
            } else if counting.output {
                add(&counters.rows_out, rows as u64);
            }
        };
        let origin = Origin { places, clocks, bound, rank, end: self.end };
        for (output, rows) in self.outbox.take_counted().into_iter().enumerate() {
            if rows > 0 {
                count(output, rows);
            }
        }
        self.ways.give_on(&mut self.outbox.columns, origin, |output, given| {
            count(output, given.rows);
            if let Some(last) = given.last {
                *fired = (*fired).max(last.behind_all_it_becomes());
            }
        });
    }

    /// Fires what the frontier allows, as far as the outputs take it; whether all was fired.
    fn fire(&mut self) -> bool {
        while self.is_firing {
            if self.shared.is_halted() || !self.ways.is_ready() {
                return false;
            }
            let (operator, outbox, watermark) = (&mut self.operator, &mut self.outbox, self.watermark);
            let fired = blame::at_position(
                |_| format!("watermark {watermark}"),
                || blame::in_step(&self.counters.name, || operator.on_watermark(watermark, outbox)),
            );
            match fired {
                Ok(firing) => {
                    self.give_on(Places::Full(&[]), Clocks::InPlaces);
                    self.is_firing = firing == Firing::More;
                }
                Err(error) => {
                    self.fail(error);
                    return false;
                }
            }
        }
        self.due = due_clock(self.operator.next_firing(), self.at.bound);
        true
    }
}

impl<Op: Operator> Flow for OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    fn is_ready(&mut self) -> bool {
        if !self.ways.is_ready() {
            return false;
        }
        if !self.is_firing {
            return true;
        }
        if !self.fire() {
            return false;
        }
        let (frontier, pauses) = (self.frontier, self.pauses);
        self.ways.frontier(frontier, pauses);
        self.ways.is_ready()
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        self.pauses = pauses;
        // While it fires, the frontier is what it fires up to.
        if place > self.frontier && !self.is_firing {
            self.frontier = place;
            let watermark = watermark_of(&place, self.at.bound);
            if place.is_behind_events() {
                self.end = watermark;
                self.operator.on_events_over(watermark);
            }
            if watermark > self.watermark {
                self.watermark = watermark;
                if self.at.counting.output {
                    self.counters.of(self.at.worker).watermark.set(watermark);
                }
                self.is_firing = place.clock() >= self.due || watermark == Timestamp::MAX;
                let first = self.operator.next_firing();
                let fired = Place::fired(self.at.bound, self.at.rank, first, 0, 0);
                self.fired = if first > self.end { fired.at_end() } else { fired };
            }
        }
        if self.is_firing && !self.fire() {
            let fired = self.fired;
            self.ways.frontier(fired, false);
            return false;
        }
        let frontier = self.frontier;
        self.ways.frontier(frontier, pauses) && frontier >= place
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        if self.epoch < barrier.epoch {
            // All that stands before it is fired first.
            if !self.is_ready() || (!self.frontier(barrier.place, false) && self.is_firing) || !self.ways.is_ready() {
                return false;
            }
            self.epoch = barrier.epoch;
            // The checkpoint before is complete, or nobody wants it.
            self.save(usize::MAX);
            if let Some(giver) = self.giver.clone() {
                let begun = self.shared.clock.now();
                let scope = if barrier.is_whole { Scope::All } else { Scope::Changed };
                let (operator, name) = (&mut self.operator, &self.counters.name);
                blame::in_step(name, || state::mark(operator, scope));
                let marking = self.shared.clock.now().saturating_sub(begun);
                giver.give_marked(barrier, self.contribution(), marking);
                self.saving = Some(barrier);
            }
        }
        self.ways.barrier(barrier)
    }

    fn work(&mut self) -> bool {
        let slice = self.saving.and(self.giver.as_ref()).and_then(Giver::slice);
        if let Some(room) = slice {
            self.save(room);
        }
        self.ways.work() || slice.is_some()
    }

    fn end(&mut self) {
        self.save(usize::MAX);
        if let Some(giver) = self.giver.take() {
            giver.finish(self.contribution());
        }
        self.ways.end();
    }

    fn needs(&self) -> Needs {
        self.needs
    }
}

impl<Op: Operator> Step for OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    fn is_due(&self, frontier: &Place) -> bool {
        frontier.clock() >= self.due
            && *frontier > self.frontier
            && watermark_of(frontier, self.at.bound) > self.watermark
    }
}

impl<Op: Operator> OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    /// Fires what is due before the first of these rows, and says how many rows come before more is due.
    ///
    /// An operator that leaves firing to watermarks would give on late rows before firings that stand before them, and
    /// whoever merges both would wait for firings that wait for room for late rows.
    fn rows_before_due<T>(&mut self, rows: &Rows<'_, T>) -> usize {
        let clock = |index| rows.places.clock_before(&rows.clocks, index);
        if matches!(rows.clocks, Clocks::OnTime) || clock(rows.len() - 1) < self.due {
            return rows.len();
        }
        if clock(0) >= self.due {
            self.frontier(rows.place(0), false);
            if self.is_firing || !self.ways.is_ready() {
                return 0;
            }
        }
        (0..rows.len()).position(|index| clock(index) >= self.due).unwrap_or(rows.len())
    }
}

impl<const PORT: usize, Op: OperatorInput<PORT>> Receiver<Op::Row, PORT> for OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    fn rows(&mut self, rows: Rows<'_, Op::Row>) -> usize {
        let count = if self.keeps_order { self.rows_before_due(&rows) } else { rows.len() };
        if count == 0 {
            return 0;
        }
        let rows = if count < rows.len() { rows.range(0..count) } else { rows };
        let batch = Batch::in_job(rows.times, rows.values, rows.places, rows.clocks, self.at.bound);
        let batch = batch.within(rows.bounds, rows.ahead).in_order(self.keeps_order);
        let (operator, outbox, name) = (&mut self.operator, &mut self.outbox, &self.counters.name);
        let result = blame::at_position(
            |index| rows.position(index),
            || blame::in_step(name, || operator.on_batch(batch, outbox)),
        );
        match result {
            Ok(taken) if taken > count || (taken == 0 && !self.moves_on(batch.watermark(0))) => {
                self.fail(OperatorError::Failed(format!("it took {taken} rows of {count}, though it could go on")));
                0
            }
            Ok(taken) => {
                // Rows that reach all workers count where the first takes them.
                let is_counted = self.at.worker == 0 || self.at.counting.broadcast.is_none_or(|first| PORT < first);
                if self.at.counting.input && is_counted {
                    add(&self.counters.of(self.at.worker).rows_in, taken as u64);
                }
                self.give_on(rows.places, rows.clocks);
                self.due = due_clock(self.operator.next_firing(), self.at.bound);
                self.uncounted_rows += taken;
                if self.uncounted_rows >= self.uncounted_max {
                    self.check_bytes();
                }
                taken
            }
            Err(error) => {
                self.fail(error);
                0
            }
        }
    }
}
