//! `pelton generate`: captures of made-up events.

use crate::args::GenerateTrades;
use crate::error::{Failure, say};
use crate::progress::Progress;
use crate::units::grouped;
use pelton_io::Trade;
use pelton_io::capture::{CaptureWriter, Summary, WriterOptions};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use std::path::Path;

/// Events between two looks at the progress.
const CHUNK: usize = 1 << 16;

pub(crate) fn run(args: &GenerateTrades) -> Result<(), Failure> {
    let options = TradeOptions {
        events: args.events,
        keys: args.keys,
        seed: args.seed,
        start_ns: args.start.as_nanos(),
        rate: args.rate,
        disorder: args.disorder,
    };
    let summary = write(&options, &args.output, args.block, args.overwrite)?;
    let (events, bytes) = (grouped(summary.events), grouped(summary.bytes));
    say(&format!("{}: {events} trades of {} symbols, {bytes} bytes", args.output.display(), grouped(summary.symbols)));
    Ok(())
}

/// Writes the trades of `options` to a capture.
pub(crate) fn write(options: &TradeOptions, output: &Path, block: u32, overwrite: bool) -> Result<Summary, Failure> {
    let writer_options = WriterOptions {
        block_events: block,
        symbols: symbol_names(options.keys).collect(),
        overwrite,
        // Chosen, so that equal options make equal files.
        file_id: Some(options.seed),
    };
    let mut writer = CaptureWriter::<Trade>::create(output, writer_options)?;
    let progress = Progress::new(options.events);
    let mut made = trades(options);
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut done = 0;
    loop {
        chunk.clear();
        chunk.extend(made.by_ref().take(CHUNK));
        if chunk.is_empty() {
            return Ok(writer.finish()?);
        }
        writer.extend(&chunk)?;
        done += chunk.len() as u64;
        progress.show(done, done, "");
    }
}
