//! Exact numbers from text: integers and decimals of a fixed scale, never through a float.

use std::str::FromStr;

/// What is wrong with the text of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no text.
    #[error("empty")]
    Empty,
    /// It is not a number, or not one in the form asked for.
    #[error("not a number of the expected form")]
    NotANumber,
    /// The number does not fit the field's type or range.
    #[error("outside the field's range")]
    OutOfRange,
    /// The number is negative where that has no meaning.
    #[error("negative")]
    Negative,
    /// There are more digits behind the point than the field keeps.
    #[error("more digits behind the point than the {0} that the field keeps")]
    TooPrecise(u32),
    /// The text has more bytes than the field.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// The text is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The value is of another kind than the field: text for a number, a list for a text.
    #[error("not a value of the expected kind")]
    Kind,
    /// The number is not finite.
    #[error("not finite")]
    NotFinite,
    /// It is none of the names that the field has, and no integer.
    #[error("none of the field's names and no integer")]
    NotAName,
    /// It is not a time in the form asked for, or no day of the calendar.
    #[error("not a time of the expected form")]
    NotATime,
}

/// An unsigned integer of decimal digits and nothing else.
///
/// # Errors
/// When there is anything else, or more than 64 bits.
///
/// ```
/// use pelton_io::codec::number::{Problem, unsigned};
/// assert_eq!(unsigned(b"34200000"), Ok(34_200_000));
/// assert_eq!(unsigned(b"-1"), Err(Problem::Negative));
/// assert_eq!(unsigned(b"18446744073709551616"), Err(Problem::OutOfRange));
/// ```
#[inline]
pub fn unsigned(text: &[u8]) -> Result<u64, Problem> {
    match text {
        [] => return Err(Problem::Empty),
        [b'-', ..] => return Err(if unsigned(&text[1..]).is_ok() { Problem::Negative } else { Problem::NotANumber }),
        _ => {}
    }
    let mut value = 0u64;
    // 19 digits always fit.
    let safe = text.len().min(19);
    for &byte in &text[..safe] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Problem::NotANumber);
        }
        value = value * 10 + u64::from(digit);
    }
    for &byte in &text[safe..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Problem::NotANumber);
        }
        value = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or(Problem::OutOfRange)?;
    }
    Ok(value)
}

/// [`unsigned`] with a largest value.
///
/// # Errors
/// As for [`unsigned`], and [`Problem::OutOfRange`] above `max`.
#[inline]
pub fn unsigned_to(text: &[u8], max: u64) -> Result<u64, Problem> {
    let value = unsigned(text)?;
    if value > max { Err(Problem::OutOfRange) } else { Ok(value) }
}

/// A hexadecimal number of at most 32 bits; no text is 0.
///
/// # Errors
/// When there is anything but hexadecimal digits, or more than 8 of them.
pub fn hex32(text: &[u8]) -> Result<u32, Problem> {
    if text.len() > 8 {
        return Err(Problem::OutOfRange);
    }
    let mut value = 0;
    for &byte in text {
        value = value << 4 | char::from(byte).to_digit(16).ok_or(Problem::NotANumber)?;
    }
    Ok(value)
}

/// A decimal number times 10^`digits`, exactly, with its sign apart: (negative, magnitude).
///
/// Digits behind the point beyond `digits` must be zeros. There is no exponent and no `+`.
fn scaled(text: &[u8], digits: u32) -> Result<(bool, u128), Problem> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if text.is_empty() {
        return Err(if negative { Problem::NotANumber } else { Problem::Empty });
    }
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if (point.is_some() && fraction.is_empty()) || whole.is_empty() {
        return Err(Problem::NotANumber);
    }
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Problem::NotANumber);
    }
    let kept = fraction.len().min(digits as usize);
    let (kept, beyond) = fraction.split_at(kept);
    if beyond.iter().any(|&byte| byte != b'0') {
        return Err(Problem::TooPrecise(digits));
    }
    let mut value = 0u128;
    if whole.len() + digits as usize <= 19 {
        // The usual case stays within 64 bits.
        let mut small = 0u64;
        for &byte in whole.iter().chain(kept) {
            small = small * 10 + u64::from(byte - b'0');
        }
        for _ in kept.len()..digits as usize {
            small *= 10;
        }
        return Ok((negative, u128::from(small)));
    }
    let push = |value: u128, digit: u8| {
        value.checked_mul(10).and_then(|v| v.checked_add(u128::from(digit))).ok_or(Problem::OutOfRange)
    };
    for &byte in whole.iter().chain(kept) {
        value = push(value, byte - b'0')?;
    }
    if value != 0 {
        for _ in kept.len()..digits as usize {
            value = push(value, 0)?;
        }
    }
    Ok((negative, value))
}

/// A decimal number times 10^`digits` as 64 bits, exactly.
///
/// # Errors
/// When the text is no decimal number, has more digits behind the point (other than zeros), or does
/// not fit.
///
/// ```
/// use pelton_io::codec::number::{Problem, decimal};
/// assert_eq!(decimal(b"61804.7", 8), Ok(6_180_470_000_000));
/// assert_eq!(decimal(b"-0.5", 1), Ok(-5));
/// assert_eq!(decimal(b"1.25", 1), Err(Problem::TooPrecise(1)));
/// assert_eq!(decimal(b"92233720368.54775808", 8), Err(Problem::OutOfRange));
/// ```
pub fn decimal(text: &[u8], digits: u32) -> Result<i64, Problem> {
    let (negative, magnitude) = scaled(text, digits)?;
    let value = i128::try_from(magnitude).map_err(|_| Problem::OutOfRange)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| Problem::OutOfRange)
}

/// A decimal number times 10^`digits` as any signed integer of up to 128 bits.
pub(crate) fn decimal_signed(text: &[u8], digits: u32) -> Result<i128, Problem> {
    let (negative, magnitude) = scaled(text, digits)?;
    if negative {
        0i128.checked_sub_unsigned(magnitude).ok_or(Problem::OutOfRange)
    } else {
        i128::try_from(magnitude).map_err(|_| Problem::OutOfRange)
    }
}

/// A decimal number times 10^`digits` as any unsigned integer of up to 128 bits.
pub(crate) fn decimal_unsigned(text: &[u8], digits: u32) -> Result<u128, Problem> {
    match scaled(text, digits)? {
        (true, magnitude) if magnitude > 0 => Err(Problem::Negative),
        (_, magnitude) => Ok(magnitude),
    }
}

/// A finite float; -0 becomes 0, so that equal values have equal bytes.
pub(crate) fn float<F: FromStr + Into<f64> + Default + Copy + PartialEq>(text: &[u8]) -> Result<F, Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    let text = std::str::from_utf8(text).map_err(|_| Problem::NotANumber)?;
    let value: F = text.parse().map_err(|_| Problem::NotANumber)?;
    if !value.into().is_finite() {
        return Err(Problem::NotFinite);
    }
    Ok(if value == F::default() { F::default() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_at_their_limits_and_beyond() {
        assert_eq!(unsigned(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(unsigned(b"00000000000000000000000000000007"), Ok(7));
        for (text, problem) in [
            ("", Problem::Empty),
            ("-", Problem::NotANumber),
            ("--1", Problem::NotANumber),
            ("+1", Problem::NotANumber),
            (" 1", Problem::NotANumber),
            ("1.0", Problem::NotANumber),
            ("99999999999999999999", Problem::OutOfRange),
        ] {
            let found = unsigned(text.as_bytes());
            assert!(found == Err(problem) || text == "--1" && found == Err(Problem::NotANumber), "{text} {found:?}");
        }
        assert_eq!(unsigned_to(b"4294967296", u64::from(u32::MAX)), Err(Problem::OutOfRange));
        assert_eq!(hex32(b"20002020"), Ok(0x2000_2020));
        assert_eq!(hex32(b"ffffffff"), Ok(u32::MAX));
        assert_eq!(hex32(b"100000000"), Err(Problem::OutOfRange));
        assert_eq!(hex32(b"-1"), Err(Problem::NotANumber));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal(b"61837.64000000", 8), Ok(6_183_764_000_000));
        assert_eq!(decimal(b"0.000000010000", 8), Ok(1));
        assert_eq!(decimal(b"92233720368.54775807", 8), Ok(i64::MAX));
        assert_eq!(decimal(b"-92233720368.54775808", 8), Ok(i64::MIN));
        assert_eq!(decimal_signed(b"-170141183460469231731687303715884105728", 0), Ok(i128::MIN));
        assert_eq!(decimal_unsigned(b"340282366920938463463374607431768211455", 0), Ok(u128::MAX));
        assert_eq!(decimal_unsigned(b"340282366920938463463374607431768211456", 0), Err(Problem::OutOfRange));
        assert_eq!(decimal_unsigned(b"-0", 0), Ok(0));
        assert_eq!(decimal(&[b'9'; 5000], 8), Err(Problem::OutOfRange));
        for text in [".", "1.", ".5", "-", "-.5", "1e5", "1,5", "1.2.3", "0x1", "NaN", "inf", "1 "] {
            assert_eq!(decimal(text.as_bytes(), 8), Err(Problem::NotANumber), "{text}");
        }
        assert_eq!(decimal(b"", 8), Err(Problem::Empty));
    }

    #[test]
    fn floats_are_finite_and_zero_has_one_form() {
        assert_eq!(float::<f64>(b"-0.0").map(f64::to_bits), Ok(0));
        assert_eq!(float::<f64>(b"NaN"), Err(Problem::NotFinite));
        assert_eq!(float::<f32>(b"1e39"), Err(Problem::NotFinite));
        assert_eq!(float::<f64>(b"34.797999999999995"), Ok(34.797_999_999_999_995));
    }

    proptest! {
        #[test]
        fn every_fixed_point_value_comes_back(value: i64, digits in 0u32..19) {
            let magnitude = i128::from(value).unsigned_abs();
            let scale = 10u128.pow(digits);
            let sign = if value < 0 { "-" } else { "" };
            let text = if digits == 0 {
                format!("{sign}{magnitude}")
            } else {
                format!("{sign}{}.{:0width$}", magnitude / scale, magnitude % scale, width = digits as usize)
            };
            prop_assert_eq!(decimal(text.as_bytes(), digits), Ok(value));
        }
    }
}
