//! Files that get their name when they are whole.
//!
//! A [`Target`] is looked at before anything is read or written: a file that exists is refused unless
//! it may be replaced. A [`NewFile`] is then written beside it, under a hidden name in the same
//! directory, and [`NewFile::commit`] makes it durable and gives it its name. Dropped before that, it
//! leaves nothing, and a file that had the name is as it was.
//!
//! What is no regular file, such as a pipe, a terminal or `/dev/null`, is written in place.
//!
//! ```
//! use pelton_io::output::{OutputError, Target};
//! use std::io::Write;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("bars.csv");
//! let new = Target::new(&path, false)?.create()?;
//! new.file()?.write_all(b"window_end,vwap\n")?;
//! assert!(!path.exists());
//! new.commit()?;
//! assert_eq!(std::fs::read(&path)?, b"window_end,vwap\n");
//! assert!(matches!(Target::new(&path, false), Err(OutputError::Exists { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Links that are followed from one name before they are taken for a circle.
const LINKS_MAX: usize = 40;
/// Names that are tried for the file beside the target.
const NAMES_MAX: u32 = 100;
/// Characters of the target's name in the name of the file beside it, so that it is not too long.
const NAME_CHARS_MAX: usize = 50;

/// An output could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// There is a file of this name, and it may not be replaced.
    #[error("{}: the file exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else made a file of this name while this one was written.
    #[error("{}: a file of this name has appeared meanwhile; what was written is in {}", path.display(), kept.display())]
    Appeared {
        /// The file.
        path: PathBuf,
        /// Where everything is that was written.
        kept: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> OutputError {
    move |source| OutputError::Io { path: path.to_owned(), action, source }
}

/// Where an output will go.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it was given.
    path: PathBuf,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// This regular file, to which all links were followed.
    Beside { file: PathBuf, overwrite: bool, old: Option<Permissions> },
    /// Something that is written as it is: a pipe, a device, or what another process has opened.
    InPlace,
}

impl Target {
    /// Looks at what is at `path`, and changes nothing. Links are followed: it is the file behind
    /// them that is replaced, never a link.
    ///
    /// # Errors
    /// [`OutputError::Exists`] when a regular file is there and `overwrite` is false; otherwise when
    /// there can be no file of this name.
    pub fn new(path: impl AsRef<Path>, overwrite: bool) -> Result<Self, OutputError> {
        let path = path.as_ref();
        let place = place(path, overwrite).map_err(io_error(path, "create the file"))?;
        match place {
            Place::Beside { overwrite: false, old: Some(_), .. } => Err(OutputError::Exists { path: path.to_owned() }),
            place => Ok(Self { path: path.to_owned(), place }),
        }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is, or will be, a regular file, which gets its name in the end.
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::Beside { .. })
    }

    /// The regular file itself, to which all links were followed; `None` for what is written in place.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::Beside { file, .. } => Some(file),
            Place::InPlace => None,
        }
    }

    /// Whether there is a file of this name, which will be replaced.
    pub fn replaces(&self) -> bool {
        matches!(self.place, Place::Beside { old: Some(_), .. })
    }

    /// The directory that the file will be in; `None` for what is written in place.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Beside { file, .. } => file.parent(),
            Place::InPlace => None,
        }
    }

    /// Makes the file beside the target, or opens what is written in place.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn create(&self) -> Result<NewFile, OutputError> {
        let refused = |error| io_error(&self.path, "create the file")(error);
        let (file, temporary) = match &self.place {
            // Appending keeps what the process that opened a redirected file has put there.
            Place::InPlace => (OpenOptions::new().append(true).open(&self.path).map_err(refused)?, None),
            Place::Beside { file, old, .. } => {
                let (made, temporary) = beside(file).map_err(refused)?;
                if let Some(old) = old
                    && let Err(error) = made.set_permissions(old.clone())
                {
                    let _ = fs::remove_file(&temporary);
                    return Err(refused(error));
                }
                (made, Some(temporary))
            }
        };
        Ok(NewFile { target: self.clone(), file, temporary })
    }
}

/// Whether two paths lead to one file, whatever links are between: to one that exists, or to one of the same name to
/// come.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let found = |path| fs::metadata(path).ok().filter(Metadata::is_file).map(|found| (found.dev(), found.ino()));
    match (found(a), found(b)) {
        _ if a == b => true,
        (Some(a), Some(b)) => a == b,
        (None, None) => match (place(a, true), place(b, true)) {
            (Ok(Place::Beside { file: a, .. }), Ok(Place::Beside { file: b, .. })) => a == b,
            _ => false,
        },
        _ => false,
    }
}

fn place(path: &Path, overwrite: bool) -> io::Result<Place> {
    let mut file = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Some(name) = file.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        file = directory.canonicalize()?.join(name);
        // Links there lead to files that are open, such as the one behind /dev/stdout.
        if file.starts_with("/proc") {
            return Ok(Place::InPlace);
        }
        let found = match fs::symlink_metadata(&file) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Place::Beside { file, overwrite, old: None });
            }
            Err(error) => return Err(error),
        };
        if found.is_symlink() {
            let link = fs::read_link(&file)?;
            // A link that is not absolute starts where it lies.
            file = file.parent().unwrap_or(Path::new("/")).join(link);
        } else if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        } else if found.is_file() {
            return Ok(Place::Beside { file, overwrite, old: Some(found.permissions()) });
        } else {
            return Ok(Place::InPlace);
        }
    }
    Err(io::Error::other("its links go in a circle"))
}

/// A new file in the directory of `file`.
fn beside(file: &Path) -> io::Result<(File, PathBuf)> {
    let name: String = file.file_name().unwrap_or_default().to_string_lossy().chars().take(NAME_CHARS_MAX).collect();
    let process = std::process::id();
    for number in 0..NAMES_MAX {
        let name = match number {
            0 => format!(".{name}.partial-{process}"),
            _ => format!(".{name}.partial-{process}-{number}"),
        };
        let path = file.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(made) => return Ok((made, path)),
            // Another's: it is left alone.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// An output that is being written.
#[derive(Debug)]
pub struct NewFile {
    target: Target,
    file: File,
    /// Its name until it is whole; `None` for what is written in place.
    temporary: Option<PathBuf>,
}

impl NewFile {
    /// Its name until it is whole; `None` for what is written in place.
    pub fn temporary(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    /// The file to write to. All that are asked for share one position.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn file(&self) -> Result<File, OutputError> {
        self.file.try_clone().map_err(io_error(&self.target.path, "create the file"))
    }

    /// Makes what was written durable and gives the file its name.
    ///
    /// # Errors
    /// When the operating system refuses: then the file is removed. When a file of this name has
    /// appeared that may not be replaced: then what was written stays beside it, and the error says where.
    pub fn commit(mut self) -> Result<(), OutputError> {
        let (Place::Beside { file, overwrite, .. }, Some(temporary)) = (&self.target.place, &self.temporary) else {
            return Ok(());
        };
        let path = &self.target.path;
        self.file.sync_all().map_err(io_error(path, "make the file durable"))?;
        let named = if *overwrite { fs::rename(temporary, file) } else { rename_to_new(temporary, file) };
        match named {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (path, kept) = (path.clone(), temporary.clone());
                self.temporary = None;
                return Err(OutputError::Appeared { path, kept });
            }
            Err(error) => return Err(io_error(path, "give the file its name")(error)),
        }
        let synced = sync_name(file).map_err(io_error(path, "make the file's name durable"));
        self.temporary = None;
        synced
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_name(file: &Path) -> io::Result<()> {
    sync_directory(file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Renames a file unless there is one of the new name.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // The file has its name; a second one that stays is no loss.
        Ok(()) => {
            let _ = fs::remove_file(from);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not all file systems have links.
        Err(_) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // That it cannot be removed is less than what went wrong before.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let new = Target::new(&path, false).unwrap().create().unwrap();
        assert!(new.temporary().unwrap().exists() && !path.exists());
        drop(new);
        assert_eq!(names(dir.path()), [""; 0]);

        let new = Target::new(&path, false).unwrap().create().unwrap();
        new.file().unwrap().write_all(b"one\n").unwrap();
        new.file().unwrap().write_all(b"two\n").unwrap();
        new.commit().unwrap();
        assert_eq!(names(dir.path()), ["out.csv"]);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_file_that_exists_is_replaced_in_the_end_and_only_where_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        assert!(matches!(Target::new(&path, false), Err(OutputError::Exists { .. })));
        let target = Target::new(&path, true).unwrap();
        assert!(target.replaces());
        let new = target.create().unwrap();
        new.file().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(new);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let new = target.create().unwrap();
        new.file().unwrap().write_all(b"new").unwrap();
        new.commit().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"new".to_vec(), vec!["out.csv".to_owned()]));
    }

    #[test]
    fn a_file_that_appears_meanwhile_stays_and_so_does_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let new = Target::new(&path, false).unwrap().create().unwrap();
        new.file().unwrap().write_all(b"mine").unwrap();
        fs::write(&path, "another's").unwrap();
        let Err(OutputError::Appeared { kept, .. }) = new.commit() else { panic!("it was replaced") };
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        assert_eq!(fs::read(kept).unwrap(), b"mine");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_stay_links() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("there")).unwrap();
        fs::write(at("there/old.csv"), "old").unwrap();
        fs::set_permissions(at("there/old.csv"), Permissions::from_mode(0o640)).unwrap();
        symlink("there/old.csv", at("link.csv")).unwrap();
        symlink("there/new.csv", at("dangling.csv")).unwrap();
        symlink("circle", at("circle")).unwrap();
        for (link, file, overwrite) in [("link.csv", "there/old.csv", true), ("dangling.csv", "there/new.csv", false)] {
            let target = Target::new(at(link), overwrite).unwrap();
            assert!(is_same_file(&at(link), &at(file)));
            let new = target.create().unwrap();
            assert_eq!(new.temporary().unwrap().parent(), Some(&*at("there").canonicalize().unwrap()));
            new.file().unwrap().write_all(b"new").unwrap();
            new.commit().unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
            assert_eq!(fs::read(at(file)).unwrap(), b"new");
        }
        assert_eq!(fs::metadata(at("there/old.csv")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(matches!(Target::new(at("link.csv"), false), Err(OutputError::Exists { .. })));
        assert!(matches!(Target::new(at("circle"), true), Err(OutputError::Io { .. })));
    }

    #[test]
    fn one_file_is_known_by_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("there")).unwrap();
        fs::write(at("old.csv"), "old").unwrap();
        fs::write(at("other.csv"), "old").unwrap();
        fs::hard_link(at("old.csv"), at("second.csv")).unwrap();
        for (a, b, is_same) in [
            ("old.csv", "there/../old.csv", true),
            ("old.csv", "second.csv", true),
            ("old.csv", "other.csv", false),
            ("old.csv", "new.csv", false),
            ("new.csv", "there/../new.csv", true),
            ("new.csv", "there/new.csv", false),
            ("no/such/new.csv", "no/such/new.csv", true),
            ("no/such/new.csv", "no/such/other.csv", false),
        ] {
            assert_eq!(is_same_file(&at(a), &at(b)), is_same, "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_written_in_place() {
        if !Path::new("/dev/null").exists() {
            println!("skipped what_is_no_regular_file_is_written_in_place: there is no /dev/null");
            return;
        }
        let target = Target::new("/dev/null", false).unwrap();
        assert!(!target.is_file() && !target.replaces());
        let new = target.create().unwrap();
        assert_eq!(new.temporary(), None);
        new.file().unwrap().write_all(b"rows").unwrap();
        new.commit().unwrap();
    }

    #[test]
    fn what_can_be_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("no/such/out.csv"), PathBuf::new(), PathBuf::from("..")] {
            let error = Target::new(&path, true).unwrap_err().to_string();
            assert!(error.contains("cannot create the file"), "{error}");
        }
    }

    #[test]
    fn long_names_have_room_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(250));
        Target::new(&path, false).unwrap().create().unwrap().commit().unwrap();
        assert!(path.exists());
    }
}
