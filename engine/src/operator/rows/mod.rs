//! What steps do with rows whose layout is known at run time: each is compiled to offsets and kinds once, from names of
//! columns, and then reads bytes.

pub(crate) mod aggregate;
pub(crate) mod filter;
pub(crate) mod key;

use crate::base::row::RowLayout;
use crate::{Field, FieldKind};

/// Why a step cannot use a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadColumn {
    pub(crate) column: String,
    pub(crate) reason: String,
}

impl BadColumn {
    pub(crate) fn new(column: &str, reason: impl Into<String>) -> Self {
        Self { column: column.to_owned(), reason: reason.into() }
    }
}

/// A column of rows: where it lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) offset: usize,
    pub(crate) kind: FieldKind,
    /// Digits after the point in text output of a float.
    pub(crate) decimals: Option<u8>,
}

/// The column with this name.
pub(crate) fn find(rows: &RowLayout, name: &str) -> Result<Column, BadColumn> {
    let found = rows.layout().position(name).map(|number| &rows.layout().fields()[number]);
    match found {
        Some(field) if rows.layout().presence(field).is_some() => Err(BadColumn::new(
            name,
            "it may be missing, and steps over rows of run-time layouts do not ask whether it is",
        )),
        Some(field) => {
            let &Field { kind, decimals, .. } = field;
            Ok(Column { offset: rows.offset(field), kind, decimals })
        }
        None => Err(BadColumn::new(name, format!("there is none of this name in {}", rows.layout().schema()))),
    }
}
