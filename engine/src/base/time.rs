//! Event time: signed nanoseconds since the epoch, with arithmetic that saturates.

use bytemuck::{Pod, Zeroable};
use std::{fmt, time::Duration};

/// A point in event time: nanoseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// ```
/// use pelton::Timestamp;
/// use std::time::Duration;
///
/// let t = Timestamp::from_nanos(1_500_000_000);
/// assert_eq!((t + Duration::from_millis(500)).as_nanos(), 2_000_000_000);
/// assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
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
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            Self(nanos) => write!(f, "{nanos}ns"),
        }
    }
}
