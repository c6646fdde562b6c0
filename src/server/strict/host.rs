//! A `Host` value and the authority of an absolute-form target: `host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
//!
//! Of what RFC 3986 lets a name be, letters, digits, `-`, `.` and `_` are taken: a name with a comma, a quote or a percent
//! sign is in no DNS, but is read differently by different readers.

use std::net::Ipv6Addr;

use super::span::span;

/// Whether it is a host, and maybe a port.
pub(super) fn is_host(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let mut parts = rest.splitn(2, |byte| *byte == b']');
        let is_address = parts
            .next()
            .is_some_and(|inner| std::str::from_utf8(inner).is_ok_and(|inner| inner.parse::<Ipv6Addr>().is_ok()));
        return is_address
            && match parts.next() {
                Some([]) => true,
                Some([b':', port @ ..]) => is_port(port),
                _ => false,
            };
    }
    let (name, rest) = text.split_at_checked(span(text, &CLASSES, NAME)).unwrap_or_default();
    let has_empty_label = name.starts_with(b".") || name.windows(2).any(|pair| pair == b"..");
    if name.is_empty() || name.len() > NAME_MAX || has_empty_label {
        return false;
    }
    match rest {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

/// A port may be empty (RFC 3986 §3.2.3).
fn is_port(text: &[u8]) -> bool {
    // Of two numbers of five digits the larger one is also the later one in order.
    text.iter().all(u8::is_ascii_digit) && (text.len() < 5 || text.len() == 5 && text <= b"65535".as_slice())
}

/// RFC 1035 §2.3.4.
const NAME_MAX: usize = 255;

/// May stand in a name.
const NAME: u8 = 1;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        if matches!(byte as u8, b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'.' | b'_') {
            classes[byte] = NAME;
        }
        byte += 1;
    }
    classes
}
