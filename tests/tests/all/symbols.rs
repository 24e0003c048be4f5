//! Symbol ids that stand for nothing end the job; they never become another source's text.

use pelton::{
    BoxError, Error, Event, Feed, Job, Options, Polled, Source, Symbol, Tumbling, VecSource, collect, count, push,
};
use pelton_tests::running::{DEADLINE, failure, finish, wait_until};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Deal {
    #[event(time)]
    time_ns: i64,
    seller: Symbol,
    buyer: Symbol,
}

fn deal(time_ns: i64, seller: u32, buyer: u32) -> Deal {
    Deal { time_ns, seller: Symbol::from_id(seller), buyer: Symbol::from_id(buyer) }
}

/// As many deals of known sellers, with one buyer at `bad` that nobody knows.
fn deals(count: i64, bad: i64, id: u32) -> Vec<Deal> {
    (0..count).map(|i| deal(i, i as u32 % 3, if i == bad { id } else { 1 })).collect()
}

const NAMES: [&str; 3] = ["A", "B", "C"];
const OTHERS: [&str; 6] = ["U", "V", "W", "X", "Y", "C"];

fn failure_of_bad(job: Job, workers: usize) -> String {
    let error = failure(job, Options::workers(workers));
    assert!(matches!(&error, Error::Source { name, .. } if name == "bad"), "{error}");
    error.to_string()
}

#[test]
fn an_id_that_the_source_does_not_name_ends_the_job_whichever_source_it_is() {
    // The first source keeps its ids, so that 4 is the id of a text of the second; the second's are changed.
    for id in [3, 4, 999, u32::MAX] {
        for (bad_first, workers) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
            let bad = || VecSource::new(deals(5000, 2300, id), 2000).with_symbols(NAMES);
            let good = || VecSource::new(deals(100, -1, 0), 7).with_symbols(OTHERS);
            let mut job = Job::new("symbols");
            let (sink, _rows) = collect();
            let (first, second) = if bad_first {
                (job.source("bad", bad()), job.source("good", good()))
            } else {
                (job.source("good", good()), job.source("bad", bad()))
            };
            first.union(second).sink("out", sink);
            let error = failure_of_bad(job, workers);
            assert!(error.contains("event 300 of block 1 has a symbol"), "{error}");
            assert!(error.contains(&format!("id {id}")) && error.contains("has 3 texts"), "{error}");
        }
    }
}

#[test]
fn known_ids_become_the_jobs_and_keep_their_texts() {
    let mut job = Job::new("symbols");
    let (sink, rows) = collect();
    let first = job.source("first", VecSource::new(deals(10, 9, 2), 3).with_symbols(NAMES));
    let second = job.source("second", VecSource::new(deals(10, 9, 5), 3).with_symbols(OTHERS));
    let symbols = job.symbols().clone();
    first.union(second).sink("out", sink);
    finish(job, Options::workers(1));
    let mut counts = BTreeMap::new();
    for (_, deal) in rows.take() {
        let texts = [deal.seller, deal.buyer].map(|symbol| symbols.text(symbol).unwrap().to_string());
        *counts.entry(texts.concat()).or_insert(0) += 1;
    }
    let found: Vec<_> = counts.iter().map(|(texts, count)| (&**texts, *count)).collect();
    assert_eq!(found, [("AB", 3), ("AC", 1), ("BB", 3), ("CB", 3), ("UC", 1), ("UV", 3), ("VV", 3), ("WV", 3)]);
}

#[test]
fn keys_that_begin_alike_leave_in_one_order_whatever_ids_they_have() {
    // The first 16 bytes of all are the same.
    let mut names: Vec<_> = (0..40).map(|number| format!("a long common head, then {number}")).collect();
    let mut found = Vec::new();
    for turn in 0..3 {
        for workers in [1, 2, 8] {
            let mut job = Job::new("symbols");
            let (sink, rows) = collect();
            let input = (0..40).map(|id| deal(i64::from(id), id, 0)).collect();
            let source = job.source("s", VecSource::new(input, 7).with_symbols(&names));
            let symbols = job.symbols().clone();
            let windows = source.key_by(|deal| deal.seller).window(Tumbling::of(Duration::from_secs(1)));
            windows.aggregate("w", count()).sink("out", sink);
            finish(job, Options::workers(workers));
            let texts = rows.take().into_iter().map(|(_, row)| symbols.text(row.key()).unwrap().to_string());
            found.push(texts.collect::<Vec<_>>());
        }
        names.reverse();
        names.rotate_left(turn + 3);
    }
    assert_eq!(found[0].len(), 40);
    assert!(found.iter().all(|texts| *texts == found[0]), "{found:?}");
}

#[test]
fn a_source_without_names_uses_the_jobs_and_no_others() {
    for interned in [0, 2, 3] {
        let mut job = Job::new("symbols");
        let (sink, rows) = collect();
        NAMES[..interned].iter().for_each(|text| assert!(job.symbols().intern(text).is_ok()));
        job.source("bad", VecSource::new(deals(50, -1, 0), 16)).sink("out", sink);
        if interned == 3 {
            finish(job, Options::workers(2));
            assert_eq!(rows.take().len(), 50);
            continue;
        }
        // Of several workers any may be the first to come to such an event.
        let error = failure_of_bad(job, 1);
        let event = if interned == 0 { "event 0 of block 0" } else { "event 2 of block 0" };
        assert!(error.contains(event) && error.contains("the job's dictionary has"), "{error}");
    }
}

#[test]
fn texts_may_be_added_while_events_are_pushed() {
    let mut job = Job::new("symbols");
    let (mut input, source) = push::<Deal>(64);
    let (sink, rows) = collect();
    let symbols = job.symbols().clone();
    job.source("bad", source).sink("out", sink);
    let handle = job.start(Options::workers(1)).unwrap();
    for text in NAMES {
        let symbol = symbols.intern(text).unwrap();
        input.send(&[Deal { time_ns: 1, seller: symbol, buyer: symbol }]).unwrap();
    }
    wait_until("three events are read", || handle.report().events_read() >= 3);
    input.send(&[deal(2, 1, 1), deal(2, 1, 3)]).unwrap();
    let error = handle.join_within(DEADLINE).unwrap_err().to_string();
    assert!(error.contains("`bad`") && error.contains("id 3"), "{error}");
    assert_eq!(rows.take().len(), 3);
}

/// Gives its deals one by one.
struct OneByOne(Vec<Deal>);

impl Feed<Deal> for OneByOne {
    fn poll(&mut self, _: usize, out: &mut Vec<Deal>) -> Result<Polled, BoxError> {
        if self.0.is_empty() {
            return Ok(Polled::End);
        }
        out.push(self.0.remove(0));
        Ok(Polled::Ready)
    }
    fn symbols(&self) -> Vec<Arc<str>> {
        NAMES.map(Arc::from).to_vec()
    }
}

#[test]
fn a_feed_that_gives_an_id_which_it_does_not_name_ends_the_job() {
    for keeps_ids in [true, false] {
        let mut job = Job::new("symbols");
        let (sink, _rows) = collect();
        if !keeps_ids {
            assert!(job.symbols().intern("B").is_ok());
        }
        job.source("bad", Source::feed(OneByOne(deals(5, 3, 3)))).sink("out", sink);
        let error = failure_of_bad(job, 1);
        assert!(error.contains("event 0 of block 3 has a symbol with id 3"), "{error}");
    }
}

#[test]
fn an_event_that_is_rejected_for_its_time_may_have_any_id() {
    for keeps_ids in [true, false] {
        let mut job = Job::new("symbols");
        let (sink, rows) = collect();
        if !keeps_ids {
            assert!(job.symbols().intern("B").is_ok());
        }
        let mut deals = deals(20, 13, 7);
        deals[13].time_ns = i64::MAX;
        job.source("s", VecSource::new(deals, 8).with_symbols(NAMES)).sink("out", sink);
        let report = finish(job, Options::workers(1));
        assert_eq!((rows.take().len(), report.step("s").unwrap().rejected), (19, 1));
    }
}
