//! Bars as the obvious program computes them: one loop, one map, no engine.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A trade as text knows it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) symbol: String,
    pub(crate) price: i64,
    pub(crate) size: i64,
}

#[derive(Debug, Default)]
struct Bar {
    rows: Vec<Row>,
}

/// The job's output as CSV, and the numbers of the rows that were late.
///
/// A row is late when its window's last nanosecond is at or before the watermark, which is the
/// largest time before the row, less `out_of_orderness`, less 1 ns.
pub(crate) fn bars(rows: &[Row], window: i64, out_of_orderness: i64) -> (String, Vec<usize>) {
    let mut bars: BTreeMap<(i64, String), Bar> = BTreeMap::new();
    let mut late = Vec::new();
    let mut largest = None::<i64>;
    for (number, row) in rows.iter().enumerate() {
        let end = row.time.div_euclid(window) * window + window;
        if largest.is_some_and(|largest| largest - out_of_orderness > end - 1) {
            late.push(number);
        } else {
            bars.entry((end, row.symbol.clone())).or_default().rows.push(row.clone());
        }
        largest = Some(largest.map_or(row.time, |largest| largest.max(row.time)));
    }
    let mut text = String::from("window_start,window_end,symbol,open,high,low,close,volume,count,vwap\n");
    for ((end, symbol), Bar { mut rows }) in bars {
        // Stable: rows at the same time keep their order.
        rows.sort_by_key(|row| row.time);
        let (open, close, count) = (rows[0].price, rows[rows.len() - 1].price, rows.len());
        let high = rows.iter().map(|row| row.price).max().unwrap();
        let low = rows.iter().map(|row| row.price).min().unwrap();
        let volume: i128 = rows.iter().map(|row| i128::from(row.size)).sum();
        let notional: i128 = rows.iter().map(|row| i128::from(row.price) * i128::from(row.size)).sum();
        let vwap = notional as f64 / volume as f64;
        writeln!(text, "{},{end},{symbol},{open},{high},{low},{close},{volume},{count},{vwap:.6}", end - window)
            .unwrap();
    }
    (text, late)
}
