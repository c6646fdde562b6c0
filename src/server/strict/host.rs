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
    let mut before = b'.';
    for (at, byte) in text.iter().copied().enumerate() {
        match byte {
            b'.' if before == b'.' => return false,
            b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'.' | b'_' => before = byte,
            b':' => return at > 0 && at <= NAME_MAX && text.get(at + 1..).is_some_and(is_port),
            _ => return false,
        }
    }
    !text.is_empty() && text.len() <= NAME_MAX
}

/// A port may be empty (RFC 3986 §3.2.3).
fn is_port(text: &[u8]) -> bool {
    text.len() <= 5
        && text
            .iter()
            .try_fold(0_u32, |port, digit| digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0')))
            .is_some_and(|port| port <= u32::from(u16::MAX))
}

/// RFC 1035 §2.3.4.
const NAME_MAX: usize = 255;
