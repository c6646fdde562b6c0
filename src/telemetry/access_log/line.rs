//! One request as one line.
//!
//! Whatever stands in a record, a line is ASCII, has one line end, and its values end where they seem to: control
//! characters, quotes and all that is not ASCII (U+009B drives terminals, U+202E turns text around) are escaped.

use std::time::Duration;

use super::Record;
use super::clock::Time;
use super::room::{self, Room};
use super::value::{bare, longest, quotable};

/// logfmt: `key=value`, values quoted where they must be.
pub(super) fn text(record: &Record<'_>, time: Time<'_>, out: &mut Vec<u8>) {
    room::append(out, longest_line(record), |line| {
        let line = instant(time, line.fixed(b"time="));
        let line = bare(record.method, line.fixed(b" method="));
        let line = optional(record.route, line, |route, line| bare(route, line.fixed(b" route=")));
        let line = bare(record.path, line.fixed(b" path="));
        let line = line.fixed(b" status=").number(u64::from(record.status));
        let line = line.fixed(b" bytes_sent=").number(record.bytes_sent);
        let line = line.fixed(b" bytes_received=").number(record.bytes_received);
        let line = milliseconds(record.duration, line.fixed(b" duration_ms="));
        let line = line.fixed(b" attempts=").number(u64::from(record.attempts));
        let line = line.fixed(b" token=").text(record.token.as_str());
        let line = optional(record.request_id, line, |id, line| bare(id, line.fixed(b" request_id=")));
        let line = optional(record.error, line, |error, line| bare(error, line.fixed(b" error=")));
        line.fixed(b"\n")
    });
}

/// A JSON object (RFC 8259). The quote that ends a value is written with what follows.
pub(super) fn json(record: &Record<'_>, time: Time<'_>, out: &mut Vec<u8>) {
    room::append(out, longest_line(record), |line| {
        let line = instant(time, line.fixed(b"{\"time\":\""));
        let line = quotable(record.method, line.fixed(b"\",\"method\":\""));
        let line = optional(record.route, line, |route, line| quotable(route, line.fixed(b"\",\"route\":\"")));
        let line = quotable(record.path, line.fixed(b"\",\"path\":\""));
        let line = line.fixed(b"\",\"status\":").number(u64::from(record.status));
        let line = line.fixed(b",\"bytes_sent\":").number(record.bytes_sent);
        let line = line.fixed(b",\"bytes_received\":").number(record.bytes_received);
        let line = milliseconds(record.duration, line.fixed(b",\"duration_ms\":"));
        let line = line.fixed(b",\"attempts\":").number(u64::from(record.attempts));
        let line = line.fixed(b",\"token\":\"").text(record.token.as_str());
        let line = optional(record.request_id, line, |id, line| quotable(id, line.fixed(b"\",\"request_id\":\"")));
        let line = optional(record.error, line, |error, line| quotable(error, line.fixed(b"\",\"error\":\"")));
        line.fixed(b"\"}\n")
    });
}

#[inline(always)]
fn optional<'a>(value: Option<&str>, line: Room<'a>, write: impl FnOnce(&str, Room<'a>) -> Room<'a>) -> Room<'a> {
    match value {
        Some(value) => write(value, line),
        None => line,
    }
}

#[inline(always)]
fn instant<'a>(time: Time<'_>, line: Room<'a>) -> Room<'a> {
    line.fixed(time.second).three_digits(u64::from(time.millis)).fixed(b"Z")
}

/// With the microseconds as decimals, and always three of them.
#[inline(always)]
fn milliseconds(duration: Duration, line: Room<'_>) -> Room<'_> {
    let micros = duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()));
    line.number(micros / 1000).fixed(b".").three_digits(micros)
}

#[inline(always)]
fn longest_line(record: &Record<'_>) -> usize {
    let optional = |value: Option<&str>| value.map_or(0, longest);
    let values = longest(record.method) + longest(record.path);
    LONGEST_REST + values + optional(record.route) + optional(record.request_id) + optional(record.error)
}

/// A line without its values: keys (those of JSON are longer), time, numbers, and the longest word for a token.
const LONGEST_REST: usize = 152 + 24 + (5 + 20 + 20 + 21 + 10) + 13;
