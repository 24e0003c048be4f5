//! Times that are not accepted or not believed, and options that leave nothing to replay: said in words, no failure.

use crate::support::Place;

#[test]
fn a_capture_whose_times_are_not_accepted_is_told_with_both_ranges() {
    let place = Place::new();
    place.done("generate trades --events 1000 --start 1800-01-01 old.pelton");
    let ran = place.done("replay old.pelton");
    assert_eq!(ran.stdout.lines().count(), 1);
    let said = "warning: old.pelton: all 1,000 events were rejected and are in no bar: the accepted times run from \
         1900-01-01T00:00:00Z to 2200-01-01T00:00:00Z, the capture's from 1800-01-01T00:00:00Z to \
         1800-01-01T00:00:00.000999Z";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);

    place.write("a.csv", "at:time[s],symbol:symbol,price:i64,size:u64\n-3000000000,X,5,1\n0,X,6,2\n");
    place.done("convert --from csv a.csv a.pelton");
    let ran = place.done("replay a.pelton");
    assert!(ran.stderr.contains("warning: a.pelton: 1 of 2 events were rejected"), "{}", ran.stderr);
}

#[test]
fn times_and_conditions_that_leave_nothing_are_told_with_what_there_is() {
    let place = Place::new();
    place.done("generate trades --events 1000 t.pelton");
    let range = "no event is left: the capture's times run from 2024-01-02T14:30:00Z to \
         2024-01-02T14:30:00.000999Z, but only times";
    for (options, asked) in [
        ("--from 2025-01-01", "from 2025-01-01T00:00:00Z on"),
        ("--until 2013-10-08", "before 2013-10-08T00:00:00Z"),
        ("--from 2013-10-08 --until 2013-10-09", "from 2013-10-08T00:00:00Z on and before 2013-10-09T00:00:00Z"),
    ] {
        let ran = place.done(&format!("replay t.pelton {options}"));
        assert_eq!(ran.stdout.lines().count(), 1);
        assert!(ran.stderr.contains(&format!("warning: t.pelton: {range} {asked} were asked for")), "{}", ran.stderr);
    }
    let ran = place.done("replay t.pelton --where kind=77");
    assert!(ran.stderr.contains("warning: no event meets the conditions: kind=77"), "{}", ran.stderr);

    place.done("generate trades --events 0 none.pelton");
    let ran = place.done("replay none.pelton");
    assert!(ran.stderr.contains("warning: none.pelton: the capture has no events"), "{}", ran.stderr);
    // Where all is well, nothing is said but the report and its legend.
    let ran = place.done("replay t.pelton --from 2024-01-02 --until 2024-01-03");
    assert!(!ran.stderr.contains("warning: t.pelton") && ran.stderr.contains("behind: "), "{}", ran.stderr);
}

#[test]
fn a_trade_of_another_century_closes_no_bar_unless_there_is_no_limit() {
    let place = Place::new();
    let line = |second: u64| format!("{},X,5,1\n", if second == 3 { 7_226_582_400 } else { 1_700_000_000 + second });
    let rows: String = (0..10).map(line).collect();
    place.write("a.csv", format!("at:time[s],symbol:symbol,price:i64,size:u64\n{rows}"));
    place.done("convert --from csv --block 4 a.csv a.pelton");
    let counts = |options: &str| {
        let ran = place.done(&format!("replay a.pelton --window 1m {options}"));
        (ran.stdout.lines().count() - 1, ran.stderr)
    };
    let jumped = |said: &str, count: &str| {
        let source = said.lines().find(|line| line.starts_with("a.pelton ")).unwrap_or_default();
        source.split_whitespace().last() == Some(count)
    };
    for options in ["", "--jump-max 1h", "--jump-max 1h --workers 3"] {
        let (bars, said) = counts(options);
        assert_eq!(bars, 2, "{options}");
        let limit = if options.is_empty() { "366d" } else { "1h" };
        let warning = format!("warning: 1 of 10 events jumped ahead by more than {limit} and closed no bar");
        assert!(said.contains(&warning) && jumped(&said, "1") && !said.contains("had closed and are"), "{said}");
    }
    let (_, said) = counts("--jump-max none");
    assert!(said.contains("6 events came after their window had closed") && jumped(&said, "0"), "{said}");
    place.refused(2, "replay a.pelton --jump-max 0", &["--jump-max", "no time at all", "`none` is no limit"]);
}
