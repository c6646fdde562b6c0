//! A `Host` value and the authority of an absolute-form target: `host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
//!
//! Of what RFC 3986 lets a name be, letters, digits, `-`, `.` and `_` are taken: a name with a comma, a quote or a percent
//! sign is in no DNS, but is read differently by different readers.

use std::net::Ipv6Addr;

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
    let length = name_length(text);
    match text.get(length..) {
        _ if length == 0 || length > NAME_MAX => false,
        Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

/// How many bytes at the beginning are labels, with a dot after each or after each but the last.
fn name_length(text: &[u8]) -> usize {
    let mut before = b'.';
    let mut is_part = |byte: u8| {
        let is_part = NAME.get(usize::from(byte)).copied().unwrap_or(false) && (byte != b'.' || before != b'.');
        before = byte;
        is_part
    };
    text.iter().position(|byte| !is_part(*byte)).unwrap_or(text.len())
}

/// A port may be empty (RFC 3986 §3.2.3).
fn is_port(text: &[u8]) -> bool {
    // Of two numbers of five digits the larger one is also the later one in order.
    text.iter().all(u8::is_ascii_digit) && (text.len() < 5 || text.len() == 5 && text <= b"65535".as_slice())
}

/// RFC 1035 §2.3.4.
const NAME_MAX: usize = 255;

/// What may stand in a name.
static NAME: [bool; 256] = name();

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn name() -> [bool; 256] {
    let mut name = [false; 256];
    let mut byte = 0;
    while byte < name.len() {
        name[byte] = matches!(byte as u8, b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'.' | b'_');
        byte += 1;
    }
    name
}
