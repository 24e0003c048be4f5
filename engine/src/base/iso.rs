//! Times as ISO 8601 text (RFC 3339), and the days of the proleptic Gregorian calendar in UTC.

use crate::Timestamp;
use std::fmt;
use std::str::FromStr;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_DAY: i64 = SECONDS_PER_DAY * NANOS_PER_SECOND;

/// The text is no date, time or offset.
///
/// ```
/// use pelton::Timestamp;
///
/// let error = "2014-02-30T14:30:00Z".parse::<Timestamp>().unwrap_err();
/// assert!(error.to_string().ends_with("found \"2014-02-30T14:30:00Z\""));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct TimeError {
    /// The form asked for.
    pub expected: &'static str,
    /// What was given.
    pub found: String,
}

/// How far a local clock is ahead of UTC, in seconds, within a day: `-04:00` for New York in summer.
///
/// ```
/// use pelton::UtcOffset;
///
/// let kolkata: UtcOffset = "+0530".parse()?;
/// assert_eq!((kolkata.as_nanos(), kolkata.to_string().as_str()), (19_800_000_000_000, "+05:30"));
/// assert_eq!("Z".parse(), Ok(UtcOffset::default()));
/// # Ok::<(), pelton::TimeError>(())
/// ```
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

impl Timestamp {
    /// The start of a day in UTC; `None` where the calendar has no such day, or 64 bits of nanoseconds do not reach it:
    /// years 1678 to 2261 are whole.
    ///
    /// ```
    /// use pelton::Timestamp;
    ///
    /// let day = Timestamp::from_date(2024, 2, 29).unwrap();
    /// assert_eq!((day.to_string().as_str(), day.date()), ("2024-02-29T00:00:00Z", (2024, 2, 29)));
    /// assert_eq!(Timestamp::from_date(2023, 2, 29), None);
    /// ```
    pub fn from_date(year: i32, month: u8, day: u8) -> Option<Self> {
        let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
        days_from_civil(year, month, day)?.checked_mul(NANOS_PER_DAY).map(Self::from_nanos)
    }

    /// The day that this time is in, in UTC: year, month from 1, day from 1.
    ///
    /// ```
    /// use pelton::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_nanos(-1).date(), (1969, 12, 31));
    /// ```
    pub fn date(self) -> (i32, u8, u8) {
        let (year, month, day) = civil_from_days(self.as_nanos().div_euclid(NANOS_PER_DAY));
        (year as i32, month as u8, day as u8)
    }

    /// A time as ISO 8601 text, such as `2014-02-14 14:30:00`: a `T` or a space between day and time, up to 9 digits of a
    /// second's fraction, and `Z` or an offset behind it. Without one, `offset` is how far the clock is ahead of UTC.
    /// `text.parse()` does the same, and takes a clock without an offset for UTC.
    ///
    /// A leap second's `:60` is refused: nanoseconds since the epoch have no place for it.
    ///
    /// # Errors
    /// When the text is of another form, no time of the calendar, or beyond what 64 bits of nanoseconds reach.
    ///
    /// ```
    /// use pelton::Timestamp;
    ///
    /// let new_york = "-05:00".parse()?;
    /// assert_eq!(Timestamp::from_iso(b"1970-01-01 00:00:01.5", new_york)?, Timestamp::from_millis(5 * 3_600_000 + 1_500));
    /// assert_eq!(Timestamp::from_iso(b"1970-01-01T02:00:00+02:00", new_york)?, Timestamp::from_secs(0));
    /// # Ok::<(), pelton::TimeError>(())
    /// ```
    pub fn from_iso(text: &[u8], offset: UtcOffset) -> Result<Self, TimeError> {
        parse(text, offset).map(Self::from_nanos).ok_or_else(|| TimeError {
            expected: "a time as 2014-02-14T14:30:00Z, of the years 1678 to 2261",
            found: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::from_iso(text.as_bytes(), UtcOffset::default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => return f.pad("-inf"),
            Self::MAX => return f.pad("+inf"),
            _ => {}
        }
        let ((year, month, day), of_day) = (self.date(), self.as_nanos().rem_euclid(NANOS_PER_DAY));
        let (second, nanos) = (of_day / NANOS_PER_SECOND, of_day % NANOS_PER_SECOND);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let fraction = match nanos {
            0 => String::new(),
            _ => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
        };
        f.pad(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
    }
}

/// Nanoseconds since the epoch.
fn parse(text: &[u8], offset: UtcOffset) -> Option<i64> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let well_formed =
        head[4] == b'-' && head[7] == b'-' && matches!(head[10], b' ' | b'T') && head[13] == b':' && head[16] == b':';
    if !well_formed {
        return None;
    }
    let days = days_from_civil(digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?)?;
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
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - i64::from(offset.seconds);
    // In 128 bits, because the whole seconds of the earliest times are themselves out of reach.
    i64::try_from(i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos)).ok()
}

/// The number that 1 to 9 digits spell.
fn digits(text: &[u8]) -> Option<i64> {
    let is_number = (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Days since 1970-01-01 of a day of the calendar, for years 0 to 9999.
///
/// Years are taken to start in March, so that the leap day is the last one; 400 of them have 146,097 days. The algorithm is
/// Howard Hinnant's `days_from_civil` ("chrono-Compatible Low-Level Date Algorithms"), and below his `civil_from_days`.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(0..=9999).contains(&year) || !(1..=days_of_month).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + of_era - 719_468)
}

/// Year, month and day that many days from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_day_of_the_calendar_follows_the_one_before() {
        let mut next = Timestamp::from_date(1678, 1, 1).unwrap();
        let mut days = 0;
        for year in 1678..=2261 {
            for month in 0..=13 {
                for day in 0..=32 {
                    if let Some(time) = Timestamp::from_date(year, month, day) {
                        assert_eq!((time, time.date()), (next, (year, month, day)));
                        next = time.plus_nanos(NANOS_PER_DAY);
                        days += 1;
                    }
                }
            }
        }
        assert_eq!(days, 584 * 365 + 141);
        assert_eq!(Timestamp::from_date(2000, 3, 1), Some(Timestamp::from_secs(11_017 * SECONDS_PER_DAY)));
    }

    #[test]
    fn text_of_other_forms_is_refused() {
        let good = "2014-02-14T14:30:00.25+01:00";
        assert_eq!(good.parse(), Ok(Timestamp::from_millis(1_392_384_600_250)));
        for text in [
            "",
            "2014-02-14",
            "2014-02-14T14:30",
            "2014-02-14_14:30:00",
            "2014-02-29T14:30:00",
            "2014-13-01T14:30:00",
            "2014-00-01T14:30:00",
            "2014-02-14T24:00:00",
            "2014-02-14T14:60:00",
            "2014-02-14T14:30:60",
            "2014-02-14T14:30:00.",
            "2014-02-14T14:30:00.1234567890",
            "2014-02-14T14:30:00+24:00",
            "2014-02-14T14:30:00+1:00",
            "2014-02-14T14:30:00 Z",
            "+014-02-14T14:30:00",
            "2014-02-14T14:30:00Zé",
            "1677-09-21T00:12:43Z",
            "2262-04-12T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap_err().found, text);
        }
    }

    #[test]
    fn a_fraction_has_as_few_digits_as_it_needs() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (20_000, "1970-01-01T00:00:00.00002Z"),
            (1_392_388_200_120_000_000, "2014-02-14T14:30:00.12Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), text);
        }
        assert_eq!(format!("{:>6}|{:<22}|", Timestamp::MIN, Timestamp::default()), "  -inf|1970-01-01T00:00:00Z  |");
    }

    #[test]
    fn the_first_and_last_times_are_read_as_they_are_written() {
        for nanos in [i64::MIN + 1, i64::MAX - 1] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nanos in i64::MIN + 1..i64::MAX) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9TZ:. +]{0,40}|.*") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
