//! A source of the graph: its index, its symbols, and its pipe on each worker.

use crate::graph::factory::{AnyOutputs, BuildContext, SourceFactory, SourceOptions};
use crate::log::journal::DurableInput;
use crate::progress::generator::GeneratedClock;
use crate::progress::watermark::{WatermarkRules, Watermarks};
use crate::runtime::generated::before_blocks;
use crate::runtime::metrics::{StepCounters, StepKind};
use crate::runtime::outputs::fan_out;
use crate::runtime::pace::Pace;
use crate::runtime::pipe::{Pipe, PipeInput, PipeParts};
use crate::runtime::source::{BlockSource, Feed, SourceKind};
use crate::runtime::source_pipe::SourcePipe;
use crate::runtime::summaries::{Index, summaries_in_range};
use crate::runtime::symbols::{Meaning, SourceSymbols};
use crate::{BoxError, Dictionary, DictionaryError, Error, Event, ShapeError, Source, Timestamp};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub(crate) struct TypedSource<T: Event> {
    name: Arc<str>,
    /// `None` for a feed.
    blocks: Option<Arc<dyn BlockSource<T>>>,
    speed: Option<f64>,
    /// Taken by the worker that polls it.
    feed: Mutex<Option<Box<dyn Feed<T>>>>,
    watermarks: Arc<Mutex<Watermarks<T>>>,
    /// Where the ids of symbols are in an event.
    symbols_at: Vec<usize>,
    prepared: OnceLock<Prepared<T>>,
    counters: OnceLock<Arc<StepCounters>>,
}

struct Prepared<T> {
    index: Arc<Index>,
    /// Where a generator of watermarks stands before each block, and behind the last.
    generated: Option<Arc<[GeneratedClock<T>]>>,
    /// The job's id for each of the source's.
    symbols: Arc<[u32]>,
}

impl<T: Event> TypedSource<T> {
    pub(crate) fn new(
        name: Arc<str>,
        source: Source<T>,
        watermarks: Arc<Mutex<Watermarks<T>>>,
        symbols_at: Vec<usize>,
    ) -> Self {
        let (blocks, feed) = match source.kind {
            SourceKind::Blocks(blocks) => (Some(blocks), None),
            SourceKind::Feed(feed) => (None, Some(feed)),
        };
        let speed = source.speed;
        Self {
            name,
            blocks,
            speed,
            feed: Mutex::new(feed),
            watermarks,
            symbols_at,
            prepared: OnceLock::new(),
            counters: OnceLock::new(),
        }
    }

    fn declared_watermarks(&self) -> Watermarks<T> {
        self.watermarks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the index of a bounded source.
    fn read_index(&self, blocks: &dyn BlockSource<T>, options: &SourceOptions<'_>) -> Result<Index, BoxError> {
        let summaries = summaries_in_range(blocks.blocks(), options.times, || blocks.reader())?;
        let (told, bound) = (blocks.watermarks(), self.watermarks().bound);
        Index::new(summaries, (&told, bound), (options.times, options.jumps), || blocks.reader())
    }

    /// Has the generator of watermarks see a bounded source, if it has one: where it stands before each block.
    fn generate(
        &self,
        blocks: &dyn BlockSource<T>,
        index: &Index,
        options: &SourceOptions<'_>,
        meaning: Meaning,
    ) -> Result<Option<Arc<[GeneratedClock<T>]>>, BoxError> {
        let Some(generator) = self.declared_watermarks().generator else { return Ok(None) };
        let clock = GeneratedClock::new(generator.as_ref());
        let mut symbols = SourceSymbols::new::<T>(meaning, &self.symbols_at);
        let (told, mut reader) = (blocks.watermarks(), blocks.reader()?);
        let rules = (options.times, options.jumps);
        let clocks = before_blocks(clock, (index, &told), rules, &mut symbols, reader.as_mut())?;
        Ok(Some(clocks.into()))
    }

    fn error(&self, error: BoxError) -> Error {
        Error::Source { name: self.name.to_string(), error }
    }

    fn symbol_texts(&self) -> Vec<Arc<str>> {
        match &self.blocks {
            Some(blocks) => blocks.symbols(),
            None => {
                let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
                feed.as_ref().map(|feed| feed.symbols()).unwrap_or_default()
            }
        }
    }
}

/// Puts the texts into the job's dictionary; the job's id for each.
fn map_symbols(texts: &[Arc<str>], symbols: &Dictionary) -> Result<Arc<[u32]>, DictionaryError> {
    texts.iter().map(|text| symbols.intern(text).map(|symbol| symbol.id())).collect()
}

/// What a source's ids stand for, given the job's id for each.
fn meaning(ids: &Arc<[u32]>, symbols: &Arc<Dictionary>) -> Meaning {
    let are_same = || ids.iter().enumerate().all(|(old, new)| old == *new as usize);
    match ids.len() {
        0 => Meaning::Jobs(symbols.clone()),
        texts if are_same() => Meaning::Same(texts),
        _ => Meaning::Mapped(ids.clone()),
    }
}

impl<T: Event> SourceFactory for TypedSource<T> {
    fn mistakes(&self, out: &mut Vec<ShapeError>) {
        if let Some(what) = self.blocks.as_ref().and_then(|blocks| blocks.mistake()) {
            out.push(ShapeError::BadSource(self.name.to_string(), what));
        }
        if let Some(speed) = self.speed
            && !(speed.is_finite() && speed > 0.0)
        {
            out.push(ShapeError::BadSpeed(self.name.to_string(), speed.to_string()));
        }
    }

    fn watermarks(&self) -> WatermarkRules {
        self.declared_watermarks().rules
    }

    fn is_bounded(&self) -> bool {
        self.blocks.is_some()
    }

    fn is_paced(&self) -> bool {
        self.speed.is_some()
    }

    fn prepare(&self, options: &SourceOptions<'_>) -> Result<(), Error> {
        let index = match &self.blocks {
            Some(blocks) => self.read_index(blocks.as_ref(), options).map_err(|error| self.error(error))?,
            None => Index::default(),
        };
        let symbols = map_symbols(&self.symbol_texts(), options.symbols)
            .map_err(|error| Error::Symbols { name: self.name.to_string(), error })?;
        let generated = match &self.blocks {
            Some(blocks) => self
                .generate(blocks.as_ref(), &index, options, meaning(&symbols, options.symbols))
                .map_err(|error| self.error(error))?,
            None => None,
        };
        // A job is deployed once.
        let _ = self.prepared.set(Prepared { index: Arc::new(index), generated, symbols });
        Ok(())
    }

    fn go_on(&self, durable: &DurableInput) -> Result<(), Error> {
        match &mut *self.feed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(feed) => feed.go_on(durable).map_err(|error| self.error(error)),
            None => Ok(()),
        }
    }

    fn count_for(&self, workers: usize, readers: usize) {
        let _ = self.counters.set(StepCounters::new(self.name.clone(), StepKind::Source, workers, readers));
    }

    fn index(&self) -> Arc<Index> {
        self.prepared.get().map(|prepared| prepared.index.clone()).unwrap_or_default()
    }

    fn counters(&self) -> Option<Arc<StepCounters>> {
        self.counters.get().cloned()
    }

    fn pipe(&self, context: &BuildContext, reads: bool, outputs: AnyOutputs) -> Result<Box<dyn SourcePipe>, Error> {
        let (Some(prepared), Some(counters)) = (self.prepared.get(), self.counters.get()) else {
            unreachable!("a deployment prepares and counts all sources before it builds a worker")
        };
        let input = match &self.blocks {
            _ if !reads => PipeInput::Elsewhere,
            Some(blocks) => PipeInput::Blocks {
                reader: blocks.reader().map_err(|error| self.error(error))?,
                index: prepared.index.clone(),
                generated: prepared.generated.clone(),
            },
            None => {
                let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
                match feed {
                    Some(feed) => PipeInput::Feed {
                        feed,
                        block_events: context.feed_block_events,
                        rejected: 0,
                        newly_rejected: 0,
                    },
                    None => PipeInput::Elsewhere,
                }
            }
        };
        let pace = self.speed.map(|speed| Pace { speed, base: context.first_time, start: context.started });
        let watermarks = self.declared_watermarks();
        let every = Timestamp::MIN..=Timestamp::MAX;
        let parts = PipeParts {
            input,
            outlet: fan_out::<T>(outputs.into_iter().next().unwrap_or_default()),
            times: if watermarks.rules.is_apart { every } else { context.times.clone() },
            watermarks,
            jumps: context.jumps,
            pace,
            symbols: SourceSymbols::new::<T>(meaning(&prepared.symbols, &context.shared.symbols), &self.symbols_at),
            journaled_symbols: SourceSymbols::new::<T>(Meaning::Jobs(context.shared.symbols.clone()), &self.symbols_at),
            counters: counters.clone(),
            worker: context.worker,
        };
        Ok(Box::new(Pipe::new(parts)))
    }
}
