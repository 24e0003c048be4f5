//! Scripts, expectations and verdicts: what they refuse and how they tell it.

use super::at;
use crate::testing::{self, Step, Verify, windowed};
use crate::{Dictionary, OperatorInput, Symbol, Timestamp, Tumbling, Window, count};
use std::sync::Arc;
use std::time::Duration;

fn counting() -> impl OperatorInput<0, Row = u32, Outputs = (crate::Windowed<u32, u64>, u32)> {
    testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |key: &u32| *key, count())
}

fn window(start: i64) -> Window {
    Window { start: at(start), end: at(start + 10) }
}

#[test]
fn scripts_that_no_job_gives_are_refused() {
    fn check<Op: OperatorInput<0, Row = u32, Outputs = (crate::Windowed<u32, u64>, u32)>, M: Fn() -> Op>(
        verify: Verify<Op, M>,
        step: &str,
        what: &str,
    ) {
        let failure = verify.consistent().result().unwrap_err();
        assert!(failure.step().unwrap().starts_with(step), "{failure}");
        assert!(failure.what().contains(what), "{failure}");
    }
    let verify = || Verify::new(counting);
    check(verify().row(i64::MIN, 1), "step 0 of 1, row -inf", "no row has");
    check(
        verify().watermark(5).row(5, 1),
        "step 1 of 2, row 5ns value=1 behind 5ns",
        "the watermark has come to 5ns: the row is `behind`",
    );
    check(verify().behind(3, 1, 5).row(4, 1), "step 1 of 2, row 4ns", "the watermark has come to 5ns");
    check(verify().behind(6, 1, 5), "step 0 of 1, row 6ns value=1", "it is no `behind` one");
    check(verify().watermark(5).behind(3, 1, 4), "step 1 of 2", "the watermark has come to 5ns before");
    check(verify().at(5, 9, 1).at(4, 9, 1), "step 1 of 2", "the watermark has come to 5ns before");
    check(verify().behind(3, 1, 5).watermark(4), "step 1 of 2, watermark 4ns", "the watermark has come to 5ns before");
    check(verify().end().behind(i64::MAX, 1, i64::MAX), "step 1 of 2", "no row has");
    check(verify().end().behind(7, 1, i64::MAX), "step 1 of 2", "no row comes behind the watermark +inf");
    let late = Step::Row { time: at(1), value: 1, watermark: at(3) };
    check(verify().watermark(4).steps([late]), "step 1 of 2", "the watermark has come to 4ns before");
    // The first mistake is told.
    check(verify().watermark(5).row(5, 1).watermark(3).row(i64::MIN, 1), "step 1 of 4", "the row is `behind`");
    verify()
        .steps([late])
        .row(6, 1)
        .watermark(5)
        .watermark(5)
        .behind(5, 1, 5)
        .at(6, 7, 1)
        .at(6, 6, 1)
        .consistent()
        .check();
}

#[test]
fn a_failure_tells_the_mode_the_step_and_both_rows() {
    let verify = Verify::new(counting).row(3, 7).row(4, 8).end();
    let failure = verify.expect([(9, windowed(window(0), 7, 1)), (9, windowed(window(0), 8, 2))], []).result();
    assert_eq!(
        failure.unwrap_err().to_string(),
        "the operator failed with rows all at once, an outbox of 4096 rows (seed 1),\n\
         at step 2 of 3, watermark +inf:\n\
         row 1 of the main output differs (2 rows expected, 2 found)\n  \
         expected: 9ns window_start=0ns window_end=10ns key=8 value=2\n     \
         found: 9ns window_start=0ns window_end=10ns key=8 value=1"
    );
    let failure = verify.expect([], []).result().unwrap_err();
    assert!(failure.what().contains("expected: no row\n     found: 9ns"), "{failure}");
    let all = [(9, windowed(window(0), 7, 1)), (9, windowed(window(0), 8, 1))];
    let failure = verify.expect(all, [(1, 5)]).result().unwrap_err();
    assert!(failure.what().contains("row 0 of the late output differs (1 rows expected, 0 found)"), "{failure}");
    assert_eq!(failure.step(), Some("the end of the script, after 3 steps"));
    verify.expect(all, []).check();
}

#[test]
#[should_panic(expected = "row 0 of the main output differs")]
fn check_ends_a_test_whose_operator_failed() {
    Verify::new(counting).row(3, 7).end().expect([], []).check();
}

#[test]
fn an_empty_script_runs_and_an_operator_that_differs_between_runs_is_found() {
    Verify::new(counting).consistent().check();
    let made = std::cell::Cell::new(0u64);
    let differing = || {
        made.set(made.get() + 1);
        let value = made.get();
        testing::tumbling(
            Tumbling::of(Duration::from_nanos(10)),
            |_: &u32| 0u32,
            crate::max(move |_: &u32| value as i64),
        )
    };
    assert!(Verify::new(differing).row(1, 1).end().consistent().result().is_err());
}

#[test]
fn rows_of_keys_leave_in_the_order_of_their_texts_and_are_told_by_them() {
    let symbols = Arc::new(Dictionary::default());
    let [zebra, ape] = ["ZEBRA", "APE"].map(|text| symbols.intern(text).unwrap());
    let windows = Tumbling::of(Duration::from_nanos(10));
    let verify = Verify::new(|| testing::tumbling(windows, |symbol: &Symbol| *symbol, count()))
        .symbols(symbols.clone())
        .keyed_by(|symbol: &Symbol| *symbol)
        .row(1, zebra)
        .row(2, ape)
        .end();
    verify.expect([(9, windowed(window(0), ape, 1)), (9, windowed(window(0), zebra, 1))], []).check();
    let failure = verify.expect([(9, windowed(window(0), zebra, 1))], []).result().unwrap_err();
    assert!(failure.what().contains("key=ZEBRA value=1\n     found: 9ns window_start=0ns window_end=10ns key=APE"));
}

#[test]
#[should_panic(expected = "windows of size 0")]
fn windows_of_size_0_are_refused() {
    let _ = testing::tumbling(Tumbling::of(Duration::ZERO), |key: &u32| *key, count());
}

#[test]
fn the_first_and_last_times_that_rows_have_are_in_windows() {
    let size = 1i64 << 62;
    let wide = Tumbling::of(Duration::from_nanos(size as u64));
    Verify::new(|| testing::tumbling(wide, |key: &u32| *key, count()))
        .keyed_by(|key: &u32| *key)
        .row(i64::MIN + 1, 1)
        .row(i64::MAX - 1, 1)
        .row(i64::MAX - 1, 2)
        .watermark(i64::MAX - 2)
        .row(i64::MAX - 1, 1)
        .end()
        .expect(
            [
                (-size - 1, windowed(Window { start: Timestamp::MIN, end: at(-size) }, 1, 1)),
                (i64::MAX - 1, windowed(Window { start: at(size), end: Timestamp::MAX }, 1, 2)),
                (i64::MAX - 1, windowed(Window { start: at(size), end: Timestamp::MAX }, 2, 1)),
            ],
            [],
        )
        .check();
}
