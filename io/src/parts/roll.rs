//! When a sink goes on to its next file, and where the files are.

use crate::disk::{Disk, OsDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// When a sink goes on to its next file. The order of the job's rows decides, and nothing else.
///
/// ```
/// use pelton_io::sink::Roll;
///
/// let each_64_mib = Roll::bytes(64 << 20);
/// assert_ne!(each_64_mib, Roll::daily());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll(pub(crate) RollKind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollKind {
    Bytes(u64),
    Hours,
    Days,
}

impl Roll {
    /// Before the row that would make the file larger than this many bytes. A row that does so alone has a file of its own.
    pub const fn bytes(bytes_max: u64) -> Self {
        Self(RollKind::Bytes(bytes_max))
    }

    /// When the largest row time so far enters another hour of UTC. A row of an earlier hour stays in the current file.
    pub const fn hourly() -> Self {
        Self(RollKind::Hours)
    }

    /// When the largest row time so far enters another day of UTC. A row of an earlier day stays in the current file.
    pub const fn daily() -> Self {
        Self(RollKind::Days)
    }

    /// The hour or day of a time, 0 where files do not roll by time.
    pub(crate) const fn period(self, time_ns: i64) -> i64 {
        match self.0 {
            RollKind::Bytes(_) => 0,
            RollKind::Hours => time_ns.div_euclid(HOUR_NS),
            RollKind::Days => time_ns.div_euclid(DAY_NS),
        }
    }

    /// The most bytes of a file, where that is when files roll.
    pub(crate) const fn bytes_max(self) -> Option<u64> {
        match self.0 {
            RollKind::Bytes(bytes) => Some(bytes),
            RollKind::Hours | RollKind::Days => None,
        }
    }
}

impl std::fmt::Display for Roll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            RollKind::Bytes(bytes) => write!(f, "{bytes} bytes"),
            RollKind::Hours => f.write_str("the hour"),
            RollKind::Days => f.write_str("the day"),
        }
    }
}

/// Files that a sink writes one after another: where they are, and when it goes on to the next.
///
/// A path `out/bars.csv` gives `out/bars-000000.csv` and so on; rolled by time, the hour or day is in the name too, as in
/// `out/bars-000000-2024-01-02T14.csv`. A path to a directory gives `part-000000` and so on in it. While a file is written
/// it has a hidden name that ends in `.in-progress`.
///
/// ```
/// use pelton_io::sink::{Format, Roll, Rolling, TextSink};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bars.csv");
/// let sink = TextSink::rolling(Rolling::new(&path, Roll::hourly()).overwrite(true), Format::Csv)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rolling {
    pub(crate) path: PathBuf,
    pub(crate) roll: Roll,
    pub(crate) overwrites: bool,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Rolling {
    /// Files named after this path. Files of these names that exist are an error of the job.
    pub fn new(path: impl AsRef<Path>, roll: Roll) -> Self {
        Self { path: path.as_ref().to_owned(), roll, overwrites: false, disk: Arc::new(OsDisk) }
    }

    /// Whether files that are there under such names are removed as the job begins; all of them, also those that it will
    /// not write anew.
    pub fn overwrite(self, overwrites: bool) -> Self {
        Self { overwrites, ..self }
    }

    /// Has the files on another disk: for tests.
    pub fn on_disk(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// Whether a path is, or could become, one of these files.
    ///
    /// ```
    /// use pelton_io::sink::{Roll, Rolling};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let at = |name: &str| dir.path().join(name);
    /// let files = Rolling::new(at("bars.csv"), Roll::daily());
    /// assert!(files.has(&at("bars-000007.csv")) && !files.has(&at("bars.csv")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has(&self, path: &Path) -> bool {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (Ok(names), Ok(parent)) =
            (super::names::Names::rolling(&self.path, self.roll, "csv"), parent.canonicalize())
        else {
            return false;
        };
        names.directory == parent && path.file_name().is_some_and(|name| names.find(name).is_some())
    }
}

impl std::fmt::Debug for Rolling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rolling").field("path", &self.path).field("roll", &self.roll).finish_non_exhaustive()
    }
}
