//! Which windows a row belongs to.

use super::Window;
use crate::Timestamp;
use crate::base::time::duration_nanos;
use std::sync::Arc;
use std::time::Duration;

fn shown(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}

/// Windows of one size, side by side, aligned to the epoch plus an offset.
///
/// ```
/// use pelton::{Timestamp, Tumbling};
/// use std::time::Duration;
///
/// let minutes = Tumbling::of(Duration::from_secs(60));
/// let window = minutes.assign(Timestamp::from_nanos(-1));
/// assert_eq!(window.start, Timestamp::from_nanos(-60_000_000_000));
/// assert_eq!(window.end, Timestamp::from_nanos(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tumbling {
    size_nanos: i64,
    offset_nanos: i64,
}

impl Tumbling {
    /// Windows of this size; 0 is refused when the job is run.
    pub fn of(size: Duration) -> Self {
        Self { size_nanos: duration_nanos(size), offset_nanos: 0 }
    }

    /// Moves all windows by `offset`.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_nanos = duration_nanos(offset);
        self
    }

    /// The window that `time` is in. At the ends of the range of times it is cut short.
    #[inline]
    pub fn assign(&self, time: Timestamp) -> Window {
        let (nanos, size) = (time.as_nanos(), self.size_nanos);
        if let Some(shifted) = nanos.checked_sub(self.offset_nanos)
            && let Some(start) = nanos.checked_sub(shifted.rem_euclid(size))
            && let Some(end) = start.checked_add(size)
        {
            return Window { start: Timestamp::from_nanos(start), end: Timestamp::from_nanos(end) };
        }
        self.assign_cut_short(time)
    }

    #[cold]
    fn assign_cut_short(&self, time: Timestamp) -> Window {
        // In 128 bits nothing overflows; the ends are clamped.
        let shifted = i128::from(time.as_nanos()) - i128::from(self.offset_nanos);
        let start = shifted - shifted.rem_euclid(i128::from(self.size_nanos)) + i128::from(self.offset_nanos);
        let clamp = |nanos: i128| Timestamp::from_nanos(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64);
        Window { start: clamp(start), end: clamp(start + i128::from(self.size_nanos)) }
    }

    /// The number of the window that starts at `start`, growing by one from window to window.
    pub(crate) const fn number(&self, start: Timestamp) -> i64 {
        start.as_nanos().saturating_sub(self.offset_nanos).div_euclid(self.size_nanos)
    }

    /// Where the window with this number starts.
    pub(crate) fn start_of(&self, number: i64) -> Timestamp {
        clamped(i128::from(number) * i128::from(self.size_nanos) + i128::from(self.offset_nanos))
    }

    pub(crate) const fn size_nanos(&self) -> i64 {
        self.size_nanos
    }

    /// Windows of another size, aligned to the same offset.
    pub(crate) const fn with_size(self, size_nanos: i64) -> Self {
        Self { size_nanos, ..self }
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.size_nanos > 0
    }
}

impl std::fmt::Display for Tumbling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", shown(self.size_nanos))?;
        if self.offset_nanos != 0 { write!(f, " from {:?}", shown(self.offset_nanos)) } else { Ok(()) }
    }
}

/// Windows of one size, one of which begins at each multiple of the slide: also called hopping.
///
/// ```
/// use pelton::{Sliding, Timestamp, Window};
/// use std::time::Duration;
///
/// let windows = Sliding::of(Duration::from_nanos(10), Duration::from_nanos(4));
/// let at = Timestamp::from_nanos;
/// let found: Vec<_> = windows.assign(at(9)).collect();
/// assert_eq!(found, [Window { start: at(0), end: at(10) }, Window { start: at(4), end: at(14) }, Window { start: at(8), end: at(18) }]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    size_nanos: i64,
    slides: Tumbling,
}

impl Sliding {
    /// Windows of this size, one each slide. A job refuses a slide of 0, and one that is larger than the size, which
    /// would leave out rows.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Self { size_nanos: duration_nanos(size), slides: Tumbling::of(slide) }
    }

    /// Moves all windows by `offset`.
    pub fn offset(self, offset: Duration) -> Self {
        Self { slides: self.slides.offset(offset), ..self }
    }

    /// The windows that `time` is in, in order. Those that reach beyond the range of times are cut short.
    pub fn assign(&self, time: Timestamp) -> impl Iterator<Item = Window> + use<> {
        let Self { size_nanos: size, slides } = *self;
        let slide = i128::from(slides.size_nanos);
        let shifted = i128::from(time.as_nanos()) - i128::from(slides.offset_nanos);
        let last = shifted.div_euclid(slide) * slide + i128::from(slides.offset_nanos);
        // The first window behind those that end at or before the time.
        let before = (i128::from(time.as_nanos()) - i128::from(size) - last).div_euclid(slide);
        (before + 1..=0).map(move |number| {
            let start = last + number * slide;
            Window { start: clamped(start), end: clamped(start + i128::from(size)) }
        })
    }

    /// The size, and windows that begin where these do and end where the next one begins.
    pub(crate) const fn parts(&self) -> (i64, Tumbling) {
        (self.size_nanos, self.slides)
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.slides.is_valid() && self.slides.size_nanos <= self.size_nanos
    }
}

/// The nearest time.
fn clamped(nanos: i128) -> Timestamp {
    Timestamp::from_nanos(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

impl std::fmt::Display for Sliding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} each {}", shown(self.size_nanos), self.slides)
    }
}

/// Windows that begin together and end step by step, up to the largest: results so far, of a day each hour say.
///
/// ```
/// use pelton::{Cumulative, Timestamp, Window};
/// use std::time::Duration;
///
/// let windows = Cumulative::of(Duration::from_nanos(9), Duration::from_nanos(3));
/// let at = Timestamp::from_nanos;
/// let found: Vec<_> = windows.assign(at(4)).collect();
/// assert_eq!(found, [Window { start: at(0), end: at(6) }, Window { start: at(0), end: at(9) }]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cumulative {
    largest: Tumbling,
    step_nanos: i64,
}

impl Cumulative {
    /// Windows up to this size, each larger by a step. A job refuses a step of 0, and a size that is no multiple of it.
    pub fn of(size: Duration, step: Duration) -> Self {
        Self { largest: Tumbling::of(size), step_nanos: duration_nanos(step) }
    }

    /// Moves all windows by `offset`.
    pub fn offset(self, offset: Duration) -> Self {
        Self { largest: self.largest.offset(offset), ..self }
    }

    /// The windows that `time` is in, in order. At the ends of the range of times they are cut short.
    pub fn assign(&self, time: Timestamp) -> impl Iterator<Item = Window> + use<> {
        let Self { largest, step_nanos } = *self;
        let Tumbling { size_nanos: size, offset_nanos: offset } = largest;
        let shifted = i128::from(time.as_nanos()) - i128::from(offset);
        let start = shifted.div_euclid(size.into()) * i128::from(size) + i128::from(offset);
        let passed = (i128::from(time.as_nanos()) - start) / i128::from(step_nanos);
        (passed + 1..=i128::from(size / step_nanos)).map(move |steps| {
            let end = start + steps * i128::from(step_nanos);
            Window { start: clamped(start), end: clamped(end) }
        })
    }

    /// The largest windows, and the step.
    pub(crate) const fn parts(&self) -> (Tumbling, i64) {
        (self.largest, self.step_nanos)
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.largest.is_valid() && self.step_nanos > 0 && self.largest.size_nanos % self.step_nanos == 0
    }
}

impl std::fmt::Display for Cumulative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {:?}", self.largest, shown(self.step_nanos))
    }
}

/// Windows of a key that end when it has had no row for a while.
///
/// ```
/// use pelton::Session;
/// use std::time::Duration;
///
/// #[derive(Clone, Copy)]
/// struct Click { is_phone: bool }
///
/// let fixed = Session::<Click>::gap(Duration::from_secs(60));
/// let own = Session::gap_by(|click: &Click| Duration::from_secs(if click.is_phone { 300 } else { 60 }));
/// # let _ = (fixed, own);
/// ```
pub struct Session<T>(pub(crate) Gap<T>);

/// How long a row keeps its session open.
pub(crate) enum Gap<T> {
    Fixed(i64),
    By(Arc<dyn Fn(&T) -> Duration + Send + Sync>),
}

impl<T> Clone for Gap<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(nanos) => Self::Fixed(*nanos),
            Self::By(of) => Self::By(of.clone()),
        }
    }
}

impl<T> Gap<T> {
    /// In nanoseconds.
    pub(crate) fn of(&self, row: &T) -> i64 {
        match self {
            Self::Fixed(nanos) => *nanos,
            Self::By(of) => duration_nanos(of(row)),
        }
    }
}

impl<T> Session<T> {
    /// A session ends so long after its last row. A job refuses a gap of 0.
    pub fn gap(gap: Duration) -> Self {
        Self(Gap::Fixed(duration_nanos(gap)))
    }

    /// Each row says how long it keeps its session open. A gap of 0 ends the job with an error that names the step.
    pub fn gap_by(gap_of: impl Fn(&T) -> Duration + Send + Sync + 'static) -> Self {
        Self(Gap::By(Arc::new(gap_of)))
    }
}

impl<T> Clone for Session<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl<T> std::fmt::Display for Session<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Gap::Fixed(nanos) => write!(f, "a gap of {:?}", shown(*nanos)),
            Gap::By(_) => f.write_str("gaps by row"),
        }
    }
}

/// The last so many rows of a key, each time so many have come, in the job's order.
///
/// ```
/// use pelton::CountWindow;
///
/// let by_hundreds = CountWindow::of(100);
/// let last_hundred_each_ten = CountWindow::of(100).every(10);
/// # let _ = (by_hundreds, last_hundred_each_ten);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountWindow {
    pub(crate) size: u64,
    pub(crate) slide: u64,
}

impl CountWindow {
    /// Windows of so many rows, one behind the other. A job refuses 0.
    pub const fn of(size: u64) -> Self {
        Self { size, slide: size }
    }

    /// One each `slide` rows. The first ones have fewer rows than the size, where not so many have come. A job refuses a
    /// slide of 0, and one that is larger than the size, which would leave out rows.
    pub const fn every(self, slide: u64) -> Self {
        Self { slide, ..self }
    }

    /// Whether windows have rows in common.
    pub(crate) const fn slides(&self) -> bool {
        self.slide != self.size
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.slide > 0 && self.slide <= self.size
    }
}

impl std::fmt::Display for CountWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows", self.size)?;
        if self.slide == self.size { Ok(()) } else { write!(f, " each {}", self.slide) }
    }
}

/// One window of all rows of a key, which fires as its [`Trigger`](crate::Trigger) says. A job refuses it without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global;

/// Any of these windows, over rows of type `T`: what [`KeyedStream::window`](crate::KeyedStream::window) takes.
pub struct Windows<T>(pub(crate) Kind<T>);

pub(crate) enum Kind<T> {
    Tumbling(Tumbling),
    Sliding(Sliding),
    Cumulative(Cumulative),
    Session(Session<T>),
    Count(CountWindow),
    Global,
    #[cfg(feature = "calendar")]
    Calendar(super::Calendar),
}

impl<T> Clone for Windows<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Tumbling(windows) => Kind::Tumbling(*windows),
            Kind::Sliding(windows) => Kind::Sliding(*windows),
            Kind::Cumulative(windows) => Kind::Cumulative(*windows),
            Kind::Session(windows) => Kind::Session(windows.clone()),
            Kind::Count(windows) => Kind::Count(*windows),
            Kind::Global => Kind::Global,
            #[cfg(feature = "calendar")]
            Kind::Calendar(windows) => Kind::Calendar(windows.clone()),
        })
    }
}

impl<T> std::fmt::Debug for Windows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl<T> std::fmt::Display for Windows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Tumbling(windows) => write!(f, "tumbling window of {windows}"),
            Kind::Sliding(windows) => write!(f, "sliding window of {windows}"),
            Kind::Cumulative(windows) => write!(f, "cumulative window of {windows}"),
            Kind::Session(windows) => write!(f, "session window with {windows}"),
            Kind::Count(windows) => write!(f, "count window of {windows}"),
            Kind::Global => f.write_str("global window"),
            #[cfg(feature = "calendar")]
            Kind::Calendar(windows) => write!(f, "calendar window of {windows}"),
        }
    }
}

macro_rules! windows {
    ($($name:ident $(<$row:ident>)?),*) => {$(
        impl<T> From<$name$(<$row>)?> for Windows<T> {
            fn from(windows: $name$(<$row>)?) -> Self {
                Self(Kind::$name(windows))
            }
        }
    )*};
}

windows!(Tumbling, Sliding, Cumulative, Session<T>);

impl<T> From<CountWindow> for Windows<T> {
    fn from(windows: CountWindow) -> Self {
        Self(Kind::Count(windows))
    }
}

#[cfg(feature = "calendar")]
impl<T> From<super::Calendar> for Windows<T> {
    fn from(windows: super::Calendar) -> Self {
        Self(Kind::Calendar(windows))
    }
}

impl<T> From<Global> for Windows<T> {
    fn from(_: Global) -> Self {
        Self(Kind::Global)
    }
}

impl Windows<()> {
    /// The same over rows of another type, of which they know nothing.
    pub(crate) fn over<T>(self) -> Windows<T> {
        Windows(match self.0 {
            Kind::Tumbling(windows) => Kind::Tumbling(windows),
            Kind::Sliding(windows) => Kind::Sliding(windows),
            Kind::Cumulative(windows) => Kind::Cumulative(windows),
            Kind::Session(Session(Gap::Fixed(nanos))) => Kind::Session(Session(Gap::Fixed(nanos))),
            Kind::Session(Session(Gap::By(of))) => Kind::Session(Session::gap_by(move |_| of(&()))),
            Kind::Count(windows) => Kind::Count(windows),
            Kind::Global => Kind::Global,
            #[cfg(feature = "calendar")]
            Kind::Calendar(windows) => Kind::Calendar(windows),
        })
    }
}

impl<T> Windows<T> {
    /// What is wrong with them.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Tumbling(windows) if !windows.is_valid() => Some("they have no size"),
            Kind::Sliding(windows) if !windows.is_valid() => {
                Some("their slide must be more than 0 and at most their size: a longer one would leave out rows")
            }
            Kind::Cumulative(windows) if !windows.is_valid() => {
                Some("their step must be more than 0, and their size a multiple of it")
            }
            Kind::Session(Session(Gap::Fixed(0))) => Some("they have a gap of 0"),
            #[cfg(feature = "calendar")]
            Kind::Calendar(windows) => windows.mistake(),
            Kind::Count(windows) if !windows.is_valid() => {
                Some("their slide must be more than 0 and at most their size: a longer one would leave out rows")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_in_its_window_and_the_window_is_aligned(
            time: i64, size in 1i64..1_000_000_000_000, offset in 0i64..1_000_000_000_000
        ) {
            let windows = Tumbling { size_nanos: size, offset_nanos: offset };
            let window = windows.assign(Timestamp::from_nanos(time));
            if time < i64::MAX {
                prop_assert!(window.contains(Timestamp::from_nanos(time)));
            }
            if window.start > Timestamp::MIN && window.end < Timestamp::MAX {
                let start = i128::from(window.start.as_nanos());
                prop_assert_eq!((start - i128::from(offset)).rem_euclid(i128::from(size)), 0);
                prop_assert_eq!(i128::from(window.end.as_nanos()) - start, i128::from(size));
            }
        }

        /// Windows are those of all there are that have the time, found by trying.
        #[test]
        fn overlapping_windows_are_those_that_have_the_time(
            time in -200i64..200, size in 1i64..40, slide in 1i64..40, offset in 0i64..40, step in 1i64..9, steps in 1i64..9
        ) {
            let nanos = |nanos: i64| Duration::from_nanos(nanos as u64);
            let at = Timestamp::from_nanos;
            let has = |window: &Window| window.contains(at(time));
            if slide <= size {
                let windows = Sliding::of(nanos(size), nanos(slide)).offset(nanos(offset));
                let all = (-300..300).map(|number| number * slide + offset);
                let all = all.map(|start| Window { start: at(start), end: at(start + size) });
                prop_assert_eq!(windows.assign(at(time)).collect::<Vec<_>>(), all.filter(has).collect::<Vec<_>>());
            }
            let windows = Cumulative::of(nanos(step * steps), nanos(step)).offset(nanos(offset));
            let starts = (-300..300).map(|number| number * step * steps + offset);
            let all = starts.flat_map(|start| {
                (1..=steps).map(move |count| Window { start: at(start), end: at(start + count * step) })
            });
            prop_assert_eq!(windows.assign(at(time)).collect::<Vec<_>>(), all.filter(has).collect::<Vec<_>>());
        }

        #[test]
        fn windows_at_the_ends_of_time_are_cut_short(time in prop_oneof![i64::MIN..i64::MIN + 99, i64::MAX - 99..i64::MAX]) {
            let windows = Sliding::of(Duration::from_nanos(50), Duration::from_nanos(7)).offset(Duration::from_nanos(3));
            let found: Vec<_> = windows.assign(Timestamp::from_nanos(time)).collect();
            prop_assert!((7..=8).contains(&found.len()));
            prop_assert!(found.iter().all(|window| window.contains(Timestamp::from_nanos(time))));
        }
    }
}
