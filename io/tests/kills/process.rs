//! A job in a process of its own, which says how far it has come, and whoever kills it.

use pelton::{CheckpointOptions, Job, Options};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// The first argument of a process that runs a job.
pub(crate) const FLAG: &str = "--job";
/// No run takes as long, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// Makes a job over the files in a directory, which writes to another.
pub(crate) type MakeJob = fn(inputs: &Path, out: &Path) -> Job;

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing of the job is there yet.
    Loading,
    /// The job is made, its state is opened and recovered.
    Starting,
    Running,
    /// The job has ended, and the process has not.
    Ended,
}

/// When to kill.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    Never,
    After(Duration),
    /// So long behind the beginning of its start.
    IntoStart(Duration),
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) end: End,
    /// How far it came.
    pub(crate) stage: Stage,
    /// The checkpoint that it went on from, where it ran.
    pub(crate) resumed_from: Option<u64>,
    /// How long it took, and how long to start.
    pub(crate) time: Duration,
    pub(crate) starting: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Done,
    Failed(String),
}

/// Runs a job to its end. With workers, it saves its state every few milliseconds; with none, nobody saves anything.
pub(crate) fn run(make: MakeJob, inputs: &Path, place: &Path, workers: usize) {
    println!("starting");
    let job = make(inputs, &place.join("out"));
    let options = Options::workers(workers.max(1)).pin(false);
    let checkpoints = CheckpointOptions::in_directory(place.join("state")).every(Duration::from_millis(3));
    let options = if workers > 0 { options.checkpoints(checkpoints) } else { options };
    let handle = job.start(options).unwrap_or_else(|error| panic!("{error}"));
    let resumed_from = handle.report().recovery.and_then(|recovery| recovery.resumed_from);
    println!("running {}", resumed_from.unwrap_or(0));
    let report = handle.join().unwrap_or_else(|error| panic!("{error}"));
    report.balance().unwrap();
    println!("ended");
}

/// What a process has said.
struct Said {
    lines: Receiver<String>,
    stage: Stage,
    resumed_from: Option<u64>,
    is_closed: bool,
}

impl Said {
    /// Hears what it says up to a moment, at most until it says that it has come to a stage.
    fn hear(&mut self, until: Instant, stage: Option<Stage>) {
        while !self.is_closed && stage.is_none_or(|stage| self.stage < stage) {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => match line.split_once(' ') {
                    None if line == "starting" => self.stage = Stage::Starting,
                    None if line == "ended" => self.stage = Stage::Ended,
                    Some(("running", epoch)) => {
                        self.stage = Stage::Running;
                        self.resumed_from = epoch.parse().ok().filter(|epoch| *epoch > 0);
                    }
                    _ => panic!("it says {line:?}"),
                },
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => self.is_closed = true,
            }
        }
    }
}

/// Runs a job in a process, and kills it where it has not ended by this moment.
pub(crate) fn run_and_kill(name: &str, inputs: &Path, place: &Path, workers: u64, moment: Moment) -> Run {
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([FLAG, name])
        .args([inputs, place])
        .arg(workers.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, lines) = channel();
    let listener = spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once it is killed and its stage is known.
            let _ = sender.send(line);
        }
    });
    let complaints = spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut said = Said { lines, stage: Stage::Loading, resumed_from: None, is_closed: false };
    match moment {
        Moment::Never => {}
        Moment::After(time) => said.hear(begun + time, None),
        Moment::IntoStart(time) => {
            said.hear(begun + DEADLINE, Some(Stage::Starting));
            sleep(time);
        }
    }
    let mut starting = Duration::ZERO;
    if matches!(moment, Moment::Never) {
        said.hear(begun + DEADLINE, Some(Stage::Starting));
        let from = Instant::now();
        said.hear(begun + DEADLINE, Some(Stage::Running));
        starting = from.elapsed();
        said.hear(begun + DEADLINE, None);
    }
    let hangs = matches!(moment, Moment::Never) && !said.is_closed;
    // One that has ended and was not waited for is still there, and cannot be killed any more.
    child.kill().unwrap();
    let status = child.wait().unwrap();
    listener.join().unwrap();
    said.hear(Instant::now() + DEADLINE, None);
    let complaints = complaints.join().unwrap();
    let end = match (status.code(), status.signal()) {
        _ if hangs => End::Failed(format!("it did not end within {DEADLINE:?}")),
        (Some(0), _) => End::Done,
        (_, Some(9)) => End::Killed,
        _ => End::Failed(format!("{status}: {complaints}")),
    };
    Run { end, stage: said.stage, resumed_from: said.resumed_from, time: begun.elapsed(), starting }
}
