//! Packed inputs that were edited: gzip, zstd and zip. They unpack to what was packed, to an error, or to no more than
//! the limits allow.

use crate::Scratch;
use crate::text::edited;
use pelton::testing::fuzz::Input;
use pelton_io::codec::InputLimits;
use std::io::{Cursor, Read, Write};
use std::sync::OnceLock;

/// What is packed.
const TEXT: &[u8] = b"ts,price\n1,2\n1,2\n1,2\n1,2\n3,4\n";
/// The most bytes that an input may unpack to.
const UNPACKED_MAX: u64 = 1 << 16;

fn samples() -> std::io::Result<[Vec<u8>; 4]> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(TEXT)?;
    let zstd = zstd::stream::encode_all(TEXT, 3)?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("rows.csv", zip::write::SimpleFileOptions::default())?;
    zip.write_all(TEXT)?;
    Ok([gzip.finish()?, zstd, zip.finish()?.into_inner(), TEXT.to_vec()])
}

/// Unpacks a file, from its name where it is a zip archive and else from a reader.
pub fn packed(input: &[u8]) {
    static PLACE: OnceLock<([Vec<u8>; 4], Scratch)> = OnceLock::new();
    let (samples, scratch) =
        PLACE.get_or_init(|| (samples().expect("the samples can be packed"), Scratch::new(".zip")));
    let bytes = edited(&samples.each_ref().map(Vec::as_slice), &mut Input(input));
    let limits = InputLimits {
        unpacked_bytes_max: UNPACKED_MAX,
        ratio_max: 100,
        ratio_free_bytes: 1 << 12,
        line_bytes_max: 512,
    };
    let is_sample = samples.contains(&bytes);
    let opened = match bytes.starts_with(b"PK") {
        true => pelton_io::codec::Input::open(scratch.write(&bytes), &limits),
        false => pelton_io::codec::Input::from_reader(Cursor::new(bytes), &limits),
    };
    let mut unpacked = Vec::new();
    let read = opened
        .map_err(|error| error.to_string())
        .and_then(|input| input.take(2 * UNPACKED_MAX).read_to_end(&mut unpacked).map_err(|error| error.to_string()));
    assert!(unpacked.len() as u64 <= UNPACKED_MAX + 1, "{} bytes", unpacked.len());
    assert!(!is_sample || (read.is_ok() && unpacked == TEXT), "{read:?}");
}
