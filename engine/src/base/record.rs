//! Fixed layouts: what an event, a state or a result row looks like as bytes.
//!
//! A [`Record`] is a `#[repr(C)]` struct of plain numbers, symbols and inline text, without padding
//! and without pointers; an [`Event`] is a record with one field as its event time. Both are proven
//! when they compile, by `#[derive(Record)]` and `#[derive(Event)]`.

use crate::{Symbol, Timestamp};
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
}

impl FieldKind {
    /// The field's size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
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
}

impl Layout {
    /// A layout from its parts. `size` and `align` are in bytes.
    pub fn new(name: impl Into<Cow<'static, str>>, size: usize, align: usize, fields: Vec<Field>) -> Self {
        Self { name: name.into(), size, align, fields }
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

/// A type that may be a field of a record.
pub trait FieldType: bytemuck::Pod + Send + Sync {
    /// How the field is written in a schema.
    const KIND: FieldKind;
}

/// A struct of fixed layout: every bit pattern is valid, there is no padding and no pointer.
///
/// Derive it; misuse does not compile. Padding:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Padded { small: u8, wide: u64 }
/// ```
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
/// And one that is right:
/// ```
/// #[derive(Clone, Copy, pelton::Record)]
/// #[repr(C)]
/// struct Count { key: u64, count: u64 }
/// ```
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
}

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
}
