//! Layouts from text: the inverse of [`Layout::schema`], and what makes a layout one that bytes can have.

use crate::{Field, FieldKind, Layout};
use std::collections::HashSet;

/// The largest alignment of a record in bytes, that of a cache line.
const ALIGN_MAX: usize = 64;

/// Why a text or a list of fields is no layout.
///
/// ```
/// use pelton::{Layout, LayoutError};
///
/// assert_eq!(Layout::parse("8/8 t:i64@0 t:i64@8"), Err(LayoutError::SameName("t".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The text does not begin with the record's size and alignment.
    #[error("{0:?} is no schema: it starts with size/align")]
    NoSize(String),
    /// A size, an alignment or an offset is no number.
    #[error("{0:?} is not a number")]
    NotANumber(String),
    /// A word of the text is no field.
    #[error("{0:?} is not name:type@offset")]
    NotAField(String),
    /// A field has a type that there is not.
    #[error("field `{field}` cannot be {found:?}, which is not a type")]
    UnknownType {
        /// The field.
        field: String,
        /// What stands in the place of its type.
        found: String,
    },
    /// There is no field.
    #[error("a record has at least one field")]
    NoField,
    /// The alignment is no power of two up to 64, or the size is not a multiple of it.
    #[error("an alignment of {align} does not suit records of {size} bytes")]
    Alignment {
        /// The record's size in bytes.
        size: usize,
        /// Its alignment in bytes.
        align: usize,
    },
    /// A name is empty, or has a character that a schema cannot hold.
    #[error("{0:?} is not a name of a field")]
    Name(String),
    /// Two fields share a name.
    #[error("two fields are named `{0}`")]
    SameName(String),
    /// A field begins before the one before it ends.
    #[error("field `{field}` at byte {offset} overlaps the one before it, which ends at byte {end}")]
    Overlap {
        /// The field that begins too early.
        field: String,
        /// Where it begins.
        offset: usize,
        /// Where the one before it ends.
        end: usize,
    },
    /// Bytes before a field belong to none.
    #[error("field `{field}` is at byte {offset} and not at {end}: records have no gaps")]
    Gap {
        /// The field behind the gap.
        field: String,
        /// Where it begins.
        offset: usize,
        /// Where the one before it ends.
        end: usize,
    },
    /// The fields end before or behind the record's end.
    #[error("the fields end at byte {end} of {size}: records have no gaps")]
    Size {
        /// Where the fields end.
        end: usize,
        /// The record's size in bytes.
        size: usize,
    },
    /// Nothing is behind a field that says whether the next one is there, or another such field is, or the event time.
    #[error(
        "field `{0}` says whether the field behind it is there: that is a field of one value, and not the event time"
    )]
    Presence(String),
    /// The event time is of a type that holds no time.
    #[error("the event time `{field}` is {kind} and not i64 or time")]
    TimeType {
        /// The field.
        field: String,
        /// Its type.
        kind: FieldKind,
    },
    /// Several fields are marked as the event time.
    #[error("one field is the event time, not {0}")]
    Times(usize),
    /// Records are wider than rows of layouts known at run time may be.
    #[error("a record of {size} bytes is too wide: rows of a layout known at run time have at most {most}")]
    TooWide {
        /// The record's size in bytes.
        size: usize,
        /// The most that it may be.
        most: usize,
    },
    /// The text means a layout, but is not the one text that does.
    #[error("it is written {found:?}; the one way to write it is {schema:?}")]
    Spelling {
        /// The text.
        found: String,
        /// What [`Layout::schema`] gives.
        schema: String,
    },
}

impl Layout {
    /// The layout that [`Layout::schema`] wrote. Names of records and decimals of floats are not in the text.
    ///
    /// ```
    /// use pelton::{FieldKind, Layout};
    ///
    /// let layout = Layout::parse("16/8 time_ns:i64@0* sensor:u32@8 value:f32@12")?;
    /// assert_eq!(layout.fields()[2].kind, FieldKind::F32);
    /// assert_eq!(layout.schema(), "16/8 time_ns:i64@0* sensor:u32@8 value:f32@12");
    ///
    /// let error = Layout::parse("16/8 time_ns:i64@0* value:f64@4").unwrap_err();
    /// assert_eq!(error.to_string(), "field `value` at byte 4 overlaps the one before it, which ends at byte 8");
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// When the text is no schema, or what it says is no layout: see [`Layout::check`]. One layout has one text, so a
    /// number with a leading zero, for instance, is refused.
    pub fn parse(schema: &str) -> Result<Self, LayoutError> {
        let mut words = schema.split(' ');
        let sizes = words.next().and_then(|word| word.split_once('/'));
        let (size, align) = sizes.ok_or_else(|| LayoutError::NoSize(schema.to_owned()))?;
        let (size, align) = (number(size)?, number(align)?);
        let fields = words.map(parse_field).collect::<Result<Vec<_>, _>>()?;
        let layout = Self::new("row", size, align, fields);
        layout.check()?;
        let canonical = layout.schema();
        if canonical != schema {
            return Err(LayoutError::Spelling { found: schema.to_owned(), schema: canonical });
        }
        Ok(layout)
    }

    /// Proves that records can have this layout: fields with names of their own, one behind the other without a gap up
    /// to the record's end, and at most one event time, of 64 bits. What says that a field may be missing has that field
    /// behind it. Layouts of derived records pass.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self) -> Result<(), LayoutError> {
        let (size, align) = (self.size(), self.align());
        if self.fields().is_empty() {
            return Err(LayoutError::NoField);
        }
        if !align.is_power_of_two() || align > ALIGN_MAX || !size.is_multiple_of(align) {
            return Err(LayoutError::Alignment { size, align });
        }
        let mut names = HashSet::new();
        let mut end = 0usize;
        let mut flag: Option<&Field> = None;
        for field in self.fields() {
            let (name, offset) = (&*field.name, field.offset);
            if !is_name(name) {
                return Err(LayoutError::Name(name.to_owned()));
            }
            if !names.insert(name) {
                return Err(LayoutError::SameName(name.to_owned()));
            }
            if offset < end {
                return Err(LayoutError::Overlap { field: name.to_owned(), offset, end });
            }
            if offset > end {
                return Err(LayoutError::Gap { field: name.to_owned(), offset, end });
            }
            end = end.saturating_add(field.kind.size());
            if let Some(flag) = flag.replace(field).filter(|flag| flag.kind == FieldKind::Present)
                && (field.kind == FieldKind::Present || field.time)
            {
                return Err(LayoutError::Presence(flag.name.to_string()));
            }
            if field.time && !matches!(field.kind, FieldKind::I64 | FieldKind::Timestamp) {
                return Err(LayoutError::TimeType { field: name.to_owned(), kind: field.kind });
            }
        }
        if let Some(flag) = flag.filter(|flag| flag.kind == FieldKind::Present) {
            return Err(LayoutError::Presence(flag.name.to_string()));
        }
        if end != size {
            return Err(LayoutError::Size { end, size });
        }
        match self.fields().iter().filter(|field| field.time).count() {
            0 | 1 => Ok(()),
            times => Err(LayoutError::Times(times)),
        }
    }

    /// The number of the field with this name.
    ///
    /// ```
    /// use pelton::Layout;
    ///
    /// let layout = Layout::parse("12/4 symbol:symbol@0 price:i32@4 size:u32@8")?;
    /// assert_eq!(layout.position("size"), Some(2));
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields().iter().position(|field| field.name == name)
    }

    /// A layout of fields one behind the other, aligned to bytes, from names, types and decimals.
    pub(crate) fn packed<'a>(
        name: &'static str,
        columns: impl IntoIterator<Item = (&'a str, FieldKind, Option<u8>)>,
    ) -> Self {
        let mut fields = Vec::new();
        let mut offset = 0;
        for (column, kind, decimals) in columns {
            fields.push(Field { name: column.to_owned().into(), kind, offset, decimals, time: false });
            offset += kind.size();
        }
        Self::new(name, offset, 1, fields)
    }
}

fn number(text: &str) -> Result<usize, LayoutError> {
    text.parse().map_err(|_| LayoutError::NotANumber(text.to_owned()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || ":@*".contains(c))
}

fn parse_field(word: &str) -> Result<Field, LayoutError> {
    let bad = || LayoutError::NotAField(word.to_owned());
    let (name, rest) = word.split_once(':').ok_or_else(bad)?;
    let (kind, offset) = rest.split_once('@').ok_or_else(bad)?;
    let (offset, time) = offset.strip_suffix('*').map_or((offset, false), |offset| (offset, true));
    let unknown = || LayoutError::UnknownType { field: name.to_owned(), found: kind.to_owned() };
    let kind = FieldKind::parse(kind).ok_or_else(unknown)?;
    Ok(Field { name: name.to_owned().into(), kind, offset: number(offset)?, decimals: None, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Symbol, Timestamp, Windowed};
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = FieldKind> {
        use FieldKind::{Bool, F32, F64, I8, I16, I32, I64, I128, Text, Timestamp, U8, U16, U32, U64, U128};
        let fixed = [I8, U8, I16, U16, I32, U32, I64, U64, I128, U128, F32, F64, Timestamp, FieldKind::Symbol, Bool];
        prop_oneof![prop::sample::select(fixed.to_vec()), (1u32..=4096).prop_map(Text)]
    }

    /// Dense fields with names of their own, at most one of them the event time, and an alignment that suits.
    fn layouts() -> impl Strategy<Value = Layout> {
        (prop::collection::vec(("[a-zA-Z_äé][a-z0-9_.-]{0,12}", kinds()), 1..20), any::<prop::sample::Index>(), 0u32..7)
            .prop_map(|(columns, time, align)| {
                let names: Vec<_> = columns.iter().enumerate().map(|(i, (name, _))| format!("{name}{i}")).collect();
                let kinds = columns.iter().map(|column| column.1);
                let packed =
                    Layout::packed("row", names.iter().map(|name| &**name).zip(kinds).map(|(n, k)| (n, k, None)));
                let mut fields = packed.fields().to_vec();
                let time = time.index(fields.len() * 2);
                if let Some(field) = fields.get_mut(time) {
                    field.time = matches!(field.kind, FieldKind::I64 | FieldKind::Timestamp);
                }
                let align = 1 << align.min(packed.size().trailing_zeros());
                Layout::new("row", packed.size(), align, fields)
            })
    }

    proptest! {
        #[test]
        fn a_schema_reads_back_as_the_layout_it_was_written_from(layout in layouts()) {
            prop_assert_eq!(Layout::parse(&layout.schema()), Ok(layout));
        }

        #[test]
        fn a_text_that_is_read_is_the_text_of_what_was_read(
            text in "(8|16|24|08)/[0-9] (([abc]:(i64|u8|text8|time)@(0|8|16|08)[*]? ?){1,3})"
        ) {
            if let Ok(layout) = Layout::parse(&text) {
                prop_assert_eq!(layout.schema(), text);
            }
        }
    }

    #[test]
    fn layouts_of_records_read_back() {
        for layout in [u8::layout(), <[u8; 7]>::layout(), Windowed::<Symbol, i128>::layout(), Timestamp::layout()] {
            assert_eq!(Layout::parse(&layout.schema()).unwrap().fields(), layout.fields());
        }
    }

    #[test]
    fn texts_that_are_no_layout_are_refused_with_the_reason() {
        for (schema, reason) in [
            ("", "starts with size/align"),
            ("8", "starts with size/align"),
            ("8/8", "at least one field"),
            ("x/8 t:i64@0*", "\"x\" is not a number"),
            ("8/8 t:i64@x*", "\"x\" is not a number"),
            ("8/8 t:i64@-1", "\"-1\" is not a number"),
            ("8/8 t:i64", "name:type@offset"),
            ("8/8 t@0", "name:type@offset"),
            ("16/8 t:i64@0*  u:i64@8", "name:type@offset"),
            ("16/8 t:i64@0* u:string@8", "field `u` cannot be \"string\""),
            ("8/8 t:text0@0", "field `t` cannot be \"text0\""),
            ("8/0 t:i64@0*", "an alignment of 0"),
            ("8/3 t:i64@0*", "an alignment of 3"),
            ("128/128 t:text128@0", "an alignment of 128"),
            ("12/8 t:i64@0* u:u32@8", "an alignment of 8 does not suit records of 12 bytes"),
            ("8/8 :i64@0*", "\"\" is not a name"),
            ("8/8 a*:i64@0", "\"a*\" is not a name"),
            ("16/8 t:i64@0* t:i64@8", "two fields are named `t`"),
            ("16/8 t:i64@0* u:i64@4", "field `u` at byte 4 overlaps the one before it, which ends at byte 8"),
            ("24/8 t:i64@0* u:i64@16", "field `u` is at byte 16 and not at 8: records have no gaps"),
            ("16/8 t:i64@0*", "the fields end at byte 8 of 16: records have no gaps"),
            ("8/8 t:i64@0* u:i64@8", "the fields end at byte 16 of 8"),
            ("8/4 t:i32@0* u:i32@4", "the event time `t` is i32"),
            ("16/8 t:i64@0* u:time@8*", "one field is the event time, not 2"),
            ("9/1 t:i64@0* u?:present@8", "field `u?` says whether the field behind it is there"),
            ("3/1 t?:present@0 u?:present@1 u:u8@2", "field `t?` says"),
            ("9/1 t?:present@0 t:i64@1*", "not the event time"),
            ("08/8 t:i64@0*", "the one way to write it is \"8/8 t:i64@0*\""),
            ("8/8 t:text08@0", "the one way"),
        ] {
            let error = Layout::parse(schema).unwrap_err().to_string();
            assert!(error.contains(reason), "{schema}: {error}");
        }
    }
}
