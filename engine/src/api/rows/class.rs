//! Streams of rows of any class: the one place where the size of rows chooses the code that runs over them.

use crate::Source;
use crate::api::stream::Stream;
use crate::base::row::Row;
use crate::operator::rows::filter::RowChain;

/// A stream of rows of one class.
pub(crate) type ClassStream<const WORDS: usize> = Stream<Row<WORDS>, RowChain<WORDS>>;

/// A stream of rows of some class.
#[derive(Clone)]
pub(crate) enum AnyStream {
    Words4(ClassStream<4>),
    Words8(ClassStream<8>),
    Words32(ClassStream<32>),
}

/// A source of rows of some class.
pub(crate) enum AnySource {
    Words4(Source<Row<4>>),
    Words8(Source<Row<8>>),
    Words32(Source<Row<32>>),
}

macro_rules! from_classes {
    ($($class:ident: $words:literal,)*) => {$(
        impl From<Source<Row<$words>>> for AnySource {
            fn from(source: Source<Row<$words>>) -> Self {
                Self::$class(source)
            }
        }

        impl From<ClassStream<$words>> for AnyStream {
            fn from(stream: ClassStream<$words>) -> Self {
                Self::$class(stream)
            }
        }
    )*};
}

from_classes! { Words4: 4, Words8: 8, Words32: 32, }

/// Runs a piece of code with what some class has, an [`AnyStream`] or [`AnySource`], as what it is.
///
/// It must not be in a generic function: the code of all classes would be compiled for each of its types.
macro_rules! of_class {
    ($any:ident, $value:expr, |$typed:ident| $body:expr) => {
        match $value {
            $any::Words4($typed) => $body,
            $any::Words8($typed) => $body,
            $any::Words32($typed) => $body,
        }
    };
}
pub(crate) use of_class;

/// Runs a piece of code with the words of the smallest class that has room for so many bytes, or of the largest.
macro_rules! with_class {
    ($bytes:expr, |$words:ident| $body:expr) => {
        match $bytes {
            0..=32 => $crate::api::rows::class::with_class!(@ 4, $words, $body),
            33..=64 => $crate::api::rows::class::with_class!(@ 8, $words, $body),
            _ => $crate::api::rows::class::with_class!(@ 32, $words, $body),
        }
    };
    (@ $number:literal, $words:ident, $body:expr) => {{
        const $words: usize = $number;
        $body
    }};
}
pub(crate) use with_class;
