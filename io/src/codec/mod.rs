//! Decoders: from the bytes of a file to events of fixed layout, line by line or record by record.
//!
//! ```text
//! file ─ input (zip, gzip, zstd, plain; limits) ─ lines or records ─ decoder ─ event
//!                                                                       ├───── skipped, with a reason
//!                                                                       └───── rejected, with line and reason
//! ```
//! What cannot become an event is a value and not an end: a decoder goes on behind it. Only a file
//! that can no longer be read at all is an error. Numbers are exact: no decoder goes through a float
//! unless the field is one.
//!
//! ```
//! use pelton::Symbol;
//! use pelton_io::codec::{self, lean};
//!
//! let rows = "34200000,140000,100,P,2000,0\nnonsense\n34200005,140100,200,Q,0,0\n";
//! let options = lean::LeanOptions { symbol: Symbol::from_id(0), ..lean::LeanOptions::default() };
//! let (mut volume, mut refused) = (0, 0);
//! for trade in codec::events(lean::trades(rows.as_bytes(), options)) {
//!     match trade {
//!         Ok(trade) => volume += trade.size,
//!         Err(codec::DecodeError::Rejected(reject)) => refused = reject.line,
//!         Err(error) => panic!("{error}"),
//!     }
//! }
//! assert_eq!((volume, refused), (300, 2));
//! ```

pub mod binance;
pub mod csv;
#[cfg(feature = "dbn")]
pub mod dbn;
pub mod header;
pub mod input;
mod json;
pub mod lean;
pub mod lines;
pub mod number;
pub mod schema;
pub(crate) mod sniff;
mod symbols;
pub mod time;

pub use input::{Input, InputError, InputLimits};
pub use symbols::{SymbolTable, SymbolsFull};

use number::Problem;
use std::borrow::Cow;
use std::fmt;

/// The most bytes of a rejected line that are kept.
pub const REJECT_TEXT_BYTES_MAX: usize = 512;

/// What a line or record became.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded<T> {
    /// An event.
    Event(T),
    /// Nothing, by design.
    Skipped(SkipReason),
    /// Nothing, since it is not what it should be.
    Rejected(Reject),
}

/// Why a line or record is not an event although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// An empty line.
    Blank,
    /// The line with the columns' names.
    Header,
    /// A whole order book as a REST answer among the frames of a stream.
    Snapshot,
    /// A message of a feed that belongs to no stream, such as the answer to a subscription.
    NoStream,
    /// A frame of a stream that was not asked for.
    Stream,
    /// A record of a type that was not asked for.
    RecordType,
}

impl SkipReason {
    /// The number of reasons.
    pub const COUNT: usize = 6;

    /// All reasons, in the order of their values.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Blank, Self::Header, Self::Snapshot, Self::NoStream, Self::Stream, Self::RecordType];
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank line",
            Self::Header => "header",
            Self::Snapshot => "snapshot of a REST answer",
            Self::NoStream => "message of no stream",
            Self::Stream => "stream not asked for",
            Self::RecordType => "record type not asked for",
        })
    }
}

/// A line or record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The line or record, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: RejectReason,
    /// Its text, at most [`REJECT_TEXT_BYTES_MAX`] bytes of it; bytes that are not UTF-8 are replaced.
    pub text: String,
}

impl Reject {
    pub(crate) fn new(line: u64, reason: RejectReason, bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(REJECT_TEXT_BYTES_MAX)];
        Self { line, reason, text: String::from_utf8_lossy(shown).into_owned() }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Why a line or record was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The line is longer than allowed.
    #[error("the line is longer than {limit} bytes")]
    LineTooLong {
        /// The most bytes of a line.
        limit: usize,
    },
    /// The number of columns is wrong.
    #[error("expected {expected} columns, found {found}")]
    Columns {
        /// Columns by the format.
        expected: usize,
        /// Columns in the line.
        found: usize,
    },
    /// A quotation mark is not closed in its line.
    #[error("a quotation mark is not closed in its line")]
    Quote,
    /// One field is wrong.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name.
        field: Cow<'static, str>,
        /// What is wrong with its text.
        problem: Problem,
    },
    /// A field that the format asks for is not there.
    #[error("{field} is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// The text is not JSON.
    #[error("not JSON at byte {offset}: expected {expected}")]
    Json {
        /// Bytes from the start of the line.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The frame carries no exchange time and none could be inferred for it.
    #[error("no exchange time is known for the frame")]
    NoExchangeTime,
    /// The time is the format's mark for an unknown one, or outside the range of nanoseconds in 64 bits.
    #[error("{field}: no time, or outside of what 64 bits of nanoseconds hold: {found}")]
    UndefinedTime {
        /// The field's name.
        field: &'static str,
        /// The value found.
        found: u64,
    },
    /// The record's length does not fit its type.
    #[error("a record of type {rtype:#04x} has {expected} bytes, found {found}")]
    RecordLength {
        /// The record's type.
        rtype: u8,
        /// Bytes by the type.
        expected: usize,
        /// Bytes by the record's header.
        found: usize,
    },
    /// The symbol cannot be stored.
    #[error(transparent)]
    Symbol(#[from] SymbolsFull),
}

impl RejectReason {
    pub(crate) fn field(field: &'static str, problem: Problem) -> Self {
        Self::Field { field: Cow::Borrowed(field), problem }
    }
}

/// What [`events`] yields in place of an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// One line or record was refused; the next ones follow.
    #[error("{0}")]
    Rejected(Reject),
    /// The input cannot be read on; nothing follows.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// A decoder: asked for one line or record after the other.
pub trait Decode {
    /// What it makes of a line or record.
    type Event;

    /// What the next line or record became, or `None` behind the last one.
    ///
    /// # Errors
    /// When the input cannot be read on. After an error it must not be called again.
    fn decode(&mut self) -> Result<Option<Decoded<Self::Event>>, InputError>;
}

/// The events of a decoder as an iterator that leaves out what was skipped and ends after an
/// [`InputError`].
pub fn events<D: Decode>(decoder: D) -> Events<D> {
    Events { decoder: Some(decoder) }
}

/// The iterator of [`events`].
pub struct Events<D> {
    decoder: Option<D>,
}

impl<D: Decode> Iterator for Events<D> {
    type Item = Result<D::Event, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.decoder.as_mut()?.decode() {
                Ok(Some(Decoded::Event(event))) => return Some(Ok(event)),
                Ok(Some(Decoded::Rejected(reject))) => return Some(Err(DecodeError::Rejected(reject))),
                Ok(Some(Decoded::Skipped(_))) => {}
                Ok(None) => {
                    self.decoder = None;
                    return None;
                }
                Err(error) => {
                    self.decoder = None;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}
