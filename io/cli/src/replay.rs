//! `pelton replay`: a job over captures and journals.
//!
//! Everything that can be wrong with the arguments and the inputs' headers is found before the
//! outputs are created, and files get their names when they are whole: no mistake costs a file.

use crate::args::{JobKind, Replay};
use crate::error::{Failure, chain, is_broken_pipe, say};
use crate::input::{self, Input};
use crate::notes;
use crate::output::{self, Output};
use crate::progress::ReplayView;
use crate::signals::{Signal, Signals};
use crate::units::{Condition, grouped};
use pelton::{
    Chain, CheckpointOptions, Error, Job, Options, Record, Report, Source, Stop, Stream, Timestamp, Tumbling,
    Watermarks, callback,
};
use pelton_io::Trade;
use pelton_io::bars::{Bar, BarTrade, FilteredTrade, Priced, bars};
use pelton_io::capture::Speed;
use std::io::Write;

/// The names of the job's own steps and sinks.
const STEP: &str = "bars";
const OUT: &str = "out";
const LATE: &str = "late";
/// Sources get other names than these.
const NAMES: [&str; 3] = [STEP, OUT, LATE];

pub(crate) fn run(args: &Replay) -> Result<(), Failure> {
    if let (Some(from), Some(until)) = (args.from, args.until)
        && from >= until
    {
        return Err(Failure::usage(format!("--from {from} is not before --until {until}: nothing would be replayed")));
    }
    let JobKind::Bars = args.job;
    if args.explain {
        let plan =
            Bars { inputs: &input::open(args, &NAMES)?, args, outputs: None }.declare()?.explain(options(args))?;
        let mut stdout = std::io::stdout();
        write!(stdout, "{}", plan.to(args.format.into()))?;
        return Ok(stdout.flush()?);
    }
    let (out, late) = output::check(args)?;
    let inputs = input::open(args, &NAMES)?;
    let signals = Signals::watch()?;
    // The inputs' headers are checked before the outputs are created.
    let declared = Bars { inputs: &inputs, args, outputs: Some((&out, late.as_ref(), &signals)) }.declare()?;
    let outputs: Vec<(&str, &Output)> =
        [Some((OUT, &out)), late.as_ref().map(|late| (LATE, late))].into_iter().flatten().collect();
    let view = view(&inputs, args);
    if args.state.is_some() {
        return run_durable(declared, args, &inputs, &view, &signals);
    }
    let report = match run_job(declared, options(args), &view, &signals) {
        Ok(report) => report,
        Err(error) => return Err(give_up(&outputs, error, signals.received())),
    };
    match signals.received() {
        // A signal that came when everything was written stopped nothing.
        Some(signal) if !outputs.iter().all(|(_, output)| output.is_finished()) => {
            keep_part(&outputs, &report, view.events, signal)
        }
        _ => {
            say(&format!("{report}\n{}", notes::LEGEND));
            if let Err(error) = report.balance() {
                outputs.iter().for_each(|(_, output)| output.give_up());
                return Err(Failure::failed(error));
            }
            // All are kept, also behind one that could not be.
            let kept: Vec<_> = outputs.iter().map(|(_, output)| output.commit()).collect();
            kept.into_iter().collect::<Result<(), _>>()?;
            notes::warnings(&report, &inputs, args).iter().for_each(|warning| say(warning));
            Ok(())
        }
    }
}

fn options(args: &Replay) -> Options {
    let options = args.workers.map_or_else(Options::per_core, |workers| Options::workers(workers.into()));
    let options = options.times(notes::ACCEPTED).jump_max(args.jump_max.0);
    let Some(state) = &args.state else { return options };
    let checkpoints = CheckpointOptions::in_directory(state)
        .every(args.checkpoint_every)
        .fall_back(args.fallback)
        .allow_dropped_state(args.allow_dropped_state);
    options.checkpoints(match args.stop_at {
        Some(time) => checkpoints.stop_at(time),
        None => checkpoints,
    })
}

/// Runs a job to its end, or until a signal stops it, and shows it meanwhile.
pub(crate) fn run_job(job: Job, options: Options, view: &ReplayView, signals: &Signals) -> Result<Report, Error> {
    let handle = job.start(options)?;
    let stopper = handle.stopper();
    // Not drained: that would close the windows as if the input had ended, and write bars of a part
    // of their events that look like all others.
    signals.on_first(move || stopper.stop(Stop::Now));
    view.follow(&handle);
    handle.join()
}

/// Runs a job that saves its state; a signal stops it at a savepoint.
fn run_durable(job: Job, args: &Replay, inputs: &[Input], view: &ReplayView, signals: &Signals) -> Result<(), Failure> {
    let handle = job.start(options(args))?;
    let stopper = handle.stopper();
    signals.on_first(move || {
        // The job takes checkpoints, so it can be asked to.
        let _ = stopper.stop_with_savepoint();
    });
    view.follow(&handle);
    let report = handle.join()?;
    say(&format!("{report}\n{}", notes::LEGEND));
    report.balance().map_err(Failure::failed)?;
    match (signals.received(), &report.recovery) {
        (Some(signal), Some(recovery)) if recovery.at_savepoint => {
            say("pelton: stopped at a savepoint; the same command goes on from there");
            Err(Failure::Stopped(signal))
        }
        (None, Some(recovery)) if recovery.at_savepoint => {
            say("pelton: stopped at a savepoint, where event time has come to --stop-at; without it the job goes on");
            Ok(())
        }
        _ => {
            notes::warnings(&report, inputs, args).iter().for_each(|warning| say(warning));
            Ok(())
        }
    }
}

/// After a failure: removes what was written to files.
fn give_up(outputs: &[(&str, &Output)], error: Error, signal: Option<Signal>) -> Failure {
    // A reader of standard output that has gone is no failure, but a file without its rows is.
    let is_broken_pipe = is_broken_pipe(&error);
    let outputs: Vec<_> =
        outputs.iter().map(|(_, output)| output).filter(|output| !(is_broken_pipe && output.is_stdout())).collect();
    outputs.iter().for_each(|output| output.give_up());
    match signal {
        // The signal may have ended the reader as well.
        Some(signal) if is_broken_pipe => Failure::Stopped(signal),
        _ if is_broken_pipe && !outputs.is_empty() => Failure::failed(chain(&error)),
        _ => error.into(),
    }
}

/// After a signal: keeps the rows that were written, and says what is missing.
fn keep_part(outputs: &[(&str, &Output)], report: &Report, events: u64, signal: Signal) -> Result<(), Failure> {
    // The report's last line says whether everything is accounted for; here that is said in full.
    let report_text = report.to_string();
    let counts = report_text.rsplit_once('\n').map_or(&*report_text, |(counts, _)| counts);
    say(&format!("{counts}\n{}\n{}", notes::LEGEND, notes::missing(report, events, signal)));
    // All are kept or given up, also behind one that could not be kept.
    let kept: Vec<_> = outputs
        .iter()
        .map(|(name, output)| output.keep_part(grouped(report.step(name).map_or(0, |step| step.rows_out))))
        .collect();
    kept.into_iter().collect::<Result<(), _>>()?;
    Err(Failure::Stopped(signal))
}

fn view(inputs: &[Input], args: &Replay) -> ReplayView {
    let from = args.from.unwrap_or(Timestamp::MIN);
    let wanted = |min: Timestamp, max: Timestamp| max >= from && args.until.is_none_or(|until| min < until);
    let blocks = inputs.iter().flat_map(|input| input.blocks()).filter(|block| wanted(block.min, block.max));
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
    /// Where bars and late rows go; without them the job is only explained.
    outputs: Option<(&'a Output, Option<&'a Output>, &'a Signals)>,
}

impl Bars<'_> {
    fn declare(&self) -> Result<Job, Failure> {
        let trades = Trade::layout().schema();
        if self.inputs.iter().all(|input| input.layout().schema() == trades) {
            let sources = self.sources(|input| input.replay::<Trade>(self.args))?;
            return match self.args.conditions.is_empty() {
                true => self.job(sources, |_, stream| stream),
                false => self.job(sources, |input, stream| stream.filter(trade_filter(&input.conditions))),
            };
        }
        if self.inputs.iter().all(|input| input.conditions.is_empty()) {
            let sources = self.sources(|input| input.projected::<BarTrade>(&field_map(input)?, self.args))?;
            return self.job(sources, |_, stream| stream);
        }
        let sources = self.sources(|input| {
            let mut map = field_map(input)?;
            for (i, name) in FilteredTrade::FILTER_NAMES.into_iter().enumerate() {
                // A slot without a condition holds any integer: the time.
                map.push((name, input.conditions.get(i).map_or_else(|| map[0].1.clone(), |by| by.field.clone())));
            }
            input.projected::<FilteredTrade>(&map, self.args)
        })?;
        self.job(sources, |input, stream| {
            let mut wanted = [None; FilteredTrade::FILTERS];
            wanted.iter_mut().zip(&input.conditions).for_each(|(wanted, by)| *wanted = Some(by.value));
            let holds = move |row: &FilteredTrade| {
                let filters = row.filters;
                wanted.iter().zip(filters).all(|(wanted, value)| wanted.is_none_or(|wanted| wanted == value))
            };
            stream.filter(holds).map(FilteredTrade::trade)
        })
    }

    fn sources<T>(&self, source: impl Fn(&Input) -> Result<Source<T>, Failure>) -> Result<Vec<Source<T>>, Failure> {
        self.inputs.iter().map(source).collect()
    }

    /// The job's name. Saved state is of a job of one name, so that one says what the results depend on.
    fn name(&self) -> String {
        let args = self.args;
        if args.state.is_none() {
            return STEP.to_owned();
        }
        let [from, until] =
            [args.from, args.until].map(|time| time.map_or_else(|| "-".to_owned(), |time| time.to_string()));
        let mut conditions: Vec<_> = args.conditions.iter().map(ToString::to_string).collect();
        conditions.sort();
        let (bound, jump, conditions) = (args.out_of_orderness, args.jump_max, conditions.join(" "));
        let numbered = if args.row_numbers { ", with row numbers" } else { "" };
        format!(
            "{STEP} of {:?}, out of order {bound:?}, jumps {jump}, from {from} until {until}, where {conditions}{numbered}",
            args.window
        )
    }

    /// The job over sources, one for each input; `shape` makes rows of a stream's events.
    fn job<T, U, C>(
        &self,
        sources: Vec<Source<T>>,
        shape: impl Fn(&Input, Stream<T>) -> Stream<U, C>,
    ) -> Result<Job, Failure>
    where
        T: Priced,
        U: Priced,
        C: Chain<Out = U>,
    {
        let mut job = Job::new(self.name());
        let mut streams = Vec::new();
        for (input, source) in self.inputs.iter().zip(sources) {
            let stream = job.source(&input.name, source).watermarks(Watermarks::bounded(self.args.out_of_orderness));
            streams.push(shape(input, stream));
        }
        let mut streams = streams.into_iter();
        match (streams.next(), streams.next()) {
            (Some(first), Some(second)) => self.sinks(streams.fold(first.union(second), Stream::union))?,
            (Some(only), None) => self.sinks(only)?,
            (None, _) => return Err(Failure::usage("expected a capture or a journal")),
        }
        Ok(job)
    }

    fn sinks<U: Priced, C: Chain<Out = U>>(&self, stream: Stream<U, C>) -> Result<(), Failure> {
        let step =
            stream.key_by(Priced::symbol).window(Tumbling::of(self.args.window)).aggregate_with(STEP, bars(), Bar::new);
        match self.outputs {
            Some((out, late, signals)) => {
                step.sink(OUT, out.csv_sink::<Bar>(self.args, signals)?);
                if let Some(late) = late {
                    step.late.sink(LATE, late.csv_sink::<U>(self.args, signals)?);
                }
            }
            None => {
                step.sink(OUT, callback(|_, _: &Bar| {}));
                if self.args.late.is_some() {
                    step.late.sink(LATE, callback(|_, _: &U| {}));
                }
            }
        }
        Ok(())
    }
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

/// For each field of a [`BarTrade`] the input's field it is taken from; the time is the first.
fn field_map(input: &Input) -> Result<Vec<(&'static str, String)>, Failure> {
    let layout = input.layout();
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
    let path = input.path().display();
    let has: Vec<_> = layout.fields().iter().map(|field| format!("{} ({})", field.name, field.kind)).collect();
    Err(Failure::failed(format!("{path}: bars need {}; it has: {}", missing.join(" and "), has.join(", "))))
}
