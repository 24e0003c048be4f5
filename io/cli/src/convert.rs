//! `pelton convert`: files of other formats become a capture.

use crate::args::Convert;
use crate::error::{Failure, say};
use crate::output::say_removed;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::units::grouped;
use pelton_io::codec::InputError;
use pelton_io::import::{ImportError, ImportOptions, ImportProgress, import, rejects_path};
use pelton_io::output::Target;

/// The bar's length for each input.
const STEPS: u64 = 1_000;

pub(crate) fn run(args: Convert) -> Result<(), Failure> {
    let Some((output, inputs)) = args.files.split_last() else {
        return Err(Failure::usage("expected one or more inputs and an output"));
    };
    let signals = Signals::watch()?;
    let options = ImportOptions {
        day: args.date,
        utc_offset: args.utc_offset,
        symbol: args.symbol,
        streams: args.streams,
        csv_schema: args.schema,
        csv_header: args.header,
        csv_delimiter: args.delimiter,
        strict: args.strict,
        block_events: args.block,
        overwrite: args.overwrite,
        stop: signals.flag(),
        ..ImportOptions::default()
    };
    let progress = Progress::new(inputs.len() as u64 * STEPS);
    let mut show = |now: ImportProgress<'_>| {
        let of_file = u128::from(now.file_bytes_read.min(now.file_bytes)) * u128::from(STEPS);
        let of_file = of_file.checked_div(u128::from(now.file_bytes)).unwrap_or(0) as u64;
        now.made.iter().for_each(|made| signals.remove_at_exit(made));
        progress.show(now.file_index as u64 * STEPS + of_file, now.read, "");
    };
    let imported = import(args.from, inputs, output, &options, &mut show);
    drop(progress);
    signals.keep();
    let report = imported.map_err(|error| {
        let is_unfinished = matches!(error, ImportError::Stopped | ImportError::Output(_));
        if let (true, Ok(target)) = (is_unfinished, Target::new(output, true)) {
            say_removed(&target);
        }
        match (&error, signals.received()) {
            (ImportError::Stopped, Some(signal)) => Failure::Stopped(signal),
            _ => failure(error),
        }
    })?;
    say(&format!("{}: {report}\n  {} bytes", output.display(), grouped(report.output_bytes)));
    if report.rejected > 0 {
        say(&format!("  the rejected lines and their reasons are in {}", rejects_path(output).display()));
    }
    Ok(())
}

/// The error, and the options that may help.
fn failure(error: ImportError) -> Failure {
    let ImportError::Input { source: InputError::Header(contradiction), .. } = &error else { return error.into() };
    let help = match contradiction.delimiter {
        Some(delimiter) => format!("try --delimiter '{}'", delimiter.escape_ascii()),
        None => "--header skip takes the columns in the schema's order, whatever their names; \
                 --header none does so for files without a header"
            .into(),
    };
    Failure::failed(format!("{error}\n  {help}"))
}
