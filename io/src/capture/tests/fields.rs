//! Captures of events with fields of every kind.

use super::super::*;
use super::read;
use pelton::{Bool, Code, Maybe, Record};

#[derive(Clone, Copy, PartialEq, Eq, Debug, pelton::Enum)]
#[repr(u8)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[derive(Clone, Copy, PartialEq, Debug, pelton::Record)]
#[repr(C)]
struct Level {
    price: i64,
    size: u32,
    ages: [i16; 2],
}

#[derive(Clone, Copy, PartialEq, Debug, pelton::Event)]
#[repr(C, packed)]
struct Quote {
    #[event(time)]
    time_ns: i64,
    best: Level,
    limit: Maybe<i64>,
    side: Code<Side>,
    is_firm: Bool,
}

/// Quotes of which one has bytes that only a damaged file has.
fn quotes() -> Vec<Quote> {
    let quote = |time_ns| Quote {
        time_ns,
        best: Level { price: -time_ns, size: 7, ages: [1, -1] },
        limit: Some(time_ns).filter(|time| time % 2 == 0).into(),
        side: if time_ns % 3 == 0 { Side::Buy.into() } else { Side::Sell.into() },
        is_firm: (time_ns % 5 == 0).into(),
    };
    let mut quotes: Vec<_> = (0..100).map(quote).collect();
    quotes[50] = Quote { side: bytemuck::cast(9u8), is_firm: bytemuck::cast(9u8), ..quotes[50] };
    quotes
}

fn capture(dir: &tempfile::TempDir) -> Capture {
    let path = dir.path().join("quotes.pelton");
    let options = WriterOptions { block_events: 16, symbols: Vec::new(), overwrite: true, file_id: Some(7) };
    let mut writer = CaptureWriter::create(&path, options).unwrap();
    writer.extend(&quotes()).unwrap();
    writer.finish().unwrap();
    Capture::open(&path).unwrap()
}

#[test]
fn a_capture_gives_back_fields_of_every_kind_also_with_bytes_of_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(&dir);
    assert_eq!(capture.layout().schema(), Quote::layout().schema());
    let found: Vec<Quote> = read(&capture.replay::<Quote>().unwrap().into_blocks()).unwrap();
    assert_eq!(found, quotes());
    let odd = found[50];
    assert_eq!((odd.side.get(), odd.is_firm.get(), odd.limit.get()), (None, true, Some(50)));
    assert_eq!((found[3].side.get(), found[3].limit.get()), (Some(Side::Buy), None));
}

#[test]
fn a_projection_takes_what_may_be_missing_with_what_says_so() {
    #[derive(Clone, Copy, PartialEq, Debug, pelton::Event)]
    #[repr(C, packed)]
    struct Limit {
        #[event(time)]
        time_ns: i64,
        bid: Maybe<i64>,
        firm: Bool,
    }
    #[derive(Clone, Copy, PartialEq, Debug, pelton::Event)]
    #[repr(C)]
    struct Sure {
        #[event(time)]
        time_ns: i64,
        limit: i64,
    }
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(&dir);
    let map = [("bid?", "limit?"), ("bid", "limit"), ("firm", "is_firm")];
    let found = read(&capture.replay_projected::<Limit>(&map).unwrap().into_blocks()).unwrap();
    let limit = |quote: &Quote| Limit { time_ns: quote.time_ns, bid: quote.limit, firm: quote.is_firm };
    assert_eq!(found, quotes().iter().map(limit).collect::<Vec<_>>());

    let error = |error: Option<CaptureError>| error.unwrap().to_string();
    let sure = error(capture.replay_projected::<Sure>(&[]).err());
    assert!(sure.contains("`limit` cannot be taken from `limit`: it may be missing in the file"), "{sure}");
    let map = [("bid?", "limit?"), ("bid", "best.price"), ("firm", "is_firm")];
    let always = error(capture.replay_projected::<Limit>(&map).err());
    assert!(always.contains("it is never missing in the file"), "{always}");
}
