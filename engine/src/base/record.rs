//! Fixed layouts: what an event, a state or a result row looks like as bytes.
//!
//! A [`Record`] is a `#[repr(C)]` struct of plain numbers, symbols, inline text and other records, without
//! padding and without pointers; an [`Event`] is a record with one field as its event time. Both are proven
//! when they compile, by `#[derive(Record)]` and `#[derive(Event)]`.

use crate::{Bool, Symbol, Timestamp};
use std::borrow::Cow;
use std::fmt;

/// The type of one field, as written in a capture's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Signed integer of 8 bits.
    I8,
    /// Unsigned integer of 8 bits.
    U8,
    /// Signed integer of 16 bits.
    I16,
    /// Unsigned integer of 16 bits.
    U16,
    /// Signed integer of 32 bits.
    I32,
    /// Unsigned integer of 32 bits.
    U32,
    /// Signed integer of 64 bits.
    I64,
    /// Unsigned integer of 64 bits.
    U64,
    /// Signed integer of 128 bits.
    I128,
    /// Unsigned integer of 128 bits.
    U128,
    /// IEEE 754 number of 32 bits.
    F32,
    /// IEEE 754 number of 64 bits.
    F64,
    /// Nanoseconds since the epoch, 64 bits.
    Timestamp,
    /// An id in the dictionary of the capture or job, 32 bits.
    Symbol,
    /// Inline text of so many bytes, filled up with zeros.
    Text(u32),
    /// True or false in one byte, which is not zero or zero.
    Bool,
    /// Whether the field behind it is there, in one byte, which is not zero or zero: of a [`Maybe`](crate::Maybe).
    Present,
}

impl FieldKind {
    /// The field's size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool | Self::Present => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 | Self::Symbol => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::Timestamp => 8,
            Self::I128 | Self::U128 => 16,
            Self::Text(bytes) => bytes as usize,
        }
    }

    /// The kind that [`Display`](fmt::Display) wrote, or `None`.
    ///
    /// ```
    /// use pelton::FieldKind;
    /// assert_eq!(FieldKind::parse("text16"), Some(FieldKind::Text(16)));
    /// assert_eq!(FieldKind::parse("string"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "i8" => Self::I8,
            "u8" => Self::U8,
            "i16" => Self::I16,
            "u16" => Self::U16,
            "i32" => Self::I32,
            "u32" => Self::U32,
            "i64" => Self::I64,
            "u64" => Self::U64,
            "i128" => Self::I128,
            "u128" => Self::U128,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "time" => Self::Timestamp,
            "symbol" => Self::Symbol,
            "bool" => Self::Bool,
            "present" => Self::Present,
            _ => {
                let bytes: u32 = text.strip_prefix("text")?.parse().ok()?;
                (1..=4096).contains(&bytes).then_some(Self::Text(bytes))?
            }
        })
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::I128 => "i128",
            Self::U128 => "u128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Timestamp => "time",
            Self::Symbol => "symbol",
            Self::Bool => "bool",
            Self::Present => "present",
            Self::Text(bytes) => return write!(f, "text{bytes}"),
        })
    }
}

/// One field of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name; a column's title in text output.
    pub name: Cow<'static, str>,
    /// The field's type.
    pub kind: FieldKind,
    /// Bytes from the record's start.
    pub offset: usize,
    /// Digits after the point in text output of a float, or `None` for the shortest exact form.
    pub decimals: Option<u8>,
    /// Whether the field is the event time.
    pub time: bool,
}

/// The layout of a record, as known at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    name: Cow<'static, str>,
    size: usize,
    align: usize,
    fields: Vec<Field>,
    naming: Naming,
    /// By the offset of the field.
    variants: Vec<(usize, Variants)>,
}

/// The names of an enum's variants, each with its integer.
pub(crate) type Variants = &'static [(&'static str, i128)];

/// Whose the names of a layout's fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The record's own.
    Own,
    /// Nobody's: `value`, or `value_0` and so on. The name of the part takes the place of `value` in another layout.
    Part,
    /// Nobody's: `value_1` and so on, of a tuple. The name of a key takes the place of `value`.
    Tuple,
}

impl Layout {
    /// A layout from its parts. `size` and `align` are in bytes.
    pub fn new(name: impl Into<Cow<'static, str>>, size: usize, align: usize, fields: Vec<Field>) -> Self {
        Self { name: name.into(), size, align, fields, naming: Naming::Own, variants: Vec::new() }
    }

    /// The layout with names that are not its own.
    pub(crate) const fn with_naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// The layout of a single field that is an enum with these variants.
    pub(crate) fn with_variants(mut self, variants: Variants) -> Self {
        self.variants = vec![(0, variants)];
        self
    }

    /// The layout, of whose fields those from `offset` on are those of `part`.
    pub(crate) fn with_variants_of(mut self, offset: usize, part: &Self) -> Self {
        self.variants.extend(part.variants.iter().map(|(at, variants)| (offset + at, *variants)));
        self
    }

    pub(crate) const fn naming(&self) -> Naming {
        self.naming
    }

    /// The layout of a record from its parts: name, offset, decimals, whether it is the event time, and layout. A part
    /// that is a record gives fields named `part.field`, an array `part_0` and so on, and any other one its own name.
    #[doc(hidden)]
    pub fn of_parts(name: &'static str, size: usize, align: usize, parts: Vec<Part>) -> Self {
        let none = Self::new(name, size, align, Vec::new());
        let with_variants = parts.iter().fold(none, |all, part| all.with_variants_of(part.1, &part.4));
        let fields = parts.into_iter().flat_map(|(part, offset, decimals, time, layout)| {
            let naming = layout.naming;
            layout.fields.into_iter().map(move |field| Field {
                name: match naming {
                    Naming::Own => format!("{part}.{}", field.name).into(),
                    Naming::Part | Naming::Tuple => name_of_part(&field.name, part).into(),
                },
                offset: offset + field.offset,
                decimals: decimals.or(field.decimals),
                time,
                ..field
            })
        });
        Self { fields: fields.collect(), ..with_variants }
    }

    /// The record's name. It is not part of the fingerprint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of one record.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Alignment of one record in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    /// The fields, in the order of their offsets.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field in front of this one that says whether it is there, where there is one.
    ///
    /// ```
    /// use pelton::Layout;
    ///
    /// let layout = Layout::parse("17/1 time:time@0* price?:present@8 price:i64@9")?;
    /// let [time, flag, price] = layout.fields() else { unreachable!("there are three") };
    /// assert_eq!((layout.presence(price), layout.presence(time)), (Some(flag), None));
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    pub fn presence(&self, field: &Field) -> Option<&Field> {
        let at = self.fields.partition_point(|other| other.offset < field.offset);
        self.fields.get(at.checked_sub(1)?).filter(|flag| flag.kind == FieldKind::Present)
    }

    /// The names of the variants of an enum that the field holds ([`Enum::NAMES`](crate::Enum::NAMES)), each with its
    /// integer. They are not part of the schema or the fingerprint, so only layouts of records know them.
    ///
    /// ```
    /// use pelton::{Code, Layout, Record};
    ///
    /// #[derive(Clone, Copy, pelton::Enum)]
    /// #[repr(u8)]
    /// enum Side { Buy = 1, Sell = 2 }
    ///
    /// #[derive(Clone, Copy, Record)]
    /// #[repr(C, packed)]
    /// struct Order { price: i64, side: Code<Side> }
    ///
    /// let layout = Order::layout();
    /// assert_eq!(layout.variants(&layout.fields()[1]), [("Buy", 1), ("Sell", 2)]);
    /// let parsed = Layout::parse(&layout.schema())?;
    /// assert!(parsed.variants(&parsed.fields()[1]).is_empty());
    /// # Ok::<(), pelton::LayoutError>(())
    /// ```
    pub fn variants(&self, field: &Field) -> &'static [(&'static str, i128)] {
        self.variants.iter().find(|(offset, _)| *offset == field.offset).map_or(&[], |(_, variants)| variants)
    }

    /// The event time's field, where there is one.
    pub fn time_field(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.time)
    }

    /// A hash over names, types, offsets, size and alignment: equal where bytes mean the same.
    ///
    /// FNV-1a with 64 bits over the text of [`Layout::schema`].
    pub fn fingerprint(&self) -> u64 {
        self.schema()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The layout as text: `size/align` and then `name:type@offset`, the event time marked with `*`.
    ///
    /// ```
    /// use pelton::{Event, Record};
    ///
    /// #[derive(Clone, Copy, Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: f32 }
    ///
    /// assert_eq!(Reading::layout().schema(), "16/8 time_ns:i64@0* sensor:u32@8 value:f32@12");
    /// ```
    pub fn schema(&self) -> String {
        use std::fmt::Write;
        let mut text = format!("{}/{}", self.size, self.align);
        for field in &self.fields {
            let time = if field.time { "*" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, " {}:{}@{}{time}", field.name, field.kind, field.offset);
        }
        text
    }
}

/// A part of a record: see [`Layout::of_parts`].
type Part = (&'static str, usize, Option<u8>, bool, Layout);

/// The name of a field that has none of its own, in a layout where it is of this part.
pub(crate) fn name_of_part(field: &str, part: &str) -> String {
    match field.strip_prefix(SCALAR_FIELD) {
        Some("") => part.to_owned(),
        Some(rest) => format!("{part}{rest}"),
        None => field.to_owned(),
    }
}

/// A type that is one field: a number, a time, a symbol, inline text. Other records are fields too, of several columns.
///
/// ```
/// use pelton::{FieldKind, FieldType};
///
/// assert_eq!((<[u8; 8]>::KIND, pelton::Bool::KIND), (FieldKind::Text(8), FieldKind::Bool));
/// ```
pub trait FieldType: Record {
    /// How the field is written in a schema.
    const KIND: FieldKind;
}

/// A struct of fixed layout: every bit pattern is valid, there is no padding and no pointer.
///
/// Derive it for a struct whose fields are records:
///
/// | type                                        | in a schema and in text output                             |
/// |---------------------------------------------|------------------------------------------------------------|
/// | integers, floats, [`Timestamp`], [`Symbol`] | one column                                                 |
/// | `[u8; N]`                                   | one column of text, filled up with zeros                   |
/// | [`Bool`](crate::Bool)                       | one column, `true` or `false`                              |
/// | [`Code`](crate::Code) of an [`Enum`](trait@crate::Enum) | one column, the integer in a schema and the variant's name in text |
/// | [`Maybe`](crate::Maybe) of one of these     | one column in text, which is empty or `null` where there is nothing |
/// | `[i32; 4]` and so on                        | columns `name_0` to `name_3`                               |
/// | another derived record                      | columns `name.field`                                       |
/// | a newtype with `#[repr(transparent)]`       | as what is in it                                           |
///
/// Records are read from files that may be damaged, and used in place. So there is no `bool`, no enum and no `Option` in
/// one, of which some bit patterns are none; the types above take any.
///
/// ```
/// use pelton::{Bool, Code, Maybe, Record};
///
/// #[derive(Clone, Copy, PartialEq, Eq, Debug, pelton::Enum)]
/// #[repr(u8)]
/// enum Side { Buy = 1, Sell = 2 }
///
/// #[derive(Clone, Copy, Record)]
/// #[repr(C)]
/// struct Level { price: i64, size: u32, orders: u32 }
///
/// #[derive(Clone, Copy, Record)]
/// #[repr(C, packed)]
/// struct Quote { best: Level, ages: [i32; 2], limit: Maybe<i64>, side: Code<Side>, is_firm: Bool }
///
/// let best = Level { price: 5, size: 2, orders: 1 };
/// let quote = Quote { best, ages: [7, 9], limit: Some(6).into(), side: Side::Buy.into(), is_firm: true.into() };
/// assert_eq!((quote.limit.get(), quote.side.get(), quote.is_firm.get()), (Some(6), Some(Side::Buy), true));
/// assert_eq!(
///     Quote::layout().schema(),
///     "35/1 best.price:i64@0 best.size:u32@8 best.orders:u32@12 ages_0:i32@16 ages_1:i32@20 \
///      limit?:present@24 limit:i64@25 side:u8@33 is_firm:bool@34"
/// );
/// ```
///
/// # Padding
///
/// A record is all of its bytes, and a derive cannot add fields. Where the compiler would put padding, the error says
/// behind which field, how many bytes there are, and which order of the fields has none. What holds for any order is
/// `#[repr(C, packed)]`: fields are then read as always, and only references to them are refused, such as those that
/// `assert_eq!` and `println!` take. `{ row.price }` is a copy, of which they may. A packed record may have type parameters.
/// ```compile_fail,E0080
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Padded { small: u8, wide: u64 }
/// ```
/// The same without padding, in two ways:
/// ```
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Filled { wide: u64, small: u8, padding: [u8; 7] }
///
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C, packed)]
/// struct Packed { small: u8, wide: u64 }
/// ```
///
/// # What does not compile
///
/// A pointer:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Pointer { text: &'static str }
/// ```
/// A layout that the compiler may change:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// struct Free { value: u64 }
/// ```
/// Types of which some bytes are no value:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Flag { is_on: bool }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Limit { price: Option<u64> }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(u8)]
/// enum Side { Buy = 1, Sell = 2 }
/// ```
/// Types that hide behind another name:
/// ```compile_fail,E0277
/// type Flag = bool;
///
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Hidden { is_on: Flag }
/// ```
/// Type parameters where there could be padding:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Pair<T> { first: T, second: T }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no record: it has no fixed layout in which all bytes are values",
    label = "not a record",
    note = "a struct becomes one by `#[derive(Clone, Copy, pelton::Record)]` and `#[repr(C)]`",
    note = "fields are numbers, `[u8; N]`, arrays of numbers, records, `pelton::Symbol`, `pelton::Timestamp`, \
            `pelton::Bool` in place of `bool`, `pelton::Maybe<T>` in place of `Option<T>`, and `pelton::Code<E>` of an enum \
            with `#[derive(pelton::Enum)]`"
)]
pub trait Record: bytemuck::Pod + Send + Sync {
    /// The record's layout.
    fn layout() -> Layout;
}

/// A record with an event time.
///
/// ```
/// use pelton::{Event, Timestamp};
///
/// #[derive(Clone, Copy, Event)]
/// #[repr(C)]
/// struct Reading { #[event(time)] time_ns: i64, sensor: u64 }
///
/// let reading = Reading { time_ns: 7, sensor: 1 };
/// assert_eq!(reading.time(), Timestamp::from_nanos(7));
/// ```
/// Without a time field it does not compile:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Timeless { sensor: u64 }
/// ```
/// Nor with two:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Twice { #[event(time)] a: i64, #[event(time)] b: i64 }
/// ```
/// Nor with what is said of a field said of the struct:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Event)]
/// #[event(time)]
/// #[repr(C)]
/// struct Misplaced { #[event(time)] time_ns: i64 }
/// ```
/// Nor with a time that is none:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Float { #[event(time)] time: f64 }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event: it has no event time",
    label = "not an event",
    note = "write `#[derive(Clone, Copy, pelton::Event)]` and `#[repr(C)]` above the struct, and `#[event(time)]` above its \
            field with the event time, an `i64` of nanoseconds since the epoch or a `pelton::Timestamp`"
)]
pub trait Event: Record {
    /// When the event happened.
    fn time(&self) -> Timestamp;
}

macro_rules! field_types {
    ($($type:ty => $kind:expr,)*) => {$(
        impl FieldType for $type {
            const KIND: FieldKind = $kind;
        }
        impl Record for $type {
            fn layout() -> Layout {
                scalar_layout(<$type as FieldType>::KIND, size_of::<$type>(), align_of::<$type>())
            }
        }
    )*};
}

/// Columns `value_0`, `value_1` and so on. Bytes are text instead.
macro_rules! array_records {
    ($($type:ty,)*) => {$(
        impl<const N: usize> Record for [$type; N] {
            fn layout() -> Layout {
                let field = |at| Field {
                    name: format!("{SCALAR_FIELD}_{at}").into(),
                    kind: <$type as FieldType>::KIND,
                    offset: at * size_of::<$type>(),
                    decimals: None,
                    time: false,
                };
                let name = format!("[{}; {N}]", <$type as FieldType>::KIND);
                Layout::new(name, size_of::<Self>(), align_of::<Self>(), (0..N).map(field).collect())
                    .with_naming(Naming::Part)
            }
        }
    )*};
}

field_types! {
    i8 => FieldKind::I8,
    u8 => FieldKind::U8,
    i16 => FieldKind::I16,
    u16 => FieldKind::U16,
    i32 => FieldKind::I32,
    u32 => FieldKind::U32,
    i64 => FieldKind::I64,
    u64 => FieldKind::U64,
    i128 => FieldKind::I128,
    u128 => FieldKind::U128,
    f32 => FieldKind::F32,
    f64 => FieldKind::F64,
    Timestamp => FieldKind::Timestamp,
    Symbol => FieldKind::Symbol,
    Bool => FieldKind::Bool,
}

array_records! { i8, i16, u16, i32, u32, i64, u64, i128, u128, f32, f64, Timestamp, Symbol, Bool, }

impl<const N: usize> FieldType for [u8; N] {
    const KIND: FieldKind = FieldKind::Text(N as u32);
}

impl<const N: usize> Record for [u8; N] {
    fn layout() -> Layout {
        scalar_layout(Self::KIND, N, 1)
    }
}

/// Nothing: what tables have whose entries are there for what hangs on them.
impl Record for () {
    fn layout() -> Layout {
        Layout::new("()", 0, 1, Vec::new())
    }
}

/// The name of the only field of a record that is a single number, symbol or text.
pub(crate) const SCALAR_FIELD: &str = "value";

fn scalar_layout(kind: FieldKind, size: usize, align: usize) -> Layout {
    let name = Cow::Borrowed(SCALAR_FIELD);
    Layout::new(kind.to_string(), size, align, vec![Field { name, kind, offset: 0, decimals: None, time: false }])
        .with_naming(Naming::Part)
}
