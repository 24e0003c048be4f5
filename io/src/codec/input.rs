//! Opens a file as a stream of plain bytes: zip, gzip and zstd are recognised by their first bytes
//! and unpacked as they are read, under limits that a decompression bomb runs into.

use super::header::HeaderError;
use crc32fast::Hasher;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BUFFER_BYTES: usize = 128 << 10;

/// Limits on what is read from one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputLimits {
    /// The most bytes that a packed file may unpack to. 64 GiB by default.
    pub unpacked_bytes_max: u64,
    /// The most bytes that one packed byte may unpack to, on average. 1,000 by default.
    pub ratio_max: u64,
    /// Unpacked bytes up to which the ratio is not looked at. 64 MiB by default.
    pub ratio_free_bytes: u64,
    /// The most bytes of a line. 16 MiB by default.
    pub line_bytes_max: usize,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self { unpacked_bytes_max: 64 << 30, ratio_max: 1000, ratio_free_bytes: 64 << 20, line_bytes_max: 16 << 20 }
    }
}

/// An input cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system, or an unpacker that met damage, said so.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The packed bytes are damaged or end early.
    #[error("the {container} data is damaged or cut off after {offset} unpacked bytes: {source}")]
    Damaged {
        /// The kind of packing.
        container: Container,
        /// How much could be unpacked before.
        offset: u64,
        /// What the unpacker said.
        source: io::Error,
    },
    /// The file unpacks to more than allowed.
    #[error("the file unpacks to more than the allowed {limit} bytes: {found} so far")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// Bytes found so far.
        found: u64,
    },
    /// The file unpacks to far more than its size lets expect.
    #[error(
        "the file unpacks to more than the allowed {limit} bytes for each of its own: {found} bytes so far from {packed}"
    )]
    Ratio {
        /// The limit in unpacked bytes for each packed byte.
        limit: u64,
        /// Unpacked bytes so far.
        found: u64,
        /// Packed bytes of the whole file.
        packed: u64,
    },
    /// The file is not of the expected format.
    #[error("expected {expected}, found {found}")]
    Format {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The header of delimited text contradicts the schema.
    #[error(transparent)]
    Header(Box<HeaderError>),
    /// A record is cut off by the end of the file.
    #[error("the file ends inside a record: at byte {offset} expected {expected} bytes, found {found}")]
    Truncated {
        /// Unpacked bytes before the record.
        offset: u64,
        /// Bytes of the record.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
}

impl From<io::Error> for InputError {
    fn from(error: io::Error) -> Self {
        // A reader can only pass an io::Error on; ours travels inside.
        match error.downcast::<InputError>() {
            Ok(inner) => inner,
            Err(error) => Self::Io(error),
        }
    }
}

impl InputError {
    pub(crate) fn format(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { expected: expected.into(), found: found.into() }
    }
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Not at all.
    Plain,
    /// A zip archive with one file, and any folders.
    Zip,
    /// One or more gzip members.
    Gzip,
    /// One or more Zstandard frames.
    Zstd,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Zip => "zip",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// A file's bytes, unpacked as they are read.
pub struct Input {
    reader: Box<dyn BufRead + Send>,
    container: Container,
    inner_name: Option<String>,
    packed_read: Arc<AtomicU64>,
}

/// Counts the bytes that are read of a file.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, is a zip archive with no file or more than one, or is packed by a
    /// method that is not known. Damage further inside is an error of the read that meets it.
    pub fn open(path: &Path, limits: &InputLimits) -> Result<Self, InputError> {
        let mut file = File::open(path).map_err(InputError::Io)?;
        let metadata = file.metadata().map_err(InputError::Io)?;
        if metadata.is_dir() {
            return Err(InputError::format("a file", "a directory"));
        }
        let mut magic = Vec::with_capacity(4);
        (&mut file).take(4).read_to_end(&mut magic).map_err(InputError::Io)?;
        let read = Arc::new(AtomicU64::new(0));
        let mut input = if !metadata.is_file() {
            // A pipe cannot be rewound, but it can be chained.
            let rest = Counted { file, read: read.clone() };
            Self::stream(BufReader::new(io::Cursor::new(magic.clone()).chain(rest)), &magic, None, limits)?
        } else {
            file.seek(SeekFrom::Start(0)).map_err(InputError::Io)?;
            if is_zip(&magic) {
                Self::zip(file, read.clone(), metadata.len(), limits)?
            } else {
                let counted = Counted { file, read: read.clone() };
                let reader = BufReader::with_capacity(BUFFER_BYTES, counted);
                Self::stream(reader, &magic, Some(metadata.len()), limits)?
            }
        };
        input.packed_read = read;
        Ok(input)
    }

    /// An input from a reader, unpacked where its first bytes are those of gzip or zstd. The limit on
    /// the ratio does not apply, since the packed size is not known.
    ///
    /// # Errors
    /// When the first bytes cannot be read or are those of a zip archive, which is read from its end.
    pub fn from_reader(reader: impl Read + Send + 'static, limits: &InputLimits) -> Result<Self, InputError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let mut magic = Vec::with_capacity(4);
        (&mut reader).take(4).read_to_end(&mut magic).map_err(InputError::Io)?;
        let whole = BufReader::new(io::Cursor::new(magic.clone()).chain(reader));
        Self::stream(whole, &magic, None, limits)
    }

    fn stream(
        reader: impl BufRead + Send + 'static,
        magic: &[u8],
        packed: Option<u64>,
        limits: &InputLimits,
    ) -> Result<Self, InputError> {
        match magic {
            magic if is_zip(magic) => Err(InputError::format("a file or a stream", "a zip archive in a pipe")),
            [0x1f, 0x8b, ..] => {
                Ok(Self::packed(MultiGzDecoder::new(reader), Container::Gzip, packed, limits, Check::Own))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(InputError::Io)?;
                Ok(Self::packed(decoder, Container::Zstd, packed, limits, Check::Own))
            }
            _ => Ok(Self {
                reader: Box::new(reader),
                container: Container::Plain,
                inner_name: None,
                packed_read: Arc::default(),
            }),
        }
    }

    fn zip(file: File, read: Arc<AtomicU64>, packed: u64, limits: &InputLimits) -> Result<Self, InputError> {
        let damaged = |error: zip::result::ZipError| InputError::Damaged {
            container: Container::Zip,
            offset: 0,
            source: io::Error::other(error),
        };
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        // Folders have entries of their own, whose names end so.
        let is_file = |(_, name): &(usize, &[u8])| !name.ends_with(b"/") && !name.ends_with(b"\\");
        let mut files = archive.file_names_raw().enumerate().filter(is_file).map(|(index, _)| index);
        let (first, more) = (files.next(), files.count());
        let Some(index) = first.filter(|_| more == 0) else {
            let found = more + usize::from(first.is_some());
            return Err(InputError::format("a zip archive with one file", format!("{found} files")));
        };
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        if entry.encrypted() || !entry.is_file() {
            return Err(InputError::format(
                "a plain file in the zip archive",
                format!("{name:?}, encrypted or no file"),
            ));
        }
        let (start, length, method) = (entry.data_start(), entry.compressed_size(), entry.compression());
        let check = Check::Sum { crc32: entry.crc32(), size: entry.size(), hasher: Hasher::new() };
        drop(entry);
        let start = start.ok_or_else(|| InputError::format("a zip archive", "one without data"))?;
        let mut file = archive.into_inner().into_inner();
        file.seek(SeekFrom::Start(start)).map_err(InputError::Io)?;
        // The archive's directory may say anything.
        let packed = packed.min(length);
        let data = BufReader::with_capacity(BUFFER_BYTES, Counted { file, read }).take(length);
        let mut input = match method {
            zip::CompressionMethod::Stored => Self::packed(data, Container::Zip, Some(packed), limits, check),
            zip::CompressionMethod::Deflated => {
                Self::packed(DeflateDecoder::new(data), Container::Zip, Some(packed), limits, check)
            }
            other => {
                return Err(InputError::format("a zip archive packed by deflate or not at all", format!("{other}")));
            }
        };
        input.inner_name = Some(name);
        Ok(input)
    }

    fn packed(
        unpacker: impl Read + Send + 'static,
        container: Container,
        packed: Option<u64>,
        limits: &InputLimits,
        check: Check,
    ) -> Self {
        let guard = Guard { unpacker, container, packed, limits: *limits, unpacked: 0, check };
        Self {
            reader: Box::new(BufReader::with_capacity(BUFFER_BYTES, guard)),
            container,
            inner_name: None,
            packed_read: Arc::default(),
        }
    }

    /// How the file is packed.
    pub fn container(&self) -> Container {
        self.container
    }

    /// A counter of the file's own bytes that were read so far, for showing progress; it stays 0 for
    /// [`Input::from_reader`].
    pub fn packed_read(&self) -> Arc<AtomicU64> {
        self.packed_read.clone()
    }

    /// The name of the file inside a zip archive.
    pub fn inner_name(&self) -> Option<&str> {
        self.inner_name.as_deref()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("container", &self.container).field("inner_name", &self.inner_name).finish()
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
    }
}

/// An archive starts with a file, with its end where it is empty, or with the mark of a split one.
fn is_zip(magic: &[u8]) -> bool {
    matches!(magic, [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] | [b'P', b'K', 7, 8])
}

/// Who checks that the unpacked bytes are the right ones.
enum Check {
    /// The unpacker.
    Own,
    /// The guard, by what the archive's directory says.
    Sum { crc32: u32, size: u64, hasher: Hasher },
}

/// Counts what an unpacker gives, stops it at the limits and checks the sum at the end.
struct Guard<R> {
    unpacker: R,
    container: Container,
    packed: Option<u64>,
    limits: InputLimits,
    unpacked: u64,
    check: Check,
}

impl<R> Guard<R> {
    fn damaged(&self, source: io::Error) -> io::Error {
        io::Error::other(InputError::Damaged { container: self.container, offset: self.unpacked, source })
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.unpacker.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.damaged(error)),
        };
        self.unpacked += count as u64;
        let found = self.unpacked;
        if found > self.limits.unpacked_bytes_max {
            let limit = self.limits.unpacked_bytes_max;
            return Err(io::Error::other(InputError::TooLarge { limit, found }));
        }
        if let Some(packed) = self.packed
            && found > self.limits.ratio_free_bytes
            && found / packed.max(1) > self.limits.ratio_max
        {
            let limit = self.limits.ratio_max;
            return Err(io::Error::other(InputError::Ratio { limit, found, packed }));
        }
        if let Check::Sum { crc32, size, hasher } = &mut self.check {
            hasher.update(&buffer[..count]);
            let (crc32, size) = (*crc32, *size);
            if count == 0 && !buffer.is_empty() {
                let sum = hasher.clone().finalize();
                if size != found || crc32 != sum {
                    let text = format!(
                        "expected {size} bytes with checksum {crc32:08x}, found {found} with checksum {sum:08x}"
                    );
                    return Err(self.damaged(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
            }
        }
        Ok(count)
    }
}
