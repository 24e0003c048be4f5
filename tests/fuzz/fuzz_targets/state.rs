//! Pieces of stores that were edited.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = pelton::testing::fuzz::state(input);
});
