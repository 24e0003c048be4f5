//! Delimited text with a schema: one record of a fixed layout a line.
//!
//! A row is one line. Fields may be quoted as in RFC 4180, but not go over a line's end, so that one
//! stray quotation mark costs one line and not the rest of the file.
//!
//! # The header
//!
//! Where the schema is given, a first line with the names of its columns is a header: the columns of
//! this file are then found by their names, in whatever order they stand. Upper and lower case, spaces
//! and quotes around a name, a byte order mark, and a type behind the name (`price:i64`) make no
//! difference. This is settled once a file and costs nothing for each row.
//!
//! A header that contradicts the schema is an error, [`InputError::Header`]: where a column is missing,
//! stands there twice, or is not in the schema. A column that is to be left out has to be named in the
//! schema with the type `skip`, so that nothing is left out by mistake; a column without a name, which
//! no schema can name, is left out. A column that the schema skips may be absent.
//!
//! A first line that can be read as a row is one, and the columns are in the schema's order. One that
//! is neither a row nor the schema's header is an error where it looks like a header, which is where it
//! has no number in it, or half of its cells are the schema's names; otherwise it is a rejected row.
//! [`CsvOptions::header`] says what the first line is where that is not enough.

use super::header::{self, CsvHeader, FirstLine};
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
    /// What the first line is, where the schema is given.
    pub header: CsvHeader,
    /// How far the clock of `time[iso]` columns without an offset is ahead of UTC.
    pub utc_offset: UtcOffset,
    /// The most bytes of a line.
    pub line_bytes_max: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            header: CsvHeader::default(),
            utc_offset: UtcOffset::default(),
            line_bytes_max: InputLimits::default().line_bytes_max,
        }
    }
}

/// Decodes rows. Without a schema the first line must be one, as `name:type` cells.
///
/// With a schema, a first line with the columns' names gives [their order](self#the-header); it is
/// skipped as a header. One that contradicts the schema is an error of the first `decode`.
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
    let columns = schema.columns.clone();
    let first = match (given, options.header) {
        (false, _) => First::Schema,
        (true, CsvHeader::None) => First::Past,
        (true, header) => First::Ahead(header),
    };
    Ok(Rows { lines, schema, columns, symbols, options, record, cells: Cells::default(), first })
}

fn schema_of_header<R: BufRead>(lines: &mut Lines<R>, delimiter: u8) -> Result<CsvSchema, InputError> {
    let expected = "a schema, or a first line with the schema as name:type cells";
    let Some(line) = lines.next_line()? else { return Err(InputError::format(expected, "an empty file")) };
    let mut cells = Cells::default();
    cells.split(line.bytes, delimiter).map_err(|reason| InputError::format(expected, reason.to_string()))?;
    let texts: Result<Vec<_>, _> = cells.iter().map(std::str::from_utf8).collect();
    let texts = texts.map_err(|_| InputError::format(expected, "text that is not UTF-8"))?;
    CsvSchema::from_columns(texts).map_err(|error| {
        let other = header::DELIMITERS.into_iter().find(|&other| {
            let text = std::str::from_utf8(line.bytes).unwrap_or_default();
            other != delimiter && CsvSchema::from_columns(text.split(char::from(other))).is_ok()
        });
        let hint = other.map(|other| format!("; {}", header::delimiter_hint(other))).unwrap_or_default();
        InputError::format(expected, format!("{error}{hint}"))
    })
}

/// The first line that is not blank.
enum First {
    /// It was the schema, and is still to be counted.
    Schema,
    /// It is still to be read.
    Ahead(CsvHeader),
    /// It is behind us.
    Past,
}

/// The decoder of [`rows`]. Its event is the row's event time in nanoseconds; [`Rows::record`] has
/// the row.
pub struct Rows<R> {
    lines: Lines<R>,
    schema: CsvSchema,
    /// The schema's columns in the order of this file.
    columns: Vec<Column>,
    symbols: SymbolTable,
    options: CsvOptions,
    record: Vec<u8>,
    cells: Cells,
    first: First,
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

    /// Makes the records those of another schema, where it has the same columns in another order.
    pub(crate) fn read_as(&mut self, schema: &CsvSchema) -> bool {
        if !self.schema.has_columns_of(schema) {
            return false;
        }
        for column in &mut self.columns {
            if let Some(theirs) = schema.columns.iter().find(|theirs| theirs.name == column.name) {
                column.clone_from(theirs);
            }
        }
        self.schema = schema.clone();
        true
    }
}

impl<R: BufRead> Decode for Rows<R> {
    type Event = i64;

    fn decode(&mut self) -> Result<Option<Decoded<i64>>, InputError> {
        if let First::Schema = self.first {
            self.first = First::Past;
            return Ok(Some(Decoded::Skipped(SkipReason::Header)));
        }
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        if line.bytes.is_empty() {
            return Ok(Some(Decoded::Skipped(SkipReason::Blank)));
        }
        let first = std::mem::replace(&mut self.first, First::Past);
        if let First::Ahead(CsvHeader::Skip) = first {
            return Ok(Some(Decoded::Skipped(SkipReason::Header)));
        }
        let split = match line.too_long {
            Some(limit) => Err(RejectReason::LineTooLong { limit }),
            None => self.cells.split(line.bytes, self.options.delimiter),
        };
        if let Err(reason) = split {
            return match first {
                First::Ahead(CsvHeader::Names) => Err(InputError::format("a header", reason.to_string())),
                _ => Ok(Some(Decoded::Rejected(line.reject(reason)))),
            };
        }
        let mut otherwise = None;
        if let First::Ahead(mode) = first {
            let cells: Vec<_> = self.cells.iter().collect();
            match header::judge(&self.schema, mode, line.bytes, &cells, self.options.delimiter)? {
                FirstLine::Header(columns) => {
                    self.columns = columns;
                    return Ok(Some(Decoded::Skipped(SkipReason::Header)));
                }
                FirstLine::RowOr(error) => otherwise = Some(error),
                FirstLine::Row => {}
                // The header may follow.
                FirstLine::Blank => self.first = first,
            }
        }
        let (time, offset) = (self.schema.time_offset, self.options.utc_offset);
        let parsed = parse_row(&self.columns, time, &self.cells, offset, &mut self.symbols, &mut self.record);
        match (parsed, otherwise) {
            (Ok(time_ns), _) => Ok(Some(Decoded::Event(time_ns))),
            (Err(_), Some(error)) => Err(error.into()),
            (Err(reason), None) => Ok(Some(Decoded::Rejected(line.reject(reason)))),
        }
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
    columns: &[Column],
    time_offset: usize,
    cells: &Cells,
    offset: UtcOffset,
    symbols: &mut SymbolTable,
    record: &mut [u8],
) -> Result<i64, RejectReason> {
    let (expected, found) = (columns.len(), cells.ends.len());
    if expected != found {
        return Err(RejectReason::Columns { expected, found });
    }
    let problem = |column: &Column, problem| RejectReason::Field { field: Cow::Owned(column.name.clone()), problem };
    // Symbols come last, so that a row that is refused leaves none behind.
    for (cell, column) in cells.iter().zip(columns) {
        if column.kind != FieldKind::Symbol {
            parse_cell(cell, column, offset, record).map_err(|error| problem(column, error))?;
        }
    }
    for (cell, column) in cells.iter().zip(columns) {
        if column.kind == FieldKind::Symbol {
            let text = std::str::from_utf8(cell).map_err(|_| problem(column, Problem::NotUtf8))?;
            if text.is_empty() {
                return Err(problem(column, Problem::Empty));
            }
            let symbol = symbols.intern(text)?;
            put(record, column.offset, &symbol.id().to_le_bytes());
        }
    }
    let time = record.get(time_offset..).and_then(|bytes| bytes.first_chunk());
    Ok(time.map_or(0, |bytes| i64::from_le_bytes(*bytes)))
}

fn put(record: &mut [u8], offset: usize, bytes: &[u8]) {
    record[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn parse_cell(cell: &[u8], column: &Column, offset: UtcOffset, record: &mut [u8]) -> Result<(), Problem> {
    let digits = match &column.conversion {
        Conversion::Skip => return Ok(()),
        Conversion::Named(names) => {
            let named = names.iter().find(|(name, _)| name.as_bytes() == cell).map(|(_, code)| *code);
            if let Some(code) = named {
                put(record, column.offset, &code.to_le_bytes()[..column.kind.size()]);
                return Ok(());
            }
            0
        }
        Conversion::Time(unit) => {
            let nanos = match unit {
                TimeUnit::Iso => iso(cell, offset)?,
                unit => decimal(cell, unit.digits())?,
            };
            put(record, column.offset, &nanos.to_le_bytes());
            return Ok(());
        }
        Conversion::Plain => 0,
        Conversion::Scaled(digits) => *digits,
    };
    let is_named = matches!(column.conversion, Conversion::Named(_));
    let no_integer = |problem| if is_named && problem == Problem::NotANumber { Problem::NotAName } else { problem };
    macro_rules! integer {
        ($type:ty, $parse:ident) => {{
            let value: $type = $parse(cell, digits).map_err(no_integer)?.try_into().map_err(|_| Problem::OutOfRange)?;
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
        FieldKind::Bool => match cell {
            b"true" | b"1" => put(record, column.offset, &[1]),
            b"false" | b"0" => put(record, column.offset, &[0]),
            b"" => return Err(Problem::Empty),
            _ => return Err(Problem::Kind),
        },
        // The first two are done elsewhere, and no schema has the third.
        FieldKind::Timestamp | FieldKind::Symbol | FieldKind::Present => {}
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
        read_with(text, schema, options).unwrap()
    }

    fn read_with(
        text: &[u8],
        schema: Option<CsvSchema>,
        options: CsvOptions,
    ) -> Result<Vec<Result<Vec<u8>, String>>, InputError> {
        let mut rows = rows(text, schema, SymbolTable::default(), options)?;
        let mut found = Vec::new();
        while let Some(decoded) = rows.decode()? {
            found.push(match decoded {
                Decoded::Event(_) => Ok(rows.record().to_vec()),
                Decoded::Skipped(reason) => Err(reason.to_string()),
                Decoded::Rejected(reject) => Err(reject.to_string()),
            });
        }
        Ok(found)
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
    fn enums_are_names_or_integers() {
        let schema = "ts:time[ns],side:i8[Buy=1/Sell=-1],wide:u128[Big=170141183460469231731687303715884105727]";
        let found = read(b"1,Sell,Big\n2,Buy,7\n3,9,0\n4,buy,0\n5,,0\n6,-129,0\n7,1,Bi\n", schema, b',');
        // The widest field stands first, and the narrowest behind the time.
        let fields: Vec<_> = found
            .iter()
            .map(|row| {
                row.as_ref().map(|record| (record[24] as i8, u128::from_le_bytes(*record.first_chunk().unwrap())))
            })
            .collect();
        assert_eq!(fields[..3], [Ok((-1, i128::MAX as u128)), Ok((1, 7)), Ok((9, 0))]);
        for (row, problem) in
            [(3, "none of the field's names"), (4, "empty"), (5, "range"), (6, "none of the field's names")]
        {
            assert!(fields[row].as_ref().unwrap_err().contains(problem), "{:?}", fields[row]);
        }
    }

    #[test]
    fn truth_values_are_words_or_digits() {
        let found = read(b"1,true\n2,false\n3,1\n4,0\n", "ts:time[ns],open:bool", b',');
        let found: Vec<_> = found.into_iter().map(|row| row.unwrap()[8]).collect();
        assert_eq!(found, [1, 0, 1, 0]);
    }

    #[test]
    fn nothing_of_an_earlier_row_stays() {
        let found = read(b"1,long text\n2,x\n", "ts:time[ns],note:text16", b',');
        assert_eq!(&found[1].as_ref().unwrap()[8..], b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn bad_rows_are_refused_one_by_one() {
        let schema = "ts:time[iso],a:i8,b:u64,c:f64,d:text2,e:symbol,f:u16[1e2],g:bool";
        let good = "2014-02-14 14:30:00,1,2,3,dd,E,1.25,true";
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
            (change("true", "yes"), "g: not a value of the expected kind"),
            (change("true", ""), "g: empty"),
            (change(",dd", ""), "expected 8 columns, found 7"),
            (change("dd", "d,d"), "expected 8 columns, found 9"),
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
            let schema: CsvSchema = "ts:time[ns],a:u8,d:text4".parse().unwrap();
            for header in [CsvHeader::None, CsvHeader::Skip, CsvHeader::Auto, CsvHeader::Names] {
                let options = CsvOptions { header, ..CsvOptions::default() };
                match read_with(&bytes, Some(schema.clone()), options) {
                    Ok(found) => prop_assert_eq!(found.len(), lines),
                    Err(_) => prop_assert!(matches!(header, CsvHeader::Auto | CsvHeader::Names)),
                }
            }
        }
    }
}
