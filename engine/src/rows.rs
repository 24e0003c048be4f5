//! Rows whose layout is known at run time: jobs built from schema text, without a Rust type.
//!
//! [`Job::rows`](crate::Job::rows) makes a [`RowStream`] of a [`RowSource`], whose rows have the layout that the source
//! says, such as one that [`Layout::parse`](crate::Layout::parse) read. Columns are named, and found before the job
//! runs; what cannot be is a [`ShapeError`](crate::ShapeError) like any other. The job gives what the same job over
//! typed streams gives, byte by byte: windows fire in the order of texts and numbers, and sums of integers are exact.
//!
//! Rows lie in classes of 32, 64 and 256 bytes ([`Row`]), and are used in place where a record has just the
//! size of its class. Code is compiled for each class once, in this crate. It reads columns by offset and type, so a
//! typed stream is faster.

pub use crate::api::rows::{KeyedRowStream, RowOutput, RowStream, WindowedRowStream};
pub use crate::base::row::{ROW_BYTES_MAX, Row, RowLayout, RowRef, RowSlice};
pub use crate::operator::rows::aggregate::RowAggregate;
pub use crate::operator::rows::filter::{Comparison, Literal};
pub use crate::runtime::row_sink::{RowCallback, RowCallbackNumbered, RowSink, callback, callback_numbered};
pub use crate::runtime::row_source::{RowSource, VecRows};
