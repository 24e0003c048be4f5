//! The derives of `pelton`: `Event`, `Record`, `Key` and `Enum`.
//!
//! Use them through `pelton`, which documents and re-exports them.

mod advice;
mod attributes;
mod enumeration;
mod key;
mod record;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Implements `Record` and `Event`: one field is marked `#[event(time)]`.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::expand(&input, true).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Record`: a fixed layout without padding or pointers.
#[proc_macro_derive(Record, attributes(event))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::expand(&input, false).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Key`: every field is a key itself; the fields' order is the order of rows.
#[proc_macro_derive(Key)]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    key::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Enum`: variants without fields, which records hold as the integer of the enum's `repr`.
#[proc_macro_derive(Enum)]
pub fn derive_enum(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    enumeration::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

#[cfg(test)]
mod tests;
