//! Stateless steps with several outputs.

use crate::Record;
use crate::api::output::{NodeOutputs, OUTPUTS, OutputStreams, output_ports};
use crate::api::stream::Stream;
use crate::graph::connect::TypedFork;
use crate::operator::chain::Chain;
use crate::operator::emitted::{Emitted, Emitter};
use std::marker::PhantomData;

/// The names of the outputs of a step whose function may fail.
const FALLIBLE: [&str; 4] = ["main", "errors", "", ""];

impl<T: Record, C: Chain<Out = T>> Stream<T, C> {
    /// Makes any number of rows of each row, for one output or several, and gives a stream for each. The function runs
    /// once for each row.
    ///
    /// Of each output a row becomes at most 65,535 rows before the next keyed step or sink. Rows of an output that
    /// nobody takes are dropped: they are neither kept nor counted.
    ///
    /// ```
    /// use pelton::{Job, Options, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Order { #[event(time)] time_ns: i64, account: u64, cents: i64 }
    ///
    /// #[derive(Clone, Copy, Debug, PartialEq, pelton::Record)]
    /// #[repr(C)]
    /// struct Entry { account: u64, cents: i64, side: u64 }
    ///
    /// let orders = [500, 0, 90_000].map(|cents| Order { time_ns: 1, account: 7, cents });
    /// let mut job = Job::new("orders");
    /// // Two entries for each order, and orders that somebody has to look at.
    /// let (entries, odd) = job.source("orders", orders).flat_map_to::<(Entry, Order)>(|order, out| {
    ///     if order.cents <= 0 || order.cents > 10_000 {
    ///         out.emit_to::<1>(*order);
    ///     }
    ///     for side in [0, 1] {
    ///         out.emit(Entry { account: order.account, cents: order.cents, side });
    ///     }
    /// });
    /// let ((entry_sink, entry_rows), (odd_sink, odd_rows)) = (collect(), collect());
    /// entries.filter(|entry| entry.cents > 0).sink("entries", entry_sink);
    /// odd.sink("odd", odd_sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(entry_rows.take().iter().map(|(_, entry)| entry.side).collect::<Vec<_>>(), [0, 1, 0, 1]);
    /// assert_eq!(odd_rows.take().iter().map(|(_, order)| order.cents).collect::<Vec<_>>(), [0, 90_000]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn flat_map_to<Out: OutputStreams>(
        self,
        map: impl Fn(&T, &mut Emitter<'_, Out>) + Clone + Send + Sync + 'static,
    ) -> Out::Streams {
        self.fork_to("flat_map_to", OUTPUTS, true, map)
    }

    /// Makes one row of each row, or an error: gives the stream of the rows, and that of the errors. So a row that cannot be
    /// processed does not end the job, as a panic does.
    ///
    /// An error is a record with the event time of its row. Errors that nobody takes are dropped; to have them counted,
    /// give them to a sink.
    ///
    /// ```
    /// use pelton::{Code, Job, Options, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Line { #[event(time)] time_ns: i64, text: [u8; 8] }
    ///
    /// #[derive(Clone, Copy, PartialEq, Debug, pelton::Enum)]
    /// #[repr(u8)]
    /// enum Reason { NoText = 1, NoNumber = 2 }
    ///
    /// #[derive(Clone, Copy, pelton::Record)]
    /// #[repr(C)]
    /// struct BadLine { text: [u8; 8], reason: Code<Reason> }
    ///
    /// fn number(line: &Line) -> Result<i64, BadLine> {
    ///     let bad = |reason: Reason| BadLine { text: line.text, reason: reason.into() };
    ///     let text = std::str::from_utf8(&line.text).map_err(|_| bad(Reason::NoText))?;
    ///     text.trim_end_matches('\0').parse().map_err(|_| bad(Reason::NoNumber))
    /// }
    ///
    /// let lines = [*b"12\0\0\0\0\0\0", *b"twelve\0\0", *b"-7\0\0\0\0\0\0"].map(|text| Line { time_ns: 1, text });
    /// let mut job = Job::new("lines");
    /// let (numbers, bad) = job.source("lines", lines).try_map(number);
    /// let ((number_sink, number_rows), (bad_sink, bad_rows)) = (collect(), collect());
    /// numbers.sink("numbers", number_sink);
    /// bad.sink("bad lines", bad_sink);
    /// let report = job.run(Options::workers(2))?;
    /// assert_eq!(number_rows.take().iter().map(|(_, number)| *number).collect::<Vec<_>>(), [12, -7]);
    /// assert_eq!(bad_rows.take()[0].1.reason.get(), Some(Reason::NoNumber));
    /// assert_eq!(report.step("bad lines").map(|step| step.rows_in), Some(1));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn try_map<U, E, F>(self, map: F) -> (Stream<U>, Stream<E>)
    where
        U: Record,
        E: Record,
        F: Fn(&T) -> Result<U, E> + Clone + Send + Sync + 'static,
    {
        self.fork_to::<(U, E)>("try_map", FALLIBLE, false, move |row, out| match map(row) {
            Ok(made) => out.emit(made),
            Err(error) => out.emit_to::<1>(error),
        })
    }

    /// As [`Stream::try_map`], with any number of rows of each row, or an error: at most 65,535 before the next keyed step
    /// or sink.
    ///
    /// ```
    /// use pelton::{Job, Options, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Batch { #[event(time)] time_ns: i64, count: u32, value: u32 }
    ///
    /// let batches = [(2, 7), (9, 1), (1, 5)].map(|(count, value)| Batch { time_ns: 1, count, value });
    /// let mut job = Job::new("batches");
    /// let (values, too_long) = job.source("batches", batches).try_flat_map(|batch| match batch.count {
    ///     0..=4 => Ok(std::iter::repeat_n(batch.value, batch.count as usize)),
    ///     _ => Err(*batch),
    /// });
    /// let ((value_sink, value_rows), (long_sink, long_rows)) = (collect(), collect());
    /// values.sink("values", value_sink);
    /// too_long.sink("too long", long_sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(value_rows.take().iter().map(|(_, value)| *value).collect::<Vec<_>>(), [7, 7, 5]);
    /// assert_eq!(long_rows.take()[0].1.count, 9);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn try_flat_map<U, E, I, F>(self, map: F) -> (Stream<U>, Stream<E>)
    where
        U: Record,
        E: Record,
        I: IntoIterator<Item = U>,
        F: Fn(&T) -> Result<I, E> + Clone + Send + Sync + 'static,
    {
        self.fork_to::<(U, E)>("try_flat_map", FALLIBLE, true, move |row, out| match map(row) {
            Ok(made) => made.into_iter().for_each(|made| out.emit(made)),
            Err(error) => out.emit_to::<1>(error),
        })
    }

    /// The outputs of a function, which may emit several rows for one by one output where it fans out.
    fn fork_to<Out: OutputStreams>(
        self,
        kind: &'static str,
        outputs: [&'static str; 4],
        fans_out: bool,
        function: impl Fn(&T, &mut Emitter<'_, Out>) + Clone + Send + Sync + 'static,
    ) -> Out::Streams {
        let graph = self.graph.clone();
        let ports = output_ports::<<Out as Emitted>::Outputs>(outputs);
        let node = self.fork(kind, ports, |chain, step| {
            Box::new(TypedFork { chain, function, step, fans_out, outputs: PhantomData::<fn() -> Out> })
        });
        Out::streams(NodeOutputs::new(&graph, node))
    }
}
