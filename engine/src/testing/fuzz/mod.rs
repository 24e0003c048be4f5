//! Damaged and hostile state for fuzzers: a small sound file, edits of it, and what must hold of whatever they make.
//!
//! ```text
//! input    parts whose checksums are made again (16 bits) │ edit │ edit │ ...
//! edit     what is done │ place │ bytes from the place's start (16 bits) │ bytes that it needs
//! ```
//! Random files fail at their first checksum. An input is a list of edits instead, and says for which parts of the file
//! the checksums are made again behind them. The empty input is the file itself, so no corpus is needed. Each function
//! panics where something does not hold, and returns whether the file could be used.

mod journal;
mod log;
pub(crate) mod state;
mod superblock;

pub use journal::journal;
pub use log::log;
pub use state::state;
pub use superblock::superblock;

use crate::state::Storage;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far a file may grow.
const GROWTH_MAX: usize = 1 << 20;

/// An input that is read from its front; behind its end there are zeros.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.slice(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// The next bytes, as many of them as there are.
    pub fn slice(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }

    /// The next 16 bits.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }
}

/// Makes the checksum of a part of a file again: the file and the part's number.
type Seal = Box<dyn Fn(&mut [u8], usize) + Send + Sync>;

/// A sound file, and how inputs are edits of it.
pub struct Seed {
    bytes: Vec<u8>,
    /// Where edits begin.
    places: Vec<Range<usize>>,
    /// The number of parts with checksums of their own.
    parts: usize,
    seal: Seal,
}

impl Seed {
    /// A file, the places where edits begin, and how the checksums of its parts are made again.
    pub fn new(
        bytes: Vec<u8>,
        places: Vec<Range<usize>>,
        parts: usize,
        seal: impl Fn(&mut [u8], usize) + Send + Sync + 'static,
    ) -> Self {
        Self { bytes, places, parts, seal: Box::new(seal) }
    }

    /// The file itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file after the edits that an input is.
    pub fn edited(&self, input: &mut Input<'_>) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let sealed = input.short();
        while !input.is_empty() {
            self.edit(&mut bytes, input);
        }
        for part in (0..self.parts).filter(|part| sealed & 1 << (part % 16) != 0) {
            (self.seal)(&mut bytes, part);
        }
        bytes
    }

    fn place(&self, number: u8) -> Range<usize> {
        self.places[usize::from(number) % self.places.len()].clone()
    }

    fn edit(&self, bytes: &mut Vec<u8>, input: &mut Input<'_>) {
        let (kind, place, offset) = (input.byte(), self.place(input.byte()), usize::from(input.short()));
        let at = place.start + offset % place.len();
        match kind % 9 {
            0 => put(bytes, at, &input.bytes::<1>()),
            1 => put(bytes, at, &input.bytes::<4>()),
            2 => put(bytes, at, &input.bytes::<8>()),
            3 => {
                let more = i32::from(input.byte().cast_signed());
                change(bytes, at, |number: [u8; 4]| i32::from_le_bytes(number).wrapping_add(more).to_le_bytes());
            }
            4 => {
                let more = i64::from(input.byte().cast_signed());
                change(bytes, at, |number: [u8; 8]| i64::from_le_bytes(number).wrapping_add(more).to_le_bytes());
            }
            5 => {
                let end = place.end.min(bytes.len());
                bytes.get_mut(at..end).unwrap_or_default().fill(input.byte());
            }
            6 => {
                let from = self.place(input.byte());
                let count = (place.end - at).min(from.len());
                put(bytes, at, &self.bytes[from][..count]);
            }
            7 => {
                let count = input.byte().into();
                put(bytes, at, input.slice(count));
            }
            _ => match input.byte() {
                0 => bytes.truncate(at),
                more => bytes.resize(bytes.len() + usize::from(more) * 64, more & 1),
            },
        }
    }
}

/// Writes over bytes, where there are so many.
fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}

fn change<const N: usize>(bytes: &mut [u8], at: usize, change: impl FnOnce([u8; N]) -> [u8; N]) {
    if let Some(old) = bytes.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut()) {
        *old = change(*old);
    }
}

/// The number at an offset; 0 where there is none.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |number| u32::from_le_bytes(*number))
}

/// A file in memory.
#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>, usize);

impl Memory {
    fn new(bytes: Vec<u8>) -> Self {
        let most = bytes.len() + GROWTH_MAX;
        Self(Arc::new(Mutex::new(bytes)), most)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = &self.bytes();
        let found = found.get(start..start.saturating_add(into.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut all = self.bytes();
        let old = all.get_mut(start..start.saturating_add(bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        old.copy_from_slice(bytes);
        Ok(())
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.1).ok_or(io::ErrorKind::StorageFull)?;
        let mut bytes = self.bytes();
        let most = len.max(bytes.len());
        bytes.resize(most, 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn another(&mut self) -> io::Result<Option<Box<dyn Storage>>> {
        Ok(Some(Box::new(self.clone())))
    }
}
