//! The rows around each row: an aggregate of the right rows that lie in an interval around a left one. (It is what kdb+ calls
//! a window join, `wj1`.)
//!
//! A left row of time `t` is answered at `t`, or at the upper end of its interval where that is later, with that time. The
//! right rows of its key that came on time are added in order of (time, place).

use crate::operator::aggregate::Aggregate;
use crate::operator::join::answered::Answer;
use crate::operator::join::interval::Interval;
use crate::store::{KeyedRows, KeyedTable};
use crate::{Key, Timestamp};
use bytemuck::Zeroable;

pub(crate) struct Around<A> {
    pub(crate) interval: Interval,
    pub(crate) aggregate: A,
}

impl<A: Aggregate> Answer<A::In> for Around<A> {
    type Met = A::Value;

    fn answered_at(&self, left: Timestamp) -> Timestamp {
        left.plus_nanos(self.interval.settled_after().0)
    }

    fn find(&self, rights: &KeyedRows<A::In>, entry: usize, left: Timestamp, room: &mut usize) -> Option<A::Value> {
        let (first, last) = self.interval.of_left(left);
        let rows = rights.between(entry, first, last);
        if rows.len() == 0 {
            return None;
        }
        *room = room.saturating_sub(rows.len());
        let mut acc = A::Acc::zeroed();
        rows.for_each(|(time, row)| self.aggregate.add(&mut acc, *time, row));
        Some(self.aggregate.value(&acc))
    }

    fn drop_before<K: Key>(
        &self,
        rights: &mut KeyedRows<A::In>,
        keys: &mut KeyedTable<K, ()>,
        entry: usize,
        left: Timestamp,
    ) {
        rights.drop_up_to(keys, entry, self.interval.of_left(left).0.minus_nanos(1));
    }
}
