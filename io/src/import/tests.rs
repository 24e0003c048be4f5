//! Imports of good, bad and hostile files, from bytes made here.

mod headers;
mod nothing;

use super::*;
use crate::capture::Capture;
use crate::codec::{InputLimits, RejectReason, SkipReason};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use tempfile::TempDir;

const TRADES: &str = "34200000,140000,100,P,2000,0\n34200005,140100,200,Q,0,0\n";

struct Place {
    dir: TempDir,
    options: ImportOptions,
}

impl Place {
    fn new() -> Self {
        let options = ImportOptions { symbol: Some("BAC".into()), ..ImportOptions::default() };
        Self { dir: tempfile::tempdir().unwrap(), options }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("out.pelton")
    }

    fn import(&self, format: Format, inputs: &[PathBuf]) -> Result<ImportReport, ImportError> {
        let _ = std::fs::remove_file(self.output());
        let result = import(format, inputs, &self.output(), &self.options, &mut |_| {});
        match &result {
            Ok(report) => {
                assert_eq!(report.read, report.written + report.rejected + report.skipped);
                assert_eq!(report.skipped, report.skipped_by.iter().sum::<u64>());
                let capture = Capture::open(self.output()).unwrap();
                capture.verify().unwrap();
                assert_eq!(capture.event_count(), report.written);
                assert_eq!(rejects_path(&self.output()).exists(), report.rejected > 0);
            }
            Err(_) => assert!(!self.output().exists()),
        }
        result
    }

    fn bytes_of(&self) -> Vec<u8> {
        let capture = Capture::open(self.output()).unwrap();
        let (mut all, mut block) = (Vec::new(), Vec::new());
        for index in 0..capture.blocks().len() {
            block.clear();
            capture.read_raw(index, &mut block).unwrap();
            all.extend_from_slice(&block);
        }
        all
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, zip::write::SimpleFileOptions::default()).unwrap();
            continue;
        }
        writer.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn packings(text: &[u8]) -> [(&'static str, Vec<u8>); 5] {
    [
        ("plain", text.to_vec()),
        ("zip", zip_of(&[("a.csv", text)], zip::CompressionMethod::Deflated)),
        ("stored", zip_of(&[("a.csv", text)], zip::CompressionMethod::Stored)),
        ("gzip", gzip(text)),
        ("zstd", zstd::encode_all(text, 3).unwrap()),
    ]
}

#[test]
fn every_packing_gives_the_same_events() {
    let place = Place::new();
    for (name, bytes) in packings(TRADES.as_bytes()) {
        let report = place.import(Format::LeanTrade, &[place.file(name, &bytes)]).unwrap();
        assert_eq!((report.read, report.written), (2, 2), "{name}");
        let events = place.bytes_of();
        let trades: &[crate::Trade] = &bytemuck::pod_collect_to_vec(&events);
        assert_eq!((trades[0].time_ns, trades[1].size), (34_200_000_000_000, 200), "{name}");
        assert_eq!(&*Capture::open(place.output()).unwrap().symbols()[0], "BAC");
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error_or_accounted_for() {
    let place = Place::new();
    let text = TRADES.repeat(20);
    for (name, bytes) in packings(text.as_bytes()) {
        let packed = name != "plain";
        // Nearly every cut and bit of plain text leaves a file of lines.
        let step = if packed { 1 } else { 11 };
        for cut in (0..bytes.len()).step_by(step) {
            let result = place.import(Format::LeanTrade, &[place.file(name, &bytes[..cut])]);
            // Without its first bytes a file is taken for text, and without any it has no lines.
            if packed && cut >= 4 {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(name), "{name} cut at {cut}: {error}");
            }
            let _ = std::fs::remove_file(rejects_path(&place.output()));
        }
        for at in (0..bytes.len()).step_by(3 * step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            if let Ok(report) = place.import(Format::LeanTrade, &[place.file(name, &flipped)]) {
                // Bits of names, dates and flags say nothing about the data.
                assert!(!packed || report.rejected > 0 || report.written == 40, "{name} at {at}: {report}");
            }
            let _ = std::fs::remove_file(rejects_path(&place.output()));
        }
    }
}

#[test]
fn bombs_run_into_the_limits() {
    let mut place = Place::new();
    let zeros = vec![b'0'; 8 << 20];
    let bombs = [
        ("bomb.zip", zip_of(&[("a.csv", &zeros)], zip::CompressionMethod::Deflated)),
        ("bomb.gz", gzip(&zeros)),
        ("bomb.zst", zstd::encode_all(&zeros[..], 3).unwrap()),
    ];
    for (name, bytes) in &bombs {
        let input = [place.file(name, bytes)];
        place.options.limits = InputLimits { ratio_free_bytes: 1 << 20, ratio_max: 500, ..InputLimits::default() };
        let error = place.import(Format::LeanTrade, &input).unwrap_err();
        assert!(
            matches!(&error, ImportError::Input { source: InputError::Ratio { limit: 500, found, packed }, .. }
                if *packed <= bytes.len() as u64 && *found > 1 << 20 && *found < 8 << 20),
            "{error}"
        );
        assert!(error.to_string().contains(name), "{error}");
        place.options.limits = InputLimits { unpacked_bytes_max: 1 << 20, ..InputLimits::default() };
        let error = place.import(Format::LeanTrade, &input).unwrap_err();
        assert!(
            matches!(&error, ImportError::Input { source: InputError::TooLarge { limit: 1_048_576, .. }, .. }),
            "{error}"
        );
        // Within the limits it is one line that is too long.
        place.options.limits = InputLimits { line_bytes_max: 1 << 20, ..InputLimits::default() };
        let error = place.import(Format::LeanTrade, &input).unwrap_err();
        assert!(
            matches!(&error, ImportError::NothingRead { rejected: 1, first, .. }
                if first.reason == RejectReason::LineTooLong { limit: 1 << 20 }),
            "{error}"
        );
        std::fs::remove_file(rejects_path(&place.output())).unwrap();
    }
}

#[test]
fn archives_with_more_or_less_than_one_file_are_refused() {
    let place = Place::new();
    for files in [&[][..], &[("folder/", &b""[..])], &[("a.csv", &b"1"[..]), ("b.csv", b"2")]] {
        let bytes = zip_of(files, zip::CompressionMethod::Deflated);
        let error = place.import(Format::LeanTrade, &[place.file("x.zip", bytes)]).unwrap_err().to_string();
        assert!(error.contains("expected a zip archive with one file"), "{error}");
    }
}

#[test]
fn folders_in_an_archive_do_not_count() {
    let place = Place::new();
    let trades = ("day/a.csv", TRADES.as_bytes());
    for files in [[("day/", &b""[..]), trades], [trades, ("day/", b"")]] {
        let bytes = zip_of(&files, zip::CompressionMethod::Deflated);
        assert_eq!(place.import(Format::LeanTrade, &[place.file("x.zip", bytes)]).unwrap().written, 2);
    }
}

#[test]
fn empty_and_foreign_files_never_give_events() {
    let place = Place::new();
    let empty = place.import(Format::LeanTrade, &[place.file("empty", "")]).unwrap();
    assert_eq!((empty.read, empty.files, empty.empty_files), (0, 1, 1));
    let foreign: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for format in [Format::LeanTrade, Format::LeanQuote, Format::Binance] {
        let error = place.import(format, &[place.file("foreign", &foreign)]).unwrap_err();
        assert!(matches!(error, ImportError::NothingRead { .. }), "{error}");
        std::fs::remove_file(rejects_path(&place.output())).unwrap();
    }
    assert!(place.import(Format::Csv, &[place.file("foreign", &foreign)]).is_err());
    #[cfg(feature = "dbn")]
    assert!(place.import(Format::Dbn(None), &[place.file("foreign", &foreign)]).is_err());
    assert!(place.import(Format::LeanTrade, &[place.dir.path().join("absent")]).is_err());
    assert!(place.import(Format::LeanTrade, &[place.dir.path().to_owned()]).is_err());
    assert!(matches!(place.import(Format::LeanTrade, &[]), Err(ImportError::NoInput)));
}

#[test]
fn rejects_name_file_line_and_reason() {
    let place = Place::new();
    let first = place.file("first.csv", "34200000,140000,100,P,2000,0\nbad \"line\"\n\n");
    let second = place.file("second.csv", "x,1,2,P,0,0\r\n1,2,3,P,0,0");
    let report = place.import(Format::LeanTrade, &[first.clone(), second.clone()]).unwrap();
    assert_eq!((report.files, report.read, report.written, report.rejected), (2, 5, 2, 2));
    assert_eq!(report.skipped_for(SkipReason::Blank), 1);
    let mut reader = ::csv::Reader::from_path(rejects_path(&place.output())).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["file", "line", "reason", "text"]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows[0], vec![&*first.to_string_lossy(), "2", "expected 6 columns, found 1", "bad \"line\""]);
    let reason = "ms: not a number of the expected form";
    assert_eq!(rows[1], vec![&*second.to_string_lossy(), "1", reason, "x,1,2,P,0,0"]);
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_strict_import_ends_at_the_first_rejected_line() {
    let mut place = Place::new();
    place.options.strict = true;
    let input = place.file("in.csv", format!("{TRADES}oops\n"));
    let error = place.import(Format::LeanTrade, std::slice::from_ref(&input)).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: line 3: expected 6 columns, found 1", input.display()));
    place.options.strict = false;
    // What the failed import left is not written over unless that is allowed.
    assert!(matches!(place.import(Format::LeanTrade, std::slice::from_ref(&input)), Err(ImportError::File(_))));
    place.options.overwrite = true;
    assert_eq!(place.import(Format::LeanTrade, &[input]).unwrap().rejected, 1);
}

#[test]
fn an_output_that_exists_or_is_an_input_stays() {
    let mut place = Place::new();
    let input = place.file("in.csv", TRADES);
    let other = place.file("other", "precious");
    let run = |options: &ImportOptions, output: &Path| {
        import(Format::LeanTrade, std::slice::from_ref(&input), output, options, &mut |_| {})
    };
    assert!(matches!(run(&place.options, &other), Err(ImportError::File(_))));
    place.options.overwrite = true;
    assert!(matches!(run(&place.options, &input), Err(ImportError::OutputIsInput { .. })));
    assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    assert_eq!(std::fs::read(&input).unwrap(), TRADES.as_bytes());
    assert_eq!(run(&place.options, &other).unwrap().written, 2);
}

#[test]
fn an_import_that_fails_or_is_stopped_leaves_what_was_there() {
    let mut place = Place::new();
    let lines = format!("oops\n{}", TRADES.repeat(2_000));
    let input = place.file("in.csv", lines);
    let output = place.file("precious", "precious");
    let run = |options: &ImportOptions, inputs: &[PathBuf]| {
        import(Format::LeanTrade, inputs, &output, options, &mut |_| {}).unwrap_err()
    };
    place.options.overwrite = true;
    let absent = place.dir.path().join("absent");
    assert!(matches!(run(&place.options, &[input.clone(), absent]), ImportError::Input { .. }));
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    std::fs::remove_file(rejects_path(&output)).unwrap();
    place.options.stop.store(true, Ordering::Relaxed);
    assert!(matches!(run(&place.options, &[input]), ImportError::Stopped));
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(place.dir.path()).unwrap().count(), 2);
}

#[test]
fn names_give_symbol_and_day_where_options_do_not() {
    let mut place = Place::new();
    place.options = ImportOptions { day: Day::FromName, ..ImportOptions::default() };
    let inner = zip_of(&[("20131008_bac_Trade_Tick.csv", TRADES.as_bytes())], zip::CompressionMethod::Deflated);
    let inputs = [place.file("one.zip", inner), place.file("ibm_19700102_trade.csv", TRADES)];
    place.import(Format::LeanTrade, &inputs).unwrap();
    let symbols = Capture::open(place.output()).unwrap().symbols().to_vec();
    assert_eq!(symbols.iter().map(|text| &**text).collect::<Vec<_>>(), ["BAC", "IBM"]);
    let events = place.bytes_of();
    let trades: &[crate::Trade] = &bytemuck::pod_collect_to_vec(&events);
    assert_eq!(trades[0].time_ns, 1_381_190_400_000_000_000 + 34_200_000_000_000);
    assert_eq!((trades[2].time_ns, trades[2].symbol.id()), (86_400_000_000_000 + 34_200_000_000_000, 1));
    let nameless = [place.file("x.csv", TRADES)];
    assert!(matches!(place.import(Format::LeanTrade, &nameless), Err(ImportError::Unnamed { missing: "symbol", .. })));
    place.options.symbol = Some("X".into());
    assert!(matches!(place.import(Format::LeanTrade, &nameless), Err(ImportError::Unnamed { missing: "date", .. })));
}

#[test]
fn csv_files_share_one_schema() {
    let mut place = Place::new();
    let first = place.file("a.csv", "ts:time[ms],name:symbol\n1,A\n2,B\n");
    let same = place.file("b.csv", "ts:time[ms],name:symbol\n3,A\n");
    let other = place.file("c.csv", "ts:time[s],name:symbol\n3,A\n");
    let report = place.import(Format::Csv, &[first.clone(), same]).unwrap();
    assert_eq!((report.written, report.skipped_for(SkipReason::Header)), (3, 2));
    assert!(matches!(place.import(Format::Csv, &[first.clone(), other]), Err(ImportError::Mixed { .. })));
    place.options.csv_schema = Some("ts:time[ms],name:skip".parse().unwrap());
    assert_eq!(place.import(Format::Csv, std::slice::from_ref(&first)).unwrap().written, 2);
    assert_eq!(Capture::open(place.output()).unwrap().layout().schema(), "8/8 ts:time@0*");
    place.options.csv_schema = Some("ts:time[ms],name:symbol".parse().unwrap());
    place.options.symbols_max = 1;
    let report = place.import(Format::Csv, &[first]).unwrap();
    assert_eq!((report.written, report.rejected), (1, 1));
}

#[test]
fn progress_names_each_file_at_its_start_and_end() {
    let place = Place::new();
    let input = place.file("in.csv", TRADES);
    let mut seen = Vec::new();
    import(Format::LeanTrade, std::slice::from_ref(&input), &place.output(), &place.options, &mut |progress| {
        seen.push((progress.file.to_owned(), progress.read, progress.file_bytes_read == progress.file_bytes));
    })
    .unwrap();
    assert_eq!(seen.first(), Some(&(input.clone(), 0, false)));
    assert_eq!(seen.last(), Some(&(input, 2, true)));
}

#[test]
fn progress_names_each_file_that_was_made_as_soon_as_it_is_there() {
    let place = Place::new();
    let input = place.file("in.csv", format!("{TRADES}nonsense\n"));
    let mut seen = Vec::new();
    import(Format::LeanTrade, &[input], &place.output(), &place.options, &mut |progress| {
        assert!(progress.made.iter().all(|path| path.exists()), "{:?}", progress.made);
        seen.push((progress.read, progress.made.to_vec()));
    })
    .unwrap();
    let reads: Vec<_> = seen.iter().map(|(read, made)| (*read, made.len())).collect();
    assert_eq!(reads, [(0, 0), (0, 1), (3, 2), (3, 2)]);
    let [beside, rejects] = &seen[3].1[..] else { panic!("{seen:?}") };
    assert_eq!(*rejects, rejects_path(&place.output()));
    assert!(!beside.exists() && place.output().exists() && rejects.exists());
}

#[test]
fn format_names_are_what_they_parse_to() {
    for name in Format::NAMES {
        assert_eq!(name.parse::<Format>().unwrap().to_string(), *name);
    }
}
