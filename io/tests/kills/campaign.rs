//! Kills a job again and again, and holds its files against those of a run that nobody disturbed.

use crate::process::{End, Moment, Run, Stage, run_and_kill};
use pelton_tests::rng::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The files of a job by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How often a job is killed, unless one asks for another number.
pub(crate) fn kills_wanted(everyday: u64) -> u64 {
    pelton_tests::campaign::number("PELTON_KILLS", everyday)
}

/// What a campaign came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    runs: u64,
    /// Kills by how far the process had come, and of those that hit it while it recovered.
    loading: u64,
    starting: u64,
    recovering: u64,
    running: u64,
    ended: u64,
    /// How often a run went on from a checkpoint.
    resumed: u64,
    /// How often the job came to its end.
    done: u64,
    wrong: u64,
}

impl Totals {
    /// Kills that hit the job.
    fn hits(&self) -> u64 {
        self.starting + self.recovering + self.running
    }

    /// Whether so many kills hit the job, at each stage, and it went on often enough. Where kills fall is for the machine
    /// to decide, so a campaign goes on until this holds.
    fn suffice(&self, kills: u64) -> bool {
        self.hits() >= kills && self.recovering > 0 && self.running * 4 >= kills && self.resumed * 4 >= kills
    }

    fn count(&mut self, run: &Run, has_state: bool) {
        self.runs += 1;
        self.resumed += u64::from(run.resumed_from.is_some());
        if run.end == End::Killed {
            *match run.stage {
                Stage::Loading => &mut self.loading,
                Stage::Starting if has_state => &mut self.recovering,
                Stage::Starting => &mut self.starting,
                Stage::Running => &mut self.running,
                Stage::Ended => &mut self.ended,
            } += 1;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, loading, starting, recovering, running, ended, resumed, done, wrong } = self;
        let kills = self.hits() + loading + ended;
        write!(f, "{runs} runs, {kills} kills ({loading} before the job was made, {starting} while it started, ")?;
        write!(f, "{recovering} while it recovered, {running} while it ran, {ended} behind its end), ")?;
        write!(f, "{resumed} recoveries, {done} times to the end, {wrong} wrong")
    }
}

fn fresh(place: &Path) {
    let _ = fs::remove_dir_all(place);
    fs::create_dir_all(place.join("out")).unwrap();
}

fn files(place: &Path) -> Files {
    let entries = fs::read_dir(place.join("out")).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// What differs.
fn compare(found: &Files, expected: &Files) -> Result<(), String> {
    let names = |files: &Files| {
        files.iter().map(|(name, bytes)| format!("{name} {}", bytes.len())).collect::<Vec<_>>().join(", ")
    };
    match found == expected {
        true => Ok(()),
        false => Err(format!("other files\n  expected: {}\n  found:    {}", names(expected), names(found))),
    }
}

/// When to kill a run: mostly while it runs, or while it starts.
fn moment(rng: &mut Rng, whole: &Run) -> Moment {
    let part = rng.below(1000) as f64 / 1000.0;
    match rng.below(4) {
        0 | 1 => Moment::After(whole.starting + whole.time.mul_f64(part)),
        2 => Moment::After(whole.time.mul_f64(part / 2.0)),
        _ => Moment::IntoStart(whole.starting.mul_f64(part * 1.5)),
    }
}

/// Kills a job so often, while it runs or starts, and on other numbers of workers each time. `check` sees the files of each
/// run that came to its end, also those that nobody disturbed.
pub(crate) fn hold(name: &str, inputs: &Path, kills: u64, check: impl Fn(&Files) -> Result<(), String>) {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("place");
    // The first one saves nothing, and the second shows how long one takes that saves its state.
    let mut undisturbed = (0..2).map(|workers| {
        fresh(&place);
        let run = run_and_kill(name, inputs, &place, workers, Moment::Never);
        assert_eq!(run.end, End::Done, "{name}, undisturbed");
        (run, files(&place))
    });
    let ((_, expected), (whole, saved)) = (undisturbed.next().unwrap(), undisturbed.next().unwrap());
    compare(&saved, &expected).unwrap_or_else(|error| panic!("{name}, never killed: {error}"));
    check(&expected).unwrap();
    assert!(expected.values().all(|bytes| !bytes.is_empty()) && whole.time > Duration::ZERO);

    let mut rng = Rng::new(kills);
    let mut totals = Totals::default();
    while !totals.suffice(kills) {
        fresh(&place);
        let mut has_state = false;
        let outcome = loop {
            let (workers, moment) = (1 + rng.below(3), moment(&mut rng, &whole));
            let run = run_and_kill(name, inputs, &place, workers, moment);
            totals.count(&run, has_state);
            has_state |= run.stage >= Stage::Running;
            match run.end {
                End::Killed => {}
                End::Done => break Ok(()),
                End::Failed(error) => break Err(error),
            }
            assert!(
                totals.runs < 100 + kills * 20,
                "{name}: it does not come to its end, or too few kills hit it: {totals}"
            );
        };
        totals.done += 1;
        let found = files(&place);
        let held = outcome.and_then(|()| compare(&found, &expected)).and_then(|()| check(&found));
        if let Err(error) = held {
            println!("WRONG: {name}, behind {} kills: {error}", totals.hits());
            totals.wrong += 1;
        }
    }
    println!("{name}: {totals}");
    assert_eq!(totals.wrong, 0, "{name}: {totals}");
}
