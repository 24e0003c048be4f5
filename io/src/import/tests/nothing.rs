//! Files that give no events: of another format, encoding or packing, which is an error, and empty ones.

use super::*;

impl Place {
    fn nothing(&self, format: Format, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let error = self.import(format, &[self.file(name, bytes)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        let _ = std::fs::remove_file(rejects_path(&self.output()));
        error
    }
}

#[test]
fn a_file_of_which_no_line_could_be_read_is_refused() {
    let mut place = Place::new();
    place.options.csv_schema = Some("ts:time[ms],size:u32".parse().unwrap());
    for (format, text, reason) in [
        (Format::LeanTrade, "a,b\nc,d\n\n", "the first of 2 rejected is line 1: expected 6 columns, found 2"),
        (Format::LeanQuote, TRADES, "the first of 2 rejected is line 1: expected "),
        (Format::Binance, TRADES, "the first of 2 rejected is line 1: "),
        (Format::Csv, "ts,size\n\n1,-1\n1,x\n", "the first of 2 rejected is line 3: size: negative"),
        (Format::Csv, "1;2\n", "line 1: expected 2 columns, found 1; the columns seem to be separated by ';'"),
    ] {
        for (name, bytes) in packings(text.as_bytes()) {
            let error = place.nothing(format, name, bytes);
            for part in ["no line could be read", reason, "out.pelton.rejects.csv"] {
                assert!(error.contains(part), "{format}: no {part:?} in {error}");
            }
        }
    }
}

#[test]
fn each_file_is_judged_by_itself() {
    let place = Place::new();
    let good = place.file("good.csv", format!("{TRADES}bad\n"));
    let bad = place.file("bad.csv", "bad\nworse\n");
    let error = place.import(Format::LeanTrade, &[good.clone(), bad]).unwrap_err();
    assert!(matches!(&error, ImportError::NothingRead { rejected: 2, .. }), "{error}");
    std::fs::remove_file(rejects_path(&place.output())).unwrap();
    let report = place.import(Format::LeanTrade, &[good, place.file("empty.csv", "\n")]).unwrap();
    assert_eq!((report.written, report.rejected, report.empty_files), (2, 1, 1));
    assert!(report.to_string().ends_with("\n  1 of the 2 files have no rows"), "{report}");
}

#[test]
fn a_file_without_rows_is_no_error() {
    let mut place = Place::new();
    place.options.csv_schema = Some("ts:time[ms],size:u32".parse().unwrap());
    for (format, text) in [
        (Format::LeanTrade, ""),
        (Format::LeanQuote, "\n"),
        (Format::Binance, ""),
        (Format::Csv, ""),
        (Format::Csv, "size,ts\n"),
    ] {
        for (name, bytes) in packings(text.as_bytes()) {
            let report = place.import(format, &[place.file(name, bytes)]).unwrap();
            assert_eq!((report.written, report.rejected, report.empty_files), (0, 0, 1), "{format} {name}");
            assert!(report.to_string().ends_with("the input has no rows, so that there are no events"), "{report}");
        }
    }
}

#[test]
fn lines_that_were_not_asked_for_could_be_read() {
    let place = Place::new();
    let text = "1 {\"result\":null,\"id\":1}\nbroken\n";
    let report = place.import(Format::Binance, &[place.file("in", text)]).unwrap();
    assert_eq!((report.written, report.rejected, report.skipped_for(SkipReason::NoStream)), (0, 1, 1));
    assert!(report.to_string().contains("nothing that could be read was asked for"), "{report}");
}

#[test]
fn other_encodings_and_archives_are_told_in_words() {
    let mut place = Place::new();
    place.options.csv_schema = Some("ts:time[ms],size:u32".parse().unwrap());
    let text = "ts,size\n1,2\n3,4\n";
    let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(bytes).collect()
    };
    let mut encoded = Vec::new();
    for mark in [true, false] {
        encoded.extend([utf16(mark, u16::to_le_bytes), utf16(mark, u16::to_be_bytes)]);
    }
    // As much of a tar archive as is looked at: an entry's head, then its text.
    let mut tar = vec![0; 512];
    tar[..5].copy_from_slice(b"a.csv");
    tar[257..262].copy_from_slice(b"ustar");
    tar.extend_from_slice(text.as_bytes());
    for format in [Format::LeanTrade, Format::LeanQuote, Format::Binance, Format::Csv] {
        for bytes in &encoded {
            for (name, bytes) in packings(bytes) {
                let error = place.nothing(format, name, bytes);
                assert!(error.contains("expected text in UTF-8, found text in UTF-16"), "{error}");
                assert!(error.contains("iconv"), "{error}");
            }
        }
        for (name, bytes) in packings(&tar) {
            let error = place.nothing(format, name, bytes);
            assert!(error.contains("found a tar archive; unpack it"), "{error}");
        }
    }
}
