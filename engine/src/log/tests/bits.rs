//! Bits of a log that change: each is found, or nothing depends on it.

use super::*;

#[test]
fn any_bit_that_changes_is_found_or_does_not_matter() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    take_up_to(&mut log, 7);
    drop(log);
    let bytes = disk.bytes();
    let expected = read_all(&mut open(&disk, false).unwrap()).unwrap();
    // All bits in the script, some in the everyday tests.
    let stride = if std::env::var_os("PELTON_IMAGES").is_some() { 1 } else { 29 };
    let mut found = 0;
    for at in (0..bytes.len()).step_by(stride) {
        let mut rotten = bytes.clone();
        rotten[at] ^= 1 << (at * 7 % 8);
        let disk = CrashingDisk::with_bytes(rotten);
        match open(&disk, false).and_then(|mut log| read_all(&mut log)) {
            Ok(read) => assert!(read == expected, "byte {at}"),
            Err(StateError::Damaged { .. } | StateError::Version { .. }) => found += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
        // Whoever may fall back has a whole checkpoint, or none at all.
        if let Ok(mut log) = open(&disk, true)
            && let Some(kept) = log.kept().last().cloned()
            && let Ok(read) = read_all(&mut log)
        {
            assert!(expected.get(&kept.epoch) == read.get(&kept.epoch), "byte {at}");
        }
    }
    println!("{found} of {} bytes matter", bytes.len() / stride);
    assert!(found * stride > 10_000, "{found} bytes matter");
}

/// A log in memory, of which one bit is another.
struct Flipped {
    bytes: Arc<Vec<u8>>,
    bit: usize,
}

impl Storage for Flipped {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let found = start.checked_add(into.len()).and_then(|end| self.bytes.get(start..end));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        if let Some(byte) = (self.bit / 8).checked_sub(start).and_then(|at| into.get_mut(at)) {
            *byte ^= 1 << (self.bit % 8);
        }
        Ok(())
    }
    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn grow(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// The log of a job with much state: what its bodies have, by epoch, and its bytes.
fn large_log(options: LogOptions) -> (Vec<Vec<u8>>, Vec<u8>) {
    let bodies: Vec<Vec<u8>> = (0..10u64)
        .map(|epoch| (0..180_000 + epoch * 701).map(|at| (at.wrapping_mul(epoch + 3) >> 3) as u8).collect())
        .collect();
    let disk = CrashingDisk::new();
    let mut log = SnapshotLog::open(Box::new(disk.storage()), Path::new("log"), options, 77, false).unwrap();
    for (epoch, body) in (0..).zip(&bodies).skip(1) {
        let builds_on = builds_on(&log, epoch);
        log.begin(epoch, builds_on).unwrap();
        log.write(body).unwrap();
        log.seal(Sealing::default()).unwrap();
    }
    drop(log);
    (bodies, disk.bytes())
}

/// Opens a log and reads all that is kept: whether that is what was written, and it is all.
fn is_whole(storage: Flipped, options: LogOptions, bodies: &[Vec<u8>]) -> Result<bool, StateError> {
    let mut log = SnapshotLog::open(Box::new(storage), Path::new("log"), options, 77, false)?;
    let kept = log.kept().to_vec();
    // The first one builds on nothing, and each later one on the one before it.
    let epochs = |kept: &Kept| kept.bodies.iter().map(|body| body.epoch).collect::<Vec<_>>();
    let mut is_whole = kept.iter().map(epochs).eq([vec![5, 6, 7, 8], vec![5, 6, 7, 8, 9]]);
    let bodies_of_all: Vec<&BodyRef> = kept.iter().flat_map(|kept| &kept.bodies).collect();
    // The older checkpoint has bodies of the newer one, which are read once.
    let is_read = |at: usize| bodies_of_all[..at].contains(&bodies_of_all[at]);
    for body in (0..bodies_of_all.len()).filter(|at| !is_read(*at)).map(|at| bodies_of_all[at]) {
        let mut reader = log.reader(body);
        reader.skip_links()?;
        let expected = &bodies[body.epoch as usize];
        is_whole &= reader.bytes(expected.len() as u64)? == *expected && reader.is_at_end()?;
    }
    Ok(is_whole)
}

/// Bits of a log of more than 1 MiB: with `PELTON_FLIPS` each, or of so many one, and some of them every day.
#[test]
fn every_bit_of_a_large_log_is_found_or_does_not_matter() {
    const LARGE: LogOptions = LogOptions { segment_bytes: 1 << 16, kept: 2 };
    let (bodies, bytes) = large_log(LARGE);
    assert!(bytes.len() > 1 << 20, "{} bytes", bytes.len());
    let bits = bytes.len() * 8;
    // A prime, so that all bits of a byte and all fields of a frame are met.
    let stride = std::env::var("PELTON_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(19_997);
    let bytes = Arc::new(bytes);
    let (next, found, same) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let flip = || {
        loop {
            let first = next.fetch_add(1024 * stride, Ordering::Relaxed);
            if first >= bits {
                return;
            }
            for bit in (first..bits.min(first + 1024 * stride)).step_by(stride) {
                match is_whole(Flipped { bytes: bytes.clone(), bit }, LARGE, &bodies) {
                    Ok(true) => same.fetch_add(1, Ordering::Relaxed),
                    Err(StateError::Damaged { .. } | StateError::Version { .. }) => {
                        found.fetch_add(1, Ordering::Relaxed)
                    }
                    Ok(false) => panic!("bit {bit}: other bytes, and nothing is said"),
                    Err(other) => panic!("bit {bit}: {other}"),
                };
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(flip);
        }
    });
    let (found, same) = (found.into_inner(), same.into_inner());
    println!("{} bits flipped of {} bytes: {found} found, {same} not used, 0 wrong", found + same, bytes.len());
    assert_eq!(found + same, bits.div_ceil(stride));
    assert!(found > same, "{found} found, {same} not used");
}
