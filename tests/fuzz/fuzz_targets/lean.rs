//! Rows of Lean's trades and quotes.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pelton_fuzz::parsers::lean(input));
