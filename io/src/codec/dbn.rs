//! Databento's binary encoding (DBN), versions 1 to 3: trades, market by order, and top of book.
//!
//! ```text
//! "DBN" version, length (u32) ─ metadata ─ record, record, ...
//!                                          length / 4 (u8), type (u8), publisher (u16), instrument (u32), ts_event (u64), ..
//! ```
//! The `dbn` crate reads the metadata. The records are read here, field by field at the offsets
//! that its structs prove when this compiles: it would cast the file's bytes to structs in place, and
//! a hostile record length can leave what follows misaligned.
//!
//! The event time is `ts_event`, the venue's; `ts_recv`, the capture server's, is in `receive_ns`. A
//! record without either is refused. The symbol is the instrument's text by the metadata on the day of
//! `ts_recv`, or its number as text where the metadata does not name it.

mod record;

pub use record::{DbnRecord, DbnTrade, Mbo, Mbp1};

use super::{Decode, Decoded, InputError, Reject, RejectReason, SkipReason, SymbolTable};
use ::dbn::decode::dbn::fsm::{DbnFsm, ProcessResult};
use ::dbn::{Metadata, Schema};
use pelton::Symbol;
use record::{HD_EVENT, HD_INSTRUMENT, HD_RTYPE, byte, u32_at, u64_at};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::marker::PhantomData;
use std::str::FromStr;

/// The most bytes of the metadata.
pub const METADATA_BYTES_MAX: u64 = 256 << 20;

const PRELUDE_BYTES: usize = 8;
const HEADER_BYTES: usize = size_of::<::dbn::RecordHeader>();
const LENGTH_UNIT: usize = 4;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What a file's records are.
///
/// ```
/// use pelton_io::codec::dbn::DbnSchema;
/// assert_eq!("mbp-1".parse(), Ok(DbnSchema::Mbp1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbnSchema {
    /// Every trade.
    Trades,
    /// Every message about an order.
    Mbo,
    /// Every change of the best bid or ask, and every trade with them.
    Mbp1,
}

/// The schema is not one that is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected trades, mbo or mbp-1, found {0:?}")]
pub struct DbnSchemaError(String);

impl FromStr for DbnSchema {
    type Err = DbnSchemaError;

    fn from_str(text: &str) -> Result<Self, DbnSchemaError> {
        match text {
            "trades" => Ok(Self::Trades),
            "mbo" => Ok(Self::Mbo),
            "mbp-1" | "mbp1" => Ok(Self::Mbp1),
            _ => Err(DbnSchemaError(text.into())),
        }
    }
}

impl fmt::Display for DbnSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trades => "trades",
            Self::Mbo => "mbo",
            Self::Mbp1 => "mbp-1",
        })
    }
}

/// A file whose metadata was read; [`Opened::records`] decodes the rest.
#[derive(Debug)]
pub struct Opened<R> {
    reader: R,
    metadata: Box<Metadata>,
    offset: u64,
}

/// Reads the metadata.
///
/// # Errors
/// When the reader does not start with it, it is damaged, or longer than [`METADATA_BYTES_MAX`].
pub fn open<R: BufRead>(mut reader: R) -> Result<Opened<R>, InputError> {
    let expected = "DBN, version 1 to 3";
    let mut bytes = Vec::new();
    (&mut reader).take(PRELUDE_BYTES as u64).read_to_end(&mut bytes)?;
    if bytes.len() < PRELUDE_BYTES || !bytes.starts_with(b"DBN") {
        let found = match &bytes[..] {
            [] => "an empty file".into(),
            // A Zstandard frame that readers skip; DBN's forerunner starts with it.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => "DBZ, its forerunner".into(),
            other => format!("bytes {other:02x?}"),
        };
        return Err(InputError::format(expected, found));
    }
    if !(1..=3).contains(&bytes[3]) {
        return Err(InputError::format(expected, format!("version {}", bytes[3])));
    }
    let length = u64::from(u32_at(&bytes, 4));
    if length > METADATA_BYTES_MAX {
        return Err(InputError::format(
            format!("at most {METADATA_BYTES_MAX} bytes of metadata"),
            format!("{length} bytes"),
        ));
    }
    // Grows with what is there and not by what the file promises.
    let found = (&mut reader).take(length).read_to_end(&mut bytes)? as u64;
    if found < length {
        return Err(InputError::Truncated { offset: PRELUDE_BYTES as u64, expected: length, found });
    }
    let mut machine = DbnFsm::builder().build().map_err(damaged)?;
    machine.write_all(&bytes);
    match machine.process() {
        ProcessResult::Metadata(metadata) => {
            Ok(Opened { reader, metadata: Box::new(metadata), offset: bytes.len() as u64 })
        }
        ProcessResult::Err(error) => Err(damaged(error)),
        ProcessResult::ReadMore(_) | ProcessResult::Record(()) => {
            Err(InputError::format("whole DBN metadata", "a part of it"))
        }
    }
}

fn damaged(error: ::dbn::Error) -> InputError {
    InputError::Io(io::Error::new(io::ErrorKind::InvalidData, error))
}

impl<R: BufRead> Opened<R> {
    /// What the metadata says the records are; `None` for a live recording with records of any type.
    ///
    /// # Errors
    /// When it is a schema that is not read.
    pub fn schema(&self) -> Result<Option<DbnSchema>, InputError> {
        match self.metadata.schema {
            None => Ok(None),
            Some(Schema::Trades) => Ok(Some(DbnSchema::Trades)),
            Some(Schema::Mbo) => Ok(Some(DbnSchema::Mbo)),
            // Top of book at each trade has the same records.
            Some(Schema::Mbp1 | Schema::Tbbo) => Ok(Some(DbnSchema::Mbp1)),
            Some(other) => Err(InputError::format("DBN records of trades, mbo or mbp-1", other.to_string())),
        }
    }

    /// Decodes the records of one type; others are skipped.
    pub fn records<T: DbnRecord>(self, symbols: SymbolTable) -> Records<R, T> {
        Records {
            reader: self.reader,
            offset: self.offset,
            record: [0; RECORD_BYTES_MAX],
            number: 0,
            instruments: Instruments::new(&self.metadata),
            symbols,
            records: PhantomData,
        }
    }
}

/// A record's length is a byte of 4-byte units.
const RECORD_BYTES_MAX: usize = u8::MAX as usize * LENGTH_UNIT;

/// The decoder of [`Opened::records`].
pub struct Records<R, T> {
    reader: R,
    /// Unpacked bytes before the next record.
    offset: u64,
    record: [u8; RECORD_BYTES_MAX],
    number: u64,
    instruments: Instruments,
    symbols: SymbolTable,
    records: PhantomData<T>,
}

impl<R: BufRead, T> Records<R, T> {
    /// Fills `record[from..to]`, or says that the file ends before.
    fn fill(&mut self, from: usize, to: usize) -> Result<usize, InputError> {
        let mut at = from;
        while at < to {
            match self.reader.read(&mut self.record[at..to]) {
                Ok(0) => break,
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(at)
    }
}

impl<R: BufRead, T: DbnRecord> Decode for Records<R, T> {
    type Event = T;

    fn decode(&mut self) -> Result<Option<Decoded<T>>, InputError> {
        let offset = self.offset;
        let truncated = |expected: usize, found: usize| InputError::Truncated {
            offset,
            expected: expected as u64,
            found: found as u64,
        };
        let found = self.fill(0, HEADER_BYTES)?;
        if found == 0 {
            return Ok(None);
        }
        if found < HEADER_BYTES {
            return Err(truncated(HEADER_BYTES, found));
        }
        let length = usize::from(self.record[0]) * LENGTH_UNIT;
        if length < HEADER_BYTES {
            return Err(InputError::format(
                format!("a DBN record of at least {HEADER_BYTES} bytes at byte {offset}"),
                format!("{length} bytes"),
            ));
        }
        let found = self.fill(HEADER_BYTES, length)?;
        if found < length {
            return Err(truncated(length, found));
        }
        self.offset += length as u64;
        self.number += 1;
        let record = &self.record[..length];
        if byte(record, HD_RTYPE) != T::RTYPE {
            return Ok(Some(Decoded::Skipped(SkipReason::RecordType)));
        }
        Ok(Some(match read_record(record, &mut self.instruments, &mut self.symbols) {
            Ok(event) => Decoded::Event(event),
            Err(reason) => Decoded::Rejected(Reject { line: self.number, reason, text: hex(record) }),
        }))
    }
}

fn read_record<T: DbnRecord>(
    record: &[u8],
    instruments: &mut Instruments,
    symbols: &mut SymbolTable,
) -> Result<T, RejectReason> {
    if record.len() < T::BYTES {
        return Err(RejectReason::RecordLength { rtype: T::RTYPE, expected: T::BYTES, found: record.len() });
    }
    let time = |field, at| {
        let found = u64_at(record, at);
        // The mark for an unknown time is the largest value of 64 bits.
        i64::try_from(found).map_err(|_| RejectReason::UndefinedTime { field, found })
    };
    let time_ns = time("ts_event", HD_EVENT)?;
    let receive_ns = time("ts_recv", T::RECEIVE)?;
    let symbol = instruments.symbol(u32_at(record, HD_INSTRUMENT), receive_ns, symbols)?;
    Ok(T::read(record, time_ns, receive_ns, symbol))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The texts of instruments by number and day.
#[derive(Default)]
struct Instruments {
    /// By instrument, sorted by start.
    names: HashMap<u32, Vec<Interval>>,
    /// The instrument seen last, until when and since when its symbol holds.
    last: Option<(u32, i64, i64, Symbol)>,
}

struct Interval {
    start_ns: i64,
    end_ns: i64,
    text: Box<str>,
}

impl Instruments {
    fn new(metadata: &Metadata) -> Self {
        let mut names: HashMap<u32, Vec<Interval>> = HashMap::new();
        // Without instrument numbers on one side, the records' numbers stay what they are.
        let Ok(inverse) = metadata.is_inverse() else { return Self::default() };
        for mapping in &metadata.mappings {
            for interval in &mapping.intervals {
                let (number, text) = match inverse {
                    true => (&mapping.raw_symbol, &interval.symbol),
                    false => (&interval.symbol, &mapping.raw_symbol),
                };
                let Ok(number) = number.parse() else { continue };
                if text.is_empty() {
                    continue;
                }
                let start = interval.start_date.midnight().assume_utc().unix_timestamp();
                let end = interval.end_date.midnight().assume_utc().unix_timestamp();
                names.entry(number).or_default().push(Interval {
                    start_ns: start.saturating_mul(NANOS_PER_SECOND),
                    end_ns: end.saturating_mul(NANOS_PER_SECOND),
                    text: text.as_str().into(),
                });
            }
        }
        for intervals in names.values_mut() {
            intervals.sort_by_key(|interval| interval.start_ns);
        }
        Self { names, last: None }
    }

    fn symbol(&mut self, number: u32, time_ns: i64, symbols: &mut SymbolTable) -> Result<Symbol, RejectReason> {
        if let Some((last, start_ns, end_ns, symbol)) = self.last
            && last == number
            && (start_ns..end_ns).contains(&time_ns)
        {
            return Ok(symbol);
        }
        let interval = self.names.get(&number).and_then(|intervals| {
            let after = intervals.partition_point(|interval| interval.start_ns <= time_ns);
            intervals.get(after.checked_sub(1)?).filter(|interval| time_ns < interval.end_ns)
        });
        match interval {
            Some(interval) => {
                let symbol = symbols.intern(&interval.text)?;
                self.last = Some((number, interval.start_ns, interval.end_ns, symbol));
                Ok(symbol)
            }
            None => Ok(symbols.intern(&number.to_string())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3 metadata without symbols.
    fn metadata(schema: u16) -> Vec<u8> {
        let mut fixed = vec![0; 16];
        fixed.extend_from_slice(&schema.to_le_bytes());
        fixed.extend_from_slice(&[0; 24]);
        fixed.extend_from_slice(&[0xff, 0, 0]);
        fixed.extend_from_slice(&71u16.to_le_bytes());
        fixed.extend_from_slice(&[0; 53]);
        fixed.extend_from_slice(&[0; 5 * 4]);
        let mut bytes = b"DBN\x03".to_vec();
        bytes.extend_from_slice(&(fixed.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&fixed);
        bytes
    }

    fn trade(instrument: u32, ts_event: u64, ts_recv: u64) -> Vec<u8> {
        let mut bytes = vec![12, 0, 1, 0];
        bytes.extend_from_slice(&instrument.to_le_bytes());
        bytes.extend_from_slice(&ts_event.to_le_bytes());
        bytes.extend_from_slice(&4_810_000_000_000i64.to_le_bytes());
        bytes.extend_from_slice(&5u32.to_le_bytes());
        bytes.extend_from_slice(b"TA\x81\x02");
        bytes.extend_from_slice(&ts_recv.to_le_bytes());
        bytes.extend_from_slice(&7i32.to_le_bytes());
        bytes.extend_from_slice(&9u32.to_le_bytes());
        bytes
    }

    fn all(bytes: &[u8]) -> Result<(Vec<Decoded<DbnTrade>>, SymbolTable), InputError> {
        let symbols = SymbolTable::default();
        let mut records = open(bytes)?.records(symbols.clone());
        let mut found = Vec::new();
        while let Some(decoded) = records.decode()? {
            found.push(decoded);
        }
        Ok((found, symbols))
    }

    #[test]
    fn a_trade_field_by_field_and_bad_records_one_by_one() {
        let mut bytes = metadata(4);
        bytes.extend(trade(5482, 100, 101));
        bytes.extend(trade(5482, u64::MAX, 101));
        bytes.extend(trade(5482, 100, u64::MAX));
        // A length that would misalign what follows, and a record that is too short for its type.
        bytes.extend([5, 0x17, 0, 0].iter().chain(&[0; 16]));
        bytes.extend([5, 0, 0, 0].iter().chain(&[0; 16]));
        bytes.extend(trade(5482, 102, 103));
        let (found, symbols) = all(&bytes).unwrap();
        let first = DbnTrade {
            time_ns: 100,
            receive_ns: 101,
            price: 4_810_000_000_000,
            size: 5,
            sequence: 9,
            symbol: Symbol::from_id(0),
            action: b'T',
            side: b'A',
            flags: 0x81,
            depth: 2,
        };
        assert_eq!(found[0], Decoded::Event(first));
        assert_eq!(found[5], Decoded::Event(DbnTrade { time_ns: 102, receive_ns: 103, ..first }));
        assert_eq!(found[3], Decoded::Skipped(SkipReason::RecordType));
        let reasons: Vec<_> = found
            .iter()
            .filter_map(|decoded| match decoded {
                Decoded::Rejected(reject) => Some((reject.line, reject.reason.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(
            reasons,
            [
                (2, RejectReason::UndefinedTime { field: "ts_event", found: u64::MAX }),
                (3, RejectReason::UndefinedTime { field: "ts_recv", found: u64::MAX }),
                (5, RejectReason::RecordLength { rtype: 0, expected: 48, found: 20 }),
            ]
        );
        assert_eq!(symbols.dictionary().texts().len(), 1);
        assert_eq!(symbols.dictionary().text(first.symbol).as_deref(), Some("5482"));
    }

    #[test]
    fn every_cut_is_an_error_or_a_whole_record() {
        let mut bytes = metadata(4);
        let start = bytes.len();
        bytes.extend(trade(1, 100, 101));
        bytes.extend(trade(1, 100, 101));
        for cut in 0..bytes.len() {
            let whole = cut >= start && (cut - start).is_multiple_of(48);
            assert_eq!(all(&bytes[..cut]).is_ok(), whole, "{cut}");
        }
        bytes[start] = 3;
        assert!(matches!(all(&bytes), Err(InputError::Format { .. })));
    }

    #[test]
    fn foreign_and_hostile_starts_are_refused() {
        for bytes in [
            &b""[..],
            b"DB",
            b"ts,price\n1,2\n",
            b"DBN\x04\0\0\0\0",
            b"DBN\x00\0\0\0\0",
            b"DBN\x03\xff\xff\xff\xff",
            b"DBN\x03\x00\x00\x00\x08",
            b"DBN\x01\x00\x00\x00\x00",
            b"\x51\x2a\x4d\x18aaaa",
        ] {
            assert!(open(bytes).is_err(), "{bytes:02x?}");
        }
        let whole = metadata(4);
        assert!(open(&whole[..]).is_ok());
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                // An error or not, but nothing worse.
                let _ = open(&flipped[..]).map(|opened| opened.schema().is_ok());
            }
        }
    }
}
