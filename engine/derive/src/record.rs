//! The derives of `Record` and `Event`.

use crate::advice::{check_record_field, check_time};
use crate::attributes::{FieldOptions, Repr, field_options, repr};
use proc_macro2::TokenStream as Tokens;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Member, spanned::Spanned};

/// The fields of a struct, as they are reached.
pub(crate) type Members<'a> = Vec<(Member, &'a Field)>;

pub(crate) fn expand(input: &DeriveInput, event: bool) -> Result<Tokens, Error> {
    let name = &input.ident;
    if let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("event")) {
        return Err(Error::new(attribute.span(), "#[event(..)] is for fields, not for the struct"));
    }
    let members = members(input)?;
    let repr = repr(input)?;
    check_generics(input, repr)?;
    if event && is_newtype(input) {
        let reason = format!("`{name}` is a newtype: an event is a struct with `#[repr(C)]` and named fields");
        return Err(Error::new(name.span(), reason));
    }
    let mut options = Vec::new();
    for (member, field) in &members {
        check_record_field(field, &what(member))?;
        options.push(field_options(field)?);
    }
    let named =
        members.iter().zip(&options).find(|(_, options)| options.variants.is_some() && repr != Repr::Transparent);
    if let Some(((_, field), _)) = named {
        return Err(Error::new(
            field.span(),
            "only a newtype is an enum's integer: write the field as `pelton::Code<E>`",
        ));
    }
    let event_impl = expand_time(input, event, &members, &options)?;
    let proof = if repr == Repr::C { proof(input, &members) } else { quote!() };
    let layout =
        if repr == Repr::Transparent { newtype_layout(&members, &options) } else { layout(input, &members, &options) };
    let types: Vec<_> = members.iter().map(|(_, field)| &field.ty).collect();
    let (generics, arguments, _) = input.generics.split_for_impl();
    // Without type parameters the bounds stand in the proof, where a type that is no record is refused once.
    let bounds = input.generics.where_clause.as_ref().map(|clause| &clause.predicates).into_iter().flatten();
    let bounds = if input.generics.params.is_empty() {
        quote!()
    } else {
        quote!(where #(#types: ::pelton::Record,)* #(#bounds,)*)
    };
    let are_records = types
        .iter()
        .filter(|_| input.generics.params.is_empty())
        .map(|ty| quote_spanned!(ty.span()=> const _: fn() = || { ::pelton::__private::is_record::<#ty>() };));
    Ok(quote! {
        #(#are_records)*
        #proof
        // SAFETY: `#[repr(C)]` whose fields are all `Record` and so `Pod`, and the proof above shows that there is no
        // padding between or behind them; or packed, which has none; or transparent, which is as its one field.
        #[allow(unsafe_code)]
        unsafe impl #generics ::pelton::__private::bytemuck::Zeroable for #name #arguments #bounds {}
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl #generics ::pelton::__private::bytemuck::Pod for #name #arguments #bounds {}
        impl #generics ::pelton::Record for #name #arguments #bounds {
            fn layout() -> ::pelton::Layout {
                #layout
            }
        }
        #event_impl
    })
}

/// Refuses what has no one layout.
fn check_generics(input: &DeriveInput, repr: Repr) -> Result<(), Error> {
    if let Some(lifetime) = input.generics.params.iter().find(|param| matches!(param, GenericParam::Lifetime(_))) {
        return Err(Error::new(lifetime.span(), "a record borrows nothing: its bytes are written to files"));
    }
    if !input.generics.params.is_empty() && repr == Repr::C {
        let reason = "a record with type parameters may have padding for some of them: write `#[repr(C, packed)]`, which \
                      has none";
        return Err(Error::new(input.generics.span(), reason));
    }
    Ok(())
}

/// The event time.
fn expand_time(
    input: &DeriveInput,
    event: bool,
    members: &Members<'_>,
    options: &[FieldOptions],
) -> Result<Tokens, Error> {
    let name = &input.ident;
    let mut times = members.iter().zip(options).filter(|(_, options)| options.time).map(|(member, _)| member);
    let time = times.next();
    if let Some((second, field)) = times.next() {
        return Err(Error::new(
            field.span(),
            format!("only one field is the event time, and {} is another", what(second)),
        ));
    }
    match (event, time) {
        (true, Some((member, field))) => {
            check_time(field, &what(member))?;
            let (generics, arguments, clause) = input.generics.split_for_impl();
            Ok(quote! {
                impl #generics ::pelton::Event for #name #arguments #clause {
                    #[inline(always)]
                    fn time(&self) -> ::pelton::Timestamp {
                        ::core::convert::Into::into(self.#member)
                    }
                }
            })
        }
        (true, None) => {
            let reason = format!(
                "`{name}` has no event time: write `#[event(time)]` above one field, an `i64` of nanoseconds since the \
                 epoch or a `pelton::Timestamp`"
            );
            Err(Error::new(name.span(), reason))
        }
        (false, Some((_, field))) => {
            Err(Error::new(field.span(), "only an Event has an event time: derive Event instead"))
        }
        (false, None) => Ok(quote!()),
    }
}

/// The proof that there is no padding: a constant for each field, which stands where the field does.
fn proof(input: &DeriveInput, members: &Members<'_>) -> Tokens {
    let name = &input.ident;
    let text = name.to_string();
    let places = members.iter().map(|(member, field)| {
        let (ty, field) = (&field.ty, text_of(member));
        quote! {
            ::pelton::__private::Place {
                name: #field,
                offset: ::core::mem::offset_of!(#name, #member),
                size: ::core::mem::size_of::<#ty>(),
                align: ::core::mem::align_of::<#ty>(),
            }
        }
    });
    let checks = members.iter().enumerate().map(|(at, (_, field))| {
        let span = field.span();
        quote_spanned! {span=>
            const _: () =
                ::pelton::__private::check_no_padding(#text, ::core::mem::size_of::<#name>(), PLACES, #at);
        }
    });
    quote! {
        const _: () = {
            const PLACES: &[::pelton::__private::Place] = &[#(#places),*];
            #(#checks)*
        };
    }
}

fn layout(input: &DeriveInput, members: &Members<'_>, options: &[FieldOptions]) -> Tokens {
    let text = input.ident.to_string();
    let parts = members.iter().zip(options).map(|((member, field), options)| {
        let (ty, part, is_time) = (&field.ty, text_of(member), options.time);
        let decimals = match options.decimals {
            Some(digits) => quote!(::core::option::Option::Some(#digits)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            (#part, ::core::mem::offset_of!(Self, #member), #decimals, #is_time, <#ty as ::pelton::Record>::layout())
        }
    });
    quote! {
        ::pelton::Layout::of_parts(
            #text,
            ::core::mem::size_of::<Self>(),
            ::core::mem::align_of::<Self>(),
            ::std::vec![#(#parts),*],
        )
    }
}

fn newtype_layout(members: &Members<'_>, options: &[FieldOptions]) -> Tokens {
    let types = members.iter().map(|(_, field)| &field.ty);
    let named = options.iter().map(|options| {
        let variants = options.variants.as_ref();
        variants.map(|variants| quote!(.with_variants(<#variants as ::pelton::Enum>::NAMES)))
    });
    quote!(#(<#types as ::pelton::Record>::layout() #named)*)
}

/// The fields of a struct: named ones, or the only one of a newtype.
pub(crate) fn members(input: &DeriveInput) -> Result<Members<'_>, Error> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        let reason = match input.data {
            Data::Enum(_) => format!(
                "`{name}` is an enum, and not every byte of a file is one of its variants: derive `pelton::Enum` instead, \
                 and write fields of it as `pelton::Code<{name}>`"
            ),
            _ => format!("`{name}` is a union: a record is a struct"),
        };
        return Err(Error::new(name.span(), reason));
    };
    let newtype = is_newtype(input);
    match &data.fields {
        Fields::Unit => Err(Error::new(name.span(), format!("`{name}` needs a field: there is no record of no bytes"))),
        Fields::Named(fields) if fields.named.is_empty() => {
            Err(Error::new(name.span(), format!("`{name}` needs a field: there is no record of no bytes")))
        }
        fields if newtype && fields.len() != 1 => {
            Err(Error::new(name.span(), format!("`{name}` is transparent, and has one field then")))
        }
        Fields::Unnamed(fields) if !newtype => Err(Error::new(
            fields.span(),
            "the fields of a record have names, which are part of its schema; a struct around one record is \
             `#[repr(transparent)]`",
        )),
        fields => Ok(fields.members().zip(fields).collect()),
    }
}

/// Whether the struct is `#[repr(transparent)]`.
pub(crate) fn is_newtype(input: &DeriveInput) -> bool {
    matches!(repr(input), Ok(Repr::Transparent))
}

/// A field, in an error.
pub(crate) fn what(member: &Member) -> String {
    match member {
        Member::Named(name) => format!("the field `{name}`"),
        Member::Unnamed(_) => "what is in the newtype".to_owned(),
    }
}

fn text_of(member: &Member) -> String {
    member.to_token_stream().to_string()
}
