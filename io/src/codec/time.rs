//! Calendar days and wall clock times as nanoseconds since the epoch. Days are proleptic Gregorian.

use super::number::{Problem, unsigned};
use pelton::Timestamp;
use std::fmt;
use std::str::FromStr;

pub use pelton::{TimeError, UtcOffset};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A day of the calendar, as days since 1970-01-01.
///
/// Written `2013-10-08` or `20131008`, for years 1678 to 2261, whose every nanosecond fits 64 bits.
///
/// ```
/// use pelton_io::codec::time::Date;
/// let date: Date = "2013-10-08".parse()?;
/// assert_eq!(date, "20131008".parse()?);
/// assert_eq!(date.midnight_ns(), 1_381_190_400_000_000_000);
/// # Ok::<(), pelton_io::codec::time::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Date {
    days: i32,
}

impl Date {
    /// 1970-01-01.
    pub const EPOCH: Self = Self { days: 0 };

    /// The day's start in nanoseconds since the epoch, its clock read as UTC.
    pub fn midnight_ns(self) -> i64 {
        i64::from(self.days) * SECONDS_PER_DAY * NANOS_PER_SECOND
    }

    /// The day that many days from 1970-01-01.
    pub(crate) fn from_days(days: i64) -> Self {
        Self { days: i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }) }
    }

    /// The day of a time in UTC, in nanoseconds since the epoch.
    ///
    /// ```
    /// use pelton_io::codec::time::Date;
    /// assert_eq!(Date::of(1_381_190_400_000_000_000).to_string(), "2013-10-08");
    /// assert_eq!(Date::of(-1).to_string(), "1969-12-31");
    /// ```
    pub fn of(time_ns: i64) -> Self {
        Self::from_days(time_ns.div_euclid(SECONDS_PER_DAY * NANOS_PER_SECOND))
    }

    fn from_digits(year: &[u8], month: &[u8], day: &[u8]) -> Option<Self> {
        let number = |text| unsigned(text).ok().and_then(|value| u16::try_from(value).ok());
        let (year, month, day) = (number(year)?, number(month)?, number(day)?);
        let start = Timestamp::from_date(year.into(), month.try_into().ok()?, day.try_into().ok()?)?;
        (1678..=2261).contains(&year).then(|| Self::of(start.as_nanos()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start_ns = i64::from(self.days).saturating_mul(SECONDS_PER_DAY * NANOS_PER_SECOND);
        let (year, month, day) = Timestamp::from_nanos(start_ns).date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        let parsed = match bytes.len() {
            8 => Self::from_digits(&bytes[..4], &bytes[4..6], &bytes[6..]),
            10 if bytes[4] == b'-' && bytes[7] == b'-' => Self::from_digits(&bytes[..4], &bytes[5..7], &bytes[8..]),
            _ => None,
        };
        parsed.ok_or_else(|| TimeError { expected: "a date as 2013-10-08 or 20131008", found: text.into() })
    }
}

/// A time as `2014-02-14 14:30:00` in nanoseconds since the epoch, of the forms that [`Timestamp::from_iso`] takes.
/// Without an offset in the text, `offset` is how far the clock is ahead of UTC.
///
/// # Errors
/// When the text is of another form, or no time of the calendar.
///
/// ```
/// use pelton_io::codec::time::{UtcOffset, iso};
/// let utc = UtcOffset::default();
/// assert_eq!(iso(b"1970-01-01 00:00:01.5", utc), Ok(1_500_000_000));
/// assert_eq!(iso(b"1970-01-01T02:00:00+02:00", utc), Ok(0));
/// ```
pub fn iso(text: &[u8], offset: UtcOffset) -> Result<i64, Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    Timestamp::from_iso(text, offset).map(Timestamp::as_nanos).map_err(|_| Problem::NotATime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        for (text, days) in [("1970-01-01", 0), ("2000-03-01", 11_017), ("1969-12-31", -1), ("2024-02-29", 19_782)] {
            assert_eq!(text.parse::<Date>().unwrap().days, days, "{text}");
        }
        for text in ["2023-02-29", "1900-02-29", "2013-13-01", "2013-00-01", "2013-10-32", "20131", "1600-01-01"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        for days in Date::of(i64::MIN).days..=Date::of(i64::MAX).days {
            let text = Date { days }.to_string();
            let is_whole_year = !["1677", "2262"].contains(&&text[..4]);
            assert_eq!(text.parse().ok(), is_whole_year.then_some(Date { days }), "{text}");
        }
    }

    #[test]
    fn times_with_fractions_and_offsets() {
        let utc = UtcOffset::default();
        assert_eq!(iso(b"2014-02-14 14:30:00", utc), Ok(1_392_388_200_000_000_000));
        assert_eq!(iso(b"2014-02-14T14:30:00.000000001Z", utc), Ok(1_392_388_200_000_000_001));
        let new_york: UtcOffset = "-04:00".parse().unwrap();
        assert_eq!(new_york.to_string(), "-04:00");
        assert_eq!(iso(b"1970-01-01 00:00:00", new_york), Ok(4 * 3600 * NANOS_PER_SECOND));
        assert_eq!(iso(b"1970-01-01 00:00:00Z", new_york), Ok(0));
        for text in [
            "2014-02-14",
            "2014-02-14 24:00:00",
            "2014-02-14 14:60:00",
            "2014-02-14 14:30:60",
            "2014-02-14 14:30:00.",
            "2014-02-14 14:30:00.1234567890",
            "2014-02-14 14:30:00 ",
            "2014/02/14 14:30:00",
            "2014-02-14 14:30:00+25:00",
            "aaaa-bb-cc dd:ee:ff",
        ] {
            assert_eq!(iso(text.as_bytes(), utc), Err(Problem::NotATime), "{text}");
        }
        assert_eq!(iso(b"", utc), Err(Problem::Empty));
    }
}
