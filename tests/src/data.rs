//! Where the captured data is, for the tests of all packages.

use std::path::{Path, PathBuf};

/// A folder of the captured data, or a printed line that says why the test is skipped. The data is in the directory
/// that `PELTON_DATA` names, or else in `../shared/data` beside the workspace.
pub fn data(test: &str, folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("PELTON_DATA").map_or(beside, PathBuf::from).join(folder);
    match path.canonicalize() {
        Ok(found) if found.is_dir() => Some(found),
        _ => {
            println!("skipped {test}: no data at {}", path.display());
            None
        }
    }
}

/// Nanoseconds of the day in `"1970-01-01 09:31:15.52Z"`, with or without the quotation marks.
///
/// # Panics
/// When the text is none of these.
pub fn time_of_day(text: &str) -> i64 {
    let time = text.trim_matches('"').strip_prefix("1970-01-01 ").unwrap().strip_suffix('Z').unwrap();
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let seconds = whole.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    seconds * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>().unwrap()
}
