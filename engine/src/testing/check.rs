//! What an operator emits in one call, held against the contract: causes, order, and an outbox that is full.

use super::mode::{Mode, Tell};
use super::output::Tested;
use crate::progress::place::{Place, TICK_UNITS};
use crate::{CanonicalKey, Operator, Outbox, Timestamp};
use std::fmt;

/// The rank of the operator among the steps of a job.
const RANK: usize = 2;

/// What caused a row that came out: it says where the row stands.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// A row of the batch, which is that of a step of the script.
    Row { index: usize, step: usize, watermark: Timestamp },
    /// A timer of processing time, which that row of the batch, a tick, has fired.
    Ticked { index: usize, step: usize, watermark: Timestamp, time: Timestamp, key: CanonicalKey },
    /// A firing.
    Fired { time: Timestamp, key: CanonicalKey },
}

/// The place of a row of a script: the clock that its watermark follows is 1 ns ahead of it. Each is in a unit of its own,
/// as it may be a tick.
fn event(step: usize, watermark: Timestamp) -> Place {
    let clock = if watermark == Timestamp::MIN { watermark } else { watermark.plus_nanos(1) };
    Place::event(clock, step as u64 * TICK_UNITS, 0)
}

impl Stand {
    pub(super) fn place(&self) -> Place {
        match *self {
            Self::Row { step, watermark, .. } => event(step, watermark),
            Self::Ticked { step, watermark, time, key, .. } => {
                event(step, watermark).ticked(RANK, time, key.value(), key.hash())
            }
            Self::Fired { time, key } => Place::fired(0, RANK, time, key.value(), key.hash()),
        }
    }

    /// The step of the row that caused it.
    pub(super) const fn step(&self) -> Option<usize> {
        match self {
            Self::Row { step, .. } | Self::Ticked { step, .. } => Some(*step),
            Self::Fired { .. } => None,
        }
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { step, watermark, .. } => {
                write!(f, "caused by the row of step {step}, before which the watermark is {watermark:?}")
            }
            Self::Ticked { step, time, key, .. } => {
                write!(
                    f,
                    "fired by the tick of step {step} at {time:?} for {:#034x}, {:#018x}",
                    key.value(),
                    key.hash()
                )
            }
            Self::Fired { time, key } => write!(f, "fired at {time:?} for {:#034x}, {:#018x}", key.value(), key.hash()),
        }
    }
}

/// What one call left in the outbox.
pub(super) struct Call<'a> {
    /// Rows that were in the first output before the call.
    filled: usize,
    /// Rows of an output from which on the outbox is full.
    capacity: usize,
    /// Whether the rows of all outputs are to leave in one order.
    is_in_order: bool,
    /// What stands in each output.
    stands: Vec<Vec<Stand>>,
    /// The last row of each output, also of calls before.
    last: &'a mut [Option<Stand>],
}

/// The rows of a batch that an operator got.
pub(super) struct Rows<'a> {
    pub(super) steps: &'a [usize],
    pub(super) watermarks: &'a [Timestamp],
    /// Whether the operator still has to fire before the first of them.
    pub(super) is_due: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new<Op: Operator<Outputs: Tested>>(
        operator: &Op,
        outbox: &Outbox<Op::Outputs>,
        filled: usize,
        mode: Mode,
        last: &'a mut [Option<Stand>],
    ) -> Self {
        let is_in_order = mode.tell == Tell::Due && !operator.needs_watermarks();
        let stands = Op::Outputs::causes(&outbox.columns);
        Self { filled, capacity: mode.outbox, is_in_order, stands, last }
    }

    fn is_full(&self) -> bool {
        self.stands.iter().any(|stands| stands.len() >= self.capacity)
    }

    /// Leaves only what the call emitted.
    fn skip_filled(&mut self) -> Result<(), String> {
        let Some(first) = self.stands.first_mut().filter(|first| first.len() >= self.filled) else {
            return Err(String::from("it took rows out of the outbox"));
        };
        first.drain(..self.filled);
        Ok(())
    }

    /// Holds the answer to a batch against the contract; what stands in each output now.
    pub(super) fn batch(mut self, rows: Rows<'_>, taken: usize) -> Result<Vec<Vec<Stand>>, String> {
        let count = rows.steps.len();
        if taken > count {
            return Err(format!("on_batch took {taken} rows of {count}"));
        }
        if taken == 0 && !self.is_full() && !rows.is_due {
            return Err(format!(
                "on_batch took none of {count} rows, though the outbox is not full and nothing is due"
            ));
        }
        self.skip_filled()?;
        // An operator may stop at a row and give the rest of what it causes when it comes again.
        let looked_at = taken.min(count - 1);
        for stand in self.stands.iter_mut().flatten() {
            match stand {
                Stand::Row { index, .. } | Stand::Ticked { index, .. } if *index > looked_at => {
                    return Err(format!("on_batch emitted for row {index} of {count}, but took {taken}"));
                }
                Stand::Row { index, step, watermark } | Stand::Ticked { index, step, watermark, .. } => {
                    (*step, *watermark) = (rows.steps[*index], rows.watermarks[*index]);
                }
                Stand::Fired { time, .. } if *time > rows.watermarks[looked_at] => {
                    return Err(format!(
                        "on_batch fired at {time:?}, but the watermark before the last row that it looked at is {:?}",
                        rows.watermarks[looked_at]
                    ));
                }
                Stand::Fired { .. } => {}
            }
        }
        self.order()?;
        self.room("on_batch")?;
        Ok(self.stands)
    }

    /// Holds what a watermark fired against the contract; `said` is what `next_firing` said before.
    pub(super) fn fired(mut self, watermark: Timestamp, said: Timestamp) -> Result<Vec<Vec<Stand>>, String> {
        self.skip_filled()?;
        for stand in self.stands.iter().flatten() {
            match stand {
                Stand::Row { .. } | Stand::Ticked { .. } => {
                    return Err(String::from("on_watermark emitted a row as caused by a row of a batch"));
                }
                Stand::Fired { time, .. } if *time > watermark => {
                    return Err(format!("on_watermark fired at {time:?}, but the watermark is {watermark:?}"));
                }
                Stand::Fired { time, .. } if said > watermark => {
                    return Err(format!(
                        "on_watermark fired at {time:?} at the watermark {watermark:?}, but next_firing had said {said:?}"
                    ));
                }
                Stand::Fired { .. } => {}
            }
        }
        self.order()?;
        self.room("on_watermark")?;
        Ok(self.stands)
    }

    /// Rows leave each output in growing order of place, over calls too; where that is asked for, what one call emits
    /// stands behind what those before have emitted to any output.
    fn order(&mut self) -> Result<(), String> {
        if self.is_in_order {
            let before = self.last.iter().flatten().max_by_key(|stand| stand.place()).copied();
            self.last.fill(before);
        }
        for (stands, last) in self.stands.iter().zip(self.last.iter_mut()) {
            for stand in stands {
                if let Some(before) = last.filter(|before| before.place() > stand.place()) {
                    return Err(format!(
                        "rows do not leave {} in the job's order: one\n  {stand}\n  comes after one\n  {before}",
                        if self.is_in_order { "all outputs" } else { "an output" }
                    ));
                }
                *last = Some(*stand);
            }
        }
        Ok(())
    }

    /// Into an outbox that is full, an operator adds what else one row or firing causes; the row before which a firing
    /// has filled it; and otherwise at most one row to an output for each row that it takes.
    fn room(&self, call: &str) -> Result<(), String> {
        let was_full = self.filled >= self.capacity;
        for stands in &self.stands {
            let full_from = if was_full { 0 } else { self.capacity };
            let filler = if was_full { None } else { stands.get(self.capacity - 1) };
            let fired = filler.filter(|filler| filler.step().is_none());
            let before = fired.and_then(|fired| stands[full_from..].iter().find(|stand| *stand != fired));
            let may_go_on: Vec<_> = filler.into_iter().chain(before).map(Stand::place).collect();
            for at in full_from..stands.len() {
                let place = stands[at].place();
                match &stands[at] {
                    Stand::Row { .. } | Stand::Ticked { .. } if may_go_on.contains(&place) => {}
                    Stand::Fired { .. } if filler.is_some_and(|filler| filler.place() == place) => {}
                    Stand::Fired { .. } | Stand::Ticked { .. } => {
                        return Err(format!("{call} fired into an outbox that was full: a row {}", stands[at]));
                    }
                    Stand::Row { index, .. } if at > 0 && stands[at - 1].place() == place => {
                        return Err(format!(
                            "{call} emitted several rows for row {index} into an outbox that was full"
                        ));
                    }
                    Stand::Row { .. } => {}
                }
            }
        }
        Ok(())
    }
}
