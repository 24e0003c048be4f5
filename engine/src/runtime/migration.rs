//! Has saved state go on in another layout, by functions that the program gives.

use crate::log::error::StateError;
use crate::runtime::entries::SavedStore;
use crate::runtime::recovery::Recovered;
use crate::runtime::shape::Shape;
use crate::store::pieces::{Pieces, each_piece, split_records};
use crate::store::{Share, StoreError, StoreKind};
use crate::{Layout, Record};
use std::sync::Arc;

/// Appends the bytes of a new value to those before it.
type Convert = Arc<dyn Fn(&[u8], &mut Vec<u8>) + Send + Sync>;

/// Turns what a store kept in one layout into another.
#[derive(Clone)]
pub(crate) struct Migration {
    step: String,
    store: String,
    from: Layout,
    to: Layout,
    convert: Convert,
}

impl Migration {
    pub(crate) fn new<Old: Record, New: Record>(
        step: String,
        store: String,
        convert: impl Fn(&Old) -> New + Send + Sync + 'static,
    ) -> Self {
        let convert = move |old: &[u8], new: &mut Vec<u8>| {
            new.extend_from_slice(bytemuck::bytes_of(&convert(&bytemuck::pod_read_unaligned(old))));
        };
        Self { step, store, from: Old::layout(), to: New::layout(), convert: Arc::new(convert) }
    }

    /// Whether it is for what was saved of this store.
    fn is_for(&self, saved: &SavedStore) -> bool {
        (&saved.step, &saved.store, &saved.value) == (&self.step, &self.store, &self.from.schema())
            && saved.kind != StoreKind::Timers.name()
    }

    /// The same pieces with values in the new layout.
    fn converted(&self, shape: &Shape, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (mut pieces, mut new) = (Pieces::default(), Vec::new());
        each_piece(bytes, |share, piece| {
            new.clear();
            if share == Share::Keys {
                let (front, records) = split_records(piece, shape.front_bytes())?;
                let (key, count) = (shape.id_bytes() - shape.front_bytes(), records.len());
                for record in records {
                    self.convert_one(shape, key, record, &mut new)?;
                }
                let record = new.len() / count.max(1);
                pieces.push(share, &[&(record as u32).to_le_bytes()[..], front, &new].concat());
                return Ok(());
            }
            let is_closed_slice = shape.kind == StoreKind::Slices && share == Share::All;
            match is_closed_slice {
                true => new.extend_from_slice(piece),
                false => self.convert_one(shape, shape.id_bytes(), piece, &mut new)?,
            }
            pieces.push(share, &new);
            Ok(())
        })?;
        Ok(pieces.bytes().to_vec())
    }

    /// Appends what is kept for one key, with new values, behind the bytes that say what it is of.
    fn convert_one(&self, shape: &Shape, id: usize, piece: &[u8], new: &mut Vec<u8>) -> Result<(), StoreError> {
        let Some((id, rest)) = piece.split_at_checked(id).filter(|(_, rest)| !shape.is_removal(rest)) else {
            // Without values.
            new.extend_from_slice(piece);
            return Ok(());
        };
        new.extend_from_slice(id);
        let mut end = 0;
        for value in shape.values(rest).map_err(StoreError::misfit)? {
            new.extend_from_slice(&rest[end..value.start]);
            (self.convert)(&rest[value.clone()], new);
            end = value.end;
        }
        new.extend_from_slice(&rest[end..]);
        Ok(())
    }
}

/// Has what was saved go on in the layouts that these lead to, one after another.
///
/// # Errors
/// When what was saved is not as its layouts say.
pub(crate) fn migrate(recovered: &mut Recovered, migrations: &[Migration]) -> Result<(), StateError> {
    for migration in migrations {
        let Some(at) = recovered.stores.iter().position(|saved| migration.is_for(saved)) else { continue };
        let path = recovered.path().to_owned();
        let misfit = |what: String| StateError::misfit(&path, what);
        let shape = Shape::of(&recovered.stores[at]).map_err(misfit)?;
        recovered
            .change_pieces(&migration.step, &migration.store, |bytes| migration.converted(&shape, bytes))
            .map_err(|error| misfit(error.to_string()))?;
        recovered.stores[at].value = migration.to.schema();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pieces::PieceWriter;
    use crate::store::{
        BroadcastTable, KeyedLists, KeyedMaps, KeyedRows, KeyedTable, Of, Scope, Store, StoreSettings, Value,
    };
    use crate::{ALL_SLOTS, Key, Timestamp};

    fn wide(value: u32) -> [u8; 8] {
        (u64::from(value) << 8 | 7).to_be_bytes()
    }

    /// Has a store of new values take what one of old values has, of twice the size.
    fn migrate_into(old: &mut dyn Store, new: &mut dyn Store) {
        let migration = Migration::new("step".into(), "store".into(), |was: &u32| wide(*was));
        let saved = SavedStore {
            step: "step".into(),
            store: "store".into(),
            kind: old.kind().name().into(),
            title: String::new(),
            key: u64::layout().schema(),
            element_key: old.key_layout().as_ref().map(Layout::schema).unwrap_or_default(),
            value: old.layout().schema(),
        };
        assert!(migration.is_for(&saved));
        let mut pieces = Pieces::default();
        old.mark(Scope::All);
        old.save(&mut PieceWriter::unlimited(&mut |share, piece| pieces.push(share, piece)));
        let shape = Shape::of(&saved).unwrap();
        let converted = migration.converted(&shape, pieces.bytes()).unwrap();
        each_piece(&converted, |share, piece| new.restore(share, piece, &ALL_SLOTS)).unwrap();
        // What is cut short is refused.
        let mut cut = Pieces::default();
        each_piece(pieces.bytes(), |share, piece| {
            cut.push(share, &piece[..piece.len() - 1]);
            Ok(())
        })
        .unwrap();
        let refused = migration.converted(&shape, cut.bytes());
        let refused = refused.and_then(|cut| each_piece(&cut, |share, piece| new.restore(share, piece, &ALL_SLOTS)));
        assert!(refused.is_err());
    }

    fn keys<V: Record>(settings: &StoreSettings) -> KeyedTable<u64, V> {
        KeyedTable::new(settings)
    }

    fn entry<K: Key, V: Record>(table: &mut KeyedTable<K, V>, key: K) -> usize {
        table.find_or_insert(key).unwrap()
    }

    #[test]
    fn values_of_every_kind_of_store_are_converted() {
        let settings = StoreSettings::default();
        let time_to_live = Some(std::time::Duration::from_nanos(50));
        let (mut was, mut is) = (keys::<u32>(&settings).with_time_to_live(time_to_live), keys(&settings));
        is = is.with_time_to_live(time_to_live);
        let number = entry(&mut was, 3);
        was.touch(number, Timestamp::from_nanos(5), Timestamp::MIN, |_, _| {});
        *was.value_mut(number) = 9;
        migrate_into(&mut was, &mut is);
        assert_eq!(is.get(&3), Some(&wide(9)));
        // When it was written is kept.
        let number = is.find(&3).unwrap();
        assert!(!is.expire(number, Timestamp::from_nanos(54)) && is.expire(number, Timestamp::from_nanos(55)));

        let (mut table, mut other) = (keys::<()>(&settings), keys::<()>(&settings));
        let number = entry(&mut table, 3);
        let (mut was, mut is) = (KeyedLists::<u32>::new(&settings), KeyedLists::<[u8; 8]>::new(&settings));
        [1, 2].into_iter().for_each(|row| was.push(&mut table, number, row).unwrap());
        migrate_into(&mut Of::new(&mut table, &mut was), &mut Of::new(&mut other, &mut is));
        assert_eq!(is.get(other.find(&3).unwrap()), [wide(1), wide(2)]);

        let (mut was, mut is) = (KeyedRows::<u32>::new(&settings), KeyedRows::<[u8; 8]>::new(&settings));
        [4, 6].into_iter().for_each(|nanos| {
            was.insert(&mut table, number, Timestamp::from_nanos(nanos), nanos as u32).unwrap();
        });
        migrate_into(&mut Of::new(&mut table, &mut was), &mut Of::new(&mut other, &mut is));
        let number_there = other.find(&3).unwrap();
        assert_eq!(is.latest_at(number_there, Timestamp::MAX), Some(&(Timestamp::from_nanos(6), wide(6))));
        assert_eq!(is.first(number_there), Some(&(Timestamp::from_nanos(4), wide(4))));

        let (mut was, mut is) = (KeyedMaps::<i64, u32>::new(&settings), KeyedMaps::<i64, [u8; 8]>::new(&settings));
        [(-1, 5), (8, 6)].into_iter().for_each(|(key, value)| {
            was.insert(&mut table, number, key, value).unwrap();
        });
        migrate_into(&mut Of::new(&mut table, &mut was), &mut Of::new(&mut other, &mut is));
        let found: Vec<_> = is.range(number_there, ..).map(|(key, value)| (*key, *value)).collect();
        assert_eq!(found, [(-1, wide(5)), (8, wide(6))]);

        let (mut was, mut is) =
            (BroadcastTable::<u64, u32>::new(&settings), BroadcastTable::<u64, [u8; 8]>::new(&settings));
        was.insert(2, 4);
        migrate_into(&mut was, &mut is);
        assert_eq!(is.get(&2), Some(&wide(4)));

        let (mut was, mut is) = (Value::<u32>::new(), Value::<[u8; 8]>::new());
        *was.get_mut() = 6;
        migrate_into(&mut was, &mut is);
        assert_eq!(*is.get(), wide(6));
    }
}
