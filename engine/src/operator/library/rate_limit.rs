//! A limit on the rate of rows: a token bucket for each key, filled by event time.
//!
//! **What passes.** The bucket of a key has room for `n` tokens and is full at first. It gets `n` tokens in each duration
//! `d`, evenly. A row that finds a token takes it and passes; others are dropped. So of any rows of a key that pass, from
//! one at `s` to one at `t`, there are at most `n + n (t - s) / d`: `n` at once, and `n` for each duration in the long run.
//! Time is exact: a token comes each `d / n`, which need not be whole nanoseconds.
//!
//! **Order.** Rows take tokens in the job's order. A row whose time is before that of a row that passed finds the tokens
//! that were left over for its own time, where the later row has taken its own out: it passes more rarely than in order,
//! and never more often. Rows of equal time are as any others.
//!
//! **Behind the watermark.** A row at or before the watermark before it is judged as of 1 ns ahead of that watermark, for
//! that is when it came.
//!
//! **State.** A bucket is forgotten once the watermark has come to where it is full again.
//!
//! The bucket is kept as the time from which it is full, which is the generic cell rate algorithm in its form of virtual
//! scheduling (ITU-T I.371, annex A).

use crate::base::time::duration_nanos;
use crate::operator::keyed::ProcessContext;
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

/// From when on a bucket is full.
#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
pub(crate) struct Bucket {
    nanos: i64,
    /// Parts of a nanosecond behind that, of which there are as many as tokens, and 1. In range `1 ..= tokens`, or 0 where
    /// the bucket is full now.
    parts: u64,
}

#[derive(Clone)]
pub(crate) struct RateLimit<T> {
    tokens: u32,
    period: i64,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> RateLimit<T> {
    pub(crate) fn new(tokens: u32, period: Duration) -> Self {
        Self { tokens, period: duration_nanos(period), rows: PhantomData }
    }

    pub(crate) fn mistake(&self) -> Option<&'static str> {
        match (self.tokens, self.period) {
            (0, _) => Some("a limit of no rows passes none: filter them instead"),
            (_, 0) => Some("a limit for each duration of no time does not limit"),
            _ => None,
        }
    }

    /// When the bucket is full, in parts of a nanosecond.
    fn full_at(&self, bucket: &Bucket) -> Option<i128> {
        let parts = i128::from(bucket.nanos) * i128::from(self.tokens) + i128::from(bucket.parts) - 1;
        (bucket.parts > 0).then_some(parts)
    }

    /// The bucket that is full from then on, at the latest at the end of time.
    fn bucket(&self, full_at: i128) -> Bucket {
        let tokens = i128::from(self.tokens);
        match i64::try_from(full_at.div_euclid(tokens)) {
            Ok(nanos) => Bucket { nanos, parts: full_at.rem_euclid(tokens) as u64 + 1 },
            Err(_) => Bucket { nanos: i64::MAX, parts: 1 },
        }
    }

    /// The first time at which a bucket is full that is not full now.
    fn forgotten(bucket: &Bucket) -> Timestamp {
        Timestamp::from_nanos(bucket.nanos).plus_nanos(i64::from(bucket.parts > 1))
    }
}

impl<K: Key, T: Record> ProcessFunction<K> for RateLimit<T> {
    type In = T;
    type State = Bucket;
    type Out = (T, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(&self, _: &K, time: Timestamp, row: &T, bucket: &mut Bucket, context: &mut ProcessContext<'_, (T, T)>) {
        let (tokens, period) = (i128::from(self.tokens), i128::from(self.period));
        let at = i128::from(time.max(context.watermark().plus_nanos(1)).as_nanos()) * tokens;
        let full_at = self.full_at(bucket);
        if full_at.is_some_and(|full_at| full_at - (tokens - 1) * period > at) {
            context.emit_to::<1>(*row);
            return;
        }
        if full_at.is_some() {
            context.delete_timer(Self::forgotten(bucket));
        }
        *bucket = self.bucket(full_at.map_or(at, |full_at| full_at.max(at)) + period);
        context.timer(Self::forgotten(bucket));
        context.emit(*row);
    }

    fn on_timer(&self, _: &K, _: Timestamp, _: &mut Bucket, context: &mut ProcessContext<'_, (T, T)>) {
        context.clear_state();
    }
}
