//! One request as one line.
//!
//! Whatever stands in a record, a line is ASCII, has one line end, and its values end where they seem to: control
//! characters, quotes and all that is not ASCII (U+009B drives terminals, U+202E turns text around) are escaped.

use std::time::Duration;

use super::Record;
use super::clock::Time;

/// logfmt: `key=value`, values quoted where they must be.
pub(super) fn text(record: &Record<'_>, time: Time<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"time=");
    instant(time, out);
    out.extend_from_slice(b" method=");
    bare(record.method, out);
    if let Some(route) = record.route {
        out.extend_from_slice(b" route=");
        bare(route, out);
    }
    out.extend_from_slice(b" path=");
    bare(record.path, out);
    out.extend_from_slice(b" status=");
    number(u64::from(record.status), out);
    out.extend_from_slice(b" bytes_sent=");
    number(record.bytes_sent, out);
    out.extend_from_slice(b" bytes_received=");
    number(record.bytes_received, out);
    out.extend_from_slice(b" duration_ms=");
    milliseconds(record.duration, out);
    out.extend_from_slice(b" attempts=");
    number(u64::from(record.attempts), out);
    out.extend_from_slice(b" token=");
    out.extend_from_slice(record.token.as_str().as_bytes());
    if let Some(id) = record.request_id {
        out.extend_from_slice(b" request_id=");
        bare(id, out);
    }
    if let Some(error) = record.error {
        out.extend_from_slice(b" error=");
        bare(error, out);
    }
    out.push(b'\n');
}

/// A JSON object (RFC 8259).
pub(super) fn json(record: &Record<'_>, time: Time<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    instant(time, out);
    out.extend_from_slice(b"\",\"method\":");
    quoted(record.method, out);
    if let Some(route) = record.route {
        out.extend_from_slice(b",\"route\":");
        quoted(route, out);
    }
    out.extend_from_slice(b",\"path\":");
    quoted(record.path, out);
    out.extend_from_slice(b",\"status\":");
    number(u64::from(record.status), out);
    out.extend_from_slice(b",\"bytes_sent\":");
    number(record.bytes_sent, out);
    out.extend_from_slice(b",\"bytes_received\":");
    number(record.bytes_received, out);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(record.duration, out);
    out.extend_from_slice(b",\"attempts\":");
    number(u64::from(record.attempts), out);
    out.extend_from_slice(b",\"token\":");
    quoted(record.token.as_str(), out);
    if let Some(id) = record.request_id {
        out.extend_from_slice(b",\"request_id\":");
        quoted(id, out);
    }
    if let Some(error) = record.error {
        out.extend_from_slice(b",\"error\":");
        quoted(error, out);
    }
    out.extend_from_slice(b"}\n");
}

fn instant(time: Time<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(time.second);
    three_digits(u64::from(time.millis), out);
    out.push(b'Z');
}

/// With the microseconds as decimals, and always three of them.
fn milliseconds(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(micros / 1000, out);
    out.push(b'.');
    three_digits(micros % 1000, out);
}

fn three_digits(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]);
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    for to in digits.iter_mut().rev() {
        *to = digit(number);
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// The last one.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// As it is, when a reader of logfmt takes it for one value; else quoted.
fn bare(text: &str, out: &mut Vec<u8>) {
    let ends_early = |byte: &u8| matches!(byte, b' ' | b'=');
    if !text.is_empty() && text.len() <= MAX_TEXT && is_plain(text) && !text.as_bytes().iter().any(ends_early) {
        out.extend_from_slice(text.as_bytes());
    } else {
        quoted(text, out);
    }
}

/// A JSON string.
fn quoted(text: &str, out: &mut Vec<u8>) {
    let kept = cut(text);
    out.push(b'"');
    if is_plain(kept) {
        out.extend_from_slice(kept.as_bytes());
    } else {
        escaped(kept, out);
    }
    if kept.len() < text.len() {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

/// At most [`MAX_TEXT`] bytes of it, whole characters.
fn cut(text: &str) -> &str {
    (0..=MAX_TEXT.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.extend(u8::try_from(character)),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
}

/// Whether nothing in it needs escaping. Looks at all of it, without a branch a byte.
fn is_plain(text: &str) -> bool {
    let odd = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |found, byte| found | odd(byte))
}

/// Longer texts are cut: a line must not outgrow what log shippers take (16 KiB with Docker), escapes included.
const MAX_TEXT: usize = 2048;
