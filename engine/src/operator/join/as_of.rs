//! The as-of join: each row of the left stream with the row of the right stream that lies nearest to it, in one direction or
//! both.
//!
//! A left row of time `t` meets one right row with its key. Backward that is the last one, in order of (time, place), at or
//! before `t`; forward the first one at or after `t`; and nearest is whichever of the two is nearer, the backward one
//! where both are as near. Right rows farther off than the tolerance do not count.
//!
//! Backward, a left row is answered at `t`, and otherwise at `t` plus the tolerance. Of right rows those are kept that a left
//! row may still meet, and unless the join is forward the latest one before them.

use crate::base::time::duration_nanos;
use crate::operator::join::answered::Answer;
use crate::store::{KeyedRows, KeyedTable};
use crate::{Key, Record, Timestamp};
use std::time::Duration;

/// Which right row an as-of join looks for, and how far.
///
/// ```
/// use pelton::AsOf;
/// use std::time::Duration;
///
/// let any = AsOf::backward();
/// let recent = AsOf::backward().within(Duration::from_secs(5));
/// let next = AsOf::forward(Duration::from_secs(5));
/// let nearest = AsOf::nearest(Duration::from_secs(5));
/// # let _ = (any, recent, next, nearest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    direction: Direction,
    /// In nanoseconds; there is one unless the direction is backward.
    tolerance: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Backward,
    Forward,
    Nearest,
}

impl AsOf {
    /// The latest right row at or before the left row's time, however old it is. Of equal times the last one counts.
    pub const fn backward() -> Self {
        Self { direction: Direction::Backward, tolerance: None }
    }

    /// The first right row at or after the left row's time, and at most `tolerance` after it. Of equal times the first one
    /// counts. A left row is answered `tolerance` after its time.
    pub fn forward(tolerance: Duration) -> Self {
        Self { direction: Direction::Forward, tolerance: Some(duration_nanos(tolerance)) }
    }

    /// The right row that is nearest to the left row's time, and at most `tolerance` before or after it. Where the latest
    /// before and the first after it are as near, the one before it counts. A left row is answered `tolerance` after its
    /// time.
    pub fn nearest(tolerance: Duration) -> Self {
        Self { direction: Direction::Nearest, tolerance: Some(duration_nanos(tolerance)) }
    }

    /// A right row counts only if it is at most so far from the left row in time, in place of the tolerance so far.
    pub fn within(self, tolerance: Duration) -> Self {
        Self { tolerance: Some(duration_nanos(tolerance)), ..self }
    }
}

impl<R: Record> Answer<R> for AsOf {
    type Met = R;

    fn answered_at(&self, left: Timestamp) -> Timestamp {
        match self.direction {
            Direction::Backward => left,
            Direction::Forward | Direction::Nearest => left.plus_nanos(self.tolerance.unwrap_or(0)),
        }
    }

    fn find(&self, rights: &KeyedRows<R>, entry: usize, left: Timestamp, _: &mut usize) -> Option<R> {
        let reaches = |time: Timestamp| {
            let apart = time.as_nanos().abs_diff(left.as_nanos());
            self.tolerance.is_none_or(|tolerance| apart <= tolerance.unsigned_abs()).then_some(apart)
        };
        let before = || {
            let (time, row) = rights.latest_at(entry, left)?;
            Some((reaches(*time)?, *row))
        };
        let after = || {
            let (time, row) = rights.between(entry, left, Timestamp::MAX).next()?;
            Some((reaches(*time)?, *row))
        };
        let found = match self.direction {
            Direction::Backward => before(),
            Direction::Forward => after(),
            Direction::Nearest => before().into_iter().chain(after()).min_by_key(|(apart, _)| *apart),
        };
        found.map(|(_, row)| row)
    }

    fn drop_before<K: Key>(
        &self,
        rights: &mut KeyedRows<R>,
        keys: &mut KeyedTable<K, ()>,
        entry: usize,
        left: Timestamp,
    ) {
        let first = match self.direction {
            Direction::Forward => Some(left),
            Direction::Backward | Direction::Nearest => self.tolerance.map(|tolerance| left.minus_nanos(tolerance)),
        };
        if let Some(first) = first {
            rights.drop_up_to(keys, entry, first.minus_nanos(1));
        }
        if self.direction != Direction::Forward {
            rights.drop_before_latest(keys, entry, left);
        }
    }
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.direction {
            Direction::Backward => "backward",
            Direction::Forward => "forward",
            Direction::Nearest => "nearest",
        })?;
        match self.tolerance {
            Some(nanos) => write!(f, " within {:?}", Duration::from_nanos(nanos.unsigned_abs())),
            None => Ok(()),
        }
    }
}
