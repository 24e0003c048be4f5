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
