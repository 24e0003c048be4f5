//! Runs the command in a directory of its own, never for longer than a deadline.

use pelton_io::Trade;
use pelton_io::capture::{CaptureWriter, WriterOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with the files of one test.
pub(crate) struct Place(TempDir);

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run that was killed, unless it had ended.
pub(crate) struct Killed {
    pub(crate) is_killed: bool,
    /// It ended well before it could be killed.
    pub(crate) is_done: bool,
    /// It went on from a checkpoint.
    pub(crate) has_resumed: bool,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Makes a capture of trades in symbols `S00000` and so on.
    pub(crate) fn write_capture(&self, name: &str, trades: &[Trade], symbols: u32) {
        let symbols = (0..symbols).map(|id| format!("S{id:05}")).collect();
        let options = WriterOptions { block_events: 512, symbols, overwrite: true, ..WriterOptions::default() };
        let mut writer = CaptureWriter::<Trade>::create(self.path(name), options).unwrap();
        writer.extend(trades).unwrap();
        writer.finish().unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Files that have no name of their own yet.
    pub(crate) fn hidden(&self) -> usize {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command
            .current_dir(self.0.path())
            // What the command keeps for a while is here too, and can be seen to be removed.
            .env("TMPDIR", self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command with the words of `line` as arguments.
    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut child = self.command().args(line.split_whitespace()).spawn().unwrap();
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let code = wait(&mut child, line);
        Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// Runs a replay that saves its state, and kills it where it has not ended by this moment.
    pub(crate) fn killed_at(&self, line: &str, moment: Duration) -> Killed {
        let mut child = self.command().args(line.split(' ')).spawn().unwrap();
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let start = Instant::now();
        while start.elapsed() < moment && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_micros(200));
        }
        let is_killed = child.try_wait().unwrap().is_none();
        if is_killed {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        stdout.join().unwrap();
        let said = stderr.join().unwrap();
        assert!(matches!(status.code(), Some(0) | None), "{status}: {said}");
        Killed { is_killed, is_done: status.code() == Some(0), has_resumed: said.contains("went on from checkpoint") }
    }

    /// Runs the command, which has to succeed.
    pub(crate) fn done(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran
    }

    /// Runs the command, which has to end with `code`, and with one message that holds all of `parts`.
    pub(crate) fn refused(&self, code: i32, line: &str, parts: &[&str]) {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        for part in parts {
            assert!(ran.stderr.contains(part), "{line}: no {part:?} in {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("panicked"), "{line}: {}", ran.stderr);
        // What the command says itself starts with its name; the parser of arguments says "error".
        let starts = ["pelton: ", "error: "].map(|start| ran.stderr.matches(start).count());
        assert!(starts.iter().sum::<usize>() >= 1, "{line}: {}", ran.stderr);
    }
}

pub(crate) fn drain(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    spawn(move || {
        let mut text = Vec::new();
        from.unwrap().read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    })
}

/// The exit code; a child that does not end is killed and fails the test.
pub(crate) fn wait(child: &mut Child, what: &str) -> i32 {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| panic!("{what}: {status}"));
        }
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{what}: did not end within {DEADLINE:?}");
        }
        sleep(Duration::from_millis(5));
    }
}
