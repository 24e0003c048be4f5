//! Event types that importers, generators and examples share.

use pelton::Symbol;

/// One trade of a market, in 32 bytes.
///
/// ```
/// use pelton::{Record, Symbol};
/// use pelton_io::events::Trade;
///
/// let trade = Trade { time_ns: 1, price: 1_000_000, size: 100, symbol: Symbol::from_id(0), ..Trade::default() };
/// assert_eq!(trade.price, 1_000_000);
/// assert_eq!(Trade::layout().size(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct Trade {
    /// When it happened, in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The price in the capture's fixed unit, such as 1/10,000 of a dollar.
    pub price: i64,
    /// The number of shares or contracts.
    pub size: u32,
    /// What was traded.
    pub symbol: Symbol,
    /// The feed's sale condition flags.
    pub condition: u32,
    /// The venue's short code, filled up with zeros.
    pub venue: [u8; 2],
    /// 1 where the feed marks the trade as suspicious, otherwise 0.
    pub suspicious: u8,
    /// The feed's kind of record: 0 for a trade.
    pub kind: u8,
}

const _: () = assert!(size_of::<Trade>() == 32 && align_of::<Trade>() == 8);
