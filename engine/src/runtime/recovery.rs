//! What a committed checkpoint says: read back, and given to the parts of a job that goes on from there.

use crate::base::key::slots_of;
use crate::log::error::StateError;
use crate::log::{Kept, SnapshotLog};
use crate::operator::state::{self, Taking};
use crate::operator::{Operator, OperatorError};
use crate::runtime::entries::{Entry, Role, SavedStore};
use crate::runtime::live::LiveSources;
use crate::runtime::metrics::Counts;
use crate::store::{Scope, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Bytes of state that are dealt out at once.
const DEALT_BYTES: usize = 1 << 20;

/// Where sources that share an order go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedSources {
    pub(crate) names: Vec<String>,
    pub(crate) unit: u64,
    /// Of what was read of them.
    pub(crate) fingerprint: u64,
    /// Where one of them is a feed.
    pub(crate) live: Option<LiveSources>,
}

/// Pieces of a store, as one worker wrote them to one checkpoint.
struct Written {
    store: String,
    bytes: Vec<u8>,
}

/// What a job goes on from.
#[derive(Default)]
pub(crate) struct Recovered {
    path: PathBuf,
    pub(crate) epoch: u64,
    pub(crate) is_finished: bool,
    pub(crate) job: String,
    pub(crate) workers: usize,
    pub(crate) seed: u64,
    pub(crate) symbols: Vec<String>,
    pub(crate) sources: Vec<SavedSources>,
    pub(crate) counts: BTreeMap<String, Counts>,
    pub(crate) stores: Vec<SavedStore>,
    pub(crate) sinks: BTreeMap<(String, usize), Vec<u8>>,
    /// By step, role and worker, in the order they were written.
    pieces: BTreeMap<(String, Role, usize), Vec<Written>>,
}

impl Recovered {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn read(log: &mut SnapshotLog, kept: &Kept) -> Result<Self, StateError> {
        let path = log.path().to_owned();
        let mut found =
            Self { path: path.clone(), epoch: kept.epoch, is_finished: kept.is_finished, ..Self::default() };
        for (index, body) in kept.bodies.iter().enumerate() {
            let is_newest = index + 1 == kept.bodies.len();
            let mut reader = log.reader(body);
            reader.skip_links()?;
            while let Some(entry) = Entry::read(&mut reader, &path)? {
                found.take(entry, is_newest, &reader)?;
            }
        }
        Ok(found)
    }

    fn take(&mut self, entry: Entry, is_newest: bool, reader: &crate::log::BodyReader<'_>) -> Result<(), StateError> {
        match entry {
            Entry::Symbols { first, texts } => {
                if first as usize != self.symbols.len() {
                    return Err(reader.damaged("the first of some symbols", self.symbols.len(), first));
                }
                self.symbols.extend(texts);
            }
            Entry::Pieces { step, role, worker, store, bytes } => {
                let pieces = self.pieces.entry((step, role, worker as usize)).or_default();
                pieces.push(Written { store, bytes });
            }
            Entry::Ended { step, role, worker } => drop(self.pieces.remove(&(step, role, worker as usize))),
            _ if !is_newest => {}
            Entry::Job { name, workers, seed } => {
                self.job = name;
                self.workers = workers as usize;
                self.seed = seed;
            }
            Entry::Sources { names, unit, fingerprint } => {
                self.sources.push(SavedSources { names, unit, fingerprint, live: None });
            }
            Entry::Live(live) => match self.sources.last_mut() {
                Some(sources) if sources.names.len() == live.sources.len() => sources.live = Some(live),
                _ => return Err(reader.damaged("live sources", "as many as there are names", live.sources.len())),
            },
            Entry::Counts { name, counts } => {
                self.counts.insert(name, counts);
            }
            Entry::Store(store) => self.stores.push(store),
            Entry::Sink { name, worker, position } => {
                self.sinks.insert((name, worker as usize), position);
            }
        }
        Ok(())
    }

    /// Where it was read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The roles in which a step was saved.
    pub(crate) fn roles_of(&self, step: &str) -> BTreeSet<Role> {
        self.pieces.keys().filter(|(name, _, _)| name == step).map(|(_, role, _)| *role).collect()
    }

    /// The pieces of a store, worker by worker and for each in the order they were written.
    pub(crate) fn pieces_of<'a>(
        &'a self,
        step: &'a str,
        store: &'a str,
    ) -> impl Iterator<Item = (usize, Role, &'a [u8])> {
        let of_step = self.pieces.iter().filter(move |((name, _, _), _)| name == step);
        of_step.flat_map(move |((_, role, worker), written)| {
            let of_store = written.iter().filter(move |written| written.store == store);
            of_store.map(move |written| (*worker, *role, &*written.bytes))
        })
    }

    /// Puts other pieces in place of those of a store.
    ///
    /// # Errors
    /// As of `change`.
    pub(crate) fn change_pieces(
        &mut self,
        step: &str,
        store: &str,
        change: impl Fn(&[u8]) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        let of_step = self.pieces.iter_mut().filter(|((name, _, _), _)| name == step);
        for written in of_step.flat_map(|(_, written)| written).filter(|written| written.store == store) {
            written.bytes = change(&written.bytes)?;
        }
        Ok(())
    }

    /// Has the stores of an operator take what they had on the same worker in the same role.
    ///
    /// # Errors
    /// When it does not fit.
    pub(crate) fn restore_same(
        &self,
        operator: &mut impl Operator,
        of: (&str, Role, usize),
    ) -> Result<(), OperatorError> {
        self.restore_own(operator, of, &Taking::SAME)
    }

    fn restore_own(
        &self,
        operator: &mut impl Operator,
        (step, role, worker): (&str, Role, usize),
        taking: &Taking,
    ) -> Result<(), OperatorError> {
        for Written { store, bytes } in self.pieces.get(&(step.to_owned(), role, worker)).into_iter().flatten() {
            state::read(operator, store, bytes, taking)?;
        }
        Ok(())
    }

    /// Has the stores of an operator on one of some workers take its share of what all workers had, each of whose
    /// stores is put together, as far as that share goes, in an operator that `make` makes.
    ///
    /// # Errors
    /// When it does not fit.
    pub(crate) fn restore_share<Op: Operator>(
        &self,
        operator: &mut Op,
        step: &str,
        (worker, workers): (usize, usize),
        make: impl Fn() -> Op,
    ) -> Result<(), OperatorError> {
        let slots = slots_of(worker, workers);
        let mut is_first = true;
        for (name, role, of_worker) in self.pieces.keys().filter(|(name, _, _)| name == step) {
            // What one worker wrote at one mark after another is put together first.
            let mut whole = make();
            self.restore_own(&mut whole, (name, *role, *of_worker), &Taking::Own(slots.clone()))?;
            // What all workers have alike is taken once.
            let taking = Taking::Dealt(slots.clone(), is_first);
            state::mark(&mut whole, Scope::All);
            loop {
                let (written, is_all) = state::take(&mut whole, DEALT_BYTES);
                for pieces in written {
                    state::read(operator, pieces.store, pieces.pieces.bytes(), &taking)?;
                }
                if is_all {
                    break;
                }
            }
            is_first = false;
        }
        Ok(())
    }
}
