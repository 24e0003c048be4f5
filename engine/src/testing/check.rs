//! What an operator emits in one call, held against the contract: causes, order, and an outbox that is full.

use crate::progress::place::Place;
use crate::{CanonicalKey, Timestamp};
use std::fmt;

/// The rank of the operator among the steps of a job.
const RANK: usize = 2;

/// What caused a row that came out: it says where the row stands.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// A row of the batch, which is that of a step of the script.
    Row { index: usize, step: usize, watermark: Timestamp },
    /// A firing.
    Fired { time: Timestamp, key: CanonicalKey },
}

impl Stand {
    pub(super) fn place(&self) -> Place {
        match *self {
            // The clock that the watermark follows, 1 ns ahead of it.
            Self::Row { step, watermark: Timestamp::MIN, .. } => Place::event(Timestamp::MIN, 0, step as u64),
            Self::Row { step, watermark, .. } => Place::event(watermark.plus_nanos(1), 0, step as u64),
            Self::Fired { time, key } => Place::fired(0, RANK, time, key.value(), key.hash()),
        }
    }

    /// The step of the row that caused it.
    pub(super) const fn step(&self) -> Option<usize> {
        match self {
            Self::Row { step, .. } => Some(*step),
            Self::Fired { .. } => None,
        }
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { step, watermark, .. } => write!(f, "caused by the row of step {step}, before which the watermark is {watermark}"),
            Self::Fired { time, key } => write!(f, "fired at {time} for {:#034x}, {:#018x}", key.value(), key.hash()),
        }
    }
}

/// What one call left in the outbox.
pub(super) struct Call<'a> {
    /// Rows that were in each output before the call.
    pub(super) filled: &'a [usize],
    /// Rows of an output from which on the outbox is full.
    pub(super) capacity: usize,
    /// What stands in each output.
    pub(super) stands: Vec<Vec<Stand>>,
    /// The last row of each output, also of calls before.
    pub(super) last: &'a mut [Option<Stand>],
}

/// The rows of a batch that an operator got.
pub(super) struct Rows<'a> {
    pub(super) steps: &'a [usize],
    pub(super) watermarks: &'a [Timestamp],
}

impl Call<'_> {
    fn is_full(&self) -> bool {
        self.stands.iter().any(|stands| stands.len() >= self.capacity)
    }

    /// Leaves only what the call emitted.
    fn skip_filled(&mut self) -> Result<(), String> {
        for (stands, filled) in self.stands.iter_mut().zip(self.filled) {
            if stands.len() < *filled {
                return Err(String::from("it took rows out of the outbox"));
            }
            stands.drain(..filled);
        }
        Ok(())
    }

    /// Holds the answer to a batch against the contract; what stands in each output now.
    pub(super) fn batch(mut self, rows: Rows<'_>, taken: usize) -> Result<Vec<Vec<Stand>>, String> {
        let count = rows.steps.len();
        if taken > count {
            return Err(format!("on_batch took {taken} rows of {count}"));
        }
        if taken < count && !self.is_full() {
            return Err(format!("on_batch took {taken} of {count} rows, though the outbox is not full"));
        }
        self.skip_filled()?;
        // An operator may stop at a row and give the rest of what it causes when it comes again.
        let looked_at = taken.min(count - 1);
        for stand in self.stands.iter_mut().flatten() {
            match stand {
                Stand::Row { index, .. } if *index > looked_at => {
                    return Err(format!("on_batch emitted for row {index} of {count}, but took {taken}"));
                }
                Stand::Row { index, step, watermark } => {
                    (*step, *watermark) = (rows.steps[*index], rows.watermarks[*index]);
                }
                Stand::Fired { time, .. } if *time > rows.watermarks[looked_at] => {
                    return Err(format!(
                        "on_batch fired at {time}, but the watermark before the last row that it looked at is {}",
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
                Stand::Row { .. } => {
                    return Err(String::from("on_watermark emitted a row as caused by a row of a batch"));
                }
                Stand::Fired { time, .. } if *time > watermark => {
                    return Err(format!("on_watermark fired at {time}, but the watermark is {watermark}"));
                }
                Stand::Fired { time, .. } if said > watermark => {
                    return Err(format!(
                        "on_watermark fired at {time} at the watermark {watermark}, but next_firing had said {said}"
                    ));
                }
                Stand::Fired { .. } => {}
            }
        }
        self.order()?;
        self.room("on_watermark")?;
        Ok(self.stands)
    }

    /// Rows leave each output in growing order of place, over calls too.
    fn order(&mut self) -> Result<(), String> {
        for (stands, last) in self.stands.iter().zip(self.last.iter_mut()) {
            for stand in stands {
                if let Some(before) = last.filter(|before| before.place() > stand.place()) {
                    return Err(format!(
                        "rows do not leave an output in the job's order: one\n  {stand}\n  comes after one\n  {before}"
                    ));
                }
                *last = Some(*stand);
            }
        }
        Ok(())
    }

    /// Into an outbox that is full, an operator adds what else one row or firing causes, and otherwise at most one row
    /// to an output for each row that it takes.
    fn room(&self, call: &str) -> Result<(), String> {
        let was_full = self.filled.iter().any(|filled| *filled >= self.capacity);
        for stands in &self.stands {
            let full_from = if was_full { 0 } else { self.capacity };
            let filler = if was_full { None } else { stands.get(self.capacity - 1).map(Stand::place) };
            for at in full_from..stands.len() {
                let place = stands[at].place();
                match &stands[at] {
                    _ if filler == Some(place) => {}
                    Stand::Fired { .. } => {
                        return Err(format!("{call} fired into an outbox that was full: a row {}", stands[at]));
                    }
                    Stand::Row { index, .. } if at > 0 && stands[at - 1].place() == place => {
                        return Err(format!("{call} emitted several rows for row {index} into an outbox that was full"));
                    }
                    Stand::Row { .. } => {}
                }
            }
        }
        Ok(())
    }
}
