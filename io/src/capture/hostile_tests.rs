//! Damaged, cut and made-up files: an error, or the truth about what is left. Never a panic.

use super::error::CaptureError;
use super::footer::{Entry, Footer};
use super::format::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind, HEADER_BYTES, TRAILER_BYTES, Trailer, align_up, put};
use super::tests::{read, sample, write};
use super::{Capture, CaptureWriter, WriterOptions, replay};
use crate::Trade;
use pelton::BoxError;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FILE_ID: u64 = 7;

/// What a file gives: its events by both ways of reading, which must agree, and whether it is whole.
fn open(path: &Path) -> Result<(Vec<Trade>, bool), BoxError> {
    let capture = Capture::open(path)?;
    assert_eq!(capture.is_complete(), capture.cut().is_none());
    let mapped = read(&capture.replay::<Trade>()?.into_blocks());
    let owned = read(&capture.replay::<Trade>()?.untrusted(true).into_blocks());
    match (mapped, owned) {
        (Ok(mapped), Ok(owned)) => {
            assert_eq!(mapped, owned);
            capture.verify()?;
            Ok((mapped, capture.is_complete()))
        }
        (Err(mapped), Err(owned)) => {
            assert_eq!(mapped.to_string(), owned.to_string());
            assert!(capture.verify().is_err());
            Err(mapped)
        }
        (mapped, owned) => panic!("the ways of reading differ: {mapped:?} {owned:?}"),
    }
}

/// A capture of 30 events in three blocks, its bytes, and a path for changed ones.
fn small() -> (TempDir, Vec<Trade>, Vec<u8>, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(30);
    let bytes = std::fs::read(write(&dir, &events, 12)).unwrap();
    let path = dir.path().join("hostile.pelton");
    (dir, events, bytes, path)
}

#[test]
fn every_truncation_gives_the_whole_blocks_before_it_and_says_so() {
    let (_dir, events, bytes, path) = small();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(&path).unwrap(), (events.clone(), true));
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut last = events.len();
    for len in (0..bytes.len()).rev() {
        file.set_len(len as u64).unwrap();
        match open(&path) {
            Ok((found, complete)) => {
                assert!(!complete && len >= HEADER_BYTES, "{len}");
                assert_eq!(found, events[..found.len()], "{len}");
                assert!(found.len() <= last && matches!(found.len(), 0 | 12 | 24 | 30), "{len}");
                let cut = Capture::open(&path).unwrap().cut().unwrap().clone();
                assert_eq!(cut.offset + cut.bytes, len as u64);
                last = found.len();
            }
            Err(error) => assert!(len < HEADER_BYTES && error.to_string().contains("not a capture"), "{len}: {error}"),
        }
    }
    assert_eq!(last, 0);
}

/// The bytes of a complete capture that its reader has no use for: zeros behind blocks, and blocks
/// of symbols, whose texts are in the footer too.
fn unused(bytes: &[u8], at: usize) -> bool {
    let trailer = Trailer::decode(bytes.last_chunk::<TRAILER_BYTES>().unwrap(), FILE_ID, bytes.len() as u64).unwrap();
    let footer = trailer.footer as usize;
    if at >= footer {
        return at >= footer + BLOCK_HEADER_BYTES + trailer.footer_bytes as usize && at < bytes.len() - TRAILER_BYTES;
    }
    let start = at / 4096 * 4096;
    if start < HEADER_BYTES {
        return false;
    }
    let header: &[u8; BLOCK_HEADER_BYTES] = bytes[start..].first_chunk().unwrap();
    let block = BlockHeader::decode(header, FILE_ID, start as u64, None).unwrap();
    block.kind == BlockKind::Symbols || at - start >= BLOCK_HEADER_BYTES + block.payload_bytes as usize
}

#[test]
fn every_flipped_bit_is_found_or_in_a_byte_without_use() {
    let (_dir, events, bytes, path) = small();
    use std::os::unix::fs::FileExt;
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut found = [0u32; 3];
    for at in 0..bytes.len() {
        let unused = unused(&bytes, at);
        // Zeros behind blocks are many and alike.
        if unused && at % 61 != 0 {
            continue;
        }
        for bit in 0..8 {
            file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).unwrap();
            match open(&path) {
                Ok((read, true)) => {
                    assert!(unused, "byte {at} bit {bit} was not noticed");
                    assert_eq!(read, events);
                    found[0] += 1;
                }
                Ok((read, false)) => {
                    assert!(at >= bytes.len() - TRAILER_BYTES, "byte {at} bit {bit}");
                    assert_eq!(read, events);
                    found[1] += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("hostile.pelton"), "{error}");
                    assert!(!unused, "byte {at} bit {bit}: {error}");
                    found[2] += 1;
                }
            }
        }
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
    assert_eq!(found[1], 8 * TRAILER_BYTES as u32);
    assert!(found[0] > 100 && found[2] > 8 * 4096, "{found:?}");
}

#[test]
fn files_that_are_no_captures_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Capture::open(&path).unwrap_err().to_string()
    };
    assert!(error(b"").contains("it is empty"));
    assert!(error(b"time,price\n1,2\n").contains("it starts with \"time,pri\""));
    assert!(error(b"PELT").contains("it ends at byte 4, inside of its header of 4096"));
    assert!(error(&[0; 10_000]).contains("not a capture"));
    assert!(Capture::open(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(matches!(Capture::open(dir.path().join("none")), Err(CaptureError::Io { .. })));
}

#[test]
fn another_version_is_named() {
    let (_dir, _, mut bytes, path) = small();
    put(&mut bytes, 8, &2u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    put(&mut bytes, HEADER_BYTES - 4, &crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Capture::open(&path), Err(CaptureError::Version { expected: 1, found: 2, .. })));
}

/// The capture with its footer replaced, all checksums right.
fn with_footer(bytes: &[u8], change: impl FnOnce(&mut Footer)) -> Vec<u8> {
    let old = Trailer::decode(bytes.last_chunk::<TRAILER_BYTES>().unwrap(), FILE_ID, bytes.len() as u64).unwrap();
    let at = old.footer as usize;
    let header = BlockHeader::decode(bytes[at..].first_chunk().unwrap(), FILE_ID, old.footer, None).unwrap();
    let payload = &bytes[at + BLOCK_HEADER_BYTES..][..old.footer_bytes as usize];
    let bounds = super::footer::Bounds {
        record_size: 32,
        block_events: 12,
        footer: old.footer,
        footer_sequence: header.sequence,
        footer_count: header.count,
        events: old.events,
    };
    let mut footer = Footer::decode(payload, &bounds).unwrap();
    change(&mut footer);
    seal(&bytes[..at], header, &footer.encode(), footer.entries.len() as u32, footer.events)
}

/// Puts a footer and a trailer behind `blocks`.
fn seal(blocks: &[u8], header: BlockHeader, payload: &[u8], count: u32, events: u64) -> Vec<u8> {
    let (payload_bytes, payload_crc) = (payload.len() as u64, crc32fast::hash(payload));
    let mut out = blocks.to_vec();
    out.extend(BlockHeader { payload_bytes, payload_crc, count, ..header }.encode(FILE_ID));
    out.extend(payload);
    out.resize(align_up(out.len() as u64, TRAILER_BYTES as u64).unwrap() as usize, 0);
    let file_bytes = (out.len() + TRAILER_BYTES) as u64;
    let trailer = Trailer { file_id: FILE_ID, footer: header.offset, footer_bytes: payload_bytes, events, file_bytes };
    out.extend(trailer.encode());
    out
}

/// Totals that follow from the entries, so that only the entries lie.
fn retotal(footer: &mut Footer) {
    let entries = std::mem::take(&mut footer.entries);
    *footer = Footer { symbols: std::mem::take(&mut footer.symbols), ..Footer::default() };
    entries.into_iter().for_each(|entry| footer.add(entry));
}

#[test]
fn an_index_that_lies_with_right_checksums_is_refused() {
    type Lie = fn(&mut Footer);
    let lies: [(&str, Lie); 16] = [
        ("the number of events", |f| f.events += 1),
        ("the smallest time", |f| f.min -= 1),
        ("the largest time", |f| f.max += 1),
        ("a block's offset in the index", |f| f.entries[1].offset = f.entries[0].offset),
        ("a block's offset in the index", |f| f.entries[1].offset += 1),
        ("a block's offset in the index", |f| f.entries[0].offset = 0),
        ("a block's offset in the index", |f| f.entries[2].offset = !4095),
        ("a block's offset in the index", |f| f.entries.swap(0, 1)),
        ("a block's sequence number in the index", |f| f.entries[2].sequence = 1 << 40),
        ("a block's sequence number in the index", |f| f.entries[2].sequence = 0),
        ("a block's count in the index", |f| f.entries[1].count = 0),
        ("a block's count in the index", |f| f.entries[1].count = u32::MAX),
        ("a block's times in the index", |f| f.entries[1].min = f.entries[1].max + 1),
        ("the symbols", |f| f.symbols[1] = f.symbols[0].clone()),
        ("its header", |f| {
            f.entries[1].count -= 1;
            retotal(f);
        }),
        ("its header", |f| {
            f.entries[1].max += 1;
            retotal(f);
        }),
    ];
    let (_dir, events, bytes, path) = small();
    for (what, lie) in lies {
        std::fs::write(&path, with_footer(&bytes, lie)).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("expected"), "{what}: {error}");
    }
    std::fs::write(&path, with_footer(&bytes, |_| {})).unwrap();
    assert_eq!(open(&path).unwrap(), (events, true));
}

#[test]
fn a_block_whose_header_lies_as_the_index_does_is_found_by_its_events() {
    let (_dir, events, mut bytes, path) = small();
    let mut lie = |change: fn(&mut Entry)| {
        let mut changed = Vec::new();
        let footed = with_footer(&bytes, |footer| {
            change(&mut footer.entries[1]);
            changed.push(footer.entries[1]);
            retotal(footer);
        });
        let entry = changed[0];
        bytes = footed;
        put(&mut bytes, entry.offset as usize, &entry.header(32).encode(FILE_ID));
        std::fs::write(&path, &bytes).unwrap();
        open(&path)
    };
    let error = lie(|entry| entry.max += 1).unwrap_err().to_string();
    assert!(error.contains("damaged block 1") && error.contains("its smallest and largest time"), "{error}");
    let error = lie(|entry| (entry.max, entry.min) = (entry.max - 1, entry.min - 1)).unwrap_err().to_string();
    assert!(error.contains("its smallest and largest time"), "{error}");
    let error = lie(|entry| entry.crc ^= 1).unwrap_err().to_string();
    assert!(error.contains("the checksum of its events"), "{error}");
    // And the truth again.
    assert_eq!(lie(|entry| (entry.min, entry.crc) = (entry.min + 1, entry.crc ^ 1)).unwrap(), (events, true));
}

/// A job compares the events with the index itself: a lie that only they show ends it too.
#[test]
fn a_job_over_a_block_that_lies_about_its_times_ends_with_an_error() {
    let (_dir, _, bytes, path) = small();
    type Lie = fn(&mut Entry);
    let lies: [Lie; 4] = [|e| e.max += 1, |e| e.max -= 1, |e| e.min += 1, |e| (e.min, e.max) = (e.min - 1, e.max + 1)];
    let run = |bytes: &[u8], workers, untrusted| {
        std::fs::write(&path, bytes).unwrap();
        let mut job = pelton::Job::new("lies");
        let source = replay::<Trade>(&path).unwrap().untrusted(untrusted);
        let sink = crate::blackhole();
        let seen = sink.seen();
        job.source("trades", source).sink("out", sink);
        job.run(pelton::Options::workers(workers)).map(|_| seen.count())
    };
    for lie in lies {
        for block in 0..3 {
            let mut entry = None;
            let mut changed = with_footer(&bytes, |footer| {
                lie(&mut footer.entries[block]);
                entry = Some(footer.entries[block]);
                retotal(footer);
            });
            let entry = entry.unwrap();
            put(&mut changed, entry.offset as usize, &entry.header(32).encode(FILE_ID));
            for workers in [1, 2] {
                let error = run(&changed, workers, false).unwrap_err().to_string();
                assert!(error.contains("source `trades`: the index says that block"), "{error}");
                let error = run(&changed, workers, true).unwrap_err().to_string();
                assert!(error.contains("hostile.pelton: damaged block"), "{error}");
            }
        }
    }
    assert_eq!(run(&bytes, 1, false).unwrap(), 30);
}

#[test]
fn damage_in_the_middle_is_an_error_at_that_block_and_at_no_other() {
    let (_dir, events, mut bytes, path) = small();
    // The header, the symbols, block 0, block 1.
    bytes[3 * 4096 + 500 - 64] ^= 0x10;
    let source = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        replay::<Trade>(&path).unwrap()
    };
    let blocks = source(&bytes).into_blocks();
    let mut reader = pelton::BlockSource::reader(&blocks).unwrap();
    reader.load(0).unwrap();
    assert_eq!(reader.events(), &events[..12]);
    let error = reader.load(1).unwrap_err().to_string();
    assert!(error.contains("damaged block 1 at byte 12288: the checksum of its events"), "{error}");
    assert!(reader.events().is_empty());
    reader.load(2).unwrap();
    assert_eq!(reader.events(), &events[24..]);
    // A block at the edge is read when the source is made; its error waits for its turn.
    let edge = source(&bytes).from(pelton::Timestamp::from_nanos(events[18].time_ns)).into_blocks();
    assert!(read(&edge).unwrap_err().to_string().contains("damaged block 1"));
    // Without its footer, the blocks before the damage are left.
    bytes.truncate(bytes.len() - 1);
    let capture = source(&bytes).capture().clone();
    assert_eq!((capture.event_count(), capture.cut().unwrap().offset), (12, 12288));
    assert!(capture.cut().unwrap().reason.contains("checksum"));
}

#[test]
fn blocks_of_another_file_or_place_are_not_taken() {
    let (dir, events, bytes, path) = small();
    let other = dir.path().join("other.pelton");
    let options = WriterOptions { block_events: 12, file_id: Some(8), symbols: vec!["X".into()], ..Default::default() };
    let mut writer = CaptureWriter::create(&other, options).unwrap();
    writer.extend(&events).unwrap();
    writer.finish().unwrap();
    let stale = std::fs::read(&other).unwrap();
    for (from, what) in [(&stale, 3), (&bytes, 2)] {
        // Block 1 is now the other file's block 1, then this file's block 0.
        let mut mixed = bytes.clone();
        mixed[3 * 4096..4 * 4096].copy_from_slice(&from[what * 4096..][..4096]);
        std::fs::write(&path, &mixed).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("damaged block 1 at byte 12288: its header"));
        mixed.truncate(bytes.len() - 1);
        std::fs::write(&path, &mixed).unwrap();
        assert_eq!(open(&path).unwrap(), (events[..12].to_vec(), false));
    }
}

#[test]
fn a_block_that_could_not_be_read_is_no_part_of_what_is_left() {
    let (_dir, events, mut bytes, path) = small();
    // The header, the symbols, three blocks of events: the second one has a symbol's id, which only symbols have.
    bytes.truncate(5 * 4096);
    let at = 3 * 4096;
    let header = BlockHeader::decode(bytes[at..].first_chunk().unwrap(), FILE_ID, at as u64, None).unwrap();
    put(&mut bytes, at, &BlockHeader { first: 1, ..header }.encode(FILE_ID));
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(&path).unwrap(), (events[..12].to_vec(), false));
    let cut = Capture::open(&path).unwrap().cut().unwrap().clone();
    assert_eq!((cut.offset, &*cut.reason), (at as u64, "a block of Events with impossible counts"));
}

#[test]
fn a_footer_that_claims_a_huge_size_is_refused_before_memory_is_taken() {
    let (_dir, _, bytes, path) = small();
    let file = std::fs::File::create(&path).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(&bytes[..HEADER_BYTES], 0).unwrap();
    // Sparse: 1 TiB without a block of disk.
    let file_bytes = 1u64 << 40;
    let footer_bytes = file_bytes - 8192 - 128;
    let trailer = Trailer { file_id: FILE_ID, footer: 8192, footer_bytes, events: 0, file_bytes };
    file.set_len(file_bytes).unwrap();
    file.write_all_at(&trailer.encode(), file_bytes - TRAILER_BYTES as u64).unwrap();
    let error = Capture::open(&path).unwrap_err().to_string();
    assert!(error.contains("the footer's size: expected at most 1073741824"), "{error}");
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_an_error_without_the_mapping() {
    let (_dir, _, bytes, path) = small();
    std::fs::write(&path, &bytes).unwrap();
    let source = replay::<Trade>(&path).unwrap().untrusted(true).into_blocks();
    let mapped = replay::<Trade>(&path).unwrap().into_blocks();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(9000).unwrap();
    assert!(read(&source).unwrap_err().to_string().contains("cannot read"));
    // And before the mapping is made, with it too.
    assert!(read(&mapped).unwrap_err().to_string().contains("was cut from"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_no_capture(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("random");
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(Capture::open(&path).is_err());
    }

    /// Whatever stands behind a good header, with a good trailer or without.
    #[test]
    fn random_bytes_behind_a_header_give_no_events(body in prop::collection::vec(any::<u8>(), 0..9000), sealed: bool) {
        let (_dir, _, bytes, path) = small();
        let mut out = bytes[..HEADER_BYTES].to_vec();
        if sealed {
            let footer =
                BlockHeader::decode(bytes[5 * 4096..].first_chunk().unwrap(), FILE_ID, 5 * 4096, None).unwrap();
            out.extend(&bytes[HEADER_BYTES..5 * 4096]);
            out = seal(&out, footer, &body, footer.count, 30);
        } else {
            out.extend(&body);
        }
        std::fs::write(&path, &out).unwrap();
        match open(&path) {
            Ok((events, complete)) => prop_assert!(events.is_empty() && !complete && !sealed),
            Err(error) => prop_assert!(sealed, "{}", error),
        }
    }

    /// Footers whose fields are anything, with right checksums: an error, or events that are true.
    #[test]
    fn random_numbers_in_the_index_never_give_other_events(
        changes in prop::collection::vec((0usize..184, any::<u8>()), 1..6),
    ) {
        let (_dir, events, bytes, path) = small();
        let at = 5 * 4096;
        let footer = BlockHeader::decode(bytes[at..].first_chunk().unwrap(), FILE_ID, at as u64, None).unwrap();
        let mut payload = bytes[at + BLOCK_HEADER_BYTES..][..footer.payload_bytes as usize].to_vec();
        for (at, value) in changes {
            if let Some(byte) = payload.get_mut(at) {
                *byte = value;
            }
        }
        std::fs::write(&path, seal(&bytes[..at], footer, &payload, footer.count, 30)).unwrap();
        if let Ok((found, _)) = open(&path) {
            prop_assert_eq!(found, events);
        }
    }

    /// An unfinished file whose block headers say anything, with right checksums.
    #[test]
    fn random_numbers_in_block_headers_never_give_other_events(
        block in 1usize..5,
        changes in prop::collection::vec((4usize..60, prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()]), 1..4),
    ) {
        let (_dir, events, mut bytes, path) = small();
        bytes.truncate(5 * 4096);
        let at = block * 4096;
        for (byte, value) in changes {
            bytes[at + byte] = value;
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&FILE_ID.to_le_bytes());
        hasher.update(&bytes[at..at + BLOCK_HEADER_BYTES - 4]);
        put(&mut bytes, at + BLOCK_HEADER_BYTES - 4, &hasher.finalize().to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        match open(&path) {
            Ok((found, complete)) => {
                prop_assert!(!complete);
                prop_assert_eq!(&found[..], &events[..found.len()]);
            }
            Err(error) => prop_assert!(error.to_string().contains("hostile.pelton"), "{}", error),
        }
    }
}
