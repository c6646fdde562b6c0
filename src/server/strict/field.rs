//! One field line: `name: value` (RFC 9110 §5, RFC 9112 §5). Used for heads and for trailers.

use super::violation::{Violation, bad};

/// A field line that is well-formed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// A token.
    pub(super) name: &'a [u8],
    /// Without the white space around it.
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads a line, its end cut off.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Violation> {
        let mut classes = 0;
        let mut length = 0;
        for byte in line {
            let class = class(*byte);
            if class == 0 {
                break;
            }
            classes |= class;
            length += 1;
        }
        let (name, rest) = line.split_at_checked(length).unwrap_or_default();
        let value = match rest {
            [b':', value @ ..] if !name.is_empty() => value,
            _ => return Err(what_is_wrong_with_name(name, rest)),
        };
        if has_control(value) {
            return Err(bad("a header value has a control character"));
        }
        if classes & UNDERSCORE != 0 && shadows(name) {
            return Err(bad("a header name with _ stands in for one that decides framing, identity or origin"));
        }
        if name.len() > NAME_MAX {
            return Err(bad("a header name is too long"));
        }
        Ok(Self { name, value: value.trim_ascii() })
    }

    /// Whether this is the field of that name, which is given in lower case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether its list has this word.
    pub(super) fn lists(&self, word: &str) -> bool {
        self.value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
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

/// Whether the value has a byte that no field value may have: C0 controls but HT, and DEL (RFC 9110 §5.5).
fn has_control(value: &[u8]) -> bool {
    let (words, tail) = value.as_chunks::<8>();
    let tail = match value.last_chunk::<8>() {
        // The last eight bytes again, where the tail is shorter: one step instead of up to seven.
        Some(last) => !tail.is_empty() && word_has_control(last),
        None => tail.iter().copied().any(is_control),
    };
    tail || words.iter().any(word_has_control)
}

fn word_has_control(word: &[u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let bytes = u64::from_le_bytes(*word);
    let below_space = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let without_del = bytes ^ (ONES * 0x7f);
    let del = without_del.wrapping_sub(ONES) & !without_del;
    (below_space | del) & HIGHS != 0 && word.iter().copied().any(is_control)
}

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
    !text.is_empty() && text.iter().all(|byte| class(*byte) != 0)
}

const TOKEN: u8 = 1;
const UNDERSCORE: u8 = 2;

/// 0: this byte can't be in a token.
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'_' => UNDERSCORE,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => TOKEN,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => TOKEN,
            _ => 0,
        };
        byte += 1;
    }
    classes
}
