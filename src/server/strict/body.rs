//! A chunked body, followed byte by byte where it is framing and by length where it is data (RFC 9112 §7.1).
//!
//! Stricter than the RFC asks: no white space around a size, no more than 16 digits, and nothing in the trailers that
//! frames a message, says who sends it, or belongs to one connection (R11, R12, R14).

use super::Limits;
use super::field::Field;
use super::violation::{Violation, bad};

/// How far a chunked body was read.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    place: Place,
    /// Of this chunk's size.
    digits: usize,
    size: u64,
    /// Bytes of chunk extensions in the whole body.
    extensions: usize,
    /// Bytes of trailers.
    trailers: usize,
    fields: usize,
    /// The trailer line as far as it has come.
    line: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl Chunks {
    /// Goes on where it stopped; answers how many of the bytes are this body's, up to its end or up to the one that must
    /// not be there, which is an error when it is the first. `bytes` must not be empty.
    pub(super) fn read_on(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Violation> {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            match self.step(rest, limits) {
                Ok(0) => break,
                Ok(length) => read += length,
                Err(_) if read > 0 => break,
                Err(violation) => return Err(violation),
            }
        }
        Ok(read)
    }

    /// Whether that was all of it.
    pub(super) fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    fn step(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Violation> {
        match self.place {
            Place::Data(remaining) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(remaining);
                let remaining = remaining - length;
                self.place = if remaining == 0 { Place::DataCr } else { Place::Data(remaining) };
                Ok(usize::try_from(length).unwrap_or(bytes.len()))
            }
            Place::Trailer => self.step_trailer(bytes, limits),
            Place::End => Ok(0),
            place => {
                self.place = self.after(place, bytes.first().copied().unwrap_or_default())?;
                Ok(1)
            }
        }
    }

    /// One byte of framing. Nothing changes when it is an error.
    fn after(&mut self, place: Place, byte: u8) -> Result<Place, Violation> {
        match (place, byte) {
            (Place::Size, b'\r' | b';') if self.digits == 0 => Err(bad("a chunk has no size")),
            (Place::Size, b'\r') | (Place::Extension, b'\r') => Ok(Place::SizeLf),
            (Place::Size, b';') => self.extend(),
            (Place::Size, digit) => self.note_digit(digit),
            (Place::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extend(),
            (Place::Extension, _) => Err(bad("a chunk extension has a control character")),
            (Place::SizeLf, b'\n') => Ok(self.begin()),
            (Place::DataCr, b'\r') => Ok(Place::DataLf),
            (Place::DataLf, b'\n') => Ok(Place::Size),
            (Place::DataCr | Place::DataLf, _) => Err(bad("a chunk does not end where its size says")),
            _ => Err(bad("a chunk's size does not end with CRLF")),
        }
    }

    fn note_digit(&mut self, digit: u8) -> Result<Place, Violation> {
        let value = char::from(digit).to_digit(16).ok_or(bad("a chunk's size is not a hexadecimal number"))?;
        if self.digits == DIGITS_MAX {
            return Err(bad("a chunk's size has too many digits"));
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(value);
        Ok(Place::Size)
    }

    fn extend(&mut self) -> Result<Place, Violation> {
        if self.extensions == EXTENSIONS_MAX {
            return Err(bad("the chunk extensions are too long"));
        }
        self.extensions += 1;
        Ok(Place::Extension)
    }

    /// After a chunk's size line.
    fn begin(&mut self) -> Place {
        let size = std::mem::take(&mut self.size);
        self.digits = 0;
        if size == 0 { Place::Trailer } else { Place::Data(size) }
    }

    /// Up to the end of a trailer line, or the end itself: the line must be whole before it can be judged.
    fn step_trailer(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Violation> {
        let room = TRAILERS_MAX - self.trailers;
        if room == 0 {
            return Err(bad("the trailers are too long"));
        }
        let length = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len()).min(room);
        if length > 0 {
            self.line.extend_from_slice(bytes.get(..length).unwrap_or_default());
            self.trailers += length;
            return Ok(length);
        }
        let [line @ .., b'\r'] = self.line.as_slice() else { return Err(bad("a trailer line does not end with CRLF")) };
        if line.is_empty() {
            self.place = Place::End;
        } else {
            check_trailer(line)?;
            if self.fields >= limits.fields.min(TRAILER_FIELDS_MAX) {
                return Err(bad("there are too many trailers"));
            }
            self.fields += 1;
        }
        self.trailers += 1;
        self.line.clear();
        Ok(1)
    }
}

fn check_trailer(line: &[u8]) -> Result<(), Violation> {
    let field = Field::read(line)?;
    if FORBIDDEN.iter().any(|name| field.is(name)) {
        return Err(bad("a trailer has a name that no trailer may have"));
    }
    Ok(())
}

/// RFC 9110 §6.5.1, and whatever belongs to one connection (§7.6.1).
const FORBIDDEN: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// As many as a `u64` has.
const DIGITS_MAX: usize = 16;

/// One less than hyper's own limit.
const EXTENSIONS_MAX: usize = 16 * 1024 - 1;

/// Bytes of all trailers and of the empty line after them.
pub(super) const TRAILERS_MAX: usize = 16 * 1024;

const TRAILER_FIELDS_MAX: usize = 100;

#[cfg(test)]
mod tests;
