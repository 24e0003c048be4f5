//! What reading alone takes, and jobs that do little more than read.

use super::captures::{Kind, Spec};
use super::{Found, Suite, by_hand, job};
use crate::contest::{Contest, Outcome};
use crate::{bandwidth, work, yardstick};
use pelton::{BlockSource, BoxError};
use pelton_io::Trade;
use pelton_io::capture::replay;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use vmap::Map;

const EVENT_BYTES: u64 = size_of::<Trade>() as u64;
const BASE: Spec = Spec::new(Kind::Trades, 10_000);

/// The capture's bytes as words, all but at most seven of them.
fn words(bytes: &[u8]) -> &[u64] {
    let whole = bytes.len() / 8 * 8;
    bytemuck::try_cast_slice(&bytes[..whole]).unwrap_or_default()
}

fn sum_of(words: &[u64]) -> Result<(u64, u64), BoxError> {
    Ok((words.len() as u64, bandwidth::sum(std::hint::black_box(words))))
}

/// The sum of all words of the file through a mapping made for it: each page is a fault.
fn sum_mapped(path: &Path) -> Result<(u64, u64), BoxError> {
    let (map, _file): (Map, File) = Map::with_options().open(path)?;
    sum_of(words(&map))
}

/// As [`sum_mapped`], each half by a thread of its own.
fn sum_mapped_by_two(path: &Path) -> Result<(u64, u64), BoxError> {
    let (map, _file): (Map, File) = Map::with_options().open(path)?;
    let words = words(&map);
    let (first, second) = words.split_at(words.len() / 2);
    let sum = std::thread::scope(|scope| {
        let second = scope.spawn(|| bandwidth::sum(std::hint::black_box(second)));
        let first = bandwidth::sum(std::hint::black_box(first));
        second.join().map(|second| first.wrapping_add(second))
    });
    Ok((words.len() as u64, sum.map_err(|_| "a thread panicked")?))
}

/// The sum of all words of the file, which is read piece by piece into one buffer.
fn sum_read(path: &Path) -> Result<(u64, u64), BoxError> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0u64; 1 << 15];
    let (mut count, mut sum) = (0, 0u64);
    loop {
        let bytes = bytemuck::cast_slice_mut::<u64, u8>(&mut buffer);
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read(&mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        let (words, part) = sum_of(&buffer[..filled / 8])?;
        count += words;
        sum = sum.wrapping_add(part);
        if filled < size_of_val(&buffer[..]) {
            return Ok((count, sum));
        }
    }
}

/// Loads and checks all blocks, as every job does, and looks at one event of each.
fn load(path: &Path) -> Result<(u64, u64), BoxError> {
    let source = replay::<Trade>(path)?.into_blocks();
    let mut reader = source.reader()?;
    let (mut events, mut sum) = (0, 0u64);
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let loaded = std::hint::black_box(reader.events());
        events += loaded.len() as u64;
        sum = loaded.last().map_or(sum, |trade| sum.wrapping_add(trade.time_ns as u64));
    }
    Ok((events, sum))
}

pub(super) fn sequential(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let path = suite.captures.get(BASE, suite.tell)?;
    let bytes = std::fs::metadata(&path)?.len();
    let mut contest = Contest::new("sequential read of the capture", bytes / EVENT_BYTES, EVENT_BYTES);
    contest.rival("mapped", || Outcome::timed(|| sum_mapped(&path)));
    contest.remark("mapped", "a new mapping each time, page faults included");
    contest.rival("mapped, 2 threads", || Outcome::timed(|| sum_mapped_by_two(&path)));
    let mut memory = bandwidth::buffer(bytes).ok_or("not enough memory for a copy of the capture")?;
    File::open(&path)?.read_exact(bytemuck::cast_slice_mut(&mut memory))?;
    contest.rival("anonymous memory", move || Outcome::timed(|| sum_of(&memory)));
    contest.remark("anonymous memory", "a copy made before");
    contest.rival("read calls", || Outcome::timed(|| sum_read(&path)));
    contest.remark("read calls", "into one buffer of 256 KiB");
    let sums = suite.run(contest);
    let mut contest = Contest::new("blocks loaded and checked", suite.options.events, EVENT_BYTES);
    contest.rival("reader", || Outcome::timed(|| load(&path)));
    contest.remark("reader", "what every job and loop below pays before its own work");
    Ok(vec![sums, suite.run(contest)].into())
}

pub(super) fn stateless(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let path = suite.captures.get(BASE, suite.tell)?;
    let mut contest = Contest::new("filter and map", suite.options.events, EVENT_BYTES);
    contest.rival("pelton", job(&path, |source| work::stateless_job(source, 1)));
    contest.rival("plain", by_hand(&path, |source, sink| yardstick::stateless(&source.into_blocks(), sink)));
    let much = suite.run(contest);
    let mut contest = Contest::new("filter, map and project, a tenth passes", suite.options.events, EVENT_BYTES);
    contest.rival("pelton", job(&path, |source| work::selective_job(source, 1)));
    contest.rival("plain", by_hand(&path, |source, sink| yardstick::selective(&source.into_blocks(), sink)));
    Ok(vec![much, suite.run(contest)].into())
}
