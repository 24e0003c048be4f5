//! Tuples as records: several aggregates in one pass, and keys of several parts.

use crate::base::record::Naming;
use crate::operator::aggregate::{Aggregate, lend, packed_layout, show};
use crate::{CanonicalKey, Dictionary, IntoKey, Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};

macro_rules! tuples {
    ($($name:ident $count:literal ($($part:ident $bound:ident $field:tt $column:literal),+);)+) => {$(
        #[doc = concat!("A tuple of ", $count, " as a record: of what aggregates give or keep (columns `value_1`, `value_2` \
            and so on), or of a key's parts (columns `key_1`, `key_2`). It is made of the tuple by `from` and equal to it.")]
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C, packed)]
        pub struct $name<$($part),+>($($part),+);

        impl<$($part: Copy),+> $name<$($part),+> {
            /// The parts.
            #[inline(always)]
            pub fn parts(self) -> ($($part,)+) {
                ($(self.$field,)+)
            }
        }

        impl<$($part),+> From<($($part,)+)> for $name<$($part),+> {
            #[inline(always)]
            fn from(parts: ($($part,)+)) -> Self {
                Self($(parts.$field),+)
            }
        }

        impl<$($part: Copy),+> From<$name<$($part),+>> for ($($part,)+) {
            #[inline(always)]
            fn from(tuple: $name<$($part),+>) -> Self {
                tuple.parts()
            }
        }

        impl<$($part: Copy + PartialEq),+> PartialEq for $name<$($part),+> {
            #[inline(always)]
            fn eq(&self, other: &Self) -> bool {
                true $(&& { self.$field } == { other.$field })+
            }
        }

        impl<$($part: Copy + Eq),+> Eq for $name<$($part),+> {}

        impl<$($part: Copy + PartialEq),+> PartialEq<($($part,)+)> for $name<$($part),+> {
            #[inline(always)]
            fn eq(&self, other: &($($part,)+)) -> bool {
                true $(&& { self.$field } == other.$field)+
            }
        }

        /// Keys are in the order of their first parts, and then of the others.
        impl<$($part: Key),+> Key for $name<$($part),+> {
            #[inline]
            fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
                $(Key::canonical(&{ self.$field }, symbols, out);)+
            }
        }

        impl<$($part: Key),+> IntoKey for ($($part,)+) {
            type Key = $name<$($part),+>;

            #[inline(always)]
            fn into_key(self) -> Self::Key {
                self.into()
            }
        }

        impl<$($part: Copy + std::fmt::Debug),+> std::fmt::Debug for $name<$($part),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.parts().fmt(f)
            }
        }

        impl<$($part: Record),+> Record for $name<$($part),+> {
            fn layout() -> Layout {
                packed_layout(stringify!($name), &[$(($column, $part::layout())),+]).with_naming(Naming::Tuple)
            }
        }

        impl<T: Record, $($part: Aggregate<In = T>),+> Aggregate for ($($part,)+) {
            type In = T;
            type Acc = $name<$($part::Acc),+>;
            type Value = $name<$($part::Value),+>;
            const EXACT: bool = true $(&& $part::EXACT)+;
            const MERGES: bool = true $(&& $part::MERGES)+;

            #[inline(always)]
            fn add(&self, acc: &mut Self::Acc, time: Timestamp, row: &T) {
                let rest = bytemuck::bytes_of_mut(acc);
                $(
                    let (part, rest) = rest.split_at_mut(size_of::<$part::Acc>());
                    lend(part, |acc| self.$field.add(acc, time, row));
                )+
                let _ = rest;
            }

            #[inline(always)]
            fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
                let (rest, others) = (bytemuck::bytes_of_mut(acc), bytemuck::bytes_of(later));
                $(
                    let (part, rest) = rest.split_at_mut(size_of::<$part::Acc>());
                    let (other, others) = others.split_at(size_of::<$part::Acc>());
                    lend(part, |acc| show(other, |later| self.$field.merge(acc, later)));
                )+
                let _ = (rest, others);
            }

            const INVERTIBLE: bool = true $(&& $part::INVERTIBLE)+;

            #[inline(always)]
            fn unmerge(&self, acc: &mut Self::Acc, merged: &Self::Acc) {
                let (rest, others) = (bytemuck::bytes_of_mut(acc), bytemuck::bytes_of(merged));
                $(
                    let (part, rest) = rest.split_at_mut(size_of::<$part::Acc>());
                    let (other, others) = others.split_at(size_of::<$part::Acc>());
                    lend(part, |acc| show(other, |merged| self.$field.unmerge(acc, merged)));
                )+
                let _ = (rest, others);
            }

            #[inline(always)]
            fn value(&self, acc: &Self::Acc) -> Self::Value {
                let rest = bytemuck::bytes_of(acc);
                $(
                    let (part, rest) = rest.split_at(size_of::<$part::Acc>());
                    let $bound = show(part, |acc| self.$field.value(acc));
                )+
                let _ = rest;
                $name($($bound),+)
            }

            fn mistake(&self) -> Option<&'static str> {
                None$(.or_else(|| self.$field.mistake()))+
            }
        }
    )+};
}

tuples! {
    Tuple2 "two" (A a 0 "value_1", B b 1 "value_2");
    Tuple3 "three" (A a 0 "value_1", B b 1 "value_2", C c 2 "value_3");
    Tuple4 "four" (A a 0 "value_1", B b 1 "value_2", C c 2 "value_3", D d 3 "value_4");
    Tuple5 "five" (A a 0 "value_1", B b 1 "value_2", C c 2 "value_3", D d 3 "value_4", E e 4 "value_5");
    Tuple6 "six" (A a 0 "value_1", B b 1 "value_2", C c 2 "value_3", D d 3 "value_4", E e 4 "value_5", F f 5 "value_6");
}
