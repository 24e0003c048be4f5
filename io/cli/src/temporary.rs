//! A directory for files that do not stay.

use crate::error::Failure;
use crate::signals::Signals;
use std::io;
use std::path::{Path, PathBuf};

/// A directory of this process alone, which is removed in the end.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Makes it among the temporary files of the system.
    pub(crate) fn new(name: &str, signals: &Signals) -> Result<Self, Failure> {
        for number in 0..100 {
            let path = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    signals.remove_at_exit(&path);
                    return Ok(Self(path));
                }
                // Another's: it is left alone.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Failure::failed(format!("{}: cannot create the directory: {error}", path.display())));
                }
            }
        }
        Err(Failure::failed(format!("{}: there is no free name for a directory", std::env::temp_dir().display())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A file that stays behind in the system's directory for such files is no failure of the command.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
