//! Aggregates: what a window keeps for a key, and what it gives when it fires.

pub(crate) mod basic;
pub(crate) mod distinct;
pub(crate) mod exact_sum;
pub(crate) mod fold;
pub(crate) mod hyper_log_log;
pub(crate) mod quantile;
pub(crate) mod ranked;
pub(crate) mod statistics;
pub(crate) mod tuple;
pub(crate) mod values;

use crate::base::record::{Naming, SCALAR_FIELD, name_of_part};
use crate::operator::window::{Pane, Window};
use crate::{CanonicalKey, Dictionary, Field, FieldKind, Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::borrow::Cow;
use std::collections::HashSet;

/// An aggregate over the rows of one key and window.
///
/// `Acc` is the state: a record, which starts as zeros. Rows come in the job's order. What it gives is a value; the step
/// puts window and key beside it ([`Windowed`]), or makes a row of all three
/// ([`aggregate_with`](crate::WindowedStream::aggregate_with)). Closures make one too ([`fold`](crate::fold)), and a tuple
/// of up to six aggregates is one that computes all of them in one pass.
///
/// ```
/// use pelton::{Aggregate, Record, Timestamp};
///
/// /// The range of prices.
/// #[derive(Clone)]
/// struct Range;
/// #[derive(Clone, Copy, Record)]
/// #[repr(C)]
/// struct Extremes { rows: u64, low: i64, high: i64 }
///
/// impl Aggregate for Range {
///     type In = i64;
///     type Acc = Extremes;
///     type Value = i64;
///     fn add(&self, acc: &mut Extremes, _: Timestamp, price: &i64) {
///         self.merge(acc, &Extremes { rows: 1, low: *price, high: *price });
///     }
///     fn merge(&self, acc: &mut Extremes, later: &Extremes) {
///         acc.low = if acc.rows == 0 { later.low } else { acc.low.min(later.low) };
///         acc.high = if acc.rows == 0 { later.high } else { acc.high.max(later.high) };
///         acc.rows += later.rows;
///     }
///     fn value(&self, acc: &Extremes) -> i64 {
///         acc.high - acc.low
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no aggregate of these rows",
    label = "not an aggregate",
    note = "aggregates are `count()`, `sum(|row: &Row| row.price)`, `fold(zero, |state, time, row: &Row| ..)` and so on, tuples \
            of two to six of them, and types that implement `pelton::Aggregate`",
    note = "an aggregate is `Clone + Send + Sync + 'static`, and so are the closures in it: move into them what they use"
)]
pub trait Aggregate: Clone + Send + Sync + 'static {
    /// The rows it takes.
    type In: Record;
    /// Its state for one key and window; zeros where nothing was added.
    type Acc: Record;
    /// What it gives.
    type Value: Record;

    /// Adds a row.
    fn add(&self, acc: &mut Self::Acc, time: Timestamp, row: &Self::In);

    /// Whether [`Aggregate::merge`] gives the same bits in any order and grouping. Then each worker
    /// may combine the rows it reads instead of sending them to their keys; order among them is lost.
    ///
    /// True for integers, counts and extremes; false for sums of floats, and for all that keeps an
    /// order among rows of equal time.
    const EXACT: bool = false;

    /// Whether it can merge at all. Sessions and count windows that slide need it; a job refuses them otherwise.
    const MERGES: bool = true;

    /// Adds all that `later` holds, which is not empty. What `acc` holds came before, unless the
    /// merge is [exact](Aggregate::EXACT); it may be nothing, which is zeros.
    fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc);

    /// Whether [`Aggregate::unmerge`] takes off exactly what was merged. Then windows that slide need not be combined from
    /// their slices each time.
    const INVERTIBLE: bool = false;

    /// Takes off what was merged, and leaves the same bits as if it never had been: only where it is
    /// [invertible](Aggregate::INVERTIBLE).
    fn unmerge(&self, acc: &mut Self::Acc, merged: &Self::Acc) {
        let _ = (acc, merged);
        unreachable!("nothing is taken off an aggregate that is not invertible")
    }

    /// What was added comes to this.
    fn value(&self, acc: &Self::Acc) -> Self::Value;

    /// What is wrong with how it was made, such as a quantile of 2: a job with it does not run, and the error says this.
    fn mistake(&self) -> Option<&'static str> {
        None
    }
}

/// What a window step keeps for a key, and the row that it makes of it.
pub(crate) trait WindowAggregate<K>: Clone + Send + Sync + 'static {
    /// The rows it takes.
    type In: Record;
    /// Its state for one key and window; zeros where nothing was added.
    type Acc: Record;
    /// The rows that it makes.
    type Out: Record;

    /// As [`Aggregate::add`].
    fn add(&self, acc: &mut Self::Acc, time: Timestamp, row: &Self::In);

    /// As [`Aggregate::merge`].
    fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc);

    /// Whether it merges exactly: [`Aggregate::EXACT`].
    fn is_exact(&self) -> bool;

    /// Whether it can merge at all: [`Aggregate::MERGES`].
    fn merges(&self) -> bool {
        true
    }

    /// As [`Aggregate::INVERTIBLE`].
    fn is_invertible(&self) -> bool {
        false
    }

    /// As [`Aggregate::unmerge`].
    fn unmerge(&self, acc: &mut Self::Acc, merged: &Self::Acc) {
        let _ = (acc, merged);
        unreachable!("nothing is taken off an aggregate that is not invertible")
    }

    /// The row of a firing for a key.
    fn result(&self, pane: &Pane, key: &K, acc: &Self::Acc) -> Self::Out;

    /// The layout of what is kept for a key, where it is not that of its type.
    fn state_layout(&self) -> Layout {
        Self::Acc::layout()
    }

    /// By which the rows of a window are ordered. Who knows more of the keys than their type does may say so; keys that
    /// differ must then have canonical keys that differ.
    fn canonical(&self, key: &K, symbols: &Dictionary) -> CanonicalKey
    where
        K: Key,
    {
        CanonicalKey::of(key, symbols)
    }
}

/// An aggregate, and what makes rows of its values.
#[derive(Clone)]
pub(crate) struct Rows<A, R> {
    aggregate: A,
    row: R,
}

impl<A: Aggregate, R> Rows<A, R> {
    /// `row` makes a row of a firing, a key and a value.
    pub(crate) const fn new<K, Out>(aggregate: A, row: R) -> Self
    where
        R: Fn(&Pane, &K, A::Value) -> Out,
    {
        Self { aggregate, row }
    }
}

impl<K, A, R, Out> WindowAggregate<K> for Rows<A, R>
where
    A: Aggregate,
    Out: Record,
    R: Fn(&Pane, &K, A::Value) -> Out + Clone + Send + Sync + 'static,
{
    type In = A::In;
    type Acc = A::Acc;
    type Out = Out;

    #[inline(always)]
    fn add(&self, acc: &mut A::Acc, time: Timestamp, row: &A::In) {
        self.aggregate.add(acc, time, row);
    }

    #[inline(always)]
    fn merge(&self, acc: &mut A::Acc, later: &A::Acc) {
        self.aggregate.merge(acc, later);
    }

    fn is_exact(&self) -> bool {
        A::EXACT
    }

    fn merges(&self) -> bool {
        A::MERGES
    }

    fn is_invertible(&self) -> bool {
        A::INVERTIBLE
    }

    #[inline(always)]
    fn unmerge(&self, acc: &mut A::Acc, merged: &A::Acc) {
        self.aggregate.unmerge(acc, merged);
    }

    #[inline(always)]
    fn result(&self, pane: &Pane, key: &K, acc: &A::Acc) -> Out {
        (self.row)(pane, key, self.aggregate.value(acc))
    }
}

/// A result of an aggregate with its window and key: columns `window_start, window_end, <key>, value`.
///
/// It has no padding whatever its parts are, so its fields are read through methods.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Windowed<K, V> {
    start: Timestamp,
    end: Timestamp,
    key: K,
    value: V,
}

impl<K: Copy, V: Copy> Windowed<K, V> {
    /// The row of a firing.
    #[inline(always)]
    pub(crate) fn new(pane: &Pane, key: &K, value: V) -> Self {
        Self { start: pane.window.start, end: pane.window.end, key: *key, value }
    }

    /// The window.
    pub fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    /// The key.
    pub fn key(&self) -> K {
        self.key
    }

    /// The aggregate's value.
    pub fn value(&self) -> V {
        self.value
    }
}

impl<K: Copy + std::fmt::Debug, V: Copy + std::fmt::Debug> std::fmt::Debug for Windowed<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}: {:?}", self.window(), self.key(), self.value())
    }
}

impl<K: Record, V: Record> Record for Windowed<K, V> {
    fn layout() -> Layout {
        let time = Timestamp::layout;
        let key = K::layout();
        // Columns of a tuple are `key_1`, `key_2` where it is the key, beside `value_1`, `value_2` of a value.
        let key = if key.naming() == Naming::Tuple { key.with_naming(Naming::Part) } else { key };
        let parts = [("window_start", time()), ("window_end", time()), ("key", key), ("value", V::layout())];
        packed_layout("Windowed", &parts)
    }
}

/// The layout of parts that follow one another without padding. What has no name of its own, such as a number, gets the
/// part's name; the fields of others keep theirs, and so do those of tuples, behind the part's name where another field has
/// it.
pub(crate) fn packed_layout<N: Clone + Into<Cow<'static, str>>>(name: &'static str, parts: &[(N, Layout)]) -> Layout {
    let mut fields = Vec::new();
    let mut names = HashSet::new();
    let mut offset = 0;
    let mut variants = Layout::new(name, 0, 1, Vec::new());
    for (part, layout) in parts {
        let part: Cow<'static, str> = part.clone().into();
        for field in layout.fields() {
            let is_nameless = layout.naming() == Naming::Part || field.name == SCALAR_FIELD;
            let mut name = if is_nameless { name_of_part(&field.name, &part).into() } else { field.name.clone() };
            while !names.insert(name.clone()) {
                name = format!("{part}_{name}").into();
            }
            fields.push(Field { name, offset: offset + field.offset, time: false, ..field.clone() });
        }
        variants = variants.with_variants_of(offset, layout);
        offset += layout.size();
    }
    Layout::new(name, offset, 1, fields).with_variants_of(0, &variants)
}

/// The layout of bytes that nobody reads as anything else, in fields as long as a schema may have them.
pub(crate) fn bytes_layout(name: &'static str, bytes: usize) -> Layout {
    const FIELD: usize = 4096;
    let fields = (0..bytes).step_by(FIELD).map(|start| {
        let kind = FieldKind::Text((bytes - start).min(FIELD) as u32);
        Field { name: format!("{name}_{}", start / FIELD + 1).into(), kind, offset: start, decimals: None, time: false }
    });
    Layout::new(name, bytes, 1, fields.collect())
}

/// Lends a part of a packed record: where it lies if it may lie anywhere, as large states do, and otherwise as a copy.
#[inline(always)]
pub(crate) fn lend<P: Pod>(part: &mut [u8], change: impl FnOnce(&mut P)) {
    if align_of::<P>() == 1 {
        change(bytemuck::from_bytes_mut(part));
    } else {
        let mut copy = bytemuck::pod_read_unaligned(part);
        change(&mut copy);
        part.copy_from_slice(bytemuck::bytes_of(&copy));
    }
}

/// Shows a part of a packed record as [`lend`] does.
#[inline(always)]
pub(crate) fn show<P: Pod, R>(part: &[u8], look: impl FnOnce(&P) -> R) -> R {
    if align_of::<P>() == 1 { look(bytemuck::from_bytes(part)) } else { look(&bytemuck::pod_read_unaligned(part)) }
}
