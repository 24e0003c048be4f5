//! The schema of a delimited text file, and the fixed layout that its rows get.
//!
//! ```text
//! ts:time[ms],symbol:symbol,price:i64[1e4],size:u32,note:text16,ignored:skip
//! ```
//! A column is `name:type`. The order is the file's, unless the file has a header: then columns are
//! found [by their names](super::csv#the-header). Types: the numbers `i8` to `i128`, `u8` to `u128`,
//! `f32`, `f64`; `bool` (`true`, `false`, `1` or `0` in the file); `symbol`; `textN` with N bytes; `time[unit]` with the unit `ns`, `us`, `ms`, `s` or
//! `iso`; `skip` for a column that is left out. An integer with `[1eN]` is a decimal number in the
//! file and kept times 10^N, exactly. An integer with `[Buy=1/Sell=-1]` is a name in the file, or the integer itself: what
//! text sinks write of an enum. The first `time` is the event time.
//!
//! The record's fields are sorted from wide to narrow, so that there is no padding between them;
//! where its size is no multiple of its alignment, a text field named `_filler` of zeros follows.

use pelton::{Field, FieldKind, Layout};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most columns of a schema.
pub const COLUMNS_MAX: usize = 256;
/// The most bytes of a record.
pub const ROW_BYTES_MAX: usize = 4096;

const FILLER: &str = "_filler";

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// An integer of nanoseconds since the epoch.
    Nanos,
    /// A decimal number of microseconds since the epoch.
    Micros,
    /// A decimal number of milliseconds since the epoch.
    Millis,
    /// A decimal number of seconds since the epoch.
    Seconds,
    /// `2014-02-14 14:30:00`, see [`iso`](super::time::iso).
    Iso,
}

impl TimeUnit {
    /// The digits behind the point that make a number of this unit nanoseconds.
    pub(super) fn digits(self) -> u32 {
        match self {
            Self::Nanos | Self::Iso => 0,
            Self::Micros => 3,
            Self::Millis => 6,
            Self::Seconds => 9,
        }
    }
}

/// How the text of a column becomes a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conversion {
    Skip,
    Plain,
    Scaled(u32),
    /// Names, each with its integer, which the field can hold.
    Named(Arc<[(String, i128)]>),
    Time(TimeUnit),
}

/// One column of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: FieldKind,
    pub(super) conversion: Conversion,
    /// Bytes from the record's start; 0 where the column is left out.
    pub(super) offset: usize,
}

impl Column {
    /// A column that is left out and that the schema does not name.
    pub(super) fn skipped() -> Self {
        Self { name: String::new(), kind: FieldKind::U8, conversion: Conversion::Skip, offset: 0 }
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.conversion == Conversion::Skip
    }
}

/// The text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A column is not `name:type`.
    #[error("column {number}: expected name:type, such as ts:time[ms] or price:i64[1e4], found {found:?}")]
    Column {
        /// The column, counted from 1.
        number: usize,
        /// What is there.
        found: String,
    },
    /// A name is there twice, or is one of the schema's own.
    #[error("column {number}: the name {name:?} is taken")]
    Name {
        /// The column, counted from 1.
        number: usize,
        /// The name.
        name: String,
    },
    /// There is no time.
    #[error("the schema has no column of type time[..], which would be the event time")]
    NoTime,
    /// There are too many columns.
    #[error("the schema has {0} columns, more than {COLUMNS_MAX}")]
    TooManyColumns(usize),
    /// The record is too large.
    #[error("the record has {0} bytes, more than {ROW_BYTES_MAX}")]
    TooLarge(usize),
}

/// The columns of a delimited text file and the layout of their record.
///
/// ```
/// use pelton_io::codec::schema::CsvSchema;
/// let schema: CsvSchema = "size:u32,ts:time[ms],price:i64[1e4]".parse()?;
/// assert_eq!(schema.layout().schema(), "24/8 ts:time@0* price:i64@8 size:u32@16 _filler:text4@20");
/// assert_eq!(schema.to_string(), "size:u32,ts:time[ms],price:i64[1e4]");
/// # Ok::<(), pelton_io::codec::schema::SchemaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSchema {
    pub(super) columns: Vec<Column>,
    layout: Layout,
    /// The offset of the event time.
    pub(super) time_offset: usize,
}

impl CsvSchema {
    /// The schema of columns given as one text each, such as the cells of a header.
    ///
    /// # Errors
    /// When a cell is no column, names are not unique, there is no time, or a limit is exceeded.
    pub fn from_columns<'a>(cells: impl IntoIterator<Item = &'a str>) -> Result<Self, SchemaError> {
        let mut columns: Vec<Column> = Vec::new();
        for (index, cell) in cells.into_iter().enumerate() {
            let number = index + 1;
            if number > COLUMNS_MAX {
                return Err(SchemaError::TooManyColumns(number));
            }
            let column = parse_column(cell).ok_or_else(|| SchemaError::Column { number, found: shortened(cell) })?;
            let taken = column.name == FILLER || columns.iter().any(|earlier| earlier.name == column.name);
            if taken {
                return Err(SchemaError::Name { number, name: column.name });
            }
            columns.push(column);
        }
        let time = columns.iter().position(|column| matches!(column.conversion, Conversion::Time(_)));
        let time = time.ok_or(SchemaError::NoTime)?;
        let layout = lay_out(&mut columns, time)?;
        let time_offset = columns[time].offset;
        Ok(Self { columns, layout, time_offset })
    }

    /// The layout of a row's record.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of columns in the file.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Whether the other schema has the same columns with the same types, be it in another order.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        let is_same = |a: &Column, b: &Column| (&a.name, a.kind, &a.conversion) == (&b.name, b.kind, &b.conversion);
        self.columns.len() == other.columns.len()
            && self.columns.iter().all(|ours| other.columns.iter().any(|theirs| is_same(ours, theirs)))
    }
}

impl FromStr for CsvSchema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        Self::from_columns(text.split(','))
    }
}

impl fmt::Display for CsvSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, column) in self.columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:", column.name)?;
            match &column.conversion {
                Conversion::Skip => f.write_str("skip")?,
                Conversion::Plain => write!(f, "{}", column.kind)?,
                Conversion::Scaled(digits) => write!(f, "{}[1e{digits}]", column.kind)?,
                Conversion::Named(names) => {
                    for (at, (name, code)) in names.iter().enumerate() {
                        let before = if at == 0 { format!("{}[", column.kind) } else { String::from("/") };
                        write!(f, "{before}{name}={code}")?;
                    }
                    f.write_str("]")?;
                }
                Conversion::Time(unit) => f.write_str(match unit {
                    TimeUnit::Nanos => "time[ns]",
                    TimeUnit::Micros => "time[us]",
                    TimeUnit::Millis => "time[ms]",
                    TimeUnit::Seconds => "time[s]",
                    TimeUnit::Iso => "time[iso]",
                })?,
            }
        }
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn parse_column(cell: &str) -> Option<Column> {
    let (name, kind) = cell.trim().split_once(':')?;
    let (name, kind) = (name.trim(), kind.trim());
    let named = !name.is_empty()
        && name.len() <= 64
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || c == '@' || c == '*');
    if !named {
        return None;
    }
    let (kind, option) = match kind.split_once('[') {
        Some((kind, option)) => (kind, Some(option.strip_suffix(']')?)),
        None => (kind, None),
    };
    let (kind, conversion) = match (kind, option) {
        ("skip", None) => (FieldKind::U8, Conversion::Skip),
        ("time", Some(unit)) => {
            let unit = match unit {
                "ns" => TimeUnit::Nanos,
                "us" => TimeUnit::Micros,
                "ms" => TimeUnit::Millis,
                "s" => TimeUnit::Seconds,
                "iso" => TimeUnit::Iso,
                _ => return None,
            };
            (FieldKind::Timestamp, Conversion::Time(unit))
        }
        ("time", None) => return None,
        (kind, option) => {
            let kind = FieldKind::parse(kind).filter(|kind| *kind != FieldKind::Present)?;
            let conversion = match option {
                None => Conversion::Plain,
                Some(names) if names.contains('=') => Conversion::Named(parse_names(names, kind)?),
                Some(scale) => Conversion::Scaled(parse_scale(scale, kind)?),
            };
            (kind, conversion)
        }
    };
    Some(Column { name: name.into(), kind, conversion, offset: 0 })
}

/// `1eN`, where 10^N fits the integer.
fn parse_scale(text: &str, kind: FieldKind) -> Option<u32> {
    let digits: u32 = text.strip_prefix("1e")?.parse().ok()?;
    let digits_max = match kind {
        FieldKind::I8 | FieldKind::U8 => 2,
        FieldKind::I16 | FieldKind::U16 => 4,
        FieldKind::I32 | FieldKind::U32 => 9,
        FieldKind::I64 => 18,
        FieldKind::U64 => 19,
        FieldKind::I128 | FieldKind::U128 => 38,
        _ => return None,
    };
    (digits <= digits_max).then_some(digits)
}

/// `name=integer`, with `/` between: names and integers differ, and each integer fits the field.
fn parse_names(text: &str, kind: FieldKind) -> Option<Arc<[(String, i128)]>> {
    let (least, most) = match kind {
        FieldKind::I8 => (i8::MIN.into(), i8::MAX.into()),
        FieldKind::I16 => (i16::MIN.into(), i16::MAX.into()),
        FieldKind::I32 => (i32::MIN.into(), i32::MAX.into()),
        FieldKind::I64 => (i64::MIN.into(), i64::MAX.into()),
        FieldKind::I128 => (i128::MIN, i128::MAX),
        FieldKind::U8 => (0, u8::MAX.into()),
        FieldKind::U16 => (0, u16::MAX.into()),
        FieldKind::U32 => (0, u32::MAX.into()),
        FieldKind::U64 => (0, u64::MAX.into()),
        FieldKind::U128 => (0, i128::MAX),
        _ => return None,
    };
    let mut names: Vec<(String, i128)> = Vec::new();
    for word in text.split('/') {
        let (name, code) = word.split_once('=')?;
        let code: i128 = code.parse().ok().filter(|code| (least..=most).contains(code))?;
        let is_taken = names.iter().any(|(other, of)| other == name || *of == code);
        if name.is_empty() || name.contains(|c: char| c == ',' || c.is_control() || c.is_whitespace()) || is_taken {
            return None;
        }
        names.push((name.to_owned(), code));
    }
    Some(names.into())
}

fn alignment(kind: FieldKind) -> usize {
    match kind {
        FieldKind::Text(_) => 1,
        other => other.size(),
    }
}

/// Gives the columns their offsets, from wide to narrow and otherwise in their order.
fn lay_out(columns: &mut [Column], time: usize) -> Result<Layout, SchemaError> {
    let mut order: Vec<usize> = (0..columns.len()).filter(|&index| !columns[index].is_skipped()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(alignment(columns[index].kind)));
    let align = order.first().map_or(1, |&index| alignment(columns[index].kind));
    let mut size = 0usize;
    let mut fields = Vec::with_capacity(order.len() + 1);
    for index in order {
        let column = &mut columns[index];
        column.offset = size;
        // At most 256 columns of at most 4,096 bytes.
        size += column.kind.size();
        fields.push(Field {
            name: Cow::Owned(column.name.clone()),
            kind: column.kind,
            offset: column.offset,
            decimals: None,
            time: index == time,
        });
    }
    let filled = size.next_multiple_of(align);
    if filled > size {
        let kind = FieldKind::Text((filled - size) as u32);
        fields.push(Field { name: Cow::Borrowed(FILLER), kind, offset: size, decimals: None, time: false });
    }
    if filled > ROW_BYTES_MAX {
        return Err(SchemaError::TooLarge(filled));
    }
    Ok(Layout::new("row", filled, align, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_no_padding() {
        for (schema, layout) in [
            ("ts:time[ns]", "8/8 ts:time@0*"),
            ("ts:time[ns],side:i8[Buy=1/Sell=-1]", "16/8 ts:time@0* side:i8@8 _filler:text7@9"),
            ("a:u8,ts:time[iso],b:u16,c:i128", "32/16 c:i128@0 ts:time@16* b:u16@24 a:u8@26 _filler:text5@27"),
            (
                "ts:time[ms],symbol:symbol,price:i64[1e4],size:u32,note:text16",
                "40/8 ts:time@0* price:i64@8 symbol:symbol@16 size:u32@20 note:text16@24",
            ),
            (
                "x:skip,note:text3,ts:time[s],seen:time[us]",
                "24/8 ts:time@0* seen:time@8 note:text3@16 _filler:text5@19",
            ),
        ] {
            let parsed: CsvSchema = schema.parse().unwrap();
            assert_eq!(parsed.layout().schema(), layout);
            assert_eq!(parsed.to_string(), schema);
        }
    }

    #[test]
    fn wrong_schemas_say_which_column() {
        let error = |text: &str| text.parse::<CsvSchema>().unwrap_err();
        for text in [
            "",
            "ts",
            "ts:",
            ":u8",
            "ts:time",
            "ts:time[h]",
            "ts:time[ms",
            "p:f64[1e4]",
            "p:i64[10]",
            "p:i64[1e19]",
            "p:u8[1e3]",
            "n:text0",
            "n:text5000",
            "n:text",
            "s:skip[1]",
            "b:present",
            "b:bool[1e2]",
            "s:i8[Buy=1/Buy=2]",
            "s:i8[Buy=1/Sell=1]",
            "s:u8[Buy=1/Sell=-1]",
            "s:u8[Buy=256]",
            "s:u8[Buy=]",
            "s:u8[=1]",
            "s:u8[Buy=1/]",
            "s:u8[Buy=1/Sell]",
            "s:f64[Buy=1]",
            "s:text4[Buy=1]",
            "s:symbol[Buy=1]",
            "a@b:u8",
        ] {
            assert!(matches!(error(text), SchemaError::Column { number: 1, .. }), "{text}: {:?}", error(text));
        }
        assert_eq!(error("a:u8"), SchemaError::NoTime);
        assert!(matches!(error("ts:time[ms],a:u8,a:u8"), SchemaError::Name { number: 3, .. }));
        assert!(matches!(error("ts:time[ms],_filler:u8"), SchemaError::Name { number: 2, .. }));
        assert_eq!(error("ts:time[ms],n:text4096"), SchemaError::TooLarge(4104));
        let many = (0..300).map(|i| format!("c{i}:u8")).collect::<Vec<_>>().join(",");
        assert_eq!(error(&many), SchemaError::TooManyColumns(257));
    }
}
