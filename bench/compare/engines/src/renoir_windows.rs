//! The work on renoir: its own event-time windows and fold.
//!
//! Renoir's windows begin where a key's first event lies. An event's timestamp is therefore its window's first
//! nanosecond: then they begin where everybody else's do.

use crate::work::{Blocks, Sale, window_start};
use pelton::{BoxError, Symbol};
use pelton_bench::work::WindowRow;
use renoir::operator::sink::StreamOutput;
use renoir::operator::window::EventTimeWindow;
use renoir::operator::{Operator, Timestamp};
use renoir::{BatchMode, RuntimeConfig, StreamContext};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Events that go from one thread to another at once: as in renoir's own benchmark.
const BATCH: usize = 16 << 10;

/// A key's window while it is open.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
struct Open {
    start_ns: i64,
    trades: u32,
    size: u64,
}

/// How the events get to the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// `key_by`: they stay on the thread that reads them. Right for one replica only.
    Stay,
    /// `group_by`: through an exchange by key.
    Exchange,
}

/// Runs it with a watermark every `watermark` events of a replica.
pub fn run(
    blocks: Blocks,
    window_ns: i64,
    replicas: u64,
    keys: Keys,
    watermark: usize,
) -> Result<Vec<WindowRow>, BoxError> {
    let failed = Failure::default();
    let failure = failed.clone();
    // A panic on one of renoir's threads becomes one here.
    let found = catch_unwind(AssertUnwindSafe(|| -> Result<_, BoxError> {
        let context = StreamContext::new(RuntimeConfig::local(replicas)?);
        let source = move |index: u64, peers: u64| Reader::new(&blocks, &failure, index as usize, peers as usize);
        let every = (watermark as u64 / replicas).max(1);
        let sales = context
            .stream_par_iter(source)
            .batch_mode(BatchMode::fixed(BATCH))
            .add_timestamps(move |sale: &Sale| window_start(sale.time_ns, window_ns), watermarks(every));
        let found = match keys {
            Keys::Stay => windows(sales.key_by(|sale| sale.symbol), window_ns),
            Keys::Exchange => windows(sales.group_by(|sale| sale.symbol), window_ns),
        };
        context.execute_blocking();
        Ok(found.get())
    }));
    let found = found.map_err(|_| "renoir panicked")??.ok_or("renoir gave no result")?;
    if let Some(failure) = failed.take() {
        return Err(failure);
    }
    let row = |(symbol, open): (u32, Open)| {
        let Open { start_ns, trades, size } = open;
        WindowRow { start_ns, end_ns: start_ns + window_ns, size, trades, symbol: Symbol::from_id(symbol) }
    };
    Ok(found.into_iter().map(row).collect())
}

/// The windows' rows, gathered on one thread.
fn windows(
    keyed: renoir::KeyedStream<impl Operator<Out = (u32, Sale)> + 'static>,
    window_ns: i64,
) -> StreamOutput<Vec<(u32, Open)>> {
    keyed
        .window(EventTimeWindow::tumbling(window_ns))
        .fold(Open::default(), move |open, sale: &Sale| {
            open.start_ns = window_start(sale.time_ns, window_ns);
            open.trades += 1;
            open.size += u64::from(sale.size);
        })
        .collect_vec()
}

/// A watermark every so many events.
fn watermarks(every: u64) -> impl FnMut(&Sale, &Timestamp) -> Option<Timestamp> + Clone + Send + 'static {
    let mut count = 0;
    move |_, time| {
        count += 1;
        (count % every == 0).then_some(*time)
    }
}

/// What went wrong on one of renoir's threads, whose sources cannot fail.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<BoxError>>>);

impl Failure {
    fn set(&self, error: BoxError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take(&self) -> Option<BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads every n-th block. A capture's reader cannot go from thread to thread as renoir demands of a source, so each
/// block is read by a reader of its own into memory of ours.
struct Reader {
    blocks: Blocks,
    failure: Failure,
    next: usize,
    step: usize,
    sales: std::vec::IntoIter<Sale>,
}

impl Reader {
    fn new(blocks: &Blocks, failure: &Failure, index: usize, peers: usize) -> Self {
        let (blocks, failure) = (blocks.clone(), failure.clone());
        Self { blocks, failure, next: index, step: peers, sales: Vec::new().into_iter() }
    }

    fn load(&mut self) -> Result<Vec<Sale>, BoxError> {
        let mut reader = self.blocks.reader()?;
        reader.load(self.next)?;
        Ok(reader.events().iter().map(Sale::from).collect())
    }
}

impl Iterator for Reader {
    type Item = Sale;

    #[inline]
    fn next(&mut self) -> Option<Sale> {
        loop {
            if let Some(sale) = self.sales.next() {
                return Some(sale);
            }
            if self.next >= self.blocks.blocks().len() {
                return None;
            }
            match self.load() {
                Ok(sales) => self.sales = sales.into_iter(),
                Err(error) => {
                    self.failure.set(error);
                    return None;
                }
            }
            self.next += self.step;
        }
    }
}
