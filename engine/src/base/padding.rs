//! What the derives ask of a layout when it compiles, and the words in which they refuse padding.

/// A field of a record, as the compiler laid it out.
#[derive(Clone, Copy)]
pub struct Place {
    /// The field's name.
    pub name: &'static str,
    /// Bytes from the record's start.
    pub offset: usize,
    /// Bytes of the field.
    pub size: usize,
    /// Its alignment in bytes.
    pub align: usize,
}

/// Proves that a record of `size` bytes has no padding behind one of its fields, which are in the order of their offsets.
///
/// # Panics
/// When it has: with its field, the number of bytes and what to write instead.
#[track_caller]
pub const fn check_no_padding(record: &str, size: usize, fields: &[Place], field: usize) {
    let end = fields[field].offset + fields[field].size;
    let next = if field + 1 < fields.len() { fields[field + 1].offset } else { size };
    if next != end {
        let message = refusal(record, fields, field, next - end);
        panic!("{}", message.as_str())
    }
}

/// What is said of padding behind a field.
const fn refusal(record: &str, fields: &[Place], field: usize, bytes: usize) -> Message {
    let mut message = Message::new()
        .text("`")
        .text(record)
        .text("` has ")
        .number(bytes)
        .text(if bytes == 1 { " byte" } else { " bytes" })
        .text(" of padding behind the field `")
        .text(fields[field].name)
        .text("`, and all bytes of a record are values: ");
    let (mut align, mut filled) = (1, 0);
    let mut is_sorted = true;
    let mut at = 0;
    while at < fields.len() {
        filled += fields[at].size;
        is_sorted = is_sorted && (at == 0 || fields[at - 1].align >= fields[at].align);
        align = if fields[at].align > align { fields[at].align } else { align };
        at += 1;
    }
    let rest = filled.next_multiple_of(align) - filled;
    if !is_sorted {
        message = by_alignment(message.text("order the fields `"), fields, align).text("`");
    }
    if rest > 0 {
        let lead = if is_sorted { "add the field `padding: [u8; " } else { ", with `padding: [u8; " };
        message = message.text(lead).number(rest).text("]` behind ").text(if is_sorted { "it" } else { "them" });
    }
    message.text("; or write `#[repr(C, packed)]`, which has no padding in any order")
}

/// The names of the fields from wide alignments to narrow ones: sizes are multiples of them, so there are no gaps between.
const fn by_alignment(mut message: Message, fields: &[Place], mut align: usize) -> Message {
    let mut is_first = true;
    while align > 0 {
        let mut at = 0;
        while at < fields.len() {
            if fields[at].align == align {
                message = message.text(if is_first { "" } else { ", " }).text(fields[at].name);
                is_first = false;
            }
            at += 1;
        }
        align /= 2;
    }
    message
}

/// The most bytes of a message; what is longer is cut off.
const MESSAGE_BYTES_MAX: usize = 2048;

/// A text that is made while the program compiles.
struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Self { bytes: [0; MESSAGE_BYTES_MAX], len: 0 }
    }

    const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && self.len < MESSAGE_BYTES_MAX {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    const fn number(self, number: usize) -> Self {
        let before = if number >= 10 { self.number(number / 10) } else { self };
        let digit = [b'0' + (number % 10) as u8];
        match str::from_utf8(&digit) {
            Ok(digit) => before.text(digit),
            Err(_) => before,
        }
    }

    const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "the record has padding: write `#[repr(C, packed)]`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn place(name: &'static str, offset: usize, size: usize, align: usize) -> Place {
        Place { name, offset, size, align }
    }

    /// The refusal of the first padding, and where there is none, nothing.
    fn refused(size: usize, fields: &[Place]) -> Option<String> {
        let check = |field| std::panic::catch_unwind(|| check_no_padding("Row", size, fields, field));
        (0..fields.len()).find_map(|field| check(field).err().map(|panic| *panic.downcast::<String>().unwrap()))
    }

    #[test]
    fn a_refusal_names_the_field_the_bytes_and_what_to_write() {
        let (wide, small) = (place("wide", 8, 8, 8), place("small", 0, 1, 1));
        let end = "; or write `#[repr(C, packed)]`, which has no padding in any order";
        for (size, fields, expected) in [
            (
                16,
                vec![small, wide],
                "7 bytes of padding behind the field `small`, and all bytes of a record are values: \
                 order the fields `wide, small`, with `padding: [u8; 7]` behind them",
            ),
            (
                16,
                vec![place("wide", 0, 8, 8), place("pair", 8, 4, 2), place("byte", 12, 3, 1)],
                "1 byte of padding behind the field `byte`, and all bytes of a record are values: \
                 add the field `padding: [u8; 1]` behind it",
            ),
            (
                24,
                vec![place("a", 0, 4, 4), wide, place("b", 16, 4, 4)],
                "4 bytes of padding behind the field `a`, and all bytes of a record are values: \
                 order the fields `wide, a, b`",
            ),
            (
                48,
                vec![place("a", 0, 1, 1), place("b", 16, 32, 16)],
                "15 bytes of padding behind the field `a`, and all bytes of a record are values: \
                 order the fields `b, a`, with `padding: [u8; 15]` behind them",
            ),
        ] {
            assert_eq!(refused(size, &fields), Some(format!("`Row` has {expected}{end}")));
        }
        assert_eq!(refused(16, &[place("wide", 0, 8, 8), place("other", 8, 8, 8)]), None);
    }

    #[test]
    fn names_too_long_for_a_message_are_cut_off() {
        /// "é", again and again.
        static NAME: [u8; 2 * MESSAGE_BYTES_MAX] = {
            let mut bytes = [0xA9; 2 * MESSAGE_BYTES_MAX];
            let mut at = 0;
            while at < bytes.len() {
                bytes[at] = 0xC3;
                at += 2;
            }
            bytes
        };
        let name = str::from_utf8(&NAME).unwrap();
        let message = refused(16, &[place(name, 0, 1, 1), place("wide", 8, 8, 8)]).unwrap();
        assert!(message.contains("packed"), "{message}");
    }

    proptest! {
        /// Laid out as `repr(C)` does it, by what the refusal says: then nothing is refused.
        #[test]
        fn what_a_refusal_says_has_no_padding(shapes in prop::collection::vec((1usize..4, 0u32..5), 1..8)) {
            let laid_out = |shapes: &[(&'static str, usize, usize)]| {
                let mut offset = 0;
                let fields: Vec<_> = shapes.iter().map(|&(name, size, align)| {
                    let at = usize::next_multiple_of(offset, align);
                    offset = at + size;
                    place(name, at, size, align)
                }).collect();
                let align = shapes.iter().map(|shape| shape.2).max().unwrap();
                (offset.next_multiple_of(align), fields)
            };
            let names = ["a", "b", "c", "d", "e", "f", "g"];
            let shapes: Vec<_> =
                shapes.iter().zip(names).map(|(&(times, align), name)| (name, times << align, 1 << align)).collect();
            let (size, fields) = laid_out(&shapes);
            let has_padding = size != fields.iter().map(|field| field.size).sum::<usize>();
            let message = refused(size, &fields);
            prop_assert_eq!(message.is_some(), has_padding);
            if let Some(message) = message {
                let order = message.split_once("order the fields `").map(|(_, rest)| rest.split_once('`').unwrap().0);
                let mut better: Vec<_> = match order {
                    Some(order) => order.split(", ").map(|name| *shapes.iter().find(|s| s.0 == name).unwrap()).collect(),
                    None => shapes.clone(),
                };
                prop_assert_eq!(better.len(), shapes.len());
                if let Some((_, rest)) = message.split_once("padding: [u8; ") {
                    better.push(("padding", rest.split_once(']').unwrap().0.parse().unwrap(), 1));
                }
                let (size, fields) = laid_out(&better);
                prop_assert_eq!(refused(size, &fields), None, "{}", message);
            }
        }
    }
}
