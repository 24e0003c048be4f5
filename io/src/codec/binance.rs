//! Frames of Binance's market streams (spot, USD-M and COIN-M futures) as they were received: one
//! line a frame, `<local receive time in ns> <json>`, in the envelope of combined streams.
//!
//! ```text
//! 1723161255088169167 {"stream":"btcusdt@bookTicker","data":{"u":51231,"s":"BTCUSDT","b":"61800.20",..}}
//! ```
//! The event time is the exchange's: `T` where the frame has one, otherwise `E`. A bookTicker of the
//! spot market has neither. It takes the largest exchange time before it in the file, so that it is
//! never behind and never moves the largest time, and is flagged as inferred. Those before the first
//! exchange time of the file are held, at most [`HELD_MAX`] of them, and take that one.

use super::json::{JsonError, Scanner, Value};
use super::lines::Lines;
use super::number::{Problem, decimal, unsigned};
use super::{Decode, Decoded, InputError, Reject, RejectReason, SkipReason, SymbolTable};
use pelton::Symbol;
use std::collections::VecDeque;
use std::io::BufRead;
use std::str::FromStr;

/// The most frames held until the first exchange time is known; a further one is refused.
pub const HELD_MAX: usize = 65_536;

/// The digits behind the point of prices and quantities.
const DIGITS: u32 = 8;
const NANOS_PER_MS: u64 = 1_000_000;

/// One frame of a trade, bookTicker or depth stream, in 72 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct BinanceEvent {
    /// The exchange's time in nanoseconds since the epoch, to the millisecond.
    #[event(time)]
    pub time_ns: i64,
    /// The receiver's clock in nanoseconds since the epoch.
    pub receive_ns: i64,
    /// A trade's id, otherwise the id of the (last) book update.
    pub id: u64,
    /// A trade's price, a bookTicker's best bid, 0 for depth. In units of 1e-8.
    pub price: i64,
    /// A trade's quantity, the quantity at the best bid, 0 for depth. In units of 1e-8.
    pub quantity: i64,
    /// A bookTicker's best ask, otherwise 0. In units of 1e-8.
    pub ask_price: i64,
    /// The quantity at the best ask, otherwise 0. In units of 1e-8.
    pub ask_quantity: i64,
    /// What is traded.
    pub symbol: Symbol,
    /// A depth frame's number of bid levels, otherwise 0.
    pub bids: u32,
    /// A depth frame's number of ask levels, otherwise 0.
    pub asks: u32,
    /// The stream: [`BinanceEvent::TRADE`], [`BinanceEvent::BOOK_TICKER`] or [`BinanceEvent::DEPTH`].
    pub kind: u8,
    /// Bits: [`BinanceEvent::BUYER_IS_MAKER`], [`BinanceEvent::TIME_INFERRED`].
    pub flags: u8,
    /// Always 0.
    pub reserved: u16,
}

impl BinanceEvent {
    /// A trade.
    pub const TRADE: u8 = 1;
    /// A change of the best bid or ask.
    pub const BOOK_TICKER: u8 = 2;
    /// Changes of levels of the book.
    pub const DEPTH: u8 = 3;
    /// The flag of a trade whose buyer is the market maker.
    pub const BUYER_IS_MAKER: u8 = 1;
    /// The flag of a frame without an exchange time of its own.
    pub const TIME_INFERRED: u8 = 2;
}

const _: () = assert!(size_of::<BinanceEvent>() == 72);

/// Which streams become events.
///
/// ```
/// use pelton_io::codec::binance::Streams;
/// let streams: Streams = "trade,bookTicker".parse()?;
/// assert_eq!(streams, Streams { trade: true, book_ticker: true, depth: false });
/// # Ok::<(), pelton_io::codec::binance::StreamsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// Trades.
    pub trade: bool,
    /// Best bid and ask.
    pub book_ticker: bool,
    /// Changes of the book's levels.
    pub depth: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self { trade: true, book_ticker: true, depth: true }
    }
}

/// The text names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected streams of trade, bookTicker and depth, with commas between, found {0:?}")]
pub struct StreamsError(String);

impl FromStr for Streams {
    type Err = StreamsError;

    fn from_str(text: &str) -> Result<Self, StreamsError> {
        let mut streams = Self { trade: false, book_ticker: false, depth: false };
        for name in text.split(',') {
            match name.trim() {
                "trade" => streams.trade = true,
                "bookTicker" => streams.book_ticker = true,
                "depth" => streams.depth = true,
                _ => return Err(StreamsError(text.into())),
            }
        }
        Ok(streams)
    }
}

impl Streams {
    fn has(self, kind: u8) -> bool {
        match kind {
            BinanceEvent::TRADE => self.trade,
            BinanceEvent::BOOK_TICKER => self.book_ticker,
            _ => self.depth,
        }
    }
}

/// Decodes frames of the chosen streams. The frames of other streams still tell the time.
pub fn frames<R: BufRead>(reader: R, streams: Streams, symbols: SymbolTable, line_bytes_max: usize) -> Frames<R> {
    Frames {
        lines: Lines::new(reader, line_bytes_max),
        streams,
        symbols,
        time_max: None,
        held: VecDeque::new(),
        pending: None,
    }
}

/// The decoder of [`frames`].
pub struct Frames<R> {
    lines: Lines<R>,
    streams: Streams,
    symbols: SymbolTable,
    /// The largest exchange time so far in nanoseconds.
    time_max: Option<i64>,
    held: VecDeque<Held>,
    /// The frame that ended the holding; it comes behind the held ones.
    pending: Option<Decoded<BinanceEvent>>,
}

struct Held {
    event: BinanceEvent,
    line: u64,
    text: String,
}

impl<R: BufRead> Decode for Frames<R> {
    type Event = BinanceEvent;

    fn decode(&mut self) -> Result<Option<Decoded<BinanceEvent>>, InputError> {
        loop {
            if let Some(time_ns) = self.time_max {
                if let Some(Held { event, .. }) = self.held.pop_front() {
                    return Ok(Some(Decoded::Event(BinanceEvent { time_ns, ..event })));
                }
                if let Some(pending) = self.pending.take() {
                    return Ok(Some(pending));
                }
            }
            let Some(line) = self.lines.next_line()? else {
                // No frame of the whole file told the time.
                let rest = self.held.pop_front().map(|Held { line, text, .. }| {
                    Decoded::Rejected(Reject { line, reason: RejectReason::NoExchangeTime, text })
                });
                return Ok(rest);
            };
            if let Some(limit) = line.too_long {
                return Ok(Some(Decoded::Rejected(line.reject(RejectReason::LineTooLong { limit }))));
            }
            if line.bytes.is_empty() {
                return Ok(Some(Decoded::Skipped(SkipReason::Blank)));
            }
            let frame = match parse_line(line.bytes, self.streams, &mut self.symbols) {
                Ok(frame) => frame,
                Err(reason) => return Ok(Some(Decoded::Rejected(line.reject(reason)))),
            };
            let (decoded, time) = match frame {
                Frame::Skipped(reason, time) => (Decoded::Skipped(reason), time),
                Frame::Event(event, Some(time_ns)) => {
                    (Decoded::Event(BinanceEvent { time_ns, ..event }), Some(time_ns))
                }
                Frame::Event(event, None) => {
                    let event = BinanceEvent { flags: event.flags | BinanceEvent::TIME_INFERRED, ..event };
                    match self.time_max {
                        Some(time_ns) => return Ok(Some(Decoded::Event(BinanceEvent { time_ns, ..event }))),
                        None if self.held.len() < HELD_MAX => {
                            let Reject { line, text, .. } = line.reject(RejectReason::NoExchangeTime);
                            self.held.push_back(Held { event, line, text });
                            continue;
                        }
                        None => return Ok(Some(Decoded::Rejected(line.reject(RejectReason::NoExchangeTime)))),
                    }
                }
            };
            if let Some(time) = time {
                self.time_max = Some(self.time_max.map_or(time, |max| max.max(time)));
            }
            if self.held.is_empty() || time.is_none() {
                return Ok(Some(decoded));
            }
            self.pending = Some(decoded);
        }
    }
}

enum Frame {
    /// An event and its exchange time, where it has one.
    Event(BinanceEvent, Option<i64>),
    Skipped(SkipReason, Option<i64>),
}

/// The fields of a frame's data, still as text.
#[derive(Default)]
struct Fields<'a> {
    exchange_ms: Option<Value<'a>>,
    event_ms: Option<Value<'a>>,
    symbol: Option<Value<'a>>,
    trade_id: Option<Value<'a>>,
    update_id: Option<Value<'a>>,
    price: Option<Value<'a>>,
    quantity: Option<Value<'a>>,
    bid: Option<Value<'a>>,
    bid_quantity: Option<Value<'a>>,
    ask: Option<Value<'a>>,
    ask_quantity: Option<Value<'a>>,
    maker: Option<Value<'a>>,
}

fn parse_line(line: &[u8], streams: Streams, symbols: &mut SymbolTable) -> Result<Frame, RejectReason> {
    let json = RejectReason::from;
    let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let receive_ns = number("receive_ns", &line[..space])?;
    let receive_ns = i64::try_from(receive_ns).map_err(|_| RejectReason::field("receive_ns", Problem::OutOfRange))?;
    let text = &line[space..];
    std::str::from_utf8(text).map_err(|_| RejectReason::field("json", Problem::NotUtf8))?;

    let (mut stream, mut data, mut snapshot) = (None, None, false);
    let mut scanner = Scanner::new(text, space);
    scanner
        .object::<JsonError>(|name, value| {
            match name {
                b"stream" => stream = Some(value),
                b"data" => data = Some(value),
                b"lastUpdateId" => snapshot = true,
                _ => {}
            }
            Ok(())
        })
        .map_err(json)?;
    scanner.end().map_err(json)?;
    let Some(stream) = stream else {
        let reason = if snapshot { SkipReason::Snapshot } else { SkipReason::NoStream };
        return Ok(Frame::Skipped(reason, None));
    };
    let stream = text_of("stream", Some(stream))?;
    let Some(kind) = kind_of(stream) else { return Ok(Frame::Skipped(SkipReason::Stream, None)) };
    let Some(Value::Nested(data, offset)) = data else { return Err(RejectReason::Missing { field: "data" }) };

    let mut fields = Fields::default();
    Scanner::new(data, offset)
        .object::<JsonError>(|name, value| {
            let place = match name {
                b"T" => &mut fields.exchange_ms,
                b"E" => &mut fields.event_ms,
                b"s" => &mut fields.symbol,
                b"t" => &mut fields.trade_id,
                b"u" => &mut fields.update_id,
                b"p" => &mut fields.price,
                b"q" => &mut fields.quantity,
                b"b" => &mut fields.bid,
                b"B" => &mut fields.bid_quantity,
                b"a" => &mut fields.ask,
                b"A" => &mut fields.ask_quantity,
                b"m" => &mut fields.maker,
                _ => return Ok(()),
            };
            *place = Some(value);
            Ok(())
        })
        .map_err(json)?;
    event_of(kind, receive_ns, &fields, streams, symbols)
}

fn event_of(
    kind: u8,
    receive_ns: i64,
    fields: &Fields<'_>,
    streams: Streams,
    symbols: &mut SymbolTable,
) -> Result<Frame, RejectReason> {
    let time = match (fields.exchange_ms, fields.event_ms) {
        (Some(value), _) => Some(time_of("T", value)?),
        (None, Some(value)) => Some(time_of("E", value)?),
        (None, None) if kind == BinanceEvent::BOOK_TICKER => None,
        (None, None) => return Err(RejectReason::Missing { field: "T" }),
    };
    if !streams.has(kind) {
        return Ok(Frame::Skipped(SkipReason::Stream, time));
    }
    let mut event = BinanceEvent { receive_ns, kind, ..BinanceEvent::default() };
    match kind {
        BinanceEvent::TRADE => {
            event.id = id_of("t", fields.trade_id)?;
            event.price = decimal_of("p", fields.price)?;
            event.quantity = decimal_of("q", fields.quantity)?;
            event.flags = match fields.maker {
                Some(Value::Bool(maker)) => u8::from(maker) * BinanceEvent::BUYER_IS_MAKER,
                Some(_) => return Err(RejectReason::field("m", Problem::Kind)),
                None => return Err(RejectReason::Missing { field: "m" }),
            };
        }
        BinanceEvent::BOOK_TICKER => {
            event.id = id_of("u", fields.update_id)?;
            event.price = decimal_of("b", fields.bid)?;
            event.quantity = decimal_of("B", fields.bid_quantity)?;
            event.ask_price = decimal_of("a", fields.ask)?;
            event.ask_quantity = decimal_of("A", fields.ask_quantity)?;
        }
        _ => {
            event.id = id_of("u", fields.update_id)?;
            event.bids = levels_of("b", fields.bid)?;
            event.asks = levels_of("a", fields.ask)?;
        }
    }
    // Last, so that a frame that is refused leaves no symbol behind.
    event.symbol = symbols.intern_field("s", text_of("s", fields.symbol)?)?;
    Ok(Frame::Event(event, time))
}

/// The stream's kind by its name: `btcusdt@depth@100ms`, `btcusdt@trade`.
fn kind_of(stream: &[u8]) -> Option<u8> {
    match stream.split(|&byte| byte == b'@').nth(1)? {
        b"trade" => Some(BinanceEvent::TRADE),
        b"bookTicker" => Some(BinanceEvent::BOOK_TICKER),
        b"depth" => Some(BinanceEvent::DEPTH),
        _ => None,
    }
}

impl From<JsonError> for RejectReason {
    fn from(error: JsonError) -> Self {
        Self::Json { offset: error.offset, expected: error.expected }
    }
}

fn number(field: &'static str, text: &[u8]) -> Result<u64, RejectReason> {
    unsigned(text).map_err(|problem| RejectReason::field(field, problem))
}

fn text_of<'a>(field: &'static str, value: Option<Value<'a>>) -> Result<&'a [u8], RejectReason> {
    match value {
        // The names of streams and symbols are never escaped by the exchange.
        Some(Value::Text(text)) if !text.contains(&b'\\') => Ok(text),
        Some(_) => Err(RejectReason::field(field, Problem::Kind)),
        None => Err(RejectReason::Missing { field }),
    }
}

fn time_of(field: &'static str, value: Value<'_>) -> Result<i64, RejectReason> {
    let ms = id_of(field, Some(value))?;
    ms.checked_mul(NANOS_PER_MS)
        .and_then(|ns| i64::try_from(ns).ok())
        .ok_or(RejectReason::field(field, Problem::OutOfRange))
}

fn id_of(field: &'static str, value: Option<Value<'_>>) -> Result<u64, RejectReason> {
    match value {
        Some(Value::Number(text)) => number(field, text),
        Some(_) => Err(RejectReason::field(field, Problem::Kind)),
        None => Err(RejectReason::Missing { field }),
    }
}

fn decimal_of(field: &'static str, value: Option<Value<'_>>) -> Result<i64, RejectReason> {
    decimal(text_of(field, value)?, DIGITS).map_err(|problem| RejectReason::field(field, problem))
}

/// The number of levels in `[["price","quantity"],..]`, each of them checked.
fn levels_of(field: &'static str, value: Option<Value<'_>>) -> Result<u32, RejectReason> {
    let Some(Value::Nested(bytes, offset)) = value else {
        let problem = RejectReason::field(field, Problem::Kind);
        return Err(if value.is_none() { RejectReason::Missing { field } } else { problem });
    };
    let mut levels = 0u32;
    Scanner::new(bytes, offset).list(|scanner| {
        let mut parts = 0;
        scanner.list(|scanner| {
            decimal_of(field, Some(scanner.value(2)?))?;
            parts += 1;
            Ok::<(), RejectReason>(())
        })?;
        if parts != 2 {
            return Err(RejectReason::field(field, Problem::Kind));
        }
        // A line is shorter than 2^32 levels.
        levels = levels.saturating_add(1);
        Ok::<(), RejectReason>(())
    })?;
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE_BYTES_MAX: usize = 1 << 20;

    fn all(text: &str, streams: Streams) -> Vec<Decoded<BinanceEvent>> {
        let mut frames = frames(text.as_bytes(), streams, SymbolTable::default(), LINE_BYTES_MAX);
        std::iter::from_fn(|| frames.decode().unwrap()).collect()
    }

    fn ticker(id: u64) -> String {
        format!(
            r#"5 {{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}}}}"#
        )
    }

    fn trade(ms: u64) -> String {
        format!(
            r#"6 {{"stream":"btcusdt@trade","data":{{"e":"trade","E":9,"s":"BTCUSDT","t":77,"p":"61837.63000000","q":"0.02","T":{ms},"m":true,"M":true}}}}"#
        )
    }

    fn times(decoded: &[Decoded<BinanceEvent>]) -> Vec<(u64, i64, u8)> {
        decoded
            .iter()
            .filter_map(|decoded| match decoded {
                Decoded::Event(event) => Some((event.id, event.time_ns / 1_000_000, event.flags)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_ticker_without_a_time_takes_the_largest_before_it() {
        let lines = [ticker(1), ticker(2), trade(50), trade(40), ticker(3)].join("\n");
        let found = all(&lines, Streams::default());
        assert_eq!(times(&found), [(1, 50, 2), (2, 50, 2), (77, 50, 1), (77, 40, 1), (3, 50, 2)]);
        let only = Streams { trade: false, book_ticker: true, depth: false };
        assert_eq!(times(&all(&lines, only)), [(1, 50, 2), (2, 50, 2), (3, 50, 2)]);
    }

    #[test]
    fn a_file_without_any_time_is_refused_line_by_line() {
        let found = all(&[ticker(1), String::new(), ticker(2)].join("\r\n"), Streams::default());
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], Decoded::Skipped(SkipReason::Blank));
        assert!(matches!(&found[2], Decoded::Rejected(Reject { line: 3, reason: RejectReason::NoExchangeTime, .. })));
    }

    #[test]
    fn holding_is_bounded() {
        let mut lines = String::new();
        for id in 0..HELD_MAX as u64 + 2 {
            lines += &ticker(id);
            lines.push('\n');
        }
        lines += &trade(7);
        let found = all(&lines, Streams::default());
        let refused = found.iter().filter(|decoded| matches!(decoded, Decoded::Rejected(_))).count();
        assert_eq!((refused, times(&found).len()), (2, HELD_MAX + 1));
    }

    #[test]
    fn a_trade_field_by_field() {
        let found = all(&trade(1_723_161_255_342), Streams::default());
        let expected = BinanceEvent {
            time_ns: 1_723_161_255_342_000_000,
            receive_ns: 6,
            id: 77,
            price: 6_183_763_000_000,
            quantity: 2_000_000,
            kind: BinanceEvent::TRADE,
            flags: BinanceEvent::BUYER_IS_MAKER,
            ..BinanceEvent::default()
        };
        assert_eq!(found, [Decoded::Event(expected)]);
    }

    #[test]
    fn what_belongs_to_no_stream_is_skipped() {
        let lines = "1 {\"lastUpdateId\":5,\"bids\":[[\"1\",\"2\"]],\"asks\":[]}\n2 {\"result\":null,\"id\":1}\n\
                     3 {\"stream\":\"btcusdt@kline_1m\",\"data\":{}}";
        let reasons = [SkipReason::Snapshot, SkipReason::NoStream, SkipReason::Stream];
        assert_eq!(all(lines, Streams::default()), reasons.map(Decoded::Skipped));
    }

    #[test]
    fn damaged_frames_are_refused_with_their_reason() {
        let depth = |b: &str| format!(r#"1 {{"stream":"x@depth","data":{{"E":1,"s":"X","u":2,"b":{b},"a":[]}}}}"#);
        let good = trade(5);
        for (line, reason) in [
            ("garbage".into(), "receive_ns: not a number of the expected form"),
            ("-5 {}".into(), "receive_ns: negative"),
            ("9223372036854775808 {}".into(), "receive_ns: outside the field's range"),
            ("1".into(), "not JSON at byte 1: expected an object"),
            (good[..60].into(), "not JSON at byte 60: expected a closing quotation mark"),
            (format!("{good}x"), &*format!("not JSON at byte {}: expected the end", good.len())),
            (good.replace("\"p\":\"61837.63000000\"", "\"p\":\"1e5\""), "p: not a number of the expected form"),
            (good.replace("61837.63000000", "92233720368547758.08"), "p: outside the field's range"),
            (
                good.replace("61837.63000000", "0.123456789"),
                "p: more digits behind the point than the 8 that the field keeps",
            ),
            (good.replace("\"p\":\"61837.63000000\",", ""), "p is missing"),
            (good.replace("\"t\":77", "\"t\":-77"), "t: negative"),
            (good.replace("\"t\":77", "\"t\":\"77\""), "t: not a value of the expected kind"),
            (good.replace("\"T\":5", "\"T\":18446744073709551615"), "T: outside the field's range"),
            (good.replace("\"s\":\"BTCUSDT\"", "\"s\":\"\""), "s: empty"),
            (good.replace("\"m\":true", "\"m\":1"), "m: not a value of the expected kind"),
            (depth("[[\"1\"]]"), "b: not a value of the expected kind"),
            (depth("[[\"1\",2]]"), "b: not a value of the expected kind"),
            (depth("{}"), "not JSON at byte 54: expected a list"),
            (depth("null"), "b: not a value of the expected kind"),
        ] {
            let found = all(&line, Streams::default());
            let [Decoded::Rejected(reject)] = &found[..] else { panic!("{line}: {found:?}") };
            assert_eq!(reject.reason.to_string(), reason, "{line}");
        }
        let [Decoded::Event(event)] = all(&depth("[[\"1\",\"2\"],[\"1.5\",\"0\"]]"), Streams::default())[..] else {
            panic!("a depth frame")
        };
        assert_eq!((event.bids, event.asks, event.id, event.kind), (2, 0, 2, BinanceEvent::DEPTH));
        let huge = format!("1 {{\"stream\":\"{}\"}}", "x".repeat(2 << 20));
        assert!(matches!(&all(&huge, Streams::default())[..], [Decoded::Rejected(_)]));
    }

    proptest! {
        #[test]
        fn a_damaged_frame_is_an_event_or_accounted_for(
            kind in 0..3,
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3), 1..6),
        ) {
            let mut line = match kind {
                0 => trade(50),
                1 => ticker(7),
                _ => r#"1 {"stream":"x@depth","data":{"E":1,"s":"X","u":2,"b":[["1.5","2"],["1","0"]],"a":[]}}"#.into(),
            }
            .into_bytes();
            for (at, byte, edit) in edits {
                let at = at.index(line.len());
                match edit {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    _ => line.truncate(at.max(1)),
                }
            }
            let lines = line.split(|&byte| byte == b'\n').count() - usize::from(line.ends_with(b"\n"));
            let mut frames = frames(&line[..], Streams::default(), SymbolTable::default(), LINE_BYTES_MAX);
            let found = std::iter::from_fn(|| frames.decode().unwrap()).count();
            prop_assert_eq!(found, lines);
        }
    }
}
