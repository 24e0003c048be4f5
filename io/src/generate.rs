//! Trades made up from a seed: the same options give the same trades, on any machine.

use crate::Trade;
use pelton::Symbol;
use std::time::Duration;

/// What to make up.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeOptions {
    /// How many trades.
    pub events: u64,
    /// How many symbols, at least 1: ids `0 .. keys`, named by [`symbol_names`].
    pub keys: u32,
    /// Where the random numbers start.
    pub seed: u64,
    /// The first trade's time, in nanoseconds since the epoch.
    pub start_ns: i64,
    /// Trades per second of event time, at least 1.
    pub rate: u64,
    /// The most that a trade lies behind the trades before it; about half of them do by some of it.
    pub disorder: Duration,
}

impl Default for TradeOptions {
    fn default() -> Self {
        Self {
            events: 1_000_000,
            keys: 1_000,
            seed: 1,
            // 2024-01-02T14:30:00Z: a New York session's start.
            start_ns: 1_704_205_800_000_000_000,
            rate: 1_000_000,
            disorder: Duration::ZERO,
        }
    }
}

/// The texts of the symbols of `keys` keys, in the order of their ids: `S00000`, `S00001` ..
///
/// ```
/// let names: Vec<String> = pelton_io::generate::symbol_names(2).collect();
/// assert_eq!(names, ["S00000", "S00001"]);
/// ```
pub fn symbol_names(keys: u32) -> impl ExactSizeIterator<Item = String> {
    (0..keys.max(1)).map(|key| format!("S{key:05}"))
}

/// Trades whose prices walk at random, each key on its own.
///
/// ```
/// use pelton_io::generate::{TradeOptions, trades};
///
/// let options = TradeOptions { events: 1_000, keys: 10, ..TradeOptions::default() };
/// assert!(trades(&options).eq(trades(&options)));
/// assert_eq!(trades(&options).count(), 1_000);
/// ```
pub fn trades(options: &TradeOptions) -> Trades {
    let keys = options.keys.max(1);
    let mut random = Random::new(options.seed);
    // In 1/10,000 of a dollar: 10 to 500 dollars.
    let prices = (0..keys).map(|_| 100_000 + i64::from(random.below(4_900_000))).collect();
    let step_fixed = (1_000_000_000u128 << FRACTION_BITS) / u128::from(options.rate.max(1));
    Trades {
        left: options.events,
        prices,
        random,
        time_fixed: 0,
        step_fixed,
        start_ns: options.start_ns,
        disorder_ns: u64::try_from(options.disorder.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64),
    }
}

/// Bits of event time below the nanosecond, so that any rate is kept exactly enough.
const FRACTION_BITS: u32 = 32;
const VENUES: [[u8; 2]; 4] = [*b"N\0", *b"Q\0", *b"P\0", *b"Z\0"];

/// The iterator of [`trades`].
#[derive(Debug, Clone)]
pub struct Trades {
    left: u64,
    /// The last price of each key, at least 1.
    prices: Vec<i64>,
    random: Random,
    /// Time since the start, in nanoseconds with [`FRACTION_BITS`] more bits.
    time_fixed: u128,
    step_fixed: u128,
    start_ns: i64,
    disorder_ns: u64,
}

impl Iterator for Trades {
    type Item = Trade;

    #[inline]
    fn next(&mut self) -> Option<Trade> {
        self.left = self.left.checked_sub(1)?;
        let (a, b) = (self.random.next(), self.random.next());
        let key = scale(a as u32, self.prices.len() as u32);
        let price = &mut self.prices[key as usize];
        // -32 ..= 31 ticks, moved back up when it would cross zero.
        let walked = *price + ((a >> 32) & 63) as i64 - 32;
        *price = if walked < 1 { 1 } else { walked };
        let on_time = self.start_ns.saturating_add(i64::try_from(self.time_fixed >> FRACTION_BITS).unwrap_or(i64::MAX));
        self.time_fixed += self.step_fixed;
        let behind = if self.disorder_ns > 0 && b & 1 == 1 {
            ((u128::from(b) * u128::from(self.disorder_ns)) >> 64) as i64
        } else {
            0
        };
        Some(Trade {
            time_ns: on_time.saturating_sub(behind),
            price: *price,
            size: 1 + ((a >> 40) & 1023) as u32,
            symbol: Symbol::from_id(key),
            condition: ((a >> 50) & 15) as u32,
            venue: VENUES[((a >> 54) & 3) as usize],
            suspicious: u8::from((a >> 56) == 0),
            kind: 0,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

/// `value` from all of `u32` to `0 .. below`.
fn scale(value: u32, below: u32) -> u32 {
    ((u64::from(value) * u64::from(below)) >> 32) as u32
}

/// xoshiro256++, seeded by splitmix64; both by Blackman and Vigna, in the public domain.
#[derive(Debug, Clone)]
struct Random([u64; 4]);

impl Random {
    fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    fn below(&mut self, below: u32) -> u32 {
        scale(self.next() as u32, below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // The first outputs of splitmix64 from 1234567, and of xoshiro256++ from 1, 2, 3, 4.
        assert_eq!(Random::new(1_234_567).0[..2], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!([random.next(), random.next(), random.next()], [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn trades_keep_the_rate_the_bound_of_disorder_and_the_keys() {
        let disorder = Duration::from_millis(5);
        let options = TradeOptions { events: 50_000, keys: 7, rate: 3, disorder, start_ns: 0, ..Default::default() };
        let mut largest = i64::MIN;
        let mut behind = 0;
        let mut seen = [0u32; 7];
        for (i, trade) in trades(&options).enumerate() {
            let on_time = (i as i128 * 1_000_000_000 / 3) as i64;
            assert!((0..5_000_000).contains(&(on_time - trade.time_ns + 1)), "{i}: {trade:?}");
            behind += usize::from(on_time - trade.time_ns > 1);
            largest = largest.max(trade.time_ns);
            assert!(trade.price > 0 && trade.size > 0);
            seen[trade.symbol.id() as usize] += 1;
        }
        assert!((20_000..30_000).contains(&behind), "{behind}");
        assert!(seen.iter().all(|count| *count > 5_000), "{seen:?}");
        assert_ne!(trades(&options).next(), trades(&TradeOptions { seed: 2, ..options }).next());
    }
}
