//! Fields that take any bytes where Rust's own types do not: a truth value, the code of an enum, a value that may be
//! missing.
//!
//! Records are read in place from files that may be damaged. A `bool` of 2 or an enum without a variant for its byte would
//! be undefined behaviour, so each of these keeps the byte and says what it means when it is asked.

use crate::base::record::{Naming, SCALAR_FIELD};
use crate::{CanonicalKey, Dictionary, Field, FieldKind, FieldType, Key, Layout, Record};
use bytemuck::{Pod, Zeroable};
use std::fmt;

/// True or false, as a field of a record: a byte, which is 1 or 0. Any byte but 0 is true.
///
/// Two are equal where their bytes are, as keys have to be. Bytes beside 0 and 1 come from damaged files only.
///
/// ```
/// use pelton::Bool;
///
/// let is_open = Bool::from(true);
/// assert!(is_open.get() && !is_open != true);
/// assert_eq!(is_open.to_string(), "true");
///
/// let damaged: Bool = bytemuck::cast(7u8);
/// assert!(damaged.get() && damaged != is_open);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// A field that is so.
    pub const fn new(value: bool) -> Self {
        Self(value as u8)
    }

    /// Whether it is true.
    #[inline(always)]
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    #[inline(always)]
    fn from(value: bool) -> Self {
        Self::new(value)
    }
}

impl From<Bool> for bool {
    #[inline(always)]
    fn from(value: Bool) -> Self {
        value.get()
    }
}

impl std::ops::Not for Bool {
    type Output = bool;

    #[inline(always)]
    fn not(self) -> bool {
        !self.get()
    }
}

impl fmt::Debug for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

impl fmt::Display for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

/// False comes before true.
impl Key for Bool {
    const ORDERED_BY_NUMBER: bool = true;

    #[inline]
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
        self.0.canonical(symbols, out);
    }

    #[inline(always)]
    fn number(&self) -> Option<u64> {
        self.0.number()
    }

    #[inline(always)]
    fn from_number(number: u64) -> Self {
        Self(u8::from_number(number))
    }
}

/// An enum without fields that records hold as its integer, by [`Code`]. Derive it.
///
/// ```
/// use pelton::Enum;
///
/// #[derive(Clone, Copy, PartialEq, Eq, Debug, Enum)]
/// #[repr(i16)]
/// enum Venue { Unknown = -1, Home, Away = 7 }
///
/// assert_eq!([Venue::Unknown, Venue::Home, Venue::Away].map(Enum::code), [-1, 0, 7]);
/// assert_eq!((Venue::from_code(7), Venue::from_code(1)), (Some(Venue::Away), None));
/// assert_eq!(Venue::NAMES, [("Unknown", -1), ("Home", 0), ("Away", 7)]);
/// ```
/// The integer has to be fixed, and variants have no fields:
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Enum)]
/// enum Side { Buy, Sell }
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, pelton::Enum)]
/// #[repr(u8)]
/// enum Order { Limit(i64), Market }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enum that a record can hold as its integer",
    note = "write `#[derive(Clone, Copy, pelton::Enum)]` and `#[repr(u8)]`, or another integer, above the enum"
)]
pub trait Enum: Copy + Send + Sync + 'static {
    /// The integer of its `repr`.
    type Repr: FieldType + Key;

    /// The names of the variants, by which text sinks write them, each with its integer; one of `u128` that an `i128`
    /// cannot be wraps. Where there is no name, the integer is written.
    const NAMES: &'static [(&'static str, i128)] = &[];

    /// The integer of this variant.
    fn code(self) -> Self::Repr;

    /// The variant with this integer, where there is one.
    fn from_code(code: Self::Repr) -> Option<Self>;
}

/// A variant of an enum, as a field of a record: its integer, which may be that of no variant where it comes from
/// a file, or where nothing was set and it is 0. Text sinks write the variant's name, or the integer where there is no
/// variant. In a schema, and so in a capture that is read without the enum, it is the integer.
///
/// ```
/// use pelton::Code;
///
/// #[derive(Clone, Copy, PartialEq, Eq, Debug, pelton::Enum)]
/// #[repr(u8)]
/// enum Side { Buy = 1, Sell = 2 }
///
/// let side = Code::from(Side::Sell);
/// assert_eq!(side.get(), Some(Side::Sell));
/// assert!(side == Side::Sell && side != Side::Buy);
///
/// let damaged: Code<Side> = bytemuck::cast(9u8);
/// assert_eq!((damaged.get(), damaged.code()), (None, 9));
/// ```
#[derive(Clone, Copy, pelton_derive::Record)]
#[repr(transparent)]
pub struct Code<E: Enum>(#[event(variants = E)] E::Repr);

impl<E: Enum> Code<E> {
    /// The variant; `None` where there is none with this integer.
    #[inline(always)]
    pub fn get(self) -> Option<E> {
        E::from_code(self.0)
    }

    /// The integer.
    #[inline(always)]
    pub const fn code(self) -> E::Repr {
        self.0
    }
}

impl<E: Enum> From<E> for Code<E> {
    #[inline(always)]
    fn from(variant: E) -> Self {
        Self(variant.code())
    }
}

impl<E: Enum> PartialEq for Code<E> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<E: Enum> Eq for Code<E> {}

impl<E: Enum> PartialEq<E> for Code<E> {
    #[inline(always)]
    fn eq(&self, other: &E) -> bool {
        self.0 == other.code()
    }
}

impl<E: Enum + fmt::Debug> fmt::Debug for Code<E>
where
    E::Repr: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(variant) => variant.fmt(f),
            None => write!(f, "#{:?}", self.0),
        }
    }
}

impl<E: Enum> FieldType for Code<E> {
    const KIND: FieldKind = <E::Repr as FieldType>::KIND;
}

/// Keys are in the order of their integers.
impl<E: Enum> Key for Code<E> {
    const ORDERED_BY_NUMBER: bool = <E::Repr as Key>::ORDERED_BY_NUMBER;

    #[inline]
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
        self.0.canonical(symbols, out);
    }

    #[inline(always)]
    fn number(&self) -> Option<u64> {
        self.0.number()
    }

    #[inline(always)]
    fn from_number(number: u64) -> Self {
        Self(<E::Repr as Key>::from_number(number))
    }
}

/// A value that may be missing, as a field of a record: a byte that says whether it is there, and the value, which
/// is zeros where it is not. There is no padding, and it lies at any byte.
///
/// Text sinks write one column, which is empty in CSV and `null` in JSON where the value is missing.
///
/// ```
/// use pelton::Maybe;
///
/// let limit = Maybe::from(Some(7.5));
/// assert_eq!(limit.get(), Some(7.5));
/// assert_eq!(Maybe::<f64>::default().get(), None);
/// assert_eq!(Option::from(limit), Some(7.5));
/// ```
/// It holds what is one field:
/// ```compile_fail,E0277
/// let nested: pelton::Maybe<[f64; 4]> = Some([0.0; 4]).into();
/// ```
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Maybe<T> {
    /// Any byte but 0 says that the value is there.
    present: Bool,
    value: T,
}

impl<T: FieldType> Maybe<T> {
    /// The value, where it is there.
    #[inline(always)]
    pub fn get(self) -> Option<T> {
        self.present.get().then_some(self.value)
    }
}

/// Nothing.
impl<T: FieldType> Default for Maybe<T> {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl<T: FieldType> From<Option<T>> for Maybe<T> {
    #[inline(always)]
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Self::zeroed, |value| Self { present: Bool::new(true), value })
    }
}

impl<T: FieldType> From<Maybe<T>> for Option<T> {
    #[inline(always)]
    fn from(value: Maybe<T>) -> Self {
        value.get()
    }
}

impl<T: FieldType + PartialEq> PartialEq for Maybe<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.present == other.present && { self.value } == { other.value }
    }
}

impl<T: FieldType + Eq> Eq for Maybe<T> {}

impl<T: FieldType + fmt::Debug> fmt::Debug for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Columns `name?` and `name`.
impl<T: FieldType> Record for Maybe<T> {
    fn layout() -> Layout {
        let field = |name: String, kind, offset| Field { name: name.into(), kind, offset, decimals: None, time: false };
        let fields = vec![
            field(format!("{SCALAR_FIELD}?"), FieldKind::Present, 0),
            field(SCALAR_FIELD.to_owned(), T::KIND, size_of::<Bool>()),
        ];
        let layout = Layout::new(format!("{}?", T::KIND), size_of::<Self>(), 1, fields).with_naming(Naming::Part);
        layout.with_variants_of(size_of::<Bool>(), &T::layout())
    }
}

/// Nothing comes before all values.
impl<T: FieldType + Key> Key for Maybe<T> {
    #[inline]
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
        Key::canonical(&{ self.present }, symbols, out);
        Key::canonical(&{ self.value }, symbols, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbol;

    #[derive(Clone, Copy, PartialEq, Eq, Debug, pelton::Enum)]
    #[repr(i8)]
    enum Side {
        Buy = 1,
        Sell = -1,
        Neither,
    }

    #[test]
    fn any_byte_is_a_truth_value_and_a_code() {
        for byte in 0..=u8::MAX {
            let (truth, side): (Bool, Code<Side>) = (bytemuck::cast(byte), bytemuck::cast(byte));
            assert_eq!((truth.get(), !truth), (byte != 0, byte == 0));
            let expected = match byte {
                1 => Some(Side::Buy),
                0xff => Some(Side::Sell),
                0 => Some(Side::Neither),
                _ => None,
            };
            assert_eq!((side.get(), side.code()), (expected, byte as i8));
            assert_eq!(side == Side::Sell, byte == 0xff);
            assert_eq!(Bool::from_number(truth.number().unwrap()), truth);
            assert_eq!(Code::from_number(side.number().unwrap()), side);
            assert_eq!(format!("{side:?}"), expected.map_or(format!("#{}", byte as i8), |side| format!("{side:?}")));
        }
        let variants = [Side::Buy, Side::Sell, Side::Neither];
        assert_eq!(variants.map(|side| Code::from(side).get()), variants.map(Some));
    }

    #[test]
    fn any_bytes_are_a_value_that_may_be_missing() {
        for byte in 0..=u8::MAX {
            let maybe: Maybe<u16> = bytemuck::cast([byte, 5, 1]);
            assert_eq!(maybe.get(), (byte != 0).then_some(261));
            assert_eq!(maybe == Some(261).into(), byte == 1);
        }
        assert_eq!(bytemuck::bytes_of(&Maybe::from(None::<u16>)), [0; 3]);
        assert_eq!(Option::from(Maybe::from(Some(Symbol::from_id(7)))), Some(Symbol::from_id(7)));
        assert_ne!(Maybe::from(Some(0u16)), Maybe::default());
    }

    /// Keys that differ have canonical texts that differ, and in the order that is said.
    #[test]
    fn keys_are_in_order() {
        fn check<K: Key + fmt::Debug>(keys: &[K]) {
            let symbols = Dictionary::default();
            let keys: Vec<_> = keys.iter().map(|key| CanonicalKey::of(key, &symbols)).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        }
        check(&[Bool::from(false), Bool::from(true)]);
        check(&[Side::Sell, Side::Neither, Side::Buy].map(Code::from));
        check(&[None, Some(i32::MIN), Some(-1), Some(0), Some(7)].map(Maybe::from));
        check(&[[-1, 7], [0, -7], [0, 0], [0, 1], [1, i64::MIN]]);
        check(&[[Bool::from(false), Bool::from(true)], [Bool::from(true), Bool::from(false)]]);
        check(&[(1, -1), (1, 0), (2, i16::MIN)].map(crate::Tuple2::<u32, i16>::from));
        check(&[*b"ab\0\0", *b"abc\0", *b"b\0\0\0"]);
    }

    #[test]
    fn layouts_know_the_names_of_variants_wherever_the_field_is() {
        use crate::{Tuple2, Windowed};
        #[derive(Clone, Copy, pelton::Enum)]
        #[repr(u128)]
        enum Wide {
            Last = u128::MAX,
        }
        #[derive(Clone, Copy, Record)]
        #[repr(C, packed)]
        struct Order {
            limit: Maybe<Code<Side>>,
            size: u32,
            nested: Tuple2<u8, Code<Wide>>,
        }
        let layout = Windowed::<Code<Side>, Order>::layout();
        let named: Vec<_> = layout
            .fields()
            .iter()
            .filter(|field| !layout.variants(field).is_empty())
            .map(|field| (&*field.name, layout.variants(field)))
            .collect();
        let sides: &[_] = &[("Buy", 1), ("Sell", -1), ("Neither", 0)];
        assert_eq!(named, [("key", sides), ("limit", sides), ("nested_2", &[("Last", -1)])]);
    }

    #[test]
    fn layouts_that_there_were_are_the_same_and_new_ones_are_layouts() {
        use crate::{Timestamp, Tuple2, Tuple3, Windowed};
        for (layout, schema) in [
            (u64::layout(), "8/8 value:u64@0"),
            (<[u8; 7]>::layout(), "7/1 value:text7@0"),
            (
                Windowed::<Symbol, Tuple2<u64, f64>>::layout(),
                "36/1 window_start:time@0 window_end:time@8 key:symbol@16 value_1:u64@20 value_2:f64@28",
            ),
            (Tuple2::<Timestamp, Tuple2<u8, u8>>::layout(), "10/1 value_1:time@0 value_2_value_1:u8@8 value_2:u8@9"),
            (Bool::layout(), "1/1 value:bool@0"),
            (Code::<Side>::layout(), "1/1 value:i8@0"),
            (Maybe::<f64>::layout(), "9/1 value?:present@0 value:f64@1"),
            (<[f32; 2]>::layout(), "8/4 value_0:f32@0 value_1:f32@4"),
            (
                Windowed::<Tuple3<Code<Side>, Bool, u16>, [i16; 2]>::layout(),
                "24/1 window_start:time@0 window_end:time@8 key_1:i8@16 key_2:bool@17 key_3:u16@18 value_0:i16@20 value_1:i16@22",
            ),
            (
                Windowed::<[u32; 2], Maybe<u8>>::layout(),
                "26/1 window_start:time@0 window_end:time@8 key_0:u32@16 key_1:u32@20 value?:present@24 value:u8@25",
            ),
        ] {
            assert_eq!(layout.schema(), schema);
            assert_eq!(Layout::parse(schema).unwrap().fields(), layout.fields());
        }
    }
}
