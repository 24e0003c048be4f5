//! The derive of `Key`.

use crate::advice::check_key_field;
use crate::record::{is_newtype, members, what};
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Data, DeriveInput, Error};

pub(crate) fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let name = &input.ident;
    if matches!(input.data, Data::Enum(_)) {
        let reason = format!("`{name}` is an enum: derive `pelton::Enum` instead, and `key_by` takes it as it is");
        return Err(Error::new(name.span(), reason));
    }
    let members = members(input)?;
    for (member, field) in &members {
        check_key_field(field, &what(member))?;
    }
    let types = members.iter().map(|(_, field)| &field.ty);
    let (generics, arguments, _) = input.generics.split_for_impl();
    let bounds = input.generics.where_clause.as_ref().map(|clause| &clause.predicates).into_iter().flatten();
    let bounds = if input.generics.params.is_empty() {
        quote!()
    } else {
        quote!(where Self: ::pelton::Record + ::core::cmp::Eq, #(#types: ::pelton::Key,)* #(#bounds,)*)
    };
    let places: Vec<_> = members.iter().map(|(member, _)| member).collect();
    // A newtype is found by its number where the key in it is.
    let number = is_newtype(input).then(|| {
        let (member, field) = &members[0];
        let ty = &field.ty;
        quote! {
            const ORDERED_BY_NUMBER: bool = <#ty as ::pelton::Key>::ORDERED_BY_NUMBER;

            #[inline(always)]
            fn number(&self) -> ::core::option::Option<u64> {
                ::pelton::Key::number(&self.#member)
            }

            #[inline(always)]
            fn from_number(number: u64) -> Self {
                Self { #member: <#ty as ::pelton::Key>::from_number(number) }
            }
        }
    });
    Ok(quote! {
        impl #generics ::pelton::Key for #name #arguments #bounds {
            fn canonical(&self, symbols: &::pelton::Dictionary, out: &mut ::pelton::CanonicalKey) {
                // Copied, since there are no references to fields of packed records.
                #(::pelton::Key::canonical(&{ self.#places }, symbols, out);)*
            }

            #number
        }
    })
}
