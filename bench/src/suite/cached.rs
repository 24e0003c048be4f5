//! Work without reading: a few blocks again and again, which stay in the core's cache and whose checksums nobody looks at;
//! and the checksum alone.
//!
//! Times are compared with the blocks' summaries for all, by the engine or, for loops by hand, by the reader, as over a
//! capture. There are enough blocks that a processor does not learn by heart which events a filter passes.

use super::captures::{Kind, Spec};
use super::{Found, Suite};
use crate::contest::{Contest, Outcome};
use crate::work::{selective_job, window_job};
use crate::yardstick::{Keys, expert_window, keyed_window, selective};
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Report};
use pelton_io::capture::replay;
use pelton_io::sink::{Blackhole, Seen};
use pelton_io::{Trade, blackhole};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const EVENT_BYTES: u64 = size_of::<Trade>() as u64;
/// Blocks that are used again: with 4,096 events each they are half of a second-level cache of 1 MiB.
const BLOCKS: usize = 4;
const SECOND: Duration = Duration::from_secs(1);

/// Blocks, so many times. All events have the time of the first: none lies behind those of the time before.
#[derive(Clone)]
struct Again {
    events: Arc<[Trade]>,
    /// Of each block.
    count: usize,
    blocks: Arc<[BlockSummary]>,
    /// Whether the reader compares times with summaries; the engine does so itself.
    checks_times: bool,
    symbols: Arc<[Arc<str>]>,
}

impl Again {
    /// The first blocks of a source, as often as gives at least so many events.
    fn first_of(source: &impl BlockSource<Trade>, events: u64) -> Result<Self, BoxError> {
        let mut reader = source.reader()?;
        let mut kept: Vec<Trade> = Vec::new();
        let count = source.blocks().first().ok_or("there is no block")?.count as usize;
        let whole = source.blocks().iter().take_while(|block| block.count as usize == count).take(BLOCKS).count();
        for block in 0..whole {
            reader.load(block)?;
            let time_ns = kept.first().or(reader.events().first()).ok_or("an empty block")?.time_ns;
            kept.extend(reader.events().iter().map(|trade| Trade { time_ns, ..*trade }));
        }
        let summary = BlockSummary::of(&kept[..count]).ok_or("an empty block")?;
        let blocks = vec![summary; usize::try_from(events.div_ceil(count as u64))?].into();
        Ok(Self { events: kept.into(), count, blocks, checks_times: false, symbols: source.symbols().into() })
    }
}

impl BlockSource<Trade> for Again {
    fn blocks(&self) -> &[BlockSummary] {
        &self.blocks
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.symbols.to_vec()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<Trade>>, BoxError> {
        Ok(Box::new(Lent { source: self.clone(), current: 0..0 }))
    }
}

struct Lent {
    source: Again,
    current: Range<usize>,
}

impl BlockReader<Trade> for Lent {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        let Again { events, count, blocks, checks_times, .. } = &self.source;
        let first = block % (events.len() / count) * count;
        self.current = first..first + count;
        let BlockSummary { min, max, .. } = blocks[block];
        let is_inside = |trade: &Trade| (min.as_nanos()..=max.as_nanos()).contains(&trade.time_ns);
        // Without a way out of the loop, so that several are compared at once.
        if *checks_times && !events[self.current.clone()].iter().fold(true, |all, trade| all & is_inside(trade)) {
            return Err(format!("block {block} is not what its summary says").into());
        }
        Ok(())
    }

    fn events(&self) -> &[Trade] {
        &self.source.events[self.current.clone()]
    }
}

/// A run of a job over the blocks.
fn job(
    source: &Again,
    run: impl Fn(pelton::Source<Trade>) -> Result<(Seen, Report), pelton::Error>,
) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let (seen, report) = run(pelton::Source::blocks(source.clone()))?;
            report.balance()?;
            Ok((seen.count(), seen.hash()))
        })
    }
}

/// A run of a loop over the blocks.
fn by_hand<C>(
    source: &Again,
    run: impl Fn(&Again, &mut Blackhole) -> Result<C, BoxError>,
) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let mut sink = blackhole();
            run(&Again { checks_times: true, ..source.clone() }, &mut sink)?;
            Ok((sink.seen().count(), sink.seen().hash()))
        })
    }
}

/// A run of the checksum over blocks of bytes; its outcome has no rows.
fn checksum<'a, B: Iterator<Item = &'a [u8]>>(blocks: impl Fn() -> B) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let sums = blocks().map(|block| u64::from(crc32fast::hash(std::hint::black_box(block))));
            Ok((0, sums.fold(0u64, |all, sum| all.rotate_left(1) ^ sum)))
        })
    }
}

pub(super) fn cached(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let keys = 10_000;
    let path = suite.captures.get(Spec::new(Kind::Trades, keys), suite.tell)?;
    let capture = replay::<Trade>(&path)?.into_blocks();
    let source = Again::first_of(&capture, suite.options.events)?;
    let events = source.count as u64 * source.blocks.len() as u64;

    let mut contest = Contest::new("filter, map and project, few blocks again and again", events, EVENT_BYTES);
    contest.rival("pelton", job(&source, |source| selective_job(source, 1)));
    contest.rival("plain", by_hand(&source, selective));
    let stateless = suite.run(contest);

    let mut contest = Contest::new("keyed window, few blocks again and again", events, EVENT_BYTES);
    contest.rival("pelton", job(&source, |source| window_job(source, SECOND, 1)));
    contest.rival("plain", by_hand(&source, |source, sink| keyed_window(source, SECOND, sink)));
    let told = Keys::Dense(keys as usize);
    contest.rival("expert", by_hand(&source, |source, sink| expert_window(source, SECOND, Duration::ZERO, told, sink)));
    let keyed = suite.run(contest);

    let (bytes, block) = (bytemuck::cast_slice::<Trade, u8>(&source.events), source.count * size_of::<Trade>());
    let mut contest = Contest::new("checksum of few blocks, again and again", events, EVENT_BYTES);
    contest.rival("crc32fast", checksum(|| bytes.chunks(block).cycle().take(source.blocks.len())));
    let hot = suite.run(contest);

    let bytes = std::fs::read(&path)?;
    let mut contest = Contest::new("checksum of the capture", bytes.len() as u64 / EVENT_BYTES, EVENT_BYTES);
    contest.rival("crc32fast", checksum(|| bytes.chunks(block)));
    contest.remark("crc32fast", "from anonymous memory, in pieces as large as a block");
    Ok(vec![stateless, keyed, hot, suite.run(contest)].into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::VecSource;
    use pelton_io::generate::{TradeOptions, symbol_names, trades};

    #[test]
    fn a_block_comes_as_often_as_was_asked_for_and_all_rivals_agree() {
        let trades = trades(&TradeOptions { events: 300, keys: 10, ..TradeOptions::default() }).collect();
        let first = VecSource::new(trades, 100).with_symbols(symbol_names(10));
        let source = Again::first_of(&first, 950).unwrap();
        assert_eq!((source.events.len(), source.count, source.blocks.len()), (300, 100, 10));
        let ours = job(&source, |source| window_job(source, SECOND, 1))().unwrap();
        let theirs = by_hand(&source, |source, sink| keyed_window(source, SECOND, sink))().unwrap();
        assert!(ours.rows > 0 && (ours.rows, ours.hash) == (theirs.rows, theirs.hash));
        let bytes = bytemuck::cast_slice::<Trade, u8>(&source.events);
        let sums = [bytes, &bytes[1..]].map(|bytes| checksum(|| bytes.chunks(64))().unwrap().hash);
        assert_ne!(sums[0], sums[1]);
    }
}
