//! An origin: a source, an output of a step, or a union, with everything that takes its rows.

use crate::graph::plan::BuildContext;
use crate::progress::merge::Roots;
use crate::runtime::outlet::{FanOut, Outlet};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Makes the outlet to one taker of rows, for one worker and one way.
pub(crate) type Subscriber<T> = Box<dyn Fn(&BuildContext, usize) -> Box<dyn Outlet<T>> + Send + Sync>;

/// Where rows come from.
pub(crate) struct Origin<T> {
    /// What a report or an error calls it.
    pub(crate) name: Arc<str>,
    /// The separate flows that end here, with the sources of each: one, or of a union those of its
    /// inputs.
    pub(crate) ways: Vec<Roots>,
    /// Keyed steps between the sources and here.
    pub(crate) depth: usize,
    subscribers: Mutex<Vec<Subscriber<T>>>,
    /// Whether a keyed step or a union takes the rows.
    feeds_step: AtomicBool,
    /// Whether sinks of each worker take the rows.
    feeds_all_workers: AtomicBool,
    /// Whether all rows are made on the first worker; known when what makes them is prepared.
    pub(crate) on_first: Arc<AtomicBool>,
}

impl<T> Origin<T> {
    pub(crate) fn new(name: Arc<str>, ways: Vec<Roots>, depth: usize) -> Arc<Self> {
        Arc::new(Self {
            name,
            ways,
            depth,
            subscribers: Mutex::default(),
            feeds_step: AtomicBool::new(false),
            feeds_all_workers: AtomicBool::new(false),
            on_first: Arc::default(),
        })
    }

    /// The sources of all ways together.
    pub(crate) fn roots(&self) -> Roots {
        let roots: BTreeSet<usize> = self.ways.iter().flat_map(|way| way.iter().copied()).collect();
        roots.into_iter().collect()
    }

    /// Notes that a keyed step or a union takes the rows.
    pub(crate) fn feed_step(&self) {
        self.feeds_step.store(true, Ordering::Relaxed);
    }

    /// Notes that sinks of each worker take the rows.
    pub(crate) fn feed_all_workers(&self) {
        self.feeds_all_workers.store(true, Ordering::Relaxed);
    }

    /// Whether sinks of each worker take the rows.
    pub(crate) fn feeds_all_workers(&self) -> bool {
        self.feeds_all_workers.load(Ordering::Relaxed)
    }

    /// Whether only sinks take the rows.
    pub(crate) fn feeds_sinks_only(&self) -> bool {
        !self.feeds_step.load(Ordering::Relaxed)
    }

    pub(crate) fn subscribe(
        &self,
        subscriber: impl Fn(&BuildContext, usize) -> Box<dyn Outlet<T>> + Send + Sync + 'static,
    ) {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(subscriber));
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The outlets to all takers, for the rows of one way on one worker.
    pub(crate) fn outlet(&self, context: &BuildContext, way: usize) -> FanOut<T> {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        FanOut(subscribers.iter().map(|subscribe| subscribe(context, way)).collect())
    }
}
