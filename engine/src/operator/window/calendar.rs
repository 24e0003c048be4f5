//! Windows of calendar days, weeks and months in a time zone.

use super::Window;
use crate::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

/// Windows from midnight to midnight of a time zone, whatever its clocks do: a day on which they change has 23 or 25 hours.
/// Needs the feature `calendar`. Zones are those of the IANA database that is built in, so they do not depend on the
/// machine.
///
/// ```
/// use pelton::{Calendar, Timestamp};
///
/// let days = Calendar::days("Europe/Berlin");
/// // The clocks go forward on 30 March 2025 at 1 h UTC.
/// let noon = Timestamp::from_nanos(1_743_332_400_000_000_000);
/// let day = days.assign(noon).expect("a zone that there is");
/// assert_eq!(day.end.as_nanos() - day.start.as_nanos(), 23 * 3_600_000_000_000);
/// assert_eq!(Calendar::days("Europe/Atlantis").assign(noon), None);
/// ```
#[derive(Debug, Clone)]
pub struct Calendar {
    unit: Unit,
    zone: String,
    /// None where there is no such zone, which a job refuses.
    rules: Option<TimeZone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
}

impl Calendar {
    fn new(unit: Unit, zone: &str) -> Self {
        Self { unit, zone: zone.to_owned(), rules: TimeZone::get(zone).ok() }
    }

    /// Days of a time zone.
    pub fn days(zone: &str) -> Self {
        Self::new(Unit::Day, zone)
    }

    /// Weeks of a time zone, from Monday on.
    pub fn weeks(zone: &str) -> Self {
        Self::new(Unit::Week, zone)
    }

    /// Months of a time zone.
    pub fn months(zone: &str) -> Self {
        Self::new(Unit::Month, zone)
    }

    /// The window that `time` is in; none where there is no such time zone. At the ends of the range of times it is cut
    /// short.
    pub fn assign(&self, time: Timestamp) -> Option<Window> {
        let rules = self.rules.as_ref()?;
        // All times are in the calendar's range, which ends with the year 9999.
        let at = jiff::Timestamp::from_nanosecond(time.as_nanos().into()).ok()?;
        let first = self.first_day(Zoned::new(at, rules.clone()).date())?;
        let next = first.checked_add(match self.unit {
            Unit::Day => 1.day(),
            Unit::Week => 1.week(),
            Unit::Month => 1.month(),
        });
        Some(Window { start: midnight(first, rules)?, end: midnight(next.ok()?, rules)? })
    }

    /// The first day of what a day is in.
    fn first_day(&self, day: Date) -> Option<Date> {
        match self.unit {
            Unit::Day => Some(day),
            Unit::Week => day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).ok(),
            Unit::Month => Some(day.first_of_month()),
        }
    }

    pub(super) fn mistake(&self) -> Option<&'static str> {
        self.rules.is_none().then_some("there is no such time zone in the IANA database")
    }
}

/// The first nanosecond of a day.
fn midnight(day: Date, rules: &TimeZone) -> Option<Timestamp> {
    let nanos = day.to_zoned(rules.clone()).ok()?.start_of_day().ok()?.timestamp().as_nanosecond();
    Some(Timestamp::from_nanos(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
}

impl std::fmt::Display for Calendar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            Unit::Day => "days",
            Unit::Week => "weeks",
            Unit::Month => "months",
        };
        write!(f, "{unit} in {}", self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(time.as_nanosecond() as i64)
    }

    fn window(start: &str, end: &str) -> Window {
        Window { start: utc(start), end: utc(end) }
    }

    #[test]
    fn days_weeks_and_months_begin_at_the_midnight_of_their_zone() {
        let time = utc("2025-03-30T12:00:00Z");
        let found = |calendar: Calendar| calendar.assign(time).unwrap();
        let berlin = "Europe/Berlin";
        assert_eq!(found(Calendar::days(berlin)), window("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"));
        assert_eq!(found(Calendar::weeks(berlin)), window("2025-03-23T23:00:00Z", "2025-03-30T22:00:00Z"));
        assert_eq!(found(Calendar::months(berlin)), window("2025-02-28T23:00:00Z", "2025-03-31T22:00:00Z"));
        assert_eq!(found(Calendar::days("UTC")), window("2025-03-30T00:00:00Z", "2025-03-31T00:00:00Z"));
        assert_eq!(found(Calendar::days("Asia/Kolkata")), window("2025-03-29T18:30:00Z", "2025-03-30T18:30:00Z"));
    }

    /// In 2018 clocks in Brazil went forward at midnight, so that the day began at 1 o'clock.
    #[test]
    fn a_day_without_a_midnight_begins_when_it_begins() {
        let day = Calendar::days("America/Sao_Paulo").assign(utc("2018-11-04T12:00:00Z")).unwrap();
        assert_eq!(day, window("2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"));
    }

    proptest! {
        #[test]
        fn a_time_is_in_its_window_and_windows_meet(
            seconds in -2_000_000_000i64..4_000_000_000, unit in 0..3,
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
        ) {
            let calendar = Calendar::new([Unit::Day, Unit::Week, Unit::Month][unit as usize], zone);
            let time = Timestamp::from_nanos(seconds * 1_000_000_000);
            let window = calendar.assign(time).unwrap();
            prop_assert!(window.contains(time));
            let next = calendar.assign(window.end).unwrap();
            prop_assert_eq!(next.start, window.end);
            prop_assert_eq!(calendar.assign(window.max_timestamp()), Some(window));
        }

        #[test]
        fn windows_at_the_ends_of_time_are_cut_short(nanos in prop_oneof![Just(i64::MIN), Just(i64::MAX - 1), any::<i64>()]) {
            let time = Timestamp::from_nanos(nanos);
            let window = Calendar::months("Asia/Tokyo").assign(time).unwrap();
            prop_assert!(window.contains(time));
        }
    }
}
