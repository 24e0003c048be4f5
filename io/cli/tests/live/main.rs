//! A live job that is killed at random moments and started again, each time with another number of workers: its files and
//! its numbered rows are those of a job that nobody disturbed.
//!
//! The program starts itself as a child: `live child DIRECTORY WORKERS FLAGS` runs the job. Whatever else is asked, it
//! runs the test. `PELTON_KILLS` says how often it kills, 20 times by default.

mod job;
mod numbered;

use job::{CUTS, FILES, LiveJob};
use pelton::state::SavedJournal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "a_live_job_that_is_killed_anywhere_gives_what_one_gives_that_nobody_disturbed";
/// By when a child has ended, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, dir, workers, flags] = &*arguments
        && child == "child"
    {
        let job = LiveJob { dir: Path::new(dir), workers: workers.parse().unwrap(), flags: flags.parse().unwrap() };
        return job.run();
    }
    // As the usual harness understands its arguments.
    let is_wanted = arguments.iter().find(|argument| !argument.starts_with('-')).is_none_or(|part| NAME.contains(part));
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
    } else if is_wanted {
        kill_often();
    }
}

/// How often the job is killed.
fn kills_wanted() -> u64 {
    pelton_tests::campaign::number("PELTON_KILLS", 20)
}

/// What became of a child.
struct Ran {
    is_killed: bool,
    /// What it printed: where it went on.
    said: String,
}

/// Runs the job in a child, which is killed where it has not ended by a moment.
fn run(dir: &Path, (workers, flags): (u64, u64), moment: Option<Duration>) -> Ran {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("child")
        .arg(dir)
        .args([workers.to_string(), flags.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while begun.elapsed() < moment.unwrap_or(DEADLINE) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
    let is_killed = child.try_wait().unwrap().is_none();
    if is_killed {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(!is_killed || moment.is_some(), "it did not end within {DEADLINE:?}");
    assert!(is_killed || output.status.success(), "{}", output.status);
    Ran { is_killed, said: String::from_utf8_lossy(&output.stdout).into_owned() }
}

fn kill_often() {
    let dir = tempfile::tempdir().unwrap();
    let undisturbed = dir.path().join("undisturbed");
    std::fs::create_dir(&undisturbed).unwrap();
    let begun = Instant::now();
    run(&undisturbed, (1, 0), None);
    let whole = begun.elapsed();
    let expected_rows = numbered::read(&undisturbed.join(job::NUMBERED));
    assert!(expected_rows.len() > 1000, "{} numbered rows", expected_rows.len());
    let expected = FILES.map(|file| std::fs::read(undisturbed.join(file)).unwrap());
    assert!(expected.iter().all(|bytes| bytes.len() > 5000), "{:?}", expected.each_ref().map(Vec::len));

    let (mut kills, mut number, mut resumed, mut rounds) = (0, 0u64, 0, 0);
    // Where kills fall is for the machine to decide, so this goes on until one came behind a checkpoint.
    while kills < kills_wanted() || resumed == 0 {
        rounds += 1;
        assert!(rounds < 100 + kills_wanted(), "{kills} kills, and it never went on from a checkpoint");
        let round = dir.path().join(format!("round-{rounds}"));
        std::fs::create_dir(&round).unwrap();
        loop {
            number += 1;
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (workers, flags) = (1 + (hash >> 40) % 3, hash >> 50 & !CUTS | if rounds % 2 == 0 { CUTS } else { 0 });
            let moment = whole.mul_f64(((hash >> 33) % 1000) as f64 / 1000.0);
            let ran = run(&round, (workers, flags), Some(moment));
            resumed += u64::from(ran.said.contains(job::RESUMED));
            kills += u64::from(ran.is_killed);
            if !ran.is_killed {
                break;
            }
        }
        let what = format!("round {rounds}, {number} runs");
        for (file, expected) in FILES.iter().zip(&expected) {
            let found = std::fs::read(round.join(file)).unwrap();
            let at = found.iter().zip(expected).position(|(a, b)| a != b);
            let sizes = (found.len(), expected.len());
            assert!(found == *expected, "{what}: {file} has {sizes:?} bytes, the first other one at {at:?}");
        }
        let rows = numbered::read(&round.join(job::NUMBERED));
        assert!(rows == expected_rows, "{what}: {} numbered rows and {}", rows.len(), expected_rows.len());
        if rounds == 1 {
            replay(&round, &expected);
        }
        let journal = SavedJournal::open(round.join("state")).unwrap();
        assert_eq!(journal.cut().is_some(), rounds % 2 == 0, "{what}: {:?}", journal.info());
        drop(journal);
        std::fs::remove_dir_all(&round).unwrap();
    }
    println!("{kills} kills, {rounds} rounds, {resumed} times it went on from a checkpoint");
}

/// The command gives from the journal what the job gave, in spite of the kills.
fn replay(dir: &Path, expected: &[Vec<u8>]) {
    let replay = Command::new(env!("CARGO_BIN_EXE_pelton"))
        .current_dir(dir)
        .args("replay state --source trades --window 10ms --out-of-orderness 1500us".split(' '))
        .args("--out again.csv --late again_late.csv".split(' '))
        .output()
        .unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    for (file, expected) in ["again.csv", "again_late.csv"].iter().zip(expected) {
        assert!(std::fs::read(dir.join(file)).unwrap() == *expected, "{file} of a replay");
    }
}
