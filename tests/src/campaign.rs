//! How much a test does: little every day, and in a campaign as much as the environment says.

use std::ops::Range;

/// What `name` holds, or `everyday` where it is not set.
///
/// # Panics
/// When it holds no number: a campaign that does less than was asked for would look like one that passed.
pub fn number(name: &str, everyday: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return everyday };
    text.parse().unwrap_or_else(|_| panic!("{name} is \"{text}\", and not a number"))
}

/// The seeds of a simulation: `PELTON_SEEDS`, which is a number of seeds or a range of them such as `1482..1483`, or
/// `everyday` seeds where it is not set.
///
/// # Panics
/// When it is neither.
pub fn seeds(everyday: u64) -> Range<u64> {
    let Ok(text) = std::env::var("PELTON_SEEDS") else { return 0..everyday };
    let (first, end) = text.split_once("..").unwrap_or(("0", &text));
    match (first.parse(), end.parse()) {
        (Ok(first), Ok(end)) if first < end => first..end,
        _ => panic!("PELTON_SEEDS is \"{text}\", and neither a number of seeds nor a range such as 1482..1483"),
    }
}
