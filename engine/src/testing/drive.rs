//! One run of an operator over a script in one mode. Every answer is held against the contract.

use super::mode::{Mode, Random, Restore, Split};
use super::verify::Step;
use crate::base::blame;
use crate::operator::{Cause, OutColumns};
use crate::{Batch, Dictionary, Firing, Operator, Outbox, SLOTS, Slot, Timestamp, slot_of, worker_of};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The most operators that state is spread over.
const INSTANCES_MAX: usize = 5;

/// A row that came out, with the step that it came out at.
pub(super) struct Emitted<T> {
    pub(super) step: usize,
    pub(super) time: Timestamp,
    pub(super) value: T,
}

/// What came out of a run.
pub(super) struct Output<Out, In> {
    pub(super) main: Vec<Emitted<Out>>,
    pub(super) late: Vec<Emitted<In>>,
}

/// The hash of a row's key.
pub(super) type HashOf<In> = dyn Fn(&In) -> u64;

/// What orders fired rows: time, canonical key, hash.
type FiredAt = (Timestamp, u128, u64);

pub(super) struct Drive<'a, Op: Operator> {
    make: &'a dyn Fn() -> Op,
    hash_of: Option<&'a HashOf<Op::In>>,
    mode: Mode,
    random: Random,
    /// The operators, more than one only when rescaled; each owns the slots of one worker.
    instances: Vec<Op>,
    outbox: Outbox<Op::Out, Op::In>,
    /// Rows that were put into the outbox before the call, so that it was full.
    filled: usize,
    calls: usize,
    /// Calls and emitted rows so far: what ends an operator that does not end.
    work: usize,
    work_max: usize,
    step: usize,
    output: Output<Op::Out, Op::In>,
}

impl<'a, Op: Operator> Drive<'a, Op> {
    pub(super) fn new(
        make: &'a dyn Fn() -> Op,
        hash_of: Option<&'a HashOf<Op::In>>,
        symbols: &Arc<Dictionary>,
        mode: Mode,
        work_max: usize,
    ) -> Self {
        Self {
            make,
            hash_of,
            mode,
            random: Random::new(mode.seed),
            instances: Vec::new(),
            outbox: Outbox::new(mode.outbox, symbols.clone()),
            filled: 0,
            calls: 0,
            work: 0,
            work_max,
            step: 0,
            output: Output { main: Vec::new(), late: Vec::new() },
        }
    }

    /// The step it is at.
    pub(super) const fn step(&self) -> usize {
        self.step
    }

    pub(super) fn into_output(self) -> Output<Op::Out, Op::In> {
        self.output
    }

    /// Runs the script; a panic is told as any other failure.
    pub(super) fn run(&mut self, script: &[Step<Op::In>]) -> Result<(), String> {
        blame::take();
        catch_unwind(AssertUnwindSafe(|| self.run_steps(script))).unwrap_or_else(|payload| {
            let index = blame::take().index.map_or_else(String::new, |index| format!(" at row {index} of the batch"));
            Err(format!("panicked{index}: {}", message(&*payload)))
        })
    }

    fn run_steps(&mut self, script: &[Step<Op::In>]) -> Result<(), String> {
        self.instances.push((self.make)());
        self.renew()?;
        while let Some(step) = script.get(self.step) {
            let taken = match *step {
                Step::Watermark(watermark) => {
                    self.watermark(watermark)?;
                    1
                }
                Step::Behind { time, value, watermark } => {
                    self.rows(&[time], &[value], Some(watermark))?;
                    1
                }
                Step::Row { .. } => {
                    let (times, values) = self.piece(&script[self.step..]);
                    self.rows(&times, &values, None)?;
                    times.len()
                }
            };
            self.renew()?;
            self.step += taken;
        }
        Ok(())
    }

    /// The rows of the next batch: some of those up to the next step that is no plain row.
    fn piece(&mut self, script: &[Step<Op::In>]) -> (Vec<Timestamp>, Vec<Op::In>) {
        let rows = script.iter().map_while(|step| match *step {
            Step::Row { time, value } => Some((time, value)),
            _ => None,
        });
        let (mut times, mut values): (Vec<_>, Vec<_>) = rows.unzip();
        let take = match self.mode.split {
            Split::All => times.len(),
            Split::One => 1,
            Split::Random => self.random.up_to(times.len().min(8)),
        };
        times.truncate(take);
        values.truncate(take);
        (times, values)
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

    fn worker(&self, row: &Op::In) -> usize {
        self.hash_of.map_or(0, |hash_of| worker_of(slot_of(hash_of(row)), self.instances.len()))
    }

    /// Gives rows to the operators that own their keys, until all are taken.
    fn rows(&mut self, times: &[Timestamp], values: &[Op::In], behind: Option<Timestamp>) -> Result<(), String> {
        let mut main = Vec::new();
        let mut late = Vec::new();
        for instance in 0..self.instances.len() {
            let places: Vec<usize> = (0..values.len()).filter(|&i| self.worker(&values[i]) == instance).collect();
            let times: Vec<_> = places.iter().map(|&i| times[i]).collect();
            let values: Vec<_> = places.iter().map(|&i| values[i]).collect();
            let mut start = 0;
            while start < places.len() {
                self.next_call()?;
                let bounds = self.bounds(&times[start..]);
                let batch = Batch { behind, bounds, ..Batch::new(&times[start..], &values[start..]) };
                let rows = batch.values.len();
                let taken = self.instances[instance]
                    .on_batch(batch, &mut self.outbox)
                    .map_err(|error| format!("on_batch failed: {error}"))?;
                self.check_batch(rows, taken)?;
                let place = |index: u32| self.step + places[start + index as usize];
                collect(&self.outbox.main, self.filled, place, &mut main);
                collect(&self.outbox.late, 0, place, &mut late);
                start += taken;
            }
        }
        // Stable: the rows of one cause stay in the order they were emitted.
        main.sort_by_key(|row: &Emitted<_>| row.step);
        late.sort_by_key(|row: &Emitted<_>| row.step);
        self.output.main.append(&mut main);
        self.output.late.append(&mut late);
        Ok(())
    }

    /// Gives a watermark to all operators, until each has fired all.
    fn watermark(&mut self, watermark: Timestamp) -> Result<(), String> {
        let mut fired = Vec::new();
        for instance in 0..self.instances.len() {
            let mut last = None;
            loop {
                self.next_call()?;
                let firing = self.on_watermark(instance, watermark)?;
                self.check_fired(&mut last)?;
                let main = &self.outbox.main;
                for (i, cause) in main.causes.iter().enumerate().skip(self.filled) {
                    let row = Emitted { step: self.step, time: main.times[i], value: main.values[i] };
                    fired.extend(fired_at(cause).map(|at| (at, row)));
                }
                if firing == Firing::Done {
                    break;
                }
            }
            if self.mode.repeat {
                self.outbox.clear();
                let firing = self.on_watermark(instance, watermark)?;
                if firing == Firing::More || !self.outbox.main.values.is_empty() {
                    return Err(String::from("it had fired all, but fires again for the same watermark"));
                }
            }
        }
        fired.sort_by_key(|(at, _)| *at);
        self.output.main.extend(fired.into_iter().map(|(_, row)| row));
        Ok(())
    }

    fn on_watermark(&mut self, instance: usize, watermark: Timestamp) -> Result<Firing, String> {
        self.instances[instance]
            .on_watermark(watermark, &mut self.outbox)
            .map_err(|error| format!("on_watermark failed: {error}"))
    }

    /// Empties the outbox, or fills it up where the mode says so.
    fn next_call(&mut self) -> Result<(), String> {
        self.calls += 1;
        self.work += 1 + self.outbox.main.values.len().saturating_sub(self.filled) + self.outbox.late.values.len();
        if self.work > self.work_max {
            return Err(format!("no end: it is still going on after {} calls and rows", self.work_max));
        }
        self.outbox.clear();
        self.filled = 0;
        if self.mode.filled && self.calls % 2 == 1 {
            self.filled = self.mode.outbox;
            let main = &mut self.outbox.main;
            main.times.resize(self.filled, Timestamp::MIN);
            main.values.resize(self.filled, bytemuck::Zeroable::zeroed());
            main.causes.resize(self.filled, Cause::Row(0));
        }
        Ok(())
    }

    /// Holds the answer to a batch of `rows` against the contract.
    fn check_batch(&self, rows: usize, taken: usize) -> Result<(), String> {
        if taken > rows {
            return Err(format!("on_batch took {taken} rows of {rows}"));
        }
        if taken < rows && !self.outbox.is_full() {
            return Err(format!("on_batch took {taken} of {rows} rows, though the outbox is not full"));
        }
        self.check_kept()?;
        let mut indices = [self.rows_of(&self.outbox.main, self.filled)?, self.rows_of(&self.outbox.late, 0)?];
        for indices in &indices {
            if let Some(pair) = indices.windows(2).find(|pair| pair[0] > pair[1]) {
                return Err(format!("on_batch emitted for row {} of the batch after row {}", pair[1], pair[0]));
            }
            // An operator may stop within a row and give the rest of its rows when it comes again.
            if let Some(&index) = indices.last().filter(|&&index| index >= rows || index > taken) {
                return Err(format!("on_batch emitted for row {index} of {rows}, but took {taken}"));
            }
        }
        let [main, late] = &mut indices;
        let (mut in_main, mut in_late) = (self.filled, 0);
        let mut full = None;
        while let Some(&index) = main.first().into_iter().chain(late.first()).min() {
            if let Some(filler) = full {
                return Err(format!(
                    "on_batch emitted for row {index} of the batch, though the outbox was full from row {filler} on"
                ));
            }
            for (indices, count) in [(&mut *main, &mut in_main), (&mut *late, &mut in_late)] {
                let of_row = indices.partition_point(|&other| other == index);
                indices.drain(..of_row);
                *count += of_row;
            }
            full = (in_main.max(in_late) >= self.mode.outbox).then_some(index);
        }
        Ok(())
    }

    /// The rows of the batch that caused the rows of an output.
    fn rows_of<T>(&self, columns: &OutColumns<T>, skip: usize) -> Result<Vec<usize>, String> {
        let causes = columns.causes.iter().skip(skip);
        causes
            .map(|cause| match cause {
                Cause::Row(index) => Ok(*index as usize),
                Cause::Fired { .. } => Err(String::from("on_batch emitted a row as fired by a watermark")),
            })
            .collect()
    }

    fn check_kept(&self) -> Result<(), String> {
        if self.outbox.main.values.len() < self.filled {
            return Err(String::from("it took rows out of the outbox"));
        }
        Ok(())
    }

    /// Holds what one call fired against the contract. `last` is the last row of the calls before.
    fn check_fired(&self, last: &mut Option<FiredAt>) -> Result<(), String> {
        self.check_kept()?;
        if !self.outbox.late.values.is_empty() {
            return Err(String::from("on_watermark emitted late rows"));
        }
        let main = &self.outbox.main;
        if self.filled > 0 && main.values.len() > self.filled {
            return Err(String::from("on_watermark emitted into a full outbox"));
        }
        let before = *last;
        for (i, cause) in main.causes.iter().enumerate().skip(self.filled) {
            let Some(at) = fired_at(cause) else {
                return Err(String::from("on_watermark emitted a row as caused by a row of a batch"));
            };
            if last.is_some_and(|last| last > at) {
                let order = |(time, key, hash): FiredAt| format!("({time}, {key:#034x}, {hash:#018x})");
                return Err(format!(
                    "fired rows are not in growing order of time, canonical key and hash:\n  {}\n  comes after\n  {}",
                    order(at),
                    last.map_or_else(String::new, order),
                ));
            }
            if before == Some(at) {
                return Err(String::from(
                    "on_watermark parted rows of one key and time: it returned More between them",
                ));
            }
            if i >= self.mode.outbox && *last != Some(at) {
                return Err(String::from("on_watermark went on to emit into an outbox that had become full"));
            }
            *last = Some(at);
        }
        Ok(())
    }

    /// Where the mode says so, saves all state and goes on with fresh operators that restore it.
    fn renew(&mut self) -> Result<(), String> {
        let instances = match self.mode.restore {
            Restore::Never => return Ok(()),
            Restore::Fresh => 1,
            Restore::Rescaled => self.random.up_to(INSTANCES_MAX),
        };
        let mut pieces: Vec<(Slot, Vec<u8>)> = Vec::new();
        for (worker, operator) in self.instances.iter().enumerate() {
            let first = pieces.len();
            operator.save(&mut |slot, bytes| pieces.push((slot, bytes.to_vec())));
            if let Some((slot, _)) = pieces[first..].iter().find(|(slot, _)| usize::from(*slot) >= SLOTS) {
                return Err(format!("save wrote a piece of slot {slot}, but there are {SLOTS}"));
            }
            let workers = self.instances.len();
            if let Some((slot, _)) = pieces[first..].iter().find(|(slot, _)| worker_of(*slot, workers) != worker) {
                return Err(format!("save wrote a piece of slot {slot}, but no row of that slot came"));
            }
        }
        self.random.shuffle(&mut pieces);
        self.instances = (0..instances).map(|_| (self.make)()).collect();
        for (slot, bytes) in pieces {
            self.instances[worker_of(slot, instances)]
                .restore(slot, &bytes)
                .map_err(|error| format!("restore refused a piece that save wrote: {error}"))?;
        }
        Ok(())
    }
}

const fn fired_at(cause: &Cause) -> Option<FiredAt> {
    match *cause {
        Cause::Fired { time, key, hash } => Some((time, key, hash)),
        Cause::Row(_) => None,
    }
}

/// Appends the rows that rows of the batch caused, behind the first `skip`.
fn collect<T: Copy>(columns: &OutColumns<T>, skip: usize, step: impl Fn(u32) -> usize, into: &mut Vec<Emitted<T>>) {
    for (i, cause) in columns.causes.iter().enumerate().skip(skip) {
        if let Cause::Row(index) = *cause {
            into.push(Emitted { step: step(index), time: columns.times[i], value: columns.values[i] });
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("(no text)"))
}
