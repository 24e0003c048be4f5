//! Real trades, whose ids are contiguous: each comes out once, however often the job was killed.

use crate::campaign::{Files, hold, kills_wanted};
use pelton::{Job, ProcessContext, ProcessFunction, Record, Timestamp, Watermarks};
use pelton_io::codec::binance::BinanceEvent;
use pelton_io::import::{Format, ImportOptions, import};
use pelton_io::sink::{Roll, Rolling, TextSink};
use pelton_io::{capture, csv};
use pelton_tests::data::data;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

pub(crate) const NAME: &str = "binance";

/// How many captures there are.
const MARKETS: u64 = 6;

/// A trade of one market.
#[derive(Clone, Copy, Record)]
#[repr(C)]
struct MarketTrade {
    market: u64,
    id: u64,
    /// How many trades of the market came before it.
    before: u64,
}

/// Counts the trades of a market.
#[derive(Clone)]
struct Counted;

impl ProcessFunction<u64> for Counted {
    type In = MarketTrade;
    type State = u64;
    type Out = MarketTrade;

    fn on_row(
        &self,
        _: &u64,
        _: Timestamp,
        trade: &MarketTrade,
        before: &mut u64,
        context: &mut ProcessContext<'_, MarketTrade>,
    ) {
        context.emit(MarketTrade { before: *before, ..*trade });
        *before += 1;
    }
}

pub(crate) fn job(inputs: &Path, out: &Path) -> Job {
    let mut job = Job::new(NAME);
    let mut markets = (0..MARKETS).map(|market| {
        let path = inputs.join(format!("{market}.pelton"));
        job.source(&format!("market {market}"), capture::replay::<BinanceEvent>(path).unwrap())
            .watermarks(Watermarks::bounded(Duration::from_millis(100)))
            .filter(|frame| frame.kind == BinanceEvent::TRADE)
            .map(move |frame| MarketTrade { market, id: frame.id, before: 0 })
    });
    let first = markets.next().unwrap();
    let second = markets.next().unwrap();
    let all = markets.fold(first.union(second), |all, market| all.union(market));
    let counted = all.key_by(|trade| trade.market).process("counted", Counted);
    counted.clone().sink("trades_csv", csv::create(out.join("trades.csv")).unwrap());
    let rolling = Rolling::new(out.join("rolled.csv"), Roll::bytes(50_000));
    counted.sink("rolled_csv", TextSink::rolling(rolling, pelton_io::sink::Format::Csv).unwrap());
    job
}

/// Whether the ids in the lines of files are those of the truth, each once.
fn check<'a>(files: impl Iterator<Item = &'a Vec<u8>>, truth: &[(u64, u64, u64)]) -> Result<(), String> {
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for file in files {
        for line in std::str::from_utf8(file).map_err(|error| error.to_string())?.lines().skip(1) {
            let columns: Vec<u64> = line.split(',').filter_map(|text| text.parse().ok()).collect();
            let [market, id, before] = *columns else { return Err(format!("the line {line:?}")) };
            let ids = found.entry(market).or_default();
            ids.push(id);
            if ids.len() as u64 != before + 1 {
                return Err(format!("market {market}: trade {id} is number {}, not {before}", ids.len() - 1));
            }
        }
    }
    for (market, (count, min, max)) in truth.iter().enumerate() {
        let ids = found.remove(&(market as u64)).unwrap_or_default();
        let unique: BTreeSet<u64> = ids.iter().copied().collect();
        let duplicates = ids.len() - unique.len();
        let is = (unique.len() as u64, unique.first().copied(), unique.last().copied(), duplicates);
        if is != (*count, Some(*min), Some(*max), 0) {
            return Err(format!("market {market}: count, least, largest, duplicates: {is:?}"));
        }
    }
    Ok(())
}

pub(crate) fn test() {
    let Some(dir) = data("each_trade_of_a_job_that_is_killed_anywhere_is_there_once", "binance_ws") else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(dir.join("TRUTH.json")).unwrap()).unwrap();
    let inputs = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (market, file) in truth.as_array().unwrap().iter().enumerate() {
        let path = inputs.path().join(format!("{market}.pelton"));
        // Blocks are what a job goes on from.
        let options =
            ImportOptions { block_events: 512, streams: "trade".parse().unwrap(), ..ImportOptions::default() };
        let from = dir.join(file["file"].as_str().unwrap());
        import(Format::Binance, &[from], &path, &options, &mut |_| {}).unwrap();
        let number = |name: &str| file[name].as_u64().unwrap();
        assert_eq!((number("missing_ids"), number("dup_trades")), (0, 0));
        expected.push((number("trade_ids"), number("id_min"), number("id_max")));
    }
    assert_eq!(expected.len() as u64, MARKETS);
    hold(NAME, inputs.path(), kills_wanted(6), |files: &Files| {
        check([&files["trades.csv"]].into_iter(), &expected)?;
        check(files.iter().filter(|(name, _)| name.starts_with("rolled")).map(|(_, bytes)| bytes), &expected)
    });
    let trades: u64 = expected.iter().map(|(count, ..)| count).sum();
    println!("{trades} trades of {MARKETS} markets, each once");
}
