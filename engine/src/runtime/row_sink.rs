//! Sinks of rows whose layout is known at run time.

use crate::base::row::{Row, RowLayout, RowRef, RowSlice};
use crate::runtime::sink::{cannot_restore, takes_no_bytes};
use crate::{BoxError, Dictionary, Encoder, Encoders, Layout, Sink, SinkCheckpoint, Timestamp};
use std::sync::Arc;

/// Takes rows of a layout that it learns when it is opened: a [`Sink`] for them.
///
/// ```
/// use pelton::{BoxError, Dictionary, Layout, Timestamp};
/// use pelton::rows::{RowSink, RowSlice};
/// use std::sync::Arc;
///
/// /// Prints the records as bytes.
/// struct Dump;
///
/// impl RowSink for Dump {
///     fn open(&mut self, layout: &Layout, _: &Arc<Dictionary>) -> Result<(), BoxError> {
///         println!("{}", layout.schema());
///         Ok(())
///     }
///     fn write(&mut self, _: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
///         rows.iter().for_each(|row| println!("{:02x?}", row.bytes()));
///         Ok(rows.len())
///     }
/// }
/// ```
pub trait RowSink: Send + 'static {
    /// Called once before the first row, on the worker's thread.
    ///
    /// # Errors
    /// When the sink cannot be made ready, or does not take such rows; the job ends with the error.
    fn open(&mut self, layout: &Layout, symbols: &Arc<Dictionary>) -> Result<(), BoxError>;

    /// Takes a prefix of the rows and says how many, as [`Sink::write`] does. There is a time for each row.
    ///
    /// # Errors
    /// When rows cannot be written; the job ends with the error.
    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError>;

    /// What makes bytes of rows of this layout, as [`Sink::encoders`].
    fn encoders(&self, layout: &Layout) -> Option<Encoders> {
        let _ = layout;
        None
    }

    /// Takes the bytes of the next rows, as [`Sink::write_encoded`] does.
    ///
    /// # Errors
    /// As for [`RowSink::write`].
    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        let _ = (rows, bytes);
        Err(takes_no_bytes())
    }

    /// Makes what was written visible to readers; called when the stream pauses.
    ///
    /// # Errors
    /// As for [`RowSink::write`].
    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// As [`Sink::checkpoint`](crate::Sink::checkpoint).
    ///
    /// # Errors
    /// As for [`RowSink::write`].
    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.flush()?;
        Ok(None)
    }

    /// As [`Sink::restore`](crate::Sink::restore).
    ///
    /// # Errors
    /// When the output is not there, or has not come that far.
    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        let _ = position;
        Err(cannot_restore())
    }

    /// As [`Sink::first_number`](crate::Sink::first_number).
    fn first_number(&mut self, number: u64) {
        let _ = number;
    }

    /// Called once after the last row; not when the job failed or was stopped at once.
    ///
    /// # Errors
    /// When the last rows cannot be written.
    fn finish(&mut self) -> Result<(), BoxError> {
        self.flush()
    }
}

/// A sink that calls a function with each row and its time, on a worker's thread.
///
/// ```
/// use pelton::Timestamp;
/// use pelton::rows::{self, RowRef, RowSink};
///
/// let sink = rows::callback(|time: Timestamp, row: RowRef<'_>| println!("{time} {:?}", row.integer(0)));
/// # let _: &dyn RowSink = &sink;
/// ```
pub fn callback<F>(call: F) -> RowCallback<F>
where
    F: FnMut(Timestamp, RowRef<'_>) + Send + 'static,
{
    RowCallback { call }
}

/// Made by [`callback`].
pub struct RowCallback<F> {
    call: F,
}

impl<F: FnMut(Timestamp, RowRef<'_>) + Send + 'static> RowSink for RowCallback<F> {
    fn open(&mut self, _: &Layout, _: &Arc<Dictionary>) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        times.iter().zip(rows.iter()).for_each(|(time, row)| (self.call)(*time, row));
        Ok(rows.len())
    }
}

/// A sink that calls a function with each row's number, its time and the row, as
/// [`callback_numbered`](crate::callback_numbered) does.
///
/// ```
/// use pelton::Timestamp;
/// use pelton::rows::{self, RowRef, RowSink};
///
/// let sink = rows::callback_numbered(|number: u64, _: Timestamp, row: RowRef<'_>| println!("{number} {:?}", row.integer(0)));
/// # let _: &dyn RowSink = &sink;
/// ```
pub fn callback_numbered<F>(call: F) -> RowCallbackNumbered<F>
where
    F: FnMut(u64, Timestamp, RowRef<'_>) + Send + 'static,
{
    RowCallbackNumbered { call, next: 0 }
}

/// Made by [`callback_numbered`].
pub struct RowCallbackNumbered<F> {
    call: F,
    /// The number of the next row.
    next: u64,
}

impl<F: FnMut(u64, Timestamp, RowRef<'_>) + Send + 'static> RowSink for RowCallbackNumbered<F> {
    fn open(&mut self, _: &Layout, _: &Arc<Dictionary>) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        for (time, row) in times.iter().zip(rows.iter()) {
            (self.call)(self.next, *time, row);
            self.next += 1;
        }
        Ok(rows.len())
    }

    fn first_number(&mut self, number: u64) {
        self.next = number;
    }
}

/// A sink of rows, as one of rows of any class.
pub(crate) struct SinkOfClass {
    sink: Box<dyn RowSink>,
    rows: RowLayout,
}

impl SinkOfClass {
    pub(crate) fn new(sink: Box<dyn RowSink>, rows: RowLayout) -> Self {
        Self { sink, rows }
    }
}

impl<const WORDS: usize> Sink<Row<WORDS>> for SinkOfClass {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        self.sink.open(self.rows.layout(), symbols)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[Row<WORDS>]) -> Result<usize, BoxError> {
        self.sink.write(times, RowSlice::new(&self.rows, rows))
    }

    fn encoders(&self) -> Option<Encoders> {
        let (encoders, rows) = (self.sink.encoders(self.rows.layout())?, self.rows.clone());
        Some(Arc::new(move |symbols| Box::new(EncoderOfClass { encoder: encoders(symbols), rows: rows.clone() })))
    }

    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        self.sink.write_encoded(rows, bytes)
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        self.sink.flush()
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.sink.checkpoint()
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        self.sink.restore(position)
    }

    fn first_number(&mut self, number: u64) {
        self.sink.first_number(number);
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        self.sink.finish()
    }
}

/// An encoder of records, as one of rows of any class.
struct EncoderOfClass {
    encoder: Box<dyn Encoder>,
    rows: RowLayout,
}

impl Encoder for EncoderOfClass {
    fn encode(&mut self, time: Timestamp, row: &[u8], out: &mut Vec<u8>) {
        self.encoder.encode(time, self.rows.record_in(row), out);
    }
}
