//! A scanner over one JSON text that borrows from it: strict in form, without building a tree.
//!
//! The text must be valid UTF-8; whoever calls has checked that.

/// What should stand at a byte where something else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonError {
    /// Bytes from the text's start.
    pub(super) offset: usize,
    pub(super) expected: &'static str,
}

type Result<T> = std::result::Result<T, JsonError>;

/// Lists and objects may stand in each other so many times.
const DEPTH_MAX: u32 = 64;

/// A value, as the bytes that stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A text without its quotation marks; escapes are left as they are.
    Text(&'a [u8]),
    /// A number.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// A list or an object, with its brackets and where it starts.
    Nested(&'a [u8], usize),
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Added to the offsets of errors.
    base: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T> {
        Err(JsonError { offset: self.base + self.at, expected })
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Takes `byte` where it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// The end of the text.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { self.fail("the end") }
    }

    /// Each name and value of an object.
    pub(super) fn object<E: From<JsonError>>(
        &mut self,
        mut each: impl FnMut(&'a [u8], Value<'a>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"', "a name")?;
            let name = self.text()?;
            self.expect(b':', "a colon")?;
            let value = self.value(1)?;
            each(name, value)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "a comma or the object's end")?;
        }
    }

    /// Each value of a list; `each` takes it from the scanner.
    pub(super) fn list<E: From<JsonError>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.expect(b'[', "a list")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "a comma or the list's end")?;
        }
    }

    /// The next value, checked whole.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value<'a>> {
        let Some(first) = self.peek() else { return self.fail("a value") };
        let start = self.at;
        match first {
            b'"' => {
                self.at += 1;
                self.text().map(Value::Text)
            }
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            b't' => self.literal(b"true").map(|()| Value::Bool(true)),
            b'f' => self.literal(b"false").map(|()| Value::Bool(false)),
            b'n' => self.literal(b"null").map(|()| Value::Null),
            b'[' | b'{' if depth >= DEPTH_MAX => self.fail("less nesting"),
            b'[' => {
                self.list::<JsonError>(|scanner| scanner.value(depth + 1).map(|_| ()))?;
                Ok(Value::Nested(&self.bytes[start..self.at], self.base + start))
            }
            b'{' => {
                self.nested_object(depth)?;
                Ok(Value::Nested(&self.bytes[start..self.at], self.base + start))
            }
            _ => self.fail("a value"),
        }
    }

    fn nested_object(&mut self, depth: u32) -> Result<()> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"', "a name")?;
            self.text()?;
            self.expect(b':', "a colon")?;
            self.value(depth + 1)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "a comma or the object's end")?;
        }
    }

    fn literal(&mut self, text: &'static [u8]) -> Result<()> {
        if self.bytes[self.at..].starts_with(text) {
            self.at += text.len();
            Ok(())
        } else {
            self.fail("a value")
        }
    }

    /// The rest of a text whose first quotation mark is taken.
    fn text(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.bytes[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return self.fail("no control character in a text"),
                Some(_) => self.at += 1,
                None => return self.fail("a closing quotation mark"),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let code = self.bytes.get(self.at + 2..self.at + 6);
                if code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)) {
                    self.at += 6;
                    return Ok(());
                }
                self.fail("four hexadecimal digits")
            }
            _ => self.fail("an escape"),
        }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.bytes[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        scanner.value(0).and_then(|_| scanner.end()).is_ok()
    }

    /// Surrogates that stand alone and numbers beyond a float are refused there and not here.
    fn reference(text: &str) -> bool {
        serde_json::from_str::<serde_json::Value>(text).is_ok()
    }

    #[test]
    fn takes_what_serde_json_takes_and_nothing_else() {
        for text in [
            "",
            " ",
            "{}",
            "[]",
            "[1,]",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1 2]",
            "{\"a\" 1}",
            "nul",
            "nulll",
            "01",
            "-",
            "-0",
            "1.",
            ".5",
            "1e",
            "1e+5",
            "1.5E-3",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u00e9\"",
            "\"\\\"\"",
            "\"\t\"",
            "tru",
            "[[[]]]",
            "{\"a\":{\"b\":[true,false,null,{}]}}",
            "{a:1}",
            "[}",
            "{]",
            "\"\\",
            "\"\u{1f600}\"",
            "1 1",
            "--1",
            " [ 1 , { \"a\" : \"b\" } ] ",
        ] {
            assert_eq!(accepts(text), reference(text), "{text:?}");
        }
        assert!(!accepts(&"[".repeat(100_000)));
    }

    proptest! {
        #[test]
        fn any_text_of_json_characters_is_judged_as_by_serde_json(
            text in "[\\[\\]{}\",: 0-9a.eE+tru\\\\-]{0,24}"
        ) {
            // "1e999" is JSON by its grammar.
            prop_assume!(!text.contains(['e', 'E']));
            prop_assert_eq!(accepts(&text), reference(&text));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut scanner = Scanner::new(&bytes, 0);
            let _ = scanner.value(0);
        }
    }
}
