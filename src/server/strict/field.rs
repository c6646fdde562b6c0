//! One field line: `name: value` (RFC 9110 §5, RFC 9112 §5). Used for heads and for trailers.

use http::StatusCode;

use super::span::span;
use super::violation::{Violation, bad};

/// A field line that is well-formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// A token.
    pub(super) name: &'a [u8],
    /// With the white space around it: of most fields nobody wants the value.
    text: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads the first line of these bytes if it is like nearly all are; says what comes after it. `None`: there is no
    /// whole line, or it is one that [`read`](Self::read) must judge.
    #[inline]
    pub(super) fn read_quickly(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let colon = span(bytes, &CLASSES, PLAIN);
        let (name, rest) = bytes.split_at_checked(colon)?;
        let [b':', rest @ ..] = rest else { return None };
        let (text, rest) = rest.split_at_checked(plain_text(rest))?;
        let ([b'\r', b'\n', after @ ..], 1..=NAME_MAX) = (rest, name.len()) else { return None };
        Some((Self { name, text }, after))
    }

    /// Reads a line, its end cut off.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Violation> {
        let (name, rest) = line.split_at_checked(token_length(line)).unwrap_or_default();
        let value = match rest {
            [b':', value @ ..] if !name.is_empty() => value,
            _ => return Err(what_is_wrong_with_name(name, rest)),
        };
        if value.iter().copied().any(is_control) {
            return Err(bad("a header value has a control character"));
        }
        if name.contains(&b'_') && shadows(name) {
            return Err(bad("a header name with _ stands in for one that decides framing, identity or origin"));
        }
        if name.len() > NAME_MAX {
            return Err(Violation::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "a header name is too long"));
        }
        Ok(Self { name, text: value })
    }

    /// Its value, without the white space around it.
    pub(super) fn value(&self) -> &'a [u8] {
        self.text.trim_ascii()
    }

    /// Whether this is the field of that name, which is given in lower case.
    #[inline]
    pub(super) fn is(&self, name: &str) -> bool {
        // Of the bytes that a token can have, only a letter becomes a letter by this, and only `-` is one afterwards.
        self.name.len() == name.len() && self.name.iter().zip(name.bytes()).all(|(mine, its)| mine | 0x20 == its)
    }

    /// Whether its list has this word.
    pub(super) fn lists(&self, word: &str) -> bool {
        self.value().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[cold]
fn what_is_wrong_with_name(name: &[u8], rest: &[u8]) -> Violation {
    match (name, rest) {
        ([], [b' ' | b'\t', ..]) => bad("a header line is folded"),
        ([], [b':', ..]) => bad("a header has no name"),
        (_, [b' ' | b'\t', ..]) => bad("there is white space before the colon of a header"),
        (_, []) => bad("a header line has no colon"),
        _ => bad("a header name is not a token"),
    }
}

/// How many bytes at the beginning are printable ASCII, eight at a time. Nearly every value is nothing else.
fn plain_text(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut run = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // Below a space the one, above a tilde the other. A borrow or a carry can mark a byte wrongly, but none before
        // the first that is marked rightly.
        let marked = (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & HIGHS;
        if marked != 0 {
            return run + usize::try_from(marked.trailing_zeros() / 8).unwrap_or(0);
        }
        run += 8;
    }
    run + tail.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(tail.len())
}

/// Whether no field value may have this byte: C0 controls but HT, and DEL (RFC 9110 §5.5).
fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

/// Whether a reader that takes `_` for `-` (every CGI-like one does) would see a field that frames the message, says who
/// sends it, or from where (R10).
#[cold]
fn shadows(name: &[u8]) -> bool {
    let with_hyphens: Vec<u8> =
        name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect();
    with_hyphens.starts_with(b"x-forwarded-")
        || with_hyphens.starts_with(b"proxy-")
        || SHADOWED.iter().any(|shadowed| with_hyphens == shadowed.as_bytes())
}

/// Beside `X-Forwarded-*` and `Proxy-*`.
const SHADOWED: [&str; 10] = [
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "max-forwards",
    "www-authenticate",
    "x-original-url",
    "x-original-host",
    "x-real-ip",
    "x-rewrite-url",
    "x-http-method-override",
];

/// hyper's own limit is 65,535 bytes.
const NAME_MAX: usize = 8 * 1024;

/// Whether all of this is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_length(text) == text.len()
}

/// How many bytes at the beginning of this can be a token.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    span(bytes, &CLASSES, TOKEN)
}

/// May stand in a token.
const TOKEN: u8 = 1;
/// Likewise, and is no `_`.
const PLAIN: u8 = 2;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'_' => TOKEN,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => TOKEN | PLAIN,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => TOKEN | PLAIN,
            _ => 0,
        };
        byte += 1;
    }
    classes
}
