//! Rows as text, by a layout that is known at run time: the one place where this is done.
//!
//! | kind              | CSV                                | JSON                   |
//! |-------------------|------------------------------------|------------------------|
//! | integers, times   | digits; times in nanoseconds       | the same, as a number  |
//! | floats            | `decimals` digits, or the shortest | the same, as a number  |
//! | NaN, infinities   | `NaN`, `inf`, `-inf`               | `null`                 |
//! | symbols           | their text, `#7` where unknown     | the same, as a string  |
//! | inline text       | up to the first zero byte          | the same, as a string  |
//! | truth values      | `true`, `false`                    | the same               |
//! | enums             | the variant's name, or the integer | the same, as a string  |
//! | what is missing   | nothing                            | `null`                 |
//!
//! Names of variants are those of the layout ([`Layout::variants`]); one that was read from a file has none.
//!
//! The byte that says whether a field is there has no column of its own. Text is quoted where the format asks for it; bytes that are no UTF-8 become U+FFFD.

use super::number::{put_decimals, put_f32, put_f64, put_i64, put_i128, put_u64, put_u128};
use pelton::{Dictionary, Encoder, Encoders, FieldKind, Layout, Symbol, Timestamp};
use std::io::Write;
use std::sync::Arc;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values after RFC 4180, lines ending in a line feed.
    Csv,
    /// One JSON object a line.
    Json,
}

/// Turns records of one layout into lines of text.
///
/// ```
/// use pelton::Record;
/// use pelton_io::{Trade, sink::{Format, RowEncoder}};
///
/// let mut encoder = RowEncoder::new(&Trade::layout(), Format::Csv);
/// let mut out = Vec::new();
/// encoder.header(&mut out);
/// encoder.row(&[0; 32], &mut out);
/// assert_eq!(out, b"time_ns,price,size,symbol,condition,venue,suspicious,kind\n0,0,0,#0,0,,0,0\n");
/// ```
#[derive(Debug)]
pub struct RowEncoder {
    format: Format,
    columns: Vec<Column>,
    header: Vec<u8>,
    /// What ends a row.
    end: &'static [u8],
    symbols: Texts,
}

#[derive(Debug)]
struct Column {
    kind: FieldKind,
    offset: usize,
    decimals: Option<u8>,
    /// What stands before the value: a comma, a name.
    lead: Box<[u8]>,
    /// Of an enum: the bytes of each integer, and its variant's name as it is written.
    names: Vec<Named>,
}

/// The bytes of an integer, and the name that is written instead.
type Named = (Box<[u8]>, Box<[u8]>);

impl Column {
    /// The name of a value.
    #[inline]
    fn name(&self, bytes: &[u8]) -> Option<&[u8]> {
        self.names.iter().find(|(code, _)| **code == *bytes).map(|(_, name)| &**name)
    }
}

impl RowEncoder {
    /// An encoder for rows of `layout`. Symbols are unknown until [`RowEncoder::set_symbols`].
    pub fn new(layout: &Layout, format: Format) -> Self {
        let mut header = Vec::new();
        let mut columns = Vec::new();
        let mut is_first = true;
        for field in layout.fields() {
            let (kind, offset, decimals) = (field.kind, field.offset, field.decimals);
            let names = layout.variants(field).iter().map(|(name, code)| named(name, *code, kind, format)).collect();
            let mut lead = Vec::new();
            if kind == FieldKind::Present {
                columns.push(Column { kind, offset, decimals, lead: lead.into(), names });
                continue;
            }
            match format {
                Format::Csv => {
                    if !is_first {
                        lead.push(b',');
                        header.push(b',');
                    }
                    put_csv(&mut header, field.name.as_bytes());
                }
                Format::Json => {
                    lead.push(if is_first { b'{' } else { b',' });
                    put_json(&mut lead, field.name.as_bytes());
                    lead.push(b':');
                }
            }
            is_first = false;
            columns.push(Column { kind, offset, decimals, lead: lead.into(), names });
        }
        let end: &[u8] = match format {
            Format::Csv => {
                header.push(b'\n');
                b"\n"
            }
            Format::Json => b"}\n",
        };
        Self { format, columns, header, end, symbols: Texts::default() }
    }

    /// What makes an encoder for each worker of a job.
    pub fn for_workers(layout: &Layout, format: Format) -> Encoders {
        let layout = layout.clone();
        Arc::new(move |symbols| {
            let mut encoder = Self::new(&layout, format);
            encoder.set_symbols(symbols.clone());
            Box::new(encoder)
        })
    }

    /// Where symbols get their texts from.
    pub fn set_symbols(&mut self, symbols: Arc<Dictionary>) {
        self.symbols = Texts { dictionary: Some(symbols), cache: Vec::new() };
    }

    /// Appends the line before the first row: the fields' names in CSV, nothing in JSON.
    pub fn header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
    }

    /// Appends the line of one record.
    ///
    /// # Panics
    /// When `record` is shorter than the layout's records.
    #[inline]
    pub fn row(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let mut columns = self.columns.iter();
        while let Some(column) = columns.next() {
            if column.kind == FieldKind::Present {
                if record[column.offset] == 0
                    && let Some(missing) = columns.next()
                {
                    out.extend_from_slice(&missing.lead);
                    put_missing(self.format, out);
                }
                continue;
            }
            match &*column.lead {
                [] => {}
                [byte] => out.push(*byte),
                lead => out.extend_from_slice(lead),
            }
            let bytes = &record[column.offset..column.offset + column.kind.size()];
            put_value(column, bytes, self.format, &mut self.symbols, out);
        }
        // A row of one empty text would be an empty line, which readers skip.
        if out.len() == start {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(self.end);
    }
}

impl Encoder for RowEncoder {
    fn encode(&mut self, _: Timestamp, record: &[u8], out: &mut Vec<u8>) {
        self.row(record, out);
    }
}

/// The bytes of a variant's integer, and its name as it is written.
fn named(name: &str, code: i128, kind: FieldKind, format: Format) -> (Box<[u8]>, Box<[u8]>) {
    let mut text = Vec::new();
    put_text(&mut text, name.as_bytes(), format);
    (code.to_le_bytes()[..kind.size().min(16)].into(), text.into())
}

#[inline]
fn put_value(column: &Column, bytes: &[u8], format: Format, symbols: &mut Texts, out: &mut Vec<u8>) {
    if let Some(name) = column.name(bytes) {
        return out.extend_from_slice(name);
    }
    match column.kind {
        FieldKind::I64 | FieldKind::Timestamp => put_i64(out, i64::from_le_bytes(take(bytes))),
        FieldKind::U64 => put_u64(out, u64::from_le_bytes(take(bytes))),
        FieldKind::I32 => put_i64(out, i32::from_le_bytes(take(bytes)).into()),
        FieldKind::U32 => put_u64(out, u32::from_le_bytes(take(bytes)).into()),
        FieldKind::I16 => put_i64(out, i16::from_le_bytes(take(bytes)).into()),
        FieldKind::U16 => put_u64(out, u16::from_le_bytes(take(bytes)).into()),
        FieldKind::I8 => put_i64(out, i8::from_le_bytes(take(bytes)).into()),
        FieldKind::U8 => put_u64(out, u8::from_le_bytes(take(bytes)).into()),
        FieldKind::I128 => put_i128(out, i128::from_le_bytes(take(bytes))),
        FieldKind::U128 => put_u128(out, u128::from_le_bytes(take(bytes))),
        FieldKind::F64 => put_float(out, f64::from_le_bytes(take(bytes)), column.decimals, format, put_f64),
        FieldKind::F32 => {
            let value = f32::from_le_bytes(take(bytes));
            put_float(out, value.into(), column.decimals, format, |out, _| put_f32(out, value));
        }
        FieldKind::Symbol => symbols.put(u32::from_le_bytes(take(bytes)), format, out),
        FieldKind::Text(_) => {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            put_text(out, &bytes[..end], format);
        }
        FieldKind::Bool | FieldKind::Present => {
            out.extend_from_slice(if bytes == [0] { b"false" } else { b"true" });
        }
    }
}

/// In place of a value that is not there.
fn put_missing(format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Csv => {}
        Format::Json => out.extend_from_slice(b"null"),
    }
}

fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

fn put_float(
    out: &mut Vec<u8>,
    value: f64,
    decimals: Option<u8>,
    format: Format,
    shortest: impl FnOnce(&mut Vec<u8>, f64),
) {
    match decimals {
        _ if !value.is_finite() => match format {
            Format::Json => out.extend_from_slice(b"null"),
            // Writing to a Vec cannot fail.
            Format::Csv => drop(write!(out, "{value}")),
        },
        Some(decimals) => put_decimals(out, value, decimals),
        None => shortest(out, value),
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8], format: Format) {
    match format {
        Format::Csv => put_csv(out, text),
        Format::Json => put_json(out, text),
    }
}

fn put_csv(out: &mut Vec<u8>, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn put_json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in String::from_utf8_lossy(text).bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..=31 => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Ids up to here have their texts cached, as they are written.
const CACHE_MAX: usize = 1 << 20;

/// The texts of symbols in the encoder's format.
#[derive(Debug, Default)]
struct Texts {
    dictionary: Option<Arc<Dictionary>>,
    /// By id.
    cache: Vec<ShortText>,
}

/// The longest text that is cached, in bytes.
const SHORT: usize = 15;

/// A text and its length, which is 0 where it is not known yet or is too long.
#[derive(Debug, Clone, Copy, Default)]
struct ShortText {
    text: [u8; SHORT],
    len: u8,
}

impl Texts {
    #[inline]
    fn put(&mut self, id: u32, format: Format, out: &mut Vec<u8>) {
        match self.cache.get(id as usize) {
            Some(ShortText { text, len }) if *len > 0 => {
                // Copying all of it takes less than asking how much.
                let end = out.len() + usize::from(*len);
                out.extend_from_slice(text);
                out.truncate(end);
            }
            _ => self.put_slow(id, format, out),
        }
    }

    #[cold]
    fn put_slow(&mut self, id: u32, format: Format, out: &mut Vec<u8>) {
        let start = out.len();
        let Some(text) = self.dictionary.as_ref().and_then(|symbols| symbols.text(Symbol::from_id(id))) else {
            // Not cached: a dictionary grows while a job runs.
            return put_text(out, format!("#{id}").as_bytes(), format);
        };
        put_text(out, text.as_bytes(), format);
        let (index, put) = (id as usize, &out[start..]);
        if index < CACHE_MAX && put.len() <= SHORT {
            if self.cache.len() <= index {
                self.cache.resize((index + 1).next_power_of_two(), ShortText::default());
            }
            let cached = &mut self.cache[index];
            cached.text[..put.len()].copy_from_slice(put);
            cached.len = put.len() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::{Bool, Code, Maybe, Record};

    #[derive(Clone, Copy, pelton::Record)]
    #[repr(C)]
    struct Wide {
        big: u128,
        neg: i128,
        time: Timestamp,
        ratio: f64,
        #[event(decimals = 3)]
        price: f64,
        symbol: Symbol,
        small: f32,
        half: i16,
        tiny: i8,
        text: [u8; 13],
    }

    fn wide() -> Wide {
        Wide {
            big: u128::MAX,
            neg: i128::MIN,
            time: Timestamp::from_nanos(-5),
            ratio: 0.1,
            price: 28.5,
            symbol: Symbol::from_id(1),
            small: 0.3,
            half: -300,
            tiny: -1,
            text: *b"a\"b\0cccccccc\0",
        }
    }

    fn line(row: &Wide, format: Format) -> String {
        let symbols = Dictionary::default();
        symbols.intern("plain").unwrap();
        symbols.intern("a,b").unwrap();
        let mut encoder = RowEncoder::new(&Wide::layout(), format);
        encoder.set_symbols(Arc::new(symbols));
        let mut out = Vec::new();
        encoder.row(bytemuck::bytes_of(row), &mut out);
        let first = out.clone();
        out.clear();
        // Again, now from the cache.
        encoder.row(bytemuck::bytes_of(row), &mut out);
        assert_eq!(out, first);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_is_written_in_both_formats() {
        let (max, min) = (u128::MAX, i128::MIN);
        let expected = format!("{max},{min},-5,0.1,28.500,\"a,b\",0.3,-300,-1,\"a\"\"b\"\n");
        assert_eq!(line(&wide(), Format::Csv), expected);
        let expected = format!(
            "{{\"big\":{max},\"neg\":{min},\"time\":-5,\"ratio\":0.1,\"price\":28.500,\"symbol\":\"a,b\",\
             \"small\":0.3,\"half\":-300,\"tiny\":-1,\"text\":\"a\\\"b\"}}\n"
        );
        assert_eq!(line(&wide(), Format::Json), expected);
    }

    #[test]
    fn what_is_no_number_and_no_symbol_is_written_too() {
        let odd = Wide {
            ratio: f64::NAN,
            price: f64::NEG_INFINITY,
            small: f32::INFINITY,
            symbol: Symbol::from_id(9),
            text: *b"\xff\n\0\0\0\0\0\0\0\0\0\0\0",
            ..wide()
        };
        let csv = line(&odd, Format::Csv);
        assert!(csv.contains(",NaN,-inf,#9,inf,") && csv.ends_with(",\"\u{fffd}\n\"\n"), "{csv}");
        let json = line(&odd, Format::Json);
        let value: serde_json::Value = serde_json::from_str(&json.replace(&u128::MAX.to_string(), "0")).unwrap();
        assert!(value["ratio"].is_null() && value["price"].is_null() && value["small"].is_null());
        assert_eq!((value["symbol"].as_str(), value["text"].as_str()), (Some("#9"), Some("\u{fffd}\n")));
    }

    #[test]
    fn a_single_empty_text_is_not_an_empty_line() {
        let mut encoder = RowEncoder::new(&<[u8; 4]>::layout(), Format::Csv);
        let mut out = Vec::new();
        encoder.row(&[0; 4], &mut out);
        assert_eq!(out, b"\"\"\n");
    }

    #[derive(Clone, Copy, PartialEq, Eq, pelton::Enum)]
    #[repr(i8)]
    enum Side {
        Buy = 1,
        Sell = -1,
    }

    #[derive(Clone, Copy, pelton::Record)]
    #[repr(C)]
    struct Level {
        #[event(decimals = 2)]
        price: f32,
        size: u32,
    }

    #[derive(Clone, Copy, pelton::Record)]
    #[repr(C, packed)]
    struct Quote {
        limit: Maybe<i64>,
        best: Level,
        ages: [i16; 2],
        side: Code<Side>,
        symbol: Maybe<Symbol>,
        is_firm: Bool,
    }

    fn quote(row: &[u8], format: Format) -> String {
        let mut encoder = RowEncoder::new(&Quote::layout(), format);
        let mut out = Vec::new();
        encoder.header(&mut out);
        encoder.row(row, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_of_several_columns_and_none_are_written_in_both_formats() {
        let best = Level { price: 1.5, size: 7 };
        let (limit, symbol) = (Some(-3).into(), Some(Symbol::from_id(2)).into());
        let full = Quote { limit, best, ages: [4, -5], side: Side::Sell.into(), symbol, is_firm: true.into() };
        let (limit, symbol) = (None.into(), None.into());
        let empty = Quote { limit, symbol, side: Side::Buy.into(), is_firm: false.into(), ..full };
        let header = "limit,best.price,best.size,ages_0,ages_1,side,symbol,is_firm\n";
        for (row, csv, json) in [
            (
                full,
                "-3,1.50,7,4,-5,Sell,#2,true\n",
                "{\"limit\":-3,\"best.price\":1.50,\"best.size\":7,\"ages_0\":4,\"ages_1\":-5,\"side\":\"Sell\",\
                 \"symbol\":\"#2\",\"is_firm\":true}\n",
            ),
            (
                empty,
                ",1.50,7,4,-5,Buy,,false\n",
                "{\"limit\":null,\"best.price\":1.50,\"best.size\":7,\"ages_0\":4,\"ages_1\":-5,\"side\":\"Buy\",\
                 \"symbol\":null,\"is_firm\":false}\n",
            ),
        ] {
            let bytes = bytemuck::bytes_of(&row);
            assert_eq!(quote(bytes, Format::Csv), format!("{header}{csv}"));
            assert_eq!(quote(bytes, Format::Json), json);
        }
    }

    /// As damaged files have them.
    #[test]
    fn any_bytes_are_written_as_something() {
        for byte in 0..=u8::MAX {
            let row = [byte; size_of::<Quote>()];
            let (csv, json) = (quote(&row, Format::Csv), quote(&row, Format::Json));
            assert_eq!(csv.ends_with("true\n"), byte != 0, "{csv}");
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["limit"].is_null(), byte == 0, "{json}");
            match byte {
                1 => assert_eq!(value["side"], "Buy", "{json}"),
                u8::MAX => assert_eq!(value["side"], "Sell", "{json}"),
                _ => assert_eq!(value["side"], i64::from(byte as i8), "{json}"),
            }
        }
    }

    #[test]
    fn enums_of_all_widths_are_written_by_name_where_the_layout_knows_it() {
        #[derive(Clone, Copy, pelton::Enum)]
        #[repr(u128)]
        enum Widest {
            Last = u128::MAX,
            Bit = 1 << 100,
        }
        #[derive(Clone, Copy, pelton::Enum)]
        #[repr(i16)]
        enum Narrow {
            Least = i16::MIN,
        }
        #[derive(Clone, Copy, pelton::Record)]
        #[repr(C, packed)]
        struct Codes {
            widest: Code<Widest>,
            narrow: Maybe<Code<Narrow>>,
        }
        let codes = |widest: u128, narrow: Option<i16>| {
            let narrow: Maybe<Code<Narrow>> = narrow.map(bytemuck::cast).into();
            Codes { widest: bytemuck::cast(widest), narrow }
        };
        let parsed = Layout::parse(&Codes::layout().schema()).unwrap();
        for (row, with_names, without) in [
            (codes(u128::MAX, Some(i16::MIN)), "Last,Least\n", format!("{},-32768\n", u128::MAX)),
            (codes(1 << 100, None), "Bit,\n", format!("{},\n", 1u128 << 100)),
            (codes(1, Some(-1)), "1,-1\n", "1,-1\n".to_owned()),
        ] {
            for (layout, expected) in [(&Codes::layout(), with_names), (&parsed, &*without)] {
                let mut out = Vec::new();
                RowEncoder::new(layout, Format::Csv).row(bytemuck::bytes_of(&row), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_row_that_is_missing_alone_is_not_an_empty_line() {
        for (format, expected) in [(Format::Csv, "\"\"\n"), (Format::Json, "{\"value\":null}\n")] {
            let mut out = Vec::new();
            RowEncoder::new(&Maybe::<i64>::layout(), format).row(&[0; 9], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
