//! `pelton replay`: a job over captures.
//!
//! Everything that can be wrong with the arguments and the captures' headers is found before the
//! outputs are created, so that a mistake does not empty a file.

use crate::args::{JobKind, Replay};
use crate::error::{Failure, chain, is_broken_pipe, say};
use crate::progress::ReplayView;
use crate::units::Condition;
use pelton::{
    Chain, Error, FieldKind, Job, Layout, Options, Record, Report, Sink, StepKind, Stream, Timestamp, Tumbling,
    Watermarks,
};
use pelton_io::bars::{Bar, BarTrade, FilteredTrade, Priced, bars};
use pelton_io::capture::{self, Capture, Speed};
use pelton_io::codec::binance::BinanceEvent;
use pelton_io::{Trade, csv};
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The names of the job's own steps and sinks.
const STEP: &str = "bars";
const OUT: &str = "out";
const LATE: &str = "late";
/// The most captures of one replay: the inputs that a union may have.
const CAPTURES_MAX: usize = 256;

pub(crate) fn run(args: &Replay) -> Result<(), Failure> {
    if let (Some(from), Some(until)) = (args.from, args.until)
        && from >= until
    {
        return Err(Failure::usage(format!("--from {from} is not before --until {until}: nothing would be replayed")));
    }
    if args.captures.len() > CAPTURES_MAX {
        let found = args.captures.len();
        return Err(Failure::usage(format!("at most {CAPTURES_MAX} captures can be replayed together, not {found}")));
    }
    let inputs = open(args)?;
    check_outputs(args)?;
    let JobKind::Bars = args.job;
    let job = Bars { inputs: &inputs, args };
    // The captures' headers are checked before the outputs are created.
    let declared = job.declare()?;
    let workers = args.workers.map_or_else(Options::per_core, |workers| Options::workers(workers.into()));
    let report = run_job(declared, workers, &view(&inputs, args)).map_err(|error| {
        let files: Vec<_> =
            [Some(&args.out), args.late.as_ref()].into_iter().flatten().filter(|out| !is_stdout(out)).collect();
        files.iter().for_each(|file| say(&format!("pelton: {} is not complete", file.display())));
        // A reader of standard output that has gone is no failure, but a file with half of the rows is.
        let is_failure = !files.is_empty() && is_broken_pipe(&error);
        if is_failure { Failure::failed(chain(&error)) } else { error.into() }
    })?;
    say(&report.to_string());
    say_late(&report, args);
    report.balance().map_err(Failure::failed)
}

/// Runs a job to its end and shows it meanwhile.
pub(crate) fn run_job(job: Job, options: Options, view: &ReplayView) -> Result<Report, Error> {
    let handle = job.start(options)?;
    view.follow(&handle);
    handle.join()
}

fn say_late(report: &Report, args: &Replay) {
    let late: u64 = report.steps.iter().filter(|step| step.kind == StepKind::Keyed).map(|step| step.late).sum();
    if late > 0 && args.late.is_none() {
        say(&format!(
            "{late} events came after their window had closed and are in no bar: --late FILE keeps them, a larger \
             --out-of-orderness waits for them"
        ));
    }
}

/// A capture to replay.
struct Input {
    name: String,
    capture: Capture,
    conditions: Vec<Condition>,
}

fn open(args: &Replay) -> Result<Vec<Input>, Failure> {
    let mut names: HashSet<String> = [STEP, OUT, LATE].map(String::from).into();
    let mut inputs = Vec::new();
    for path in &args.captures {
        let capture = Capture::open(path)?;
        if let Some(cut) = capture.cut() {
            let (path, offset, bytes, reason) = (path.display(), cut.offset, cut.bytes, &cut.reason);
            let what = format!("{path}: incomplete: {bytes} bytes from byte {offset} on are not usable: {reason}");
            if !args.allow_incomplete {
                return Err(Failure::failed(format!("{what}; --allow-incomplete replays what is before them")));
            }
            say(&format!("pelton: {what}"));
        }
        let base = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut name = base.clone();
        for number in 2.. {
            if names.insert(name.clone()) {
                break;
            }
            name = format!("{base} ({number})");
        }
        let conditions = conditions(&capture, args)?;
        inputs.push(Input { name, capture, conditions });
    }
    Ok(inputs)
}

/// The conditions on a capture's events: those asked for, and of exchange frames the trades only.
fn conditions(capture: &Capture, args: &Replay) -> Result<Vec<Condition>, Failure> {
    let mut conditions = args.conditions.clone();
    if capture.layout().fingerprint() == BinanceEvent::layout().fingerprint()
        && conditions.iter().all(|condition| condition.field != "kind")
    {
        conditions.push(Condition { field: "kind".into(), value: BinanceEvent::TRADE.into() });
    }
    if conditions.len() > FilteredTrade::FILTERS {
        return Err(Failure::usage(format!("at most {} conditions can be given", FilteredTrade::FILTERS)));
    }
    for condition in &conditions {
        let fields = capture.layout().fields();
        if !fields.iter().any(|field| field.name == condition.field && is_integer(field.kind)) {
            let integers: Vec<_> =
                fields.iter().filter(|field| is_integer(field.kind)).map(|field| &*field.name).collect();
            let (path, field, has) = (capture.path().display(), &condition.field, integers.join(", "));
            return Err(Failure::usage(format!("--where {field}: {path} has no such integer; it has: {has}")));
        }
    }
    Ok(conditions)
}

fn is_integer(kind: FieldKind) -> bool {
    !matches!(kind, FieldKind::U128 | FieldKind::F32 | FieldKind::F64 | FieldKind::Symbol | FieldKind::Text(_))
}

pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An output must not be an input, which is mapped while the output is emptied, nor another output.
fn check_outputs(args: &Replay) -> Result<(), Failure> {
    let is_same = |a: &Path, b: &Path| {
        let found =
            |path: &Path| path.metadata().ok().filter(Metadata::is_file).map(|found| (found.dev(), found.ino()));
        a == b || found(a).is_some_and(|found_a| Some(found_a) == found(b))
    };
    let files: Vec<&Path> =
        [Some(&args.out), args.late.as_ref()].into_iter().flatten().map(|path| path.as_path()).collect();
    if let [out, late] = files[..]
        && is_same(out, late)
    {
        return Err(Failure::usage(format!("--out and --late are both {}", out.display())));
    }
    for file in files.into_iter().filter(|file| !is_stdout(file)) {
        if let Some(capture) = args.captures.iter().find(|capture| is_same(capture, file)) {
            return Err(Failure::usage(format!(
                "the output {} is also the input {}",
                file.display(),
                capture.display()
            )));
        }
    }
    Ok(())
}

fn view(inputs: &[Input], args: &Replay) -> ReplayView {
    let from = args.from.unwrap_or(Timestamp::MIN);
    let wanted = |min: Timestamp, max: Timestamp| max >= from && args.until.is_none_or(|until| min < until);
    let blocks = inputs.iter().flat_map(|input| input.capture.blocks()).filter(|block| wanted(block.min, block.max));
    let (events, first) = blocks.fold((0, None), |(events, first): (u64, Option<Timestamp>), block| {
        let min = block.min.max(from);
        (events + u64::from(block.count), Some(first.map_or(min, |first| first.min(min))))
    });
    let times = match args.speed {
        Speed::Max => None,
        Speed::Times(times) => Some(times),
    };
    ReplayView { events, first, times, out_of_orderness: args.out_of_orderness }
}

/// The job of bars.
struct Bars<'a> {
    inputs: &'a [Input],
    args: &'a Replay,
}

impl Bars<'_> {
    fn declare(&self) -> Result<Job, Failure> {
        let trades = Trade::layout().schema();
        if self.inputs.iter().all(|input| input.capture.layout().schema() == trades) {
            let replays = self.replays(|input| Ok(input.capture.replay::<Trade>()?))?;
            return match self.args.conditions.is_empty() {
                true => self.job(replays, |_, stream| stream),
                false => self.job(replays, |input, stream| stream.filter(trade_filter(&input.conditions))),
            };
        }
        if self.inputs.iter().all(|input| input.conditions.is_empty()) {
            let replays = self.replays(|input| {
                let map = field_map(input)?;
                Ok(input.capture.replay_projected::<BarTrade>(&borrowed(&map))?)
            })?;
            return self.job(replays, |_, stream| stream);
        }
        let replays = self.replays(|input| {
            let mut map = field_map(input)?;
            for (i, name) in FilteredTrade::FILTER_NAMES.into_iter().enumerate() {
                // A slot without a condition holds any integer: the time.
                map.push((name, input.conditions.get(i).map_or_else(|| map[0].1.clone(), |by| by.field.clone())));
            }
            Ok(input.capture.replay_projected::<FilteredTrade>(&borrowed(&map))?)
        })?;
        self.job(replays, |input, stream| {
            let mut wanted = [None; FilteredTrade::FILTERS];
            wanted.iter_mut().zip(&input.conditions).for_each(|(wanted, by)| *wanted = Some(by.value));
            let holds = move |row: &FilteredTrade| {
                let filters = row.filters;
                wanted.iter().zip(filters).all(|(wanted, value)| wanted.is_none_or(|wanted| wanted == value))
            };
            stream.filter(holds).map(FilteredTrade::trade)
        })
    }

    fn replays<T: Priced>(
        &self,
        replay: impl Fn(&Input) -> Result<capture::Replay<T>, Failure>,
    ) -> Result<Vec<capture::Replay<T>>, Failure> {
        let args = self.args;
        let set = |mut replay: capture::Replay<T>| {
            if let Some(from) = args.from {
                replay = replay.from(from);
            }
            if let Some(until) = args.until {
                replay = replay.until(until);
            }
            replay.speed(args.speed).untrusted(args.untrusted)
        };
        self.inputs.iter().map(|input| replay(input).map(set)).collect()
    }

    /// The job over replays, one for each input; `shape` makes rows of a stream's events.
    fn job<T, U, C>(
        &self,
        replays: Vec<capture::Replay<T>>,
        shape: impl Fn(&Input, Stream<T>) -> Stream<U, C>,
    ) -> Result<Job, Failure>
    where
        T: Priced,
        U: Priced,
        C: Chain<Out = U>,
    {
        let mut job = Job::new(STEP);
        let mut streams = Vec::new();
        for (input, replay) in self.inputs.iter().zip(replays) {
            let stream = job.source(&input.name, replay).watermarks(Watermarks::bounded(self.args.out_of_orderness));
            streams.push(shape(input, stream));
        }
        let mut streams = streams.into_iter();
        match (streams.next(), streams.next()) {
            (Some(first), Some(second)) => self.sinks(streams.fold(first.union(second), Stream::union))?,
            (Some(only), None) => self.sinks(only)?,
            (None, _) => return Err(Failure::usage("expected a capture")),
        }
        Ok(job)
    }

    fn sinks<U: Priced, C: Chain<Out = U>>(&self, stream: Stream<U, C>) -> Result<(), Failure> {
        let step = stream.key_by(Priced::symbol).window(Tumbling::of(self.args.window)).aggregate(STEP, bars());
        step.sink(OUT, csv_sink::<Bar>(&self.args.out)?);
        if let Some(late) = &self.args.late {
            step.late.sink(LATE, csv_sink::<U>(late)?);
        }
        Ok(())
    }
}

fn csv_sink<T: Record>(path: &Path) -> Result<impl Sink<T>, Failure> {
    Ok(if is_stdout(path) { csv::stdout() } else { csv::create(path)? })
}

fn trade_filter(conditions: &[Condition]) -> impl Fn(&Trade) -> bool + Clone + Send + Sync + use<> {
    type Get = fn(&Trade) -> i64;
    let checks: Vec<(Get, i64)> = conditions
        .iter()
        .map(|condition| {
            let get: Get = match &*condition.field {
                "time_ns" => |trade| trade.time_ns,
                "price" => |trade| trade.price,
                "size" => |trade| trade.size.into(),
                "condition" => |trade| trade.condition.into(),
                "suspicious" => |trade| trade.suspicious.into(),
                // The fields were checked: this is the last integer of a trade.
                _ => |trade| trade.kind.into(),
            };
            (get, condition.value)
        })
        .collect();
    move |trade| checks.iter().all(|(get, value)| get(trade) == *value)
}

/// For each field of a [`BarTrade`] the capture's field it is taken from; the time is the first.
fn field_map(input: &Input) -> Result<Vec<(&'static str, String)>, Failure> {
    let layout = input.capture.layout();
    let has = |name: &str| layout.fields().iter().any(|field| field.name == name).then(|| name.to_owned());
    let time = layout.time_field().map(|field| field.name.to_string());
    let size = has("size").or_else(|| has("quantity"));
    let wanted = [
        ("time_ns", time, "an event time"),
        ("price", has("price"), "a field `price`"),
        ("size", size, "a field `size` or `quantity`"),
        ("symbol", has("symbol"), "a field `symbol`"),
    ];
    let missing: Vec<_> = wanted.iter().filter(|(_, from, _)| from.is_none()).map(|(_, _, what)| *what).collect();
    if missing.is_empty() {
        return Ok(wanted.into_iter().filter_map(|(to, from, _)| Some((to, from?))).collect());
    }
    let path = input.capture.path().display();
    Err(Failure::failed(format!("{path}: bars need {}; it has: {}", missing.join(" and "), names(layout))))
}

fn names(layout: &Layout) -> String {
    layout.fields().iter().map(|field| format!("{} ({})", field.name, field.kind)).collect::<Vec<_>>().join(", ")
}

fn borrowed<'a>(map: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    map.iter().map(|(to, from)| (*to, from.as_str())).collect()
}
