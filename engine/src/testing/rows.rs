//! Rows as text and their sameness, both by layout, so that rows need be neither `Debug` nor `PartialEq`.
//!
//! Two rows are the same when their bytes are, but for floats: any NaN is the same as any other,
//! since its sign and payload may follow the compiler. 0.0 and -0.0 are not the same.

use crate::{Dictionary, Field, FieldKind, Record, Symbol, Timestamp};
use bytemuck::pod_read_unaligned;
use std::fmt::Write;

/// Whether the rows are the same.
pub(super) fn same_row<T: Record>(a: &T, b: &T) -> bool {
    let (a, b) = (bytemuck::bytes_of(a), bytemuck::bytes_of(b));
    a == b || comparable::<T>(a) == comparable::<T>(b)
}

/// The bytes of a row with one NaN for all.
fn comparable<T: Record>(row: &[u8]) -> Vec<u8> {
    let mut bytes = row.to_vec();
    for field in T::layout().fields() {
        let Some(place) = bytes.get_mut(field.offset..field.offset + field.kind.size()) else { continue };
        match field.kind {
            FieldKind::F32 if pod_read_unaligned::<f32>(place).is_nan() => {
                place.copy_from_slice(bytemuck::bytes_of(&f32::NAN));
            }
            FieldKind::F64 if pod_read_unaligned::<f64>(place).is_nan() => {
                place.copy_from_slice(bytemuck::bytes_of(&f64::NAN));
            }
            _ => {}
        }
    }
    bytes
}

/// A row with its time: `19ns key=7 value=2`.
pub(super) fn show_row<T: Record>(time: Timestamp, row: &T, symbols: &Dictionary) -> String {
    let mut text = format!("{time:?}");
    for field in T::layout().fields() {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}={}", field.name, show_field(field, bytemuck::bytes_of(row), symbols));
    }
    text
}

fn show_field(field: &Field, row: &[u8], symbols: &Dictionary) -> String {
    let Some(bytes) = row.get(field.offset..field.offset + field.kind.size()) else {
        return String::from("(outside the row)");
    };
    match field.kind {
        FieldKind::I8 => pod_read_unaligned::<i8>(bytes).to_string(),
        FieldKind::U8 => pod_read_unaligned::<u8>(bytes).to_string(),
        FieldKind::I16 => pod_read_unaligned::<i16>(bytes).to_string(),
        FieldKind::U16 => pod_read_unaligned::<u16>(bytes).to_string(),
        FieldKind::I32 => pod_read_unaligned::<i32>(bytes).to_string(),
        FieldKind::U32 => pod_read_unaligned::<u32>(bytes).to_string(),
        FieldKind::I64 => pod_read_unaligned::<i64>(bytes).to_string(),
        FieldKind::U64 => pod_read_unaligned::<u64>(bytes).to_string(),
        FieldKind::I128 => pod_read_unaligned::<i128>(bytes).to_string(),
        FieldKind::U128 => pod_read_unaligned::<u128>(bytes).to_string(),
        FieldKind::F32 => format!("{:?}", pod_read_unaligned::<f32>(bytes)),
        FieldKind::F64 => format!("{:?}", pod_read_unaligned::<f64>(bytes)),
        FieldKind::Timestamp => format!("{:?}", pod_read_unaligned::<Timestamp>(bytes)),
        FieldKind::Symbol => {
            let symbol: Symbol = pod_read_unaligned(bytes);
            symbols.text(symbol).map_or_else(|| format!("#{}", symbol.id()), |text| text.to_string())
        }
        FieldKind::Bool | FieldKind::Present => match bytes {
            [byte] if *byte > 1 => format!("true({byte})"),
            _ => (bytes != [0]).to_string(),
        },
        FieldKind::Text(_) => {
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            format!("\"{}\"", bytes[..end].escape_ascii())
        }
    }
}
