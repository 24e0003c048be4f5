//! The sink of text rows: one buffer, one encoder, one file.

use super::encode::{Format, RowEncoder};
use pelton::rows::{RowSink, RowSlice};
use pelton::{BoxError, Dictionary, Encoders, Layout, Record, Sink, Timestamp};
use std::fs::File;
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
pub struct TextSink {
    out: Box<dyn Write + Send>,
    path: PathBuf,
    format: Format,
    symbols: Option<Arc<Dictionary>>,
    /// Made for the first rows' layout.
    encoder: Option<RowEncoder>,
    buffer: Vec<u8>,
    /// Nothing more is written after an error: a line may have been cut.
    failed: bool,
}

impl TextSink {
    pub(super) fn create(path: &Path, format: Format) -> Result<Self, SinkError> {
        let file = File::create(path).map_err(|source| SinkError {
            path: path.to_owned(),
            action: "create the file",
            source,
        })?;
        Ok(Self::new(file, path, format))
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
        let buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 2);
        Self { out: Box::new(out), path: path.into(), format, symbols: None, encoder: None, buffer, failed: false }
    }

    fn encoder(&mut self, layout: &Layout) -> &mut RowEncoder {
        self.encoder.get_or_insert_with(|| {
            let mut encoder = RowEncoder::new(layout, self.format);
            if let Some(symbols) = &self.symbols {
                encoder.set_symbols(symbols.clone());
            }
            encoder.header(&mut self.buffer);
            encoder
        })
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
        result.map_err(|source| SinkError { path: self.path.clone(), action: "write the rows", source })
    }

    /// Takes lines that a worker's encoder made.
    fn put_encoded(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        self.buffer.extend_from_slice(lines);
        if self.buffer.len() >= BUFFER_BYTES { self.write_out() } else { Ok(()) }
    }

    fn put<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> Result<(), SinkError> {
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
        self.encoder(&T::layout());
        Ok(())
    }

    fn write(&mut self, _: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        if self.encoder.is_none() {
            self.encoder(&T::layout());
        }
        self.put(rows.iter().map(bytemuck::bytes_of))?;
        Ok(rows.len())
    }

    fn encoders(&self) -> Option<Encoders> {
        Some(RowEncoder::for_workers(&T::layout(), self.format))
    }

    fn write_encoded(&mut self, _: usize, lines: &[u8]) -> Result<(), BoxError> {
        Ok(self.put_encoded(lines)?)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.flush_out()?)
    }
}

impl RowSink for TextSink {
    fn open(&mut self, layout: &Layout, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        self.symbols = Some(symbols.clone());
        self.encoder(layout);
        Ok(())
    }

    fn write(&mut self, _: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        self.encoder(rows.layout());
        self.put(rows.iter().map(|row| row.bytes()))?;
        Ok(rows.len())
    }

    fn encoders(&self, layout: &Layout) -> Option<Encoders> {
        Some(RowEncoder::for_workers(layout, self.format))
    }

    fn write_encoded(&mut self, _: usize, lines: &[u8]) -> Result<(), BoxError> {
        Ok(self.put_encoded(lines)?)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.flush_out()?)
    }
}

impl Drop for TextSink {
    fn drop(&mut self) {
        if !self.failed {
            // Who wants to know of errors finishes the sink.
            let _ = self.flush_out();
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
