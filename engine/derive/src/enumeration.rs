//! The derive of `Enum`.

use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Ident, ext::IdentExt, spanned::Spanned};

const INTEGERS: [&str; 10] = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "u128", "i128"];

pub(crate) fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(name.span(), format!("`{name}` is no enum: a struct derives `pelton::Record`")));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "an enum that is an integer has no type parameters"));
    }
    if data.variants.is_empty() {
        return Err(Error::new(name.span(), format!("`{name}` needs a variant")));
    }
    if let Some(variant) = data.variants.iter().find(|variant| !matches!(variant.fields, Fields::Unit)) {
        let reason = format!(
            "the variant `{}` has fields, and a record holds an enum as an integer: write the fields into the record",
            variant.ident
        );
        return Err(Error::new(variant.span(), reason));
    }
    let repr = integer(input)?;
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let names = variants.iter().map(|variant| variant.unraw().to_string());
    let codes: Vec<_> = (0..variants.len()).map(|at| format_ident!("CODE_{at}")).collect();
    Ok(quote! {
        impl ::pelton::Enum for #name {
            type Repr = #repr;

            const NAMES: &'static [(&'static str, i128)] = &[#((#names, #name::#variants as #repr as i128)),*];

            #[inline(always)]
            fn code(self) -> #repr {
                self as #repr
            }

            #[inline(always)]
            fn from_code(code: #repr) -> ::core::option::Option<Self> {
                #(const #codes: #repr = #name::#variants as #repr;)*
                match code {
                    #(#codes => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                }
            }
        }

        impl ::pelton::IntoKey for #name {
            type Key = ::pelton::Code<#name>;

            #[inline(always)]
            fn into_key(self) -> ::pelton::Code<#name> {
                ::core::convert::From::from(self)
            }
        }
    })
}

/// The integer of `#[repr(..)]`.
fn integer(input: &DeriveInput) -> Result<Ident, Error> {
    let name = &input.ident;
    let mut found = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            found = meta.path.get_ident().filter(|ident| INTEGERS.iter().any(|integer| ident == integer)).cloned();
            found.as_ref().map(|_| ()).ok_or_else(|| meta.error("the `repr` of this enum is an integer, such as `u8`"))
        })?;
    }
    found.ok_or_else(|| {
        let reason = format!(
            "`{name}` needs an integer that does not change, because records are written to files: write `#[repr(u8)]` \
             above the enum"
        );
        Error::new(name.span(), reason)
    })
}
