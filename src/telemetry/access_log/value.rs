//! Texts that somebody else may have chosen, made safe to stand in a line.

use super::room::Room;

/// No more than this many bytes come of a value: six of each that is escaped, two quotes, three dots.
#[inline(always)]
pub(super) fn longest(text: &str) -> usize {
    text.len().min(MAX_TEXT) * 6 + 5
}

/// As it is, when a reader of logfmt takes it for one value; else quoted.
pub(super) fn bare<'a>(text: &str, line: Room<'a>) -> Room<'a> {
    let ends_early = |byte| is_odd(byte) | matches!(byte, b' ' | b'=');
    let attempt = match text.len() {
        1..=MAX_TEXT => line.unless(text, ends_early),
        _ => Err(line),
    };
    attempt.unwrap_or_else(|line| quotable(text, line.fixed(b"\"")).fixed(b"\""))
}

/// A JSON string without its quotes.
#[inline(always)]
pub(super) fn quotable<'a>(text: &str, line: Room<'a>) -> Room<'a> {
    let attempt = match text.len() {
        0..=MAX_TEXT => line.unless(text, is_odd),
        _ => Err(line),
    };
    attempt.unwrap_or_else(|line| escaped(text, line))
}

#[cold]
fn escaped<'a>(text: &str, mut line: Room<'a>) -> Room<'a> {
    let kept = cut(text);
    for character in kept.chars() {
        line = match character {
            '"' => line.fixed(b"\\\""),
            '\\' => line.fixed(b"\\\\"),
            ' '..='~' => line.text(character.encode_utf8(&mut [0; 4])),
            _ => (character.encode_utf16(&mut [0; 2]).iter())
                .fold(line, |line, unit| line.text(&format!("\\u{unit:04x}"))),
        };
    }
    match kept.len() < text.len() {
        true => line.fixed(b"..."),
        false => line,
    }
}

/// At most [`MAX_TEXT`] bytes of it, whole characters.
fn cut(text: &str) -> &str {
    (0..=MAX_TEXT.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

#[inline(always)]
fn is_odd(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\')
}

/// Longer texts are cut: a line must not outgrow what log shippers take (16 KiB with Docker), escapes included.
const MAX_TEXT: usize = 2048;
