//! How an archive is compressed, with all processors and in bounded memory.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use gzp::deflate::Gzip;
use gzp::{ZBuilder, ZWriter};
use pixi_offline::evidence::sums;
use pixi_offline::failure::Failure;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As gzip does.
    Gzip,
    /// As zstd does.
    Zstd,
}

/// The level of gzip, that of the program where none is given.
const GZIP_LEVEL: u32 = 6;

/// The level of zstd, that of the program where none is given.
const ZSTD_LEVEL: i32 = 3;

/// With one thread, gzp writes other bytes than with several.
const LEAST_THREADS: usize = 2;

/// More threads take more memory (some 20 MB each) and gain little.
const MOST_THREADS: usize = 16;

impl Compression {
    /// The endings of archives.
    const ENDINGS: [(&str, Compression); 3] = [
        (".tar", Compression::None),
        (".tar.gz", Compression::Gzip),
        (".tar.zst", Compression::Zstd),
    ];

    /// What the ending of a file's name asks for.
    ///
    /// # Errors
    ///
    /// Exit code 2 for another ending, and a name that no list of checksums should have.
    pub fn of(file: &Path) -> anyhow::Result<Compression> {
        let refuse = |why: &str| Failure::usage(format!("the archive {} {why}", file.display()));
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name else {
            return Err(refuse(
                "has no name, or one that is not UTF-8; give it another one",
            ));
        };
        if sums::needs_escape(name.as_bytes()) || name.starts_with('-') {
            return Err(refuse(
                "has a line end or a backslash in its name, or begins with a hyphen; give it another one",
            ));
        }
        let of_name = Compression::ENDINGS
            .iter()
            .find(|(ending, _)| name.len() > ending.len() && name.ends_with(ending));
        of_name.map(|(_, compression)| *compression).ok_or_else(|| {
            refuse("must end in .tar, .tar.gz or .tar.zst, which says how it is compressed")
        })
    }

    /// A writer that compresses into `to` with some threads. What is written does not depend on
    /// their number.
    pub(crate) fn writer<W: Write + Send + 'static>(
        self,
        to: W,
        threads: usize,
    ) -> io::Result<Compressor<W>> {
        Ok(match self {
            Compression::None => Compressor::Plain(to),
            Compression::Gzip => Compressor::Gzip(
                ZBuilder::<Gzip, _>::new()
                    .num_threads(threads)
                    .compression_level(gzp::Compression::new(GZIP_LEVEL))
                    .from_writer(to),
            ),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
                encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
        })
    }
}

/// How many threads compress.
pub(crate) fn threads() -> usize {
    let all = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    all.clamp(LEAST_THREADS, MOST_THREADS)
}

/// Compresses what is written.
pub(crate) enum Compressor<W: Write> {
    Plain(W),
    Gzip(Box<dyn ZWriter<W>>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Writes what is left.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Compressor::Plain(mut to) => to.flush(),
            Compressor::Gzip(mut to) => to.finish().map(drop).map_err(io::Error::other),
            Compressor::Zstd(to) => to.finish()?.flush(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::Plain(to) => to.write(bytes),
            Compressor::Gzip(to) => to.write(bytes),
            Compressor::Zstd(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A flush of a compressor would end a block: only the end of the archive does that.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_number_of_threads_and_the_pieces_of_the_input_show_in_no_byte() {
        // More than one job of each library.
        let input: Vec<u8> = (0..40_000_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8)
            .collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let compressed = |threads, piece| {
                let to = SharedBuffer::default();
                let mut writer = compression.writer(to.clone(), threads).unwrap();
                for bytes in input.chunks(piece) {
                    writer.write_all(bytes).unwrap();
                }
                writer.finish().unwrap();
                std::mem::take(&mut *to.0.lock().unwrap())
            };
            let one = compressed(LEAST_THREADS, 1 << 20);
            assert!(one.len() < input.len(), "{compression:?}");
            assert!(one == compressed(5, 1 << 20), "{compression:?}: threads");
            assert!(one == compressed(3, 9_999), "{compression:?}: pieces");
        }
    }

    #[test]
    fn the_ending_says_how_it_is_compressed() {
        for (file, expected) in [
            ("a/weather.tar", Compression::None),
            ("weather-1.3.tar.gz", Compression::Gzip),
            ("ä b.tar.zst", Compression::Zstd),
        ] {
            assert_eq!(Compression::of(Path::new(file)).unwrap(), expected);
        }
        for file in [
            "weather", "a.tgz", ".tar", "a.tar.xz", "/", "a\\b.tar", "-a.tar", "a\nb.tar",
        ] {
            let error = Compression::of(Path::new(file)).unwrap_err();
            assert_eq!(pixi_offline::failure::exit_code(&error), 2, "{file}");
        }
    }
}
