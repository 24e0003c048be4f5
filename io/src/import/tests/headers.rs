//! Headers of delimited text: names in any order, contradictions, and files that have none.

use super::*;
use crate::codec::header::CsvHeader;

const SCHEMA: &str = "ts:time[ms],price:i64[1e4],size:u32,symbol:symbol";

impl Place {
    fn with_schema(schema: &str) -> Self {
        let mut place = Self::new();
        place.options.csv_schema = Some(schema.parse().unwrap());
        place
    }

    /// Imports files with these texts; the events as `ts price size symbol`.
    fn rows(&self, texts: &[&str]) -> Vec<String> {
        let inputs: Vec<_> = texts.iter().enumerate().map(|(i, text)| self.file(&format!("{i}.csv"), text)).collect();
        self.import(Format::Csv, &inputs).unwrap();
        self.written()
    }

    fn written(&self) -> Vec<String> {
        let symbols = Capture::open(self.output()).unwrap().symbols().to_vec();
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let long = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
        let bytes = self.bytes_of();
        let row = |row: &[u8]| {
            let symbol = &symbols[number(&row[20..24]) as usize];
            format!("{} {} {} {symbol}", long(&row[..8]), long(&row[8..16]), number(&row[16..20]))
        };
        bytes.chunks(24).map(row).collect()
    }

    /// The message of an import that fails, which names the file.
    fn refused(&self, text: impl AsRef<[u8]>) -> String {
        let error = self.import(Format::Csv, &[self.file("in.csv", text)]).unwrap_err().to_string();
        assert!(error.contains("in.csv: "), "{error}");
        error
    }
}

const EXPECTED: [&str; 2] = ["1000000 12500 7 BAC", "2000000 22500 8 AIG"];

#[test]
fn columns_are_found_by_their_names() {
    let place = Place::with_schema(SCHEMA);
    for text in [
        "ts,price,size,symbol\n1,1.25,7,BAC\n2,2.25,8,AIG\n",
        "ts,size,price,symbol\n1,7,1.25,BAC\n2,8,2.25,AIG\n",
        "symbol,size,price,ts\r\nBAC,7,1.25,1\r\nAIG,8,2.25,2",
        "\u{feff}Size,\" TS \", Symbol ,\"PRICE\"\r\n7,1,BAC,1.25\r\n8,2,AIG,2.25\r\n",
        "\n,,,\n\nsize:u8,ts,symbol,price:i64\n7,1,BAC,1.25\n8,2,AIG,2.25\n",
        // A data frame's index has no name.
        ",size,ts,symbol,price\n0,7,1,BAC,1.25\n1,8,2,AIG,2.25\n",
        // Without a header.
        "1,1.25,7,BAC\n2,2.25,8,AIG\n",
    ] {
        assert_eq!(place.rows(&[text]), EXPECTED, "{text}");
        let _ = std::fs::remove_file(rejects_path(&place.output()));
    }
}

#[test]
fn each_file_has_a_header_of_its_own() {
    let place = Place::with_schema(SCHEMA);
    let texts = ["ts,size,price,symbol\n1,7,1.25,BAC\n", "2,2.25,8,AIG\n", "", "symbol,ts,price,size\nBAC,3,4,5\n"];
    assert_eq!(place.rows(&texts), [EXPECTED[0], EXPECTED[1], "3000000 40000 5 BAC"]);
    for (name, bytes) in packings(texts[0].as_bytes()) {
        place.import(Format::Csv, &[place.file(name, bytes)]).unwrap();
        assert_eq!(place.written(), EXPECTED[..1], "{name}");
    }
}

#[test]
fn schemas_in_the_files_may_differ_in_their_order() {
    let place = Place::new();
    let other = "size:u32,symbol:symbol,ts:time[ms],price:i64[1e4]\n8,AIG,2,2.25\n";
    assert_eq!(place.rows(&[&format!("{SCHEMA}\n1,1.25,7,BAC\n"), other, ""]), EXPECTED);
    let inputs = [place.file("a", format!("{SCHEMA}\n")), place.file("b", other.replace("u32", "u16"))];
    assert!(matches!(place.import(Format::Csv, &inputs), Err(ImportError::Mixed { .. })));
    let semicolons = place.refused("ts:time[ms];price:u8\n1;2\n");
    assert!(semicolons.contains("seem to be separated by ';'"), "{semicolons}");
}

#[test]
fn headers_that_contradict_the_schema_are_refused() {
    let mut place = Place::with_schema(SCHEMA);
    let row = "\n1,1.25,7,BAC,X\n";
    for (header, parts) in [
        ("ts,price,size,symbol,venue", &["not in the schema: venue", "venue:skip"][..]),
        ("ts,price,size", &["missing: symbol"]),
        ("ts,px,size,symbol", &["missing: price", "not in the schema: px"]),
        ("time,px,qty,sym", &["missing: ts, price, size, symbol"]),
        ("ts,price,size,symbol,Price", &["more than once: Price"]),
        ("ts;price;size;symbol", &["seem to be separated by ';'"]),
        ("time\tpx\tqty\tsym", &["seem to be separated by '\\t'"]),
    ] {
        let error = place.refused(format!("{header}{row}"));
        let found = header.replace(',', ", ").replace('\t', "\\t");
        for part in ["expected the columns ts, price, size, symbol", &format!("found {found}")].iter().chain(parts) {
            assert!(error.contains(part), "{header}: no {part:?} in {error}");
        }
        assert!(!rejects_path(&place.output()).exists());
    }
    // With `skip` in the schema the column is known, wherever it stands, and need not be there.
    place.options.csv_schema = Some(format!("venue:skip,{SCHEMA}").parse().unwrap());
    assert_eq!(place.rows(&["ts,price,size,symbol,venue\n1,1.25,7,BAC,X\n"]), EXPECTED[..1]);
    assert_eq!(place.rows(&["ts,price,size,symbol\n1,1.25,7,BAC\n"]), EXPECTED[..1]);
}

#[test]
fn the_header_may_be_asked_for_or_passed_over() {
    let mut place = Place::with_schema(SCHEMA);
    let other_names = "time,px,qty,\"sym\n1,1.25,7,BAC\n2,2.25,8,AIG\n";
    place.options.csv_header = CsvHeader::Skip;
    assert_eq!(place.rows(&[other_names]), EXPECTED);
    place.options.csv_header = CsvHeader::None;
    assert_eq!(place.rows(&[other_names]), EXPECTED);
    std::fs::remove_file(rejects_path(&place.output())).unwrap();
    place.options.csv_header = CsvHeader::Names;
    assert_eq!(place.rows(&["symbol,size,price,ts\nBAC,7,1.25,1\n"]), EXPECTED[..1]);
    let error = place.refused("1,1.25,7,BAC\n");
    assert!(error.contains("found 1, 1.25, 7, BAC; missing: ts"), "{error}");
    let error = place.refused(other_names);
    assert!(error.contains("expected a header, found a quotation mark"), "{error}");
}

#[test]
fn a_bad_first_row_is_no_header() {
    let place = Place::with_schema(SCHEMA);
    assert_eq!(place.rows(&["1,n/a,7,PRICE\n1,1.25,7,BAC\n2,2.25,8,AIG\n"]), EXPECTED);
}
