//! Where a replay's rows go: standard output, a file that gets its name in the end, files that roll, or something that
//! is written in place, such as a pipe; and what is said of an output that did not become whole.

use crate::args::Replay;
use crate::error::{Failure, say};
use crate::signals::Signals;
use pelton::state::SavedJournal;
use pelton::{BoxError, Dictionary, Encoders, Record, Sink, SinkCheckpoint, Timestamp};
use pelton_io::output::{NewFile, Target, is_same_file};
use pelton_io::sink::{Format, Roll, Rolling, TextSink};
use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One output of a replay.
pub(crate) struct Output {
    to: Destination,
    made: RefCell<Option<NewFile>>,
    state: Arc<State>,
}

enum Destination {
    Stdout,
    File(Target),
    /// Files that roll, named after a path.
    Files(Rolling, PathBuf),
}

/// What the sink, which is on a worker's thread, tells of itself.
#[derive(Debug, Default)]
struct State {
    /// The sink has been given its last row.
    finished: AtomicBool,
    /// Something could not be written: the last line may be cut.
    failed: AtomicBool,
}

/// Whether this stands for standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Output {
    fn new(path: &Path, args: &Replay) -> Result<Self, Failure> {
        // With saved state a file that is there may be the job's own; its sink finds out.
        let may_exist = args.overwrite || args.state.is_some();
        let to = match args.roll {
            _ if is_stdout(path) => Destination::Stdout,
            None => Destination::File(Target::new(path, may_exist)?),
            Some(roll) => Destination::Files(files(path, roll, args)?, path.to_owned()),
        };
        Ok(Self { to, made: RefCell::default(), state: Arc::default() })
    }

    /// The sink of the rows; makes the file. Where the job saves its state the file is written in place, and goes on behind
    /// what was committed; otherwise it gets its name in the end.
    pub(crate) fn csv_sink<T: Record>(
        &self,
        args: &Replay,
        signals: &Signals,
    ) -> Result<impl Sink<T> + use<T>, Failure> {
        let state = self.state.clone();
        let sink = match &self.to {
            Destination::Stdout => {
                TextSink::new(Watched { out: io::stdout(), state: state.clone() }, "standard output", Format::Csv)
            }
            Destination::Files(files, _) => TextSink::rolling(files.clone(), Format::Csv)?,
            Destination::File(target) if args.state.is_some() => {
                TextSink::in_place(target.path(), Format::Csv, args.overwrite)?
            }
            Destination::File(target) => {
                let made = target.create()?;
                if let Some(temporary) = made.temporary() {
                    signals.remove_at_exit(temporary);
                }
                let out = Watched { out: made.file()?, state: state.clone() };
                *self.made.borrow_mut() = Some(made);
                TextSink::new(out, target.path(), Format::Csv)
            }
        };
        let sink = if args.row_numbers { sink.numbered() } else { sink };
        Ok(Told { sink, state })
    }

    /// Whether the last row was written.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.finished.load(Ordering::Acquire)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.to, Destination::Stdout)
    }

    /// Gives the file its name.
    pub(crate) fn commit(&self) -> Result<(), Failure> {
        match self.made.borrow_mut().take() {
            Some(made) => Ok(made.commit()?),
            None => Ok(()),
        }
    }

    /// Gives a file its name, though the job was stopped, and says that rows are missing.
    pub(crate) fn keep_part(&self, rows: impl Display) -> Result<(), Failure> {
        if self.has_failed() {
            self.give_up();
            return Err(Failure::failed(format!("{self}: its last rows could not be written")));
        }
        self.commit()?;
        if self.is_finished() {
            return Ok(());
        }
        let holds = if let Destination::Files(..) = self.to { "its files hold" } else { "it holds" };
        say(&format!("pelton: {self} is partial: {holds} the first {rows} rows of the result, all of them whole"));
        Ok(())
    }

    /// Removes what was written, where that can be, and says what there is now.
    pub(crate) fn give_up(&self) {
        drop(self.made.borrow_mut().take());
        match &self.to {
            Destination::File(target) => say_removed(target),
            Destination::Files(..) => say_part(format_args!("what has been written of {self}")),
            Destination::Stdout => say_part(self),
        }
    }
}

/// Says what is left of an output after its new file was removed.
pub(crate) fn say_removed(target: &Target) {
    let path = target.path().display();
    if target.replaces() {
        say(&format!("pelton: {path} is unchanged: what had been written of its replacement was removed"));
    } else if target.is_file() {
        say(&format!("pelton: {path} was not created: what had been written of it was removed"));
    } else {
        say_part(path);
    }
}

fn say_part(output: impl Display) {
    say(&format!("pelton: {output} holds at most a part of the result"));
}

impl Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.to {
            Destination::Stdout => f.write_str("standard output"),
            Destination::File(target) => target.path().display().fmt(f),
            Destination::Files(_, path) => path.display().fmt(f),
        }
    }
}

/// Where bars and late rows go. Nothing is made or changed yet.
///
/// An output must not be an input, nor another output, nor a file that exists, unless that may be
/// replaced.
pub(crate) fn check(args: &Replay) -> Result<(Output, Option<Output>), Failure> {
    let files = [Some(&*args.out), args.late.as_deref()];
    if let [Some(out), Some(late)] = files
        && is_stdout(out) == is_stdout(late)
        && is_same_file(out, late)
    {
        return Err(Failure::usage(format!("--out and --late are both {}", out.display())));
    }
    for file in files.into_iter().flatten().filter(|file| !is_stdout(file)) {
        if let Some(input) = args.inputs.iter().find(|input| has_file(input, file)) {
            let (file, input) = (file.display(), input.display());
            return Err(Failure::usage(format!("the output {file} is also the input {input}")));
        }
    }
    if args.roll.is_some() && is_stdout(&args.out) {
        return Err(Failure::usage("--roll: standard output cannot be rolled; --out names the files"));
    }
    let out = Output::new(&args.out, args)?;
    let late = args.late.as_deref().map(|late| Output::new(late, args)).transpose()?;
    Ok((out, late))
}

/// Whether a file is an input, or the journal in one.
fn has_file(input: &Path, file: &Path) -> bool {
    is_same_file(input, file) || input.is_dir() && is_same_file(&input.join(SavedJournal::FILE), file)
}

/// Files that roll, of which no input may be one.
fn files(path: &Path, roll: Roll, args: &Replay) -> Result<Rolling, Failure> {
    let files = Rolling::new(path, roll).overwrite(args.overwrite);
    if let Some(input) = args.inputs.iter().find(|input| files.has(input)) {
        let (path, input) = (path.display(), input.display());
        return Err(Failure::usage(format!("the input {input} has a name that files of {path} may get")));
    }
    Ok(files)
}

/// Tells that something could not be written.
struct Watched<W> {
    out: W,
    state: Arc<State>,
}

impl<W> Watched<W> {
    fn told<R>(&self, result: io::Result<R>) -> io::Result<R> {
        // Who is interrupted tries again.
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            self.state.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.told(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.told(result)
    }
}

/// Tells that it was given its last row.
struct Told {
    sink: TextSink,
    state: Arc<State>,
}

impl<T: Record> Sink<T> for Told {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        Sink::<T>::open(&mut self.sink, symbols)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        self.sink.write(times, rows)
    }

    fn encoders(&self) -> Option<Encoders> {
        Sink::<T>::encoders(&self.sink)
    }

    fn write_encoded(&mut self, rows: usize, lines: &[u8]) -> Result<(), BoxError> {
        Sink::<T>::write_encoded(&mut self.sink, rows, lines)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Sink::<T>::flush(&mut self.sink)
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        Sink::<T>::checkpoint(&mut self.sink)
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        Sink::<T>::restore(&mut self.sink, position)
    }

    fn first_number(&mut self, number: u64) {
        Sink::<T>::first_number(&mut self.sink, number);
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Sink::<T>::finish(&mut self.sink)?;
        self.state.finished.store(true, Ordering::Release);
        Ok(())
    }
}
