//! Several aggregates in one pass: a tuple of aggregates is one.

use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};

macro_rules! tuples {
    ($($name:ident $count:literal ($($part:ident $field:tt $column:literal),+);)+) => {$(
        #[doc = concat!("What ", $count, " aggregates give or keep, side by side: columns `value_1`, `value_2` and so on.")]
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C, packed)]
        pub struct $name<$($part),+>($($part),+);

        impl<$($part: Copy),+> $name<$($part),+> {
            /// The parts.
            pub fn parts(self) -> ($($part,)+) {
                ($(self.$field,)+)
            }
        }

        impl<$($part: Copy + std::fmt::Debug),+> std::fmt::Debug for $name<$($part),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.parts().fmt(f)
            }
        }

        impl<$($part: Record),+> Record for $name<$($part),+> {
            fn layout() -> Layout {
                packed_layout(stringify!($name), &[$(($column, $part::layout())),+])
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
                $(
                    let mut part = acc.$field;
                    self.$field.add(&mut part, time, row);
                    acc.$field = part;
                )+
            }

            #[inline(always)]
            fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
                $(
                    let mut part = acc.$field;
                    self.$field.merge(&mut part, &{ later.$field });
                    acc.$field = part;
                )+
            }

            const INVERTIBLE: bool = true $(&& $part::INVERTIBLE)+;

            #[inline(always)]
            fn unmerge(&self, acc: &mut Self::Acc, merged: &Self::Acc) {
                $(
                    let mut part = acc.$field;
                    self.$field.unmerge(&mut part, &{ merged.$field });
                    acc.$field = part;
                )+
            }

            #[inline(always)]
            fn value(&self, acc: &Self::Acc) -> Self::Value {
                $name($(self.$field.value(&{ acc.$field })),+)
            }
        }
    )+};
}

tuples! {
    Tuple2 "two" (A 0 "value_1", B 1 "value_2");
    Tuple3 "three" (A 0 "value_1", B 1 "value_2", C 2 "value_3");
    Tuple4 "four" (A 0 "value_1", B 1 "value_2", C 2 "value_3", D 3 "value_4");
    Tuple5 "five" (A 0 "value_1", B 1 "value_2", C 2 "value_3", D 3 "value_4", E 4 "value_5");
    Tuple6 "six" (A 0 "value_1", B 1 "value_2", C 2 "value_3", D 3 "value_4", E 4 "value_5", F 5 "value_6");
}
