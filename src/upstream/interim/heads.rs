//! The heads that an answer begins with, one after the other, in as many pieces as they come.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::upstream::pool::{MAX_HEAD, MAX_HEADERS};

/// An interim head.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    /// In bytes, as it came.
    pub(super) length: usize,
}

/// What comes next.
pub(super) enum Next {
    /// A whole one.
    Interim(Head),
    /// The beginning of something that may be one; or nothing yet.
    Unfinished,
    /// The final head, or what is none at all: hyper judges it.
    Other,
}

/// The bytes of an answer's interim heads, as far as they have come.
#[derive(Default)]
pub(super) struct Heads {
    bytes: Vec<u8>,
    /// Of which so many have been read.
    begin: usize,
    /// There is no end of the present head before this byte of it.
    searched: usize,
}

impl Heads {
    /// Whether the present head has not begun.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn next(&mut self) -> Next {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        if rest.is_empty() {
            *self = Self::default();
            return Next::Unfinished;
        }
        if !BEGINNINGS.iter().any(|beginning| agree(rest, beginning)) {
            return Next::Other;
        }
        let (end, searched) = end_of_head(rest, self.searched);
        match end.map(|end| read(rest.get(..end).unwrap_or_default())) {
            None if rest.len() < MAX_HEAD => {
                self.searched = searched;
                Next::Unfinished
            }
            None | Some(None) => Next::Other,
            Some(Some(head)) => {
                self.begin += head.length;
                self.searched = 0;
                Next::Interim(head)
            }
        }
    }
}

/// How an interim answer begins.
const BEGINNINGS: [&[u8]; 2] = [b"HTTP/1.1 1", b"HTTP/1.0 1"];

/// Where in it the first digit of the status is.
pub(super) const CLASS: usize = 9;

/// Whether one begins with the other.
fn agree(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(byte, expected)| byte == expected)
}

/// Where the head ends, with its empty line; and from where to search on if it does not.
fn end_of_head(bytes: &[u8], searched: usize) -> (Option<usize>, usize) {
    let mut at = searched;
    while let Some(length) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let line = at + length + 1;
        match bytes.get(line..) {
            Some([b'\n', ..]) => return (Some(line + 1), line),
            Some([b'\r', b'\n', ..]) => return (Some(line + 2), line),
            Some([] | [b'\r']) => return (None, at + length),
            _ => at = line,
        }
    }
    (None, bytes.len())
}

/// By the parser that hyper uses, and within the same limits. `None`: hyper does not skip it.
fn read(bytes: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let status = StatusCode::from_u16(head.code?).ok()?;
    if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS || length > MAX_HEAD {
        return None;
    }
    let mut fields = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers {
        fields.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(Head { status, fields, length })
}
