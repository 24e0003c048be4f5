//! What is imported, and how: formats and options as they are given on a command line.

use crate::codec::InputLimits;
use crate::codec::SymbolTable;
use crate::codec::binance::Streams;
#[cfg(feature = "dbn")]
use crate::codec::dbn::DbnSchema;
use crate::codec::header::CsvHeader;
use crate::codec::schema::CsvSchema;
use crate::codec::time::{Date, TimeError, UtcOffset};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The format of the input files.
///
/// ```
/// use pelton_io::import::Format;
/// assert_eq!("lean-trade".parse(), Ok(Format::LeanTrade));
/// assert!("pdf".parse::<Format>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// US equity trades: [`codec::lean`](crate::codec::lean). Events: [`Trade`](crate::Trade).
    LeanTrade,
    /// US equity quotes: [`codec::lean`](crate::codec::lean). Events: [`Quote`](crate::codec::lean::Quote).
    LeanQuote,
    /// WebSocket frames: [`codec::binance`](crate::codec::binance). Events:
    /// [`BinanceEvent`](crate::codec::binance::BinanceEvent).
    Binance,
    /// Databento's encoding: [`codec::dbn`](crate::codec::dbn). Without a schema, the first file says it.
    #[cfg(feature = "dbn")]
    Dbn(Option<DbnSchema>),
    /// Delimited text with a schema: [`codec::csv`](crate::codec::csv).
    Csv,
}

/// The text names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {found:?}: expected {expected}")]
pub struct FormatError {
    found: String,
    expected: String,
}

impl Format {
    /// The names of all formats of this build.
    pub const NAMES: &[&str] = &[
        "lean-trade",
        "lean-quote",
        "binance",
        "csv",
        #[cfg(feature = "dbn")]
        "dbn",
        #[cfg(feature = "dbn")]
        "dbn-trades",
        #[cfg(feature = "dbn")]
        "dbn-mbo",
        #[cfg(feature = "dbn")]
        "dbn-mbp-1",
    ];
}

impl Format {
    /// Whether files of this format are text.
    pub(super) fn is_text(self) -> bool {
        match self {
            Self::LeanTrade | Self::LeanQuote | Self::Binance | Self::Csv => true,
            #[cfg(feature = "dbn")]
            Self::Dbn(_) => false,
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Ok(match text {
            "lean-trade" => Self::LeanTrade,
            "lean-quote" => Self::LeanQuote,
            "binance" => Self::Binance,
            "csv" => Self::Csv,
            #[cfg(feature = "dbn")]
            "dbn" => Self::Dbn(None),
            #[cfg(feature = "dbn")]
            "dbn-trades" => Self::Dbn(Some(DbnSchema::Trades)),
            #[cfg(feature = "dbn")]
            "dbn-mbo" => Self::Dbn(Some(DbnSchema::Mbo)),
            #[cfg(feature = "dbn")]
            "dbn-mbp-1" => Self::Dbn(Some(DbnSchema::Mbp1)),
            _ => {
                let mut expected = Self::NAMES.join(", ");
                if cfg!(not(feature = "dbn")) && text.starts_with("dbn") {
                    expected += "; this build is without the feature \"dbn\"";
                }
                return Err(FormatError { found: text.into(), expected });
            }
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeanTrade => f.write_str("lean-trade"),
            Self::LeanQuote => f.write_str("lean-quote"),
            Self::Binance => f.write_str("binance"),
            #[cfg(feature = "dbn")]
            Self::Dbn(None) => f.write_str("dbn"),
            #[cfg(feature = "dbn")]
            Self::Dbn(Some(schema)) => write!(f, "dbn-{schema}"),
            Self::Csv => f.write_str("csv"),
        }
    }
}

/// The day of rows that hold a time of the day only.
///
/// ```
/// use pelton_io::import::Day;
/// assert_eq!("file".parse(), Ok(Day::FromName));
/// assert!("2013-10-08".parse::<Day>().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Day {
    /// 1970-01-01: times are then those of the day alone.
    #[default]
    Epoch,
    /// This day.
    Date(Date),
    /// The day in each file's name, such as `bac_20131008_trade.zip`.
    FromName,
}

impl FromStr for Day {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        match text {
            "file" => Ok(Self::FromName),
            _ => text.parse().map(Self::Date),
        }
    }
}

/// How files are imported. An option that a format has no use for is ignored by it.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The day of LEAN rows.
    pub day: Day,
    /// How far the clock of LEAN rows, and of `time[iso]` columns without an offset, is ahead of UTC.
    pub utc_offset: UtcOffset,
    /// The symbol of LEAN rows; without it, each file's name must have it.
    pub symbol: Option<String>,
    /// The Binance streams that become events.
    pub streams: Streams,
    /// The columns of delimited text; without it, the first line must be the schema.
    pub csv_schema: Option<CsvSchema>,
    /// What the first line of delimited text is, where the schema is given: by default
    /// [a header or a row](crate::codec::csv#the-header), for each file by itself.
    pub csv_header: CsvHeader,
    /// The byte between columns of delimited text.
    pub csv_delimiter: u8,
    /// Whether the first line that is rejected ends the import with an error.
    pub strict: bool,
    /// The most events of a block of the capture.
    pub block_events: u32,
    /// Whether an output that exists is replaced, once the new one is whole; otherwise it is an error.
    pub overwrite: bool,
    /// The capture's id: `None` for a random one; chosen, it makes equal inputs equal files.
    pub file_id: Option<u64>,
    /// Limits on each input.
    pub limits: InputLimits,
    /// The most different symbols of all inputs; lines with further ones are rejected.
    pub symbols_max: usize,
    /// Set to true by another thread, it ends the import with [`ImportError::Stopped`](super::ImportError::Stopped).
    pub stop: Arc<AtomicBool>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            day: Day::default(),
            utc_offset: UtcOffset::default(),
            symbol: None,
            streams: Streams::default(),
            csv_schema: None,
            csv_header: CsvHeader::default(),
            csv_delimiter: b',',
            strict: false,
            block_events: 4096,
            overwrite: false,
            file_id: None,
            limits: InputLimits::default(),
            symbols_max: SymbolTable::MAX_DEFAULT,
            stop: Arc::default(),
        }
    }
}
