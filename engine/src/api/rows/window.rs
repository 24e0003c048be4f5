//! Windows over rows whose layout is known at run time.

use crate::api::keyed::{KeyedStep, add_step};
use crate::api::rows::class::{AnyStream, ClassStream, of_class};
use crate::api::rows::{RowStream, bad_column};
use crate::api::stream::Stream;
use crate::base::row::Row;
use crate::base::time::duration_nanos;
use crate::graph::model::Port;
use crate::graph::ticks::tick_port;
use crate::graph::window::WindowSettings;
use crate::operator::rows::aggregate::{AggregatePlan, BadAggregates, RESULT_WORDS, RowAggregate, RowAggregates};
use crate::operator::rows::filter::RowChain;
use crate::operator::rows::key::{KeyColumns, RowKey};
use crate::operator::window::{Trigger, Windows};
use crate::runtime::row_sink::RowSink;
use crate::{Layout, ShapeError};
use std::sync::Arc;
use std::time::Duration;

/// Rows that are grouped by columns. Made by [`RowStream::key_by`].
pub struct KeyedRowStream {
    stream: RowStream,
    columns: Vec<String>,
}

impl KeyedRowStream {
    pub(super) fn new(stream: RowStream, columns: Vec<String>) -> Self {
        Self { stream, columns }
    }

    /// Groups each key's rows by windows of any kind: [`KeyedStream::window`](crate::KeyedStream::window). Gaps of sessions
    /// are the same for all rows.
    pub fn window(self, windows: impl Into<Windows<()>>) -> WindowedRowStream {
        WindowedRowStream { keyed: self, settings: WindowSettings::new(windows.into()) }
    }
}

/// Keyed rows that are grouped by windows. Made by [`KeyedRowStream::window`].
pub struct WindowedRowStream {
    keyed: KeyedRowStream,
    settings: WindowSettings<()>,
}

/// The outputs of a window over rows.
///
/// ```
/// use pelton::rows::{self, RowAggregate, VecRows};
/// use pelton::{Job, Layout, Options, Tumbling};
/// use std::time::Duration;
///
/// // 2 comes when its window has fired.
/// let ticks = [1i64, 20, 2].map(i64::to_le_bytes).concat();
/// let mut job = Job::new("ticks");
/// let keyed = job.rows("ticks", VecRows::new(Layout::parse("8/8 t:i64@0*")?, ticks, 64)).key_by(["t"]);
/// let windows = Tumbling::of(Duration::from_nanos(10));
/// let counts = keyed.window(windows).aggregate("counts", [("n", RowAggregate::count())]);
/// counts.sink("out", rows::callback(|time, _| println!("fired at {time}")));
/// counts.late.sink("late", rows::callback(|time, _| assert_eq!(time.as_nanos(), 2)));
/// assert_eq!(job.run(Options::workers(1))?.step("late").map(|step| step.rows_in), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RowOutput {
    /// What the step emits: `window_start`, `window_end`, the columns of the key, and then the aggregates.
    pub main: RowStream,
    /// Rows that came too late. Where nothing takes them they are counted.
    pub late: RowStream,
}

impl RowOutput {
    /// Gives the main output to a sink: [`RowStream::sink`].
    pub fn sink(&self, name: &str, sink: impl RowSink) {
        self.main.clone().sink(name, sink);
    }
}

impl WindowedRowStream {
    /// When the windows fire: [`WindowedStream::trigger`](crate::WindowedStream::trigger).
    ///
    /// ```
    /// use pelton::rows::{self, RowAggregate, VecRows};
    /// use pelton::{Job, Layout, Options, Sliding, Trigger};
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::time::Duration;
    ///
    /// static FIRED: AtomicU64 = AtomicU64::new(0);
    /// let ticks = [1i64, 4, 8].map(i64::to_le_bytes).concat();
    /// let mut job = Job::new("ticks");
    /// job.rows("ticks", VecRows::new(Layout::parse("8/8 t:i64@0*")?, ticks, 64))
    ///     .key_by(["t"])
    ///     .window(Sliding::of(Duration::from_nanos(10), Duration::from_nanos(5)))
    ///     .trigger(Trigger::watermark().early_count(1))
    ///     .aggregate("counts", [("n", RowAggregate::count())])
    ///     .sink("out", rows::callback(|_, _| drop(FIRED.fetch_add(1, Ordering::Relaxed))));
    /// job.run(Options::workers(1))?;
    /// // Each of three ticks is in two windows, which fire early and on time.
    /// assert_eq!(FIRED.load(Ordering::Relaxed), 12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trigger(self, trigger: Trigger<()>) -> Self {
        Self { settings: WindowSettings { trigger, ..self.settings }, ..self }
    }

    /// Keeps windows for so long behind their end: [`WindowedStream::allowed_lateness`](crate::WindowedStream::allowed_lateness).
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { settings: WindowSettings { lateness: duration_nanos(lateness), ..self.settings }, ..self }
    }

    /// Aggregates each key and window: columns by name. The step's name is the identity of the state.
    ///
    /// It works as [`WindowedStream::aggregate`](crate::WindowedStream::aggregate) does, and rows leave in the same
    /// order. Columns that there are not, or that are of the wrong type, are mistakes of the job's shape, and so are
    /// results and states of more than 256 bytes.
    ///
    /// ```
    /// use pelton::rows::{RowAggregate, VecRows};
    /// use pelton::{Job, Layout, Tumbling};
    /// use std::time::Duration;
    ///
    /// let layout = Layout::parse("24/8 time_ns:i64@0* symbol:symbol@8 size:u32@12 price:f64@16")?;
    /// let mut job = Job::new("bars");
    /// let bars = job
    ///     .rows("trades", VecRows::new(layout, Vec::new(), 64))
    ///     .key_by(["symbol"])
    ///     .window(Tumbling::of(Duration::from_secs(60)))
    ///     .aggregate("bars", [
    ///         ("trades", RowAggregate::count()),
    ///         ("volume", RowAggregate::sum("size")),
    ///         ("low", RowAggregate::min("price")),
    ///     ]);
    /// let fields = bars.main.layout().fields().iter();
    /// let fields: Vec<_> = fields.map(|field| format!("{} {}", field.name, field.kind)).collect();
    /// assert_eq!(fields[..3], ["window_start time", "window_end time", "symbol symbol"]);
    /// assert_eq!(fields[3..], ["trades u64", "volume i128", "low f64"]);
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    pub fn aggregate(
        self,
        name: &str,
        aggregates: impl IntoIterator<Item = (impl Into<String>, RowAggregate)>,
    ) -> RowOutput {
        let aggregates: Vec<_> = aggregates.into_iter().map(|(name, aggregate)| (name.into(), aggregate)).collect();
        self.aggregate_all(name, &aggregates)
    }

    fn aggregate_all(self, name: &str, aggregates: &[(String, RowAggregate)]) -> RowOutput {
        let Self { keyed: KeyedRowStream { stream: input, columns }, settings } = self;
        let graph = input.graph();
        if let Some(mistake) = settings.mistake() {
            graph.borrow_mut().mistakes.push(ShapeError::BadWindow(name.to_owned(), mistake));
        }
        let RowStream { stream, rows, symbols } = input;
        let mut bad = Vec::new();
        let key = KeyColumns::new(&rows, &columns, &mut bad);
        let mut bad: Vec<_> = bad.into_iter().map(BadAggregates::Column).collect();
        let plan = Arc::new(AggregatePlan::new(&rows, key, aggregates, &mut bad));
        graph.borrow_mut().mistakes.extend(bad.into_iter().map(|bad| match bad {
            BadAggregates::Column(bad) => bad_column(name, bad),
            BadAggregates::Layout(error) => ShapeError::BadRows(name.to_owned(), error.to_string()),
        }));
        let results = plan.results.clone();
        let step = Step { name, settings, plan, rows: rows.layout() };
        let (main, late) = of_class!(AnyStream, stream, |stream| {
            let (main, late) = step.add_behind(stream);
            (main.into(), late.into())
        });
        RowOutput {
            main: RowStream { stream: main, rows: results, symbols: symbols.clone() },
            late: RowStream { stream: late, rows, symbols },
        }
    }
}

/// A window step, before its graph has it.
struct Step<'a> {
    name: &'a str,
    settings: WindowSettings<()>,
    plan: Arc<AggregatePlan>,
    /// Of the rows that it takes.
    rows: &'a Layout,
}

impl Step<'_> {
    /// Adds the step behind a stream; its results and its late rows.
    fn add_behind<const WORDS: usize>(
        self,
        stream: ClassStream<WORDS>,
    ) -> (ClassStream<RESULT_WORDS>, ClassStream<WORDS>) {
        let Self { name, settings, plan, rows } = self;
        let port = |name, layout: &Layout| Port { name, layout: layout.clone() };
        let results = plan.results.layout().clone();
        let settings = settings.over::<Row<WORDS>>();
        let step = KeyedStep {
            title: settings.title(),
            inputs: [port("rows", rows)].into_iter().chain(settings.trigger.needs_ticks().then(tick_port)).collect(),
            outputs: vec![port("main", &results), port("late", rows)],
            key: plan.key.layout().clone(),
            name,
        };
        let graph = stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let columns = plan.clone();
            let key_of = move |row: &Row<WORDS>| columns.key.of(row.bytes());
            settings.step::<RowKey, _, _>(key_of, RowAggregates::<WORDS>(plan))
        });
        stream.lead_to(node, 0);
        let main = Stream::new(graph.clone(), (node, 0), RowChain::all(), None).with_layout(results);
        let late = Stream::new(graph, (node, 1), RowChain::all(), None).with_layout(rows.clone());
        (main, late)
    }
}
