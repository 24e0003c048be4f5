//! One run of an operator over a script in one mode. Every answer is held against the contract.

use super::check::{Call, Rows, Stand};
use super::failure::panic_message;
use super::input::{Columns, Inputs, Piece};
use super::mode::{Mode, Random, Restore, Split, Tell};
use super::output::Tested;
use super::script::{Script, Step};
use crate::base::blame;
use crate::base::key::slots_of;
use crate::operator::state;
use crate::{ALL_SLOTS, Firing, Operator, Outbox, Outputs, SLOTS, Scope, Share, Slot, Timestamp, slot_of, worker_of};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most operators that state is spread over.
const INSTANCES_MAX: usize = 5;

/// The hash of a row's key; none for a row that goes to all operators.
pub(super) type HashOf<Row> = dyn Fn(&Row) -> Option<u64>;

/// An operator, and the last row of each of its outputs.
struct Instance<Op> {
    operator: Op,
    last: Vec<Option<Stand>>,
}

impl<Op: Operator> Instance<Op>
where
    Op::Outputs: Tested,
{
    fn new(operator: Op) -> Self {
        Self { operator, last: vec![None; Op::Outputs::COUNT] }
    }
}

pub(super) struct Drive<'a, Op: Operator, I: Inputs<Op>>
where
    Op::Outputs: Tested,
{
    make: &'a dyn Fn() -> Op,
    hash_of: Option<&'a HashOf<I::Row>>,
    script: &'a Script<I::Row>,
    mode: Mode,
    random: Random,
    /// The operators, more than one only when rescaled; each owns the slots of one worker.
    instances: Vec<Instance<Op>>,
    outbox: Outbox<Op::Outputs>,
    /// Rows that were put into the first output before the call, so that the outbox was full.
    filled: usize,
    calls: usize,
    /// Calls and emitted rows so far: what ends an operator that does not end.
    work: usize,
    work_max: usize,
    step: usize,
    /// The last watermark that all operators were told.
    told: Timestamp,
    /// The last watermark before a row that was taken, or that all were told.
    reached: Timestamp,
    /// What was saved of the operator, writing by writing.
    saved: Vec<Vec<state::Piece>>,
    /// What was taken so far of what is marked, where something is.
    marked: Option<Vec<state::Piece>>,
    found: <Op::Outputs as Tested>::Found,
}

impl<'a, Op: Operator, I: Inputs<Op>> Drive<'a, Op, I>
where
    Op::Outputs: Tested,
{
    pub(super) fn new(
        make: &'a dyn Fn() -> Op,
        hash_of: Option<&'a HashOf<I::Row>>,
        script: &'a Script<I::Row>,
        mode: Mode,
        work_max: usize,
    ) -> Self {
        Self {
            make,
            hash_of,
            script,
            mode,
            random: Random::new(mode.seed),
            instances: Vec::new(),
            outbox: Outbox::new(mode.outbox, script.symbols().clone()),
            filled: 0,
            calls: 0,
            work: 0,
            work_max,
            step: 0,
            told: Timestamp::MIN,
            reached: Timestamp::MIN,
            saved: Vec::new(),
            marked: None,
            found: Op::Outputs::found(),
        }
    }

    /// The step it is at.
    pub(super) const fn step(&self) -> usize {
        self.step
    }

    /// What came out, in the job's order.
    pub(super) fn into_found(mut self) -> <Op::Outputs as Tested>::Found {
        Op::Outputs::sort(&mut self.found);
        self.found
    }

    /// Runs the script; a panic is told as any other failure.
    pub(super) fn run(&mut self) -> Result<(), String> {
        blame::take();
        catch_unwind(AssertUnwindSafe(|| self.run_steps())).unwrap_or_else(|payload| {
            let index = blame::take().index.map_or_else(String::new, |index| format!(" at row {index} of the batch"));
            Err(format!("panicked{index}: {}", panic_message(&*payload)))
        })
    }

    fn run_steps(&mut self) -> Result<(), String> {
        self.instances.push(Instance::new((self.make)()));
        self.renew()?;
        let plan = self.plan();
        let mut rest = &plan[..];
        while let Some((at, step)) = rest.first() {
            self.step = *at;
            let taken = match step {
                Step::Watermark(watermark) => {
                    self.watermark(*watermark)?;
                    1
                }
                Step::Row { watermark, .. } => {
                    let tells =
                        self.mode.tell == Tell::Batches || (self.mode.tell == Tell::Random && self.random.coin());
                    if tells && *watermark > self.told {
                        self.watermark(*watermark)?;
                        self.renew()?;
                    }
                    let rows = self.piece(rest);
                    self.rows(&rows)?;
                    rows.values.len()
                }
            };
            self.renew()?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The steps with their numbers, but for watermarks that the operator is not told.
    ///
    /// What is reached is told at the end, before the end of the input too: timers that are due before it may ask for
    /// others, those that are left then may not.
    fn plan(&mut self) -> Vec<(usize, Step<I::Row>)> {
        let mut plan = Vec::new();
        let (mut reached, mut told) = (Timestamp::MIN, Timestamp::MIN);
        for (at, step) in self.script.steps().iter().enumerate() {
            if matches!(step, Step::Watermark(Timestamp::MAX)) && reached > told {
                plan.push((at, Step::Watermark(reached)));
            }
            let watermark = match *step {
                Step::Row { watermark, .. } => watermark,
                Step::Watermark(Timestamp::MAX) => {
                    told = Timestamp::MAX;
                    Timestamp::MAX
                }
                Step::Watermark(watermark) => {
                    reached = reached.max(watermark);
                    if self.mode.tell == Tell::Last || (self.mode.tell == Tell::Random && self.random.coin()) {
                        continue;
                    }
                    told = told.max(watermark);
                    watermark
                }
            };
            reached = reached.max(watermark);
            plan.push((at, *step));
        }
        if reached > told {
            plan.push((self.script.steps().len(), Step::Watermark(reached)));
        }
        plan
    }

    /// The rows of the next batch: some of those of one input up to the next step that is none.
    fn piece(&mut self, steps: &[(usize, Step<I::Row>)]) -> Columns<I::Row> {
        let mut rows = Columns { steps: Vec::new(), times: Vec::new(), values: Vec::new(), watermarks: Vec::new() };
        for (at, step) in steps {
            let Step::Row { time, value, watermark } = *step else { break };
            if rows.values.first().is_some_and(|first| I::port(first) != I::port(&value)) {
                break;
            }
            rows.steps.push(*at);
            rows.times.push(time);
            rows.values.push(value);
            rows.watermarks.push(watermark);
        }
        let take = match self.mode.split {
            Split::All => rows.values.len(),
            Split::One => 1,
            Split::Random => self.random.up_to(rows.values.len().min(8)),
        };
        rows.steps.truncate(take);
        rows.times.truncate(take);
        rows.values.truncate(take);
        rows.watermarks.truncate(take);
        rows
    }

    /// Bounds of the times: unknown, exact or wide.
    fn bounds(&mut self, times: &[Timestamp]) -> Option<(Timestamp, Timestamp)> {
        let (min, max) = (times.iter().min()?, times.iter().max()?);
        match self.random.up_to(3) {
            1 => None,
            2 => Some((*min, *max)),
            _ => {
                let width = self.random.up_to(64) as i64;
                Some((min.minus_nanos(width), max.plus_nanos(width)))
            }
        }
    }

    /// Gives rows to the operators that own their keys, until all are taken.
    fn rows(&mut self, rows: &Columns<I::Row>) -> Result<(), String> {
        let workers = self.instances.len();
        for worker in 0..workers {
            let rows = rows.pick(|row| match self.hash_of.map(|hash_of| hash_of(row)) {
                Some(Some(hash)) => worker_of(slot_of(hash), workers) == worker,
                Some(None) => true,
                None => worker == 0,
            });
            let mut start = 0;
            while start < rows.values.len() {
                start += self.batch(worker, &rows, start)?;
                let next = rows.watermarks.get(start).filter(|_| self.mode.tell == Tell::Random);
                if let Some(watermark) = next.copied().filter(|_| self.random.coin()) {
                    // The operator may have emitted for the next row, but no firing is left that is due before it.
                    self.fire(worker, watermark)?;
                }
            }
        }
        self.reached = self.reached.max(rows.watermarks.last().copied().unwrap_or(Timestamp::MIN));
        Ok(())
    }

    /// Gives one operator the rows from `start` on, and says how many it took.
    fn batch(&mut self, worker: usize, rows: &Columns<I::Row>, start: usize) -> Result<usize, String> {
        let mut end = rows.values.len();
        let needs = self.instances[worker].operator.needs_watermarks();
        // One that asks for all watermarks fires what is due before each row.
        let is_in_order = self.mode.tell == Tell::Due && !needs;
        if is_in_order {
            if self.instances[worker].operator.next_firing() <= rows.watermarks[start] {
                self.fire(worker, rows.watermarks[start])?;
            }
            let due = self.instances[worker].operator.next_firing();
            end = (start + 1..end).find(|row| rows.watermarks[*row] >= due).unwrap_or(end);
        }
        let (times, watermarks) = (&rows.times[start..end], &rows.watermarks[start..end]);
        let is_on_time = times.iter().zip(watermarks).all(|(time, watermark)| time > watermark);
        let is_told = needs || !is_on_time || self.random.coin();
        let bounds = self.bounds(times);
        let piece = Piece { times, values: &rows.values[start..end], watermarks, is_told, bounds, is_in_order };
        self.next_call()?;
        let Instance { operator, last } = &mut self.instances[worker];
        let taken =
            I::on_batch(operator, &piece, &mut self.outbox).map_err(|error| format!("on_batch failed: {error}"))?;
        let is_due = operator.next_firing() <= watermarks[0];
        let call = Call::new::<Op>(operator, &self.outbox, self.filled, self.mode, last);
        let stands = call.batch(Rows { steps: &rows.steps[start..end], watermarks, is_due }, taken)?;
        self.append(&stands);
        Ok(taken)
    }

    /// Gives a watermark to all operators, until each has fired all.
    fn watermark(&mut self, watermark: Timestamp) -> Result<(), String> {
        if watermark == Timestamp::MIN {
            return Ok(());
        }
        for worker in 0..self.instances.len() {
            let asked = self.instances[worker].operator.next_firing();
            if matches!(self.mode.tell, Tell::Asked | Tell::Due) && asked > watermark && watermark < Timestamp::MAX {
                continue;
            }
            self.fire(worker, watermark)?;
            if self.mode.repeat {
                self.outbox.clear();
                self.filled = 0;
                let firing = self.on_watermark(worker, watermark)?;
                if firing == Firing::More || Op::Outputs::fullest(&self.outbox.columns) > 0 {
                    return Err(String::from("it had fired all, but fires again for the same watermark"));
                }
            }
        }
        (self.told, self.reached) = (self.told.max(watermark), self.reached.max(watermark));
        Ok(())
    }

    /// Gives a watermark to one operator until it has fired all.
    fn fire(&mut self, worker: usize, watermark: Timestamp) -> Result<(), String> {
        if watermark == Timestamp::MIN {
            return Ok(());
        }
        loop {
            self.next_call()?;
            let said = self.instances[worker].operator.next_firing();
            let firing = self.on_watermark(worker, watermark)?;
            let Instance { operator, last } = &mut self.instances[worker];
            let call = Call::new::<Op>(operator, &self.outbox, self.filled, self.mode, last);
            let stands = call.fired(watermark, said)?;
            let says = operator.next_firing();
            self.append(&stands);
            if firing == Firing::More {
                continue;
            }
            if says <= watermark && watermark < Timestamp::MAX {
                return Err(format!("on_watermark has fired all up to {watermark:?}, but next_firing says {says:?}"));
            }
            return Ok(());
        }
    }

    fn on_watermark(&mut self, worker: usize, watermark: Timestamp) -> Result<Firing, String> {
        let operator = &mut self.instances[worker].operator;
        operator.on_watermark(watermark, &mut self.outbox).map_err(|error| format!("on_watermark failed: {error}"))
    }

    fn append(&mut self, stands: &[Vec<Stand>]) {
        self.work += stands.iter().map(Vec::len).sum::<usize>();
        Op::Outputs::append(&self.outbox.columns, self.step, stands, &mut self.found);
    }

    /// Empties the outbox, or fills it where the mode says so.
    fn next_call(&mut self) -> Result<(), String> {
        self.calls += 1;
        self.work += 1;
        if self.work > self.work_max {
            return Err(format!("no end: it is still going on after {} calls and rows", self.work_max));
        }
        self.outbox.clear();
        self.filled = 0;
        if self.mode.filled && self.calls % 2 == 1 {
            self.filled = self.mode.outbox;
            Op::Outputs::fill(&mut self.outbox.columns, self.filled);
        }
        Ok(())
    }

    /// Where the mode says so, saves state and goes on with fresh operators that restore it.
    fn renew(&mut self) -> Result<(), String> {
        match self.mode.restore {
            Restore::Never => Ok(()),
            Restore::Fresh => self.deal_out(1),
            Restore::Rescaled => {
                // As before a barrier: whoever has no row there fires what is due as well.
                for worker in 0..self.instances.len() {
                    if self.instances[worker].operator.next_firing() <= self.reached {
                        self.fire(worker, self.reached)?;
                    }
                }
                let instances = self.random.up_to(INSTANCES_MAX);
                self.deal_out(instances)
            }
            Restore::Changes => self.save_changes(),
        }
    }

    /// Saves all state and deals it out to so many fresh operators.
    fn deal_out(&mut self, instances: usize) -> Result<(), String> {
        let workers = self.instances.len();
        let mut pieces: Vec<state::Piece> = Vec::new();
        // Of this one what all have alike is taken.
        let chosen = self.random.up_to(workers) - 1;
        for (worker, Instance { operator, .. }) in self.instances.iter_mut().enumerate() {
            let saved = state::save(operator, Scope::All);
            for piece in &saved {
                let Share::Slot(slot) = piece.share else { continue };
                if usize::from(slot) >= SLOTS {
                    return Err(format!("save wrote a piece of slot {slot}, but there are {SLOTS}"));
                }
                if worker_of(slot, workers) != worker {
                    return Err(format!("save wrote a piece of slot {slot}, but no row of that slot came"));
                }
            }
            pieces.extend(saved.into_iter().filter(|piece| piece.share != Share::All || worker == chosen));
        }
        self.random.shuffle(&mut pieces);
        self.replace(instances);
        for piece in pieces {
            for (worker, instance) in self.instances.iter_mut().enumerate() {
                restore(instance, &piece, &slots_of(worker, instances), true)?;
            }
        }
        self.instances.iter_mut().try_for_each(check)
    }

    /// Marks what changed, and takes it bit by bit; now and then, restores all that was saved into a fresh operator.
    fn save_changes(&mut self) -> Result<(), String> {
        let is_replaced = self.random.up_to(4) == 1;
        let operator = &mut self.instances[0].operator;
        if let Some(mut pieces) = self.marked.take() {
            let room = if is_replaced { usize::MAX } else { self.random.up_to(64) };
            if !state::take_pieces(operator, room, &mut pieces) {
                self.marked = Some(pieces);
                return Ok(());
            }
            self.random.shuffle(&mut pieces);
            self.saved.push(pieces);
        }
        state::mark(operator, Scope::Changed);
        if !is_replaced {
            self.marked = Some(Vec::new());
            return Ok(());
        }
        let mut pieces = Vec::new();
        state::take_pieces(operator, usize::MAX, &mut pieces);
        self.random.shuffle(&mut pieces);
        self.saved.push(pieces);
        self.replace(1);
        let saved = std::mem::take(&mut self.saved);
        saved.iter().flatten().try_for_each(|piece| restore(&mut self.instances[0], piece, &ALL_SLOTS, false))?;
        check(&mut self.instances[0])
    }

    /// Goes on with so many fresh operators.
    fn replace(&mut self, instances: usize) {
        let fresh = (0..instances).map(|_| Instance::new((self.make)())).collect();
        let before = std::mem::replace(&mut self.instances, fresh);
        if let (false, Some(before)) = (self.mode.restore == Restore::Rescaled, before.into_iter().next()) {
            self.instances[0].last = before.last;
        }
    }
}

fn restore<Op: Operator>(
    instance: &mut Instance<Op>,
    piece: &state::Piece,
    slots: &Range<Slot>,
    is_dealt: bool,
) -> Result<(), String> {
    let refused = |error| format!("restore refused a piece that save wrote: {error}");
    state::restore(&mut instance.operator, piece, slots, is_dealt).map_err(refused)
}

fn check<Op: Operator>(instance: &mut Instance<Op>) -> Result<(), String> {
    state::check(&mut instance.operator).map_err(|error| format!("what was restored is beyond a limit: {error}"))
}
