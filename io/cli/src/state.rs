//! `pelton state`: what is in a state directory.

use crate::args::{State, StateExport, StateShow};
use crate::error::Failure;
use crate::signals::Signals;
use crate::units::grouped;
use pelton::Timestamp;
use pelton::state::{JournalInfo, SavedCheckpoint, SavedJournal, SavedState};
use pelton_io::sink::{Format, RowEncoder};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

pub(crate) fn run(args: &State) -> Result<(), Failure> {
    // Nothing is made that a signal would have to have removed.
    Signals::watch()?.end_at_once()?;
    let mut out = BufWriter::new(io::stdout().lock());
    match args {
        State::List(args) => list(&args.dir, &mut out)?,
        State::Verify(args) => verify(&args.dir, &mut out)?,
        State::Show(args) => show(args, &mut out)?,
        State::Export(args) => export(args, &mut out)?,
    }
    Ok(out.flush()?)
}

fn list(dir: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let state = SavedState::open(dir)?;
    writeln!(out, "checkpoint  committed                               bytes  parts  what")?;
    for checkpoint in state.checkpoints() {
        let since = checkpoint.committed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let committed = Timestamp::default() + since;
        let what = match (checkpoint.is_finished, checkpoint.is_savepoint) {
            (true, _) => "the job had finished",
            (false, true) => "savepoint",
            (false, false) => "checkpoint",
        };
        let (epoch, bytes, parts) = (checkpoint.epoch, grouped(checkpoint.bytes), checkpoint.bodies);
        writeln!(out, "{epoch:<10}  {committed:<30}  {bytes:>13}  {parts:>5}  {what}")?;
    }
    let (bytes, free) = state.log_bytes();
    writeln!(out, "log         {} bytes, {} of them free", grouped(bytes), grouped(free))?;
    for remark in state.remarks() {
        writeln!(out, "note        {remark}")?;
    }
    let Some(journal) = state.journal()? else { return Ok(()) };
    size(&journal, out)?;
    for remark in journal.remarks() {
        writeln!(out, "note        {remark}")?;
    }
    Ok(())
}

fn verify(dir: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let mut state = SavedState::open(dir)?;
    let checkpoints = state.checkpoints();
    for checkpoint in &checkpoints {
        state.read(Some(checkpoint.epoch))?;
        writeln!(out, "checkpoint {}: {} bytes, every checksum holds", checkpoint.epoch, grouped(checkpoint.bytes))?;
    }
    if checkpoints.is_empty() {
        writeln!(out, "no checkpoint was committed")?;
    }
    // Each record is checked when it is opened.
    if let Some(journal) = state.journal()? {
        let JournalInfo { records, bytes, .. } = journal.info();
        writeln!(out, "journal: {} records of {} bytes, every checksum holds", grouped(records), grouped(bytes))?;
    }
    Ok(())
}

/// How large the journal is.
fn size(journal: &SavedJournal, out: &mut impl Write) -> Result<(), Failure> {
    let JournalInfo { records, bytes, file_bytes, .. } = journal.info();
    let [records, bytes, room] = [records, bytes, file_bytes - bytes].map(grouped);
    writeln!(out, "journal     {records} records, {bytes} bytes, {room} more are free")?;
    match journal.cut() {
        None => Ok(()),
        Some(cut) => {
            let (checkpoint, records) = (cut.checkpoint, grouped(cut.records));
            Ok(writeln!(out, "            the first {records} records, before checkpoint {checkpoint}, were cut")?)
        }
    }
}

/// What is in the journal of live sources.
fn show_journal(journal: &SavedJournal, checkpoint: &SavedCheckpoint, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out)?;
    size(journal, out)?;
    // What a checkpoint stands behind was durable before it was committed.
    let behind = checkpoint.journal_records().unwrap_or(0);
    let durable = grouped(journal.info().durable_records.max(behind));
    writeln!(
        out,
        "            {durable} records are known to be durable; the checkpoint stands behind {}",
        grouped(behind)
    )?;
    writeln!(out, "journaled                 events     rejected  earliest                        latest")?;
    for source in journal.sources() {
        let name = source.name.escape_debug().to_string();
        if !source.is_feed {
            writeln!(out, "{name:<16} when its blocks were read; it is bounded, so its events are not in the journal")?;
            continue;
        }
        let times =
            journal.feed(&source.name)?.time_range().map(|(first, last)| [first, last].map(|time| time.to_string()));
        let [first, last] = times.unwrap_or_else(|| ["none".to_owned(), "none".to_owned()]);
        let [events, rejected] = [source.events, source.rejected].map(grouped);
        writeln!(out, "{name:<16} {events:>15} {rejected:>12}  {first:<30}  {last}")?;
    }
    Ok(())
}

fn read(state: &mut SavedState, dir: &Path, epoch: Option<u64>) -> Result<SavedCheckpoint, Failure> {
    match (state.read(epoch)?, epoch) {
        (Some(checkpoint), _) => Ok(checkpoint),
        (None, None) => Err(Failure::failed(format!("{}: no checkpoint was committed", dir.display()))),
        (None, Some(epoch)) => {
            let known: Vec<_> = state.checkpoints().iter().map(|checkpoint| checkpoint.epoch.to_string()).collect();
            let (dir, known) = (dir.display(), known.join(", "));
            Err(Failure::failed(format!("{dir}: there is no checkpoint {epoch}; there are: {known}")))
        }
    }
}

fn show(args: &StateShow, out: &mut impl Write) -> Result<(), Failure> {
    let mut state = SavedState::open(&args.dir)?;
    let checkpoint = read(&mut state, &args.dir, args.checkpoint)?;
    writeln!(out, "checkpoint  {}", checkpoint.epoch())?;
    writeln!(out, "job         {}, {} workers", checkpoint.job().escape_debug(), checkpoint.workers())?;
    writeln!(out, "symbols     {}", grouped(checkpoint.symbols().texts().len() as u64))?;
    for (names, unit) in checkpoint.sources() {
        let names: Vec<_> = names.iter().map(|name| name.escape_debug().to_string()).collect();
        writeln!(out, "sources     {}: {} units read", names.join(", "), grouped(unit))?;
    }
    for sink in checkpoint.sinks() {
        writeln!(out, "output      {} goes on where it stood", sink.escape_debug())?;
    }
    writeln!(out, "\nstep                      in            out       late  watermark")?;
    for counts in checkpoint.counts() {
        let watermark = match counts.watermark {
            Timestamp::MIN => "none".to_owned(),
            Timestamp::MAX => "the end".to_owned(),
            watermark => watermark.to_string(),
        };
        let (name, late) = (counts.name.escape_debug().to_string(), grouped(counts.late));
        let [rows_in, rows_out] = [counts.rows_in, counts.rows_out].map(grouped);
        writeln!(out, "{name:<16} {rows_in:>14} {rows_out:>14} {late:>10}  {watermark}")?;
    }
    writeln!(out, "\nstore                          entries          bytes  kind")?;
    for store in checkpoint.stores()? {
        let name = format!("{}/{}", store.step.escape_debug(), store.store.escape_debug());
        let [entries, bytes] = [store.entries, store.bytes].map(grouped);
        writeln!(out, "{name:<24} {entries:>13} {bytes:>14}  {} of {}", store.kind, store.value)?;
    }
    state.journal()?.map_or(Ok(()), |journal| show_journal(&journal, &checkpoint, out))
}

fn export(args: &StateExport, out: &mut impl Write) -> Result<(), Failure> {
    let checkpoint = read(&mut SavedState::open(&args.dir)?, &args.dir, args.checkpoint)?;
    let named = |(step, store): &(&str, &str)| format!("{step}/{store}") == args.store;
    let Some((step, store)) = checkpoint.store_names().find(named) else {
        let known: Vec<_> = checkpoint.store_names().map(|(step, store)| format!("{step}/{store}")).collect();
        return Err(Failure::usage(format!("there is no store {}; there are: {}", args.store, known.join(", "))));
    };
    let rows = checkpoint.rows(step, store)?;
    let mut encoder = RowEncoder::new(&rows.layout, Format::Csv);
    encoder.set_symbols(checkpoint.symbols());
    let mut text = Vec::new();
    encoder.header(&mut text);
    for row in &rows.rows {
        encoder.row(row, &mut text);
        out.write_all(&text)?;
        text.clear();
    }
    Ok(out.write_all(&text)?)
}
