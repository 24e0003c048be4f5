//! Databento's binary encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pelton_fuzz::parsers::dbn(input));
