//! Bars: open, high, low, close, volume and average price of each symbol and window.
//!
//! The aggregate takes any event that is [`Priced`]; [`BarTrade`] and [`FilteredTrade`] are what any
//! capture with a time, a symbol, a price and a size can be projected onto. Prices and sizes are
//! integers in the input's unit and stay exact; only the average is a float, divided once.

use crate::Trade;
use bytemuck::{Pod, Zeroable};
use pelton::{Aggregate, Event, Field, FieldKind, Layout, Pane, Record, Symbol, Timestamp};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::mem::offset_of;

/// An event of which bars can be made.
pub trait Priced: Event {
    /// What was traded.
    fn symbol(&self) -> Symbol;
    /// The price in the input's fixed unit.
    fn price(&self) -> i64;
    /// How much was traded, in the input's unit.
    fn size(&self) -> i64;
}

impl Priced for Trade {
    #[inline(always)]
    fn symbol(&self) -> Symbol {
        self.symbol
    }
    #[inline(always)]
    fn price(&self) -> i64 {
        self.price
    }
    #[inline(always)]
    fn size(&self) -> i64 {
        i64::from(self.size)
    }
}

/// A trade with nothing but what bars need; packed, so that no field fills a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C, packed)]
pub struct BarTrade {
    /// When it happened, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// The price in the input's fixed unit.
    pub price: i64,
    /// How much was traded, in the input's unit.
    pub size: i64,
    /// What was traded.
    pub symbol: Symbol,
}

/// A [`BarTrade`] with integers to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C, packed)]
pub struct FilteredTrade {
    /// When it happened, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// The price in the input's fixed unit.
    pub price: i64,
    /// How much was traded, in the input's unit.
    pub size: i64,
    /// What the row is filtered by: fields of the input, called `filter0` and so on here.
    pub filters: [i64; FilteredTrade::FILTERS],
    /// What was traded.
    pub symbol: Symbol,
}

impl FilteredTrade {
    /// How many fields of the input a row can be filtered by.
    pub const FILTERS: usize = 4;
    /// The names of the fields that hold them.
    pub const FILTER_NAMES: [&str; Self::FILTERS] = ["filter0", "filter1", "filter2", "filter3"];

    /// The trade without what it is filtered by.
    pub fn trade(&self) -> BarTrade {
        BarTrade { time_ns: self.time_ns, price: self.price, size: self.size, symbol: self.symbol }
    }
}

/// One bar: a line of the job's output.
///
/// Rows leave in order of (window end, symbol's text).
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Bar {
    /// The first nanosecond of the window.
    pub window_start: Timestamp,
    /// The first nanosecond behind the window.
    pub window_end: Timestamp,
    /// What was traded.
    pub symbol: Symbol,
    /// The price of the earliest trade; of trades at the same time, the first in the job's order.
    pub open: i64,
    /// The highest price.
    pub high: i64,
    /// The lowest price.
    pub low: i64,
    /// The price of the latest trade; of trades at the same time, the last in the job's order.
    pub close: i64,
    /// The sum of sizes.
    pub volume: i128,
    /// The number of trades.
    pub count: u64,
    /// The sum of price times size, divided by the volume; NaN where the volume is 0, or where the
    /// sum does not fit 128 bits.
    pub vwap: f64,
}

fn field(name: &'static str, kind: FieldKind, offset: usize) -> Field {
    Field { name: Cow::Borrowed(name), kind, offset, decimals: None, time: false }
}

impl Record for BarTrade {
    fn layout() -> Layout {
        let fields = vec![
            Field { time: true, ..field("time_ns", FieldKind::I64, offset_of!(Self, time_ns)) },
            field("price", FieldKind::I64, offset_of!(Self, price)),
            field("size", FieldKind::I64, offset_of!(Self, size)),
            field("symbol", FieldKind::Symbol, offset_of!(Self, symbol)),
        ];
        Layout::new("BarTrade", size_of::<Self>(), align_of::<Self>(), fields)
    }
}

impl Record for FilteredTrade {
    fn layout() -> Layout {
        let mut fields = vec![
            Field { time: true, ..field("time_ns", FieldKind::I64, offset_of!(Self, time_ns)) },
            field("price", FieldKind::I64, offset_of!(Self, price)),
            field("size", FieldKind::I64, offset_of!(Self, size)),
        ];
        for (i, name) in Self::FILTER_NAMES.into_iter().enumerate() {
            fields.push(field(name, FieldKind::I64, offset_of!(Self, filters) + i * size_of::<i64>()));
        }
        fields.push(field("symbol", FieldKind::Symbol, offset_of!(Self, symbol)));
        Layout::new("FilteredTrade", size_of::<Self>(), align_of::<Self>(), fields)
    }
}

impl Record for Bar {
    fn layout() -> Layout {
        let fields = vec![
            field("window_start", FieldKind::Timestamp, offset_of!(Self, window_start)),
            field("window_end", FieldKind::Timestamp, offset_of!(Self, window_end)),
            field("symbol", FieldKind::Symbol, offset_of!(Self, symbol)),
            field("open", FieldKind::I64, offset_of!(Self, open)),
            field("high", FieldKind::I64, offset_of!(Self, high)),
            field("low", FieldKind::I64, offset_of!(Self, low)),
            field("close", FieldKind::I64, offset_of!(Self, close)),
            field("volume", FieldKind::I128, offset_of!(Self, volume)),
            field("count", FieldKind::U64, offset_of!(Self, count)),
            Field { decimals: Some(6), ..field("vwap", FieldKind::F64, offset_of!(Self, vwap)) },
        ];
        Layout::new("Bar", size_of::<Self>(), align_of::<Self>(), fields)
    }
}

macro_rules! packed_trades {
    ($($name:ident)*) => {$(
        impl Event for $name {
            #[inline(always)]
            fn time(&self) -> Timestamp {
                Timestamp::from_nanos(self.time_ns)
            }
        }

        impl Priced for $name {
            #[inline(always)]
            fn symbol(&self) -> Symbol {
                self.symbol
            }
            #[inline(always)]
            fn price(&self) -> i64 {
                self.price
            }
            #[inline(always)]
            fn size(&self) -> i64 {
                self.size
            }
        }
    )*};
}

packed_trades! { BarTrade FilteredTrade }

/// The aggregate of bars.
///
/// ```
/// use pelton::{Job, Options, Tumbling, VecSource, collect};
/// use pelton_io::bars::{Bar, Priced, bars};
/// use pelton_io::generate::{TradeOptions, symbol_names, trades};
/// use std::time::Duration;
///
/// let options = TradeOptions { events: 1_000, keys: 1, ..TradeOptions::default() };
/// let source = VecSource::new(trades(&options).collect(), 4096).with_symbols(symbol_names(1));
/// let mut job = Job::new("bars");
/// let (sink, rows) = collect();
/// job.source("trades", source)
///     .key_by(Priced::symbol)
///     .window(Tumbling::of(Duration::from_secs(1)))
///     .aggregate_with("bars", bars(), Bar::new)
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// let (_, bar) = rows.take()[0];
/// assert_eq!({ bar.count }, 1_000);
/// assert!((bar.low as f64..=bar.high as f64).contains(&{ bar.vwap }));
/// # Ok::<(), pelton::Error>(())
/// ```
pub fn bars<T: Priced>() -> Bars<T> {
    Bars(PhantomData)
}

/// Made by [`bars`].
pub struct Bars<T>(PhantomData<fn(T)>);

impl<T> Clone for Bars<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T> std::fmt::Debug for Bars<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bars")
    }
}

/// The state of [`Bars`] for one symbol and window. Where `count` is 0, nothing else is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, pelton::Record)]
#[repr(C)]
pub struct BarState {
    /// The sum of price times size, or [`OVERFLOWN`]; 128 bits as bytes, which need no alignment.
    notional: [u8; 16],
    /// The sum of sizes; 2^64 rows would not fill it.
    volume: [u8; 16],
    count: u64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    open_ns: Timestamp,
    close_ns: Timestamp,
}

/// The sum of price times size left the range of 128 bits.
const OVERFLOWN: i128 = i128::MIN;

#[inline(always)]
fn add_notional(notional: &mut [u8; 16], value: i128) {
    let sum = match i128::from_le_bytes(*notional) {
        OVERFLOWN => OVERFLOWN,
        _ if value == OVERFLOWN => OVERFLOWN,
        sum => sum.checked_add(value).unwrap_or(OVERFLOWN),
    };
    *notional = sum.to_le_bytes();
}

#[inline(always)]
fn add_volume(volume: &mut [u8; 16], value: i128) {
    *volume = i128::from_le_bytes(*volume).wrapping_add(value).to_le_bytes();
}

impl Bar {
    /// The bar of a firing.
    pub fn new(pane: &Pane, symbol: &Symbol, acc: BarState) -> Self {
        let volume = i128::from_le_bytes(acc.volume);
        let vwap = match i128::from_le_bytes(acc.notional) {
            OVERFLOWN => f64::NAN,
            _ if volume == 0 => f64::NAN,
            notional => notional as f64 / volume as f64,
        };
        Self {
            window_start: pane.window.start,
            window_end: pane.window.end,
            symbol: *symbol,
            open: acc.open,
            high: acc.high,
            low: acc.low,
            close: acc.close,
            volume,
            count: acc.count,
            vwap,
        }
    }
}

impl<T: Priced> Aggregate for Bars<T> {
    type In = T;
    type Acc = BarState;
    type Value = BarState;

    #[inline(always)]
    fn add(&self, acc: &mut BarState, time: Timestamp, row: &T) {
        let (price, size) = (row.price(), row.size());
        if acc.count == 0 {
            (acc.open, acc.high, acc.low, acc.close) = (price, price, price, price);
            (acc.open_ns, acc.close_ns) = (time, time);
        } else {
            acc.high = acc.high.max(price);
            acc.low = acc.low.min(price);
            if time < acc.open_ns {
                (acc.open, acc.open_ns) = (price, time);
            }
            if time >= acc.close_ns {
                (acc.close, acc.close_ns) = (price, time);
            }
        }
        acc.count += 1;
        add_volume(&mut acc.volume, i128::from(size));
        add_notional(&mut acc.notional, i128::from(price) * i128::from(size));
    }

    fn merge(&self, acc: &mut BarState, later: &BarState) {
        if acc.count == 0 {
            *acc = *later;
            return;
        }
        acc.high = acc.high.max(later.high);
        acc.low = acc.low.min(later.low);
        if later.open_ns < acc.open_ns {
            (acc.open, acc.open_ns) = (later.open, later.open_ns);
        }
        if later.close_ns >= acc.close_ns {
            (acc.close, acc.close_ns) = (later.close, later.close_ns);
        }
        acc.count += later.count;
        add_volume(&mut acc.volume, i128::from_le_bytes(later.volume));
        add_notional(&mut acc.notional, i128::from_le_bytes(later.notional));
    }

    fn value(&self, acc: &BarState) -> BarState {
        *acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Format, RowEncoder};
    use pelton::{Timing, Window};
    use proptest::prelude::*;

    const PANE: Pane = Pane {
        window: Window { start: Timestamp::from_nanos(0), end: Timestamp::from_nanos(10) },
        number: 0,
        timing: Timing::OnTime,
    };

    fn state(rows: &[(i64, i64, i64)]) -> BarState {
        let mut acc = BarState::default();
        for &(time_ns, price, size) in rows {
            let row = BarTrade { time_ns, price, size, symbol: Symbol::from_id(0) };
            bars().add(&mut acc, row.time(), &row);
        }
        acc
    }

    fn bar(acc: &BarState) -> Bar {
        Bar::new(&PANE, &Symbol::from_id(0), bars::<BarTrade>().value(acc))
    }

    #[test]
    fn open_and_close_are_the_first_and_last_by_time_and_then_order() {
        let bar = bar(&state(&[(5, 10, 1), (3, 20, 2), (3, 30, 3), (7, 40, 4), (7, 50, 5), (4, 60, 6)]));
        assert_eq!(({ bar.open }, { bar.high }, { bar.low }, { bar.close }), (20, 60, 10, 50));
        assert_eq!(({ bar.volume }, { bar.count }), (21, 6));
        let expected = f64::from(10 + 40 + 90 + 160 + 250 + 360) / 21.0;
        assert_eq!({ bar.vwap }.to_bits(), expected.to_bits());
    }

    #[test]
    fn a_bar_is_written_with_its_columns_in_order() {
        let mut encoder = RowEncoder::new(&Bar::layout(), Format::Csv);
        let mut out = Vec::new();
        encoder.header(&mut out);
        encoder.row(bytemuck::bytes_of(&bar(&state(&[(1, 10, 1), (2, 11, 2)]))), &mut out);
        let expected = "window_start,window_end,symbol,open,high,low,close,volume,count,vwap\n\
                        0,10,#0,10,11,10,11,3,2,10.666667\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn sums_at_the_ends_of_the_range_are_exact_or_not_a_number() {
        let large = bar(&state(&[(1, i64::MAX, i64::MAX), (1, i64::MAX, i64::MAX)]));
        assert_eq!({ large.volume }, 2 * i128::from(i64::MAX));
        assert_eq!({ large.vwap }, i64::MAX as f64);
        let overflown = bar(&state(&[(1, i64::MIN, i64::MIN), (1, i64::MIN, i64::MIN), (1, 1, 1)]));
        assert!({ overflown.vwap }.is_nan());
        assert_eq!({ overflown.volume }, 2 * i128::from(i64::MIN) + 1);
        assert!({ bar(&state(&[(1, 5, 0)])).vwap }.is_nan());
    }

    proptest! {
        #[test]
        fn merged_parts_are_what_the_whole_is(
            rows in prop::collection::vec((0i64..10, any::<i32>(), any::<u32>()), 1..40), cut in any::<prop::sample::Index>()
        ) {
            let rows: Vec<_> = rows.into_iter().map(|(time, price, size)| (time, price.into(), size.into())).collect();
            let (head, tail) = rows.split_at(cut.index(rows.len()));
            let mut merged = state(head);
            bars::<BarTrade>().merge(&mut merged, &state(tail));
            prop_assert_eq!(merged, state(&rows));
        }
    }
}
