//! `convert`, and replays of what it made: delimited text, and real days where they are at hand.

use crate::naive::{self, Row};
use crate::support::Place;
use crate::usage::column;
use pelton_tests::data::data;

#[test]
fn delimited_text_becomes_bars() {
    let place = Place::new();
    // The dictionaries of the two files give the symbols different ids.
    let lines = |symbols: [&str; 3], first: i64| {
        let mut rows = Vec::new();
        for i in 0..3_000 {
            let symbol = symbols[i as usize % 3].to_owned();
            rows.push(Row {
                time: (first + 3 * i) * 1_000_000,
                symbol,
                price: 100 + (i * 7919) % 101,
                size: 1 + i % 13,
            });
        }
        rows
    };
    let (a, b) = (lines(["BAC", "AIG", "IBM"], 0), lines(["SPY", "IBM", "BAC"], 1));
    for (name, rows, size) in [("a", &a, "size"), ("b", &b, "quantity")] {
        let mut text = format!("at:time[ms],symbol:symbol,price:i32,{size}:u16,kind:u8\n");
        for (i, row) in rows.iter().enumerate() {
            text += &format!("{},{},{},{},{}\n", row.time / 1_000_000, row.symbol, row.price, row.size, i % 2);
        }
        place.write(&format!("{name}.csv"), text);
        let said = place.done(&format!("convert --from csv --block 100 {name}.csv {name}.pelton")).stderr;
        assert!(said.contains("3000 events written, 0 rejected"), "{said}");
    }
    let mut both: Vec<Row> = a.iter().chain(&b).cloned().collect();
    both.sort_by_key(|row| row.time);
    let (expected, _) = naive::bars(&both, 1_000_000_000, 0);
    for workers in [1, 2, 3, 8] {
        place.done(&format!("replay a.pelton b.pelton --window 1s --overwrite --out bars.csv --workers {workers}"));
        assert!(place.read("bars.csv") == expected, "{workers}");
    }
    // Rows with a condition, of a layout that is not known when the program is built.
    let odd: Vec<Row> = a.iter().skip(1).step_by(2).cloned().collect();
    let (expected, _) = naive::bars(&odd, 1_000_000_000, 0);
    place.done("replay a.pelton --window 1s --where kind=1 --overwrite --out bars.csv");
    assert!(place.read("bars.csv") == expected);
    // The same capture twice: each row counts twice.
    place.done("replay a.pelton a.pelton --window 1h --overwrite --out bars.csv");
    let counted: u64 = place.read("bars.csv").lines().skip(1).map(|line| column(line, 8)).sum();
    assert_eq!(counted, 6_000);
}

#[test]
fn late_rows_of_a_projected_capture_are_kept_too() {
    let place = Place::new();
    place.write("a.csv", "at:time[s],symbol:symbol,price:i64,size:u64\n0,X,5,1\n100,X,6,2\n1,X,7,3\n59,Y,8,4\n");
    place.done("convert --from csv a.csv a.pelton");
    place.done("replay a.pelton --window 1m --out bars.csv --late late.csv");
    assert_eq!(place.read("late.csv"), "time_ns,price,size,symbol\n1000000000,7,3,X\n59000000000,8,4,Y\n");
    assert_eq!(place.read("bars.csv").lines().count(), 3);
}

#[test]
fn a_value_that_does_not_fit_ends_the_replay() {
    let place = Place::new();
    place.write("a.csv", "at:time[s],symbol:symbol,price:i64,size:u64\n0,X,5,1\n1,X,5,18446744073709551615\n");
    place.done("convert --from csv a.csv a.pelton");
    let parts = ["a.pelton: block 0, event 1: the value 18446744073709551615 of `size` does not fit i64"];
    place.refused(1, "replay a.pelton --out bars.csv", &parts);
}

#[test]
fn rejected_lines_are_counted_and_kept_or_end_a_strict_conversion() {
    let place = Place::new();
    place.write("20131008_bac_Trade_Tick.csv", "34200000,138000,100,P,2000,0\nnonsense\n34200001,138100,200,Q,0,0\n");
    let convert = "convert --from lean-trade 20131008_bac_Trade_Tick.csv bac.pelton";
    place.refused(1, &format!("{convert} --strict"), &["20131008_bac_Trade_Tick.csv", "line 2", "expected 6 columns"]);
    assert!(!place.path("bac.pelton").exists());
    let said = place.done(&format!("{convert} --overwrite")).stderr;
    for part in ["3 lines read: 2 events written, 1 rejected", "bac.pelton.rejects.csv"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(place.read("bac.pelton.rejects.csv").contains("nonsense"));
    let text = place.done("inspect bac.pelton --head 1").stdout;
    assert!(text.contains("2013-10-08T09:30:00Z") && text.contains(",138000,100,BAC,"), "{text}");
    place.refused(1, convert, &["bac.pelton", "--overwrite"]);

    // New York is four hours behind in October; --date counts more than the file's name.
    place.done(&format!("{convert} --overwrite --date 2014-10-08 --utc-offset=-04:00 --symbol XYZ"));
    let text = place.done("inspect bac.pelton").stdout;
    assert!(text.contains("2014-10-08T13:30:00Z") && text.contains("symbols    1: XYZ"), "{text}");
}

#[test]
fn a_real_day_gives_the_minutes_that_another_engine_gave() {
    let test = "a_real_day_gives_the_minutes_that_another_engine_gave";
    let Some(data) = data(test, "lean_us_equity_tick") else { return };
    let place = Place::new();
    let input = data.join("bac_20131008_trade.zip");
    place.done(&format!("convert --from lean-trade --date 1970-01-01 {} bac.pelton", input.display()));
    let expected: Vec<String> = std::fs::read_to_string(data.join("expected/bac_20131008_tumble_1min.csv"))
        .unwrap()
        .lines()
        .map(|line| line.replace('"', ""))
        .collect();
    assert_eq!(expected.len(), 573);
    let mut sorted = expected.clone();
    sorted.sort();
    for workers in [1, 2, 8] {
        let options = format!("--where suspicious=0 --out-of-orderness 1s --workers {workers}");
        place.done(&format!("replay bac.pelton --job bars --window 1m --overwrite --out bars.csv {options}"));
        let bars = place.read("bars.csv");
        let found: Vec<String> = bars.lines().skip(1).map(minute).collect();
        assert_eq!(found, sorted, "{workers}");
    }
    // A value found wrong later, and a file that is not what it is said to be.
    place.refused(2, "replay bac.pelton --where colour=0", &["colour"]);
    place.refused(1, &format!("replay {}", input.display()), &["not a capture"]);
}

/// A bar's line as the other engine wrote it: window start, count, volume, low, high.
fn minute(line: &str) -> String {
    let of_day = column(line, 0) / 1_000_000_000;
    assert!(of_day < 86_400 && line.split(',').nth(2) == Some("BAC"), "{line}");
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let [count, volume, low, high] = [8, 7, 5, 4].map(|index| column(line, index));
    format!("1970-01-01 {hour:02}:{minute:02}:{second:02}Z,{count},{volume},{low},{high}")
}

#[test]
fn real_exchange_frames_give_bars_of_their_trades_only() {
    let Some(data) = data("real_exchange_frames_give_bars_of_their_trades_only", "binance_ws") else { return };
    let place = Place::new();
    let input = data.join("dev/spot_btcusdt_20240808.gz");
    place.done(&format!("convert --from binance {} frames.pelton", input.display()));
    place.done(&format!("convert --from binance --streams trade {} trades.pelton", input.display()));
    for capture in ["frames", "trades"] {
        for workers in [1, 3] {
            let options = format!("--window 10s --out-of-orderness 1m --workers {workers}");
            place.done(&format!("replay {capture}.pelton {options} --overwrite --out {capture}.csv"));
            let bars = place.read(&format!("{capture}.csv"));
            let sum = |index| bars.lines().skip(1).map(|line| column(line, index)).sum::<u64>();
            // 9,757 trades of 212.03315 in all, says the truth beside the data.
            assert_eq!((sum(8), sum(7)), (9_757, 21_203_315_000), "{capture} {workers}");
        }
    }
    assert!(place.read("frames.csv") == place.read("trades.csv"));
    // Book tickers have sizes too, but those are of offers: another kind must be asked for.
    place.done("replay frames.pelton --where kind=2 --out - --out-of-orderness 1m");
}

#[test]
fn columns_are_taken_by_the_names_of_the_header() {
    let place = Place::new();
    let convert = "convert --from csv --schema ts:time[ms],price:i64[1e4],size:u32,symbol:symbol in.csv out.pelton";
    place.write("in.csv", "ts,size,price,symbol\n1,7,1.25,BAC\n2,8,2.25,AIG\n");
    let said = place.done(convert).stderr;
    assert!(said.contains("2 events written, 0 rejected"), "{said}");
    let text = place.done("inspect out.pelton --head 2").stdout;
    assert!(text.contains(",12500,7,BAC") && text.contains(",22500,8,AIG"), "{text}");
    std::fs::remove_file(place.path("out.pelton")).unwrap();

    place.write("in.csv", "ts,px,size,symbol\n1,1.25,7,BAC\n");
    let parts = ["in.csv: ", "expected the columns ts, price, size, symbol, found ts, px,", "--header skip"];
    place.refused(1, convert, &parts);
    assert!(!place.path("out.pelton").exists());
    let said = place.done(&format!("{convert} --header skip")).stderr;
    assert!(said.contains("1 event written, 0 rejected"), "{said}");
    std::fs::remove_file(place.path("out.pelton")).unwrap();

    place.write("in.csv", "ts;price;size;symbol\n1;1.25;7;BAC\n");
    place.refused(1, convert, &["in.csv: ", "seem to be separated by ';'", "try --delimiter ';'"]);
    place.done(&format!("{convert} --delimiter ;"));
    place.refused(2, "convert --from csv --header none in.csv other.pelton", &["--schema"]);
    place.refused(2, &format!("{convert} --header maybe"), &["auto, names, skip, none"]);
}

#[test]
fn a_file_without_a_readable_line_fails_and_an_empty_one_says_so() {
    let place = Place::new();
    place.write("day.csv", "nonsense\nmore of it\n");
    let schema = "--schema ts:time[ms],size:u32";
    for (from, reason) in [
        ("lean-trade --symbol A --date 2013-10-08", "line 1: expected 6 columns, found 1"),
        ("binance", "line 1: receive_ns: not a number of the expected form"),
        (&format!("csv --header none {schema}"), "line 1: expected 2 columns, found 1"),
    ] {
        place.refused(1, &format!("convert --from {from} day.csv day.pelton"), &["day.csv: no line", reason]);
        assert!(!place.path("day.pelton").exists());
        std::fs::remove_file(place.path("day.pelton.rejects.csv")).unwrap();
    }
    place.write("day.csv", "");
    let said = place.done(&format!("convert --from csv {schema} day.csv day.pelton")).stderr;
    assert!(said.contains("0 events written, 0 rejected") && said.contains("the input has no rows"), "{said}");
}
