//! What a checkpoint has of the files of a sink.
//!
//! ```text
//! byte 0   version (32 bits), flags: 1 finished, 2 a file is in progress (32 bits)
//!      8   how files roll: 0 not, 1 by bytes, 2 by hours, 3 by days (64 bits); the most bytes of one (64 bits)
//!     24   number of the next file (64 bits)
//!     32   files that wait for their names, bytes of the path (32 bits each)
//!     40   the files that wait, then the one in progress: number, period (64 bits each), and where it stands, 20 bytes
//!     ..   the path as it was given
//!     ..   what the contents need to go on
//! ```
//! All integers are little-endian. The log that it is in has checksums, and still no number is believed.

use super::names::Part;
use super::{Parts, Roll, RollKind, Standing, lock};
use pelton::BoxError;

const VERSION: u32 = 1;
const FINISHED: u32 = 1;
const IN_PROGRESS: u32 = 2;
const HEAD: usize = 40;
const FILE: usize = 16 + Standing::BYTES;

/// What was read of a position.
pub(super) struct Position<'a> {
    pub(super) is_finished: bool,
    pub(super) roll: Option<Roll>,
    pub(super) next: u64,
    pub(super) waiting: Vec<(Part, Standing)>,
    pub(super) current: Option<(Part, Standing)>,
    /// Where the files were, as it was given.
    pub(super) path: String,
    pub(super) rest: &'a [u8],
}

impl Parts {
    /// Where the files stand.
    pub(super) fn position(&self, current: Option<(Part, Standing)>, rest: &[u8]) -> Vec<u8> {
        let waiting: Vec<_> = lock(&self.waiting).iter().map(|waiting| (waiting.part, waiting.standing)).collect();
        let (kind, bytes) = match self.roll().map(|roll| roll.0) {
            None => (0u64, 0u64),
            Some(RollKind::Bytes(bytes)) => (1, bytes),
            Some(RollKind::Hours) => (2, 0),
            Some(RollKind::Days) => (3, 0),
        };
        let flag = |flag: u32, is_set: bool| if is_set { flag } else { 0 };
        let flags = flag(FINISHED, self.is_finished) | flag(IN_PROGRESS, current.is_some());
        let path = self.path().as_os_str().as_encoded_bytes();
        let mut position = Vec::with_capacity(HEAD + (waiting.len() + 1) * FILE + path.len() + rest.len());
        [VERSION, flags].iter().for_each(|number| position.extend(number.to_le_bytes()));
        [kind, bytes, self.next].iter().for_each(|number| position.extend(number.to_le_bytes()));
        [waiting.len() as u32, path.len() as u32].iter().for_each(|number| position.extend(number.to_le_bytes()));
        for (Part { number, period }, standing) in waiting.into_iter().chain(current) {
            position.extend(number.to_le_bytes());
            position.extend(period.to_le_bytes());
            position.extend(standing.encode());
        }
        position.extend_from_slice(path);
        position.extend_from_slice(rest);
        position
    }
}

impl<'a> Position<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, BoxError> {
        let mut fields = Fields { rest: bytes, all: bytes.len() };
        let (version, flags) = (fields.u32()?, fields.u32()?);
        if version != VERSION {
            return Err(format!("its saved position is of version {version}, and {VERSION} is read").into());
        }
        let (kind, bytes_max, next) = (fields.u64()?, fields.u64()?, fields.u64()?);
        if next > u64::from(u32::MAX) << 16 {
            return Err(format!("its saved position: expected a number of a file, found {next}").into());
        }
        let roll = match kind {
            0 => None,
            1 => Some(Roll::bytes(bytes_max)),
            2 => Some(Roll::hourly()),
            3 => Some(Roll::daily()),
            other => return Err(format!("its saved position: expected a kind from 0 to 3, found {other}").into()),
        };
        let (files, path_bytes) = (fields.u32()?, fields.u32()?);
        let mut waiting = Vec::new();
        for _ in 0..files {
            waiting.push(fields.file(next)?);
        }
        let current = if flags & IN_PROGRESS == 0 { None } else { Some(fields.file(next)?) };
        let path = String::from_utf8_lossy(fields.take(path_bytes as usize)?).into_owned();
        Ok(Self { is_finished: flags & FINISHED != 0, roll, next, waiting, current, path, rest: fields.rest })
    }
}

/// What is still to be read.
struct Fields<'a> {
    rest: &'a [u8],
    all: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BoxError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(format!("its saved position ends at byte {}, and goes on for {count} more", self.all).into());
        };
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BoxError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn u64(&mut self) -> Result<u64, BoxError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into()?))
    }

    fn file(&mut self, next: u64) -> Result<(Part, Standing), BoxError> {
        let (number, period) = (self.u64()?, self.u64()? as i64);
        if number >= next {
            return Err(format!("its saved position: expected a file before {next}, found {number}").into());
        }
        Ok((Part { number, period }, Standing::decode(self.take(Standing::BYTES)?.try_into()?)))
    }
}
