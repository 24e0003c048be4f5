//! The process function with a broadcast side: each key's rows see a table that another stream fills on all workers.

use crate::base::blame;
use crate::operator::emitted::Emitted;
use crate::operator::keyed::{Keyed, ProcessContext, Tick};
use crate::operator::states::States;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{BroadcastTable, Store, StoreSettings};
use crate::{Key, Record, Timestamp};
use std::time::Duration;

/// A function with state for each key, and a table that a second stream fills: rules, limits, rates.
///
/// Each row of the second stream reaches all workers, and each row of the first sees the table as of its own place in
/// the job's order. The second stream cannot emit: each worker would.
///
/// ```
/// use pelton::{BroadcastProcessFunction, BroadcastTable, ProcessContext, Timestamp};
///
/// /// Passes on amounts above the limit of their kind.
/// #[derive(Clone)]
/// struct AboveLimit;
///
/// impl BroadcastProcessFunction<u32> for AboveLimit {
///     type In = i64;
///     type Broadcast = i64;
///     type TableKey = u8;
///     type TableValue = i64;
///     type State = u64;
///     type Out = i64;
///     fn on_row(
///         &self, _: &u32, _: Timestamp, amount: &i64, _: &mut u64,
///         limits: &BroadcastTable<u8, i64>, context: &mut ProcessContext<'_, i64>,
///     ) {
///         if limits.get(&0).is_some_and(|limit| amount > limit) {
///             context.emit(*amount);
///         }
///     }
///     fn on_broadcast(&self, _: Timestamp, limit: &i64, limits: &mut BroadcastTable<u8, i64>) {
///         limits.insert(0, *limit);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no process function for a broadcast and rows with the key `{K}`",
    label = "not a function of a broadcast",
    note = "write `impl pelton::BroadcastProcessFunction<{K}> for {Self}`, with `In` the rows of the keyed stream",
    note = "it is `Clone + Send + Sync + 'static`; what it keeps for a key is its `State`"
)]
pub trait BroadcastProcessFunction<K>: Clone + Send + Sync + 'static {
    /// The rows of the keyed stream.
    type In: Record;
    /// The rows of the broadcast stream.
    type Broadcast: Record;
    /// The keys of the table.
    type TableKey: Key;
    /// The values of the table.
    type TableValue: Record;
    /// The state of one key, zeros for a new one.
    type State: Record;
    /// The rows it emits: a record, or a tuple of the main output and side outputs.
    type Out: Emitted;

    /// The outputs whose rows count as late in the report, and not as given on: those of rows that it drops.
    const LATE_OUTPUTS: &'static [usize] = &[];

    /// Whether it needs processing time: for [`ProcessContext::processing_time`] and its timers. A function that does not
    /// pays nothing for it.
    const PROCESSING_TIME: bool = false;

    /// A row of `key` came.
    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::In,
        state: &mut Self::State,
        table: &BroadcastTable<Self::TableKey, Self::TableValue>,
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A row of the broadcast stream came.
    fn on_broadcast(
        &self,
        time: Timestamp,
        row: &Self::Broadcast,
        table: &mut BroadcastTable<Self::TableKey, Self::TableValue>,
    );

    /// A timer of `key` fired: as [`ProcessFunction::on_timer`](crate::ProcessFunction::on_timer).
    fn on_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Self::State,
        table: &BroadcastTable<Self::TableKey, Self::TableValue>,
        context: &mut ProcessContext<'_, Self::Out>,
    ) {
        let _ = (key, time, state, table, context);
    }

    /// A timer of processing time fired for `key`: a tick has come to `time`: as
    /// [`ProcessFunction::on_processing_timer`](crate::ProcessFunction::on_processing_timer).
    fn on_processing_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Self::State,
        table: &BroadcastTable<Self::TableKey, Self::TableValue>,
        context: &mut ProcessContext<'_, Self::Out>,
    ) {
        let _ = (key, time, state, table, context);
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

pub(crate) struct BroadcastOperator<K, F, P: BroadcastProcessFunction<K>> {
    key_of: F,
    function: P,
    keyed: Keyed<K, P::State>,
    table: BroadcastTable<P::TableKey, P::TableValue>,
}

impl<K: Key, F, P: BroadcastProcessFunction<K>> BroadcastOperator<K, F, P> {
    pub(crate) fn new(key_of: F, function: P, settings: &StoreSettings) -> Self {
        let keyed = Keyed::new(settings, function.time_to_live(), &function.states());
        let keyed = keyed.with_processing_time(P::PROCESSING_TIME, settings);
        Self { key_of, function, keyed, table: BroadcastTable::new(settings) }
    }

    fn fire(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<Firing, OperatorError> {
        let Self { keyed, function, table, .. } = self;
        keyed.fire(watermark, out, |key, time, state, context| function.on_timer(key, time, state, table, context))
    }
}

impl<K: Key, F: 'static, P: BroadcastProcessFunction<K>> Operator for BroadcastOperator<K, F, P> {
    type Outputs = <P::Out as Emitted>::Outputs;
    const LATE_OUTPUTS: &'static [usize] = P::LATE_OUTPUTS;

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<Firing, OperatorError> {
        self.fire(watermark, out)
    }

    fn on_events_over(&mut self, watermark: Timestamp) {
        self.keyed.end_behind(watermark);
    }

    fn next_firing(&self) -> Timestamp {
        self.keyed.next_timer()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        self.keyed.stores(show);
        show("table", &mut self.table);
    }
}

impl<K: Key, F, P: BroadcastProcessFunction<K>> OperatorInput<0> for BroadcastOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
    type Row = P::In;

    fn on_batch(
        &mut self,
        batch: Batch<'_, P::In>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        let Self { key_of, function, keyed, table, .. } = self;
        keyed.take(
            &batch,
            out,
            &*key_of,
            |key, time, row, state, context| function.on_row(key, time, row, state, table, context),
            |key, time, state, context| function.on_timer(key, time, state, table, context),
        )
    }
}

impl<K: Key, F: 'static, P: BroadcastProcessFunction<K>> OperatorInput<1> for BroadcastOperator<K, F, P> {
    type Row = P::Broadcast;

    fn on_batch(
        &mut self,
        batch: Batch<'_, P::Broadcast>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = batch.watermark(index);
            // Timers before it see the table without it.
            if self.keyed.next_timer() <= watermark && self.fire(watermark, out)? == Firing::More {
                return Ok(index);
            }
            let Self { function, table, .. } = self;
            blame::at_index(index, || function.on_broadcast(time, row, table));
            Store::check(table)?;
        }
        Ok(batch.len())
    }
}

impl<K: Key, F: 'static, P: BroadcastProcessFunction<K>> OperatorInput<2> for BroadcastOperator<K, F, P> {
    type Row = Tick;

    fn on_batch(
        &mut self,
        batch: Batch<'_, Tick>,
        out: &mut Outbox<<P::Out as Emitted>::Outputs>,
    ) -> Result<usize, OperatorError> {
        let Self { function, keyed, table, .. } = self;
        keyed.take_ticks(
            &batch,
            out,
            &|key, time, state, context| function.on_timer(key, time, state, table, context),
            &|key, time, state, context| function.on_processing_timer(key, time, state, table, context),
        )
    }
}
