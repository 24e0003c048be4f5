//! Delimited text with a schema: one record of a fixed layout a line.
//!
//! A row is one line. Fields may be quoted as in RFC 4180, but not go over a line's end, so that one
//! stray quotation mark costs one line and not the rest of the file.

use super::lines::Lines;
use super::number::{Problem, decimal, decimal_signed, decimal_unsigned, float};
use super::schema::{Column, Conversion, CsvSchema, TimeUnit};
use super::time::{UtcOffset, iso};
use super::{Decode, Decoded, InputError, InputLimits, RejectReason, SkipReason, SymbolTable};
use pelton::FieldKind;
use std::borrow::Cow;
use std::io::BufRead;

/// How the text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between columns: a comma by default.
    pub delimiter: u8,
    /// How far the clock of `time[iso]` columns without an offset is ahead of UTC.
    pub utc_offset: UtcOffset,
    /// The most bytes of a line.
    pub line_bytes_max: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            utc_offset: UtcOffset::default(),
            line_bytes_max: InputLimits::default().line_bytes_max,
        }
    }
}

/// Decodes rows. Without a schema the first line must be one, as `name:type` cells.
///
/// With a schema, a first line with the columns' names is skipped as a header.
///
/// # Errors
/// When the schema must come from the first line and does not.
///
/// ```
/// use pelton_io::codec::{Decode, Decoded, SymbolTable, csv};
/// let text = "ts:time[ms],price:i64[1e4]\n5,1.25\n";
/// let mut rows = csv::rows(text.as_bytes(), None, SymbolTable::default(), csv::CsvOptions::default())?;
/// assert_eq!(rows.decode()?, Some(Decoded::Skipped(pelton_io::codec::SkipReason::Header)));
/// assert_eq!(rows.decode()?, Some(Decoded::Event(5_000_000)));
/// assert_eq!(rows.record()[8..], 12_500i64.to_le_bytes());
/// # Ok::<(), pelton_io::codec::InputError>(())
/// ```
pub fn rows<R: BufRead>(
    reader: R,
    schema: Option<CsvSchema>,
    symbols: SymbolTable,
    options: CsvOptions,
) -> Result<Rows<R>, InputError> {
    let mut lines = Lines::new(reader, options.line_bytes_max);
    let given = schema.is_some();
    let schema = match schema {
        Some(schema) => schema,
        None => schema_of_header(&mut lines, options.delimiter)?,
    };
    let record = vec![0; schema.layout().size()];
    let header = if given { Header::Possible } else { Header::Read };
    Ok(Rows { lines, schema, symbols, options, record, cells: Cells::default(), header })
}

fn schema_of_header<R: BufRead>(lines: &mut Lines<R>, delimiter: u8) -> Result<CsvSchema, InputError> {
    let expected = "a schema, or a first line with the schema as name:type cells";
    let Some(line) = lines.next_line()? else { return Err(InputError::format(expected, "an empty file")) };
    let mut cells = Cells::default();
    cells.split(line.bytes, delimiter).map_err(|reason| InputError::format(expected, reason.to_string()))?;
    let texts: Result<Vec<_>, _> = cells.iter().map(std::str::from_utf8).collect();
    let texts = texts.map_err(|_| InputError::format(expected, "text that is not UTF-8"))?;
    CsvSchema::from_columns(texts).map_err(|error| InputError::format(expected, error.to_string()))
}

enum Header {
    /// The first line may be one.
    Possible,
    /// The first line was one, and is still to be counted.
    Read,
    /// It is behind us.
    Past,
}

/// The decoder of [`rows`]. Its event is the row's event time in nanoseconds; [`Rows::record`] has
/// the row.
pub struct Rows<R> {
    lines: Lines<R>,
    schema: CsvSchema,
    symbols: SymbolTable,
    options: CsvOptions,
    record: Vec<u8>,
    cells: Cells,
    header: Header,
}

impl<R> Rows<R> {
    /// The schema, given or found.
    pub fn schema(&self) -> &CsvSchema {
        &self.schema
    }

    /// The record of the row decoded last, in the schema's layout; meaningful after an event only.
    pub fn record(&self) -> &[u8] {
        &self.record
    }
}

impl<R: BufRead> Decode for Rows<R> {
    type Event = i64;

    fn decode(&mut self) -> Result<Option<Decoded<i64>>, InputError> {
        let header = std::mem::replace(&mut self.header, Header::Past);
        if let Header::Read = header {
            return Ok(Some(Decoded::Skipped(SkipReason::Header)));
        }
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        if let Some(limit) = line.too_long {
            return Ok(Some(Decoded::Rejected(line.reject(RejectReason::LineTooLong { limit }))));
        }
        if line.bytes.is_empty() {
            return Ok(Some(Decoded::Skipped(SkipReason::Blank)));
        }
        if let Err(reason) = self.cells.split(line.bytes, self.options.delimiter) {
            return Ok(Some(Decoded::Rejected(line.reject(reason))));
        }
        if let Header::Possible = header
            && self.schema.is_header(self.cells.iter())
        {
            return Ok(Some(Decoded::Skipped(SkipReason::Header)));
        }
        let parsed = parse_row(&self.schema, &self.cells, self.options.utc_offset, &mut self.symbols, &mut self.record);
        Ok(Some(match parsed {
            Ok(time_ns) => Decoded::Event(time_ns),
            Err(reason) => Decoded::Rejected(line.reject(reason)),
        }))
    }
}

/// The cells of one line, unquoted, in one buffer.
#[derive(Default)]
struct Cells {
    bytes: Vec<u8>,
    /// Where each cell ends.
    ends: Vec<usize>,
}

impl Cells {
    fn split(&mut self, line: &[u8], delimiter: u8) -> Result<(), RejectReason> {
        self.bytes.clear();
        self.ends.clear();
        if !line.contains(&b'"') {
            for cell in line.split(|&byte| byte == delimiter) {
                self.bytes.extend_from_slice(cell);
                self.ends.push(self.bytes.len());
            }
            return Ok(());
        }
        // Doubled marks are even, so an odd number leaves one open.
        if line.iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
            return Err(RejectReason::Quote);
        }
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(line.len().clamp(64, 64 << 10))
            .from_reader(line);
        let mut record = ::csv::ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(|_| RejectReason::Quote)? {
            return Err(RejectReason::Quote);
        }
        for cell in &record {
            self.bytes.extend_from_slice(cell);
            self.ends.push(self.bytes.len());
        }
        // A carriage return that is no line's end would make a second record.
        let more = reader.read_byte_record(&mut record).map_err(|_| RejectReason::Quote)?;
        if more { Err(RejectReason::Quote) } else { Ok(()) }
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| {
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            &self.bytes[start..self.ends[index]]
        })
    }
}

fn parse_row(
    schema: &CsvSchema,
    cells: &Cells,
    offset: UtcOffset,
    symbols: &mut SymbolTable,
    record: &mut [u8],
) -> Result<i64, RejectReason> {
    let (expected, found) = (schema.columns.len(), cells.ends.len());
    if expected != found {
        return Err(RejectReason::Columns { expected, found });
    }
    let problem = |column: &Column, problem| RejectReason::Field { field: Cow::Owned(column.name.clone()), problem };
    // Symbols come last, so that a row that is refused leaves none behind.
    for (cell, column) in cells.iter().zip(&schema.columns) {
        if column.kind != FieldKind::Symbol {
            parse_cell(cell, column, offset, record).map_err(|error| problem(column, error))?;
        }
    }
    for (cell, column) in cells.iter().zip(&schema.columns) {
        if column.kind == FieldKind::Symbol {
            let text = std::str::from_utf8(cell).map_err(|_| problem(column, Problem::NotUtf8))?;
            if text.is_empty() {
                return Err(problem(column, Problem::Empty));
            }
            let symbol = symbols.intern(text)?;
            put(record, column.offset, &symbol.id().to_le_bytes());
        }
    }
    let time = record.get(schema.time_offset..).and_then(|bytes| bytes.first_chunk());
    Ok(time.map_or(0, |bytes| i64::from_le_bytes(*bytes)))
}

fn put(record: &mut [u8], offset: usize, bytes: &[u8]) {
    record[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn parse_cell(cell: &[u8], column: &Column, offset: UtcOffset, record: &mut [u8]) -> Result<(), Problem> {
    let digits = match column.conversion {
        Conversion::Skip => return Ok(()),
        Conversion::Time(unit) => {
            let nanos = match unit {
                TimeUnit::Iso => iso(cell, offset)?,
                unit => decimal(cell, unit.digits())?,
            };
            put(record, column.offset, &nanos.to_le_bytes());
            return Ok(());
        }
        Conversion::Plain => 0,
        Conversion::Scaled(digits) => digits,
    };
    macro_rules! integer {
        ($type:ty, $parse:ident) => {{
            let value: $type = $parse(cell, digits)?.try_into().map_err(|_| Problem::OutOfRange)?;
            put(record, column.offset, &value.to_le_bytes());
        }};
    }
    match column.kind {
        FieldKind::I8 => integer!(i8, decimal_signed),
        FieldKind::I16 => integer!(i16, decimal_signed),
        FieldKind::I32 => integer!(i32, decimal_signed),
        FieldKind::I64 => integer!(i64, decimal_signed),
        FieldKind::I128 => integer!(i128, decimal_signed),
        FieldKind::U8 => integer!(u8, decimal_unsigned),
        FieldKind::U16 => integer!(u16, decimal_unsigned),
        FieldKind::U32 => integer!(u32, decimal_unsigned),
        FieldKind::U64 => integer!(u64, decimal_unsigned),
        FieldKind::U128 => integer!(u128, decimal_unsigned),
        FieldKind::F32 => put(record, column.offset, &float::<f32>(cell)?.to_le_bytes()),
        FieldKind::F64 => put(record, column.offset, &float::<f64>(cell)?.to_le_bytes()),
        FieldKind::Text(bytes) => {
            let bytes = bytes as usize;
            if cell.len() > bytes {
                return Err(Problem::TooLong(bytes));
            }
            std::str::from_utf8(cell).map_err(|_| Problem::NotUtf8)?;
            put(record, column.offset, cell);
            record[column.offset + cell.len()..column.offset + bytes].fill(0);
        }
        // Both are done elsewhere.
        FieldKind::Timestamp | FieldKind::Symbol => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], schema: &str, delimiter: u8) -> Vec<Result<Vec<u8>, String>> {
        let schema = (!schema.is_empty()).then(|| schema.parse().unwrap());
        let options = CsvOptions { delimiter, line_bytes_max: 200, ..CsvOptions::default() };
        let mut rows = rows(text, schema, SymbolTable::default(), options).unwrap();
        let mut found = Vec::new();
        while let Some(decoded) = rows.decode().unwrap() {
            found.push(match decoded {
                Decoded::Event(_) => Ok(rows.record().to_vec()),
                Decoded::Skipped(reason) => Err(reason.to_string()),
                Decoded::Rejected(reject) => Err(reject.to_string()),
            });
        }
        found
    }

    #[test]
    fn a_row_field_by_field() {
        let schema = "ts:time[ms],symbol:symbol,price:i64[1e4],size:u32,note:text8,weight:f32";
        let text = "\u{feff}ts,symbol,price,size,note,weight\r\n1.5,BAC,-13.81,7,\"a, \"\"b\"\"\",-0.0\r\n";
        let found = read(text.as_bytes(), schema, b',');
        let mut expected = Vec::new();
        expected.extend_from_slice(&1_500_000i64.to_le_bytes());
        expected.extend_from_slice(&(-138_100i64).to_le_bytes());
        expected.extend_from_slice(&0u32.to_le_bytes());
        expected.extend_from_slice(&7u32.to_le_bytes());
        expected.extend_from_slice(&0f32.to_le_bytes());
        expected.extend_from_slice(b"a, \"b\"\0\0");
        expected.extend_from_slice(&[0; 4]);
        assert_eq!(found, [Err("header".into()), Ok(expected)]);
    }

    #[test]
    fn nothing_of_an_earlier_row_stays() {
        let found = read(b"1,long text\n2,x\n", "ts:time[ns],note:text16", b',');
        assert_eq!(&found[1].as_ref().unwrap()[8..], b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn bad_rows_are_refused_one_by_one() {
        let schema = "ts:time[iso],a:i8,b:u64,c:f64,d:text2,e:symbol,f:u16[1e2]";
        let good = "2014-02-14 14:30:00,1,2,3,dd,E,1.25";
        let change = |from: &str, to: &str| good.replace(from, to);
        for (row, reason) in [
            (change("14:30", "25:30"), "ts: not a time of the expected form"),
            (change(",1,2", ",128,2"), "a: outside the field's range"),
            (change(",1,2", ",-129,2"), "a: outside the field's range"),
            (change(",1,2", ",1.5,2"), "a: more digits behind the point than the 0 that the field keeps"),
            (change(",2,3", ",-2,3"), "b: negative"),
            (change(",2,3", ",18446744073709551616,3"), "b: outside the field's range"),
            (change(",2,3", ",,3"), "b: empty"),
            (change(",3,", ",NaN,"), "c: not finite"),
            (change(",3,", ",three,"), "c: not a number of the expected form"),
            (change("dd", "ddd"), "d: longer than 2 bytes"),
            (change("E", ""), "e: empty"),
            (change("E", &"e".repeat(190)), "the line is longer than 200 bytes"),
            (change("1.25", "1.255"), "f: more digits behind the point than the 2 that the field keeps"),
            (change("1.25", "655.36"), "f: outside the field's range"),
            (change(",dd", ""), "expected 7 columns, found 6"),
            (change("dd", "d,d"), "expected 7 columns, found 8"),
            (change("dd", "\"dd"), "a quotation mark is not closed in its line"),
        ] {
            let text = format!("{row}\n{good}");
            let found = read(text.as_bytes(), schema, b',');
            assert_eq!(found[0], Err(format!("line 1: {reason}")), "{row}");
            assert!(found[1].is_ok());
        }
        assert_eq!(read(b"1,\xff\n", "ts:time[ns],d:text2", b',')[0], Err("line 1: d: not UTF-8".into()));
        assert_eq!(read(b"1,\xff\n", "ts:time[ns],d:symbol", b',')[0], Err("line 1: d: not UTF-8".into()));
    }

    #[test]
    fn the_schema_may_stand_in_the_file_with_another_delimiter() {
        let found = read(b"ts:time[s];v:u8\n1;2\n\n3;4", "", b';');
        assert_eq!(found, read(b"\"ts:time[s]\";\"v:u8\"\r\n1;2\n\n3;\"4\"", "", b';'));
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], Err("header".into()));
        assert_eq!(found[2], Err("blank line".into()));
        assert_eq!(&found[3].as_ref().unwrap()[..9], [&3_000_000_000i64.to_le_bytes()[..], &[4]].concat());
        for text in [&b""[..], b"timestamp,value\n1,2\n", b"\xff\xfe\n", b"a:u8\n1\n"] {
            assert!(rows(text, None, SymbolTable::default(), CsvOptions::default()).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_line_is_accounted_for(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let lines = bytes.split(|&byte| byte == b'\n').count() - usize::from(bytes.is_empty() || bytes.ends_with(b"\n"));
            prop_assert_eq!(read(&bytes, "ts:time[ns],a:u8,d:text4", b',').len(), lines);
        }
    }
}
