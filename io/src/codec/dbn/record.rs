//! The events of DBN records, each read at the offsets that the vendor's structs prove when this compiles.

use pelton::Symbol;
use std::mem::offset_of;

/// One trade, in 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct DbnTrade {
    /// The venue's time in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The capture server's time in nanoseconds since the epoch.
    pub receive_ns: i64,
    /// The price in units of 1e-9; `i64::MAX` for none.
    pub price: i64,
    /// The quantity.
    pub size: u32,
    /// The venue's sequence number.
    pub sequence: u32,
    /// What was traded.
    pub symbol: Symbol,
    /// `T`.
    pub action: u8,
    /// The aggressor: `A` sold, `B` bought, `N` unknown.
    pub side: u8,
    /// The record's flags.
    pub flags: u8,
    /// The book level.
    pub depth: u8,
}

/// One message about an order, in 48 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct Mbo {
    /// The venue's time in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The capture server's time in nanoseconds since the epoch.
    pub receive_ns: i64,
    /// The order's id at the venue.
    pub order_id: u64,
    /// The price in units of 1e-9; `i64::MAX` for none.
    pub price: i64,
    /// The quantity.
    pub size: u32,
    /// The venue's sequence number.
    pub sequence: u32,
    /// What the order is for.
    pub symbol: Symbol,
    /// `A`dd, `C`ancel, `M`odify, clea`R`, `T`rade, `F`ill or `N`one.
    pub action: u8,
    /// `A`sk, `B`id or `N`one.
    pub side: u8,
    /// The record's flags.
    pub flags: u8,
    /// The channel.
    pub channel: u8,
}

/// One change of the best bid or ask, or a trade, with the book's top after it, in 72 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Default, pelton::Event)]
#[repr(C)]
pub struct Mbp1 {
    /// The venue's time in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The capture server's time in nanoseconds since the epoch.
    pub receive_ns: i64,
    /// The order's or trade's price in units of 1e-9; `i64::MAX` for none.
    pub price: i64,
    /// The best bid in units of 1e-9; `i64::MAX` for none.
    pub bid_price: i64,
    /// The best ask in units of 1e-9; `i64::MAX` for none.
    pub ask_price: i64,
    /// The order's or trade's quantity.
    pub size: u32,
    /// The quantity at the best bid.
    pub bid_size: u32,
    /// The quantity at the best ask.
    pub ask_size: u32,
    /// The orders at the best bid.
    pub bid_count: u32,
    /// The orders at the best ask.
    pub ask_count: u32,
    /// The venue's sequence number.
    pub sequence: u32,
    /// What the book is of.
    pub symbol: Symbol,
    /// `A`dd, `C`ancel, `M`odify, clea`R`, `T`rade or `N`one.
    pub action: u8,
    /// `A`sk, `B`id or `N`one.
    pub side: u8,
    /// The record's flags.
    pub flags: u8,
    /// The book level.
    pub depth: u8,
}

/// An event that a record decodes to: [`DbnTrade`], [`Mbo`] or [`Mbp1`].
pub trait DbnRecord: pelton::Event + sealed::Record {}
impl DbnRecord for DbnTrade {}
impl DbnRecord for Mbo {}
impl DbnRecord for Mbp1 {}

pub(super) mod sealed {
    use pelton::Symbol;

    pub trait Record: Sized {
        /// The record's type.
        const RTYPE: u8;
        /// The record's size in bytes, at least.
        const BYTES: usize;
        /// The offset of `ts_recv`.
        const RECEIVE: usize;
        /// Reads a record of at least [`Record::BYTES`] bytes.
        fn read(bytes: &[u8], time_ns: i64, receive_ns: i64, symbol: Symbol) -> Self;
    }
}

pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at).cast_signed()
}

pub(super) const HD_RTYPE: usize = offset_of!(::dbn::RecordHeader, rtype);
pub(super) const HD_INSTRUMENT: usize = offset_of!(::dbn::RecordHeader, instrument_id);
pub(super) const HD_EVENT: usize = offset_of!(::dbn::RecordHeader, ts_event);

impl sealed::Record for DbnTrade {
    const RTYPE: u8 = ::dbn::rtype::MBP_0;
    const BYTES: usize = size_of::<::dbn::TradeMsg>();
    const RECEIVE: usize = offset_of!(::dbn::TradeMsg, ts_recv);

    fn read(bytes: &[u8], time_ns: i64, receive_ns: i64, symbol: Symbol) -> Self {
        use ::dbn::TradeMsg as Msg;
        Self {
            time_ns,
            receive_ns,
            price: i64_at(bytes, offset_of!(Msg, price)),
            size: u32_at(bytes, offset_of!(Msg, size)),
            sequence: u32_at(bytes, offset_of!(Msg, sequence)),
            symbol,
            action: byte(bytes, offset_of!(Msg, action)),
            side: byte(bytes, offset_of!(Msg, side)),
            flags: byte(bytes, offset_of!(Msg, flags)),
            depth: byte(bytes, offset_of!(Msg, depth)),
        }
    }
}

impl sealed::Record for Mbo {
    const RTYPE: u8 = ::dbn::rtype::MBO;
    const BYTES: usize = size_of::<::dbn::MboMsg>();
    const RECEIVE: usize = offset_of!(::dbn::MboMsg, ts_recv);

    fn read(bytes: &[u8], time_ns: i64, receive_ns: i64, symbol: Symbol) -> Self {
        use ::dbn::MboMsg as Msg;
        Self {
            time_ns,
            receive_ns,
            order_id: u64_at(bytes, offset_of!(Msg, order_id)),
            price: i64_at(bytes, offset_of!(Msg, price)),
            size: u32_at(bytes, offset_of!(Msg, size)),
            sequence: u32_at(bytes, offset_of!(Msg, sequence)),
            symbol,
            action: byte(bytes, offset_of!(Msg, action)),
            side: byte(bytes, offset_of!(Msg, side)),
            flags: byte(bytes, offset_of!(Msg, flags)),
            channel: byte(bytes, offset_of!(Msg, channel_id)),
        }
    }
}

impl sealed::Record for Mbp1 {
    const RTYPE: u8 = ::dbn::rtype::MBP_1;
    const BYTES: usize = size_of::<::dbn::Mbp1Msg>();
    const RECEIVE: usize = offset_of!(::dbn::Mbp1Msg, ts_recv);

    fn read(bytes: &[u8], time_ns: i64, receive_ns: i64, symbol: Symbol) -> Self {
        use ::dbn::{BidAskPair as Pair, Mbp1Msg as Msg};
        const TOP: usize = offset_of!(Msg, levels);
        Self {
            time_ns,
            receive_ns,
            price: i64_at(bytes, offset_of!(Msg, price)),
            bid_price: i64_at(bytes, TOP + offset_of!(Pair, bid_px)),
            ask_price: i64_at(bytes, TOP + offset_of!(Pair, ask_px)),
            size: u32_at(bytes, offset_of!(Msg, size)),
            bid_size: u32_at(bytes, TOP + offset_of!(Pair, bid_sz)),
            ask_size: u32_at(bytes, TOP + offset_of!(Pair, ask_sz)),
            bid_count: u32_at(bytes, TOP + offset_of!(Pair, bid_ct)),
            ask_count: u32_at(bytes, TOP + offset_of!(Pair, ask_ct)),
            sequence: u32_at(bytes, offset_of!(Msg, sequence)),
            symbol,
            action: byte(bytes, offset_of!(Msg, action)),
            side: byte(bytes, offset_of!(Msg, side)),
            flags: byte(bytes, offset_of!(Msg, flags)),
            depth: byte(bytes, offset_of!(Msg, depth)),
        }
    }
}
