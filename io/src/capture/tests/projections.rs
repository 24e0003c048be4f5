//! Captures that are read as events with other fields.

use super::super::*;
use super::{read, sample, write};
use crate::Trade;
use pelton::{Event, Symbol, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, pelton::Event)]
#[repr(C)]
pub(super) struct Narrow {
    #[event(time)]
    at: Timestamp,
    cents: u32,
    symbol: Symbol,
    size: u64,
    venue: [u8; 8],
}

pub(super) const NARROW: [(&str, &str); 2] = [("at", "time_ns"), ("cents", "price")];

#[test]
fn a_projection_takes_fields_by_name_and_widens_them() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(100);
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let expected: Vec<_> = events
        .iter()
        .map(|trade| {
            let mut venue = [0; 8];
            venue[..2].copy_from_slice(&trade.venue);
            let (cents, size) = (trade.price as u32, trade.size.into());
            Narrow { at: trade.time(), cents, symbol: trade.symbol, size, venue }
        })
        .collect();
    for untrusted in [false, true] {
        let replay = capture.replay_projected::<Narrow>(&NARROW).unwrap().untrusted(untrusted);
        assert_eq!(read(&replay.clone().into_blocks()).unwrap(), expected);
        let from = expected[50].at;
        let kept: Vec<_> = expected.iter().filter(|event| event.at >= from).copied().collect();
        assert_eq!(read(&replay.from(from).into_blocks()).unwrap(), kept);
    }
}

#[test]
fn a_projection_by_another_time_makes_its_own_index() {
    #[derive(Clone, Copy, Debug, PartialEq, pelton::Event)]
    #[repr(C)]
    struct BySize {
        #[event(time)]
        at: i64,
    }
    let dir = tempfile::tempdir().unwrap();
    let events = sample(50);
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let source = capture.replay_projected::<BySize>(&[("at", "size")]).unwrap().into_blocks();
    let expected: Vec<_> = events.iter().map(|trade| BySize { at: trade.size.into() }).collect();
    assert_eq!(read(&source).unwrap(), expected);
}

#[test]
fn projections_that_lose_something_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let events = [Trade { price: -5, ..Trade::default() }];
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let error = |map: &[(&str, &str)]| capture.replay_projected::<Narrow>(map).err().unwrap().to_string();
    assert!(error(&[]).contains("`at` cannot be taken from `at`: the file has only: 32/8"));
    assert!(error(&[("at", "time_ns"), ("nothing", "price")]).contains("the event has no such field"));
    assert!(error(&[("at", "symbol"), ("cents", "price")]).contains("symbol does not become time without loss"));
    assert!(error(&[("at", "time_ns"), ("cents", "venue")]).contains("text2 does not become u32 without loss"));
    let source = capture.replay_projected::<Narrow>(&NARROW).unwrap().into_blocks();
    let error = read(&source).unwrap_err().to_string();
    assert!(error.contains("block 0, event 0: the value -5 of `price` does not fit u32"), "{error}");
}
