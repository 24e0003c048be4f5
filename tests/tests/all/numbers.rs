//! Numbers of rows: whoever takes rows at least once drops repeats by them, also over crashes and at other numbers of
//! workers.

use pelton::{Job, Options, Timestamp, callback_numbered, channel, collect, rows};
use pelton_tests::crashing::Durable;
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::KINDS;
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, finish};
use std::sync::{Arc, Mutex};

type Numbered = Vec<(u64, Timestamp, Row)>;

/// Keeps what comes with its number.
fn keeping(kept: &Arc<Mutex<Numbered>>) -> impl pelton::Sink<Row> + use<> {
    let kept = kept.clone();
    callback_numbered(move |number, time, row: &Row| kept.lock().unwrap().push((number, time, *row)))
}

/// The rows without repeats; how many repeats there were.
fn without_repeats(numbered: &Numbered) -> (Vec<(Timestamp, Row)>, usize) {
    let mut kept = Vec::new();
    for (number, time, row) in numbered {
        match kept.get(*number as usize) {
            None => {
                assert_eq!(*number as usize, kept.len(), "no number is left out");
                kept.push((*time, *row));
            }
            Some(was) => assert_eq!(*was, (*time, *row), "the row of number {number}"),
        }
    }
    let repeats = numbered.len() - kept.len();
    (kept, repeats)
}

#[test]
fn rows_that_come_again_have_the_numbers_that_they_had() {
    let (mut resumed, mut repeated) = (0, 0);
    for seed in 0..20 {
        for kind in KINDS.into_iter().map(Some).chain([None]) {
            let mut rng = Rng::new(seed);
            let durable = Durable::new(kind, seed, &mut rng);
            let ((out, expected), (late, expected_late)) = (collect(), collect());
            durable.run_undisturbed(16, (out, late));
            let (out, late) = (Arc::default(), Arc::default());
            let crashes = durable.crash_and_go_on(16, &mut rng, || (keeping(&out), keeping(&late)), |_| {}).unwrap();
            for (found, expected) in [(&out, expected), (&late, expected_late)] {
                let (rows, repeats) = without_repeats(&found.lock().unwrap());
                assert_eq!(rows, expected.take(), "{kind:?}, seed {seed}");
                repeated += repeats;
            }
            resumed += crashes.resumed;
        }
    }
    assert!(resumed > 20 && repeated > 1000, "{resumed} times a job went on, {repeated} rows came again");
}

/// Rows of a channel, each with its number, until the job stops.
fn take(output: &mut pelton::Output<Row>) -> Numbered {
    let mut taken = Numbered::new();
    assert_eq!(output.number(), None);
    while let Ok((time, row)) = output.recv_timeout(DEADLINE) {
        taken.push((output.number().unwrap(), time, row));
    }
    taken
}

#[test]
fn the_rows_of_a_channel_go_on_with_the_numbers_that_come_there() {
    let mut durable = Durable::new(None, 8, &mut Rng::new(8));
    durable.events = samples(&Shape { events: 20_000, keys: 40, step_ns: 2000, disorder_ns: 60_000, seed: 8 });
    let ((out, expected), (late, _)) = (collect(), collect());
    durable.run_undisturbed(64, (out, late));
    let mut all = Numbered::new();
    for run in 0.. {
        let ((out, mut rows), (late, mut late_rows)) = (channel(256), channel(1 << 16));
        let handle = durable.job(64, (out, late)).start(durable.options(1 + run % 3, 1 << 12)).unwrap();
        // Some rows are taken, so that the job has come somewhere.
        for _ in 0..if run < 3 { 100 } else { 0 } {
            let Ok((time, row)) = rows.recv_timeout(DEADLINE) else { panic!("run {run}: no row came") };
            all.push((rows.number().unwrap(), time, row));
        }
        let more = std::thread::spawn(move || {
            let mut taken = Numbered::new();
            while let Ok((time, row)) = rows.recv_timeout(DEADLINE) {
                taken.push((rows.number().unwrap(), time, row));
            }
            taken
        });
        if run < 3 {
            handle.stopper().stop_with_savepoint().unwrap();
        }
        let report = handle.join_within(DEADLINE).unwrap();
        all.extend(more.join().unwrap());
        take(&mut late_rows);
        if !report.halted {
            break;
        }
    }
    assert_eq!(without_repeats(&all), (expected.take(), 0), "at savepoints nothing comes again");
}

#[test]
fn rows_of_layouts_known_at_run_time_are_numbered_too() {
    let events = samples(&Shape { events: 1000, keys: 4, step_ns: 100, disorder_ns: 0, seed: 1 });
    let layout = <Sample as pelton::Record>::layout();
    let records = events.iter().flat_map(bytemuck::bytes_of).copied().collect();
    let mut job = Job::new("rows");
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let kept = numbers.clone();
    let sink = rows::callback_numbered(move |number, _, row: rows::RowRef<'_>| {
        kept.lock().unwrap().push((number, row.integer(3)));
    });
    job.rows("samples", rows::VecRows::new(layout, records, 64)).sink("out", sink);
    finish(job, Options::workers(2));
    let expected: Vec<_> = (0..1000u64).map(|number| (number, Some(i128::from(number)))).collect();
    assert_eq!(*numbers.lock().unwrap(), expected);
}
