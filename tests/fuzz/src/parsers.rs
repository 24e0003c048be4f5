//! The parsers of schemas, of delimited text and of feeds: an end is always come to, and what is accepted is sound.

use crate::text::edited;
use pelton::Layout;
use pelton::testing::fuzz::Input;
use pelton_io::codec::binance::{self, BinanceEvent, Streams};
use pelton_io::codec::csv::{self, CsvOptions};
use pelton_io::codec::dbn::{self, DbnRecord, DbnTrade, Mbo, Mbp1};
use pelton_io::codec::header::CsvHeader;
use pelton_io::codec::lean::{self, LeanOptions};
use pelton_io::codec::schema::CsvSchema;
use pelton_io::codec::{Decode, Decoded, InputError, SymbolTable};
use std::sync::Arc;

/// The most bytes of a line.
const LINE_MAX: usize = 512;

fn symbols() -> SymbolTable {
    SymbolTable::new(Arc::new(pelton::Dictionary::default()), 5)
}

/// Decodes to the end: lines or records are numbered from 1 on, and there are at most so many.
fn decode_all<D: Decode>(decoder: &mut D, most: usize, mut event: impl FnMut(&D, &D::Event)) -> Result<(), InputError> {
    let mut decoded = 0;
    while let Some(next) = decoder.decode()? {
        decoded += 1;
        assert!(decoded <= most, "{decoded} of at most {most}");
        match next {
            Decoded::Event(found) => event(decoder, &found),
            Decoded::Rejected(reject) => {
                assert!((1..=most as u64).contains(&reject.line), "line {} of {most}", reject.line);
                let _ = reject.to_string();
            }
            Decoded::Skipped(_) => {}
        }
    }
    Ok(())
}

/// The most lines that a text has.
fn lines(text: &[u8]) -> usize {
    1 + text.iter().filter(|byte| **byte == b'\n').count()
}

/// Schemas: what is accepted has one text, which is this one.
pub fn schema(input: &[u8]) {
    const SAMPLES: [&[u8]; 3] = [
        b"24/8 ts:time@0* price:i64@8 size:u32@16 _filler:text4@20",
        b"16/8 time_ns:i64@0* sensor:u32@8 value:f32@12",
        b"ts:time[ms],symbol:symbol,price:i64[1e4],size:u32,note:text16,x:f64,side:i8[Buy=1/Sell=-1],ignored:skip",
    ];
    let bytes = edited(&SAMPLES, &mut Input(input));
    let text = String::from_utf8_lossy(&bytes);
    if let Ok(layout) = Layout::parse(&text) {
        assert_eq!(layout.schema(), text);
        assert_eq!(layout.check(), Ok(()));
        assert_eq!(layout.fields().iter().map(|field| field.kind.size()).sum::<usize>(), layout.size());
    }
    if let Ok(schema) = text.parse::<CsvSchema>() {
        assert_eq!(schema.layout().check(), Ok(()));
        assert_eq!(schema.to_string().parse(), Ok(schema));
    }
}

/// Delimited text, whose first line is its schema or comes behind one.
pub fn delimited(input: &[u8]) {
    const SCHEMA: &str =
        "ts:time[ms],symbol:symbol,price:i64[1e4],size:u32,note:text16,x:f64,big:i128,at:time[iso],ignored:skip";
    const SAMPLES: [&[u8]; 2] = [
        b"ts:time[ms],symbol:symbol,price:i64[1e4],size:u8,note:text5,x:f32,at:time[iso],s:time[s]\n\
          5,BAC,1.25,7,\"a \"\"b\"\"\",-1.5e3,2014-02-14 14:30:00.123,1700000000.5\n\n9,MS,-0.0001,255,,nan,2014-02-14,0\n",
        b"symbol,ts,size,price,x,note,big,at,ignored\n\
          BAC,5,7,1.25,2.5,text,170141183460469231731687303715884105727,2014-02-14T14:30:00Z,?\nMS,6,8,99999.9999,1e300,\"q\",-1,1970-01-01,\n",
    ];
    let mut input = Input(input);
    let options = input.byte();
    let text = edited(&SAMPLES, &mut input);
    let header = [CsvHeader::Auto, CsvHeader::Names, CsvHeader::Skip, CsvHeader::None][usize::from(options >> 1 & 3)];
    let delimiter = [b',', b';', b'\t', b' '][usize::from(options >> 3 & 3)];
    let schema = (options & 1 == 0).then(|| SCHEMA.parse().expect("a schema"));
    let csv_options = CsvOptions { header, delimiter, line_bytes_max: LINE_MAX, ..CsvOptions::default() };
    let Ok(mut rows) = csv::rows(&text[..], schema, symbols(), csv_options) else { return };
    // An error ends it, and is as good as an end.
    let _ = decode_all(&mut rows, lines(&text), |rows, _| {
        assert_eq!(rows.record().len(), rows.schema().layout().size());
    });
}

/// Frames of Binance's streams. No event is behind the one that it infers its time from.
pub fn binance(input: &[u8]) {
    const SAMPLES: [&[u8]; 2] = [
        br#"5 {"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}}
7 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255088,"T":1723161255087,"s":"BTCUSDT","t":9,"p":"61800.20","q":"0.5","m":true}}
8 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255099,"s":"BTCUSDT","U":1,"u":3,"b":[["1.5","2"],["1.4","0"]],"a":[["1.6","3"]]}}
"#,
        br#"1 {"result":null,"id":1}
2 {"lastUpdateId":5,"bids":[["1","2"]],"asks":[]}
3 {"stream":"x@aggTrade","data":{"\u0041":[1e5,-2.5,true,null,{}]}}
"#,
    ];
    let mut input = Input(input);
    let options = input.byte();
    let text = edited(&SAMPLES, &mut input);
    let streams = Streams { trade: options & 1 == 0, book_ticker: options & 2 == 0, depth: options & 4 == 0 };
    let mut frames = binance::frames(&text[..], streams, symbols(), LINE_MAX);
    let _ = decode_all(&mut frames, lines(&text), |_, event| {
        let is_asked = match event.kind {
            BinanceEvent::TRADE => streams.trade,
            BinanceEvent::BOOK_TICKER => streams.book_ticker,
            BinanceEvent::DEPTH => streams.depth,
            kind => panic!("an event of kind {kind}"),
        };
        assert!(is_asked);
    });
}

/// Rows of Lean's trades and quotes, and the names of their files.
pub fn lean(input: &[u8]) {
    const SAMPLES: [&[u8]; 2] = [
        b"34200000,140000,100,P,2000,0\nnonsense\n34200005,140100,200,Q,0,1\n",
        b"34200000,139900,100,0,0,P,2000,0\n34200001,0,0,140100,300,Q,0,1\n",
    ];
    let mut input = Input(input);
    let options = input.byte();
    let text = edited(&SAMPLES, &mut input);
    let lean_options = LeanOptions { line_bytes_max: LINE_MAX, ..LeanOptions::default() };
    let _ = match options & 1 {
        0 => decode_all(&mut lean::trades(&text[..], lean_options), lines(&text), |_, _| {}),
        _ => decode_all(&mut lean::quotes(&text[..], lean_options), lines(&text), |_, _| {}),
    };
    let _ = lean::name_parts(&String::from_utf8_lossy(&text));
}

/// A file of Databento's: metadata with a symbol of two days, and three records.
fn dbn_file() -> Vec<u8> {
    let mut fixed = vec![0; 16];
    fixed.extend_from_slice(&4u16.to_le_bytes());
    fixed.extend_from_slice(&[0; 24]);
    fixed.extend_from_slice(&[0xff, 0, 0]);
    fixed.extend_from_slice(&71u16.to_le_bytes());
    fixed.extend_from_slice(&[0; 53]);
    // No definition, no symbols, no partial ones, none that were not found, and one mapping.
    fixed.extend_from_slice(&[0; 4 * 4]);
    fixed.extend_from_slice(&1u32.to_le_bytes());
    let text = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(71, 0);
        bytes
    };
    fixed.extend(text("BAC"));
    fixed.extend_from_slice(&1u32.to_le_bytes());
    fixed.extend_from_slice(&19_700_101u32.to_le_bytes());
    fixed.extend_from_slice(&19_700_103u32.to_le_bytes());
    fixed.extend(text("5482"));
    let mut bytes = b"DBN\x03".to_vec();
    bytes.extend_from_slice(&(fixed.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&fixed);
    for (words, kind) in [(12, 0), (14, 0xa0), (20, 1)] {
        let mut record = vec![words, kind, 1, 0];
        record.extend_from_slice(&5482u32.to_le_bytes());
        record.extend_from_slice(&100u64.to_le_bytes());
        record.resize(usize::from(words) * 4, 1);
        bytes.extend(record);
    }
    bytes
}

fn dbn_records<T: DbnRecord>(bytes: &[u8]) {
    let Ok(opened) = dbn::open(bytes) else { return };
    let _ = opened.schema();
    // No record has fewer than 16 bytes.
    let _ = decode_all(&mut opened.records::<T>(symbols()), bytes.len() / 16, |_, _| {});
}

/// Databento's binary encoding, as records of each type that is read.
pub fn dbn(input: &[u8]) {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let bytes = dbn_file();
        assert!(dbn::open(&bytes[..]).is_ok());
        bytes
    });
    let mut input = Input(input);
    let options = input.byte();
    let bytes = edited(&[sample], &mut input);
    match options % 3 {
        0 => dbn_records::<DbnTrade>(&bytes),
        1 => dbn_records::<Mbo>(&bytes),
        _ => dbn_records::<Mbp1>(&bytes),
    }
}
