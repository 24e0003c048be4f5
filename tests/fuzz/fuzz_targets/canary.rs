//! A mistake that was planted: a fuzzer that does not find it finds nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pelton_fuzz::canary(input));
