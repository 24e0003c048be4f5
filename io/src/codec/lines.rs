//! Lines of bounded length, counted from 1. A byte order mark and carriage returns are dropped, the
//! last line needs no end, and a line that is too long is cut and said to be so.

use super::{InputError, Reject, RejectReason};
use std::io::{BufRead, Read};

/// The lines of a reader.
///
/// ```
/// use pelton_io::codec::lines::Lines;
/// let mut lines = Lines::new(&b"\xef\xbb\xbfa\r\nb"[..], 1 << 20);
/// assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"a");
/// assert_eq!(lines.next_line().unwrap().unwrap().number, 2);
/// assert!(lines.next_line().unwrap().is_none());
/// ```
pub struct Lines<R> {
    reader: R,
    bytes_max: usize,
    number: u64,
    buffer: Vec<u8>,
}

/// One line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// The line's bytes; only its beginning where `too_long` is set.
    pub bytes: &'a [u8],
    /// The limit in bytes, where the line is longer.
    pub too_long: Option<usize>,
}

impl Line<'_> {
    pub(crate) fn reject(&self, reason: RejectReason) -> Reject {
        Reject::new(self.number, reason, self.bytes)
    }
}

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`, of at most `bytes_max` bytes each.
    pub fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, bytes_max, number: 0, buffer: Vec::new() }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, InputError> {
        self.buffer.clear();
        // Room for a carriage return and the line's end.
        let room = (self.bytes_max as u64).saturating_add(2);
        let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut end = self.buffer.len();
        let mut ended = false;
        if self.buffer.last() == Some(&b'\n') {
            ended = true;
            end -= 1;
            if end > 0 && self.buffer[end - 1] == b'\r' {
                end -= 1;
            }
        }
        let mut too_long = None;
        if end > self.bytes_max {
            too_long = Some(self.bytes_max);
            end = self.bytes_max;
            if !ended {
                self.reader.skip_until(b'\n')?;
            }
        }
        let mut start = 0;
        if self.number == 1 && self.buffer[..end].starts_with(b"\xef\xbb\xbf") {
            start = 3;
        }
        Ok(Some(Line { number: self.number, bytes: &self.buffer[start..end], too_long }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], bytes_max: usize) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(text, bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((line.number, line.bytes.to_vec(), line.too_long.is_some()));
        }
        found
    }

    #[test]
    fn ends_marks_and_limits() {
        assert_eq!(all(b"", 8), []);
        assert_eq!(all(b"\n", 8), [(1, b"".to_vec(), false)]);
        assert_eq!(
            all(b"a\r\n\nb", 8),
            [(1, b"a".to_vec(), false), (2, b"".to_vec(), false), (3, b"b".to_vec(), false)]
        );
        assert_eq!(
            all(b"\xef\xbb\xbfx\n\xef\xbb\xbfy\n", 8),
            [(1, b"x".to_vec(), false), (2, b"\xef\xbb\xbfy".to_vec(), false)]
        );
        assert_eq!(
            all(b"12345678\r\n12345678", 8),
            [(1, b"12345678".to_vec(), false), (2, b"12345678".to_vec(), false)]
        );
        assert_eq!(all(b"123456789\nab\n", 8), [(1, b"12345678".to_vec(), true), (2, b"ab".to_vec(), false)]);
        let mut long = vec![b'x'; 100_000];
        long.extend_from_slice(b"\nab");
        assert_eq!(all(&long, 8), [(1, b"xxxxxxxx".to_vec(), true), (2, b"ab".to_vec(), false)]);
        assert_eq!(all(&[b'x'; 100_000], 8), [(1, b"xxxxxxxx".to_vec(), true)]);
    }
}
