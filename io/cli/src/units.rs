//! Values of the command line: durations, times, speeds, sizes, filters; and numbers as people read them.
//!
//! Durations and times are exact: none of them goes through a float.

use pelton::{Timestamp, WORKERS_MAX};
use pelton_io::capture::Speed;
use pelton_io::codec::time::Date;
use pelton_io::sink::Roll;
use std::fmt;
use std::time::Duration;

/// The units of sizes, in bytes. Where one unit's name ends another's, the longer is first.
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];
/// The least size at which files roll, in bytes: smaller ones are a mistake, and very many files.
const ROLL_BYTES_MIN: u64 = 1024;

/// The units of durations, in nanoseconds. Where one unit's name ends another's, the longer is first.
const UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A duration such as `250ns`, `100us`, `5ms`, `1.5s`, `1m`, `1h`, `1d`, or `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration such as 250ns, 100us, 5ms, 1.5s, 1m or 1h, found {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let nanos = exact(text, &UNITS).map_err(|inexact| match inexact {
        Inexact::NoNumber => expected(),
        Inexact::TooLarge => format!("{text:?} is longer than 292 years"),
        Inexact::Fraction => format!("{text:?} is no whole number of nanoseconds"),
    })?;
    Ok(Duration::from_nanos(nanos))
}

/// Why a text with a unit is no number of the least unit.
enum Inexact {
    NoNumber,
    TooLarge,
    Fraction,
}

/// A number with one of these units, such as `1.5s`, as a number of ones, at most `i64::MAX`.
fn exact(text: &str, units: &[(&str, u64)]) -> Result<u64, Inexact> {
    let with_unit = units.iter().find_map(|(name, ones)| Some((text.strip_suffix(name)?.trim_end(), *ones)));
    let (number, unit) = with_unit.ok_or(Inexact::NoNumber)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 18 {
        return Err(Inexact::NoNumber);
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let ones = whole
        .parse::<u64>()
        .ok()
        .zip(fraction.parse::<u64>().ok())
        .map(|(whole, fraction)| u128::from(whole) * scale + u128::from(fraction))
        .and_then(|scaled| scaled.checked_mul(u128::from(unit)))
        .ok_or(Inexact::TooLarge)?;
    if !ones.is_multiple_of(scale) {
        return Err(Inexact::Fraction);
    }
    i64::try_from(ones / scale).map(i64::unsigned_abs).map_err(|_| Inexact::TooLarge)
}

/// When files roll: `hour`, `day`, or a size such as `64MiB`, `1.5GB` or `500kB`.
pub(crate) fn roll(text: &str) -> Result<Roll, String> {
    match text {
        "hour" => return Ok(Roll::hourly()),
        "day" => return Ok(Roll::daily()),
        _ => {}
    }
    match exact(text, &SIZES) {
        Ok(bytes) if bytes < ROLL_BYTES_MIN => Err(format!("expected a size of at least 1KiB, found {text:?}")),
        Ok(bytes) => Ok(Roll::bytes(bytes)),
        Err(Inexact::NoNumber) => Err(format!("expected hour, day or a size such as 64MiB or 500kB, found {text:?}")),
        Err(Inexact::TooLarge) => Err(format!("{text:?} is more than there can be in a file")),
        Err(Inexact::Fraction) => Err(format!("{text:?} is no whole number of bytes")),
    }
}

/// How far an event may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump(pub(crate) Duration);

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        // The largest unit that gives a whole number.
        let unit = UNITS.iter().rev().find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)));
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
            None => write!(f, "{nanos}ns"),
        }
    }
}

/// A [`positive_duration`], or `none` for no limit.
pub(crate) fn jump(text: &str) -> Result<Jump, String> {
    match text {
        "none" => Ok(Jump(Duration::MAX)),
        text => positive_duration(text).map(Jump).map_err(|error| format!("{error}; `none` is no limit")),
    }
}

/// A [`duration`] above zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time at all")),
        duration => Ok(duration),
    }
}

/// A [`positive_duration`] of whole seconds, at most a day.
pub(crate) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = positive_duration(text)?;
    if duration.subsec_nanos() > 0 || duration > Duration::from_secs(86_400) {
        return Err(format!("expected whole seconds, at most a day, found {text:?}"));
    }
    Ok(duration)
}

/// A number of workers, from 1 to [`WORKERS_MAX`].
pub(crate) fn workers(text: &str) -> Result<u16, String> {
    let workers = text.parse().ok().filter(|workers| (1..=WORKERS_MAX).contains(&usize::from(*workers)));
    workers.ok_or_else(|| format!("expected a number of workers from 1 to {WORKERS_MAX}, found {text:?}"))
}

/// A time as nanoseconds since the epoch, `2013-10-08T09:30:00`, with or without a fraction and an
/// offset, or `2013-10-08`; in UTC unless it says otherwise.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let iso = || text.parse().ok().map(Timestamp::as_nanos);
    let date = || text.parse::<Date>().ok().filter(|_| text.contains('-')).map(Date::midnight_ns);
    text.parse::<i64>().ok().or_else(iso).or_else(date).map(Timestamp::from_nanos).ok_or_else(|| {
        format!("expected nanoseconds since the epoch or a time such as 2013-10-08T09:30:00, found {text:?}")
    })
}

/// `max`, or how many times the recorded speed: `1x`, `10x`, `0.5x`.
pub(crate) fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times = text.strip_suffix('x').and_then(|times| times.parse::<f64>().ok());
    match times.filter(|times| times.is_finite() && *times > 0.0) {
        Some(times) => Ok(Speed::Times(times)),
        None => Err(format!("expected max or a positive number with an x, such as 1x or 10x, found {text:?}")),
    }
}

/// A condition on a row: the field of this name has this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) field: String,
    pub(crate) value: i64,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.value)
    }
}

/// `FIELD=INT`.
pub(crate) fn condition(text: &str) -> Result<Condition, String> {
    text.split_once('=')
        .filter(|(field, _)| !field.is_empty())
        .and_then(|(field, value)| Some(Condition { field: field.into(), value: value.parse().ok()? }))
        .ok_or_else(|| format!("expected a field and an integer, such as suspicious=0, found {text:?}"))
}

/// A number with commas: `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration with three digits or so: `1.25 ms`.
pub(crate) fn short_duration(nanos: u64) -> String {
    let value = nanos as f64;
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} us", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", value / 1e6),
        1_000_000_000..120_000_000_000 => format!("{:.2} s", value / 1e9),
        _ => format!("{:.1} min", value / 60e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("250ns", 250),
            ("100us", 100_000),
            ("100µs", 100_000),
            ("5ms", 5_000_000),
            ("1s", 1_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("1m", 60_000_000_000),
            ("2 min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "ms", "-5ms", "5 parsecs", "1.s", ".5s", "1e3s", "+1s", "1.5ns", "300000d", "٣s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("99999999999999999999s").unwrap_err().contains("292 years"));
        assert!(positive_duration("0ms").is_err());
        assert_eq!(whole_seconds("2m"), Ok(Duration::from_secs(120)));
        assert!(whole_seconds("1500ms").is_err() && whole_seconds("2d").is_err());
    }

    #[test]
    fn times_are_read() {
        for (text, nanos) in [
            ("7", 7),
            ("-7", -7),
            ("1970-01-02", 86_400_000_000_000),
            ("2014-02-14 14:30:00", 1_392_388_200_000_000_000),
            ("2014-02-14T14:30:00.000000001+00:00", 1_392_388_200_000_000_001),
        ] {
            assert_eq!(time(text), Ok(Timestamp::from_nanos(nanos)), "{text}");
        }
        assert!(time("noon").is_err() && time("2014-02-30").is_err());
    }

    #[test]
    fn rolls_are_read() {
        assert_eq!(roll("hour"), Ok(Roll::hourly()));
        assert_eq!(roll("day"), Ok(Roll::daily()));
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1.5 KiB", 1536), ("500kB", 500_000), ("1GB", 1_000_000_000), ("4096B", 4096)]
        {
            assert_eq!(roll(text), Ok(Roll::bytes(bytes)), "{text}");
        }
        for (text, part) in [
            ("week", "expected hour, day or a size such as 64MiB"),
            ("64", "expected hour, day or a size"),
            ("-1MiB", "expected hour, day or a size"),
            ("1023B", "at least 1KiB"),
            ("0MiB", "at least 1KiB"),
            ("1024.5B", "no whole number of bytes"),
            ("99999999999GiB", "more than there can be"),
        ] {
            let error = roll(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn jumps_are_read_and_written() {
        for text in ["366d", "25h", "90m", "1s", "1500ms", "1ns"] {
            assert_eq!(jump(text).unwrap().to_string(), text);
        }
        assert_eq!(jump("1d").unwrap(), Jump(Duration::from_secs(86_400)));
        assert_eq!(jump("none").unwrap(), Jump(Duration::MAX));
        for text in ["0", "never", ""] {
            assert!(jump(text).unwrap_err().ends_with("; `none` is no limit"), "{text}");
        }
    }

    #[test]
    fn speeds_and_conditions() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("0.5x"), Ok(Speed::Times(0.5)));
        for text in ["fast", "x", "0x", "-1x", "infx", "NaNx", "10"] {
            assert!(speed(text).is_err(), "{text}");
        }
        assert_eq!(condition("kind=-1"), Ok(Condition { field: "kind".into(), value: -1 }));
        for text in ["kind", "=1", "kind=", "kind=one", "kind==1"] {
            assert!(condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let durations = [5, 1_500, 2_500_000, 3_000_000_000, 600_000_000_000].map(short_duration);
        assert_eq!(durations, ["5 ns", "1.5 us", "2.50 ms", "3.00 s", "10.0 min"]);
    }
}
