//! What fuzzers do, with a few random inputs: sound files open, many edited ones do, and nothing breaks.

use crate::testing::fuzz;
use crate::testing::mode::Random;

/// Random edits, mostly few of them, behind bytes that say what is done with the file; how many files could be used.
fn try_many(options: &[u8], use_file: impl Fn(&[u8]) -> bool) -> usize {
    assert!(use_file(&[]) && use_file(options), "a sound file could not be used");
    let sealed = [options, &[0xff; 2]].concat();
    assert!(use_file(&sealed), "a file that was sealed again could not be used");
    let mut random = Random::new(3);
    (0..400)
        .filter(|_| {
            let len = random.up_to(40);
            let mut input: Vec<u8> = (0..len).map(|_| random.up_to(256) as u8).collect();
            if random.coin() {
                // With all checksums right.
                input.splice(..input.len().min(sealed.len()), sealed.iter().copied());
            }
            use_file(&input)
        })
        .count()
}

#[test]
fn logs_that_are_edited() {
    let used = try_many(&[3, 5], fuzz::log);
    assert!((50..350).contains(&used), "{used}");
}

#[test]
fn superblocks_that_are_edited() {
    let used = try_many(&[1], fuzz::superblock);
    assert!((50..350).contains(&used), "{used}");
}

#[test]
fn journals_that_are_edited() {
    let used = try_many(&[5], fuzz::journal);
    assert!((50..350).contains(&used), "{used}");
}

/// A start with a payload reached over records, and what was appended behind those changed it.
#[test]
fn a_journal_whose_start_reaches_over_records_is_refused() {
    assert!(!fuzz::journal(&[37, 6, 7, 164, 164, 164, 40, 164, 164, 6]));
}

#[test]
fn state_that_is_edited() {
    for operator in 0..3 {
        let used = try_many(&[operator, 0], fuzz::state);
        assert!((50..350).contains(&used), "{used}");
    }
}

/// A large key was saved before small ones.
#[test]
fn state_that_was_restored_is_saved_in_as_many_bytes() {
    assert!(fuzz::state(&[43, 47, 60, 255, 42, 245, 255, 245]));
}
