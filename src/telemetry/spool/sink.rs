//! Where lines end: a file that can be opened again, or a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::telemetry::metrics::Counter;

/// Where lines end. Writes may block: only the writer thread makes them.
pub(in crate::telemetry) struct Sink {
    to: Box<dyn Write + Send>,
    /// Where `to` is, when it can be opened again.
    path: Option<PathBuf>,
    /// The last write broke off inside a line.
    torn: bool,
}

impl Sink {
    /// A file, appended to; made with mode 0640 if there is none.
    pub(in crate::telemetry) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { to: Box::new(open(path)?), path: Some(path.to_owned()), torn: false })
    }

    /// Standard output, without the line buffer and the lock of [`std::io::Stdout`].
    pub(in crate::telemetry) fn stdout() -> io::Result<Self> {
        #[cfg(unix)]
        let to = File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
        #[cfg(not(unix))]
        let to = io::stdout();
        Ok(Self::stream(to))
    }

    /// Standard error.
    pub(in crate::telemetry) fn stderr() -> io::Result<Self> {
        Ok(Self::stream(io::stderr()))
    }

    /// Anything.
    pub(in crate::telemetry) fn stream(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), path: None, torn: false }
    }

    /// Opens the file again, if it is one; the old one is kept if that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.to = Box::new(open(path)?);
            self.torn = false;
        }
        Ok(())
    }

    /// Writes whole lines. On an error the rest is given up and counted: a reader that has gone away (EPIPE), or a
    /// full disk, must not fill our memory.
    pub(super) fn write(&mut self, lines: &[u8], dropped: &Counter) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.write_all(b"\n").map_err(|(_, error)| count(lines, error, dropped))?;
            self.torn = false;
        }
        self.write_all(lines).map_err(|(rest, error)| {
            let written = lines.get(..lines.len() - rest.len()).unwrap_or_default();
            self.torn = written.last().is_some_and(|last| *last != b'\n');
            count(rest, error, dropped)
        })
    }

    fn write_all<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(), (&'a [u8], io::Error)> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err((bytes, ErrorKind::WriteZero.into())),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A parent can hand down a pipe that does not block (Node.js does).
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err((bytes, error)),
            }
        }
        self.to.flush().map_err(|error| (bytes, error))
    }
}

fn count(lost: &[u8], error: io::Error, dropped: &Counter) -> io::Error {
    let lines = memchr::memchr_iter(b'\n', lost).count();
    dropped.add(u64::try_from(lines).unwrap_or(u64::MAX));
    error
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}
