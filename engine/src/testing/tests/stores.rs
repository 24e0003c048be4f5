//! An operator with a store of each kind, against a model that keeps everything in maps of the standard library.

use super::{at, cases};
use crate::operator::state;
use crate::testing::{Script, Step, Verify};
use crate::{
    ALL_SLOTS, Batch, Firing, KeyedLists, KeyedMaps, KeyedTable, Of, Operator, OperatorError, OperatorInput, Outbox,
    PieceWriter, Record, Scope, Share, Store, StoreError, StoreSettings, Timers, Timestamp, Value,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Ask {
    key: u64,
    what: u64,
}

/// What was found: the number of the key's asks so far, the sum of its last three, the smallest entry of its map.
#[derive(Debug, Clone, Copy, PartialEq, Default, Record)]
#[repr(C)]
struct Found {
    key: u64,
    asks: u64,
    last: u64,
    first: u64,
}

/// Forgets a key 20 ns after each row whose `what` is divisible by 3.
struct Keeper {
    asks: KeyedTable<u64, u64>,
    last: KeyedLists<u64>,
    entries: KeyedMaps<u64, u64>,
    forget: Timers,
}

const LIFE: i64 = 20;

type Out = Outbox<(Found,)>;

impl Keeper {
    fn new(settings: &StoreSettings) -> Self {
        Self {
            asks: KeyedTable::new(settings),
            last: KeyedLists::new(settings),
            entries: KeyedMaps::new(settings),
            forget: Timers::new(settings),
        }
    }

    fn fire(&mut self, watermark: Timestamp, out: &mut Out) -> Firing {
        while let Some((time, canonical, entry)) = self.forget.next(watermark, &self.asks, out.symbols()) {
            if out.is_full() {
                return Firing::More;
            }
            self.forget.take_next(&mut self.asks);
            let found = self.found(entry);
            self.last.clear(&mut self.asks, entry);
            self.entries.clear(&mut self.asks, entry);
            self.asks.remove(entry);
            out.emit_fired::<0>(time, canonical, found);
        }
        Firing::Done
    }

    fn found(&self, entry: usize) -> Found {
        Found {
            key: *self.asks.key(entry),
            asks: *self.asks.value(entry),
            last: self.last.get(entry).iter().sum(),
            first: self.entries.range(entry, ..).next().map_or(0, |(key, value)| key * 100 + value),
        }
    }
}

impl Operator for Keeper {
    type Outputs = (Found,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Out) -> Result<Firing, OperatorError> {
        Ok(self.fire(watermark, out))
    }

    fn next_firing(&self) -> Timestamp {
        self.forget.first()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("asks", &mut self.asks);
        show("last", &mut Of::new(&mut self.asks, &mut self.last));
        show("entries", &mut Of::new(&mut self.asks, &mut self.entries));
        show("forget", &mut Of::new(&mut self.asks, &mut self.forget));
    }
}

impl OperatorInput<0> for Keeper {
    type Row = Ask;

    fn on_batch(&mut self, batch: Batch<'_, Ask>, out: &mut Out) -> Result<usize, OperatorError> {
        for (index, (&time, ask)) in batch.times().iter().zip(batch.values()).enumerate() {
            if self.fire(batch.watermark(index), out) == Firing::More || out.is_full() {
                return Ok(index);
            }
            let entry = self.asks.find_or_insert(ask.key)?;
            *self.asks.value_mut(entry) += 1;
            self.last.push(&mut self.asks, entry, ask.what)?;
            self.last.truncate_front(&mut self.asks, entry, 3);
            match ask.what % 4 {
                0 => drop(self.entries.remove(&mut self.asks, entry, &(ask.what / 4 % 5))),
                what => drop(self.entries.insert(&mut self.asks, entry, ask.what / 4 % 5, what)?),
            }
            if ask.what.is_multiple_of(3) && time > batch.watermark(index) {
                self.forget.insert(&mut self.asks, time.plus_nanos(LIFE), entry)?;
            }
            out.emit::<0>(index, time, self.found(entry));
        }
        Ok(batch.len())
    }
}

#[derive(Default)]
struct Kept {
    asks: u64,
    last: Vec<u64>,
    entries: BTreeMap<u64, u64>,
}

fn model(script: &Script<Ask>) -> Vec<(Timestamp, Found)> {
    let mut kept = BTreeMap::<u64, Kept>::new();
    let mut timers = std::collections::BTreeSet::<(Timestamp, u64)>::new();
    let mut rows = Vec::new();
    let found = |key: u64, kept: &BTreeMap<u64, Kept>| {
        let nothing = Kept::default();
        let Kept { asks, last, entries } = kept.get(&key).unwrap_or(&nothing);
        let first = entries.first_key_value().map_or(0, |(key, value)| key * 100 + value);
        Found { key, asks: *asks, last: last.iter().sum(), first }
    };
    let steps = script.steps().iter().copied();
    for step in steps.chain([Step::Watermark(script.reached())]) {
        let watermark = match step {
            Step::Row { watermark, .. } | Step::Watermark(watermark) => watermark,
        };
        while let Some((time, key)) = timers.first().copied().filter(|(time, _)| *time <= watermark) {
            timers.pop_first();
            rows.push((time, found(key, &kept)));
            kept.remove(&key);
        }
        let Step::Row { time, value: Ask { key, what }, watermark } = step else { continue };
        let of_key = kept.entry(key).or_default();
        of_key.asks += 1;
        of_key.last.push(what);
        of_key.last.drain(..of_key.last.len().saturating_sub(3));
        match what % 4 {
            0 => drop(of_key.entries.remove(&(what / 4 % 5))),
            value => drop(of_key.entries.insert(what / 4 % 5, value)),
        }
        if what.is_multiple_of(3) && time > watermark {
            timers.insert((time.plus_nanos(LIFE), key));
        }
        rows.push((time, found(key, &kept)));
    }
    rows
}

fn steps() -> impl Strategy<Value = Vec<Step<Ask>>> {
    let step = (0i64..6, 0u64..4, 0u64..24, 0i64..12);
    prop::collection::vec(step, 0..50).prop_map(|steps| {
        let (mut clock, mut watermark) = (0, i64::MIN);
        let row = |(passed, key, what, behind)| {
            clock += passed;
            watermark = watermark.max(clock - 8);
            Step::Row { time: at(clock - behind), value: Ask { key, what }, watermark: at(watermark) }
        };
        steps.into_iter().map(row).collect()
    })
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn an_operator_with_a_store_of_each_kind_keeps_what_it_was_given(steps in steps(), seed: u64) {
        let verdict = Verify::new(|| Keeper::new(&StoreSettings::default()))
            .keyed_by(|ask: &Ask| ask.key)
            .seed(seed)
            .steps(steps)
            .against(|script| (model(script),));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }
}

#[test]
fn what_is_forgotten_gives_its_room_back() {
    let settings = StoreSettings { keys_max: 3, rows_max: 12, ..StoreSettings::default() };
    let mut keeper = Keeper::new(&settings);
    let mut out = Outbox::new(1 << 10, Default::default());
    for round in 0..1000 {
        let (now, key) = (round * 100, round as u64);
        let rows = [3, 6, 9].map(|what| Ask { key, what });
        let (times, watermarks) = ([at(now); 3], [at(now - 1); 3]);
        let batch = Batch::with_watermarks(&times, &rows, &watermarks);
        assert_eq!(keeper.on_batch(batch, &mut out), Ok(3));
        if round % 7 == 0 {
            // Numbers of keys that were removed are not given out before the removal is saved.
            state::save(&mut keeper, Scope::Changed);
        }
        out.clear();
    }
    assert!(keeper.asks.len() <= 2 && state::bytes(&mut keeper) < 64 << 10);
}

#[test]
fn one_row_more_than_the_limit_is_an_error() {
    let mut keeper = Keeper::new(&StoreSettings { rows_max: 2, ..StoreSettings::default() });
    let rows = [1, 2, 5].map(|key| Ask { key, what: 0 });
    let taken = keeper.on_batch(Batch::new(&[at(1); 3], &rows), &mut Outbox::new(9, Default::default()));
    assert_eq!(taken, Err(StoreError::TooManyRows(2).into()));
}

#[test]
fn a_value_is_written_where_it_changed_and_belongs_to_all() {
    let mut value = Value::<u64>::new();
    let write = |value: &mut Value<u64>, scope| {
        let mut pieces = Vec::new();
        value.mark(scope);
        let mut take = |share, bytes: &[u8]| pieces.push((share, bytes.to_vec()));
        assert!(value.save(&mut PieceWriter::unlimited(&mut take)));
        pieces
    };
    assert_eq!(write(&mut value, Scope::Changed).len(), 1);
    assert!(write(&mut value, Scope::Changed).is_empty());
    *value.get_mut() = 7;
    let pieces = write(&mut value, Scope::Changed);
    let mut restored = Value::<u64>::new();
    pieces.iter().for_each(|(share, bytes)| restored.restore(*share, bytes, &ALL_SLOTS).unwrap());
    assert_eq!((*restored.get(), pieces[0].0), (7, Share::All));
    assert_eq!(write(&mut value, Scope::All), pieces);
}
