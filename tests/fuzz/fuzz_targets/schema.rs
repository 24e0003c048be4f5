//! Schemas of records and of delimited text.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pelton_fuzz::parsers::schema(input));
