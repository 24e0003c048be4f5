//! Numbers as text, written straight to the end of a buffer.

use std::io::Write;

const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut i = 0;
    while i < 100 {
        pairs[2 * i] = b'0' + (i / 10) as u8;
        pairs[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// Digits of the largest `u64`.
const DIGITS_MAX: usize = 20;

#[inline]
pub(super) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    while value >= 100 {
        let pair = 2 * (value % 100) as usize;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        let pair = 2 * value as usize;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

#[inline]
pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    put_u64(out, value.unsigned_abs());
}

#[inline]
pub(super) fn put_u128(out: &mut Vec<u8>, value: u128) {
    match u64::try_from(value) {
        Ok(value) => put_u64(out, value),
        // Writing to a Vec cannot fail.
        Err(_) => drop(write!(out, "{value}")),
    }
}

#[inline]
pub(super) fn put_i128(out: &mut Vec<u8>, value: i128) {
    if value < 0 {
        out.push(b'-');
    }
    put_u128(out, value.unsigned_abs());
}

/// The shortest text that reads back as `value`, which is finite.
macro_rules! put_shortest {
    ($name:ident, $float:ty) => {
        pub(super) fn $name(out: &mut Vec<u8>, value: $float) {
            let size = value.abs();
            if value.fract() == 0.0 && size < 1e15 && !(value == 0.0 && value.is_sign_negative()) {
                put_i64(out, value as i64);
            } else if size == 0.0 || (1e-5..1e16).contains(&size) {
                drop(write!(out, "{value}"));
            } else {
                drop(write!(out, "{value:e}"));
            }
        }
    };
}

put_shortest!(put_f64, f64);
put_shortest!(put_f32, f32);

/// `value`, which is finite, with `decimals` digits after the point: the exact value of the float
/// rounded to the nearest, ties to even, as `{:.N}` does.
pub(super) fn put_decimals(out: &mut Vec<u8>, value: f64, decimals: u8) {
    if !put_decimals_small(out, value, decimals) {
        drop(write!(out, "{value:.0$}", usize::from(decimals)));
    }
}

/// The common case in integers: at most 9 decimals, less than 2^53, not tiny.
fn put_decimals_small(out: &mut Vec<u8>, value: f64, decimals: u8) -> bool {
    const POWERS: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    let bits = value.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    // value = mantissa / 2^shift, exactly.
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let shift = 1075 - exponent as i64;
    let Some(&power) = POWERS.get(usize::from(decimals)) else { return false };
    if exponent == 0 || !(0..=120).contains(&shift) {
        return false;
    }
    // Less than 2^53 * 2^30.
    let scaled = u128::from(mantissa) * u128::from(power);
    let (whole, rest, half) = match shift {
        0 => (scaled, 0, 1),
        _ => (scaled >> shift, scaled & ((1 << shift) - 1), 1u128 << (shift - 1)),
    };
    let rounded = whole + u128::from(rest > half || (rest == half && whole & 1 == 1));
    let Ok(rounded) = u64::try_from(rounded) else { return false };
    if value.is_sign_negative() {
        out.push(b'-');
    }
    put_u64(out, rounded / power);
    if decimals > 0 {
        out.push(b'.');
        let start = out.len();
        let mut fraction = rounded % power;
        out.resize(start + usize::from(decimals), b'0');
        for digit in out[start..].iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn integers_are_written_as_std_writes_them(value: i128, shift in 0u32..128) {
            let value = value >> shift;
            prop_assert_eq!(text(|out| put_i128(out, value)), value.to_string());
            prop_assert_eq!(text(|out| put_u128(out, value as u128)), (value as u128).to_string());
            prop_assert_eq!(text(|out| put_i64(out, value as i64)), (value as i64).to_string());
            prop_assert_eq!(text(|out| put_u64(out, value as u64)), (value as u64).to_string());
        }

        #[test]
        fn decimals_are_rounded_as_std_rounds_them(bits: u64, near in -1e9f64..1e9, decimals in 0u8..14, ticks: i32) {
            for value in [f64::from_bits(bits), near, f64::from(ticks) / 8.0, f64::from(ticks) / 100.0] {
                if value.is_finite() {
                    let expected = format!("{value:.0$}", usize::from(decimals));
                    prop_assert_eq!(text(|out| put_decimals(out, value, decimals)), expected);
                }
            }
        }

        #[test]
        fn shortest_floats_read_back_as_themselves(bits: u64, near: f32) {
            for value in [f64::from_bits(bits), f64::from(near), f64::from(near).trunc()] {
                if value.is_finite() {
                    let back: f64 = text(|out| put_f64(out, value)).parse().unwrap();
                    prop_assert_eq!(back.to_bits(), value.to_bits());
                }
            }
            if near.is_finite() {
                prop_assert_eq!(text(|out| put_f32(out, near)).parse::<f32>().unwrap().to_bits(), near.to_bits());
            }
        }
    }

    #[test]
    fn floats_are_written_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e300, "1e300"),
            (5e-324, "5e-324"),
            (1e15, "1000000000000000"),
        ] {
            assert_eq!(text(|out| put_f64(out, value)), expected);
        }
        assert_eq!(text(|out| put_f32(out, 0.1)), "0.1");
        assert_eq!(text(|out| put_decimals(out, 0.125, 2)), "0.12");
        assert_eq!(text(|out| put_decimals(out, -0.001, 2)), "-0.00");
    }
}
