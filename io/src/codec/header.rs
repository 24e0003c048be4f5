//! The header of delimited text: whether a first line is one, and which of its cells is which column
//! of the schema. All of this is done once a file.

use super::InputError;
use super::schema::{COLUMNS_MAX, Column, CsvSchema};
use std::fmt;
use std::str::FromStr;

/// The most cells of a header; a line with more is none.
const CELLS_MAX: usize = 16 * COLUMNS_MAX;
/// The most names of a list, and the most characters of a name, in a message.
const NAMES_SHOWN: usize = 24;
const NAME_SHOWN: usize = 64;
/// What is looked for where the delimiter seems to be another one.
pub(super) const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];

/// What the first line of delimited text is, where the schema is given. Blank lines before it do not
/// count.
///
/// ```
/// use pelton_io::codec::header::CsvHeader;
/// assert_eq!("names".parse(), Ok(CsvHeader::Names));
/// assert_eq!(CsvHeader::default(), CsvHeader::Auto);
/// assert!("maybe".parse::<CsvHeader>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CsvHeader {
    /// A header where it has the schema's names, in any order, and a row where it can be read as one.
    /// A line that is neither, but looks like a header with other names, is an error.
    #[default]
    Auto,
    /// A header: the columns are found by their names.
    Names,
    /// A header that is not looked at: the columns are in the schema's order.
    Skip,
    /// A row: the columns are in the schema's order.
    None,
}

/// The text does not say what the first line is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {}, found {found:?}", CsvHeader::NAMES.join(", "))]
pub struct CsvHeaderError {
    found: String,
}

impl CsvHeader {
    /// The names of all values.
    pub const NAMES: &[&str] = &["auto", "names", "skip", "none"];
}

impl FromStr for CsvHeader {
    type Err = CsvHeaderError;

    fn from_str(text: &str) -> Result<Self, CsvHeaderError> {
        match text {
            "auto" => Ok(Self::Auto),
            "names" => Ok(Self::Names),
            "skip" => Ok(Self::Skip),
            "none" => Ok(Self::None),
            _ => Err(CsvHeaderError { found: text.into() }),
        }
    }
}

impl fmt::Display for CsvHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Names => "names",
            Self::Skip => "skip",
            Self::None => "none",
        })
    }
}

/// The header contradicts the schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderError {
    /// The schema's columns.
    pub expected: Vec<String>,
    /// The first names of the file's header.
    pub found: Vec<String>,
    /// The number of columns in the file's header.
    pub found_count: usize,
    /// Columns that the schema asks for and the header has not.
    pub missing: Vec<String>,
    /// Columns that the header has and the schema does not name.
    pub unknown: Vec<String>,
    /// Columns that the header has more than once.
    pub repeated: Vec<String>,
    /// The byte that seems to separate the columns, where it is not the one that was expected.
    pub delimiter: Option<u8>,
}

impl std::error::Error for HeaderError {}

impl From<Box<HeaderError>> for InputError {
    fn from(error: Box<HeaderError>) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, found) = (list(&self.expected, self.expected.len()), list(&self.found, self.found_count));
        write!(f, "the header does not fit the schema: expected the columns {expected}, found {found}")?;
        if let Some(delimiter) = self.delimiter {
            return write!(f, "; {}", delimiter_hint(delimiter));
        }
        for (what, names) in [("missing", &self.missing), ("more than once", &self.repeated)] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", list(names, names.len()))?;
            }
        }
        if let Some(first) = self.unknown.first() {
            write!(f, "; not in the schema: {}", list(&self.unknown, self.unknown.len()))?;
            if self.missing.is_empty() {
                write!(f, " (named there with the type skip, a column is left out: {first}:skip)")?;
            }
        }
        if self.found_count > CELLS_MAX {
            write!(f, "; more than {CELLS_MAX} columns")?;
        }
        Ok(())
    }
}

fn list(names: &[String], count: usize) -> String {
    let mut text = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = count.saturating_sub(names.len().min(NAMES_SHOWN));
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// A name as it may stand in a message.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.is_empty() {
        return "\"\"".into();
    }
    let mut shown: String = text.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(NAME_SHOWN).is_some() {
        shown.push_str("..");
    }
    shown
}

/// What is said where another delimiter seems to be the right one.
pub(crate) fn delimiter_hint(delimiter: u8) -> String {
    format!("the columns seem to be separated by {:?}: set the delimiter", char::from(delimiter))
}

/// A cell without the spaces and quotes around its name, and without the type behind it.
fn name_of(cell: &[u8]) -> &[u8] {
    let cell = match cell.trim_ascii() {
        [b'"', inner @ .., b'"'] => inner.trim_ascii(),
        cell => cell,
    };
    match cell.iter().position(|&byte| byte == b':') {
        Some(end) if end > 0 => cell[..end].trim_ascii(),
        _ => cell,
    }
}

/// The place of a name among the schema's columns: the same name, or else the only one that is the
/// same but for upper and lower case.
fn position(schema: &CsvSchema, name: &[u8]) -> Option<usize> {
    let exact = schema.columns.iter().position(|column| column.name.as_bytes() == name);
    exact.or_else(|| {
        let is_alike = |column: &Column| column.name.as_bytes().eq_ignore_ascii_case(name);
        let first = schema.columns.iter().position(is_alike)?;
        (!schema.columns[first + 1..].iter().any(is_alike)).then_some(first)
    })
}

/// What a first line is.
pub(super) enum FirstLine {
    /// A header, with these columns.
    Header(Vec<Column>),
    /// A row, good or bad.
    Row,
    /// A row where it can be read as one, and otherwise a header that contradicts the schema.
    RowOr(Box<HeaderError>),
    /// Delimiters only, as programs for tables write them before a header.
    Blank,
}

/// Says what the first line is. `mode` is one of those that look at it.
pub(super) fn judge(
    schema: &CsvSchema,
    mode: CsvHeader,
    line: &[u8],
    cells: &[&[u8]],
    delimiter: u8,
) -> Result<FirstLine, Box<HeaderError>> {
    if cells.iter().all(|cell| name_of(cell).is_empty()) {
        return Ok(FirstLine::Blank);
    }
    let error = match columns_by_name(schema, cells) {
        Ok(columns) => return Ok(FirstLine::Header(columns)),
        Err(error) => Box::new(HeaderError { delimiter: likely_delimiter(schema, line, delimiter), ..*error }),
    };
    if mode == CsvHeader::Names {
        return Err(error);
    }
    let is_likely = match error.delimiter {
        Some(delimiter) => is_likely(schema, &line.split(|&byte| byte == delimiter).collect::<Vec<_>>()),
        None => is_likely(schema, cells),
    };
    Ok(if is_likely { FirstLine::RowOr(error) } else { FirstLine::Row })
}

/// The schema's columns in the order of a header's cells. Columns without a name are left out, since
/// no schema can name them; columns that the schema skips need not be there.
fn columns_by_name(schema: &CsvSchema, cells: &[&[u8]]) -> Result<Vec<Column>, Box<HeaderError>> {
    let mut error = HeaderError { found_count: cells.len(), ..HeaderError::default() };
    let mut columns = Vec::with_capacity(cells.len().min(CELLS_MAX));
    let mut seen = vec![false; schema.columns.len()];
    for cell in cells.iter().take(CELLS_MAX) {
        let name = name_of(cell);
        let column = match position(schema, name) {
            Some(at) => {
                if std::mem::replace(&mut seen[at], true) {
                    error.repeated.push(shown(name));
                }
                schema.columns[at].clone()
            }
            None => {
                if !name.is_empty() {
                    error.unknown.push(shown(name));
                }
                Column::skipped()
            }
        };
        columns.push(column);
    }
    let unseen = schema.columns.iter().zip(seen).filter(|(column, seen)| !seen && !column.is_skipped());
    error.missing = unseen.map(|(column, _)| column.name.clone()).collect();
    let fits = error.missing.is_empty() && error.unknown.is_empty() && error.repeated.is_empty();
    if fits && cells.len() <= CELLS_MAX {
        return Ok(columns);
    }
    error.expected = schema.columns.iter().map(|column| column.name.clone()).collect();
    error.found = cells.iter().take(NAMES_SHOWN).map(|cell| shown(name_of(cell))).collect();
    Err(Box::new(error))
}

/// Whether a line that is no row seems to be a header: it has no number at all, or at least half of
/// its names are the schema's.
fn is_likely(schema: &CsvSchema, cells: &[&[u8]]) -> bool {
    if cells.len() > CELLS_MAX {
        return false;
    }
    let (mut names, mut known, mut values) = (0, 0, 0);
    for name in cells.iter().map(|cell| name_of(cell)).filter(|name| !name.is_empty()) {
        names += 1;
        known += usize::from(position(schema, name).is_some());
        values += usize::from(is_value(name));
    }
    names > 0 && (values == 0 || 2 * known >= names)
}

/// Whether the text is a number or a time, roughly.
fn is_value(text: &[u8]) -> bool {
    let signs = |byte: u8| byte.is_ascii_digit() || b"+-.,".contains(&byte);
    text.first().is_some_and(|&first| signs(first))
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|&byte| signs(byte) || b":/ eETZ".contains(&byte))
}

/// The byte that separates the columns of this line, where it seems not to be `delimiter`: by it,
/// more of the cells are the schema's names, or one cell becomes as many as the schema has columns.
pub(crate) fn likely_delimiter(schema: &CsvSchema, line: &[u8], delimiter: u8) -> Option<u8> {
    let line = &line[..line.len().min(64 << 10)];
    let judge = |delimiter: u8| {
        let cells: Vec<_> = line.split(|&byte| byte == delimiter).take(CELLS_MAX).map(name_of).collect();
        (cells.iter().filter(|name| position(schema, name).is_some()).count(), cells.len())
    };
    let (known, count) = judge(delimiter);
    let others = DELIMITERS.into_iter().filter(|&other| other != delimiter);
    let best = others.map(|other| (judge(other), other)).filter(|&((other_known, other_count), _)| {
        other_known > known || count == 1 && other_count > 1 && other_count == schema.column_count()
    });
    best.max_by_key(|&((known, _), _)| known).map(|(_, delimiter)| delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> CsvSchema {
        "ts:time[ms],price:i64[1e4],size:u32,symbol:symbol,note:skip".parse().unwrap()
    }

    fn cells(line: &str) -> Vec<&[u8]> {
        line.split(',').map(str::as_bytes).collect()
    }

    fn order(line: &str) -> Result<Vec<String>, String> {
        let columns = columns_by_name(&schema(), &cells(line)).map_err(|error| error.to_string())?;
        Ok(columns.into_iter().map(|column| column.name).collect())
    }

    #[test]
    fn names_are_found_in_any_order_and_writing() {
        for (line, expected) in [
            ("ts,price,size,symbol,note", ["ts", "price", "size", "symbol", "note"]),
            ("note,symbol,size,price,ts", ["note", "symbol", "size", "price", "ts"]),
            (" TS ,\"Price\", \" size \",SYMBOL,Note", ["ts", "price", "size", "symbol", "note"]),
            ("ts:time[s],size:u8,price,symbol : text4,note", ["ts", "size", "price", "symbol", "note"]),
            // What the schema skips may be absent, and what has no name is left out.
            (",ts,price,size,symbol", ["", "ts", "price", "size", "symbol"]),
        ] {
            assert_eq!(order(line), Ok(expected.map(String::from).to_vec()), "{line}");
        }
    }

    #[test]
    fn the_same_name_counts_more_than_one_in_another_case() {
        let schema: CsvSchema = "ts:time[ms],p:u8,P:u16".parse().unwrap();
        let columns = columns_by_name(&schema, &cells("P,Ts,p")).unwrap();
        assert_eq!(columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["P", "ts", "p"]);
        let schema: CsvSchema = "ts:time[ms],pq:u8,PQ:u16".parse().unwrap();
        assert_eq!(columns_by_name(&schema, &cells("ts,Pq,pq")).unwrap_err().unknown, ["Pq"]);
    }

    #[test]
    fn contradictions_name_expected_and_found_columns() {
        let start = "the header does not fit the schema: expected the columns ts, price, size, symbol, note, found ";
        for (line, end) in [
            ("ts,price,symbol", "ts, price, symbol; missing: size"),
            ("ts,price,size,symbol,ts", "ts, price, size, symbol, ts; more than once: ts"),
            ("ts,price,size,symbol,Price", "ts, price, size, symbol, Price; more than once: Price"),
            (
                "ts,price,size,symbol,venue,a\tb",
                "ts, price, size, symbol, venue, a\\tb; not in the schema: venue, a\\tb \
                 (named there with the type skip, a column is left out: venue:skip)",
            ),
            ("ts,px,size,symbol", "ts, px, size, symbol; missing: price; not in the schema: px"),
        ] {
            assert_eq!(order(line), Err(format!("{start}{end}")), "{line}");
        }
        let many = vec!["x"; 10_000].join(",");
        let text = order(&many).unwrap_err();
        assert!(text.contains("x and 9976 more") && text.contains("more than 4096 columns"), "{text}");
        assert!(text.len() < 1_000, "{text}");
    }

    #[test]
    fn lines_are_told_from_headers() {
        let likely = |line| is_likely(&schema(), &cells(line));
        for line in ["time,px,qty,sym", "nonsense", "ts,price,2019,2020", "ts;price;size;symbol", ",,x"] {
            assert!(likely(line), "{line}");
        }
        for line in ["", ",,,", "x,1,2,SYMBOL", "2014-02-14T25:00:00Z,a,b,c", "\"1,000.5\"", "-1e5,note,b,c"] {
            let quoted = [line.trim_matches('"').as_bytes()];
            let is = if line.starts_with('"') { is_likely(&schema(), &quoted) } else { likely(line) };
            assert!(!is, "{line}");
        }
    }

    #[test]
    fn another_delimiter_is_seen_in_names_and_in_rows() {
        let found = |line: &str, delimiter| likely_delimiter(&schema(), line.as_bytes(), delimiter);
        assert_eq!(found("ts;price;size;symbol", b','), Some(b';'));
        assert_eq!(found("ts\tprice\tsize\tsymbol, long", b','), Some(b'\t'));
        assert_eq!(found("ts,price,size,symbol", b';'), Some(b','));
        assert_eq!(found("1|2,5|3|A|x", b';'), Some(b'|'));
        assert_eq!(found("ts,price,size,symbol", b','), None);
        assert_eq!(found("1,2,3", b','), None);
    }
}
