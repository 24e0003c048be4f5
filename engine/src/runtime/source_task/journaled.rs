//! Of the task that reads sources: what comes is journaled before it is given on, and taken from the journal again after
//! a restart.

use super::{SourceTask, State};
use crate::log::error::StateError;
use crate::log::journal::{Arrival, InputCount, Journal, Record, RecordKind, Records};
use crate::runtime::live::{LiveSource, LiveSources};
use crate::{BoxError, Error};
use std::sync::Arc;
use std::time::Duration;

/// Records that one call reads at most.
const RECORDS_MAX: usize = 256;

/// What a source task needs to know of the journal.
pub(crate) struct JournalStart {
    pub(crate) journal: Arc<Journal>,
    /// The number of the first of its sources there.
    pub(crate) first: u32,
    /// Whether what came is given on only when it is durable.
    pub(crate) waits: bool,
    /// Where the sources stood at the checkpoint that the job goes on from; otherwise they begin with the journal.
    pub(crate) saved: Option<LiveSources>,
}

/// The journal of a source task.
pub(super) struct Journaled {
    journal: Arc<Journal>,
    first: u32,
    waits: bool,
    /// What came before a restart and is not taken again yet.
    replay: Option<Records>,
    /// What was taken of each source.
    counts: Vec<InputCount>,
}

impl Journaled {
    /// The number among the task's sources of one in the journal.
    fn source(&self, record: &Record<'_>) -> Option<usize> {
        let source = record.source.checked_sub(self.first)? as usize;
        (source < self.counts.len()).then_some(source)
    }
}

fn is_of_source(kind: RecordKind) -> bool {
    !matches!(kind, RecordKind::Head | RecordKind::Symbols | RecordKind::Start)
}

impl SourceTask {
    /// Has the task journal what comes, and begin with what was journaled before.
    ///
    /// # Errors
    /// When the journal cannot be read, or does not fit the sources.
    pub(crate) fn with_journal(mut self, start: JournalStart) -> Result<Self, Error> {
        let JournalStart { journal, first, waits, saved } = start;
        let begin = journal.first();
        let position = match &saved {
            // Nothing comes of them any more, and the records where they stood may be cut.
            Some(saved) if saved.are_over() => journal.opened_end(),
            Some(saved) => saved.position,
            None => begin,
        };
        let counts = match &saved {
            Some(saved) => saved.sources.iter().map(|source| source.count).collect(),
            None => vec![InputCount::default(); self.pipes.len()],
        };
        let mut journaled = Journaled { journal, first, waits, replay: None, counts };
        if let Some(saved) = saved {
            self.pass_over(&journaled, journaled.journal.records(begin)?, &saved)?;
            self.clock = saved.clock;
            for ((arrival, pipe), was) in self.arrivals.iter_mut().zip(&mut self.pipes).zip(saved.sources) {
                arrival.block = was.block as usize;
                arrival.ended = was.has_ended;
                arrival.idle = was.is_idle;
                pipe.resume(was.clock, arrival.block);
            }
        }
        journaled.replay = Some(journaled.journal.records(position)?);
        self.journaled = Some(journaled);
        Ok(self)
    }

    /// Has watermarks that cannot be saved account for all that came before the place where the sources go on.
    fn pass_over(&mut self, journaled: &Journaled, mut records: Records, saved: &LiveSources) -> Result<(), Error> {
        // Of a bounded source a first pass tells.
        let needs_all = |source: &usize| self.arrivals[*source].rules.is_generated && self.blocks_of(*source).is_none();
        let Some(own) = (0..self.pipes.len()).find(needs_all) else { return Ok(()) };
        if journaled.journal.is_cut() {
            let name = self.pipes[own].name();
            let reason =
                format!("the watermarks of `{name}` are the program's own: they need all that came, and some was cut");
            return Err(StateError::journal_misfit(records.path(), reason).into());
        }
        while records.position().sequence < saved.position.sequence {
            let Some(record) = records.next()? else { break };
            if let (RecordKind::Events | RecordKind::LastEvents | RecordKind::Watermark, Some(source)) =
                (record.kind, journaled.source(&record))
                && self.arrivals[source].rules.is_generated
                && let Err(error) = self.pipes[source].pass_over(&record)
            {
                return Err(Error::Source { name: self.pipes[source].name().to_string(), error });
            }
        }
        Ok(())
    }

    /// Whether what came before a restart is not all taken again.
    pub(super) fn is_replaying(&self) -> bool {
        self.journaled.as_ref().is_some_and(|journaled| journaled.replay.is_some())
    }

    /// Begins with what came: at once, or when it is durable.
    pub(super) fn came(&mut self, source: usize, kind: RecordKind, now: Duration) -> Option<State> {
        if self.journaled.is_none() {
            return Some(self.enter(source, kind));
        }
        if matches!(kind, RecordKind::Idle | RecordKind::Watermark) {
            self.note_rejected(source, now)?;
        }
        let sequence = self.journal(source, kind, now)?;
        match &self.journaled {
            Some(Journaled { waits: true, .. }) => Some(State::Held(source, kind, sequence)),
            _ => Some(self.enter(source, kind)),
        }
    }

    /// Journals what a feed has rejected where it gave nothing else; `None` where that fails.
    pub(super) fn note_rejected(&mut self, source: usize, now: Duration) -> Option<()> {
        if self.journaled.is_none() {
            return Some(());
        }
        let rejected = self.pipes[source].take_rejected();
        if rejected > 0 {
            self.append(source, RecordKind::Events, (0, rejected), (now, None))?;
        }
        Some(())
    }

    /// Journals what came; the sequence number behind it, or `None` where that fails.
    fn journal(&mut self, source: usize, kind: RecordKind, now: Duration) -> Option<u64> {
        let rejected = self.pipes[source].take_rejected();
        let (count, payload) = match kind {
            RecordKind::Events | RecordKind::LastEvents => (self.pipes[source].polled().1, None),
            RecordKind::Block => {
                let block = self.arrivals[source].block - 1;
                (block, Some(self.pipes[source].block_bytes(block).to_vec()))
            }
            RecordKind::Watermark => (0, Some(self.pipes[source].told_bytes().to_vec())),
            _ => (0, Some(Vec::new())),
        };
        let Ok(count) = u32::try_from(count) else {
            self.fail(source, format!("{count} events or blocks are more than can be journaled").into());
            return None;
        };
        self.append(source, kind, (count, rejected), (now, payload.as_deref()))
    }

    /// Appends a record, with the events that were polled where there is no other payload.
    fn append(
        &mut self,
        source: usize,
        kind: RecordKind,
        (count, rejected): (u32, u64),
        (clock, payload): (Duration, Option<&[u8]>),
    ) -> Option<u64> {
        let Self { journaled, pipes, shared, .. } = self;
        let Some(journaled) = journaled else { return None };
        let payload = match payload {
            Some(payload) => payload,
            None if count == 0 => &[],
            None => pipes[source].polled().0,
        };
        let arrival = Arrival { kind, source: journaled.first + source as u32, clock, count, rejected, payload };
        match journaled.journal.append(&arrival, &shared.symbols) {
            Ok(sequence) => {
                if matches!(kind, RecordKind::Events | RecordKind::LastEvents) {
                    journaled.counts[source].add(count, rejected);
                }
                Some(sequence)
            }
            Err(error) => {
                shared.fail(Error::State(error));
                None
            }
        }
    }

    /// Whether a record is durable, and all before it.
    pub(super) fn is_durable(&self, sequence: u64) -> bool {
        self.journaled.as_ref().is_none_or(|journaled| journaled.journal.durable() >= sequence)
    }

    /// Begins with the next thing that came before a restart.
    pub(super) fn next_replayed(&mut self) -> Option<State> {
        for _ in 0..RECORDS_MAX {
            match self.take_record() {
                Ok(Some((source, kind))) => return Some(self.enter(source, kind)),
                Ok(None) if self.is_replaying() => {}
                Ok(None) => break,
                Err(error) => {
                    self.shared.fail(error);
                    return None;
                }
            }
        }
        Some(State::Next)
    }

    /// Takes the next record; the source and what came of it, where anything did.
    fn take_record(&mut self) -> Result<Option<(usize, RecordKind)>, Error> {
        let Self { journaled, pipes, arrivals, shared, unit, .. } = self;
        let Some(journaled) = journaled else { return Ok(None) };
        let end = journaled.journal.opened_end().sequence;
        let Some(mut records) = journaled.replay.take_if(|records| records.position().sequence < end) else {
            // Sources are waited for from now on.
            journaled.replay = None;
            let now = shared.clock.now();
            arrivals.iter_mut().for_each(|arrival| arrival.last_event = now);
            return Ok(None);
        };
        let path = records.path().to_owned();
        let Some(record) = records.next()? else {
            return Err(StateError::misfit(&path, "it has become shorter meanwhile").into());
        };
        let (kind, found) = (record.kind, journaled.source(&record));
        let Some(source) = found.filter(|_| is_of_source(kind)) else {
            journaled.replay = Some(records);
            return Ok(None);
        };
        let (pipe, arrival) = (&mut pipes[source], &mut arrivals[source]);
        let failed = |name: &str, error: BoxError| Error::Source { name: name.to_owned(), error };
        let mut came = Some((source, kind));
        match kind {
            RecordKind::Events if record.count == 0 => {
                pipe.reject(record.rejected);
                came = None;
            }
            RecordKind::Events | RecordKind::LastEvents => {
                pipe.take(&record, *unit).map_err(|error| failed(pipe.name(), error))?;
            }
            RecordKind::Block => {
                let block = record.count as usize;
                if block != arrival.block || record.payload != pipe.block_bytes(block) {
                    let name = pipe.name();
                    let reason =
                        format!("block {block} of `{name}`, which was read, is not there any more, or is different");
                    return Err(StateError::misfit(&path, reason).into());
                }
                pipe.load(block, None).map_err(|error| failed(pipe.name(), error))?;
                arrival.block += 1;
            }
            RecordKind::Watermark => pipe.tell_again(&record).map_err(|error| failed(pipe.name(), error))?,
            _ => {}
        }
        if matches!(kind, RecordKind::Events | RecordKind::LastEvents) {
            journaled.counts[source].add(record.count, record.rejected);
        }
        journaled.replay = Some(records);
        Ok(came)
    }

    /// Where the sources stand between two units, where they are journaled.
    pub(super) fn standing(&self) -> Option<LiveSources> {
        let journaled = self.journaled.as_ref()?;
        let position = match &journaled.replay {
            Some(records) => records.position(),
            None => journaled.journal.end(),
        };
        let sources = self.pipes.iter().zip(&self.arrivals).zip(&journaled.counts);
        let sources = sources.map(|((pipe, arrival), count)| LiveSource {
            clock: pipe.source_clock(),
            block: arrival.block as u64,
            has_ended: arrival.ended,
            is_idle: arrival.idle,
            count: *count,
        });
        Some(LiveSources { position, clock: self.clock, sources: sources.collect() })
    }
}
