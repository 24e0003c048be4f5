//! `pelton generate`: captures of made-up events.

use crate::args::GenerateTrades;
use crate::disk;
use crate::error::{Failure, say};
use crate::output::say_removed;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::units::grouped;
use pelton::Record;
use pelton_io::Trade;
use pelton_io::capture::{RawWriter, Summary, WriterOptions};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::output::Target;

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
    let target = Target::new(&args.output, args.overwrite)?;
    if let Some(directory) = target.directory() {
        let what = format!("{} trades", grouped(args.events));
        disk::check_room(directory, &what, disk::trades_bytes(args.events, args.keys, args.block))?;
    }
    let signals = Signals::watch()?;
    let summary = write(&options, &target, args.block, &signals)?;
    let (events, bytes) = (grouped(summary.events), grouped(summary.bytes));
    say(&format!("{}: {events} trades of {} symbols, {bytes} bytes", args.output.display(), grouped(summary.symbols)));
    Ok(())
}

/// Writes the trades of `options` to a capture. Stopped by a signal or by an error, it leaves no new file, and one that
/// was there as it was.
pub(crate) fn write(
    options: &TradeOptions,
    target: &Target,
    block: u32,
    signals: &Signals,
) -> Result<Summary, Failure> {
    let written = write_beside(options, target, block, signals);
    if written.is_err() {
        say_removed(target);
    }
    written
}

fn write_beside(options: &TradeOptions, target: &Target, block: u32, signals: &Signals) -> Result<Summary, Failure> {
    let writer_options = WriterOptions {
        block_events: block,
        symbols: symbol_names(options.keys).collect(),
        // Chosen, so that equal options make equal files.
        file_id: Some(options.seed),
        ..WriterOptions::default()
    };
    let new = target.create()?;
    if let Some(temporary) = new.temporary() {
        signals.remove_at_exit(temporary);
    }
    let mut writer = RawWriter::with_output(new.file()?, target.path(), Trade::layout(), writer_options)?;
    let progress = Progress::new(options.events);
    let mut made = trades(options);
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut done = 0;
    loop {
        chunk.clear();
        chunk.extend(made.by_ref().take(CHUNK));
        if chunk.is_empty() {
            let summary = writer.finish()?;
            new.commit()?;
            return Ok(summary);
        }
        writer.extend(bytemuck::cast_slice(&chunk))?;
        signals.check()?;
        done += chunk.len() as u64;
        progress.show(done, done, "");
    }
}
