//! What `pelton replay` reads: captures, and the feeds of journals.

use crate::args::Replay;
use crate::error::{Failure, say};
use crate::units::{Condition, grouped};
use pelton::state::{JournalFeed, SavedJournal};
use pelton::{BlockSummary, Event, FieldKind, Layout, Record, Source, Timestamp};
use pelton_io::bars::FilteredTrade;
use pelton_io::capture::Capture;
use pelton_io::codec::binance::BinanceEvent;
use pelton_io::journal::JournalReplay;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The most inputs of one replay: those that a union may have.
const INPUTS_MAX: usize = 256;

/// Something to replay.
pub(crate) struct Input {
    /// The name of its source in the job.
    pub(crate) name: String,
    pub(crate) conditions: Vec<Condition>,
    origin: Origin,
}

/// Where events come from.
enum Origin {
    Capture(Capture),
    Feed(Arc<JournalFeed>),
}

impl Origin {
    fn layout(&self) -> &Layout {
        match self {
            Self::Capture(capture) => capture.layout(),
            Self::Feed(feed) => feed.layout(),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Capture(capture) => capture.path(),
            Self::Feed(feed) => feed.path(),
        }
    }
}

impl Input {
    pub(crate) fn layout(&self) -> &Layout {
        self.origin.layout()
    }

    pub(crate) fn path(&self) -> &Path {
        self.origin.path()
    }

    /// What it is called in messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.origin {
            Origin::Capture(_) => "capture",
            Origin::Feed(_) => "journal",
        }
    }

    pub(crate) fn blocks(&self) -> &[BlockSummary] {
        match &self.origin {
            Origin::Capture(capture) => capture.blocks(),
            Origin::Feed(feed) => feed.blocks(),
        }
    }

    pub(crate) fn time_range(&self) -> Option<(Timestamp, Timestamp)> {
        match &self.origin {
            Origin::Capture(capture) => capture.time_range(),
            Origin::Feed(feed) => feed.time_range(),
        }
    }

    /// Its events as they are.
    pub(crate) fn replay<T: Event>(&self, args: &Replay) -> Result<Source<T>, Failure> {
        Ok(match &self.origin {
            Origin::Capture(capture) => of_capture(capture.replay()?, args),
            Origin::Feed(feed) => of_feed(JournalReplay::new(feed.clone())?, args),
        })
    }

    /// Events whose fields are taken from those of its own.
    pub(crate) fn projected<T: Event>(&self, map: &[(&str, String)], args: &Replay) -> Result<Source<T>, Failure> {
        let map: Vec<_> = map.iter().map(|(to, from)| (*to, from.as_str())).collect();
        Ok(match &self.origin {
            Origin::Capture(capture) => of_capture(capture.replay_projected(&map)?, args),
            Origin::Feed(feed) => of_feed(JournalReplay::projected(feed.clone(), &map)?, args),
        })
    }
}

fn of_capture<T: Event>(mut replay: pelton_io::capture::Replay<T>, args: &Replay) -> Source<T> {
    if let Some(from) = args.from {
        replay = replay.from(from);
    }
    if let Some(until) = args.until {
        replay = replay.until(until);
    }
    replay.speed(args.speed).untrusted(args.untrusted).into()
}

fn of_feed<T: Event>(mut replay: JournalReplay<T>, args: &Replay) -> Source<T> {
    if let Some(from) = args.from {
        replay = replay.from(from);
    }
    if let Some(until) = args.until {
        replay = replay.until(until);
    }
    replay.speed(args.speed).into()
}

/// Opens all inputs; sources get names of their own, which are none of `taken`.
pub(crate) fn open(args: &Replay, taken: &[&str]) -> Result<Vec<Input>, Failure> {
    check_count(args.inputs.len())?;
    let mut origins = Vec::new();
    for path in &args.inputs {
        match SavedJournal::is_at(path) {
            true => origins.extend(feeds(path, args)?),
            false => origins.push((file_name(path), Origin::Capture(capture(path, args)?))),
        }
    }
    check_count(origins.len())?;
    let is_fed =
        |name: &String| origins.iter().any(|(_, origin)| matches!(origin, Origin::Feed(feed) if feed.name() == name));
    if let Some(name) = args.sources.iter().find(|name| !is_fed(name)) {
        return Err(Failure::usage(format!("--source {name}: no journal that is replayed has such a feed")));
    }
    let mut names: HashSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
    let mut inputs = Vec::new();
    for (base, origin) in origins {
        let mut name = base.clone();
        for number in 2.. {
            if names.insert(name.clone()) {
                break;
            }
            name = format!("{base} ({number})");
        }
        let conditions = conditions(&origin, args)?;
        inputs.push(Input { name, conditions, origin });
    }
    Ok(inputs)
}

fn check_count(found: usize) -> Result<(), Failure> {
    match found > INPUTS_MAX {
        true => Err(Failure::usage(format!("at most {INPUTS_MAX} inputs can be replayed together, not {found}"))),
        false => Ok(()),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn capture(path: &Path, args: &Replay) -> Result<Capture, Failure> {
    let capture = Capture::open(path)?;
    if let Some(cut) = capture.cut() {
        let (path, offset, bytes, reason) = (path.display(), cut.offset, cut.bytes, &cut.reason);
        let what = format!("{path}: incomplete: {bytes} bytes from byte {offset} on are not usable: {reason}");
        if !args.allow_incomplete {
            return Err(Failure::failed(format!("{what}; --allow-incomplete replays what is before them")));
        }
        say(&format!("pelton: {what}"));
    }
    Ok(capture)
}

/// The feeds of a journal that are wanted: its only one, or those that were named.
fn feeds(path: &Path, args: &Replay) -> Result<Vec<(String, Origin)>, Failure> {
    let journal = SavedJournal::open(path)?;
    let path = journal.path().display();
    for remark in journal.remarks() {
        say(&format!("pelton: {path}: {remark}"));
    }
    if let Some(cut) = journal.cut() {
        let (checkpoint, records) = (cut.checkpoint, grouped(cut.records));
        let what = format!("{path}: incomplete: what came before checkpoint {checkpoint}, {records} records, was cut");
        if !args.allow_incomplete {
            return Err(Failure::failed(format!("{what}; --allow-incomplete replays what came behind it")));
        }
        say(&format!("pelton: {what}"));
    }
    let (ticks, sources): (Vec<_>, Vec<_>) = journal.sources().iter().partition(|source| source.is_processing_time);
    let feeds: Vec<_> = sources.iter().filter(|source| source.is_feed).map(|source| &*source.name).collect();
    let wanted: Vec<_> = match (&*args.sources, &*feeds) {
        ([], [only]) => vec![*only],
        ([], _) => {
            let feeds = feeds.join(", ");
            return Err(Failure::usage(format!("{path}: say by --source which feeds to replay; it has: {feeds}")));
        }
        (names, _) => feeds.iter().copied().filter(|feed| names.iter().any(|name| name == feed)).collect(),
    };
    if wanted.is_empty() {
        let (asked, feeds) = (args.sources.join(" or "), feeds.join(", "));
        return Err(Failure::usage(format!("{path}: there is no feed {asked}; it has: {feeds}")));
    }
    if !ticks.is_empty() {
        say(&format!("pelton: {path}: the job had processing time, which stands still in a replay"));
    }
    if sources.len() > 1 {
        say(&format!(
            "pelton: {path}: the job had several sources, whose events it took as they came; a replay merges events of \
             several by their times"
        ));
    }
    let feed = |name: &str| Ok((name.to_owned(), Origin::Feed(Arc::new(journal.feed(name)?))));
    wanted.into_iter().map(feed).collect()
}

/// The conditions on an input's events: those asked for, and of exchange frames the trades only.
fn conditions(origin: &Origin, args: &Replay) -> Result<Vec<Condition>, Failure> {
    let layout = origin.layout();
    let mut conditions = args.conditions.clone();
    if layout.schema() == BinanceEvent::layout().schema()
        && conditions.iter().all(|condition| condition.field != "kind")
    {
        conditions.push(Condition { field: "kind".into(), value: BinanceEvent::TRADE.into() });
    }
    if conditions.len() > FilteredTrade::FILTERS {
        return Err(Failure::usage(format!("at most {} conditions can be given", FilteredTrade::FILTERS)));
    }
    for condition in &conditions {
        let fields = layout.fields();
        if !fields.iter().any(|field| field.name == condition.field && is_integer(field.kind)) {
            let integers: Vec<_> =
                fields.iter().filter(|field| is_integer(field.kind)).map(|field| &*field.name).collect();
            let (path, field, has) = (origin.path().display(), &condition.field, integers.join(", "));
            return Err(Failure::usage(format!("--where {field}: {path} has no such integer; it has: {has}")));
        }
    }
    Ok(conditions)
}

fn is_integer(kind: FieldKind) -> bool {
    use FieldKind::{Bool, F32, F64, Present, Symbol, Text, U128};
    !matches!(kind, U128 | F32 | F64 | Symbol | Text(_) | Bool | Present)
}
