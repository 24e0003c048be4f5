//! Real captures through whole jobs; without the data the tests say so and pass.

use pelton::{Job, Options, Report, Source, Tumbling, Watermarks, push};
use pelton_io::blackhole;
use pelton_io::capture::Capture;
use pelton_io::codec::binance::BinanceEvent;
use pelton_io::import::{Format, ImportOptions, import};
use pelton_tests::data::data;
use pelton_tests::running::{DEADLINE, finish};
use serde_json::Value;
use std::time::Duration;

/// Volume by symbol and second, with a bound; the report and the hash over rows and late rows.
fn volumes(source: impl Into<Source<BinanceEvent>>, bound_ms: u64) -> (Job, [pelton_io::sink::Seen; 2]) {
    let (out, late) = (blackhole(), blackhole());
    let seen = [out.seen(), late.seen()];
    let mut job = Job::new("volumes");
    let output = job
        .source("frames", source)
        .watermarks(Watermarks::bounded(Duration::from_millis(bound_ms)))
        .key_by(|frame| (frame.symbol.id() as u64) << 8 | u64::from(frame.kind))
        .window(Tumbling::of(Duration::from_millis(100)))
        .aggregate("volume_100ms", pelton::sum(|frame: &BinanceEvent| frame.quantity));
    output.sink("out", out);
    output.late.sink("late", late);
    (job, seen)
}

fn check(report: &Report, behind: u64) {
    let (source, window) = (report.step("frames").unwrap(), report.step("volume_100ms").unwrap());
    assert_eq!(source.behind, behind, "events behind the bound");
    // taken + late + rejected = read
    assert_eq!((window.rows_in - window.late) + window.late + source.rejected, source.rows_in);
    assert!(window.late <= behind);
}

#[test]
fn frames_behind_the_bound_are_those_of_the_truth_at_any_number_of_workers() {
    let test = "frames_behind_the_bound_are_those_of_the_truth_at_any_number_of_workers";
    let Some(dir) = data(test, "binance_ws") else { return };
    let truth: Value = serde_json::from_reader(std::fs::File::open(dir.join("TRUTH.json")).unwrap()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    for entry in truth.as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let mut captures = Vec::new();
        for block_events in [64, 1024, 16_384] {
            let output = temp.path().join(format!("{}-{block_events}.pelton", file.replace('/', "-")));
            let options = ImportOptions { block_events, ..ImportOptions::default() };
            import(Format::Binance, &[dir.join(file)], &output, &options, &mut |_| {}).unwrap();
            captures.push(Capture::open(&output).unwrap());
        }
        for bound_ms in [0, 10, 50, 100] {
            let behind = entry["out_of_order_exch_ms"][bound_ms.to_string()].as_u64().unwrap();
            let mut expected = None;
            for (capture, other_workers) in captures.iter().zip([8, 2, 1]) {
                let workers: &[_] = if bound_ms == 10 { &[1, 2, 3, 8] } else { &[other_workers] };
                for &workers in workers {
                    let (job, seen) = volumes(capture.replay::<BinanceEvent>().unwrap(), bound_ms);
                    check(&finish(job, Options::workers(workers)), behind);
                    let hashes = seen.each_ref().map(|seen| (seen.count(), seen.hash()));
                    assert_eq!(*expected.get_or_insert(hashes), hashes, "{file} on {workers} workers");
                }
            }
            println!("{file}: {behind} events behind {bound_ms} ms, output {expected:x?}");
        }
        // The same day, pushed by the host program.
        let mut events = Vec::new();
        for block in 0..captures[0].blocks().len() {
            let mut bytes = Vec::new();
            captures[0].read_raw(block, &mut bytes).unwrap();
            events.extend(bytemuck::pod_collect_to_vec::<u8, BinanceEvent>(&bytes));
        }
        let replayed = {
            let (job, seen) = volumes(captures[1].replay::<BinanceEvent>().unwrap(), 10);
            job.run(Options::workers(1)).unwrap();
            seen.map(|seen| (seen.count(), seen.hash()))
        };
        let (mut input, source) = push::<BinanceEvent>(4096);
        let (job, seen) = volumes(source, 10);
        for symbol in captures[0].symbols() {
            job.symbols().intern(symbol).unwrap();
        }
        let handle = job.start(Options::workers(2)).unwrap();
        events.chunks(777).for_each(|piece| input.send(piece).unwrap());
        drop(input);
        handle.join_within(DEADLINE).unwrap().balance().unwrap();
        assert_eq!(seen.map(|seen| (seen.count(), seen.hash())), replayed, "{file} pushed");
    }
}
