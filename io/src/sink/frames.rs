//! Lines as workers encode them for a sink that has to know each of them: to number it, or to see whether it still fits
//! into the file.
//!
//! ```text
//! frame   time (64 bits) │ length (32 bits) │ line
//! ```

use super::encode::{Format, RowEncoder};
use pelton::{Encoder, Encoders, Layout, Timestamp};
use std::sync::Arc;

const HEAD: usize = 12;

/// What makes frames, for each worker of a job.
pub(super) fn for_workers(layout: &Layout, format: Format) -> Encoders {
    let layout = layout.clone();
    Arc::new(move |symbols| {
        let mut encoder = RowEncoder::new(&layout, format);
        encoder.set_symbols(symbols.clone());
        Box::new(FrameEncoder(encoder))
    })
}

struct FrameEncoder(RowEncoder);

impl Encoder for FrameEncoder {
    fn encode(&mut self, time: Timestamp, record: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&time.as_nanos().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.0.row(record, out);
        // A record has at most 64 KiB, and its line some times as many bytes.
        let len = (out.len() - start - HEAD) as u32;
        out[start + 8..start + HEAD].copy_from_slice(&len.to_le_bytes());
    }
}

/// The first line of some frames with its time, and the frames behind it; `None` at the end.
pub(super) fn next(frames: &[u8]) -> Option<(Timestamp, &[u8], &[u8])> {
    let (head, rest) = frames.split_at_checked(HEAD)?;
    let time = Timestamp::from_nanos(i64::from_le_bytes(head[..8].try_into().unwrap_or_default()));
    let len = u32::from_le_bytes(head[8..].try_into().unwrap_or_default());
    let (line, rest) = rest.split_at_checked(len as usize)?;
    Some((time, line, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::Record;

    #[test]
    fn frames_are_taken_apart_again() {
        let mut encoder = for_workers(&u64::layout(), Format::Csv)(&Arc::default());
        let mut bytes = Vec::new();
        for number in 0..300u64 {
            encoder.encode(Timestamp::from_nanos(-(number as i64)), &number.to_le_bytes(), &mut bytes);
        }
        let (mut rest, mut count) = (&bytes[..], 0);
        while let Some((time, line, after)) = next(rest) {
            assert_eq!((time.as_nanos(), line), (-count, format!("{count}\n").as_bytes()));
            (rest, count) = (after, count + 1);
        }
        assert_eq!((count, rest.len()), (300, 0));
        assert_eq!(next(&bytes[..HEAD]), None);
    }
}
