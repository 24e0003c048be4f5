//! The sink of text rows: one buffer, one encoder, one file.

use super::encode::{Format, RowEncoder};
use super::frames;
use super::in_place::InPlace;
use super::number::put_u64;
use super::rolled::Rolled;
use super::write_all::write_all;
use crate::parts::Rolling;
use pelton::rows::{RowSink, RowSlice};
use pelton::{BoxError, Dictionary, Encoders, Layout, Record, Sink, SinkCheckpoint, Timestamp};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 1 << 17;

/// A sink's output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
pub struct SinkError {
    /// The file, or `standard output`.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// The operating system's answer.
    pub source: io::Error,
}

/// Writes rows as lines of text; made by [`crate::csv`] and [`crate::jsonl`].
///
/// Rows of any record can be written, of one type or layout by one sink. Dropped before its end, as when its
/// job is stopped at once, it still writes the rows that it took: what it leaves are whole lines.
///
/// Files take part in checkpoints: a job that goes on from one has them cut to what was committed. Rows on standard
/// output cannot be taken back: those behind the checkpoint come again, and [numbers](TextSink::numbered) tell which they are.
pub struct TextSink {
    out: Out,
    path: PathBuf,
    format: Format,
    symbols: Option<Arc<Dictionary>>,
    /// Made for the first rows' layout.
    encoder: Option<RowEncoder>,
    buffer: Vec<u8>,
    /// What stands first in a file that must have been empty, until there is a first row: before the first checkpoint is
    /// committed, nobody would know that it is the job's own.
    header: Vec<u8>,
    /// The number of the next row, where rows are written with their numbers.
    number: Option<u64>,
    /// A line before it goes to the buffer, and what stands before it.
    line: Vec<u8>,
    lead: Vec<u8>,
    /// Nothing more is written after an error: a line may have been cut.
    failed: bool,
    /// Whether rows are still written when it is dropped.
    writes_at_drop: bool,
}

/// Where the bytes go.
enum Out {
    Stream(Box<dyn Write + Send>),
    File {
        file: InPlace,
        /// Whether what is in the file may be overwritten.
        overwrites: bool,
    },
    Rolled(Box<Rolled>),
}

impl Out {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(out) => write_all(&mut **out, bytes),
            Self::File { file, .. } => write_all(file, bytes),
            Self::Rolled(rolled) => rolled.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(out) => out.flush(),
            // What was written to files is seen at once.
            Self::File { .. } | Self::Rolled(_) => Ok(()),
        }
    }
}

impl TextSink {
    pub(super) fn create(path: &Path, format: Format) -> Result<Self, SinkError> {
        let mut sink = Self::in_place(path, format, true)?;
        sink.writes_at_drop = true;
        Ok(sink)
    }

    /// Writes to the file at `path`, which is made where it is not there. What is in it is replaced once the job begins,
    /// where `overwrites` says so; otherwise that is an error of the job. A job that goes on from a checkpoint
    /// goes on behind what was committed; so what was not written when the sink is dropped is left to that.
    ///
    /// ```
    /// use pelton_io::sink::{Format, TextSink};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("rows.jsonl");
    /// let sink = TextSink::in_place(&path, Format::Json, false)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the file cannot be opened or created.
    pub fn in_place(path: impl AsRef<Path>, format: Format, overwrites: bool) -> Result<Self, SinkError> {
        let path = path.as_ref();
        let refused = |source| SinkError { path: path.to_owned(), action: "create the file", source };
        let out = Out::File { file: InPlace::open(path).map_err(refused)?, overwrites };
        let mut sink = Self::to(out, path.to_owned(), format);
        sink.writes_at_drop = false;
        Ok(sink)
    }

    /// Writes to files, one after another. Each gets its final name once it is whole, and where the job takes checkpoints,
    /// once a checkpoint covers it. Each CSV file has a header of its own. A job without rows makes no file.
    ///
    /// A row that comes behind rows of a later hour or day is in their file: files are cut in the job's order, so that the
    /// set of files and their bytes depend on the rows alone. A job that goes on from a checkpoint ends with the files of one
    /// that nobody disturbed. Files that were given their final names before that checkpoint are not looked at any more.
    ///
    /// ```
    /// use pelton::{Sink, Timestamp};
    /// use pelton_io::sink::{Format, Roll, Rolling, TextSink};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let files = Rolling::new(dir.path().join("rows.csv"), Roll::daily());
    /// let mut sink = TextSink::rolling(files, Format::Csv)?;
    /// Sink::<u64>::open(&mut sink, &Default::default())?;
    /// let day = 86_400_000_000_000;
    /// sink.write(&[Timestamp::from_nanos(1), Timestamp::from_nanos(day)], &[7u64, 8])?;
    /// Sink::<u64>::finish(&mut sink)?;
    /// let read = |name| std::fs::read_to_string(dir.path().join(name));
    /// assert_eq!(read("rows-000000-1970-01-01.csv")?, "value\n7\n");
    /// assert_eq!(read("rows-000001-1970-01-02.csv")?, "value\n8\n");
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    ///
    /// # Errors
    /// When there can be no files of such names.
    pub fn rolling(files: Rolling, format: Format) -> Result<Self, SinkError> {
        let extension = match format {
            Format::Csv => "csv",
            Format::Json => "jsonl",
        };
        let rolled = Rolled::new(&files, extension)?;
        Ok(Self::to(Out::Rolled(Box::new(rolled)), files.path, format))
    }

    /// Writes each row with its number: `row_number`, the first column in CSV and the first field in JSON. Rows of a sink of
    /// the whole job are numbered from 0 in the job's order, and the numbers go on over restarts from a checkpoint:
    /// [`Sink::first_number`].
    ///
    /// ```
    /// use pelton::{Sink, Timestamp};
    /// use pelton_io::sink::{Format, TextSink};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("rows.csv");
    /// let mut sink = pelton_io::csv::create(&path)?.numbered();
    /// sink.write(&[Timestamp::MIN; 2], &[7u64, 8])?;
    /// Sink::<u64>::finish(&mut sink)?;
    /// assert_eq!(std::fs::read_to_string(&path)?, "row_number,value\n0,7\n1,8\n");
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    pub fn numbered(self) -> Self {
        // The sink has a destructor, so it is changed and not taken apart.
        let mut sink = self;
        sink.number = Some(0);
        sink
    }

    pub(super) fn stdout(format: Format) -> Self {
        Self::new(io::stdout(), "standard output", format)
    }

    /// Writes to `out`; `path` names it in errors.
    ///
    /// ```
    /// use pelton_io::sink::{Format, TextSink};
    ///
    /// let sink = TextSink::new(std::io::stderr(), "standard error", Format::Json);
    /// ```
    pub fn new(out: impl Write + Send + 'static, path: impl Into<PathBuf>, format: Format) -> Self {
        Self::to(Out::Stream(Box::new(out)), path.into(), format)
    }

    fn to(out: Out, path: PathBuf, format: Format) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 2);
        let (line, lead) = (Vec::new(), Vec::new());
        Self {
            out,
            path,
            format,
            symbols: None,
            encoder: None,
            buffer,
            header: Vec::new(),
            number: None,
            line,
            lead,
            failed: false,
            writes_at_drop: true,
        }
    }

    /// Begins to write to a file, before its first row.
    fn begin(&mut self, layout: &Layout) -> Result<(), SinkError> {
        let mut has_header = false;
        if let Out::File { file, overwrites } = &mut self.out {
            let len = file.len();
            has_header = file.keeps() && !matches!(len, Ok(0));
            let begun = match (file.keeps() || *overwrites, len) {
                (false, Ok(1..)) => Err(io::ErrorKind::AlreadyExists.into()),
                (_, Err(error)) => Err(error),
                _ => file.begin(),
            };
            let path = &self.path;
            begun.map_err(|source| SinkError { path: path.clone(), action: "write to the file", source })?;
        }
        let mut encoder = RowEncoder::new(layout, self.format);
        if let Some(symbols) = &self.symbols {
            encoder.set_symbols(symbols.clone());
        }
        let mut header = Vec::new();
        encoder.header(&mut header);
        if self.number.is_some() && self.format == Format::Csv {
            header.splice(0..0, b"row_number,".iter().copied());
        }
        match &mut self.out {
            Out::Rolled(rolled) => {
                rolled.parts.begin()?;
                rolled.header = header;
            }
            Out::File { .. } if has_header => {}
            Out::File { overwrites: false, .. } => self.header = header,
            Out::File { .. } | Out::Stream(_) => self.buffer.append(&mut header),
        }
        self.encoder = Some(encoder);
        Ok(())
    }

    fn take_checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.flush_out()?;
        match &mut self.out {
            Out::Stream(_) => Ok(None),
            Out::File { file, .. } => file.checkpoint(),
            Out::Rolled(rolled) => rolled.checkpoint(),
        }
    }

    fn take_back(&mut self, position: &[u8]) -> Result<(), BoxError> {
        match &mut self.out {
            Out::Stream(_) => Err(format!("{}: what was written cannot be taken back", self.path.display()).into()),
            Out::File { file, .. } => file.restore(position),
            Out::Rolled(rolled) => rolled.restore(position),
        }
    }

    fn write_out(&mut self) -> Result<(), SinkError> {
        let result = match self.failed {
            false => self.out.write_all(&self.buffer),
            true => Err(io::Error::other("it could not be written before")),
        };
        self.buffer.clear();
        self.checked(result)
    }

    fn flush_out(&mut self) -> Result<(), SinkError> {
        self.write_out()?;
        let result = self.out.flush();
        self.checked(result)
    }

    fn checked(&mut self, result: io::Result<()>) -> Result<(), SinkError> {
        self.failed |= result.is_err();
        result.map_err(|source| {
            let path = match &self.out {
                Out::Rolled(rolled) => rolled.path(),
                Out::Stream(_) | Out::File { .. } => self.path.clone(),
            };
            SinkError { path, action: "write the rows", source }
        })
    }

    /// Writes what is left, and closes the last file.
    fn end(&mut self) -> Result<(), SinkError> {
        self.buffer.append(&mut self.header);
        self.flush_out()?;
        match &mut self.out {
            Out::Rolled(rolled) => rolled.parts.finish(),
            Out::Stream(_) | Out::File { .. } => Ok(()),
        }
    }

    /// Whether each line has to be known: to number it, or to see whether it fits into the file.
    const fn knows_lines(&self) -> bool {
        self.number.is_some() || matches!(self.out, Out::Rolled(_))
    }

    fn encoders_of(&self, layout: &Layout) -> Encoders {
        match self.knows_lines() {
            true => frames::for_workers(layout, self.format),
            false => RowEncoder::for_workers(layout, self.format),
        }
    }

    /// Takes what a worker's encoder made.
    fn put_encoded(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        if !bytes.is_empty() {
            self.buffer.append(&mut self.header);
        }
        if self.knows_lines() {
            let mut rest = bytes;
            while let Some((time, line, after)) = frames::next(rest) {
                self.put_line(time, line)?;
                rest = after;
            }
            return Ok(());
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.write_out() } else { Ok(()) }
    }

    /// Takes one line, which gets its number, and goes on to the next file where it belongs there.
    fn put_line(&mut self, time: Timestamp, line: &[u8]) -> Result<(), SinkError> {
        let mut line = line;
        self.lead.clear();
        if let Some(number) = &mut self.number {
            if self.format == Format::Json {
                self.lead.extend_from_slice(b"{\"row_number\":");
                line = line.strip_prefix(b"{").unwrap_or(line);
            }
            put_u64(&mut self.lead, *number);
            self.lead.push(b',');
            *number += 1;
        }
        if let Out::Rolled(rolled) = &mut self.out {
            let made = match self.failed {
                false => rolled.make_room(time, self.lead.len() + line.len(), &mut self.buffer),
                true => Ok(()),
            };
            self.failed |= made.is_err();
            made?;
        }
        self.buffer.extend_from_slice(&self.lead);
        self.buffer.extend_from_slice(line);
        if self.buffer.len() >= BUFFER_BYTES { self.write_out() } else { Ok(()) }
    }

    fn put_lines<'a>(&mut self, times: &[Timestamp], records: impl Iterator<Item = &'a [u8]>) -> Result<(), SinkError> {
        let mut line = std::mem::take(&mut self.line);
        for (time, record) in times.iter().zip(records) {
            line.clear();
            if let Some(encoder) = &mut self.encoder {
                encoder.row(record, &mut line);
            }
            self.put_line(*time, &line)?;
        }
        self.line = line;
        Ok(())
    }

    fn put<'a>(&mut self, times: &[Timestamp], records: impl Iterator<Item = &'a [u8]>) -> Result<(), SinkError> {
        if !times.is_empty() {
            self.buffer.append(&mut self.header);
        }
        if self.knows_lines() {
            return self.put_lines(times, records);
        }
        // Bounds what one call gathers: a row is written out before it is far over the buffer.
        for record in records {
            if let Some(encoder) = &mut self.encoder {
                encoder.row(record, &mut self.buffer);
            }
            if self.buffer.len() >= BUFFER_BYTES {
                self.write_out()?;
            }
        }
        Ok(())
    }
}

impl<T: Record> Sink<T> for TextSink {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        self.symbols = Some(symbols.clone());
        Ok(self.begin(&T::layout())?)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        if self.encoder.is_none() {
            self.begin(&T::layout())?;
        }
        self.put(times, rows.iter().map(bytemuck::bytes_of))?;
        Ok(rows.len())
    }

    fn encoders(&self) -> Option<Encoders> {
        Some(self.encoders_of(&T::layout()))
    }

    fn write_encoded(&mut self, _: usize, bytes: &[u8]) -> Result<(), BoxError> {
        Ok(self.put_encoded(bytes)?)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.flush_out()?)
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.take_checkpoint()
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        self.take_back(position)
    }

    fn first_number(&mut self, number: u64) {
        self.number = self.number.map(|_| number);
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(self.end()?)
    }
}

impl RowSink for TextSink {
    fn open(&mut self, layout: &Layout, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        self.symbols = Some(symbols.clone());
        Ok(self.begin(layout)?)
    }

    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        if self.encoder.is_none() {
            self.begin(rows.layout())?;
        }
        self.put(times, rows.iter().map(|row| row.bytes()))?;
        Ok(rows.len())
    }

    fn encoders(&self, layout: &Layout) -> Option<Encoders> {
        Some(self.encoders_of(layout))
    }

    fn write_encoded(&mut self, _: usize, bytes: &[u8]) -> Result<(), BoxError> {
        Ok(self.put_encoded(bytes)?)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.flush_out()?)
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.take_checkpoint()
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        self.take_back(position)
    }

    fn first_number(&mut self, number: u64) {
        self.number = self.number.map(|_| number);
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(self.end()?)
    }
}

impl Drop for TextSink {
    fn drop(&mut self) {
        let is_taken_back = matches!(&self.out, Out::Rolled(rolled) if rolled.parts.takes_checkpoints());
        if self.writes_at_drop && !is_taken_back && !self.failed {
            // Who wants to know of errors finishes the sink.
            let _ = self.end();
        }
    }
}

impl std::fmt::Debug for TextSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextSink").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trade;
    use crate::generate::{TradeOptions, symbol_names, trades};
    use pelton::Symbol;

    #[test]
    fn rows_reach_the_file_with_header_symbols_and_all() {
        let dir = tempfile::tempdir().unwrap();
        let options = TradeOptions { events: 10_000, keys: 50, ..TradeOptions::default() };
        let rows: Vec<Trade> = trades(&options).collect();
        let symbols = Dictionary::default();
        symbol_names(50).for_each(|name| assert!(symbols.intern(&name).is_ok()));
        let symbols = Arc::new(symbols);
        for (name, mut sink) in [
            ("csv", crate::csv::create(dir.path().join("csv")).unwrap()),
            ("jsonl", crate::jsonl::create(dir.path().join("jsonl")).unwrap()),
        ] {
            let sink: &mut dyn Sink<Trade> = &mut sink;
            sink.open(&symbols).unwrap();
            for rows in rows.chunks(777) {
                assert_eq!(sink.write(&vec![Timestamp::MIN; rows.len()], rows).unwrap(), rows.len());
            }
            sink.finish().unwrap();
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            assert_eq!(text.lines().count(), rows.len() + usize::from(name == "csv"));
            let row = rows[9_999];
            let symbol = symbols.text(row.symbol).unwrap();
            let last = text.lines().last().unwrap();
            assert!(last.contains(&row.time_ns.to_string()) && last.contains(&*symbol), "{last}");
        }
    }

    #[test]
    fn a_sink_without_rows_writes_the_header_and_flush_shows_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let mut sink = crate::csv::create(&path).unwrap();
        let sink: &mut dyn Sink<Symbol> = &mut sink;
        sink.open(&Arc::default()).unwrap();
        sink.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n");
        sink.write(&[Timestamp::MIN], &[Symbol::from_id(3)]).unwrap();
        sink.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n#3\n");
    }

    #[test]
    fn a_job_that_crashes_before_its_first_checkpoint_finds_its_file_empty_and_begins_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let begin = |position: Option<&SinkCheckpoint>| {
            let mut sink = TextSink::in_place(&path, Format::Csv, false).unwrap();
            position.map_or(Ok(()), |found| Sink::<u64>::restore(&mut sink, found.position())).unwrap();
            Sink::<u64>::open(&mut sink, &Arc::default()).unwrap();
            let position = Sink::<u64>::checkpoint(&mut sink).unwrap().unwrap();
            (sink, position)
        };
        // Neither the first nor the second time it comes to committing anything.
        let position = begin(None).1;
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        drop((begin(None), position));
        let (mut sink, first) = begin(None);
        Sink::write(&mut sink, &[Timestamp::MIN], &[1u64]).unwrap();
        Sink::<u64>::flush(&mut sink).unwrap();
        // Back at the first, which was committed, it writes all of it once more.
        let (mut sink, _) = begin(Some(&first));
        Sink::write(&mut sink, &[Timestamp::MIN], &[2u64]).unwrap();
        let second = Sink::<u64>::checkpoint(&mut sink).unwrap().unwrap();
        Sink::write(&mut sink, &[Timestamp::MIN], &[3u64]).unwrap();
        Sink::<u64>::flush(&mut sink).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n2\n3\n");
        let (mut sink, _) = begin(Some(&second));
        Sink::<u64>::finish(&mut sink).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n2\n");
    }

    #[test]
    fn a_file_in_place_without_rows_has_a_header_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let mut sink = TextSink::in_place(&path, Format::Csv, false).unwrap();
        let sink: &mut dyn Sink<u64> = &mut sink;
        sink.open(&Arc::default()).unwrap();
        sink.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n");
    }

    #[test]
    fn a_sink_that_is_dropped_leaves_the_whole_rows_that_it_took() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let mut sink = crate::csv::create(&path).unwrap();
        Sink::<u64>::write(&mut sink, &[Timestamp::MIN; 2], &[3, 4]).unwrap();
        drop(sink);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "value\n3\n4\n");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        if !Path::new("/dev/full").exists() {
            println!("skipped a_full_disk_is_an_error_that_names_the_file: there is no /dev/full");
            return;
        }
        let mut sink = crate::jsonl::create("/dev/full").unwrap();
        let sink: &mut dyn Sink<u64> = &mut sink;
        sink.write(&[Timestamp::MIN], &[3]).unwrap();
        let error = sink.finish().unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: cannot write the rows: "), "{error}");
        let rows = vec![7u64; BUFFER_BYTES];
        assert!(sink.write(&vec![Timestamp::MIN; rows.len()], &rows).is_err());
    }
}
