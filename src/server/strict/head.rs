//! A request's head, checked line by line as it arrives (RFC 9112 §2 to §6, RFC 9110 §5 to §7).
//!
//! Each line is looked at once, when its end is there, however the bytes were split on their way: the verdict depends on
//! the bytes alone. What a head must have or must not have together is looked at when it is complete.

use http::StatusCode;

use super::Limits;
use super::field::{Field, is_token};
use super::host::is_host;
use super::target::{self, Version};
use super::violation::{Violation, bad};

/// How a request goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Its body.
    pub body: Body,
    /// Whether it asks to become a WebSocket: what follows it may be no HTTP.
    pub websocket: bool,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// This many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Checks a complete head.
///
/// # Errors
///
/// It is none, or not one that may be let through.
pub fn check(head: &[u8], limits: &Limits) -> Result<Framing, Violation> {
    match Head::default().read_on(head, limits)? {
        Progress::Complete { length, framing } if length == head.len() => Ok(framing),
        Progress::Complete { .. } => Err(bad("there is something after the head")),
        Progress::Blank | Progress::Partial => Err(bad("the head is not complete")),
    }
}

/// A head as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to here there is no further end of a line.
    searched: usize,
    facts: Option<Facts>,
}

/// What a look at the bytes so far has led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// They are not all of it.
    Partial,
    /// They begin with an empty line instead of a request line.
    Blank,
    /// It is complete and well.
    Complete {
        /// How many of the bytes are the head.
        length: usize,
        framing: Framing,
    },
}

impl Head {
    /// Goes on where it stopped. `bytes` are all there are since the head's first; there may be more than the head.
    pub(super) fn read_on(&mut self, bytes: &[u8], limits: &Limits) -> Result<Progress, Violation> {
        loop {
            if let Some(framing) = self.read_quickly(bytes, limits)? {
                return Ok(Progress::Complete { length: self.line, framing });
            }
            let rest = bytes.get(self.searched..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', rest) else {
                self.searched = bytes.len();
                self.check_length(bytes.len(), limits)?;
                return Ok(Progress::Partial);
            };
            let end = self.searched + at;
            self.check_length(end + 1, limits)?;
            let Some([line @ .., b'\r']) = bytes.get(self.line..end) else {
                return Err(bad("a line does not end with CRLF"));
            };
            self.line = end + 1;
            self.searched = end + 1;
            match &mut self.facts {
                None if line.is_empty() => return Ok(Progress::Blank),
                None => self.facts = Some(Facts::of(target::check_line(line)?)),
                Some(facts) if line.is_empty() => {
                    return Ok(Progress::Complete { length: self.line, framing: facts.conclude()? });
                }
                Some(facts) => facts.note(&Field::read(line)?, limits)?,
            }
        }
    }

    /// Reads the request line of a new head if it is whole, of HTTP/1.1, and like nearly all are. Answers its length.
    pub(super) fn read_line(&mut self, bytes: &[u8], limits: &Limits) -> Option<usize> {
        let bytes = bytes.get(..limits.head).unwrap_or(bytes);
        self.line = target::check_line_quickly(bytes)?;
        self.facts = Some(Facts::of(Version::Http11));
        Some(self.line)
    }

    /// Reads lines that are like nearly all are, in one pass each, and the end if there is nothing else. Does not try a
    /// line again of which a part was seen: dripping bytes must not be dear.
    fn read_quickly(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Framing>, Violation> {
        if self.searched > self.line {
            return Ok(None);
        }
        let bytes = bytes.get(..limits.head).unwrap_or(bytes);
        if self.facts.is_none() && self.read_line(bytes, limits).is_none() {
            return Ok(None);
        }
        let Some(facts) = &mut self.facts else { return Ok(None) };
        let mut rest = bytes.get(self.line..).unwrap_or_default();
        let is_complete = loop {
            if let [b'\r', b'\n', after @ ..] = rest {
                rest = after;
                break true;
            }
            let Some((field, after)) = Field::read_quickly(rest) else { break false };
            facts.note(&field, limits)?;
            rest = after;
        };
        self.line = bytes.len() - rest.len();
        self.searched = self.line;
        if is_complete { facts.conclude().map(Some) } else { Ok(None) }
    }

    fn check_length(&self, length: usize, limits: &Limits) -> Result<(), Violation> {
        if self.facts.is_none() && length > limits.head.min(target::LINE_MAX) {
            return Err(target::TOO_LONG);
        }
        if length > limits.head { Err(too_large("the request head is too large")) } else { Ok(()) }
    }
}

/// What the lines so far say.
#[derive(Debug, Default)]
struct Facts {
    version: Version,
    fields: usize,
    has_host: bool,
    length: Option<u64>,
    is_chunked: bool,
    upgrades_to_websocket: bool,
    connection_upgrades: bool,
}

impl Facts {
    fn of(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    #[inline]
    fn note(&mut self, field: &Field<'_>, limits: &Limits) -> Result<(), Violation> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(too_large("the request has too many headers"));
        }
        // The first letter tells most names from the few that matter.
        match field.name.first().map(u8::to_ascii_lowercase) {
            Some(b'c' | b'e' | b'h' | b't' | b'u') => self.note_if_it_matters(field),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn note_if_it_matters(&mut self, field: &Field<'_>) -> Result<(), Violation> {
        match field.name.len() {
            4 if field.is("host") => self.note_host(field),
            6 if field.is("expect") => note_expect(field),
            7 if field.is("upgrade") => {
                self.upgrades_to_websocket |= field.lists("websocket");
                Ok(())
            }
            10 if field.is("connection") => {
                self.connection_upgrades |= field.lists("upgrade");
                Ok(())
            }
            14 if field.is("content-length") => self.note_length(field),
            17 if field.is("transfer-encoding") => self.note_coding(field),
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, field: &Field<'_>) -> Result<(), Violation> {
        if self.has_host {
            return Err(bad("there is more than one Host"));
        }
        self.has_host = true;
        if is_host(field.value()) { Ok(()) } else { Err(bad("the Host is malformed")) }
    }

    fn note_length(&mut self, field: &Field<'_>) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(bad("there is more than one Content-Length"));
        }
        self.length = Some(read_length(field.value()).ok_or(bad("the Content-Length is not a number of bytes"))?);
        Ok(())
    }

    fn note_coding(&mut self, field: &Field<'_>) -> Result<(), Violation> {
        if self.is_chunked {
            return Err(bad("there is more than one Transfer-Encoding"));
        }
        if self.version == Version::Http10 {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        if !field.value().eq_ignore_ascii_case(b"chunked") {
            return Err(what_is_wrong_with_coding(field.value()));
        }
        self.is_chunked = true;
        Ok(())
    }

    fn conclude(&self) -> Result<Framing, Violation> {
        let is_http11 = self.version == Version::Http11;
        if is_http11 && !self.has_host {
            return Err(bad("there is no Host"));
        }
        let body = match (self.is_chunked, self.length) {
            (true, Some(_)) => return Err(bad("there are both Content-Length and Transfer-Encoding")),
            (true, None) => Body::Chunked,
            (false, None | Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
        };
        let websocket = is_http11 && self.upgrades_to_websocket && self.connection_upgrades;
        Ok(Framing { body, websocket })
    }
}

fn note_expect(field: &Field<'_>) -> Result<(), Violation> {
    if field.value().eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Violation::new(StatusCode::EXPECTATION_FAILED, "the only expectation that can be met is 100-continue"))
}

/// `1*DIGIT`, and nothing that hyper takes for no length (it keeps the two highest numbers for itself).
fn read_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, digit| match digit {
        b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })?;
    (length < u64::MAX - 1).then_some(length)
}

/// A coding that we don't know, before a last `chunked`, is a 501; everything else is broken (RFC 9112 §6.1).
#[cold]
fn what_is_wrong_with_coding(value: &[u8]) -> Violation {
    let mut codings: Vec<_> = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let ends_chunked = codings.pop().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    if ends_chunked && codings.iter().all(|coding| is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked")) {
        return Violation::new(StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked is served");
    }
    bad("the Transfer-Encoding is not chunked")
}

const fn too_large(detail: &'static str) -> Violation {
    Violation::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
}

#[cfg(test)]
mod tests;
