//! Import: files of many formats become one capture of fixed-layout events.
//!
//! Inputs are read one behind the other in the order given. Each line (or record) is written as an
//! event, skipped by design, or rejected into `<output>.rejects.csv`; the report's counts add up. An
//! import that fails leaves no output.
//!
//! A file of which no line could be read is taken for a mistake, such as the wrong format: it is an
//! error with the first line's reason. A file without rows is none, and is counted as empty. Delimited
//! text with a header is read [by the names in it](crate::codec::csv#the-header), each file by its own.
//!
//! ```
//! use pelton_io::import::{Format, ImportOptions, import};
//!
//! # let dir = tempfile::tempdir()?;
//! let input = dir.path().join("20131008_bac_Trade_Tick.csv");
//! std::fs::write(&input, "34200000,138000,100,P,2000,0\nnonsense\n")?;
//! let output = dir.path().join("bac.pelton");
//!
//! let report = import(Format::LeanTrade, &[input], &output, &ImportOptions::default(), &mut |_| {})?;
//! assert_eq!((report.read, report.written, report.rejected, report.skipped), (2, 1, 1, 0));
//! assert!(std::fs::read_to_string(pelton_io::import::rejects_path(&output))?.contains("expected 6 columns"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod options;
mod report;

pub use options::{Day, Format, FormatError, ImportOptions};
pub use report::{ImportError, ImportProgress, ImportReport, rejects_path};

use crate::capture::{RawWriter, WriterOptions};
use crate::codec::lean::{self, LeanOptions, NameParts};
use crate::codec::schema::CsvSchema;
use crate::codec::time::Date;
use crate::codec::{
    Decode, Decoded, Input, InputError, Reject, RejectReason, SkipReason, SymbolTable, SymbolsFull, binance, csv,
    header, sniff,
};
use crate::output::{NewFile, Target, is_same_file};
use pelton::{Dictionary, DictionaryError, Event, Layout, Record, Symbol};
use report::Rejects;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lines between two calls of `progress`.
const PROGRESS_LINES: u64 = 1 << 16;
/// Lines between two looks at whether to stop.
const STOP_LINES: u64 = 1 << 10;

/// Imports `inputs` into a new capture at `output`.
///
/// `progress` is called at each file's start and end, every 65,536 lines, and whenever a file was made. The capture is written
/// beside `output` and gets its name when it is whole; what is no regular file is written in place.
///
/// # Errors
/// When there is no input, one cannot be read or is not of the format, no line of one could be read, the output exists
/// or cannot be written, a line is rejected and the import is strict, or the import is stopped. Then there is no new
/// output, and one that was there before is as it was.
pub fn import(
    format: Format,
    inputs: &[PathBuf],
    output: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress<'_>),
) -> Result<ImportReport, ImportError> {
    if inputs.is_empty() {
        return Err(ImportError::NoInput);
    }
    refuse_output_as_input(inputs, output)?;
    let target = Target::new(output, options.overwrite)?;
    let symbols = SymbolTable::new(Arc::new(Dictionary::default()), options.symbols_max);
    let mut session = Session {
        options,
        target,
        writer: None,
        symbols,
        interned: 0,
        rejects: Rejects::new(output, options.overwrite),
        report: ImportReport::default(),
        progress,
        made: Vec::new(),
        inputs,
        current: Current::default(),
        csv_schema: None,
        #[cfg(feature = "dbn")]
        dbn_schema: None,
    };
    session.rejects.check()?;
    let result = session.run(format);
    if matches!(result, Err(ImportError::Stopped)) {
        session.rejects.remove_new();
    }
    let rejects = session.rejects.flush();
    result.and(rejects).and_then(|()| session.finish())
}

fn refuse_output_as_input(inputs: &[PathBuf], output: &Path) -> Result<(), ImportError> {
    match inputs.iter().any(|input| is_same_file(input, output)) {
        true => Err(ImportError::OutputIsInput { path: output.into() }),
        false => Ok(()),
    }
}

/// The file being read.
#[derive(Default)]
struct Current {
    index: usize,
    bytes: u64,
    bytes_read: Arc<AtomicU64>,
    /// What the report said when the file began.
    before: ImportReport,
    /// The first line of the file that was rejected.
    first_reject: Option<Reject>,
}

/// The capture that is written.
struct Writer {
    raw: RawWriter,
    layout: Layout,
    file: NewFile,
}

struct Session<'a> {
    options: &'a ImportOptions,
    target: Target,
    /// Made when the first input's layout is known.
    writer: Option<Writer>,
    symbols: SymbolTable,
    /// Symbols whose texts the writer has.
    interned: usize,
    rejects: Rejects,
    report: ImportReport,
    progress: &'a mut dyn FnMut(ImportProgress<'_>),
    made: Vec<PathBuf>,
    inputs: &'a [PathBuf],
    current: Current,
    /// The first file's, which the others must have as well.
    csv_schema: Option<CsvSchema>,
    #[cfg(feature = "dbn")]
    dbn_schema: Option<crate::codec::dbn::DbnSchema>,
}

impl<'a> Session<'a> {
    fn file(&self) -> &'a Path {
        &self.inputs[self.current.index]
    }

    fn input_error(&self) -> impl FnOnce(InputError) -> ImportError + use<> {
        let file = self.file().to_owned();
        |source| ImportError::Input { file, source }
    }

    fn run(&mut self, format: Format) -> Result<(), ImportError> {
        for index in 0..self.inputs.len() {
            self.current = Current { index, before: self.report, ..Current::default() };
            let path = self.file();
            let mut input = Input::open(path, &self.options.limits).map_err(self.input_error())?;
            self.current.bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            self.current.bytes_read = input.packed_read();
            self.show_progress();
            if format.is_text() {
                sniff::refuse_no_text(&mut input).map_err(self.input_error())?;
            }
            match format {
                Format::LeanTrade => {
                    let options = self.lean_options(&input)?;
                    self.drive_typed(lean::trades(input, options))?;
                }
                Format::LeanQuote => {
                    let options = self.lean_options(&input)?;
                    self.drive_typed(lean::quotes(input, options))?;
                }
                Format::Binance => {
                    let line_bytes_max = self.options.limits.line_bytes_max;
                    let symbols = self.symbols.clone();
                    self.drive_typed(binance::frames(input, self.options.streams, symbols, line_bytes_max))?;
                }
                #[cfg(feature = "dbn")]
                Format::Dbn(wanted) => self.dbn(input, wanted)?,
                Format::Csv => self.csv(input)?,
            }
            self.judge_file()?;
            self.report.files += 1;
            self.show_progress();
            self.check_stop()?;
        }
        Ok(())
    }

    /// Counts a file without rows, and refuses one with rows of which none could be read.
    fn judge_file(&mut self) -> Result<(), ImportError> {
        let (before, now) = (&self.current.before, &self.report);
        let of_file = |count: fn(&ImportReport) -> u64| count(now) - count(before);
        let no_rows = of_file(|report| report.skipped_for(SkipReason::Blank) + report.skipped_for(SkipReason::Header));
        let (rows, rejected) = (of_file(|report| report.read) - no_rows, of_file(|report| report.rejected));
        if rows == 0 {
            self.report.empty_files += 1;
        }
        match self.current.first_reject.take() {
            // Lines that were skipped by what they say could be read.
            Some(first) if rejected == rows => Err(ImportError::NothingRead {
                file: self.file().into(),
                rejected,
                hint: self.likely_cause(&first).unwrap_or_default(),
                first: Box::new(first),
                rejects: rejects_path(self.target.path()),
            }),
            _ => Ok(()),
        }
    }

    /// What may be wrong where every row was rejected, like the first one.
    fn likely_cause(&self, first: &Reject) -> Option<String> {
        let schema = self.csv_schema.as_ref()?;
        if !matches!(first.reason, RejectReason::Columns { .. }) {
            return None;
        }
        let delimiter = header::likely_delimiter(schema, first.text.as_bytes(), self.options.csv_delimiter)?;
        Some(header::delimiter_hint(delimiter))
    }

    fn check_stop(&self) -> Result<(), ImportError> {
        match self.options.stop.load(Ordering::Relaxed) {
            true => Err(ImportError::Stopped),
            false => Ok(()),
        }
    }

    fn lean_options(&mut self, input: &Input) -> Result<LeanOptions, ImportError> {
        let file = self.file();
        let inner = input.inner_name().map(lean::name_parts).unwrap_or_default();
        let outer = file.file_name().and_then(|name| name.to_str()).map(lean::name_parts).unwrap_or_default();
        let names = NameParts { symbol: inner.symbol.or(outer.symbol), date: inner.date.or(outer.date) };
        let unnamed = |missing| ImportError::Unnamed { file: file.into(), missing };
        let symbol = self.options.symbol.clone().or(names.symbol).ok_or_else(|| unnamed("symbol"))?;
        let date = match self.options.day {
            Day::Epoch => Date::EPOCH,
            Day::Date(date) => date,
            Day::FromName => names.date.ok_or_else(|| unnamed("date"))?,
        };
        let symbol = self.symbols.intern(&symbol).map_err(|error| self.symbol_error(error))?;
        let line_bytes_max = self.options.limits.line_bytes_max;
        Ok(LeanOptions { symbol, date, utc_offset: self.options.utc_offset, line_bytes_max })
    }

    fn symbol_error(&self, error: SymbolsFull) -> ImportError {
        let source = InputError::Format { expected: "a symbol that can be stored".into(), found: error.to_string() };
        self.input_error()(source)
    }

    fn csv(&mut self, mut input: Input) -> Result<(), ImportError> {
        let options = csv::CsvOptions {
            delimiter: self.options.csv_delimiter,
            header: self.options.csv_header,
            utc_offset: self.options.utc_offset,
            line_bytes_max: self.options.limits.line_bytes_max,
        };
        let given = self.options.csv_schema.clone();
        // An empty file has no schema, but needs none behind one that has.
        if given.is_none() && self.csv_schema.is_some() {
            let is_empty = input.fill_buf().map(<[u8]>::is_empty);
            if is_empty.map_err(|error| self.input_error()(error.into()))? {
                return Ok(());
            }
        }
        let mut rows = csv::rows(input, given, self.symbols.clone(), options).map_err(self.input_error())?;
        // A schema from the first file's header must be in the others' headers as well, in any order.
        let schema = self.csv_schema.get_or_insert_with(|| rows.schema().clone());
        if !rows.read_as(schema) {
            let (expected, found) = (schema.to_string(), rows.schema().to_string());
            return Err(ImportError::Mixed { file: self.file().into(), expected, found });
        }
        self.prepare_writer(rows.schema().layout())?;
        self.drive(rows, |rows, _| rows.record())
    }

    #[cfg(feature = "dbn")]
    fn dbn(&mut self, input: Input, wanted: Option<crate::codec::dbn::DbnSchema>) -> Result<(), ImportError> {
        use crate::codec::dbn::{self, DbnSchema, DbnTrade, Mbo, Mbp1};
        let opened = dbn::open(input).map_err(self.input_error())?;
        let found = opened.schema().map_err(self.input_error())?;
        let schema = match (wanted.or(self.dbn_schema), found) {
            (Some(wanted), Some(found)) if wanted != found => {
                let error = InputError::format(format!("DBN records of {wanted}"), found.to_string());
                return Err(self.input_error()(error));
            }
            (Some(schema), _) | (None, Some(schema)) => schema,
            (None, None) => {
                let error = InputError::format("DBN of one schema, or a format that names it", "records of any type");
                return Err(self.input_error()(error));
            }
        };
        self.dbn_schema = Some(schema);
        let symbols = self.symbols.clone();
        match schema {
            DbnSchema::Trades => self.drive_typed(opened.records::<DbnTrade>(symbols)),
            DbnSchema::Mbo => self.drive_typed(opened.records::<Mbo>(symbols)),
            DbnSchema::Mbp1 => self.drive_typed(opened.records::<Mbp1>(symbols)),
        }
    }

    fn drive_typed<D: Decode>(&mut self, decoder: D) -> Result<(), ImportError>
    where
        D::Event: Event,
    {
        self.prepare_writer(&D::Event::layout())?;
        self.drive(decoder, |_, event| bytemuck::bytes_of(event))
    }

    fn prepare_writer(&mut self, layout: &Layout) -> Result<(), ImportError> {
        if let Some(writer) = &self.writer {
            if writer.layout == *layout {
                return Ok(());
            }
            let (expected, found) = (writer.layout.schema(), layout.schema());
            return Err(ImportError::Mixed { file: self.file().into(), expected, found });
        }
        let options = WriterOptions {
            block_events: self.options.block_events,
            file_id: self.options.file_id,
            ..WriterOptions::default()
        };
        let file = self.target.create()?;
        if let Some(temporary) = file.temporary() {
            self.made.push(temporary.into());
            self.show_progress();
        }
        let raw = RawWriter::with_output(file.file()?, self.target.path(), layout.clone(), options)?;
        self.writer = Some(Writer { raw, layout: layout.clone(), file });
        Ok(())
    }

    fn drive<D: Decode>(
        &mut self,
        mut decoder: D,
        bytes: impl for<'b> Fn(&'b D, &'b D::Event) -> &'b [u8],
    ) -> Result<(), ImportError> {
        let file = self.file();
        while let Some(decoded) = decoder.decode().map_err(|source| ImportError::Input { file: file.into(), source })? {
            self.report.read += 1;
            match decoded {
                Decoded::Event(event) => {
                    self.pass_on_symbols()?;
                    if let Some(writer) = &mut self.writer {
                        writer.raw.push(bytes(&decoder, &event))?;
                    }
                    self.report.written += 1;
                }
                Decoded::Skipped(reason) => {
                    self.report.skipped += 1;
                    self.report.skipped_by[reason as usize] += 1;
                }
                Decoded::Rejected(reject) => {
                    self.report.rejected += 1;
                    if let Some(made) = self.rejects.write(file, &reject)? {
                        self.made.push(made);
                        self.show_progress();
                    }
                    if self.current.first_reject.is_none() {
                        self.current.first_reject = Some(reject.clone());
                    }
                    if self.options.strict {
                        return Err(ImportError::Rejected { file: file.into(), reject });
                    }
                }
            }
            if self.report.read.is_multiple_of(STOP_LINES) {
                self.check_stop()?;
            }
            if self.report.read.is_multiple_of(PROGRESS_LINES) {
                self.show_progress();
            }
        }
        Ok(())
    }

    /// Gives the writer the texts of new symbols, in the order of their ids, which are the same there.
    fn pass_on_symbols(&mut self) -> Result<(), ImportError> {
        let known = self.symbols.known();
        while self.interned < known {
            let id = self.interned as u32;
            let text = self.symbols.dictionary().text(Symbol::from_id(id));
            if let (Some(text), Some(writer)) = (text, &mut self.writer)
                && writer.raw.intern(&text)?.id() != id
            {
                return Err(self.symbol_error(SymbolsFull::Dictionary(DictionaryError::Full)));
            }
            self.interned += 1;
        }
        Ok(())
    }

    fn show_progress(&mut self) {
        let progress = ImportProgress {
            file: self.file(),
            file_index: self.current.index,
            files: self.inputs.len(),
            file_bytes_read: self.current.bytes_read.load(Ordering::Relaxed),
            file_bytes: self.current.bytes,
            read: self.report.read,
            rejected: self.report.rejected,
            made: &self.made,
        };
        (self.progress)(progress);
    }

    fn finish(mut self) -> Result<ImportReport, ImportError> {
        self.pass_on_symbols()?;
        if let Some(Writer { raw, file, .. }) = self.writer.take() {
            self.report.output_bytes = raw.finish()?.bytes;
            file.commit()?;
            self.rejects.remove_old()?;
        }
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests;
