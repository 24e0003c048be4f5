//! Writing all bytes to what takes some of them, is interrupted, or fails.

use crate::parts::INTERRUPTS_MAX;
use std::io::{self, ErrorKind, Write};

/// Writes all bytes. Where [`Write::write_all`] would try again for ever, this gives up when it was interrupted too often
/// without a byte written.
pub(super) fn write_all(out: &mut (impl Write + ?Sized), bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    let mut interrupts = 0;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                rest = &rest[written..];
                interrupts = 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => interrupts += 1,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Err(io::Error::other(format!("it was interrupted {INTERRUPTS_MAX} times")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Format, TextSink};
    use pelton::{Sink, Timestamp};
    use pelton_tests::rng::Rng;
    use std::sync::{Arc, Mutex};

    /// What the next write does, when it fails.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        Interrupted,
        Full,
        Zero,
    }

    /// A stream that takes some bytes of those it is given, and fails at one write, once or for ever.
    #[derive(Clone)]
    struct Stream {
        taken: Arc<Mutex<Vec<u8>>>,
        rng: Rng,
        writes: u64,
        fault: Option<(u64, Fault, bool)>,
    }

    impl Stream {
        fn new(seed: u64, fault: Option<(u64, Fault, bool)>) -> Self {
            Self { taken: Arc::default(), rng: Rng::new(seed), writes: 0, fault }
        }
    }

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            match self.fault {
                Some((at, fault, for_ever)) if self.writes == at || (for_ever && self.writes > at) => match fault {
                    Fault::Interrupted => Err(ErrorKind::Interrupted.into()),
                    Fault::Full => Err(ErrorKind::StorageFull.into()),
                    Fault::Zero => Ok(0),
                },
                _ => {
                    let count = 1 + self.rng.below(bytes.len() as u64) as usize;
                    self.taken.lock().unwrap().extend_from_slice(&bytes[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes rows, flushed now and then; the first error.
    fn write_rows(stream: &Stream) -> Result<(), String> {
        let mut sink = TextSink::new(stream.clone(), "the stream", Format::Csv);
        let mut result = Ok(());
        for batch in 0..20u64 {
            let rows: Vec<u64> = (batch * 50..batch * 50 + 50).collect();
            let written = sink.write(&vec![Timestamp::MIN; rows.len()], &rows).map(|_| ());
            result = result.and(written).and(Sink::<u64>::flush(&mut sink));
        }
        result.and(Sink::<u64>::finish(&mut sink)).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_of_a_stream_that_takes_some_bytes_or_fails_are_whole_or_an_error_is_told() {
        let whole = Stream::new(0, None);
        write_rows(&whole).unwrap();
        let expected = whole.taken.lock().unwrap().clone();
        assert_eq!(expected.iter().filter(|byte| **byte == b'\n').count(), 1001);
        let (mut fine, mut failed) = (0, 0);
        for seed in 0..40 {
            for fault in [Fault::Interrupted, Fault::Full, Fault::Zero] {
                for for_ever in [false, true] {
                    let stream = Stream::new(seed, Some((1 + seed, fault, for_ever)));
                    let what = format!("seed {seed}, {fault:?}, for ever: {for_ever}");
                    match write_rows(&stream) {
                        Ok(()) => {
                            assert!(fault == Fault::Interrupted && !for_ever, "{what}: nobody was told");
                            assert_eq!(*stream.taken.lock().unwrap(), expected, "{what}");
                            fine += 1;
                        }
                        Err(error) => {
                            assert!(error.contains("the stream: cannot write the rows"), "{what}: {error}");
                            // Nothing is written behind what was lost.
                            assert!(expected.starts_with(&stream.taken.lock().unwrap()), "{what}");
                            failed += 1;
                        }
                    }
                }
            }
        }
        assert_eq!((fine, failed), (40, 200));
    }
}
