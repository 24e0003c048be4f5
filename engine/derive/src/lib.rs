//! The derives of `pelton`: `Event`, `Record` and `Key`.
//!
//! Use them through `pelton`, which documents and re-exports them.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, LitInt, parse_macro_input, spanned::Spanned};

/// What `#[event(...)]` says of one field.
#[derive(Default)]
struct FieldOptions {
    time: bool,
    decimals: Option<u8>,
}

/// Implements `Record` and `Event`: one field is marked `#[event(time)]`.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, true).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Record`: a fixed layout without padding or pointers.
#[proc_macro_derive(Record, attributes(event))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, false).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Key`: every field is a key itself; the fields' order is the order of rows.
#[proc_macro_derive(Key)]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_key(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput, event: bool) -> Result<Tokens, Error> {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a record has no type parameters: its layout is one"));
    }
    if let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("event")) {
        return Err(Error::new(attribute.span(), "#[event(..)] is for fields, not for the struct"));
    }
    if !is_repr_c(input)? {
        return Err(Error::new(name.span(), "a record needs #[repr(C)]: its layout is written to files"));
    }
    let fields = named_fields(input)?;
    let mut entries = Vec::new();
    let mut time = None;
    for field in fields {
        let options = field_options(field)?;
        let ident = field.ident.as_ref().expect("named fields have names");
        let ty = &field.ty;
        let text = ident.to_string();
        if options.time {
            if time.is_some() {
                return Err(Error::new(field.span(), "only one field is the event time"));
            }
            time = Some(ident);
        }
        let is_time = options.time;
        let decimals = match options.decimals {
            Some(digits) => quote!(::core::option::Option::Some(#digits)),
            None => quote!(::core::option::Option::None),
        };
        entries.push(quote! {
            ::pelton::Field {
                name: ::std::borrow::Cow::Borrowed(#text),
                kind: <#ty as ::pelton::FieldType>::KIND,
                offset: ::core::mem::offset_of!(#name, #ident),
                decimals: #decimals,
                time: #is_time,
            }
        });
    }
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let text = name.to_string();
    let event_impl = match (event, time) {
        (true, Some(ident)) => quote! {
            impl ::pelton::Event for #name {
                #[inline(always)]
                fn time(&self) -> ::pelton::Timestamp {
                    ::core::convert::Into::into(self.#ident)
                }
            }
        },
        (true, None) => {
            return Err(Error::new(name.span(), "an event needs one field marked #[event(time)]"));
        }
        (false, Some(ident)) => {
            return Err(Error::new(ident.span(), "only an Event has an event time: derive Event instead"));
        }
        (false, None) => quote!(),
    };
    Ok(quote! {
        const _: () = {
            const SIZE: usize = 0 #(+ ::core::mem::size_of::<#types>())*;
            assert!(
                ::core::mem::size_of::<#name>() == SIZE,
                "the record has padding: order the fields from wide to narrow, or add a field that fills the gap"
            );
            assert!(SIZE > 0, "a record has at least one field");
        };
        // SAFETY: `#[repr(C)]`, every field is a `FieldType` and so `Pod`, and the assertion above
        // shows that there is no padding between or behind them.
        #[allow(unsafe_code)]
        unsafe impl ::pelton::__private::bytemuck::Zeroable for #name {}
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl ::pelton::__private::bytemuck::Pod for #name {}
        impl ::pelton::Record for #name {
            fn layout() -> ::pelton::Layout {
                ::pelton::Layout::new(
                    #text,
                    ::core::mem::size_of::<#name>(),
                    ::core::mem::align_of::<#name>(),
                    ::std::vec![#(#entries),*],
                )
            }
        }
        #event_impl
    })
}

fn expand_key(input: &DeriveInput) -> Result<Tokens, Error> {
    let name = &input.ident;
    let idents: Vec<_> = named_fields(input)?.iter().map(|field| field.ident.as_ref()).collect();
    Ok(quote! {
        impl ::pelton::Key for #name {
            fn canonical(&self, symbols: &::pelton::Dictionary, out: &mut ::pelton::CanonicalKey) {
                #(::pelton::Key::canonical(&self.#idents, symbols, out);)*
            }
        }
    })
}

fn named_fields(input: &DeriveInput) -> Result<&syn::punctuated::Punctuated<Field, syn::token::Comma>, Error> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            other => Err(Error::new(other.span(), "a record has named fields: names are part of its schema")),
        },
        _ => Err(Error::new(input.ident.span(), "a record is a struct: not every bit pattern of an enum is valid")),
    }
}

fn is_repr_c(input: &DeriveInput) -> Result<bool, Error> {
    let mut found = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") {
                found = true;
                Ok(())
            } else {
                Err(meta.error("a record is #[repr(C)] and nothing else"))
            }
        })?;
    }
    Ok(found)
}

fn field_options(field: &Field) -> Result<FieldOptions, Error> {
    let mut options = FieldOptions::default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("time") {
                options.time = true;
                Ok(())
            } else if meta.path.is_ident("decimals") {
                options.decimals = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
                Ok(())
            } else {
                Err(meta.error("expected `time` or `decimals = N`"))
            }
        })?;
    }
    Ok(options)
}
