//! What functions emit: rows of one output, or of several.

use crate::operator::{OUTPUTS_MAX, OperatorOutput, Outputs};
use crate::{Record, Timestamp};

/// What a process function or [`Stream::flat_map_to`](crate::Stream::flat_map_to) emits: a record, or a tuple of two to
/// four records.
///
/// The first record of a tuple is the main output. The others are side outputs, to which
/// [`ProcessContext::emit_to`](crate::ProcessContext::emit_to) and [`Emitter::emit_to`] emit. A step gives a stream for
/// each. So a process function that cannot use a row emits it to a side output, with the reason, and the job goes on.
///
/// ```
/// use pelton::{Job, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Payment { #[event(time)] time_ns: i64, card: u64, cents: i64 }
///
/// /// Adds up what each card pays. Refunds leave by an output of their own.
/// #[derive(Clone)]
/// struct Paid;
///
/// impl ProcessFunction<u64> for Paid {
///     type In = Payment;
///     type State = i64;
///     type Out = (i64, Payment);
///     fn on_row(
///         &self, _: &u64, _: Timestamp, payment: &Payment, paid: &mut i64,
///         context: &mut ProcessContext<'_, (i64, Payment)>,
///     ) {
///         if payment.cents < 0 {
///             return context.emit_to::<1>(*payment);
///         }
///         *paid += payment.cents;
///         context.emit(*paid);
///     }
/// }
///
/// let payments = [500, -200, 300].map(|cents| Payment { time_ns: 1, card: 7, cents });
/// let mut job = Job::new("payments");
/// let (paid, refunds) = job
///     .source("payments", VecSource::new(payments.into(), 64))
///     .key_by(|payment| payment.card)
///     .process("paid", Paid);
/// let (paid_sink, paid_rows) = collect();
/// let (refund_sink, refund_rows) = collect();
/// paid.sink("paid out", paid_sink);
/// refunds.sink("refunds out", refund_sink);
/// let report = job.run(Options::workers(1))?;
/// assert_eq!(paid_rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [500, 800]);
/// assert_eq!(refund_rows.take()[0].1.cents, -200);
/// assert_eq!((report.steps[1].rows_out, report.steps[1].late), (3, 0));
/// # Ok::<(), pelton::Error>(())
/// ```
pub trait Emitted: 'static {
    /// The rows of the main output.
    type Main: Record;
    /// All outputs, as an operator has them.
    type Outputs: OperatorOutput<0, Row = Self::Main>;
}

impl<T: Record> Emitted for T {
    type Main = T;
    type Outputs = (T,);
}

macro_rules! emitted {
    ($($main:ident $(, $side:ident)+;)+) => {$(
        impl<$main: Record $(, $side: Record)+> Emitted for ($main $(, $side)+) {
            type Main = $main;
            type Outputs = Self;
        }
    )+};
}

emitted! {
    A, B;
    A, B, C;
    A, B, C, D;
}

/// Where a stateless step with several outputs puts the rows that it makes of one row. They keep the row's event time. See
/// [`Stream::flat_map_to`](crate::Stream::flat_map_to).
///
/// A function of its own names the outputs:
///
/// ```
/// use pelton::{Emitter, Job, Options, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Sample { #[event(time)] time_ns: i64, value: i64 }
///
/// fn sort_out(sample: &Sample, out: &mut Emitter<'_, (i64, Sample)>) {
///     match sample.value {
///         0.. => out.emit(sample.value),
///         _ => out.emit_to::<1>(*sample),
///     }
/// }
///
/// let mut job = Job::new("samples");
/// let samples = job.source("samples", [3, -1, 4].map(|value| Sample { time_ns: 1, value }));
/// let (values, negative) = samples.flat_map_to(sort_out);
/// let ((value_sink, value_rows), (negative_sink, negative_rows)) = (collect(), collect());
/// values.sink("values", value_sink);
/// negative.sink("negative", negative_sink);
/// job.run(Options::workers(1))?;
/// assert_eq!((value_rows.take().len(), negative_rows.take()[0].1.value), (2, -1));
/// # Ok::<(), pelton::Error>(())
/// ```
pub struct Emitter<'a, Out: Emitted> {
    columns: &'a mut <Out::Outputs as Outputs>::Columns<u32>,
    /// Whether anybody takes the rows of each output.
    taken: [bool; OUTPUTS_MAX],
    time: Timestamp,
    /// The number of the row in its batch.
    row: u32,
}

impl<'a, Out: Emitted> Emitter<'a, Out> {
    /// Where rows go that are made of row `row` of a batch, which has this time.
    #[inline(always)]
    pub(crate) const fn new(
        columns: &'a mut <Out::Outputs as Outputs>::Columns<u32>,
        taken: [bool; OUTPUTS_MAX],
        (row, time): (usize, Timestamp),
    ) -> Self {
        Self { columns, taken, time, row: row as u32 }
    }

    /// Emits a row by the main output.
    #[inline(always)]
    pub fn emit(&mut self, row: Out::Main) {
        self.emit_to::<0>(row);
    }

    /// Emits a row by output `OUTPUT`, of which 0 is the main one: see [`Emitted`]. Where nobody takes the rows of that
    /// output, the row is dropped.
    #[inline(always)]
    pub fn emit_to<const OUTPUT: usize>(&mut self, row: <Out::Outputs as OperatorOutput<OUTPUT>>::Row)
    where
        Out::Outputs: OperatorOutput<OUTPUT>,
    {
        if self.taken[OUTPUT] {
            <Out::Outputs as OperatorOutput<OUTPUT>>::column_mut(self.columns).push(self.time, row, self.row);
        }
    }
}

impl<Out: Emitted> std::fmt::Debug for Emitter<'_, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emitter").field("time", &self.time).finish_non_exhaustive()
    }
}
