//! Databento's files, with the vendor's own decoder beside ours.

use super::{read, run};
use pelton_io::capture::Capture;
use pelton_io::codec::dbn::{DbnTrade, Mbo, Mbp1};
use pelton_io::import::{Format, ImportError, ImportOptions, import};
use pelton_tests::data::data;
use std::collections::BTreeMap;

#[test]
fn the_day_of_a_future_has_the_messages_that_were_counted() {
    let Some(dir) = data("the_day_of_a_future_has_the_messages_that_were_counted", "dbn/nautilus") else { return };
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("esh4.pelton");
    let options = ImportOptions { strict: true, ..ImportOptions::default() };
    let file = dir.join("esh4-glbx-mdp3-20231225.mbo.dbn.zst");
    let report = run(Format::Dbn(None), &[file], &path, &options);
    assert_eq!((report.read, report.written), (68_792, 68_792));
    let messages: Vec<Mbo> = read(&path);
    let mut actions = BTreeMap::new();
    for message in &messages {
        let (count, volume) = actions.entry(char::from(message.action)).or_insert((0, 0));
        *count += 1;
        *volume += u64::from(message.size);
    }
    let counts: Vec<_> = actions.iter().map(|(&action, &(count, _))| (action, count)).collect();
    assert_eq!(counts, [('A', 29_216), ('C', 17_999), ('F', 6_371), ('M', 12_233), ('T', 2_973)]);
    assert_eq!((actions[&'T'].1, actions[&'F'].1), (9_892, 10_201));
    assert_eq!(Capture::open(&path).unwrap().symbols().iter().map(|text| &**text).collect::<Vec<_>>(), ["ESH4"]);

    // The orders that rest at the end, replayed naively.
    let mut orders: BTreeMap<u64, (u8, i64, u32)> = BTreeMap::new();
    for message in &messages {
        match message.action {
            b'A' | b'M' => {
                orders.insert(message.order_id, (message.side, message.price, message.size));
            }
            b'C' => {
                if let Some(order) = orders.get_mut(&message.order_id) {
                    order.2 = order.2.saturating_sub(message.size);
                    if order.2 == 0 {
                        orders.remove(&message.order_id);
                    }
                }
            }
            _ => {}
        }
    }
    let resting = |side| orders.values().filter(move |order| order.0 == side).map(|order| order.1);
    assert_eq!((resting(b'B').count(), resting(b'A').count()), (6_935, 4_282));
    assert_eq!(resting(b'B').max(), Some(4_810_000_000_000));
    assert_eq!(resting(b'A').min(), Some(4_810_250_000_000));
}

#[test]
fn every_conformance_file_is_imported_or_refused_in_words() {
    let test = "every_conformance_file_is_imported_or_refused_in_words";
    let Some(dir) = data(test, "dbn/databento_tests/tests/data") else { return };
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("out.pelton");
    let options = ImportOptions { overwrite: true, ..ImportOptions::default() };
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 81);
    let mut imported = BTreeMap::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let schemas = ["trades", "mbo", "mbp-1", "tbbo"];
        let ours = schemas.iter().any(|schema| name.starts_with(&format!("test_data.{schema}.")));
        match import(Format::Dbn(None), &[file], &path, &options, &mut |_| {}) {
            Ok(report) => {
                assert!(ours, "{name}");
                assert_eq!(report.read, report.written + report.rejected + report.skipped);
                imported.insert(name, (report.written, report.rejected));
            }
            Err(ImportError::Input { source, .. }) => {
                let text = source.to_string();
                assert!(!ours || name.ends_with(".dbz"), "{name}: {text}");
                assert!(text.contains("expected ") && text.contains("found "), "{name}: {text}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    // Each of the four in versions 1 to 3, as zstd, and raw.
    assert!(imported.len() >= 16, "{imported:?}");
    assert!(imported.values().all(|&(written, rejected)| (written, rejected) == (2, 0)), "{imported:?}");
}

#[test]
fn trades_and_top_of_book_agree_with_the_vendors_decoder() {
    use ::dbn::decode::{DecodeRecord, dbn::Decoder};
    let test = "trades_and_top_of_book_agree_with_the_vendors_decoder";
    let Some(dir) = data(test, "dbn/nautilus/historical_bars_catalog/databento") else { return };
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("out.pelton");
    let options = ImportOptions { overwrite: true, strict: true, ..ImportOptions::default() };

    let file = dir.join("futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
    run("dbn-trades".parse().unwrap(), std::slice::from_ref(&file), &path, &options);
    let mut vendor = Decoder::from_zstd_file(&file).unwrap();
    let trades: Vec<DbnTrade> = read(&path);
    for trade in &trades {
        let theirs = vendor.decode_record::<::dbn::TradeMsg>().unwrap().unwrap();
        assert_eq!(
            (trade.time_ns as u64, trade.receive_ns as u64, trade.price, trade.size, trade.sequence),
            (theirs.hd.ts_event, theirs.ts_recv, theirs.price, theirs.size, theirs.sequence)
        );
        assert_eq!(
            (trade.action, trade.side, trade.flags, trade.depth),
            (theirs.action as u8, theirs.side as u8, theirs.flags.raw(), theirs.depth)
        );
    }
    assert!(vendor.decode_record::<::dbn::TradeMsg>().unwrap().is_none());
    assert!(!trades.is_empty());

    let file = dir.join("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
    run("dbn-mbp-1".parse().unwrap(), std::slice::from_ref(&file), &path, &options);
    let mut vendor = Decoder::from_zstd_file(&file).unwrap();
    let tops: Vec<Mbp1> = read(&path);
    for top in &tops {
        let theirs = vendor.decode_record::<::dbn::Mbp1Msg>().unwrap().unwrap();
        let level = &theirs.levels[0];
        assert_eq!(
            (top.time_ns as u64, top.receive_ns as u64, top.price, top.size, top.sequence),
            (theirs.hd.ts_event, theirs.ts_recv, theirs.price, theirs.size, theirs.sequence)
        );
        assert_eq!(
            (top.bid_price, top.ask_price, top.bid_size, top.ask_size),
            (level.bid_px, level.ask_px, level.bid_sz, level.ask_sz)
        );
        assert_eq!(
            (top.bid_count, top.ask_count, top.action, top.side),
            (level.bid_ct, level.ask_ct, theirs.action as u8, theirs.side as u8)
        );
    }
    assert!(vendor.decode_record::<::dbn::Mbp1Msg>().unwrap().is_none());
    assert!(tops.len() > 1000);
}

#[test]
fn damaged_conformance_files_never_panic() {
    let Some(dir) = data("damaged_conformance_files_never_panic", "dbn/databento_tests/tests/data") else { return };
    let output = tempfile::tempdir().unwrap();
    let (path, input) = (output.path().join("out.pelton"), output.path().join("in"));
    let options = ImportOptions { overwrite: true, ..ImportOptions::default() };
    let bytes = std::fs::read(dir.join("test_data.mbo.v3.dbn")).unwrap();
    let try_import = |bytes: &[u8]| {
        std::fs::write(&input, bytes).unwrap();
        import(Format::Dbn(None), std::slice::from_ref(&input), &path, &options, &mut |_| {})
    };
    assert_eq!(try_import(&bytes).unwrap().written, 2);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(report) = try_import(&flipped) {
            assert_eq!(report.read, report.written + report.rejected + report.skipped);
        }
        let cut = try_import(&bytes[..at]);
        assert!(at + 56 == bytes.len() || at + 112 == bytes.len() || cut.is_err(), "cut at {at}");
    }
}
