//! A hostile harness for operators, and slow models to hold them against.
//!
//! [`Verify`] runs any [`Operator`](crate::Operator) over one script of rows and watermarks in many ways that a job
//! may run it in: rows one at a time, all at once and in random pieces; watermarks told before each batch, as the script
//! says, where the operator asks to be called, and only in the end; an outbox that is full after
//! one row, after two, and before every other call; state saved and restored into a fresh operator
//! after every call; state spread over several operators, as at another number of workers; what changed saved after
//! every call, and a fresh operator restored from all of that now and then. Each must
//! give the rows of a model, and none may break the contract at the head of the operators' file.
//!
//! Every row of a script has the watermark before it: what is reached so far, or its own, which is thereby reached. That
//! depends on the script alone, and so must what comes out. What comes out of several operators is brought in the
//! job's order: what a row causes stands at that row, what is fired at a time stands behind all rows whose watermark is
//! below it and before all others.
//!
//! ```
//! use pelton::testing::{self, Verify, model, windowed};
//! use pelton::{Timestamp, Tumbling, Window, count};
//! use std::time::Duration;
//!
//! let windows = Tumbling::of(Duration::from_nanos(10));
//! let verify = Verify::new(|| testing::tumbling(windows, |user: &u32| *user, count()))
//!     .keyed_by(|user: &u32| *user)
//!     .row(3, 7)
//!     .row(4, 7)
//!     .behind(2, 8, 3)
//!     .watermark(9)
//!     .behind(1, 7, 9)
//!     .end();
//!
//! // Against rows written down:
//! let window = Window { start: Timestamp::from_nanos(0), end: Timestamp::from_nanos(10) };
//! verify.expect([(9, windowed(window, 7, 2)), (9, windowed(window, 8, 1))], [(1, 7)]).check();
//!
//! // Against a model:
//! verify
//!     .against(|script| {
//!         let assign = |time| windows.assign(time);
//!         model::tumbling(script, assign, |user| *user, |window, user, rows| {
//!             windowed(window, *user, rows.len() as u64)
//!         })
//!     })
//!     .check();
//! ```

mod check;
mod disk;
mod drive;
mod failure;
// What fuzzers need and nobody else.
#[cfg(all(any(test, feature = "fuzzing"), not(loom)))]
#[doc(hidden)]
pub mod fuzz;
mod input;
mod mode;
pub mod model;
mod output;
mod rows;
mod script;
// The models of the ring are built with full optimisation, which these would make slow.
#[cfg(all(test, not(loom)))]
mod tests;
mod verify;

pub use disk::{CrashingDisk, Fault};
pub use failure::{Failure, Verdict};
pub use input::{Inputs, One, Two};
pub use output::Tested;
pub use script::{Script, Side, Step};
pub use verify::{Expected, ExpectedTwo, Verify};

use crate::operator::aggregate::Rows;
use crate::operator::emitted::Emitted;
use crate::operator::process::ProcessOperator;
use crate::operator::window::tumbling::TumblingOperator;
use crate::{Aggregate, Key, OperatorInput, ProcessFunction, Record, StoreSettings, Tumbling, Window, Windowed};

/// The hash of a key, with the seed of [`StoreSettings::default`].
fn hash_of<K: Key>(key: &K) -> u64 {
    StoreSettings::default().seed.hash(key)
}

/// The operator behind [`WindowedStream::aggregate`](crate::WindowedStream::aggregate), with the
/// limits of a job by default.
///
/// ```
/// use pelton::testing::{self, Verify, windowed};
/// use pelton::{Timestamp, Tumbling, Window, sum};
/// use std::time::Duration;
///
/// let second = Tumbling::of(Duration::from_secs(1));
/// let window = Window { start: Timestamp::from_nanos(0), end: Timestamp::from_nanos(1_000_000_000) };
/// Verify::new(|| testing::tumbling(second, |_: &i64| 0u32, sum(|value: &i64| *value)))
///     .row(5, 40)
///     .row(6, 2)
///     .end()
///     .expect([(999_999_999, windowed(window, 0, 42))], [])
///     .check();
/// ```
///
/// # Panics
/// When the windows have size 0, which a job refuses.
pub fn tumbling<K, F, A>(
    windows: Tumbling,
    key_of: F,
    aggregate: A,
) -> impl OperatorInput<0, Row = A::In, Outputs = (Windowed<K, A::Value>, A::In)>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
{
    limited_tumbling(windows, key_of, aggregate, &StoreSettings::default())
}

fn limited_tumbling<K, F, A>(
    windows: Tumbling,
    key_of: F,
    aggregate: A,
    settings: &StoreSettings,
) -> impl OperatorInput<0, Row = A::In, Outputs = (Windowed<K, A::Value>, A::In)> + use<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
{
    assert!(windows.is_valid(), "windows of size 0");
    TumblingOperator::new(windows, key_of, Rows::new(aggregate, Windowed::new), settings)
}

/// The operator behind [`KeyedStream::process`](crate::KeyedStream::process), with the limits of a
/// job by default.
///
/// ```
/// use pelton::testing::{self, Verify};
/// use pelton::{ProcessContext, ProcessFunction, Timestamp};
///
/// /// Numbers the rows of a key.
/// #[derive(Clone)]
/// struct Numbered;
///
/// impl ProcessFunction<u32> for Numbered {
///     type In = u32;
///     type State = u64;
///     type Out = u64;
///     fn on_row(&self, _: &u32, _: Timestamp, _: &u32, seen: &mut u64, context: &mut ProcessContext<'_, u64>) {
///         *seen += 1;
///         context.emit(*seen);
///     }
/// }
///
/// Verify::new(|| testing::process(|key: &u32| *key, Numbered))
///     .keyed_by(|key: &u32| *key)
///     .row(1, 7)
///     .row(2, 8)
///     .row(3, 7)
///     .expect_main([(1, 1), (2, 1), (3, 2)])
///     .check();
/// ```
pub fn process<K, F, P>(
    key_of: F,
    function: P,
) -> impl OperatorInput<0, Row = P::In, Outputs = <P::Out as Emitted>::Outputs>
where
    K: Key,
    F: Fn(&P::In) -> K + 'static,
    P: ProcessFunction<K>,
{
    ProcessOperator::new(key_of, function, &StoreSettings::default())
}

/// The row that a built-in aggregate gives for a window and key, to expect it.
///
/// ```
/// use pelton::testing::windowed;
/// use pelton::{Timestamp, Window};
///
/// let window = Window { start: Timestamp::from_nanos(0), end: Timestamp::from_nanos(10) };
/// let row = windowed(window, 7u32, 1.5f64);
/// assert_eq!((row.window(), row.key(), row.value()), (window, 7, 1.5));
/// ```
pub fn windowed<K: Record, V: Record>(window: Window, key: K, value: V) -> Windowed<K, V> {
    let mut row: Windowed<K, V> = bytemuck::Zeroable::zeroed();
    let mut rest = bytemuck::bytes_of_mut(&mut row);
    // The columns in their order; the row is packed, so they fill it.
    for column in [
        bytemuck::bytes_of(&window.start),
        bytemuck::bytes_of(&window.end),
        bytemuck::bytes_of(&key),
        bytemuck::bytes_of(&value),
    ] {
        let (head, tail) = rest.split_at_mut(column.len());
        head.copy_from_slice(column);
        rest = tail;
    }
    row
}
