//! What is refused names the field and says what to write instead.

use crate::{enumeration, key, record};
use syn::{DeriveInput, parse_quote};

/// The refusal of an event.
fn event(input: &DeriveInput) -> String {
    record::expand(input, true).unwrap_err().to_string()
}

/// The refusal of a record with one field of this type.
fn field(ty: &str) -> String {
    let ty: syn::Type = syn::parse_str(ty).unwrap();
    let input: DeriveInput = parse_quote! { #[repr(C)] struct Row { wide: u64, odd: #ty } };
    record::expand(&input, false).unwrap_err().to_string()
}

fn assert_says(found: &str, words: &[&str]) {
    for word in words {
        assert!(found.contains(word), "{word:?} is not in: {found}");
    }
}

#[test]
fn types_that_are_no_records_are_refused_with_those_to_write_instead() {
    for (ty, words) in [
        ("bool", &["the field `odd`", "`bool`", "write `pelton::Bool`", "`.get()`"][..]),
        ("[bool; 4]", &["the field `odd`", "`[pelton::Bool; 4]`"]),
        ("Option<f64>", &["the field `odd`", "`Option`", "write `pelton::Maybe<f64>`"]),
        ("std::option::Option<f64>", &["`pelton::Maybe<f64>`"]),
        ("char", &["the field `odd`", "write `u32`"]),
        ("usize", &["write `u64` or `u32`"]),
        ("isize", &["write `i64` or `i32`"]),
        ("[usize; 2]", &["an array of what is as wide as the machine's pointers", "`u64`"]),
        ("String", &["the field `odd`", "`pelton::Symbol`", "`[u8; N]`"]),
        ("&'static str", &["the field `odd`", "a pointer", "`pelton::Symbol`"]),
        ("Vec<u8>", &["a collection", "`[i64; N]`"]),
        ("std::collections::HashMap<u8, u8>", &["a collection"]),
        ("Box<u64>", &["a pointer", "write what is in it"]),
        ("std::time::Duration", &["`i64` for nanoseconds"]),
        ("(u8, u8)", &["a tuple", "`pelton::Tuple2`"]),
    ] {
        assert_says(&field(ty), words);
    }
}

#[test]
fn types_of_programs_are_left_to_the_compiler() {
    for ty in ["my::Option", "mine::Vec", "Level", "[Level; 2]", "pelton::Maybe<f64>"] {
        let ty: syn::Type = syn::parse_str(ty).unwrap();
        let input: DeriveInput = parse_quote! { #[repr(C)] struct Row { odd: #ty } };
        assert!(record::expand(&input, false).is_ok());
    }
}

#[test]
fn structs_that_are_no_records_are_refused_with_what_to_write() {
    for (input, words) in [
        (
            parse_quote! { struct Row { #[event(time)] at: i64 } },
            &["`Row` needs `#[repr(C)]`", "#[repr(C, packed)]"][..],
        ),
        (parse_quote! { #[repr(align(8))] struct Row { #[event(time)] at: i64 } }, &["`#[repr(C, packed)]`"]),
        (parse_quote! { #[repr(C, packed(4))] struct Row { #[event(time)] at: i64 } }, &["`#[repr(C, packed)]`"]),
        (parse_quote! { #[repr(C)] struct Row { at: i64 } }, &["`Row` has no event time", "`#[event(time)]`"]),
        (parse_quote! { #[repr(C)] struct Row { #[event(time)] at: f64 } }, &["the field `at` is f64", "`i64`"]),
        (
            parse_quote! { #[repr(C)] struct Row { #[event(time)] a: i64, #[event(time)] b: i64 } },
            &["only one field is the event time", "the field `b`"],
        ),
        (parse_quote! { #[repr(C)] struct Row(i64); }, &["have names", "`#[repr(transparent)]`"]),
        (parse_quote! { #[repr(C)] struct Row {} }, &["`Row` needs a field"]),
        (parse_quote! { struct Row; }, &["`Row` needs a field"]),
        (parse_quote! { #[repr(transparent)] struct Row(i64, ()); }, &["`Row` is transparent, and has one field"]),
        (parse_quote! { #[repr(transparent)] struct Row(i64); }, &["`Row` is a newtype"]),
        (parse_quote! { #[repr(C)] struct Row<T> { #[event(time)] at: i64, value: T } }, &["#[repr(C, packed)]"]),
        (parse_quote! { #[repr(C, packed)] struct Row<'a> { at: Other<'a> } }, &["borrows nothing"]),
        (parse_quote! { #[repr(u8)] enum Row { A, B } }, &["derive `pelton::Enum` instead", "`pelton::Code<Row>`"]),
        (parse_quote! { union Row { a: u8, b: u8 } }, &["a record is a struct"]),
    ] {
        assert_says(&event(&input), words);
    }
}

#[test]
fn keys_of_floats_and_of_enums_are_refused() {
    for (input, words) in [
        (parse_quote! { #[repr(C)] struct Row { price: f64 } }, &["the field `price` is a float", "NaN", "ticks"][..]),
        (parse_quote! { #[repr(C)] struct Row { price: [f32; 2] } }, &["the field `price` is a float"]),
        (parse_quote! { #[repr(u8)] enum Row { A } }, &["derive `pelton::Enum` instead"]),
    ] {
        assert_says(&key::expand(&input).unwrap_err().to_string(), words);
    }
}

#[test]
fn enums_that_are_no_integers_are_refused() {
    for (input, words) in [
        (parse_quote! { enum Side { Buy } }, &["`Side` needs an integer", "`#[repr(u8)]`"][..]),
        (parse_quote! { #[repr(C)] enum Side { Buy } }, &["an integer, such as `u8`"]),
        (parse_quote! { #[repr(u8)] enum Side { Buy(u8) } }, &["the variant `Buy` has fields"]),
        (parse_quote! { #[repr(u8)] enum Side {} }, &["`Side` needs a variant"]),
        (parse_quote! { #[repr(u8)] struct Side { a: u8 } }, &["`pelton::Record`"]),
        (parse_quote! { #[repr(u8)] enum Side<T> { Buy } }, &["no type parameters"]),
    ] {
        assert_says(&enumeration::expand(&input).unwrap_err().to_string(), words);
    }
}
