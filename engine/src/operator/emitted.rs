//! What process functions emit: rows of one output, or of several.

use crate::Record;
use crate::operator::OperatorOutput;

/// What a process function emits: a record, or a tuple of two to four records.
///
/// The first record of a tuple is the main output. The others are side outputs, to which
/// [`ProcessContext::emit_to`](crate::ProcessContext::emit_to) emits. A step gives a stream for each.
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
