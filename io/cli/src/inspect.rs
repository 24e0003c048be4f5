//! `pelton inspect`: what is in a capture.

use crate::args::Inspect;
use crate::error::Failure;
use crate::signals::Signals;
use crate::units::grouped;
use pelton_io::capture::Capture;
use pelton_io::sink::{Format, RowEncoder};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

/// Symbols that are listed by name.
const SYMBOLS_SHOWN: usize = 10;

pub(crate) fn run(args: &Inspect) -> Result<(), Failure> {
    // Nothing is made that a signal would have to have removed.
    Signals::watch()?.end_at_once()?;
    let capture = Capture::open(&args.capture)?;
    let mut out = BufWriter::new(io::stdout().lock());
    describe(&capture, &mut out)?;
    if args.verify {
        // What is known so far is shown before what may take long, or fail.
        out.flush()?;
        capture.verify()?;
        writeln!(out, "verified   every block's checksum, count and times hold")?;
    }
    if args.head > 0 {
        writeln!(out)?;
        head(&capture, args.head, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn describe(capture: &Capture, out: &mut impl Write) -> io::Result<()> {
    let layout = capture.layout();
    writeln!(out, "file       {}, {} bytes", capture.path().display(), grouped(capture.file_bytes()))?;
    writeln!(
        out,
        "events     {} of {}, {} bytes each",
        grouped(capture.event_count()),
        layout.name().escape_debug(),
        layout.size()
    )?;
    writeln!(out, "blocks     {} of up to {} events", grouped(capture.blocks().len() as u64), capture.block_events())?;
    match capture.time_range() {
        Some((first, last)) => {
            writeln!(out, "earliest   {}  {}", first.as_nanos(), first)?;
            writeln!(out, "latest     {}  {}", last.as_nanos(), last)?;
        }
        None => writeln!(out, "times      none: there are no events")?,
    }
    match capture.cut() {
        None => writeln!(out, "complete   yes")?,
        Some(cut) => {
            let bytes = grouped(cut.bytes);
            writeln!(out, "complete   no: {bytes} bytes from byte {} on are lost: {}", cut.offset, cut.reason)?;
        }
    }
    let symbols = capture.symbols();
    write!(out, "symbols    {}", grouped(symbols.len() as u64))?;
    for (i, text) in symbols.iter().take(SYMBOLS_SHOWN).enumerate() {
        // What a hostile file's texts hold is not for the terminal to obey.
        write!(out, "{} {}", if i == 0 { ":" } else { "," }, text.escape_debug())?;
    }
    writeln!(out, "{}", if symbols.len() > SYMBOLS_SHOWN { ", .." } else { "" })?;
    writeln!(out, "fields     offset  type     name")?;
    for field in layout.fields() {
        let (kind, name) = (field.kind.to_string(), field.name.escape_debug());
        let time = if field.time { "  (event time)" } else { "" };
        writeln!(out, "           {:>6}  {kind:<8} {name}{time}", field.offset)?;
    }
    Ok(())
}

fn head(capture: &Capture, mut events: u64, out: &mut impl Write) -> Result<(), Failure> {
    let mut encoder = RowEncoder::new(capture.layout(), Format::Csv);
    encoder.set_symbols(Arc::new(capture.dictionary()?));
    let mut text = Vec::new();
    encoder.header(&mut text);
    let mut records = Vec::new();
    for block in 0..capture.blocks().len() {
        if events == 0 {
            break;
        }
        capture.read_raw(block, &mut records)?;
        for record in records.chunks_exact(capture.layout().size()).take(usize::try_from(events).unwrap_or(usize::MAX))
        {
            encoder.row(record, &mut text);
            events -= 1;
        }
        out.write_all(&text)?;
        text.clear();
    }
    out.write_all(&text)?;
    Ok(())
}
