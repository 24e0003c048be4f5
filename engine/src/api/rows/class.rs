//! Streams of rows of any class: the one place where the size of rows chooses the code that runs over them.

use crate::api::stream::Stream;
use crate::base::row::Row;
use crate::operator::rows::filter::RowChain;

/// A stream of rows of one class.
pub(crate) type ClassStream<const WORDS: usize> = Stream<Row<WORDS>, RowChain<WORDS>>;

/// A stream of rows of some class.
#[derive(Clone)]
pub(crate) enum AnyStream {
    Words2(ClassStream<2>),
    Words4(ClassStream<4>),
    Words8(ClassStream<8>),
    Words16(ClassStream<16>),
    Words32(ClassStream<32>),
}

macro_rules! from_streams {
    ($($class:ident: $words:literal,)*) => {$(
        impl From<ClassStream<$words>> for AnyStream {
            fn from(stream: ClassStream<$words>) -> Self {
                Self::$class(stream)
            }
        }
    )*};
}

from_streams! { Words2: 2, Words4: 4, Words8: 8, Words16: 16, Words32: 32, }

/// Runs a piece of code with a stream as what it is.
macro_rules! with_stream {
    ($any:expr, |$stream:ident| $body:expr) => {
        match $any {
            $crate::api::rows::class::AnyStream::Words2($stream) => $body,
            $crate::api::rows::class::AnyStream::Words4($stream) => $body,
            $crate::api::rows::class::AnyStream::Words8($stream) => $body,
            $crate::api::rows::class::AnyStream::Words16($stream) => $body,
            $crate::api::rows::class::AnyStream::Words32($stream) => $body,
        }
    };
}
pub(crate) use with_stream;

/// Runs a piece of code with the words of the smallest class that has room for so many bytes, or of the largest.
macro_rules! with_class {
    ($bytes:expr, |$words:ident| $body:expr) => {
        match $bytes {
            0..=16 => $crate::api::rows::class::with_class!(@ 2, $words, $body),
            17..=32 => $crate::api::rows::class::with_class!(@ 4, $words, $body),
            33..=64 => $crate::api::rows::class::with_class!(@ 8, $words, $body),
            65..=128 => $crate::api::rows::class::with_class!(@ 16, $words, $body),
            _ => $crate::api::rows::class::with_class!(@ 32, $words, $body),
        }
    };
    (@ $number:literal, $words:ident, $body:expr) => {{
        const $words: usize = $number;
        $body
    }};
}
pub(crate) use with_class;
