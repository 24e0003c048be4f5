//! Captures as sources of rows whose layout is known at run time.

use super::error::CaptureError;
use super::project::Projection;
use super::reader::Capture;
use super::replay::Replay;
use pelton::rows::{Row, RowLayout, RowSource};
use pelton::{Layout, Source};
use std::path::Path;
use std::sync::Arc;

/// The capture at `path` as a source of rows of the layout that it was written with.
///
/// # Errors
/// When it cannot be opened or is damaged.
///
/// ```
/// use pelton::rows::RowAggregate;
/// use pelton::{Job, Options, Tumbling};
/// use pelton_io::capture::{self, CaptureWriter, WriterOptions};
/// use pelton_io::Trade;
/// use std::time::Duration;
///
/// # let dir = tempfile::tempdir()?;
/// # let (path, out) = (dir.path().join("day.pelton"), dir.path().join("volumes.csv"));
/// # let mut writer = CaptureWriter::<Trade>::create(&path, WriterOptions::default())?;
/// let symbol = writer.intern("BAC")?;
/// writer.extend(&[Trade { time_ns: 5, size: 100, symbol, ..Trade::default() }; 3])?;
/// writer.finish()?;
///
/// let mut job = Job::new("volumes");
/// job.rows("trades", capture::replay_rows(&path)?)
///     .key_by(["symbol"])
///     .window(Tumbling::of(Duration::from_nanos(60)))
///     .aggregate("volumes", [("trades", RowAggregate::count()), ("volume", RowAggregate::sum("size"))])
///     .sink("out", pelton_io::csv::create(&out)?);
/// job.run(Options::workers(2))?;
/// assert_eq!(std::fs::read_to_string(&out)?, "window_start,window_end,symbol,trades,volume\n0,60,BAC,3,300\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay_rows(path: impl AsRef<Path>) -> Result<RowReplay, CaptureError> {
    Ok(Capture::open(path)?.replay_rows())
}

impl Capture {
    /// The capture as a source of rows of the layout that it was written with.
    pub fn replay_rows(&self) -> RowReplay {
        Replay::new(self.clone(), None)
    }
}

/// Rows of whatever layout a capture was written with.
#[derive(Debug, Clone, Copy)]
pub struct AnyRow;

/// A capture about to be replayed as rows whose layout is known at run time. Made by [`replay_rows`], where an example
/// is, and by [`Capture::replay_rows`].
pub type RowReplay = Replay<AnyRow>;

impl RowSource for RowReplay {
    fn layout(&self) -> Layout {
        self.capture().layout().clone()
    }

    fn open<const WORDS: usize>(self, rows: &RowLayout) -> Source<Row<WORDS>> {
        self.into_events::<Row<WORDS>>(Projection::rows::<WORDS>(rows).map(Arc::new)).into()
    }
}
