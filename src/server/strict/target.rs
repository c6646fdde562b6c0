//! The request line: `method SP target SP version` (RFC 9112 §3).
//!
//! Only the form and the characters of the target are looked at here; what its path means is looked at where routes are.

use http::StatusCode;

use super::field::{is_token, token_length};
use super::host::is_host;
use super::span::span;
use super::violation::{Violation, bad};

/// The two versions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    #[default]
    Http11,
}

/// The longest request line: a target of 16 KiB, with room for method and version.
pub(super) const LINE_MAX: usize = TARGET_MAX + 256;

const TARGET_MAX: usize = 16 * 1024;

pub(super) const TOO_LONG: Violation = Violation::new(StatusCode::URI_TOO_LONG, "the request target is too long");

/// Reads the first line of these bytes if it is like nearly all are, of HTTP/1.1; says how long it is, with its end.
/// `None`: there is no whole line, or it is one that [`check_line`] must judge.
pub(super) fn check_line_quickly(bytes: &[u8]) -> Option<usize> {
    let (method, rest) = bytes.split_at_checked(token_length(bytes))?;
    let [b' ', rest @ ..] = rest else { return None };
    let [b'/', ..] = rest else { return None };
    if method.is_empty() || method == b"CONNECT" {
        return None;
    }
    let path = span(rest, &CLASSES, PATH);
    let target = match rest.get(path..)? {
        [b'?', query @ ..] => path + 1 + span(query, &CLASSES, QUERY),
        _ => path,
    };
    let length = method.len() + 1 + target + END.len();
    (rest.get(target..)?.first_chunk() == Some(END) && target <= TARGET_MAX && length <= LINE_MAX).then_some(length)
}

/// How nearly every request line ends.
const END: &[u8; 11] = b" HTTP/1.1\r\n";

/// Reads a request line, its end cut off.
pub(super) fn check_line(line: &[u8]) -> Result<Version, Violation> {
    let at = memchr::memchr(b' ', line).ok_or(bad("the request line is not method, target and version"))?;
    let (method, rest) = line.split_at_checked(at).unwrap_or_default();
    let rest = rest.get(1..).unwrap_or_default();
    let at = memchr::memchr(b' ', rest).ok_or(bad("the request line has no version"))?;
    let (target, version) = rest.split_at_checked(at).unwrap_or_default();

    if !is_token(method) {
        return Err(bad("the method is not a token"));
    }
    let version = check_version(version.get(1..).unwrap_or_default())?;
    if target.len() > TARGET_MAX {
        return Err(TOO_LONG);
    }
    match (target, method) {
        (_, b"CONNECT") => Err(Violation::new(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served")),
        ([b'/', ..], _) => check_path_and_query(target),
        (b"*", b"OPTIONS") => Ok(()),
        (b"*", _) => Err(bad("the target * is for OPTIONS alone")),
        _ => check_absolute(target),
    }?;
    Ok(version)
}

fn check_version(version: &[u8]) -> Result<Version, Violation> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9']
        | [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Violation::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this HTTP version is not served here"))
        }
        _ => Err(bad("the request line does not end with HTTP/1.1 or HTTP/1.0")),
    }
}

/// `http://authority/path?query`, as a client sends it that takes us for its proxy (RFC 9112 §3.2.2).
fn check_absolute(target: &[u8]) -> Result<(), Violation> {
    let has_scheme = |scheme: &[u8]| {
        target
            .split_at_checked(scheme.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(scheme))
            .map(|(_, rest)| rest)
    };
    let rest = has_scheme(b"http://")
        .or_else(|| has_scheme(b"https://"))
        .ok_or(bad("the target is neither a path nor an http or https URL"))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).unwrap_or_default();
    if authority.contains(&b'@') {
        return Err(bad("the target has a user name in it"));
    }
    if !is_host(authority) {
        return Err(bad("the target's host is malformed"));
    }
    check_path_and_query(rest)
}

fn check_path_and_query(target: &[u8]) -> Result<(), Violation> {
    let (_, rest) = target.split_at_checked(span(target, &CLASSES, PATH)).unwrap_or_default();
    let rest = match rest {
        [b'?', query @ ..] => query.get(span(query, &CLASSES, QUERY)..).unwrap_or_default(),
        _ => rest,
    };
    match rest {
        [] => Ok(()),
        [b'#', ..] => Err(bad("the target has a fragment")),
        _ => Err(bad("the target has a character that must be percent-encoded")),
    }
}

/// May stand in a path.
const PATH: u8 = 1;
/// May stand in a query.
const QUERY: u8 = 2;

static CLASSES: [u8; 256] = classes();

/// What `http::Uri` takes, which is more than RFC 3986 does (`|`, `{`, `^` are sent by many and mean nothing to anyone),
/// without bytes above ASCII, and without `\` in a path, which some take for `/`.
#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated while compiling")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            0..=b' ' | b'#' | b'<' | b'>' | 0x7f.. => 0,
            b'"' => PATH,
            b'?' | b'\\' | b'`' => QUERY,
            _ => PATH | QUERY,
        };
        byte += 1;
    }
    classes
}
