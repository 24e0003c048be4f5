//! Packed inputs: gzip, zstd and zip.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pelton_fuzz::packed::packed(input));
