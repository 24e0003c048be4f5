//! What to write in place of a field's type that no record, key or event time can have.
//!
//! A derive sees names, not types. A type that hides behind another name is refused by the compiler, since it is no
//! `Record` or no `Key`; this is for those whose names say what they are.

use quote::ToTokens;
use syn::{Error, Expr, Field, Type, TypeArray, spanned::Spanned};

/// Refuses a field's type that is no record, with the type to write instead.
pub(crate) fn check_record_field(field: &Field, what: &str) -> Result<(), Error> {
    match advice(&field.ty) {
        Some((reason, instead)) => {
            Err(Error::new(field.ty.span(), format!("{what} is {reason}, and records have no such field: {instead}")))
        }
        None => Ok(()),
    }
}

/// Refuses a field's type that is a record but no key.
pub(crate) fn check_key_field(field: &Field, what: &str) -> Result<(), Error> {
    let element = match &field.ty {
        Type::Array(array) => &array.elem,
        ty => ty,
    };
    match name_of(element) {
        Some(name) if matches!(&*name, "f32" | "f64") => Err(Error::new(
            field.ty.span(),
            format!(
                "{what} is a float, and floats are no keys, because NaN and -0.0 make equal keys differ: write an integer, \
                 such as a price in ticks"
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses an event time whose type holds none.
pub(crate) fn check_time(field: &Field, what: &str) -> Result<(), Error> {
    const OTHERS: [&str; 13] =
        ["i8", "u8", "i16", "u16", "i32", "u32", "u64", "i128", "u128", "f32", "f64", "usize", "isize"];
    match name_of(&field.ty) {
        Some(name) if OTHERS.contains(&&*name) => Err(Error::new(
            field.ty.span(),
            format!(
                "the event time {what} is {name}: write `i64` for nanoseconds since the epoch, or `pelton::Timestamp`"
            ),
        )),
        _ => Ok(()),
    }
}

/// What a type is, and what to write instead.
fn advice(ty: &Type) -> Option<(String, String)> {
    let (reason, instead) = match ty {
        Type::Reference(_) | Type::Ptr(_) | Type::BareFn(_) => (
            "a pointer",
            "what it points to is not in the file that the record is written to. Text is a `pelton::Symbol`, or inline as \
             `[u8; N]`",
        ),
        Type::Slice(_) => ("a list of any length", "write an array, `[i64; N]`"),
        Type::Tuple(_) => ("a tuple", "write a record with named fields, or `pelton::Tuple2` and so on"),
        Type::Array(array) => return array_advice(array),
        Type::Path(_) => match &*name_of(ty)? {
            "bool" => (
                "a `bool`, of which most bytes are none",
                "write `pelton::Bool`, which is made by `.into()` and read by `.get()`",
            ),
            "char" => ("a `char`, of which most bytes are none", "write `u32`, and read it by `char::from_u32`"),
            "usize" => ("as wide as the machine's pointers", "write `u64` or `u32`"),
            "isize" => ("as wide as the machine's pointers", "write `i64` or `i32`"),
            "String" | "str" => ("text of any length", "write `pelton::Symbol`, or `[u8; N]` for inline text"),
            "Vec" | "VecDeque" | "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => {
                ("a collection, which is a pointer", "write an array, `[i64; N]`, or a row for each element")
            }
            "Box" | "Rc" | "Arc" | "Cow" => ("a pointer", "write what is in it"),
            "Duration" | "Instant" | "SystemTime" => {
                ("not of a fixed layout", "write `i64` for nanoseconds, or `pelton::Timestamp`")
            }
            "Option" => return Some(option_advice(ty)),
            _ => return None,
        },
        _ => return None,
    };
    Some((reason.to_owned(), instead.to_owned()))
}

fn array_advice(array: &TypeArray) -> Option<(String, String)> {
    match advice(&array.elem) {
        Some((_, _)) if name_of(&array.elem).as_deref() == Some("bool") => {
            let len = text_of_len(&array.len);
            let instead = format!("write `[pelton::Bool; {len}]`");
            Some(("an array of `bool`, of which most bytes are none".to_owned(), instead))
        }
        Some((reason, instead)) => Some((format!("an array of what is {reason}"), instead)),
        None => None,
    }
}

fn option_advice(ty: &Type) -> (String, String) {
    let inner = match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.arguments.to_token_stream().to_string()),
        _ => None,
    };
    let inner = inner.unwrap_or_default().replace(' ', "");
    let instead = format!("write `pelton::Maybe{inner}`, which is made by `.into()` and read by `.get()`");
    ("an `Option`, of which some bytes are none".to_owned(), instead)
}

fn text_of_len(len: &Expr) -> String {
    len.to_token_stream().to_string()
}

/// The name of a type of Rust itself: alone, or behind the path of a module of the standard library.
fn name_of(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    let segments = &path.path.segments;
    let is_std = segments.len() == 1
        || segments.first().is_some_and(|first| ["std", "core", "alloc"].iter().any(|name| first.ident == name));
    segments.last().filter(|_| is_std && path.qself.is_none()).map(|segment| segment.ident.to_string())
}
