//! Where the generator of a bounded source's watermarks stands before each block: a first pass over the source, in order.

use crate::progress::generator::GeneratedClock;
use crate::progress::jumps::{JumpLimit, SourceClock};
use crate::runtime::source::BlockReader;
use crate::runtime::summaries::{self, Index};
use crate::runtime::symbols::SourceSymbols;
use crate::{BoxError, Event, Timestamp};
use std::ops::RangeInclusive;

/// Has a generator see the events of a block, those in `range` that do not jump, from where event time stands before it.
/// `behind` gets the clock behind each event.
pub(crate) fn fold<T: Event>(
    clock: &mut GeneratedClock<T>,
    events: &[T],
    mut source: SourceClock,
    (range, jumps): (&RangeInclusive<Timestamp>, JumpLimit),
    mut behind: impl FnMut(Timestamp),
) {
    for event in events {
        if range.contains(&event.time()) && !source.take(event.time(), jumps) {
            clock.take(event);
        }
        behind(clock.clock());
    }
}

/// The clock before each block, and behind the last. `told` are watermarks of the source's own.
///
/// # Errors
/// When a block cannot be read, or has symbols that stand for nothing.
pub(crate) fn before_blocks<T: Event>(
    mut clock: GeneratedClock<T>,
    (index, told): (&Index, &[(usize, Timestamp)]),
    (range, jumps): (&RangeInclusive<Timestamp>, JumpLimit),
    symbols: &mut SourceSymbols,
    reader: &mut dyn BlockReader<T>,
) -> Result<Vec<GeneratedClock<T>>, BoxError> {
    let mut clocks = Vec::with_capacity(index.summaries.len() + 1);
    let (mut copy, mut told) = (Vec::new(), told.iter().peekable());
    for (number, summary) in index.summaries.iter().enumerate() {
        while let Some((_, watermark)) = told.next_if(|(block, _)| *block <= number) {
            clock.raise(*watermark);
        }
        clocks.push(clock.clone());
        if summary.is_none() {
            continue;
        }
        reader.load(number)?;
        summaries::countable(number, reader.events())?;
        let events = symbols.translated(reader.events(), (number, 0), range, &mut copy)?;
        fold(&mut clock, events, index.before(number), (range, jumps), |_| {});
    }
    clocks.push(clock);
    Ok(clocks)
}
