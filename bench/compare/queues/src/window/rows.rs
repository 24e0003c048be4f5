//! Tumbling windows by number, the order of symbols, and rows on their way to the sink.

use pelton::{BoxError, Sink, Symbol, Timestamp};
use pelton_bench::work::{CountAndSum, WindowRow};
use pelton_io::sink::{Blackhole, Seen};
use std::sync::Arc;
use std::time::Duration;

/// Tumbling windows: number `n` is from `n * size` to `(n + 1) * size`.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    size_ns: i64,
}

impl Windows {
    /// # Errors
    /// When a window has no length, or one of more than 292 years.
    pub fn of(size: Duration) -> Result<Self, BoxError> {
        match i64::try_from(size.as_nanos()) {
            Ok(size_ns @ 1..) => Ok(Self { size_ns }),
            _ => Err(format!("windows of {size:?}").into()),
        }
    }

    /// The number of the window that `time_ns` lies in.
    #[inline]
    pub fn number(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.size_ns)
    }

    /// The first nanosecond of the window, and the first one behind it.
    #[inline]
    pub fn bounds(self, number: i64) -> (i64, i64) {
        (number * self.size_ns, (number + 1) * self.size_ns)
    }
}

/// The ids of symbols in the order of their texts.
pub fn by_text(texts: &[Arc<str>]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..texts.len() as u32).collect();
    ids.sort_by_key(|id| &texts[*id as usize]);
    ids
}

/// The error of a trade that lies behind a window which has fired: the loops are for captures in order.
pub fn behind(time_ns: i64) -> BoxError {
    format!("the trade at {time_ns} ns lies behind its window").into()
}

/// The error of a trade whose symbol has no text.
pub fn unknown(symbol: Symbol) -> BoxError {
    format!("there is no symbol {}", symbol.id()).into()
}

/// The way to the sink, with memory that is kept.
pub struct Out {
    sink: Blackhole,
    times: Vec<Timestamp>,
    rows: Vec<WindowRow>,
}

impl Out {
    pub fn new(sink: Blackhole) -> Self {
        Self { sink, times: Vec::new(), rows: Vec::new() }
    }

    /// Writes the rows of a window: symbols and their accumulators in canonical order. Those without trades are left
    /// out.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn fire(
        &mut self,
        (start_ns, end_ns): (i64, i64),
        entries: impl Iterator<Item = (u32, CountAndSum)>,
    ) -> Result<(), BoxError> {
        self.rows.clear();
        self.rows.extend(entries.filter(|(_, acc)| acc.trades > 0).map(|(id, acc)| WindowRow {
            start_ns,
            end_ns,
            size: acc.size,
            trades: acc.trades as u32,
            symbol: Symbol::from_id(id),
        }));
        self.times.clear();
        self.times.resize(self.rows.len(), Timestamp::from_nanos(end_ns.saturating_sub(1)));
        let (mut times, mut rows) = (&self.times[..], &self.rows[..]);
        while !rows.is_empty() {
            let written = self.sink.write(times, rows)?;
            (times, rows) = (&times[written..], &rows[written..]);
        }
        Ok(())
    }

    /// Ends the output.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn finish(mut self) -> Result<Seen, BoxError> {
        Sink::<WindowRow>::finish(&mut self.sink)?;
        Ok(self.sink.seen())
    }
}
