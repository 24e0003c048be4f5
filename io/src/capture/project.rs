//! Projections: events of one type, taken field by field from records of another layout.
//!
//! Which fields can be taken is settled when the projection is made: integers and times from
//! integers and times, floats from narrower floats, text from shorter text, anything from its own
//! kind. A value that does not fit a narrower integer is an error when it is met.

use super::error::CaptureError;
use pelton::rows::{Row, RowLayout};
use pelton::{Field, FieldKind, Layout, Record};
use std::path::Path;

/// How the fields of an event are filled from a record of a file.
#[derive(Debug)]
pub(crate) struct Projection {
    columns: Vec<Column>,
    record_size: usize,
    /// Whether the event's time is the record's, so that the index holds for it.
    pub(crate) same_time: bool,
}

#[derive(Debug)]
struct Column {
    from: usize,
    from_kind: FieldKind,
    from_name: String,
    to: usize,
    to_kind: FieldKind,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// So many bytes as they are; the rest of the field stays zero, as little-endian numbers without
    /// a sign want it.
    Copy(usize),
    Integer,
    WidenFloat,
}

impl Projection {
    /// Every field of `U` is taken from the field that `map` names, or else from the one of its name.
    pub(crate) fn new<U: Record>(from: (&Layout, &Path), map: &[(&str, &str)]) -> Result<Self, CaptureError> {
        let (to, (from, path)) = (U::layout(), from);
        let error = |to: &str, from: &str, reason: String| CaptureError::Projection {
            path: path.to_owned(),
            to: to.to_owned(),
            from: from.to_owned(),
            reason,
        };
        if let Some((to, from)) = map.iter().find(|(name, _)| to.fields().iter().all(|field| field.name != *name)) {
            return Err(error(to, from, "the event has no such field".into()));
        }
        let mut columns = Vec::new();
        let mut same_time = false;
        let named = |target: &str| {
            map.iter().find(|(to, _)| *to == target).map_or_else(|| target.to_owned(), |(_, from)| (*from).to_owned())
        };
        for target in to.fields() {
            let name = &*named(&target.name);
            let Some(source) = from.fields().iter().find(|field| field.name == name) else {
                return Err(error(&target.name, name, format!("the file has only: {}", from.schema())));
            };
            let how = same_presence((from, source), (&to, target), named)
                .and_then(|()| conversion(source, target))
                .map_err(|reason| error(&target.name, name, reason))?;
            same_time |= target.time && source.time;
            columns.push(Column {
                from: source.offset,
                from_kind: source.kind,
                from_name: source.name.to_string(),
                to: target.offset,
                to_kind: target.kind,
                how,
            });
        }
        Ok(Self { columns, record_size: from.size(), same_time })
    }

    /// The records as they are, where rows of a layout known at run time have them. `None` where rows are records.
    pub(super) fn rows<const WORDS: usize>(rows: &RowLayout) -> Option<Self> {
        let layout = rows.layout();
        if size_of::<Row<WORDS>>() == layout.size() && rows.start() == 0 {
            return None;
        }
        let copy = |from: usize, to: usize, bytes: usize| {
            let kind = FieldKind::Text(bytes as u32);
            let from_name = layout.name().to_owned();
            Column { from, from_kind: kind, from_name, to, to_kind: kind, how: How::Copy(bytes) }
        };
        let mut columns = vec![copy(0, rows.start(), layout.size())];
        if let (8, Some(time)) = (rows.start(), layout.time_field()) {
            columns.push(copy(time.offset, 0, 8));
        }
        Some(Self { columns, record_size: layout.size(), same_time: true })
    }

    /// Fills `events` from as many whole records.
    pub(crate) fn apply<U: Record>(
        &self,
        path: &Path,
        block: usize,
        records: &[u8],
        events: &mut Vec<U>,
    ) -> Result<(), CaptureError> {
        events.clear();
        events.resize(records.len() / self.record_size, bytemuck::Zeroable::zeroed());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(events);
        for column in &self.columns {
            let rows = records.chunks_exact(self.record_size).zip(bytes.chunks_exact_mut(size_of::<U>()));
            let rows = rows.map(|(record, out)| (&record[column.from..], &mut out[column.to..]));
            match column.how {
                // Sizes that the compiler knows are copied without a call.
                How::Copy(4) => rows.for_each(|(from, to)| to[..4].copy_from_slice(&from[..4])),
                How::Copy(8) => rows.for_each(|(from, to)| to[..8].copy_from_slice(&from[..8])),
                How::Copy(bytes) => rows.for_each(|(from, to)| to[..bytes].copy_from_slice(&from[..bytes])),
                How::WidenFloat => rows.for_each(|(from, to)| {
                    let value = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
                    to[..8].copy_from_slice(&f64::from(value).to_le_bytes());
                }),
                How::Integer => {
                    let size = column.to_kind.size();
                    let misfit = rows.enumerate().find_map(|(event, (from, to))| {
                        let value = read_integer(from, column.from_kind);
                        to[..size].copy_from_slice(&value.to_le_bytes()[..size]);
                        (!fits(value, column.to_kind)).then_some((event, value))
                    });
                    if let Some((event, value)) = misfit {
                        return Err(CaptureError::OutOfRange {
                            path: path.to_owned(),
                            block,
                            event,
                            field: column.from_name.clone(),
                            value,
                            kind: column.to_kind,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Integers whose values an `i128` holds.
fn is_integer(kind: FieldKind) -> bool {
    use pelton::FieldKind::{I8, I16, I32, I64, I128, Timestamp, U8, U16, U32, U64};
    matches!(kind, I8 | I16 | I32 | I64 | I128 | U8 | U16 | U32 | U64 | Timestamp)
}

fn is_unsigned(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::U8 | FieldKind::U16 | FieldKind::U32 | FieldKind::U64)
}

/// What may be missing in the file may be so in the event, and what says so is taken with it.
fn same_presence(
    (from, source): (&Layout, &Field),
    (to, target): (&Layout, &Field),
    named: impl Fn(&str) -> String,
) -> Result<(), String> {
    match (from.presence(source), to.presence(target)) {
        (None, None) => Ok(()),
        (Some(flag), Some(taken)) if named(&taken.name) == flag.name => Ok(()),
        (Some(flag), Some(_)) => Err(format!("it is there where `{}` says so, which is not taken with it", flag.name)),
        (Some(_), None) => Err("it may be missing in the file, and the event has to have a value".into()),
        (None, Some(_)) => Err("it is never missing in the file, and has nothing that says so".into()),
    }
}

fn conversion(from: &Field, to: &Field) -> Result<How, String> {
    match (from.kind, to.kind) {
        (from, to) if from == to => Ok(How::Copy(to.size())),
        (FieldKind::I64, FieldKind::Timestamp) | (FieldKind::Timestamp, FieldKind::I64) => Ok(How::Copy(8)),
        (from, to) if is_unsigned(from) && is_integer(to) && from.size() < to.size() => Ok(How::Copy(from.size())),
        (FieldKind::Text(from), FieldKind::Text(to)) if from <= to => Ok(How::Copy(from as usize)),
        (FieldKind::F32, FieldKind::F64) => Ok(How::WidenFloat),
        (from, to) if is_integer(from) && is_integer(to) => Ok(How::Integer),
        (from, to) => Err(format!("{from} does not become {to} without loss")),
    }
}

fn read_integer(bytes: &[u8], kind: FieldKind) -> i128 {
    let size = kind.size();
    let mut wide = [0; 16];
    wide[..size].copy_from_slice(&bytes[..size]);
    let unsigned = i128::from_le_bytes(wide);
    match kind {
        _ if is_unsigned(kind) => unsigned,
        _ => {
            // Moved to the top and back, so that the sign fills the bits above.
            let shift = 128 - 8 * size as u32;
            (unsigned << shift) >> shift
        }
    }
}

fn fits(value: i128, kind: FieldKind) -> bool {
    match kind {
        FieldKind::I8 => i8::try_from(value).is_ok(),
        FieldKind::U8 => u8::try_from(value).is_ok(),
        FieldKind::I16 => i16::try_from(value).is_ok(),
        FieldKind::U16 => u16::try_from(value).is_ok(),
        FieldKind::I32 => i32::try_from(value).is_ok(),
        FieldKind::U32 => u32::try_from(value).is_ok(),
        FieldKind::I64 | FieldKind::Timestamp => i64::try_from(value).is_ok(),
        FieldKind::U64 => u64::try_from(value).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::FieldKind::{I8, I16, I32, I64, I128, Timestamp, U8, U16, U32, U64};

    /// What `column.how` makes of a value, on its own.
    fn convert(value: i128, from: FieldKind, to: FieldKind) -> Option<i128> {
        let field = |kind| Field { name: "f".into(), kind, offset: 0, decimals: None, time: false };
        let bytes = value.to_le_bytes();
        let mut out = [0; 16];
        match conversion(&field(from), &field(to)).unwrap() {
            How::Copy(size) => out[..size].copy_from_slice(&bytes[..size]),
            How::Integer => {
                let value = read_integer(&bytes, from);
                out[..to.size()].copy_from_slice(&value.to_le_bytes()[..to.size()]);
                if !fits(value, to) {
                    return None;
                }
            }
            How::WidenFloat => panic!("not of floats"),
        }
        Some(read_integer(&out, to))
    }

    #[test]
    fn integers_of_every_kind_keep_their_value_or_are_refused() {
        let kinds = [I8, U8, I16, U16, I32, U32, I64, U64, I128, Timestamp];
        let edges = [7, 8, 15, 16, 31, 32, 63, 64].map(|bit| 1i128 << bit);
        let values: Vec<i128> = edges.iter().flat_map(|&edge| [edge - 1, edge, -edge, -edge - 1, 0]).collect();
        let mut refused = 0;
        for from in kinds {
            for to in kinds {
                for &value in values.iter().filter(|&&value| fits(value, from)) {
                    let expected = fits(value, to).then_some(value);
                    assert_eq!(convert(value, from, to), expected, "{value} from {from} to {to}");
                    refused += usize::from(expected.is_none());
                }
            }
        }
        assert!(refused > 100);
    }
}
