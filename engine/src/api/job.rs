//! A job: sources, streams, sinks, and how it is run.

use crate::api::handle::{Handle, Simulation};
use crate::api::inline::Inline;
use crate::api::options::Options;
use crate::api::stream::Stream;
use crate::graph::deploy::Deployment;
use crate::graph::model::{Graph, Kind, Node, Placement, Port};
use crate::graph::source::TypedSource;
use crate::graph::ticks::add_ticks;
use crate::operator::chain::Identity;
use crate::progress::watermark::Watermarks;
use crate::{Dictionary, Error, Event, FieldKind, JobPlan, Layout, Report, ShapeError, Source};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// A job: declared with streams, then run once.
///
/// Declaring never fails: all mistakes of shape are told together by [`Job::run`] or [`Job::start`],
/// before anything runs.
///
/// ```
/// use pelton::{Error, Job, Options};
///
/// let Err(Error::Shape { mistakes, .. }) = Job::new("empty").run(Options::workers(0)) else { panic!() };
/// assert_eq!(mistakes.len(), 2);
/// ```
pub struct Job {
    name: String,
    graph: Rc<RefCell<Graph>>,
    symbols: Arc<Dictionary>,
}

impl Job {
    /// A job without anything in it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), graph: Rc::default(), symbols: Arc::default() }
    }

    /// The job's symbols, for those that the host program makes itself.
    pub fn symbols(&self) -> &Arc<Dictionary> {
        &self.symbols
    }

    /// Adds a source: a vector or an array of events, or any other [`Source`]. Its watermarks ascend unless
    /// [`Stream::watermarks`] says otherwise.
    pub fn source<T: Event>(&mut self, name: &str, source: impl Into<Source<T>>) -> Stream<T> {
        let layout = T::layout();
        let symbols = layout.fields().iter().filter(|field| field.kind == FieldKind::Symbol);
        let symbols_at = symbols.map(|field| field.offset).collect();
        self.add_source(name, source.into(), layout, symbols_at)
    }

    /// Adds a source of events of this layout, with symbols at these offsets.
    pub(crate) fn add_source<T: Event>(
        &mut self,
        name: &str,
        source: Source<T>,
        layout: Layout,
        symbols_at: Vec<usize>,
    ) -> Stream<T> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name("source", name);
        let watermarks = Arc::new(Mutex::new(Watermarks::ascending().into()));
        let source = TypedSource::new(name.clone(), source, watermarks.clone(), symbols_at);
        let node = graph.add_node(Node {
            name,
            title: String::from("source"),
            inputs: Vec::new(),
            outputs: vec![Port { name: "events", layout: layout.clone() }],
            key: None,
            stores: Vec::new(),
            placement: Placement::All,
            parts_of: None,
            kind: Kind::Source(Box::new(source)),
        });
        Stream::new(self.graph.clone(), (node, 0), Identity::new(), Some(watermarks)).with_layout(layout)
    }

    /// Tells a mistake when the job is run.
    pub(crate) fn add_mistake(&self, mistake: ShapeError) {
        self.graph.borrow_mut().mistakes.push(mistake);
    }

    /// Runs the job on this thread and others until its input ends.
    ///
    /// # Errors
    /// All mistakes of shape before anything runs; then the first failure of a source, step or sink.
    pub fn run(self, options: Options) -> Result<Report, Error> {
        self.start(options)?.join()
    }

    /// Starts the job on threads of its own.
    ///
    /// # Errors
    /// All mistakes of shape, or what kept a source or thread from starting.
    pub fn start(self, options: Options) -> Result<Handle, Error> {
        Handle::start(Arc::new(self.plan(options)?))
    }

    /// Builds all workers on this thread, to be stepped one by one in any order.
    ///
    /// # Errors
    /// As for [`Job::start`].
    pub fn simulate(self, options: Options) -> Result<Simulation, Error> {
        Simulation::new(Arc::new(self.plan(options)?))
    }

    /// Builds the job on this thread, to be run by it at each event that it pushes: [`Inline`]. The number of workers that
    /// the options say does not count: there is one.
    ///
    /// # Errors
    /// As for [`Job::start`].
    pub fn inline(self, options: Options) -> Result<Inline, Error> {
        let mut inline = Inline::new(self.simulate(options.with_workers(1))?);
        inline.run().map(|()| inline)
    }

    /// Says how the job would run with these options: each step, how its rows reach it, and what it keeps.
    ///
    /// ```
    /// use pelton::{Job, Options, PlanFormat, Tumbling, collect, count};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Click { #[event(time)] time_ns: i64, user: u64 }
    ///
    /// let mut job = Job::new("clicks");
    /// let (sink, _rows) = collect();
    /// job.source("clicks", Vec::<Click>::new())
    ///     .key_by(|click| click.user)
    ///     .window(Tumbling::of(Duration::from_secs(1)))
    ///     .aggregate("clicks_1s", count())
    ///     .sink("out", sink);
    /// let plan = job.explain(Options::workers(1))?;
    /// println!("{plan}");
    /// assert!(plan.to(PlanFormat::Mermaid).starts_with("flowchart"));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    ///
    /// # Errors
    /// All mistakes of shape, or what kept a source from being opened.
    pub fn explain(self, options: Options) -> Result<JobPlan, Error> {
        // Saved state is neither made nor looked at.
        Ok(self.plan(options.without_checkpoints())?.explain())
    }

    fn plan(self, options: Options) -> Result<Deployment, Error> {
        let mut graph = self.graph.take();
        let mut mistakes = graph.check();
        options.mistakes(&mut mistakes);
        if !options.takes_feeds() {
            mistakes.extend(graph.feeds().map(|name| ShapeError::NotReplayable(name.to_owned())));
        }
        add_ticks(&mut graph, &options.clock, options.processing_time_period);
        mistakes.append(&mut graph.mistakes);
        if !mistakes.is_empty() {
            return Err(Error::Shape { job: self.name, mistakes });
        }
        Deployment::new(self.name, graph, options.deployment(self.symbols))
    }
}
