//! Sources of rows whose layout is known at run time.

use crate::base::row::{Row, RowLayout};
use crate::{Layout, Source, VecSource};
use std::sync::Arc;

/// Where rows of a layout known at run time come from: a capture, a vector.
///
/// A job asks for the layout, finds the smallest class of rows that has room for it, and opens the source as one of
/// events of that class.
///
/// ```
/// use pelton::{Layout, Source, VecSource};
/// use pelton::rows::{Row, RowLayout, RowSource};
///
/// /// Seconds, one after another.
/// struct Seconds(u32);
///
/// impl RowSource for Seconds {
///     fn layout(&self) -> Layout {
///         Layout::new("second", 8, 8, Layout::parse("8/8 time_ns:i64@0*").unwrap().fields().to_vec())
///     }
///     fn open<const WORDS: usize>(self, rows: &RowLayout) -> Source<Row<WORDS>> {
///         let times = (0..self.0).map(|second| i64::from(second) * 1_000_000_000);
///         VecSource::new(times.map(|time| rows.row(&time.to_le_bytes())).collect(), 64).into()
///     }
/// }
/// ```
pub trait RowSource {
    /// The layout of the records. One of its fields is the event time.
    fn layout(&self) -> Layout;

    /// The source, as one of rows of this class; `rows` says how records lie in them. Called once, at most.
    ///
    /// Texts of symbols are named as by any source: [`BlockSource::symbols`](crate::BlockSource::symbols).
    fn open<const WORDS: usize>(self, rows: &RowLayout) -> Source<Row<WORDS>>;
}

/// Records in memory, in blocks of a given size: a [`VecSource`] of a layout known at run time.
///
/// See [`Job::rows`](crate::Job::rows) for an example.
pub struct VecRows {
    layout: Layout,
    records: Vec<u8>,
    block_rows: usize,
    symbols: Vec<Arc<str>>,
}

impl VecRows {
    /// A source of records, which lie one behind the other; bytes behind the last whole one are left out.
    pub fn new(layout: Layout, records: Vec<u8>, block_rows: usize) -> Self {
        Self { layout, records, block_rows, symbols: Vec::new() }
    }

    /// Names the symbols in the records, by id. Without names the ids are those of the job's dictionary.
    pub fn with_symbols<S: AsRef<str>>(mut self, symbols: impl IntoIterator<Item = S>) -> Self {
        self.symbols = symbols.into_iter().map(|text| text.as_ref().into()).collect();
        self
    }
}

impl RowSource for VecRows {
    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn open<const WORDS: usize>(self, rows: &RowLayout) -> Source<Row<WORDS>> {
        let records = self.records.chunks_exact(rows.layout().size());
        VecSource::new(records.map(|record| rows.row(record)).collect(), self.block_rows)
            .with_symbols(self.symbols)
            .into()
    }
}
