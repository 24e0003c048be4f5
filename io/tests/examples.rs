//! What the example programs give on their own input.

#[path = "../examples/dashboard.rs"]
mod dashboard;
#[path = "../examples/fraud.rs"]
mod fraud;
#[path = "../examples/recommend.rs"]
mod recommend;

#[test]
fn the_third_pair_of_shoes_changes_what_is_recommended_on_the_next_page() {
    let pages = "\
2024-01-02T14:30:00Z: visitor 1 sees RunningShoes
2024-01-02T14:30:10Z: visitor 2 sees Books
2024-01-02T14:30:20Z: visitor 1 sees RunningShoes
2024-01-02T14:30:21Z: visitor 2 sees what was there before
2024-01-02T14:30:40Z: visitor 1 sees Accessories
2024-01-02T14:30:45Z: visitor 1 sees Accessories
2024-01-02T14:30:30Z: visitor 2 sees what was there before
2024-01-02T15:03:20Z: visitor 1 sees Books
";
    assert_eq!(recommend::run().unwrap(), pages);
    recommend::main().unwrap();
}

#[test]
fn a_minute_of_the_dashboard_grows_and_then_is_final() {
    // Rows of 21 s and of 41 s move the watermark past 10 s, and past 20 s and 30 s.
    let first = [["1,2,12", "2,1,700"], ["1,3,15", "2,2,700"], ["1,3,15", "2,2,700"]];
    let (first, last) = ([&first[..], &[first[2]; 3]].concat(), [["1,2,420", "2,1,80"]; 6]);
    let mut points = String::from("minute,service,requests,slowest_millis,is_final\n");
    for (minute, firings) in [("1704205800000000000", &first[..]), ("1704205860000000000", &last)] {
        for (number, services) in firings.iter().enumerate() {
            let is_final = number + 1 == firings.len();
            services.iter().for_each(|service| points += &format!("{minute},{service},{is_final}\n"));
        }
    }
    assert_eq!(dashboard::run().unwrap(), points);
    dashboard::main().unwrap();
}

#[test]
fn a_card_that_flies_too_fast_or_pays_too_often_is_declined() {
    let declines = "\
card,cents,reason,km,seconds
4711,120000,TooFar,11756,600
777,49900,TooOften,0,10
777,49900,TooOften,0,12
";
    assert_eq!(fraud::run().unwrap(), declines);
    fraud::main().unwrap();
}
