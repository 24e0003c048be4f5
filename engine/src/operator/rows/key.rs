//! Keys of rows: the bytes of one or several columns, in one class for all of them.

use crate::base::row::{RowLayout, at, is_float};
use crate::operator::rows::{BadColumn, Column, find};
use crate::{CanonicalKey, Dictionary, Field, FieldKind, Key, Layout, Record, Symbol};
use bytemuck::{Pod, Zeroable};

/// The most bytes of a key.
pub(crate) const KEY_BYTES_MAX: usize = 32;
const KEY_WORDS: usize = KEY_BYTES_MAX / 8;

/// The key of a row: its columns one behind the other, filled up with zeros. What they are is in [`KeyColumns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct RowKey([u64; KEY_WORDS]);

impl Record for RowKey {
    fn layout() -> Layout {
        let kind = FieldKind::Text(KEY_BYTES_MAX as u32);
        let field = Field { name: "key".into(), kind, offset: 0, decimals: None, time: false };
        Layout::new("RowKey", KEY_BYTES_MAX, 8, vec![field])
    }
}

impl Key for RowKey {
    /// The bytes. Steps over rows order keys by [`KeyColumns::canonical`] instead, which knows what they mean.
    fn canonical(&self, _: &Dictionary, out: &mut CanonicalKey) {
        out.push(bytemuck::bytes_of(self));
    }

    /// A key of at most eight bytes is a number: ids of symbols are small ones.
    #[inline(always)]
    fn number(&self) -> Option<u64> {
        let [first, rest @ ..] = self.0;
        rest.iter().all(|word| *word == 0).then_some(first)
    }

    #[inline(always)]
    fn from_number(number: u64) -> Self {
        let mut key = Self::zeroed();
        key.0[0] = number;
        key
    }
}

/// The columns that rows are grouped by.
#[derive(Debug, Clone)]
pub(crate) struct KeyColumns {
    /// In the row.
    columns: Vec<Column>,
    /// Of the key.
    layout: Layout,
}

impl KeyColumns {
    /// Each column is found in the rows, and all of them fit into a key. Where that is not so, what is wrong is added
    /// to `bad`, and the columns are no more than their names.
    pub(crate) fn new(rows: &RowLayout, names: &[String], bad: &mut Vec<BadColumn>) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        let mut size = 0;
        for name in names {
            let column = find(rows, name).unwrap_or_else(|error| {
                bad.push(error);
                Column { offset: 0, kind: FieldKind::U64, decimals: None }
            });
            if is_float(column.kind) {
                // NaN and -0.0 would make equal keys differ.
                bad.push(BadColumn::new(name, format!("it is {}, and floats are no keys", column.kind)));
            }
            let before = size;
            size += column.kind.size();
            if before <= KEY_BYTES_MAX && size > KEY_BYTES_MAX {
                let reason = format!("with it the key has {size} bytes, and {KEY_BYTES_MAX} are the most");
                bad.push(BadColumn::new(name, reason));
            }
            columns.push(column);
        }
        if names.is_empty() {
            bad.push(BadColumn::new("", "a key has at least one column"));
        }
        let named = names.iter().zip(&columns).map(|(name, column)| (&**name, column.kind, None));
        Self { layout: Layout::packed("key", named), columns }
    }

    /// The layout of the key's bytes, without the zeros behind them.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The key of a row.
    #[inline(always)]
    pub(crate) fn of(&self, row: &[u8]) -> RowKey {
        let mut key = RowKey::zeroed();
        let mut to = 0;
        let bytes = bytemuck::bytes_of_mut(&mut key);
        for column in &self.columns {
            let (from, size) = (column.offset, column.kind.size());
            match size {
                // Sizes that the compiler knows are copied without a call.
                4 => bytes[to..to + 4].copy_from_slice(&row[from..from + 4]),
                8 => bytes[to..to + 8].copy_from_slice(&row[from..from + 8]),
                size => bytes[to..to + size].copy_from_slice(&row[from..from + size]),
            }
            to += size;
        }
        key
    }

    /// The canonical key: the one that a derived key with the same fields has.
    pub(crate) fn canonical(&self, key: &RowKey, symbols: &Dictionary) -> CanonicalKey {
        let mut out = CanonicalKey::default();
        let bytes = bytemuck::bytes_of(key);
        for field in self.layout.fields() {
            let from = field.offset;
            match field.kind {
                FieldKind::I8 => i8::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::U8 => u8::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::I16 => i16::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::U16 => u16::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::I32 => i32::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::U32 => u32::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::I64 | FieldKind::Timestamp => {
                    i64::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out);
                }
                FieldKind::U64 => u64::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::I128 => i128::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::U128 => u128::from_le_bytes(at(bytes, from)).canonical(symbols, &mut out),
                FieldKind::Symbol => {
                    Symbol::from_id(u32::from_le_bytes(at(bytes, from))).canonical(symbols, &mut out);
                }
                FieldKind::F32 | FieldKind::F64 | FieldKind::Text(_) | FieldKind::Bool | FieldKind::Present => {
                    out.push(&bytes[from..from + field.kind.size()]);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::row::Row;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Record, Key)]
    #[repr(C)]
    struct Wide {
        number: i64,
        symbol: Symbol,
        small: i16,
        venue: [u8; 2],
    }

    proptest! {
        #[test]
        fn the_canonical_key_is_that_of_the_derived_key(
            keys in prop::collection::vec((any::<i64>(), 0u32..4, any::<i16>(), any::<[u8; 2]>()), 1..20)
        ) {
            let symbols = Dictionary::default();
            ["B", "a longer text than 16 bytes", "A"].iter().for_each(|text| assert!(symbols.intern(text).is_ok()));
            let rows = RowLayout::new(Wide::layout()).unwrap();
            let names = ["number", "symbol", "small", "venue"].map(str::to_owned);
            let columns = KeyColumns::new(&rows, &names, &mut Vec::new());
            for (number, symbol, small, venue) in keys {
                let wide = Wide { number, symbol: Symbol::from_id(symbol), small, venue };
                let row: Row<2> = rows.row(bytemuck::bytes_of(&wide));
                let (found, expected) =
                    (columns.canonical(&columns.of(row.bytes()), &symbols), CanonicalKey::of(&wide, &symbols));
                prop_assert_eq!((found, found.value(), found.hash()), (expected, expected.value(), expected.hash()));
            }
        }
    }

    #[test]
    fn keys_of_eight_bytes_are_numbers_and_others_are_not() {
        let rows = RowLayout::new(Layout::parse("16/4 a:u32@0 b:u32@4 c:text8@8").unwrap()).unwrap();
        let row: Row<2> = rows.row(&[7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        let number = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyColumns::new(&rows, &names, &mut Vec::new()).of(row.bytes());
            key.number().inspect(|number| assert_eq!(RowKey::from_number(*number), key))
        };
        assert_eq!(number(&["a"]), Some(7));
        assert_eq!(number(&["b", "a"]), Some(7 << 32 | 1));
        assert_eq!(number(&["a", "b", "c"]), None);
    }
}
