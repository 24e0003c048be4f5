//! Storage of a journal that remembers what is cut of it, so that a test can still read the whole.

use pelton::state::Storage;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a record's header, and where it has its kind and what a start says is kept.
const HEADER: usize = 64;
const KIND: usize = 6;
const START: u8 = 8;
const KEPT_FROM: std::ops::Range<usize> = 32..40;

/// What was cut of a journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Archive(Arc<Mutex<Cut>>);

#[derive(Debug, Default)]
struct Cut {
    /// The start as it was before anything was cut, and where it is.
    start: Option<(usize, Vec<u8>)>,
    /// Where what was cut began.
    first: usize,
    bytes: Vec<u8>,
}

impl Archive {
    fn cut(&self) -> MutexGuard<'_, Cut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that were cut.
    pub(super) fn len(&self) -> usize {
        self.cut().bytes.len()
    }

    /// A journal as it would be had nothing been cut.
    pub(super) fn whole(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let cut = self.cut();
        if let Some((at, start)) = &cut.start {
            bytes[*at..at + HEADER].copy_from_slice(start);
            bytes[cut.first..cut.first + cut.bytes.len()].copy_from_slice(&cut.bytes);
        }
        bytes
    }

    /// The storage, with an eye on what is cut.
    pub(super) fn over<S: Storage + 'static>(&self, inner: S) -> impl Storage + use<S> {
        Archived { inner: Box::new(inner), archive: self.clone() }
    }
}

struct Archived {
    inner: Box<dyn Storage>,
    archive: Archive,
}

impl Storage for Archived {
    fn len(&mut self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, into)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let is_cut = bytes.len() == HEADER && bytes[KIND] == START && bytes[KEPT_FROM].iter().any(|byte| *byte > 0);
        if is_cut && self.archive.cut().start.is_none() {
            let mut start = vec![0; HEADER];
            self.inner.read(offset, &mut start)?;
            assert_eq!(start[KIND], START, "a cut is told where the start is");
            self.archive.cut().start = Some((offset as usize, start));
        }
        self.inner.write(offset, bytes)
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        self.inner.grow(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        if offset < self.inner.len()? {
            let mut cut = self.archive.cut();
            cut.first = offset as usize;
            let known = cut.bytes.len();
            assert!(known <= bytes as usize, "what was cut stays cut");
            cut.bytes.resize(bytes as usize, 0);
            self.inner.read(offset + known as u64, &mut cut.bytes[known..])?;
        }
        self.inner.discard(offset, bytes)
    }

    fn another(&mut self) -> io::Result<Option<Box<dyn Storage>>> {
        let inner = self.inner.another()?;
        let archive = self.archive.clone();
        Ok(inner.map(|inner| Box::new(Self { inner, archive }) as Box<dyn Storage>))
    }
}
