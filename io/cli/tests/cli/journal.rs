//! `pelton replay` over journals: the bytes that the job gave live, also of what a crash cut; and what is said where a
//! journal is not what it should be.

use crate::support::Place;
use pelton::state::SavedJournal;
use pelton::{
    Chain, CheckpointOptions, Handle, Input, Job, JournalKeep, Options, Stop, Stream, Tumbling, Watermarks, push,
};
use pelton_io::generate::{TradeOptions, trades};
use pelton_io::{Trade, csv};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

const DISORDER: Duration = Duration::from_millis(3);
const SYMBOLS: u32 = 20;

fn made(events: u64, seed: u64) -> Vec<Trade> {
    let options = TradeOptions { events, keys: SYMBOLS, seed, disorder: DISORDER, rate: 100_000, ..Default::default() };
    trades(&options).collect()
}

fn options(place: &Place) -> Options {
    options_with(CheckpointOptions::in_directory(place.path("state")))
}

fn options_with(checkpoints: CheckpointOptions) -> Options {
    Options::workers(2).pin(false).feed_block_events(64).checkpoints(checkpoints)
}

/// Pushes trades in pieces of many sizes, so that the journal has records of many sizes.
fn send(input: &mut Input<Trade>, trades: &[Trade]) {
    let mut left = trades;
    for size in (1..40).cycle() {
        let (now, later) = left.split_at(size.min(left.len()));
        input.send(now).unwrap();
        left = later;
        if left.is_empty() {
            return;
        }
    }
}

fn watermarks() -> Watermarks {
    Watermarks::bounded(DISORDER / 2)
}

/// Bars of 10 ms with late trades, as `pelton replay` makes them.
fn bars_into<C: Chain<Out = Trade>>(trades: Stream<Trade, C>, place: &Place) {
    let bars = trades.key_by(|trade| trade.symbol).window(Tumbling::of(Duration::from_millis(10)));
    let bars = bars.aggregate_with("bars", pelton_io::bars::bars(), pelton_io::bars::Bar::new);
    bars.sink("out", csv::create(place.path("live.csv")).unwrap());
    bars.late.sink("late", csv::create(place.path("live_late.csv")).unwrap());
}

fn name_symbols(job: &Job) {
    (0..SYMBOLS).for_each(|id| assert!(job.symbols().intern(&format!("S{id:05}")).is_ok()));
}

/// A live job over one feed, run to its end.
fn run_live(place: &Place, trades: &[Trade], options: Options) {
    run_live_with(place, [trades], options, |_| ());
}

/// The same, where the events come in parts, and something is done behind each.
fn run_live_with<'a>(
    place: &Place,
    parts: impl IntoIterator<Item = &'a [Trade]>,
    options: Options,
    behind_each: impl Fn(&Handle),
) {
    let mut job = Job::new("live");
    name_symbols(&job);
    let (mut input, source) = push::<Trade>(256);
    bars_into(job.source("trades", source).watermarks(watermarks()), place);
    let handle = job.start(options).unwrap();
    for part in parts {
        send(&mut input, part);
        behind_each(&handle);
    }
    drop(input);
    handle.join().unwrap();
}

const REPLAY: &str = "replay state --window 10ms --out-of-orderness 1500us --overwrite --out bars.csv --late late.csv";

#[test]
fn a_replay_of_a_journal_gives_what_the_job_gave_live() {
    let place = Place::new();
    let trades = made(20_000, 1);
    run_live(&place, &trades, options(&place));
    let (expected, expected_late) = (place.bytes("live.csv"), place.bytes("live_late.csv"));
    assert!(expected.len() > 10_000 && expected_late.len() > 1_000, "{} and {}", expected.len(), expected_late.len());
    for more in ["--workers 1", "--workers 3", "--source trades", "--speed 100x"] {
        let ran = place.done(&format!("{REPLAY} {more}"));
        assert!(place.bytes("bars.csv") == expected && place.bytes("late.csv") == expected_late, "{more}");
        assert!(ran.stderr.contains("every event is accounted for"), "{}", ran.stderr);
    }
    place.done(&REPLAY.replace("state", "state/journal.log"));
    assert!(place.bytes("bars.csv") == expected);
    // With state of its own, and the filters that captures have: the same as over a capture with the same events.
    place.done(&format!("{REPLAY} --state own --checkpoint-every 1ms"));
    assert!(place.bytes("bars.csv") == expected);
    place.write_capture("t.pelton", &trades, SYMBOLS);
    let time = trades[trades.len() / 3].time_ns;
    for more in [
        format!("--from {time}"),
        format!("--until {time}"),
        format!("--where size={} --where suspicious=0", trades[0].size),
    ] {
        place.done(&format!("{REPLAY} {more}"));
        let found = (place.bytes("bars.csv"), place.bytes("late.csv"));
        place.done(&format!("{REPLAY} {more}").replace("state", "t.pelton"));
        assert!(found == (place.bytes("bars.csv"), place.bytes("late.csv")), "{more}");
        assert!(found.0 != expected, "{more}");
    }
    assert!(place.done("replay state --explain").stdout.contains("trades"));
}

#[test]
fn state_tells_of_the_journal() {
    let place = Place::new();
    run_live(&place, &made(1000, 1), options(&place));
    let list = place.done("state list state").stdout;
    assert!(list.contains("journal     ") && list.contains(" more are free"), "{list}");
    let verified = place.done("state verify state").stdout;
    assert!(verified.contains("journal: ") && verified.contains("every checksum holds"), "{verified}");
    let show = place.done("state show state").stdout;
    for part in [
        "trades                     1,000            0  2024-01-02T14:29:59.997661881Z  2024-01-02T14:30:00.00999Z",
        "the checkpoint stands behind",
    ] {
        assert!(show.contains(part), "no {part:?} in {show}");
    }
}

/// Events of one feed that need to be projected: bars take prices and quantities of any integer.
#[derive(Debug, Clone, Copy, pelton::Event)]
#[repr(C)]
struct Quote {
    #[event(time)]
    at: i64,
    quantity: u64,
    symbol: pelton::Symbol,
    price: i32,
}

fn quote(trade: &Trade) -> Quote {
    Quote { at: trade.time_ns, quantity: trade.size.into(), symbol: trade.symbol, price: trade.price as i32 }
}

#[test]
fn of_several_feeds_one_is_named() {
    let place = Place::new();
    let made = made(3000, 1);
    let mut job = Job::new("live");
    name_symbols(&job);
    let ((mut trades, trade_source), (mut quotes, quote_source)) = (push::<Trade>(256), push::<Quote>(256));
    let idle = |marks: Watermarks| marks.idle_after(Duration::from_millis(1));
    bars_into(job.source("trades", trade_source).watermarks(idle(watermarks())), &place);
    let quotes_in = job.source("quotes", quote_source).watermarks(idle(watermarks()));
    quotes_in.sink("quotes_out", pelton_io::blackhole());
    let handle = job.start(options(&place)).unwrap();
    for some in made.chunks(100) {
        trades.send(some).unwrap();
        quotes.send(&some.iter().map(quote).collect::<Vec<_>>()).unwrap();
    }
    drop((trades, quotes));
    handle.join().unwrap();
    place.refused(2, REPLAY, &["say by --source which feeds", "trades, quotes"]);
    place.refused(2, &format!("{REPLAY} --source nothing"), &["there is no feed nothing", "trades, quotes"]);
    place.refused(2, &format!("{REPLAY} --source trades --source other"), &["--source other"]);
    place.done(&format!("{REPLAY} --source trades"));
    let expected = place.bytes("live.csv");
    assert!(place.bytes("bars.csv") == expected);
    // The same prices and sizes by other names, projected.
    for more in [String::new(), format!(" --where quantity={}", made[0].size)] {
        place.done(&format!("{REPLAY} --source quotes{more}"));
        let found = place.bytes("bars.csv");
        place.done(&format!("{REPLAY} --source trades{}", more.replace("quantity", "size")));
        assert!(found == place.bytes("bars.csv") && found.len() > 200, "{more}: {} bytes", found.len());
    }
    let both = place.done(&format!("{REPLAY} --source quotes --source trades"));
    assert!(both.stderr.contains("merges events of several by their times"), "{}", both.stderr);
    let volumes = |text: &str| {
        text.lines().skip(1).map(|line| line.split(',').nth(8).unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let late = place.read("late.csv").lines().count() as u64 - 1;
    assert_eq!(volumes(&place.read("bars.csv")) + late, 6000);
}

/// What a crash leaves: the records that were synced, and of the others a part that is torn.
#[test]
fn a_journal_that_a_crash_cut_is_replayed_up_to_there() {
    let place = Place::new();
    let trades = made(5000, 1);
    let mut job = Job::new("live");
    name_symbols(&job);
    let (mut input, source) = push::<Trade>(256);
    bars_into(job.source("trades", source).watermarks(watermarks()), &place);
    let handle = job.start(options(&place)).unwrap();
    // What comes behind a sync says what it covered.
    for (part, durable) in [(&trades[..2500], 2500), (&trades[2500..], 5000)] {
        send(&mut input, part);
        while input.durable() < durable {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // Nothing says that there will be no more.
    handle.stop(Stop::Now);
    handle.join().unwrap();
    drop(input);
    // The last whole record is torn.
    let path = place.path("state/journal.log");
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    file.seek(SeekFrom::Start(used as u64 - 40)).unwrap();
    file.write_all(&[0xa5; 7]).unwrap();
    let ran = place.done(REPLAY);
    assert!(ran.stderr.contains("behind it that were not durable"), "{}", ran.stderr);
    // What is left is the start of what came.
    let journal = SavedJournal::open(place.path("state")).unwrap();
    let events = journal.sources()[0].events as usize;
    assert!((4800..5000).contains(&events), "{events} events");
    let found = place.bytes("bars.csv");
    place.write_capture("t.pelton", &trades[..events], SYMBOLS);
    place.done(&REPLAY.replace("state", "t.pelton"));
    assert!(place.bytes("bars.csv") == found);
    drop(journal);
    // Damage of what is known to have been synced is no crash.
    let synced = (used as u64 / 4) & !63;
    file.write_all_at(&[0xa5; 640], synced).unwrap();
    place.refused(1, REPLAY, &["journal.log: damaged at byte ", "expected", "found"]);
    place.refused(1, "state verify state", &["journal.log: damaged at byte "]);
}

/// What checkpoints do not need is given up where the job says so: then a replay is not of all that came.
#[test]
fn a_journal_whose_front_was_cut_says_so() {
    let place = Place::new();
    let trades = made(20_000, 1);
    let checkpoints = CheckpointOptions::in_directory(place.path("state"));
    let checkpoints = options_with(checkpoints.kept(3).journal_keep(JournalKeep::Checkpoints));
    let checkpoint = |handle: &Handle| {
        handle.checkpoint().unwrap();
    };
    run_live_with(&place, trades.chunks(2000), checkpoints, checkpoint);
    place.refused(1, REPLAY, &["state/journal.log: incomplete: what came before checkpoint ", "--allow-incomplete"]);
    let ran = place.done(&format!("{REPLAY} --allow-incomplete"));
    assert!(ran.stderr.contains("state/journal.log: incomplete: what came before checkpoint "), "{}", ran.stderr);
    let found = place.bytes("bars.csv");
    let source = SavedJournal::open(place.path("state")).unwrap().sources()[0].clone();
    let cut = source.cut as usize;
    assert!(source.events == 20_000 && (5_000..20_000).contains(&cut), "{cut} of {} were cut", source.events);
    place.write_capture("t.pelton", &trades[cut..], SYMBOLS);
    place.done(&REPLAY.replace("state", "t.pelton"));
    assert!(place.bytes("bars.csv") == found);
    assert!(place.done("state list state").stdout.contains("were cut"));
    assert!(place.done("state verify state").stdout.contains("journal: "));
    assert!(place.done("state show state").stdout.contains("trades                    20,000"));
    // Without the checkpoints nobody knows where to begin.
    std::fs::copy(place.path("state/journal.log"), place.path("alone.log")).unwrap();
    let alone = "replay alone.log --allow-incomplete";
    place.refused(1, alone, &["alone.log: what came before byte ", "no checkpoint says how to go on"]);
    // Watermarks of the program's own would need all of it.
    let mut job = Job::new("live");
    let (_input, source) = push::<Trade>(256);
    let own = |trade: &Trade| Some(pelton::Event::time(trade));
    bars_into(job.source("trades", source).watermarks(Watermarks::custom(own)), &place);
    let checkpoints = CheckpointOptions::in_directory(place.path("other"));
    let refused =
        job.start(options_with(checkpoints.journal_keep(JournalKeep::Checkpoints))).err().unwrap().to_string();
    assert!(refused.contains("journal_keep") && refused.contains("`trades`"), "{refused}");
}

#[test]
fn what_is_no_journal_or_in_use_is_told() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    place.refused(1, "replay empty", &["empty/journal.log: cannot open the file"]);
    std::fs::create_dir(place.path("wrong")).unwrap();
    place.write("wrong/journal.log", "PJRN but no more than this");
    place.refused(1, "replay wrong", &["wrong/journal.log: not a journal"]);
    place.refused(1, "replay wrong/journal.log", &["wrong/journal.log: not a journal"]);
    // A feed of which no bars can be made.
    #[derive(Debug, Clone, Copy, pelton::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }
    let mut job = Job::new("ticks");
    let (mut input, source) = push::<Tick>(16);
    job.source("ticks", source).sink("out", pelton_io::blackhole());
    let handle = job.start(options(&place)).unwrap();
    input.send(&[Tick { time_ns: 1 }]).unwrap();
    while input.durable() < 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    place.refused(1, "replay state", &["state: another process uses this state directory"]);
    drop(input);
    handle.join().unwrap();
    place.refused(1, "replay state", &["bars need a field `price`", "time_ns (i64)"]);
    place.refused(2, "replay state --out state/journal.log --overwrite", &["is also the input state"]);
    assert!(File::open(place.path("state/journal.log")).is_ok());
}
