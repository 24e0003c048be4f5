//! The keyed process function: a state per key, event-time timers, any rows out.

use crate::operator::emitted::Emitted;
use crate::operator::keyed::{Keyed, ProcessContext, Tick};
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
    /// The rows it emits: a record, or a tuple of the main output and side outputs. A row that the function cannot use leaves
    /// by a side output, with the reason, and the job goes on.
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
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A timer of `key` fired: the watermark has reached `time`.
    ///
    /// At the end of the input all timers that are left fire; those asked for meanwhile do not.
    fn on_timer(&self, key: &K, time: Timestamp, state: &mut Self::State, context: &mut ProcessContext<'_, Self::Out>) {
        let _ = (key, time, state, context);
    }

    /// A timer of processing time fired for `key`: a tick has come to `time`.
    ///
    /// Those that a tick fires are called in order of (time, key), and the rows that they emit stand at the tick, in all
    /// steps behind the tick itself and before all else. They have the time 1 ns behind the watermark, so none is late.
    ///
    /// ```
    /// use pelton::{Job, ManualClock, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, collect, push};
    /// use std::time::Duration;
    ///
    /// /// Says of each user when nothing came for 5 s.
    /// #[derive(Clone)]
    /// struct Quiet;
    ///
    /// impl ProcessFunction<u64> for Quiet {
    ///     type In = Click;
    ///     type State = Timestamp;
    ///     type Out = u64;
    ///     const PROCESSING_TIME: bool = true;
    ///     fn on_row(
    ///         &self, _: &u64, _: Timestamp, _: &Click, due: &mut Timestamp, context: &mut ProcessContext<'_, u64>,
    ///     ) {
    ///         context.delete_processing_timer(*due);
    ///         *due = context.processing_time() + Duration::from_secs(5);
    ///         context.processing_timer(*due);
    ///     }
    ///     fn on_processing_timer(
    ///         &self, user: &u64, _: Timestamp, _: &mut Timestamp, context: &mut ProcessContext<'_, u64>,
    ///     ) {
    ///         context.emit(*user);
    ///     }
    /// }
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Click { #[event(time)] time_ns: i64, user: u64 }
    ///
    /// let (mut input, clicks) = push(16);
    /// let clock = ManualClock::default();
    /// let mut job = Job::new("quiet users");
    /// let (sink, rows) = collect();
    /// job.source("clicks", clicks).key_by(|click: &Click| click.user).process("quiet", Quiet).sink("out", sink);
    /// let mut simulation = job.simulate(Options::workers(1).clock(clock.clone()))?;
    /// let mut settle = || (0..100).for_each(|_| { simulation.step(0); });
    ///
    /// input.send(&[Click { time_ns: 1, user: 7 }])?;
    /// settle();
    /// clock.advance(Duration::from_secs(5));
    /// settle();
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [7]);
    /// # Ok::<(), pelton::BoxError>(())
    /// ```
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
        let keyed = keyed.with_processing_time(P::PROCESSING_TIME, settings);
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

impl<K: Key, F, P: ProcessFunction<K>> OperatorInput<1> for ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
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
