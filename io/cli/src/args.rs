//! The command line as it is typed.

use crate::units::{self, Condition, Jump};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pelton::{PlanFormat, SYMBOLS_MAX, Timestamp};
use pelton_io::capture::Speed;
use pelton_io::codec::binance::Streams;
use pelton_io::codec::header::CsvHeader;
use pelton_io::codec::schema::CsvSchema;
use pelton_io::codec::time::UtcOffset;
use pelton_io::import::{Day, Format};
use pelton_io::sink::Roll;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(
    name = "pelton",
    version,
    about = "Stream processing in one process: captures in, windows out, the same bytes every time",
    arg_required_else_help = true,
    after_help = "Start here:
  pelton demo                                             a whole job, with no file at hand
  pelton generate trades --events 1000000 trades.pelton   a capture to try things on
  pelton inspect trades.pelton --head 5                   what is in it
  pelton replay trades.pelton --window 1s --out bars.csv  bars of one second

Output files appear under their names once they are complete; an existing file is replaced only with
--overwrite. SIGINT (Ctrl-C) and SIGTERM stop a command, and none of its temporary files stay. A second
signal ends at once what has not stopped yet.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by SIGINT, 143 stopped by SIGTERM.
`pelton help <command>` has more examples."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn files of other formats into a capture
    Convert(Box<Convert>),
    /// Show what is in a capture
    Inspect(Inspect),
    /// Run a job over captures, or over what came live, from a journal
    Replay(Replay),
    /// Look at saved state
    #[command(subcommand)]
    State(State),
    /// Make a capture of made-up events
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
    /// Run a complete job on made-up trades and measure throughput and latency
    Demo(Demo),
    /// Measure this machine: throughput next to hand-written loops, or latency under load
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pelton convert --from lean-trade --date 2013-10-08 bac_20131008_trade.zip bac.pelton
  pelton convert --from lean-trade --utc-offset=-04:00 aig_*_trade.zip aig.pelton
  pelton convert --from binance --streams trade btcusdt.gz btcusdt.pelton
  pelton convert --from csv --schema 'ts:time[ms],price:i64[1e4],size:u32,symbol:symbol' rows.csv rows.pelton

Inputs may be zip, gzip, zstd or plain. Lines that cannot become events are written to
<OUTPUT>.rejects.csv, with their reasons; the counts that are printed add up. A file of which no line
could be read ends the conversion with an error. The output appears under its name once it is complete.
A conversion that fails or is stopped leaves no output; with --overwrite, the old file then stays as it was.

Delimited text with a --schema is read by the names in its first line, where that has the schema's names:
in any order, each file by its own. A header with a name missing, twice or not in the schema is an error.
To leave a column out, give it the type `skip`: venue:skip. A column of an enum's names says their integers:
side:i8[Buy=1/Sell=-1].")]
pub(crate) struct Convert {
    /// The inputs' format
    #[arg(long, value_name = "FORMAT", help = format!("The inputs' format: {}", Format::NAMES.join(", ")))]
    pub(crate) from: Format,
    /// The day of LEAN rows, which hold a time of the day only; `file` takes it from each file's name
    #[arg(long, value_name = "DATE", default_value = "file")]
    pub(crate) date: Day,
    /// How far the inputs' clock is ahead of UTC, where they do not say: --utc-offset=-04:00
    #[arg(long, value_name = "OFFSET", default_value = "Z", allow_hyphen_values = true)]
    pub(crate) utc_offset: UtcOffset,
    /// The symbol of LEAN rows; otherwise it is in each file's name
    #[arg(long)]
    pub(crate) symbol: Option<String>,
    /// The Binance streams to take, with commas between
    #[arg(long, value_name = "STREAMS", default_value = "trade,bookTicker,depth")]
    pub(crate) streams: Streams,
    /// The columns of delimited text; otherwise the first line must say them in this form
    #[arg(long, value_name = "NAME:TYPE,..")]
    pub(crate) schema: Option<CsvSchema>,
    /// What the first line of delimited text is: `names` for the schema's, in any order; `skip` for a
    /// header that is not looked at; `none` for a row; `auto` for names or a row, whichever it can be
    #[arg(long, value_name = "HEADER", default_value = "auto", requires = "schema")]
    pub(crate) header: CsvHeader,
    /// The character between columns of delimited text
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(crate) delimiter: u8,
    /// Events in a block, the unit that one worker reads
    #[arg(long, value_name = "EVENTS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) block: u32,
    /// Fail at the first line that cannot become an event
    #[arg(long)]
    pub(crate) strict: bool,
    /// Replace an output that exists, and its file of rejected lines
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// One or more inputs, then the output
    #[arg(required = true, num_args = 2.., value_names = ["INPUT", "OUTPUT"])]
    pub(crate) files: Vec<PathBuf>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("expected one ASCII character that is no quote and no line end, or \\t".into()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pelton inspect bac.pelton
  pelton inspect bac.pelton --head 5 --verify")]
pub(crate) struct Inspect {
    /// The capture
    pub(crate) capture: PathBuf,
    /// Print the first events as CSV
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    pub(crate) head: u64,
    /// Read every block and check it for damage
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobKind {
    /// Open, high, low, close, volume, count and average price of each symbol and window
    Bars,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pelton replay bac.pelton --job bars --window 1m --out bars.csv
  pelton replay bac.pelton aig.pelton --window 1s --where suspicious=0 --out -
  pelton replay live.pelton --out-of-orderness 5ms --jump-max 1h --late late.csv --out bars.csv
  pelton replay bac.pelton --from 2013-10-08T13:30:00 --until 2013-10-08T14:00:00 --speed 10x
  pelton replay bac.pelton --state state/ --out out/bars.csv --roll hour
  pelton replay live-state/ --source trades --window 1s --out bars.csv

An input is a capture, or the journal of a job with live sources: the file journal.log, or the state directory that has
it. `pelton state show` names its sources. A journal has the events of feeds in the order in which they came, so what
a job over one feed gave live, a replay of the feed gives again, byte for byte. Events of several feeds are merged by
their times, and not as they came. What was not durable when the job crashed is left out, as the job leaves it out when
it goes on. A journal cannot be replayed while its job runs. One whose front was cut is refused, unless
--allow-incomplete says that its first events need not be there.

Bars take any input with a time, a `symbol`, a `price`, and a `size` or `quantity`, all integers.
Times of the output are nanoseconds since the epoch; lines are in order of window end, then symbol.
The output is the same, byte for byte, at any number of workers and at any speed.

An output file is written under a hidden name in the same directory and gets its real name once it is
complete. If the job fails, what was written is removed, and an existing file stays as it was. Standard
output, pipes and devices are written directly.

With --roll, --out and --late name files that follow one another: out/bars.csv becomes out/bars-000000.csv and so on,
by the hour out/bars-000000-2013-10-08T13.csv. A directory gets files part-000000.csv. A file rolls before the line
that would make it too large, or when the time of the rows enters another hour or day of UTC; a row that comes late
stays in the current file. Each has a header. While it is written, a file has a hidden name that ends in .in-progress;
with --state it gets its real name once a checkpoint covers it. --overwrite removes all files of such names first.

With --row-numbers, each row has its number in the job's order as the first column, from 0. After a restart from
--state, a row that comes again on standard output has the number that it had: drop those that you have.

With --state, the job saves its state and goes on from there when it is given again, after a crash or a stop:
  pelton replay trades.pelton --state state/ --checkpoint-every 1s --out bars.csv
Files are then written in place and cut to what was committed; rows on standard output may come again. SIGINT and
SIGTERM stop the job at a savepoint, close no window, and the same command goes on. A job that has finished says so.

Without --state, SIGINT (Ctrl-C) or SIGTERM stops the job at once. The rows written so far are kept under the requested name:
they are the first rows of the result, and the last line is complete. A message on standard error calls the
output partial and says how many rows it holds. Windows that were still open are not in it. The exit code is
130 or 143. A second signal ends the command at once and leaves no file.

Events whose times are outside the accepted range, 1900-01-01 to 2200-01-01, are rejected and counted. If this,
or --from, --until or --where, leaves nothing to replay, a warning says why; the exit code is still 0. An event
that jumps ahead by more than --jump-max is in its own bar and does not close the bars before it.

Durations: 250ns, 100us, 5ms, 1.5s, 1m, 1h, 1d. Times: 2013-10-08, 2013-10-08T13:30:00.5, or nanoseconds.")]
pub(crate) struct Replay {
    /// Captures, journals, or state directories that have a journal; the events of several are merged by time
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Of journals, the feed to replay, by its name; it may be given several times. One that has a single feed needs none
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,
    /// The job to run
    #[arg(long, value_enum, default_value_t = JobKind::Bars)]
    pub(crate) job: JobKind,
    /// The size of a window
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = units::positive_duration)]
    pub(crate) window: Duration,
    /// Where the rows go, as CSV; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) out: PathBuf,
    /// Replace files of --out and --late that exist
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Where events go that came after their window had closed, as CSV; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(crate) late: Option<PathBuf>,
    /// Go on to the next file when one has this size, such as 64MiB, or by the `hour` or `day` of the rows' times
    #[arg(long, value_name = "SIZE|hour|day", value_parser = units::roll)]
    pub(crate) roll: Option<Roll>,
    /// Write each row's number in the job's order as the first column
    #[arg(long)]
    pub(crate) row_numbers: bool,
    /// Threads that share the work [default: as many as serve, at most one for each core]
    #[arg(long, value_name = "N", value_parser = units::workers)]
    pub(crate) workers: Option<u16>,
    /// How far an event may lie behind the largest time before it without being late
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::duration)]
    pub(crate) out_of_orderness: Duration,
    /// How far an event may lie ahead of the largest time before it and still move time on, or `none` for no limit;
    /// the 16th in a row that lies further is believed
    #[arg(long, value_name = "DURATION", default_value = "366d", value_parser = units::jump)]
    pub(crate) jump_max: Jump,
    /// `max`, or times the recorded speed, such as 1x or 10x
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = units::speed)]
    pub(crate) speed: Speed,
    /// Leave out events before this time
    #[arg(long, value_name = "TIME", value_parser = units::time, allow_hyphen_values = true)]
    pub(crate) from: Option<Timestamp>,
    /// Leave out events at this time and after it
    #[arg(long, value_name = "TIME", value_parser = units::time, allow_hyphen_values = true)]
    pub(crate) until: Option<Timestamp>,
    /// Take only events whose field has this integer as value, such as suspicious=0; all of several must hold
    #[arg(long = "where", value_name = "FIELD=INT", value_parser = units::condition)]
    pub(crate) conditions: Vec<Condition>,
    /// Read blocks into memory instead of mapping the files: slower, but files may change meanwhile
    #[arg(long)]
    pub(crate) untrusted: bool,
    /// Replay captures whose end is missing, up to their last whole block, and journals whose front was cut, from the
    /// oldest checkpoint on that is kept
    #[arg(long)]
    pub(crate) allow_incomplete: bool,
    /// Save state in this directory, and go on from what is there: killed at any moment and given again, the same command
    /// ends with the same output
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// How often state is saved
    #[arg(long, value_name = "DURATION", requires = "state", default_value = "1s", value_parser = units::positive_duration)]
    pub(crate) checkpoint_every: Duration,
    /// Stop at a savepoint where event time has come to this, close no window; without it, or with a later time, the same
    /// command goes on from there
    #[arg(long, value_name = "TIME", requires = "state", value_parser = units::time, allow_hyphen_values = true)]
    pub(crate) stop_at: Option<Timestamp>,
    /// Go on from an older checkpoint where the newest is damaged
    #[arg(long, requires = "state")]
    pub(crate) fallback: bool,
    /// Leave saved state behind that no source, step or output of the job takes
    #[arg(long, requires = "state")]
    pub(crate) allow_dropped_state: bool,
    /// Print how the job would run, and run nothing: its steps, the edges between them and what they keep
    #[arg(long)]
    pub(crate) explain: bool,
    /// What --explain prints
    #[arg(long, value_enum, requires = "explain", default_value_t = ExplainFormat::Text)]
    pub(crate) format: ExplainFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// List the checkpoints, and how large the journal of live sources is
    List(StateDir),
    /// Read all checkpoints and the journal, and hold them against their checksums
    Verify(StateDir),
    /// Show what a checkpoint has: steps, watermarks, stores; and what came of each live source
    Show(StateShow),
    /// Write what a store keeps as CSV
    Export(StateExport),
}

#[derive(Debug, Args)]
pub(crate) struct StateDir {
    /// The state directory
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StateShow {
    /// The state directory
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The number of a checkpoint; otherwise the newest
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct StateExport {
    /// The state directory
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The store, as `state show` names it
    #[arg(value_name = "STEP/STORE")]
    pub(crate) store: String,
    /// The number of a checkpoint; otherwise the newest
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint: Option<u64>,
}

/// What `--explain` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// Lines to read
    Text,
    /// One JSON object
    Json,
    /// A flowchart in the language of Mermaid
    Mermaid,
}

impl From<ExplainFormat> for PlanFormat {
    fn from(format: ExplainFormat) -> Self {
        match format {
            ExplainFormat::Text => Self::Text,
            ExplainFormat::Json => Self::Json,
            ExplainFormat::Mermaid => Self::Mermaid,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Trades whose prices walk at random; equal options give equal files
    #[command(after_help = "Examples:
  pelton generate trades --events 10000000 --keys 10000 --seed 7 trades.pelton
  pelton generate trades --events 1000000 --disorder 5ms disordered.pelton

The command first checks that the disk has room. The capture appears under its name once it is complete; a
command that fails or is stopped leaves no new file.")]
    Trades(GenerateTrades),
}

#[derive(Debug, Args)]
pub(crate) struct GenerateTrades {
    /// The capture to make
    pub(crate) output: PathBuf,
    /// How many trades
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// How many symbols
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=SYMBOLS_MAX as i64))]
    pub(crate) keys: u32,
    /// Where the random numbers start
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Trades in a second of event time
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: u64,
    /// The most that a trade lies behind the ones before it
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = units::duration)]
    pub(crate) disorder: Duration,
    /// The first trade's time
    #[arg(long, value_name = "TIME", default_value = "2024-01-02T14:30:00", value_parser = units::time)]
    pub(crate) start: Timestamp,
    /// Events in a block, the unit that one worker reads
    #[arg(long, value_name = "EVENTS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) block: u32,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The trades are written to a new directory under the one for temporary files (TMPDIR), if the disk has room
for them. It is removed at the end, also after SIGINT (Ctrl-C) or SIGTERM."
)]
pub(crate) struct Demo {
    /// How many trades to make up
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// Threads that share the work [default: as many as serve, at most one for each core]
    #[arg(long, value_name = "N", value_parser = units::workers)]
    pub(crate) workers: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Jobs over a capture, in turns with the loop written by hand for the same work
    #[command(after_help = "Examples:
  pelton bench throughput --events 10000000 --runs 3
  pelton bench throughput --capture trades.pelton --workers 1,2,4 --json throughput.json")]
    Throughput(BenchThroughput),
    /// From the time an event was meant to be pushed to its row, under a load that does not wait
    #[command(after_help = "Examples:
  pelton bench latency --rates 100000 --workers 1 --duration 2s
  pelton bench latency --rates 100000,1000000 --workers 1,2 --json latency.json --hlog logs")]
    Latency(BenchLatency),
}

#[derive(Debug, Args)]
pub(crate) struct BenchThroughput {
    /// Trades of the generated capture, 32 bytes each; it should be several times as large as the last cache
    #[arg(long, value_name = "N", default_value_t = 1 << 26, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// Symbols of the generated capture
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=SYMBOLS_MAX as i64))]
    pub(crate) keys: u32,
    /// The size of a window
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::positive_duration)]
    pub(crate) window: Duration,
    /// Numbers of workers, with commas between
    #[arg(long, value_name = "N,..", default_value = "1,2", value_delimiter = ',', value_parser = units::workers)]
    pub(crate) workers: Vec<u16>,
    /// Runs of each; the figures are medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// A capture of trades to measure with, instead of a generated one
    #[arg(long, value_name = "CAPTURE")]
    pub(crate) capture: Option<PathBuf>,
    /// Also write the results to this file, as JSON with a record of the machine
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long, requires = "json")]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLatency {
    /// Events per second, with commas between
    #[arg(long, value_name = "N,..", default_value = "100000,1000000", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) rates: Vec<u64>,
    /// Numbers of workers, with commas between
    #[arg(long, value_name = "N,..", default_value = "1,2", value_delimiter = ',', value_parser = units::workers)]
    pub(crate) workers: Vec<u16>,
    /// How long each is measured, in whole seconds
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::whole_seconds)]
    pub(crate) duration: Duration,
    /// How long load is sent before
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::duration)]
    pub(crate) warm_up: Duration,
    /// Write interval logs (.hlog) to this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) hlog: Option<PathBuf>,
    /// Also write the results to this file, as JSON with a record of the machine
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Replace the file of --json if it exists
    #[arg(long, requires = "json")]
    pub(crate) overwrite: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
