//! Journals whose front is cut.

use super::*;

#[test]
fn a_crash_at_any_operation_leaves_what_checkpoints_need_of_a_journal_that_is_cut() {
    let crashes = crash_everywhere(CrashingDisk::new, images(), (60, true)).unwrap();
    println!("{crashes} crashes");
    assert!(crashes > images() * 200, "{crashes} crashes");
}

#[test]
fn what_was_cut_has_no_room_and_is_not_read() {
    let disk = CrashingDisk::new();
    let filled = fill(&disk, 500, true);
    assert!(filled.cuts > 20, "{} cuts", filled.cuts);
    for checkpoint in &filled.checkpoints {
        let opened = open(&disk, Some(&checkpoint.from)).unwrap();
        assert_eq!(read_all(&opened, Some(checkpoint)).unwrap(), 500);
        assert_eq!(opened.symbols.len(), 125);
        let [first, kept_from] = [opened.journal.first().offset, opened.journal.kept_from()].map(|at| at as usize);
        assert!(kept_from > disk.bytes().len() / 2 && disk.bytes()[first..kept_from].iter().all(|byte| *byte == 0));
    }
    let error = open(&disk, None).err().unwrap().to_string();
    assert!(error.contains("was cut, and no checkpoint says how to go on"), "{error}");
    // A place before what is kept.
    let older = CrashingDisk::new();
    let filled = fill(&older, 20, false);
    let error = open(&disk, filled.from()).err().unwrap().to_string();
    assert!(error.contains("the checkpoint goes on with record") && error.contains("was cut"), "{error}");
}

/// The start is written in place: no bit of it may be wrong.
#[test]
fn a_start_that_changes_is_found() {
    let disk = CrashingDisk::new();
    let filled = fill(&disk, 100, true);
    let start = open(&disk, filled.from()).unwrap().journal.first().before as usize;
    for at in start..start + 64 {
        for bit in 0..8 {
            let mut rotten = disk.bytes();
            rotten[at] ^= 1 << bit;
            let rotten = CrashingDisk::with_bytes(rotten);
            for from in [None, filled.from()] {
                let opened = open(&rotten, from);
                assert!(matches!(opened, Err(StateError::Damaged { .. })), "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_cut_that_fails_loses_nothing() {
    for at in 0..3 {
        let disk = CrashingDisk::new();
        let filled = fill(&disk, 60, false);
        let opened = open(&disk, None).unwrap();
        disk.fail(Some(Fault { at, for_ever: false, kind: io::ErrorKind::Other }));
        let [oldest, newest] = &*filled.checkpoints else { panic!("there are two") };
        assert!(matches!(opened.journal.cut(oldest.from.position), Err(StateError::Io { .. })), "operation {at}");
        drop(opened);
        for (seed, checkpoint) in [oldest, newest].into_iter().enumerate() {
            let image = CrashingDisk::with_bytes(disk.crash_image(seed as u64));
            assert!(hold(&image, filled.durable, 60, Some(checkpoint)).is_ok(), "operation {at}");
        }
    }
}

/// Storage that gives back no room.
struct Plain(Vec<u8>);

impl Storage for Plain {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let found = self.0.get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let into = self.0.get_mut(offset as usize..offset as usize + bytes.len());
        into.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        self.0.resize(self.0.len().max(len as usize), 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whether_room_can_be_given_back_is_known_before_it_is_needed() {
    let handles = Handles::new(Box::new(Plain(Vec::new()))).unwrap();
    let journal = Journal::open(handles, Path::new(PATH), (None, 1), &sources()).unwrap();
    let Err(StateError::Io { source, .. }) = journal.check_cuts() else { panic!("it cannot") };
    assert_eq!(source.kind(), io::ErrorKind::Unsupported);
    assert!(open(&CrashingDisk::new(), None).unwrap().journal.check_cuts().is_ok());
    // A file that can has as much in it afterwards, in less room.
    use std::os::unix::fs::MetadataExt;
    let file = tempfile::tempfile().unwrap();
    let mut storage = crate::log::storage::FileStorage::new(file.try_clone().unwrap());
    storage.grow(1 << 20).unwrap();
    storage.write(0, &vec![7; 1 << 20]).unwrap();
    storage.sync().unwrap();
    let before = file.metadata().unwrap().blocks();
    match storage.discard(4096, 1 << 19) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => println!("skipped: no holes in files here"),
        discarded => {
            discarded.unwrap();
            assert!(file.metadata().unwrap().blocks() < before);
            let mut found = vec![0; 1 << 20];
            storage.read(0, &mut found).unwrap();
            let hole = 4096..4096 + (1 << 19);
            assert!(
                found[hole.clone()].iter().all(|byte| *byte == 0) && found[hole.end..].iter().all(|byte| *byte == 7)
            );
        }
    }
}
