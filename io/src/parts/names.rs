//! The names of files that a sink writes one after another.
//!
//! ```text
//! bars-000003.csv                               the fourth file, rolled by size
//! bars-000003-2024-01-02T14.csv                 rolled by the hour
//! bars-000003-2024-01-02.csv                    rolled by the day
//! .bars-000003-2024-01-02.csv.in-progress       while it is written, and until it is committed
//! ```
//! A final name depends on the rows before and in the file, and on nothing else.

use super::roll::{HOUR_NS, Roll, RollKind};
use crate::codec::time::Date;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The least digits of a part's number.
const DIGITS: usize = 6;
const IN_PROGRESS: &str = ".in-progress";
/// The stem of files in a directory of which no stem is given.
const STEM: &str = "part";

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// From 0.
    pub(crate) number: u64,
    /// Hours or days since the epoch; 0 where files do not roll by time.
    pub(crate) period: i64,
}

/// A name that is one of the files'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) is_in_progress: bool,
}

/// How files are named.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) directory: PathBuf,
    /// For one file, its whole name.
    stem: String,
    /// With its dot; empty for one file.
    extension: String,
    /// `None` for one file.
    pub(crate) roll: Option<Roll>,
}

impl Names {
    /// Of one file, which gets this name.
    pub(crate) fn one(path: &Path) -> io::Result<Self> {
        let (directory, stem) = split(path)?;
        Ok(Self { directory, stem, extension: String::new(), roll: None })
    }

    /// Of files that roll: `bars.csv` becomes `bars-000000.csv` and so on, a directory `out` becomes `out/part-000000.csv`.
    /// Without an extension they get this one.
    pub(crate) fn rolling(path: &Path, roll: Roll, extension: &str) -> io::Result<Self> {
        let ends_in_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let (directory, name) = match ends_in_slash || path.is_dir() {
            true => (path.canonicalize()?, STEM.to_owned()),
            false => split(path)?,
        };
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem.to_owned(), format!(".{extension}")),
            _ => (name, format!(".{extension}")),
        };
        Ok(Self { directory, stem, extension, roll: Some(roll) })
    }

    fn name(&self, part: Part) -> String {
        let Self { stem, extension, roll, .. } = self;
        let Part { number, period } = part;
        match roll.map(|roll| roll.0) {
            None => stem.clone(),
            Some(RollKind::Bytes(_)) => format!("{stem}-{number:0DIGITS$}{extension}"),
            Some(RollKind::Days) => format!("{stem}-{number:0DIGITS$}-{}{extension}", Date::from_days(period)),
            Some(RollKind::Hours) => {
                let (day, hour) = (Date::of(period.saturating_mul(HOUR_NS)), period.rem_euclid(24));
                format!("{stem}-{number:0DIGITS$}-{day}T{hour:02}{extension}")
            }
        }
    }

    /// The final name of a file.
    pub(crate) fn named(&self, part: Part) -> PathBuf {
        self.directory.join(self.name(part))
    }

    /// Its name while it is written.
    pub(crate) fn in_progress(&self, part: Part) -> PathBuf {
        self.directory.join(format!(".{}{IN_PROGRESS}", self.name(part)))
    }

    /// What a name in the directory is, if it is one of these, however they were rolled.
    pub(crate) fn find(&self, name: &OsStr) -> Option<Found> {
        let name = name.to_str()?;
        let hidden = name.strip_prefix('.').and_then(|name| name.strip_suffix(IN_PROGRESS));
        let (name, is_in_progress) = hidden.map_or((name, false), |name| (name, true));
        if self.roll.is_none() {
            return (name == self.stem).then_some(Found { number: 0, is_in_progress });
        }
        let middle = name.strip_prefix(&*self.stem)?.strip_prefix('-')?.strip_suffix(&*self.extension)?;
        let (number, period) = middle.split_once('-').map_or((middle, None), |(number, rest)| (number, Some(rest)));
        let is_number = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
        let fits = |pattern: &str| {
            let same = |(digit, byte): (u8, u8)| if digit == b'0' { byte.is_ascii_digit() } else { byte == digit };
            period.is_some_and(|period| period.len() == pattern.len() && pattern.bytes().zip(period.bytes()).all(same))
        };
        let is_period = period.is_none() || fits("0000-00-00") || fits("0000-00-00T00");
        (is_number && is_period).then(|| number.parse().ok()).flatten().map(|number| Found { number, is_in_progress })
    }
}

/// A path's directory, without links, and its name.
fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    let name = name.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its name is no UTF-8"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent.canonicalize()?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_number_and_time_and_are_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.bars.csv");
        let day = |roll, period, number| {
            let names = Names::rolling(&path, roll, "csv").unwrap();
            let part = Part { number, period };
            for (path, is_in_progress) in [(names.named(part), false), (names.in_progress(part), true)] {
                let found = names.find(path.file_name().unwrap());
                assert_eq!(found, Some(Found { number, is_in_progress }), "{path:?}");
            }
            names.named(part).file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(day(Roll::bytes(7), 0, 3), "my.bars-000003.csv");
        assert_eq!(day(Roll::bytes(7), 0, 12_345_678), "my.bars-12345678.csv");
        assert_eq!(day(Roll::hourly(), 24 * 19_724 + 14, 1), "my.bars-000001-2024-01-02T14.csv");
        assert_eq!(day(Roll::daily(), 19_724, 0), "my.bars-000000-2024-01-02.csv");
        assert_eq!(day(Roll::hourly(), -1, 0), "my.bars-000000-1969-12-31T23.csv");
        assert_eq!(day(Roll::daily(), -106_751, 0), "my.bars-000000-1677-09-22.csv");
    }

    #[test]
    fn other_names_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::rolling(&dir.path().join("bars.csv"), Roll::hourly(), "csv").unwrap();
        for name in [
            "bars.csv",
            "bars-1.csv",
            "bars-000001.txt",
            "bars-000001-x.csv",
            "bars-00000a.csv",
            "bars-000001-2024.csv",
            "foo-000001.csv",
            "bars-000001.csv.in-progress",
            ".bars-000001.csv",
            "bars-+00001.csv",
            "bars-000001-.csv",
        ] {
            assert_eq!(names.find(OsStr::new(name)), None, "{name}");
        }
        let one = Names::one(&dir.path().join("bars.csv")).unwrap();
        assert!(one.find(OsStr::new("bars.csv")).is_some() && one.find(OsStr::new("bars-000001.csv")).is_none());
    }

    #[test]
    fn directories_and_missing_extensions_have_names_too() {
        let dir = tempfile::tempdir().unwrap();
        let part = Part { number: 0, period: 0 };
        let name = |path: &Path| {
            let names = Names::rolling(path, Roll::bytes(1), "jsonl").unwrap();
            names.named(part).strip_prefix(dir.path().canonicalize().unwrap()).unwrap().to_owned()
        };
        assert_eq!(name(dir.path()), Path::new("part-000000.jsonl"));
        assert_eq!(name(&dir.path().join("rows")), Path::new("rows-000000.jsonl"));
        assert!(Names::rolling(&dir.path().join("no/such"), Roll::bytes(1), "csv").is_err());
    }
}
