//! What the symbol ids in a source's events stand for; one that stands for nothing ends the job.

use crate::{BoxError, Dictionary, Event, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What ids stand for.
pub(crate) enum Meaning {
    /// The source's texts, so many, which have the same ids in the job's dictionary.
    Same(usize),
    /// The source's texts: for each of its ids the job's.
    Mapped(Arc<[u32]>),
    /// Texts of the job's dictionary: the source has none of its own.
    Jobs(Arc<Dictionary>),
}

/// The symbols in the events of one source.
pub(crate) struct SourceSymbols {
    meaning: Meaning,
    /// Where the ids are in an event.
    offsets: Vec<usize>,
    /// Ids below this are known; of the job's dictionary, when it was last asked.
    known: usize,
}

impl SourceSymbols {
    /// The symbols at these offsets of events of type `T`.
    pub(crate) fn new<T: Event>(meaning: Meaning, offsets: &[usize]) -> Self {
        let is_inside = |offset: &usize| offset.checked_add(size_of::<u32>()).is_some_and(|end| end <= size_of::<T>());
        let known = match &meaning {
            Meaning::Same(texts) => *texts,
            Meaning::Mapped(ids) => ids.len(),
            Meaning::Jobs(_) => 0,
        };
        Self { offsets: offsets.iter().copied().filter(is_inside).collect(), meaning, known }
    }

    /// Whether events must be copied, so that their ids can be changed.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.meaning, Meaning::Mapped(_)) && !self.offsets.is_empty()
    }

    /// Checks the ids of events of block `block`, the first of which is the `first` in it. An event whose time is not
    /// in `times` may have any: it is rejected.
    #[inline]
    pub(crate) fn check<T: Event>(
        &mut self,
        events: &[T],
        (block, first): (usize, usize),
        times: &RangeInclusive<Timestamp>,
    ) -> Result<(), BoxError> {
        if self.offsets.iter().all(|&offset| all_below(events, offset, self.known)) {
            return Ok(());
        }
        self.check_each(events, (block, first), times)
    }

    /// Checks the ids of events, as [`SourceSymbols::check`] does; the events with the job's ids, in `copy` where they
    /// have others.
    pub(crate) fn translated<'a, T: Event>(
        &mut self,
        events: &'a [T],
        place: (usize, usize),
        times: &RangeInclusive<Timestamp>,
        copy: &'a mut Vec<T>,
    ) -> Result<&'a [T], BoxError> {
        self.check(events, place, times)?;
        if !self.changes() {
            return Ok(events);
        }
        copy.clear();
        copy.extend_from_slice(events);
        self.change(copy);
        Ok(copy)
    }

    #[cold]
    fn check_each<T: Event>(
        &mut self,
        events: &[T],
        (block, first): (usize, usize),
        times: &RangeInclusive<Timestamp>,
    ) -> Result<(), BoxError> {
        if let Meaning::Jobs(symbols) = &self.meaning {
            // The host program may have added some meanwhile.
            self.known = symbols.len();
        }
        for (index, event) in events.iter().enumerate() {
            for &offset in &self.offsets {
                let id = id_at(event, offset);
                if id as usize >= self.known && times.contains(&event.time()) {
                    return Err(self.stranger(id, block, first + index).into());
                }
            }
        }
        Ok(())
    }

    fn stranger(&self, id: u32, block: usize, event: usize) -> String {
        let whose = match self.meaning {
            Meaning::Jobs(_) => "the source names no symbols, and the job's dictionary",
            Meaning::Same(_) | Meaning::Mapped(_) => "the source's dictionary",
        };
        let known = self.known;
        format!("event {event} of block {block} has a symbol with id {id}, which is unknown: {whose} has {known} texts")
    }

    /// Changes the ids of a block's events, which were checked, into the job's.
    pub(crate) fn change<T: Event>(&self, events: &mut [T]) {
        let Meaning::Mapped(ids) = &self.meaning else { return };
        for event in events {
            for &offset in &self.offsets {
                if let Some(new) = ids.get(id_at(event, offset) as usize)
                    && let Some(bytes) = bytemuck::bytes_of_mut(event)[offset..].first_chunk_mut()
                {
                    *bytes = new.to_le_bytes();
                }
            }
        }
    }
}

#[inline(always)]
fn id_at<T: Event>(event: &T, offset: usize) -> u32 {
    let bytes = bytemuck::bytes_of(event)[offset..].first_chunk();
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Whether the ids at `offset` are all below `end`: a load with a comparison and a branch for each, side by side.
#[inline]
fn all_below<T: Event>(events: &[T], offset: usize, end: usize) -> bool {
    let end = u32::try_from(end).unwrap_or(u32::MAX);
    // Known of `offset` from the start; said here, so that it is not asked for each event.
    if offset > size_of::<T>() || size_of::<T>() - offset < size_of::<u32>() {
        return true;
    }
    let below = |event: &T| id_at(event, offset) < end;
    let (chunks, rest) = events.as_chunks::<16>();
    chunks.iter().all(|chunk| chunk.iter().all(below)) && rest.iter().all(below)
}
