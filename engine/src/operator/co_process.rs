//! The co-process function: one state per key, seen by the rows of two streams.

use crate::operator::emitted::Emitted;
use crate::operator::keyed::{Keyed, ProcessContext, Tick};
use crate::operator::states::States;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{Store, StoreSettings};
use crate::{Key, Record, Timestamp};
use std::time::Duration;

/// A function with one state for each key, over the rows of two streams. It sees a key's rows of both in the job's
/// order, and timers where the watermark of both has come to them: nothing waits, and the result depends on the input
/// alone.
///
/// ```
/// use pelton::{CoProcessFunction, ProcessContext, Timestamp};
///
/// /// Values each trade at the last rate of its currency.
/// #[derive(Clone)]
/// struct Valued;
///
/// impl CoProcessFunction<u32> for Valued {
///     type Left = i64;
///     type Right = i64;
///     type State = i64;
///     type Out = i64;
///     fn on_left(&self, _: &u32, _: Timestamp, amount: &i64, rate: &mut i64, context: &mut ProcessContext<'_, i64>) {
///         context.emit(amount * *rate);
///     }
///     fn on_right(&self, _: &u32, _: Timestamp, new: &i64, rate: &mut i64, _: &mut ProcessContext<'_, i64>) {
///         *rate = *new;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function for two streams with the key `{K}`",
    label = "not a function of two streams",
    note = "write `impl pelton::CoProcessFunction<{K}> for {Self}`, with `Left` and `Right` the rows of the streams",
    note = "it is `Clone + Send + Sync + 'static`; what it keeps for a key is its `State`"
)]
pub trait CoProcessFunction<K>: Clone + Send + Sync + 'static {
    /// The rows of the first stream.
    type Left: Record;
    /// The rows of the second stream.
    type Right: Record;
    /// The state of one key, zeros for a new one.
    type State: Record;
    /// The rows it emits: a record, or a tuple of the main output and side outputs.
    type Out: Emitted;

    /// The outputs whose rows count as late in the report, and not as given on: those of rows that it drops.
    const LATE_OUTPUTS: &'static [usize] = &[];

    /// Whether it needs processing time: for [`ProcessContext::processing_time`] and its timers. A function that does not
    /// pays nothing for it.
    const PROCESSING_TIME: bool = false;

    /// A row of the first stream came.
    fn on_left(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::Left,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A row of the second stream came.
    fn on_right(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::Right,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A timer of `key` fired: as [`ProcessFunction::on_timer`](crate::ProcessFunction::on_timer).
    fn on_timer(&self, key: &K, time: Timestamp, state: &mut Self::State, context: &mut ProcessContext<'_, Self::Out>) {
        let _ = (key, time, state, context);
    }

    /// A timer of processing time fired for `key`: a tick has come to `time`: as
    /// [`ProcessFunction::on_processing_timer`](crate::ProcessFunction::on_processing_timer).
    fn on_processing_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out>,
    ) {
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

pub(crate) struct CoProcessOperator<K, FL, FR, P: CoProcessFunction<K>> {
    keys_of: (FL, FR),
    function: P,
    keyed: Keyed<K, P::State>,
}

impl<K: Key, FL, FR, P: CoProcessFunction<K>> CoProcessOperator<K, FL, FR, P> {
    pub(crate) fn new(keys_of: (FL, FR), function: P, settings: &StoreSettings) -> Self {
        let keyed = Keyed::new(settings, function.time_to_live(), &function.states());
        let keyed = keyed.with_processing_time(P::PROCESSING_TIME, settings);
        Self { keys_of, function, keyed }
    }
}

impl<K: Key, FL: 'static, FR: 'static, P: CoProcessFunction<K>> Operator for CoProcessOperator<K, FL, FR, P> {
    type Outputs = <P::Out as Emitted>::Outputs;
    const LATE_OUTPUTS: &'static [usize] = P::LATE_OUTPUTS;

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<Firing, OperatorError> {
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

impl<K: Key, FL, FR: 'static, P: CoProcessFunction<K>> OperatorInput<0> for CoProcessOperator<K, FL, FR, P>
where
    FL: Fn(&P::Left) -> K + 'static,
{
    type Row = P::Left;

    fn on_batch(
        &mut self,
        batch: Batch<'_, P::Left>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        let Self { keys_of, function, keyed, .. } = self;
        keyed.take(
            &batch,
            out,
            &keys_of.0,
            |key, time, row, state, context| function.on_left(key, time, row, state, context),
            |key, time, state, context| function.on_timer(key, time, state, context),
        )
    }
}

impl<K: Key, FL: 'static, FR, P: CoProcessFunction<K>> OperatorInput<1> for CoProcessOperator<K, FL, FR, P>
where
    FR: Fn(&P::Right) -> K + 'static,
{
    type Row = P::Right;

    fn on_batch(
        &mut self,
        batch: Batch<'_, P::Right>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        let Self { keys_of, function, keyed, .. } = self;
        keyed.take(
            &batch,
            out,
            &keys_of.1,
            |key, time, row, state, context| function.on_right(key, time, row, state, context),
            |key, time, state, context| function.on_timer(key, time, state, context),
        )
    }
}

impl<K: Key, FL: 'static, FR: 'static, P: CoProcessFunction<K>> OperatorInput<2> for CoProcessOperator<K, FL, FR, P> {
    type Row = Tick;

    fn on_batch(
        &mut self,
        batch: Batch<'_, Tick>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        let Self { function, keyed, .. } = self;
        keyed.take_ticks(
            &batch,
            out,
            &|key, time, state, context| function.on_timer(key, time, state, context),
            &|key, time, state, context| function.on_processing_timer(key, time, state, context),
        )
    }
}
