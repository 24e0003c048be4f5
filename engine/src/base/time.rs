//! Event time: signed nanoseconds since the epoch, with arithmetic that saturates.

use bytemuck::{Pod, Zeroable};
use std::{fmt, time::Duration};

/// A point in event time: nanoseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// All arithmetic saturates. As text a time is what ISO 8601 and RFC 3339 say, in UTC; [`Timestamp::MIN`] and
/// [`Timestamp::MAX`] are `-inf` and `+inf`. `{:?}` prints the nanoseconds.
///
/// ```
/// use pelton::Timestamp;
/// use std::time::Duration;
///
/// let opened: Timestamp = "2014-02-14T09:30:00-05:00".parse()?;
/// let closed = opened + Duration::from_secs(6 * 3600 + 1800);
/// assert_eq!(closed.to_string(), "2014-02-14T21:00:00Z");
/// assert_eq!(closed.duration_since(opened), Duration::from_secs(23_400));
/// assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
/// # Ok::<(), pelton::TimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time; as a watermark: nothing is known yet.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time; as a watermark: nothing more will come.
    pub const MAX: Self = Self(i64::MAX);

    /// A time from nanoseconds since the epoch.
    #[inline(always)]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A time from seconds since the epoch.
    ///
    /// ```
    /// use pelton::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_secs(3), Timestamp::from_millis(3_000));
    /// assert_eq!(Timestamp::from_micros(-3), Timestamp::from_nanos(-3_000));
    /// assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
    /// ```
    #[inline(always)]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// A time from milliseconds since the epoch, as [`Timestamp::from_secs`].
    #[inline(always)]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A time from microseconds since the epoch, as [`Timestamp::from_secs`].
    #[inline(always)]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Nanoseconds since the epoch.
    #[inline(always)]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// This time plus `nanos`, at most [`Timestamp::MAX`] and at least [`Timestamp::MIN`].
    #[inline(always)]
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// This time minus `nanos`, at most [`Timestamp::MAX`] and at least [`Timestamp::MIN`].
    #[inline(always)]
    pub const fn minus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// How long after `earlier` this time is, exactly; no time at all where it is before it.
    /// [`Timestamp::nanos_since`] has a sign.
    ///
    /// ```
    /// use pelton::Timestamp;
    /// use std::time::Duration;
    ///
    /// let (early, late) = (Timestamp::from_secs(3), Timestamp::from_secs(5));
    /// assert_eq!((late.duration_since(early), early.duration_since(late)), (Duration::from_secs(2), Duration::ZERO));
    /// assert_eq!(early.nanos_since(late), -2_000_000_000);
    /// ```
    #[inline]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(if self.0 < earlier.0 { 0 } else { self.0.abs_diff(earlier.0) })
    }

    /// How many nanoseconds after `other` this time is, negative where it is before it.
    #[inline(always)]
    pub const fn nanos_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

/// A duration in nanoseconds, at most `i64::MAX`.
pub(crate) fn duration_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        self.plus_nanos(duration_nanos(duration))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        self.minus_nanos(duration_nanos(duration))
    }
}

impl From<i64> for Timestamp {
    #[inline(always)]
    fn from(nanos: i64) -> Self {
        Self(nanos)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            Self(nanos) => write!(f, "{nanos}ns"),
        }
    }
}
