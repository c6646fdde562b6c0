//! Writing to a terminal or a pipe that may be closed at any time: `println!` would panic.

use std::fmt::Display;
use std::io::{self, Write};

/// Standard output. A reader that has gone away is no error.
pub(super) struct Output(io::Stdout);

impl Output {
    pub(super) fn stdout() -> Self {
        Self(io::stdout())
    }

    /// One line.
    pub(super) fn line(&mut self, text: impl Display) {
        // `write` below has swallowed what there is to swallow; nothing else can be done about standard output.
        let _ = writeln!(self, "{text}");
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Says on standard error what is wrong.
pub(super) fn complain(problem: &dyn Display) {
    // Nobody to tell that nobody can be told.
    let _ = writeln!(io::stderr(), "{}", problem.to_string().trim_end());
}
