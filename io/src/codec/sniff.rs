//! Tells what is no text in UTF-8 by its first bytes, before its lines are refused one by one.

use super::InputError;
use std::io::{BufRead, ErrorKind};

/// Refuses what begins like UTF-16 or like a tar archive, and says what can be done. Takes nothing
/// from the reader; as much is looked at as it has at hand.
pub(crate) fn refuse_no_text(reader: &mut impl BufRead) -> Result<(), InputError> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error.into());
        }
    }
    let bytes = reader.fill_buf()?;
    let found = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "text in UTF-16 (its byte order mark); iconv -f UTF-16 -t UTF-8 converts it"
        }
        [b' '..=b'~', 0, b' '..=b'~', 0, ..] => "text in UTF-16; iconv -f UTF-16LE -t UTF-8 converts it",
        [0, b' '..=b'~', 0, b' '..=b'~', ..] => "text in UTF-16; iconv -f UTF-16BE -t UTF-8 converts it",
        bytes if bytes.get(257..262) == Some(b"ustar") => "a tar archive; unpack it and import the files in it",
        _ => return Ok(()),
    };
    Err(InputError::format("text in UTF-8", found))
}
