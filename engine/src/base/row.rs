//! Rows whose layout is known at run time only.
//!
//! ```text
//!  Row<4>  ├──────────────────────── 32 bytes ────────────────────────┤
//!          │ record, as its layout says                      │ zeros  │   the event time comes first, or there is none
//!          │ event time │ record, as its layout says         │ zeros  │   the event time is inside: it is put before
//!                       └ start
//! ```
//! A row is in the smallest **class** that has room for it, so that code is compiled for a few sizes and serves all
//! layouts. Wherever there is an event time, it is the row's first eight bytes. What the bytes mean is in a
//! [`RowLayout`], which is with the stream and not with the row.

use crate::{Event, Field, FieldKind, Layout, LayoutError, Record, Symbol, Timestamp};
use bytemuck::{Pod, Zeroable};

/// The most bytes that a row of a layout known at run time has.
pub const ROW_BYTES_MAX: usize = 256;

/// A row of so many words of 8 bytes, whose layout is known at run time: see [`RowLayout::row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Row<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Row<WORDS> {
    /// All bytes of the row.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    /// All bytes of the row.
    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::bytes_of_mut(self)
    }
}

/// The layout of the class, which says nothing of what is in it.
impl<const WORDS: usize> Record for Row<WORDS> {
    fn layout() -> Layout {
        let bytes = 8 * WORDS;
        let kind = FieldKind::Text(bytes as u32);
        Layout::new("Row", bytes, 8, vec![Field { name: "row".into(), kind, offset: 0, decimals: None, time: false }])
    }
}

/// The time is in the first eight bytes; of a row without a time this is never asked.
impl<const WORDS: usize> Event for Row<WORDS> {
    #[inline(always)]
    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.0[0] as i64)
    }
}

/// How records of a layout lie in rows.
///
/// ```
/// use pelton::{Event, Layout, Timestamp};
/// use pelton::rows::{Row, RowLayout};
///
/// let rows = RowLayout::new(Layout::parse("12/4 sensor:u32@0 time:time@4*")?)?;
/// let record = [&7u32.to_le_bytes()[..], &5i64.to_le_bytes()].concat();
/// let row: Row<4> = rows.row(&record);
/// assert_eq!(row.time(), Timestamp::from_nanos(5));
/// assert_eq!(rows.record(&row).integer(0), Some(7));
/// # Ok::<(), pelton::LayoutError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLayout {
    layout: Layout,
    /// Where the record begins in the row: at 0, or at 8 behind its time.
    start: usize,
}

impl RowLayout {
    /// Rows of this layout.
    ///
    /// # Errors
    /// What is wrong with the layout, as [`Layout::check`] says, or [`LayoutError::TooWide`].
    pub fn new(layout: Layout) -> Result<Self, LayoutError> {
        layout.check()?;
        let rows = Self::unchecked(layout);
        if rows.bytes() > ROW_BYTES_MAX {
            return Err(LayoutError::TooWide { size: rows.layout.size(), most: ROW_BYTES_MAX - rows.start });
        }
        Ok(rows)
    }

    /// Rows of a layout that may be wrong: of a job that will not run.
    pub(crate) fn unchecked(layout: Layout) -> Self {
        let start = if layout.time_field().is_some_and(|field| field.offset > 0) { size_of::<i64>() } else { 0 };
        Self { layout, start }
    }

    /// The layout of the records.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where the record begins in a row, in bytes: at 0, or at 8 behind a copy of its event time.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Bytes of a row that are in use.
    pub fn bytes(&self) -> usize {
        self.start + self.layout.size()
    }

    /// Where a field lies in a row, in bytes.
    pub(crate) const fn offset(&self, field: &Field) -> usize {
        self.start + field.offset
    }

    /// Where the ids of symbols lie in a row.
    pub(crate) fn symbol_offsets(&self) -> Vec<usize> {
        let symbols = self.layout.fields().iter().filter(|field| field.kind == FieldKind::Symbol);
        symbols.map(|field| self.offset(field)).collect()
    }

    /// The row of a record.
    ///
    /// # Panics
    /// When the record is not as long as the layout says, or the row has no room for it.
    pub fn row<const WORDS: usize>(&self, record: &[u8]) -> Row<WORDS> {
        assert_eq!(record.len(), self.layout.size(), "the length of a record of {}", self.layout.schema());
        let mut row = Row::zeroed();
        let bytes = row.bytes_mut();
        bytes[self.start..self.bytes()].copy_from_slice(record);
        if let (8, Some(time)) = (self.start, self.layout.time_field()) {
            bytes[..8].copy_from_slice(&record[time.offset..time.offset + 8]);
        }
        row
    }

    /// The record in a row.
    #[inline]
    pub fn record<'a, const WORDS: usize>(&'a self, row: &'a Row<WORDS>) -> RowRef<'a> {
        RowRef { record: self.record_in(row.bytes()), layout: &self.layout }
    }

    /// The bytes of the record in those of a row.
    #[inline]
    pub(crate) fn record_in<'a>(&self, row: &'a [u8]) -> &'a [u8] {
        &row[self.start..self.bytes()]
    }
}

/// A record with its layout. Fields are found by their numbers: see [`Layout::position`]. What is missing, as a
/// [`Maybe`](crate::Maybe) may be, is `None`.
///
/// ```
/// use pelton::{Layout, Symbol};
/// use pelton::rows::RowRef;
///
/// let layout = Layout::parse("16/4 symbol:symbol@0 change:i32@4 rate:f32@8 unit:text4@12")?;
/// let record = [&3u32.to_le_bytes()[..], &(-2i32).to_le_bytes(), &0.5f32.to_le_bytes(), b"EUR\0"].concat();
/// let row = RowRef::new(&layout, &record).unwrap();
/// assert_eq!((row.symbol(0), row.integer(1)), (Some(Symbol::from_id(3)), Some(-2)));
/// assert_eq!((row.float(2), row.text(3)), (Some(0.5), Some(&b"EUR"[..])));
/// assert_eq!((row.integer(2), row.integer(4)), (None, None));
/// # Ok::<(), pelton::LayoutError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    record: &'a [u8],
    layout: &'a Layout,
}

impl<'a> RowRef<'a> {
    /// A record of this layout; `None` where it is too short or too long.
    pub fn new(layout: &'a Layout, record: &'a [u8]) -> Option<Self> {
        (record.len() == layout.size()).then_some(Self { record, layout })
    }

    /// The record's bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.record
    }

    /// The record's layout.
    pub const fn layout(&self) -> &'a Layout {
        self.layout
    }

    fn field(&self, column: usize) -> Option<(FieldKind, &'a [u8])> {
        let field = self.layout.fields().get(column)?;
        let before = column.checked_sub(1).and_then(|before| self.layout.fields().get(before));
        if let Some(flag) = before.filter(|before| before.kind == FieldKind::Present)
            && *self.record.get(flag.offset)? == 0
        {
            return None;
        }
        Some((field.kind, self.record.get(field.offset..field.offset + field.kind.size())?))
    }

    /// The value of an integer or time, but not of 128 bits without a sign.
    pub fn integer(&self, column: usize) -> Option<i128> {
        let (kind, bytes) = self.field(column)?;
        is_integer(kind).then(|| integer_at(bytes, 0, kind))
    }

    /// The value of a column of truth values, where any byte but 0 is true.
    ///
    /// ```
    /// use pelton::Layout;
    /// use pelton::rows::RowRef;
    ///
    /// let layout = Layout::parse("6/1 open:bool@0 size?:present@1 size:u32@2")?;
    /// let row = RowRef::new(&layout, &[1, 0, 0, 0, 0, 0]).unwrap();
    /// // The size is missing.
    /// assert_eq!((row.boolean(0), row.integer(2)), (Some(true), None));
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    pub fn boolean(&self, column: usize) -> Option<bool> {
        let (kind, bytes) = self.field(column)?;
        (kind == FieldKind::Bool).then(|| bytes != [0])
    }

    /// The value of a float.
    pub fn float(&self, column: usize) -> Option<f64> {
        let (kind, bytes) = self.field(column)?;
        is_float(kind).then(|| float_at(bytes, 0, kind))
    }

    /// The value of a symbol.
    pub fn symbol(&self, column: usize) -> Option<Symbol> {
        let (kind, bytes) = self.field(column)?;
        (kind == FieldKind::Symbol).then(|| Symbol::from_id(u32::from_le_bytes(at(bytes, 0))))
    }

    /// The bytes of a text up to the first zero.
    pub fn text(&self, column: usize) -> Option<&'a [u8]> {
        let (kind, bytes) = self.field(column)?;
        matches!(kind, FieldKind::Text(_)).then(|| text_of(bytes))
    }
}

/// Whether a kind is an integer or time that an `i128` holds.
pub(crate) const fn is_integer(kind: FieldKind) -> bool {
    use FieldKind::{I8, I16, I32, I64, I128, Timestamp, U8, U16, U32, U64};
    matches!(kind, I8 | U8 | I16 | U16 | I32 | U32 | I64 | U64 | I128 | Timestamp)
}

pub(crate) const fn is_float(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::F32 | FieldKind::F64)
}

/// So many bytes at an offset; a copy whose length the compiler knows.
#[inline(always)]
pub(crate) fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[offset..offset + N]);
    value
}

/// The integer or time at an offset; 0 for another kind.
#[inline(always)]
pub(crate) fn integer_at(bytes: &[u8], offset: usize, kind: FieldKind) -> i128 {
    match kind {
        FieldKind::I64 | FieldKind::Timestamp => i64::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::U64 => u64::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::I32 => i32::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::U32 => u32::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::I16 => i16::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::U16 => u16::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::I8 => i8::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::U8 => u8::from_le_bytes(at(bytes, offset)).into(),
        FieldKind::I128 => i128::from_le_bytes(at(bytes, offset)),
        _ => 0,
    }
}

/// The float at an offset; 0 for another kind.
#[inline(always)]
pub(crate) fn float_at(bytes: &[u8], offset: usize, kind: FieldKind) -> f64 {
    match kind {
        FieldKind::F64 => f64::from_le_bytes(at(bytes, offset)),
        FieldKind::F32 => f32::from_le_bytes(at(bytes, offset)).into(),
        _ => 0.0,
    }
}

/// A text without the zeros that fill it up.
pub(crate) fn text_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Records one behind the other, as a stream of rows gives them to a sink.
///
/// ```
/// use pelton::Layout;
/// use pelton::rows::{RowLayout, RowSlice};
///
/// let rows = RowLayout::new(Layout::parse("4/4 size:u32@0")?)?;
/// let two = [1u32, 2].map(|size| rows.row::<2>(&size.to_le_bytes()));
/// let sizes: Vec<_> = RowSlice::new(&rows, &two).iter().map(|row| row.integer(0)).collect();
/// assert_eq!(sizes, [Some(1), Some(2)]);
/// # Ok::<(), pelton::LayoutError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RowSlice<'a> {
    rows: &'a RowLayout,
    bytes: &'a [u8],
    /// Bytes of a row.
    stride: usize,
}

impl<'a> RowSlice<'a> {
    /// Rows of one class.
    pub fn new<const WORDS: usize>(rows: &'a RowLayout, slice: &'a [Row<WORDS>]) -> Self {
        Self { rows, bytes: bytemuck::cast_slice(slice), stride: size_of::<Row<WORDS>>() }
    }

    /// The number of rows.
    pub const fn len(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// Whether there is no row.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The layout of the rows.
    pub const fn layout(&self) -> &'a Layout {
        self.rows.layout()
    }

    /// Each row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowRef<'a>> + use<'a> {
        let rows = self.rows;
        let record = rows.start..rows.bytes();
        let records = self.bytes.chunks_exact(self.stride).map(move |row| &row[record.clone()]);
        records.map(move |record| RowRef { record, layout: &rows.layout })
    }
}
