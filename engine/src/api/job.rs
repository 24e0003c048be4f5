//! A job: sources, streams, sinks, and how it is run.

use crate::api::handle::{Handle, Simulation};
use crate::api::options::Options;
use crate::api::stream::Stream;
use crate::graph::node::Node;
use crate::graph::origin::Origin;
use crate::graph::plan::Plan;
use crate::graph::source_node::{SourceNode, TypedSource};
use crate::operator::chain::Identity;
use crate::progress::place::{LEVELS, WAYS_MAX};
use crate::progress::watermark::Watermarks;
use crate::{Dictionary, Error, Event, Report, ShapeError, Source};
use std::cell::RefCell;
use std::collections::HashSet;
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

/// The name of an output, and whether something takes it.
type Output = (Arc<str>, Box<dyn Fn() -> bool>);

/// What was declared so far.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) mistakes: Vec<ShapeError>,
    names: HashSet<String>,
    sources: Vec<Arc<dyn SourceNode>>,
    nodes: Vec<Arc<dyn Node>>,
    /// Outputs that something must take.
    outputs: Vec<Output>,
    fused_steps: usize,
}

impl Graph {
    /// Takes a name for a source, step or sink.
    pub(crate) fn name(&mut self, kind: &'static str, name: &str) -> Arc<str> {
        if name.is_empty() {
            self.mistakes.push(ShapeError::EmptyName(kind));
        } else if !self.names.insert(name.to_owned()) {
            self.mistakes.push(ShapeError::DuplicateName(name.to_owned()));
        }
        name.into()
    }

    /// A name for a stateless step, which has none of its own.
    pub(crate) fn fused_name(&mut self, kind: &str, origin: &str) -> Arc<str> {
        self.fused_steps += 1;
        format!("{kind} {} behind {origin}", self.fused_steps).into()
    }

    pub(crate) fn add_node(&mut self, node: Arc<dyn Node>) {
        self.nodes.push(node);
    }

    /// Expects that something takes the rows of `origin`.
    pub(crate) fn add_output<T: 'static>(&mut self, origin: &Arc<Origin<T>>) {
        let (name, origin) = (origin.name.clone(), origin.clone());
        self.outputs.push((name, Box::new(move || origin.is_connected())));
    }

    pub(crate) fn check_depth(&mut self, name: &str, depth: usize) {
        // The last level of a path belongs to the sink behind the last keyed step.
        if depth >= LEVELS {
            self.mistakes.push(ShapeError::TooDeep(name.to_owned(), depth, LEVELS - 1));
        }
    }

    pub(crate) fn check_ways(&mut self, name: &str, ways: usize) {
        if ways > WAYS_MAX {
            self.mistakes.push(ShapeError::TooManyInputs(name.to_owned(), ways, WAYS_MAX));
        }
    }
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

    /// Adds a source. Its watermarks ascend unless [`Stream::watermarks`] says otherwise.
    pub fn source<T: Event>(&mut self, name: &str, source: impl Into<Source<T>>) -> Stream<T> {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name("source", name);
        let origin = Origin::new(name.clone(), vec![Arc::new([graph.sources.len()])], 0);
        let watermarks = Arc::new(Mutex::new(Watermarks::ascending()));
        let node = TypedSource::new(name, source.into(), watermarks.clone(), origin.clone());
        graph.sources.push(Arc::new(node));
        Stream::new(self.graph.clone(), origin, Identity::new(), Some(watermarks))
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

    fn plan(self, options: Options) -> Result<Plan, Error> {
        let mut graph = self.graph.borrow_mut();
        let mut mistakes = std::mem::take(&mut graph.mistakes);
        options.mistakes(&mut mistakes);
        if graph.sources.is_empty() {
            mistakes.push(ShapeError::NoSource);
        }
        for source in &graph.sources {
            source.mistakes(&mut mistakes);
        }
        for (name, is_connected) in &graph.outputs {
            if !is_connected() {
                mistakes.push(ShapeError::Unconnected(name.to_string()));
            }
        }
        if !mistakes.is_empty() {
            return Err(Error::Shape { job: self.name.clone(), mistakes });
        }
        let (sources, nodes) = (std::mem::take(&mut graph.sources), std::mem::take(&mut graph.nodes));
        Plan::new(self.name.clone(), sources, nodes, options.deployment(self.symbols.clone()))
    }
}
