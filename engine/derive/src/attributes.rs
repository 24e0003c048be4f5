//! What stands in the attributes of a type and its fields.

use syn::{DeriveInput, Error, Field, LitInt, Type, parenthesized, token::Paren};

/// How a struct lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repr {
    /// `#[repr(C)]`: in the order of its fields, each where its alignment allows.
    C,
    /// `#[repr(C, packed)]`: one field straight behind the other.
    Packed,
    /// `#[repr(transparent)]`: as its only field.
    Transparent,
}

/// The `repr` of a struct.
pub(crate) fn repr(input: &DeriveInput) -> Result<Repr, Error> {
    let name = &input.ident;
    let (mut is_c, mut is_packed, mut is_transparent) = (false, false, false);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            let refused = || meta.error("a record is `#[repr(C)]`, `#[repr(C, packed)]` or `#[repr(transparent)]`");
            match () {
                () if meta.path.is_ident("C") => is_c = true,
                () if meta.path.is_ident("transparent") => is_transparent = true,
                () if meta.path.is_ident("packed") => {
                    is_packed = true;
                    if meta.input.peek(Paren) {
                        let bytes;
                        parenthesized!(bytes in meta.input);
                        if bytes.parse::<LitInt>()?.base10_parse::<u32>()? != 1 {
                            return Err(refused());
                        }
                    }
                }
                () => return Err(refused()),
            }
            Ok(())
        })?;
    }
    match (is_c, is_packed, is_transparent) {
        (true, false, false) => Ok(Repr::C),
        (true, true, false) => Ok(Repr::Packed),
        (false, false, true) => Ok(Repr::Transparent),
        _ => Err(Error::new(
            name.span(),
            format!(
                "`{name}` needs `#[repr(C)]`, because the bytes of a record are written to files and Rust may lay out a \
                 struct without it in any way: write `#[repr(C)]` above the struct, or `#[repr(C, packed)]`, which has \
                 no padding"
            ),
        )),
    }
}

/// What `#[event(...)]` says of one field.
#[derive(Default)]
pub(crate) struct FieldOptions {
    pub(crate) time: bool,
    pub(crate) decimals: Option<u8>,
    /// The enum whose integer a newtype of the engine's own is.
    pub(crate) variants: Option<Type>,
}

pub(crate) fn field_options(field: &Field) -> Result<FieldOptions, Error> {
    let mut options = FieldOptions::default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("time") {
                options.time = true;
                Ok(())
            } else if meta.path.is_ident("decimals") {
                options.decimals = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
                Ok(())
            } else if meta.path.is_ident("variants") {
                options.variants = Some(meta.value()?.parse()?);
                Ok(())
            } else {
                Err(meta.error("expected `time` or `decimals = N`"))
            }
        })?;
    }
    Ok(options)
}
