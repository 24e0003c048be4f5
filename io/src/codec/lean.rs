//! Trades and quotes of US equities as LEAN stores them: one line a tick, without a header.
//!
//! ```text
//! trade: ms since midnight, price * 10,000, size, venue, sale condition (hex), suspicious (0 or 1)
//! quote: ms, bid * 10,000, bid size, ask * 10,000, ask size, venue, condition (hex), suspicious
//! ```
//! A quote's row may carry one side only; the other side's price and size are 0 or empty then.

use super::lines::{Line, Lines};
use super::number::{Problem, hex32, unsigned_to};
use super::time::{Date, UtcOffset};
use super::{Decode, Decoded, InputError, InputLimits, RejectReason, SkipReason};
use crate::events::Trade;
use pelton::Symbol;
use std::io::BufRead;

/// A day has at most 25 hours.
const DAY_MS_MAX: u64 = 25 * 3_600_000;
const NANOS_PER_MS: i64 = 1_000_000;
const PRICE_MAX: u64 = i64::MAX as u64;

/// One change of the best bid, the best ask, or both, in 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct Quote {
    /// When it happened, in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The bid's price in 1/10,000 of a dollar, 0 where the row has no bid.
    pub bid_price: i64,
    /// The ask's price in 1/10,000 of a dollar, 0 where the row has no ask.
    pub ask_price: i64,
    /// Shares bid for.
    pub bid_size: u32,
    /// Shares offered.
    pub ask_size: u32,
    /// What is quoted.
    pub symbol: Symbol,
    /// The feed's quote condition flags.
    pub condition: u32,
    /// The venue's short code, filled up with zeros.
    pub venue: [u8; 2],
    /// 1 where the feed marks the quote as suspicious, otherwise 0.
    pub suspicious: u8,
    /// The sides in the row: bit 0 ([`Quote::BID`]) and bit 1 ([`Quote::ASK`]).
    pub side: u8,
    /// Always 0.
    pub reserved: u32,
}

impl Quote {
    /// The bit of [`Quote::side`] for a row with a bid.
    pub const BID: u8 = 1;
    /// The bit of [`Quote::side`] for a row with an ask.
    pub const ASK: u8 = 2;
}

const _: () = assert!(size_of::<Quote>() == 48);

/// What the rows do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeanOptions {
    /// What was traded.
    pub symbol: Symbol,
    /// The day.
    pub date: Date,
    /// How far the rows' clock is ahead of UTC.
    pub utc_offset: UtcOffset,
    /// The most bytes of a line.
    pub line_bytes_max: usize,
}

impl Default for LeanOptions {
    fn default() -> Self {
        Self {
            symbol: Symbol::default(),
            date: Date::EPOCH,
            utc_offset: UtcOffset::default(),
            line_bytes_max: InputLimits::default().line_bytes_max,
        }
    }
}

/// What a file's name says of its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameParts {
    /// The symbol in upper case.
    pub symbol: Option<String>,
    /// The day.
    pub date: Option<Date>,
}

/// Reads `20131008_bac_Trade_Tick.csv` and `bac_20131008_trade.zip`.
///
/// ```
/// use pelton_io::codec::lean::name_parts;
/// assert_eq!(name_parts("20131008_bac_Trade_Tick.csv").symbol.as_deref(), Some("BAC"));
/// assert_eq!(name_parts("bac_20131008_trade.zip"), name_parts("20131008_bac_Trade_Tick.csv"));
/// assert_eq!(name_parts("trades.csv").symbol, None);
/// ```
pub fn name_parts(file_name: &str) -> NameParts {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut stem = name;
    // A symbol may have a dot itself.
    while let Some((front, "csv" | "txt" | "zip" | "gz" | "zst")) = stem.rsplit_once('.') {
        stem = front;
    }
    let mut parts = stem.split('_');
    let date = |part: &str| if part.len() == 8 { part.parse::<Date>().ok() } else { None };
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => match (date(first), date(second)) {
            (Some(day), None) if !is_tick_type(second) => {
                NameParts { symbol: Some(second.to_uppercase()), date: Some(day) }
            }
            (Some(day), _) => NameParts { symbol: None, date: Some(day) },
            (None, Some(day)) => NameParts { symbol: Some(first.to_uppercase()), date: Some(day) },
            (None, None) => NameParts::default(),
        },
        (Some(first), None) => NameParts { symbol: None, date: date(first) },
        _ => NameParts::default(),
    }
}

fn is_tick_type(part: &str) -> bool {
    part.eq_ignore_ascii_case("trade") || part.eq_ignore_ascii_case("quote")
}

/// Decodes trade rows.
pub fn trades<R: BufRead>(reader: R, options: LeanOptions) -> Rows<R, Trade> {
    Rows::new(reader, options)
}

/// Decodes quote rows.
pub fn quotes<R: BufRead>(reader: R, options: LeanOptions) -> Rows<R, Quote> {
    Rows::new(reader, options)
}

/// An event that a row decodes to: [`Trade`] or [`Quote`].
pub trait LeanRow: Sized + sealed::Row {}
impl LeanRow for Trade {}
impl LeanRow for Quote {}

mod sealed {
    use super::{LeanOptions, RejectReason};

    pub trait Row: Sized {
        fn parse(line: &[u8], start_ns: i64, options: &LeanOptions) -> Result<Self, RejectReason>;
    }
}

/// The decoder of [`trades`] and [`quotes`].
pub struct Rows<R, T> {
    lines: Lines<R>,
    options: LeanOptions,
    start_ns: i64,
    rows: std::marker::PhantomData<T>,
}

impl<R: BufRead, T> Rows<R, T> {
    fn new(reader: R, options: LeanOptions) -> Self {
        // Far from the limits of 64 bits: a date has a year up to 2261, an offset is within a day.
        let start_ns = options.date.midnight_ns() - options.utc_offset.as_nanos();
        Self { lines: Lines::new(reader, options.line_bytes_max), options, start_ns, rows: std::marker::PhantomData }
    }
}

impl<R: BufRead, T: LeanRow> Decode for Rows<R, T> {
    type Event = T;

    fn decode(&mut self) -> Result<Option<Decoded<T>>, InputError> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        Ok(Some(decode_line(&line, self.start_ns, &self.options)))
    }
}

fn decode_line<T: LeanRow>(line: &Line<'_>, start_ns: i64, options: &LeanOptions) -> Decoded<T> {
    if let Some(limit) = line.too_long {
        return Decoded::Rejected(line.reject(RejectReason::LineTooLong { limit }));
    }
    if line.bytes.is_empty() {
        return Decoded::Skipped(SkipReason::Blank);
    }
    match T::parse(line.bytes, start_ns, options) {
        Ok(event) => Decoded::Event(event),
        Err(reason) => Decoded::Rejected(line.reject(reason)),
    }
}

impl sealed::Row for Trade {
    fn parse(line: &[u8], start_ns: i64, options: &LeanOptions) -> Result<Self, RejectReason> {
        let [ms, price, size, venue, condition, suspicious] = columns(line)?;
        Ok(Self {
            time_ns: start_ns + time(ms)?,
            price: field("price", unsigned_to(price, PRICE_MAX))? as i64,
            size: field("size", unsigned_to(size, u64::from(u32::MAX)))? as u32,
            symbol: options.symbol,
            condition: field("condition", hex32(condition))?,
            venue: self::venue(venue)?,
            suspicious: flag(suspicious)?,
            kind: 0,
        })
    }
}

impl sealed::Row for Quote {
    fn parse(line: &[u8], start_ns: i64, options: &LeanOptions) -> Result<Self, RejectReason> {
        let [ms, bid_price, bid_size, ask_price, ask_size, venue, condition, suspicious] = columns(line)?;
        let or_zero = |text: &[u8], max| if text.is_empty() { Ok(0) } else { unsigned_to(text, max) };
        let bid_price = field("bid_price", or_zero(bid_price, PRICE_MAX))? as i64;
        let bid_size = field("bid_size", or_zero(bid_size, u64::from(u32::MAX)))? as u32;
        let ask_price = field("ask_price", or_zero(ask_price, PRICE_MAX))? as i64;
        let ask_size = field("ask_size", or_zero(ask_size, u64::from(u32::MAX)))? as u32;
        let bid = if bid_price != 0 || bid_size != 0 { Self::BID } else { 0 };
        let ask = if ask_price != 0 || ask_size != 0 { Self::ASK } else { 0 };
        Ok(Self {
            time_ns: start_ns + time(ms)?,
            bid_price,
            ask_price,
            bid_size,
            ask_size,
            symbol: options.symbol,
            condition: field("condition", hex32(condition))?,
            venue: self::venue(venue)?,
            suspicious: flag(suspicious)?,
            side: bid | ask,
            reserved: 0,
        })
    }
}

fn columns<const N: usize>(line: &[u8]) -> Result<[&[u8]; N], RejectReason> {
    let mut columns = [&line[..0]; N];
    let mut found = 0;
    for column in line.split(|&byte| byte == b',') {
        if let Some(place) = columns.get_mut(found) {
            *place = column;
        }
        found += 1;
    }
    if found == N { Ok(columns) } else { Err(RejectReason::Columns { expected: N, found }) }
}

fn field<T>(name: &'static str, value: Result<T, Problem>) -> Result<T, RejectReason> {
    value.map_err(|problem| RejectReason::field(name, problem))
}

fn time(ms: &[u8]) -> Result<i64, RejectReason> {
    Ok(field("ms", unsigned_to(ms, DAY_MS_MAX))? as i64 * NANOS_PER_MS)
}

fn venue(text: &[u8]) -> Result<[u8; 2], RejectReason> {
    match *text {
        [] => Ok([0, 0]),
        [a] if a.is_ascii_graphic() => Ok([a, 0]),
        [a, b] if a.is_ascii_graphic() && b.is_ascii_graphic() => Ok([a, b]),
        [_] | [_, _] => Err(RejectReason::field("venue", Problem::Kind)),
        _ => Err(RejectReason::field("venue", Problem::TooLong(2))),
    }
}

fn flag(text: &[u8]) -> Result<u8, RejectReason> {
    Ok(field("suspicious", unsigned_to(text, 1))? as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecodeError, events};

    fn reasons(rows: &str) -> Vec<String> {
        events(trades(rows.as_bytes(), LeanOptions::default()))
            .map(|row| match row {
                Ok(trade) => format!("{} {} {}", trade.time_ns, trade.price, trade.size),
                Err(DecodeError::Rejected(reject)) => reject.to_string(),
                Err(error) => panic!("{error}"),
            })
            .collect()
    }

    #[test]
    fn a_trade_row_field_by_field() {
        let options = LeanOptions {
            symbol: Symbol::from_id(7),
            date: "2013-10-08".parse().unwrap(),
            utc_offset: "-04:00".parse().unwrap(),
            ..LeanOptions::default()
        };
        let row = events(trades(&b"24555178,138300,500,Q,20002020,1"[..], options)).next().unwrap().unwrap();
        assert_eq!(
            row,
            Trade {
                time_ns: 1_381_190_400_000_000_000 + 4 * 3_600_000_000_000 + 24_555_178_000_000,
                price: 138_300,
                size: 500,
                symbol: Symbol::from_id(7),
                condition: 0x2000_2020,
                venue: *b"Q\0",
                suspicious: 1,
                kind: 0,
            }
        );
    }

    #[test]
    fn a_quote_row_has_one_side_or_both() {
        let rows = "1,138000,1000,0,0,P,1,0\n2,0,0,139200,500,P,1,0\n3,1,2,3,4,PQ,,1\n4,,,5,6,,0,0\n5,0,0,0,0,P,1,0\n";
        let quotes: Vec<_> = events(quotes(rows.as_bytes(), LeanOptions::default())).collect::<Result<_, _>>().unwrap();
        let sides: Vec<_> = quotes.iter().map(|quote| quote.side).collect();
        assert_eq!(sides, [Quote::BID, Quote::ASK, Quote::BID | Quote::ASK, Quote::ASK, 0]);
        assert_eq!((quotes[1].ask_price, quotes[1].ask_size, quotes[1].bid_price), (139_200, 500, 0));
        assert_eq!((quotes[2].venue, quotes[2].suspicious), (*b"PQ", 1));
    }

    #[test]
    fn bad_rows_are_refused_one_by_one() {
        let rows = "\u{feff}1,2,3,P,0,0\r\n\r\n-1,2,3,P,0,0\n1,-2,3,P,0,0\n1,2,4294967296,P,0,0\n1,2,3,P,0\n\
                    1,2,3,P,0,0,0\n1,2,3,P,zz,0\n1,2,3,P,0,2\n1,2,3,PQR,0,0\n90000001,2,3,P,0,0\n\
                    99999999999999999999,2,3,P,0,0\n1,9223372036854775808,3,P,0,0\n1,1.5,3,P,0,0\n,,,,,\n7,8,9,Z,0,0";
        let found = reasons(rows);
        let expected = [
            "1000000 2 3",
            "line 3: ms: negative",
            "line 4: price: negative",
            "line 5: size: outside the field's range",
            "line 6: expected 6 columns, found 5",
            "line 7: expected 6 columns, found 7",
            "line 8: condition: not a number of the expected form",
            "line 9: suspicious: outside the field's range",
            "line 10: venue: longer than 2 bytes",
            "line 11: ms: outside the field's range",
            "line 12: ms: outside the field's range",
            "line 13: price: outside the field's range",
            "line 14: price: not a number of the expected form",
            "line 15: ms: empty",
            "7000000 8 9",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_tell_symbol_and_day() {
        let day = Some("2013-10-08".parse().unwrap());
        assert_eq!(name_parts("data/bac_20131008_quote.zip"), NameParts { symbol: Some("BAC".into()), date: day });
        assert_eq!(name_parts("20131008_trade.zip"), NameParts { symbol: None, date: day });
        assert_eq!(name_parts("20131008_brk.b_Trade_Tick.csv.gz").symbol.as_deref(), Some("BRK.B"));
        assert_eq!(name_parts(""), NameParts::default());
    }
}
