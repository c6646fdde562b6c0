//! Which paths are refused before a route is looked for (R40, R16; RFC 3986 §3.3, §6.2.2.3).
//!
//! A path that another reader could take for a different one must not reach a route: it could be matched here as one
//! thing and served upstream as another. Nothing is decoded or put right; it passes as it is, or it is refused.

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmbiguousPath(pub &'static str);

/// Looks for everything that another reader could read differently: dot segments plain or encoded (once, twice or
/// more, or as overlong UTF-8), also those that an encoded `/`, `\`, `?`, `#` or white space, or a `;`, makes; `\`;
/// an encoded NUL; a `%` without two hexadecimal digits; bytes that no path may hold.
///
/// `%2F`, `%0D%0A`, `;` and empty segments elsewhere are passed on as they are. `path` comes without its query.
///
/// # Errors
///
/// It has one; the text says which.
pub fn check(path: &str) -> Result<(), AmbiguousPath> {
    let mut suspects = 0;
    let mut before = b'/';
    for byte in path.bytes() {
        let class = class(byte);
        // A dot matters at the beginning of a segment alone; encoded ones are looked for apart.
        if class != PLAIN && !(class == DOT && before != b'/') {
            suspects |= class;
        }
        before = byte;
    }
    if suspects == 0 {
        return Ok(());
    }
    check_closely(path.as_bytes(), suspects)
}

/// The rare path: at least one byte gives cause to look again.
#[cold]
fn check_closely(path: &[u8], suspects: u8) -> Result<(), AmbiguousPath> {
    if suspects & FORBIDDEN != 0 {
        return Err(AmbiguousPath("the path has a character that no path may have"));
    }
    if suspects & PERCENT == 0 {
        return refuse_dot_segments(path.iter().copied());
    }
    if !percent_signs_are_escapes(path) {
        return Err(AmbiguousPath("the path has a % without two hexadecimal digits after it"));
    }
    let mut decoded = decode(path);
    for _ in 0..MAX_LAYERS {
        if decoded.contains(&0) {
            return Err(AmbiguousPath("the path has an encoded NUL"));
        }
        if has_overlong_utf8(&decoded) {
            return Err(AmbiguousPath("the path has an overlong UTF-8 sequence"));
        }
        refuse_dot_segments(decoded.iter().copied())?;
        if !decoded.contains(&b'%') {
            return Ok(());
        }
        let again = decode(&decoded);
        if again.len() == decoded.len() {
            return Ok(());
        }
        decoded = again;
    }
    Err(AmbiguousPath("the path is encoded over and over"))
}

/// Walks the segments as the most liberal reader would: `/` and `\` part them; `;`, `?`, `#` and NUL end what counts
/// of one; white space around it does not count.
fn refuse_dot_segments(path: impl Iterator<Item = u8>) -> Result<(), AmbiguousPath> {
    let mut dots = Some(0_u8); // how many dots the segment has so far; `None`: it holds something else
    for byte in path {
        let is_dots = matches!(dots, Some(1 | 2));
        match byte {
            b'/' | b'\\' | b';' | b'?' | b'#' | 0 if is_dots => return Err(DOT_SEGMENT),
            b'/' | b'\\' => dots = Some(0),
            b'.' => dots = dots.and_then(|count| (count < 2).then_some(count + 1)),
            1..=b' ' => {}
            _ => dots = None,
        }
    }
    if matches!(dots, Some(1 | 2)) { Err(DOT_SEGMENT) } else { Ok(()) }
}

fn percent_signs_are_escapes(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'%')
        .skip(1)
        .all(|after| matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

/// Decodes one layer; what is no escape stays.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let (byte, next) = match rest {
            [b'%', high, low, beyond @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, beyond),
                _ => (*first, after),
            },
            _ => (*first, after),
        };
        decoded.push(byte);
        rest = next;
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether an ASCII character is written in two or three bytes, as in `%C0%AE` for a dot: some decoders take it.
fn has_overlong_utf8(decoded: &[u8]) -> bool {
    decoded.windows(2).any(|pair| matches!(pair, [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F]))
}

const DOT_SEGMENT: AmbiguousPath = AmbiguousPath("the path has a dot segment");

/// How often a path may be encoded. Twice happens (a URL in a path); more is an attempt at something.
const MAX_LAYERS: usize = 3;

const PLAIN: u8 = 0;
const DOT: u8 = 1;
const PERCENT: u8 = 2;
const FORBIDDEN: u8 = 4;

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(FORBIDDEN)
}

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn classes() -> [u8; 256] {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'.' => DOT,
            b'%' => PERCENT,
            0..=b' ' | b'\\' | b'?' | b'#' | 0x7f.. => FORBIDDEN,
            _ => PLAIN,
        };
        byte += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_reads_one_way_passes() {
        // R40, R26
        for path in [
            "/",
            "/a",
            "/a/",
            "//",
            "/a//b",
            "/.well-known/x",
            "/a.b/c..d",
            "/...",
            "/a;b=c/d",
            "/a%2Fb",
            "/a%5Cb",
            "/%7Euser",
            "/a|b",
            "/a%20b",
            "/a%0d%0aX:y",
            "/%E2%82%AC",
            "/%C3%A9",
            "/%252F",
            "/a%3Bb",
            "/a..;b",
            "/..a",
            "/.a/..b",
            "*",
            "/http%253A%252F%252Fa.example",
            "/%2F",
            "/a%25",
            "/a:b@c",
            "/;a",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_path_that_reads_two_ways_is_refused() {
        // R40
        for path in [
            "/.",
            "/..",
            "/./",
            "/../",
            "/a/..",
            "/a/./b",
            "/a/../b",
            "/%2e",
            "/%2E%2e/",
            "/.%2e/a",
            "/a/%2e",
            "/..;/a",
            "/..;",
            "/.;a=b/c",
            "/..%3b/",
            "/..%2f",
            "/..%2Fadmin",
            "/a%2f..%2fb",
            "/a%2f..",
            "/..%5cadmin",
            "/..%00",
            "/a%00b",
            "/%252e%252e/",
            "/%252e%252e%252f",
            "/%25252e",
            "/%25%32%65/",
            "/a%255c..%255c",
            "/%2525252525",
            "/..%3fx",
            "/..%23",
            "/..%20/",
            "/%20../",
            "/..%09",
            "/%c0%ae%c0%ae/",
            "/%e0%80%ae",
            "/%",
            "/a%",
            "/a%2",
            "/%zz",
            "/%u002e",
            "/a%2500",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_character_that_no_path_may_have_is_refused() {
        // R16, R40
        for path in ["/a\\b", "\\", "/a b", "/a\tb", "/a\0", "/a\r\n", "/\u{7f}", "/é", "/a?b", "/a#b"] {
            assert!(check(path).is_err(), "{path:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_passes_has_no_dot_segment_however_often_it_is_decoded(path in "(/|[.]|%2[eEfF]|%25|%5c|;|a|2e|%){0,12}") {
            if check(&path).is_ok() {
                let mut bytes = path.into_bytes();
                for _ in 0..8 {
                    let has_dots = bytes.split(|byte| matches!(byte, b'/' | b'\\' | b';')).any(|s| s == b"." || s == b"..");
                    // `a;..` is a parameter, not a segment.
                    proptest::prop_assert!(!has_dots || bytes.contains(&b';'));
                    bytes = decode(&bytes);
                }
            }
        }
    }
}
