//! The keyed process function: a state per key, event-time timers, any rows out.

use crate::operator::emitted::Emitted;
use crate::operator::keyed::{Keyed, ProcessContext};
use crate::operator::states::States;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{Store, StoreSettings};
use crate::{Key, Record, Timestamp};
use std::time::Duration;

/// A function with state for each key. It sees a key's rows in the job's order.
///
/// A timer fires when the watermark reaches it: before the first row whose watermark is at or behind the timer's time,
/// and behind all rows before that one, whatever their keys. So what a row and a timer see depends on the input alone,
/// and not on how it is cut into blocks or spread over workers.
///
/// ```
/// use pelton::{ProcessContext, ProcessFunction, Timestamp};
///
/// /// Emits a key's rising values.
/// #[derive(Clone)]
/// struct Rising;
///
/// impl ProcessFunction<u32> for Rising {
///     type In = i64;
///     type State = i64;
///     type Out = i64;
///     fn on_row(&self, _: &u32, _: Timestamp, row: &i64, last: &mut i64, context: &mut ProcessContext<'_, i64>) {
///         if *row > *last {
///             context.emit(*row);
///         }
///         *last = *row;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function for rows with the key `{K}`",
    label = "not a process function",
    note = "write `impl pelton::ProcessFunction<{K}> for {Self}`, with `In` the rows of the stream: `K` is the key that `key_by` gives, which for a tuple is `pelton::Tuple2` and so on",
    note = "a process function is `Clone + Send + Sync + 'static`; what it keeps for a key is its `State`"
)]
pub trait ProcessFunction<K>: Clone + Send + Sync + 'static {
    /// The rows it takes.
    type In: Record;
    /// The state of one key, zeros for a new one.
    type State: Record;
    /// The rows it emits: a record, or a tuple of the main output and side outputs.
    type Out: Emitted;

    /// The outputs whose rows count as late in the report, and not as given on: those of rows that it drops.
    const LATE_OUTPUTS: &'static [usize] = &[];

    /// A row of `key` came.
    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::In,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A timer of `key` fired: the watermark has reached `time`.
    ///
    /// At the end of the input all timers that are left fire; those asked for meanwhile do not.
    fn on_timer(&self, key: &K, time: Timestamp, state: &mut Self::State, context: &mut ProcessContext<'_, Self::Out>) {
        let _ = (key, time, state, context);
    }

    /// How long the state of a key is kept after the key's last row, in event time; for ever where there is none.
    ///
    /// State that has expired by the watermark before a row, or at a timer's time, is zeros, and its lists and maps are
    /// empty.
    fn time_to_live(&self) -> Option<Duration> {
        None
    }

    /// The lists and maps that it keeps for each key beside the state: none by default.
    fn states(&self) -> States {
        States::new()
    }
}

pub(crate) struct ProcessOperator<K, F, P: ProcessFunction<K>> {
    key_of: F,
    function: P,
    keyed: Keyed<K, P::State>,
}

impl<K: Key, F, P: ProcessFunction<K>> ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K,
{
    pub(crate) fn new(key_of: F, function: P, settings: &StoreSettings) -> Self {
        let keyed = Keyed::new(settings, function.time_to_live(), &function.states());
        Self { key_of, function, keyed }
    }
}

impl<K: Key, F, P: ProcessFunction<K>> Operator for ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
    type Outputs = <P::Out as Emitted>::Outputs;
    const LATE_OUTPUTS: &'static [usize] = P::LATE_OUTPUTS;

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<Self::Outputs>) -> Result<Firing, OperatorError> {
        let Self { keyed, function, .. } = self;
        keyed.fire(watermark, out, |key, time, state, context| function.on_timer(key, time, state, context))
    }

    fn on_events_over(&mut self, watermark: Timestamp) {
        self.keyed.end_behind(watermark);
    }

    fn next_firing(&self) -> Timestamp {
        self.keyed.next_timer()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        self.keyed.stores(show);
    }
}

impl<K: Key, F, P: ProcessFunction<K>> OperatorInput<0> for ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
    type Row = P::In;

    fn on_batch(&mut self, batch: Batch<'_, P::In>, out: &mut Outbox<Self::Outputs>) -> Result<usize, OperatorError> {
        let Self { key_of, function, keyed, .. } = self;
        keyed.take(
            &batch,
            out,
            &*key_of,
            |key, time, row, state, context| function.on_row(key, time, row, state, context),
            |key, time, state, context| function.on_timer(key, time, state, context),
        )
    }
}
