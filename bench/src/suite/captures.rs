//! The suite's captures: made from their description when they are first asked for, and kept as long as there is room.

use crate::readings::Reading;
use pelton::{BoxError, Event, Symbol};
use pelton_io::Trade;
use pelton_io::capture::{CaptureWriter, WriterOptions};
use pelton_io::generate::{TradeOptions, Trades, symbol_names, trades};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Captures that are kept at a time: the contests of one group need no more at once.
const KEPT: usize = 3;

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    pub(super) keys: u32,
    /// Events of a block.
    pub(super) block_events: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Trades in order.
    Trades,
    /// Trades of which half lie behind the others by up to this.
    Disordered(Duration),
    /// The trades of [`Kind::Disordered`] in order of time.
    Sorted(Duration),
    /// Trades of which half have symbol 0.
    Skewed,
    /// Readings of devices whose numbers are those from 0 on, times this.
    Readings(u64),
}

impl Spec {
    pub(super) const fn new(kind: Kind, keys: u32) -> Self {
        Self { kind, keys, block_events: 4096 }
    }
}

pub(super) struct Captures {
    dir: tempfile::TempDir,
    events: u64,
    made: u64,
    /// The last used last.
    kept: Vec<(Spec, PathBuf)>,
}

impl Captures {
    /// Captures of `events` events, in a new directory within `dir`.
    pub(super) fn new(dir: &Path, events: u64) -> Result<Self, BoxError> {
        let dir = tempfile::Builder::new().prefix("pelton-suite-").tempdir_in(dir)?;
        Ok(Self { dir, events, made: 0, kept: Vec::new() })
    }

    pub(super) fn get(&mut self, spec: Spec, tell: &mut dyn FnMut(&str)) -> Result<PathBuf, BoxError> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == spec) {
            let kept = self.kept.remove(at);
            let path = kept.1.clone();
            self.kept.push(kept);
            return Ok(path);
        }
        if self.kept.len() == KEPT {
            std::fs::remove_file(self.kept.remove(0).1)?;
        }
        tell(&format!("making a capture: {} events, {} keys, {:?}", self.events, spec.keys, spec.kind));
        let path = self.dir.path().join(format!("{}.pelton", self.made));
        self.made += 1;
        make(&path, &spec, self.events)?;
        self.kept.push((spec, path.clone()));
        Ok(path)
    }
}

/// Writes the capture of `spec` at `path`.
pub(super) fn make(path: &Path, spec: &Spec, events: u64) -> Result<(), BoxError> {
    let options = TradeOptions { events, keys: spec.keys, ..TradeOptions::default() };
    let symbols = match spec.kind {
        Kind::Readings(_) => Vec::new(),
        _ => symbol_names(spec.keys).collect(),
    };
    let writer = WriterOptions { symbols, block_events: spec.block_events, ..WriterOptions::default() };
    match spec.kind {
        Kind::Trades => write(path, writer, trades(&options)),
        Kind::Disordered(disorder) => write(path, writer, trades(&TradeOptions { disorder, ..options })),
        Kind::Sorted(disorder) => {
            let trades = trades(&TradeOptions { disorder, ..options });
            let disorder_ns = i64::try_from(disorder.as_nanos())?;
            write(path, writer, Sorted { trades, disorder_ns, pending: Vec::new(), given: 0, ready: 0 })
        }
        Kind::Skewed => write(path, writer, trades(&options).map(skewed)),
        Kind::Readings(multiplier) => write(path, writer, trades(&options).map(|trade| reading(&trade, multiplier))),
    }
}

fn write<E: Event>(path: &Path, options: WriterOptions, mut events: impl Iterator<Item = E>) -> Result<(), BoxError> {
    let mut writer = CaptureWriter::<E>::create(path, options)?;
    let mut batch = Vec::with_capacity(4096);
    loop {
        batch.clear();
        batch.extend(events.by_ref().take(4096));
        if batch.is_empty() {
            writer.finish()?;
            return Ok(());
        }
        writer.extend(&batch)?;
    }
}

/// The lowest bit of a generated trade's condition depends on neither its symbol nor its size.
fn skewed(trade: Trade) -> Trade {
    if trade.condition & 1 == 1 { Trade { symbol: Symbol::from_id(0), ..trade } } else { trade }
}

/// The reading that is made of a generated trade; devices are the symbols' numbers times `multiplier`.
pub(super) fn reading(trade: &Trade, multiplier: u64) -> Reading {
    let device = u64::from(trade.symbol.id()).wrapping_mul(multiplier);
    Reading { time_ns: trade.time_ns, device, value: trade.size.into(), sequence: trade.price as u64 }
}

/// Trades in order of time, from some that lie behind the others by `disorder_ns` at most.
struct Sorted {
    trades: Trades,
    disorder_ns: i64,
    /// Sorted, from `given` to `ready` to be given.
    pending: Vec<Trade>,
    given: usize,
    ready: usize,
}

impl Iterator for Sorted {
    type Item = Trade;

    fn next(&mut self) -> Option<Trade> {
        while self.given == self.ready {
            self.pending.drain(..self.given);
            (self.given, self.ready) = (0, 0);
            let before = self.pending.len();
            self.pending.extend(self.trades.by_ref().take(1 << 20));
            self.pending.sort_by_key(|trade| trade.time_ns);
            let is_end = self.pending.len() == before;
            let last_ns = self.pending.last()?.time_ns;
            self.ready = if is_end {
                self.pending.len()
            } else {
                self.pending.partition_point(|trade| trade.time_ns < last_ns - self.disorder_ns)
            };
        }
        self.given += 1;
        Some(self.pending[self.given - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::BlockSource;
    use pelton_io::capture::replay;

    const DISORDER: Duration = Duration::from_millis(3);

    fn events<E: Event>(captures: &mut Captures, spec: Spec) -> Vec<E> {
        let source = replay::<E>(captures.get(spec, &mut |_| {}).unwrap()).unwrap().into_blocks();
        let mut reader = source.reader().unwrap();
        let mut events = Vec::new();
        for block in 0..source.blocks().len() {
            reader.load(block).unwrap();
            events.extend_from_slice(reader.events());
        }
        events
    }

    #[test]
    fn captures_hold_what_they_say() {
        let dir = tempfile::tempdir().unwrap();
        let mut captures = Captures::new(dir.path(), 20_000).unwrap();
        let plain: Vec<Trade> = events(&mut captures, Spec::new(Kind::Trades, 50));
        assert!(plain.is_sorted_by_key(|trade| trade.time_ns));
        let mut disordered: Vec<Trade> = events(&mut captures, Spec::new(Kind::Disordered(DISORDER), 50));
        let sorted: Vec<Trade> = events(&mut captures, Spec::new(Kind::Sorted(DISORDER), 50));
        let mut largest = i64::MIN;
        let mut behind = 0;
        for trade in &disordered {
            largest = largest.max(trade.time_ns);
            behind += usize::from(trade.time_ns < largest);
            assert!(largest - trade.time_ns <= 3_000_000);
        }
        // About half are displaced, and hardly one of those by nothing.
        assert!((9_000..11_000).contains(&behind), "{behind}");
        disordered.sort_by_key(|trade| trade.time_ns);
        assert!(disordered == sorted);
        let skewed: Vec<Trade> = events(&mut captures, Spec::new(Kind::Skewed, 50));
        let share = skewed.iter().filter(|trade| trade.symbol.id() == 0).count();
        assert!((9_500..11_000).contains(&share), "{share}");
        let readings: Vec<Reading> = events(&mut captures, Spec::new(Kind::Readings(7), 50));
        assert!(readings.iter().zip(&plain).all(|(r, t)| r.device == 7 * u64::from(t.symbol.id())));
        assert!(readings.len() == 20_000 && plain.len() == 20_000);
    }

    #[test]
    fn the_oldest_capture_goes_when_there_are_too_many_and_all_go_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut captures = Captures::new(dir.path(), 100).unwrap();
        let mut made = 0;
        let mut get = |keys: u32| captures.get(Spec::new(Kind::Trades, keys), &mut |_| made += 1).unwrap();
        let paths = [get(1), get(2), get(3), get(1), get(4)];
        assert_eq!(paths[0], paths[3]);
        assert_eq!(paths.map(|path| path.exists()), [true, false, true, true, true]);
        assert_eq!(made, 4);
        drop(captures);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
