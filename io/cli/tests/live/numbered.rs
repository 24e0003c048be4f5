//! Rows that a numbered callback is given, in a file: written at once, line by line, and read with repeats dropped.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Appends lines to a file; whoever kills the process leaves them there.
pub(crate) fn append_to(path: &Path) -> impl FnMut(u64, &str) + Send + use<> {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path).unwrap();
    move |number, row| file.write_all(format!("{number} {row}\n").as_bytes()).unwrap()
}

/// The rows by their numbers. A row that came again is the row that came before, and none is left out.
pub(crate) fn read(path: &Path) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (number, row) = line.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        match rows.get(number) {
            Some(before) => assert_eq!(before, row, "row {number} came again"),
            None => {
                assert_eq!(number, rows.len(), "a row is missing");
                rows.push(row.to_owned());
            }
        }
    }
    rows
}
