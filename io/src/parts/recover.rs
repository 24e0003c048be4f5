//! Takes the files of a sink back to where they stood at a checkpoint.

use super::names::Part;
use super::position::Position;
use super::{Current, Parts, Roll, Standing, refused};
use crate::disk::DiskFile;
use pelton::BoxError;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file that was found.
struct Found {
    file: Arc<dyn DiskFile>,
    inode: u64,
}

impl Parts {
    /// Takes the files back to where they stood; gives back what their contents need to go on.
    ///
    /// Files that waited get their names, where the crash came before that. The one in progress is cut; where an older
    /// checkpoint is gone back to, it may have its final name already, and loses it again. Then all files of these names
    /// from there on are removed: the job writes them anew.
    pub(crate) fn restore<'a>(&mut self, position: &'a [u8]) -> Result<&'a [u8], BoxError> {
        let told = |error: BoxError| -> BoxError { format!("{}: {error}", self.path().display()).into() };
        let position = Position::read(position).map_err(told)?;
        if position.roll != self.roll() {
            let tell = |roll: Option<Roll>| roll.map_or("not".to_owned(), |roll| format!("by {roll}"));
            let (was, now) = (tell(position.roll), tell(self.roll()));
            return Err(told(format!("its files were rolled {was}, and now they are rolled {now}").into()));
        }
        for (part, standing) in &position.waiting {
            self.finish_naming(*part, standing, &position.path)?;
        }
        self.current = match position.current {
            None => None,
            Some((part, standing)) => Some(self.take_back(part, &standing, &position.path)?),
        };
        self.next = position.next;
        self.remove_unknown()?;
        self.naming().sync_names()?;
        self.is_finished = position.is_finished;
        self.takes_checkpoints = true;
        self.is_restored = true;
        Ok(position.rest)
    }

    /// The file of a name, if there is one.
    fn find(&self, path: &Path) -> Result<Option<Found>, BoxError> {
        let file = match self.disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(path, "open the file")(error).into()),
        };
        let inode = file.look().map_err(refused(path, "look at the file"))?.inode;
        Ok(Some(Found { file, inode }))
    }

    /// Gives a file that is whole its name, unless it has it.
    fn finish_naming(&self, part: Part, standing: &Standing, was: &str) -> Result<(), BoxError> {
        let (hidden, named) = (self.names.in_progress(part), self.names.named(part));
        let has_name = self.find(&named)?.filter(|found| found.inode == standing.inode);
        match (self.find(&hidden)?, has_name) {
            // Renamed by a link, whose other half is still there.
            (Some(found), Some(_)) if found.inode == standing.inode => {
                check_whole(standing, &found, &hidden)?;
                Ok(self.disk.remove(&hidden).map_err(refused(&hidden, "remove the file"))?)
            }
            (_, Some(found)) => check_whole(standing, &found, &named),
            (Some(found), None) => {
                check_whole(standing, &found, &hidden)?;
                Ok(self.naming().name(part)?)
            }
            (None, None) => Err(missing(&hidden, standing, was)),
        }
    }

    /// Cuts the file that was in progress.
    fn take_back(&self, part: Part, standing: &Standing, was: &str) -> Result<Current, BoxError> {
        let (hidden, named) = (self.names.in_progress(part), self.names.named(part));
        let found = match self.find(&hidden)? {
            Some(found) => found,
            None => {
                let has_name = self.find(&named)?.filter(|found| found.inode == standing.inode);
                let found = has_name.ok_or_else(|| missing(&hidden, standing, was))?;
                standing.check(&*found.file, &named)?;
                self.disk.rename(&named, &hidden, false).map_err(refused(&named, "take back the file's name"))?;
                found
            }
        };
        standing.take_back(&*found.file, &hidden)?;
        Ok(Current { part, file: found.file })
    }

    /// Removes files in progress and later files that the checkpoint does not know.
    fn remove_unknown(&self) -> Result<(), BoxError> {
        let directory = &self.names.directory;
        let known = self.current.as_ref().map(|current| self.names.in_progress(current.part));
        let first = self.current.as_ref().map_or(self.next, |current| current.part.number);
        let found = self.disk.names(directory).map_err(refused(directory, "list the directory"))?;
        for (name, found) in found.iter().filter_map(|name| Some((name, self.names.find(name)?))) {
            let path = directory.join(name);
            let is_unknown = match found.is_in_progress {
                true => known.as_ref() != Some(&path),
                // A single file may replace one that is there.
                false if self.names.roll.is_none() => self.is_half_named(&path)?,
                false => found.number >= first,
            };
            if is_unknown {
                self.disk.remove(&path).map_err(refused(&path, "remove the file"))?;
            }
        }
        Ok(())
    }

    /// Whether this name too is one of the file in progress.
    fn is_half_named(&self, path: &Path) -> Result<bool, BoxError> {
        let Some(current) = &self.current else { return Ok(false) };
        let inode = current.file.look().map_err(refused(path, "look at the file"))?.inode;
        Ok(self.find(path)?.is_some_and(|found| found.inode == inode))
    }
}

fn check_whole(standing: &Standing, found: &Found, path: &Path) -> Result<(), BoxError> {
    standing.check(&*found.file, path)?;
    let len = found.file.look().map_err(refused(path, "look at the file"))?.len;
    if len != standing.len {
        let expected = standing.len;
        return Err(format!("{}: {expected} bytes were committed, and {len} are there", path.display()).into());
    }
    Ok(())
}

fn missing(path: &Path, standing: &Standing, was: &str) -> BoxError {
    let (path, len) = (path.display(), standing.len);
    format!("{path}: {len} bytes were committed, and the file is not there; the job wrote to {was}").into()
}
