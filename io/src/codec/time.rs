//! Calendar days and wall clock times as nanoseconds since the epoch. Days are proleptic Gregorian.

use super::number::{Problem, unsigned};
use std::fmt;
use std::str::FromStr;

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

    fn from_civil(year: i64, month: i64, day: i64) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_of_month = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            _ => return None,
        };
        if !(1678..=2261).contains(&year) || !(1..=days_of_month).contains(&day) {
            return None;
        }
        // Days from civil: years start in March, so that the leap day is the last one.
        let year = year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        i32::try_from(era * 146_097 + of_era - 719_468).ok().map(|days| Self { days })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Civil from days: years start in March, so that the leap day is the last one.
        let shifted = i64::from(self.days) + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The text is no date, time or offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct TimeError {
    /// The form asked for.
    pub expected: &'static str,
    /// What was given.
    pub found: String,
}

impl FromStr for Date {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        let parsed = match bytes.len() {
            8 => digits(&bytes[..4]).zip(digits(&bytes[4..6])).zip(digits(&bytes[6..])),
            10 if bytes[4] == b'-' && bytes[7] == b'-' => {
                digits(&bytes[..4]).zip(digits(&bytes[5..7])).zip(digits(&bytes[8..]))
            }
            _ => None,
        };
        parsed
            .and_then(|((year, month), day)| Self::from_civil(year, month, day))
            .ok_or_else(|| TimeError { expected: "a date as 2013-10-08 or 20131008", found: text.into() })
    }
}

/// How far a local clock is ahead of UTC, in seconds, within a day: `-04:00` for New York in summer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct UtcOffset {
    seconds: i32,
}

impl UtcOffset {
    /// The offset in nanoseconds, to be subtracted from a local time.
    pub fn as_nanos(self) -> i64 {
        i64::from(self.seconds) * NANOS_PER_SECOND
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (sign, rest) = match text {
            b"Z" => return Some(Self::default()),
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = match rest.len() {
            2 => (digits(rest)?, 0),
            4 => (digits(&rest[..2])?, digits(&rest[2..])?),
            5 if rest[2] == b':' => (digits(&rest[..2])?, digits(&rest[3..])?),
            _ => return None,
        };
        let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
        (hours < 24 && minutes < 60).then_some(Self { seconds: sign * seconds })
    }
}

impl FromStr for UtcOffset {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text.as_bytes())
            .ok_or_else(|| TimeError { expected: "an offset as -04:00, +0530 or Z", found: text.into() })
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.seconds.abs() / 60;
        write!(f, "{}{:02}:{:02}", if self.seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
    }
}

/// A time as `2014-02-14 14:30:00`, with a `T` or space, up to 9 digits of a second's fraction, and
/// `Z` or an offset behind it. Without one, `offset` is how far the clock is ahead of UTC.
///
/// A leap second's `:60` is refused: nanoseconds since the epoch have no place for it.
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
    parse_iso(text, offset).ok_or(Problem::NotATime)
}

fn parse_iso(text: &[u8], offset: UtcOffset) -> Option<i64> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let well_formed =
        head[4] == b'-' && head[7] == b'-' && matches!(head[10], b' ' | b'T') && head[13] == b':' && head[16] == b':';
    if !well_formed {
        return None;
    }
    let date = Date::from_civil(digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?)?;
    let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut nanos = 0;
    if let [b'.', fraction @ ..] = rest {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        nanos = digits(&fraction[..length])? * 10i64.pow(9 - length as u32);
        rest = &fraction[length..];
    }
    let offset = if rest.is_empty() { offset } else { UtcOffset::parse(rest)? };
    let seconds = hour * 3600 + minute * 60 + second;
    date.midnight_ns().checked_add(seconds * NANOS_PER_SECOND + nanos)?.checked_sub(offset.as_nanos())
}

fn digits(text: &[u8]) -> Option<i64> {
    unsigned(text).ok().and_then(|value| i64::try_from(value).ok())
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
        let (mut date, mut days) = ("1678-01-01".parse::<Date>().unwrap().days, 0);
        for year in 1678..=2261 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(next) = Date::from_civil(year, month, day) {
                        assert_eq!(next.days, date, "{year}-{month}-{day}");
                        date += 1;
                        days += 1;
                    }
                }
            }
        }
        assert_eq!(days, 584 * 365 + 141);
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
