//! Streams of rows whose layout is known at run time.

mod class;
mod window;

pub use window::{KeyedRowStream, RowOutput, WindowedRowStream};

use crate::api::rows::class::{AnySource, AnyStream, ClassStream, of_class, with_class};
use crate::base::row::{Row, RowLayout};
use crate::graph::model::Graph;
use crate::operator::rows::BadColumn;
use crate::operator::rows::filter::{Comparison, Condition, Literal, RowChain};
use crate::progress::watermark::Watermarks;
use crate::runtime::row_sink::{RowSink, SinkOfClass};
use crate::runtime::row_source::RowSource;
use crate::{Dictionary, Job, Layout, ShapeError, Source, VecSource};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A stream of rows whose layout is known at run time: a [`Stream`](crate::Stream) for them.
///
/// A clone is the same stream: each taker gets all rows.
#[derive(Clone)]
pub struct RowStream {
    stream: AnyStream,
    rows: RowLayout,
    symbols: Arc<Dictionary>,
}

impl Job {
    /// Adds a source of rows whose layout is known at run time. Its watermarks ascend unless [`RowStream::watermarks`]
    /// says otherwise.
    ///
    /// A layout without an event time, or wider than [`ROW_BYTES_MAX`](crate::rows::ROW_BYTES_MAX), is a mistake of the
    /// job's shape.
    ///
    /// ```
    /// use pelton::rows::{self, Comparison, RowAggregate, VecRows};
    /// use pelton::{Job, Layout, Options, Tumbling};
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// let layout = Layout::parse("16/8 time_ns:i64@0* symbol:symbol@8 size:u32@12")?;
    /// let trade = |time_ns: i64, symbol: u32, size: u32| {
    ///     [&time_ns.to_le_bytes()[..], &symbol.to_le_bytes(), &size.to_le_bytes()].concat()
    /// };
    /// let records = [trade(1, 0, 100), trade(2, 1, 7), trade(3, 0, 50)].concat();
    ///
    /// let volumes = Arc::new(Mutex::new(Vec::new()));
    /// let seen = volumes.clone();
    /// let mut job = Job::new("volumes");
    /// job.rows("trades", VecRows::new(layout, records, 64).with_symbols(["BAC", "AA"]))
    ///     .filter("size", Comparison::GreaterOrEqual, 10)
    ///     .key_by(["symbol"])
    ///     .window(Tumbling::of(Duration::from_secs(1)))
    ///     .aggregate("volumes", [("volume", RowAggregate::sum("size"))])
    ///     .sink("out", rows::callback(move |_, row| seen.lock().unwrap().push(row.integer(3))));
    /// job.run(Options::workers(2))?;
    /// assert_eq!(*volumes.lock().unwrap(), [Some(150)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rows(&mut self, name: &str, source: impl RowSource) -> RowStream {
        let layout = source.layout();
        let mistake = match RowLayout::new(layout.clone()) {
            Err(error) => error.to_string(),
            Ok(_) if layout.time_field().is_none() => "no field is their event time".to_owned(),
            Ok(rows) => {
                let source = with_class!(rows.bytes(), |WORDS| source.open::<WORDS>(&rows).into());
                return self.add_rows(name, source, rows);
            }
        };
        self.add_mistake(ShapeError::BadRows(name.to_owned(), mistake));
        // It stands for the source until the mistake is told, so that later steps find the columns.
        let nothing = Source::from(VecSource::new(Vec::<Row<4>>::new(), 1));
        self.add_rows(name, nothing.into(), RowLayout::unchecked(layout))
    }

    fn add_rows(&mut self, name: &str, source: AnySource, rows: RowLayout) -> RowStream {
        let stream = of_class!(AnySource, source, |source| {
            let stream = self.add_source(name, source, rows.layout().clone(), rows.symbol_offsets());
            stream.rechained(None, |_| RowChain::all()).into()
        });
        RowStream { stream, rows, symbols: self.symbols().clone() }
    }
}

impl RowStream {
    /// The layout of the rows.
    pub fn layout(&self) -> &Layout {
        self.rows.layout()
    }

    fn graph(&self) -> Rc<RefCell<Graph>> {
        of_class!(AnyStream, &self.stream, |stream| stream.graph.clone())
    }

    fn source_name(&self) -> String {
        of_class!(AnyStream, &self.stream, |stream| stream.source_name())
    }

    /// Says how the watermark of this source follows its events. Said twice, the last one counts; said of anything but
    /// a source, it counts for nothing.
    pub fn watermarks(self, watermarks: Watermarks) -> Self {
        of_class!(AnyStream, &self.stream, |stream| stream.set_watermarks(watermarks.into()));
        self
    }

    /// Keeps rows of which a column compares so with a literal. A text is what a symbol is compared with; symbols are
    /// compared for equality only.
    ///
    /// A column that there is not, or that is no match for the literal, is a mistake of the job's shape.
    ///
    /// ```
    /// use pelton::rows::{Comparison, VecRows};
    /// use pelton::{Error, Job, Layout, Options};
    ///
    /// let layout = Layout::parse("16/8 time_ns:i64@0* symbol:symbol@8 size:u32@12").unwrap();
    /// let mut job = Job::new("typos");
    /// job.rows("trades", VecRows::new(layout, Vec::new(), 64))
    ///     .filter("sise", Comparison::Greater, 10)
    ///     .filter("size", Comparison::Equal, "BAC");
    /// let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!() };
    /// assert!(mistakes[0].to_string().starts_with("`filter 1 behind trades` cannot use the column `sise`"));
    /// assert!(mistakes[1].to_string().contains("it is u32 and does not compare with Text(\"BAC\")"));
    /// ```
    pub fn filter(self, column: &str, comparison: Comparison, literal: impl Into<Literal>) -> Self {
        self.filter_by(column, comparison, &literal.into())
    }

    fn filter_by(self, column: &str, comparison: Comparison, literal: &Literal) -> Self {
        let Self { stream, rows, symbols } = self;
        let condition = Condition::new(&rows, column, comparison, literal, &symbols);
        let stream = of_class!(AnyStream, stream, |stream| {
            let step = stream.name_step("filter");
            match condition {
                Ok(condition) => stream.rechained(Some("filter"), |chain| chain.and(condition)).into(),
                Err(bad) => {
                    stream.graph.borrow_mut().mistakes.push(bad_column(&step, bad));
                    stream.into()
                }
            }
        });
        Self { stream, rows, symbols }
    }

    /// The rows of both streams, in the job's order; of rows with the same cause, this stream's first. The watermark is
    /// the lesser of the two. Streams of different layouts are a mistake of the job's shape.
    ///
    /// ```
    /// use pelton::rows::{self, VecRows};
    /// use pelton::{Job, Layout, Options};
    ///
    /// let layout = Layout::parse("8/8 time_ns:i64@0*")?;
    /// let ticks = |times: [i64; 2]| VecRows::new(layout.clone(), times.map(i64::to_le_bytes).concat(), 64);
    /// let mut job = Job::new("ticks");
    /// let odd = job.rows("odd", ticks([1, 3]));
    /// let even = job.rows("even", ticks([2, 4]));
    /// odd.union(even).sink("out", rows::callback(|time, _| println!("{time}")));
    /// assert_eq!(job.run(Options::workers(1))?.events_read(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn union(self, other: Self) -> Self {
        let (name, graph) = (self.source_name(), self.graph());
        let (schema, others) = (self.layout().schema(), other.layout().schema());
        if schema != others {
            let second = other.source_name();
            let mistake = format!("they are {schema}, and in a union with `{second}`, whose rows are {others}");
            graph.borrow_mut().mistakes.push(ShapeError::BadRows(name, mistake));
        }
        let Self { stream, rows, symbols } = self;
        let stream = match (stream, other.stream) {
            (AnyStream::Words4(a), AnyStream::Words4(b)) => union(a, b).into(),
            (AnyStream::Words8(a), AnyStream::Words8(b)) => union(a, b).into(),
            (AnyStream::Words32(a), AnyStream::Words32(b)) => union(a, b).into(),
            // Rows of one layout are of one class: this is the mistake above.
            (stream, _) => stream,
        };
        Self { stream, rows, symbols }
    }

    /// Groups the rows by one or several columns, in this order, of at most 32 bytes together. Floats are no keys.
    ///
    /// Mistakes are told with the step behind. [`WindowedRowStream::aggregate`] has an example.
    pub fn key_by(self, columns: impl IntoIterator<Item = impl Into<String>>) -> KeyedRowStream {
        KeyedRowStream::new(self, columns.into_iter().map(Into::into).collect())
    }

    /// Gives the rows to a sink, in the job's order.
    pub fn sink(self, name: &str, sink: impl RowSink) {
        self.lead_to(name, Box::new(sink));
    }

    fn lead_to(self, name: &str, sink: Box<dyn RowSink>) {
        let sink = SinkOfClass::new(sink, self.rows);
        of_class!(AnyStream, self.stream, |stream| stream.sink(name, sink));
    }
}

fn union<const WORDS: usize>(first: ClassStream<WORDS>, second: ClassStream<WORDS>) -> ClassStream<WORDS> {
    first.union(second).rechained(None, |_| RowChain::all())
}

/// The mistake of a step that cannot use a column.
fn bad_column(step: &str, BadColumn { column, reason }: BadColumn) -> ShapeError {
    ShapeError::BadColumn { step: step.to_owned(), column, reason }
}
