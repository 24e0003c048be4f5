//! Texts and packed bytes that were edited.
//!
//! ```text
//! input    number of the sample, or anything else for none │ edit │ edit │ ...     without a sample the rest is the text
//! edit     what is done │ where (16 bits) │ how much │ bytes that it needs
//! ```

use pelton::testing::fuzz::Input;

/// The bytes that an input makes of one of some samples.
pub fn edited(samples: &[&[u8]], input: &mut Input<'_>) -> Vec<u8> {
    let number = usize::from(input.byte());
    let Some(sample) = samples.get(number) else { return input.0.to_vec() };
    let mut text = sample.to_vec();
    while !input.is_empty() {
        edit(&mut text, input);
    }
    text
}

fn edit(text: &mut Vec<u8>, input: &mut Input<'_>) {
    let (kind, at, count) = (input.byte(), usize::from(input.short()), usize::from(input.byte()));
    let at = at % (text.len() + 1);
    let end = (at + count).min(text.len());
    match kind % 6 {
        0 => drop(text.splice(at..at, input.slice(count).iter().copied())),
        1 => {
            let new = input.slice(end - at);
            text[at..at + new.len()].copy_from_slice(new);
        }
        2 => drop(text.drain(at..end)),
        3 => {
            let copy = text[at..end].to_vec();
            let to = usize::from(input.short()) % (text.len() + 1);
            text.splice(to..to, copy);
        }
        4 => text[at..end].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
        // Long runs, as of digits or of brackets.
        _ => {
            let byte = input.byte();
            text.splice(at..at, std::iter::repeat_n(byte, 4 * count));
        }
    }
}
