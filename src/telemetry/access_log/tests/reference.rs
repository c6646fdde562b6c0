//! The lines again, written as simply as can be: whatever stands in a record, both agree to the byte.

use proptest::option;
use proptest::prelude::*;

use super::*;

fn text_line(record: &Record<'_>) -> String {
    let key = |key: &str, value: Option<&str>| value.map_or(String::new(), |value| format!(" {key}={}", bare(value)));
    format!(
        "time={TIME} method={}{} path={} {} token={}{}{}\n",
        bare(record.method),
        key("route", record.route),
        bare(record.path),
        numbers(record).map(|(key, value)| format!("{key}={value}")).join(" "),
        record.token.as_str(),
        key("request_id", record.request_id),
        key("error", record.error),
    )
}

fn json_line(record: &Record<'_>) -> String {
    let key =
        |key: &str, value: Option<&str>| value.map_or(String::new(), |value| format!(",\"{key}\":{}", quoted(value)));
    format!(
        "{{\"time\":\"{TIME}\",\"method\":{}{},\"path\":{},{},\"token\":\"{}\"{}{}}}\n",
        quoted(record.method),
        key("route", record.route),
        quoted(record.path),
        numbers(record).map(|(key, value)| format!("\"{key}\":{value}")).join(","),
        record.token.as_str(),
        key("request_id", record.request_id),
        key("error", record.error),
    )
}

fn numbers(record: &Record<'_>) -> [(&'static str, String); 5] {
    let micros = record.duration.as_micros().min(u128::from(u64::MAX));
    [
        ("status", record.status.to_string()),
        ("bytes_sent", record.bytes_sent.to_string()),
        ("bytes_received", record.bytes_received.to_string()),
        ("duration_ms", format!("{}.{:03}", micros / 1000, micros % 1000)),
        ("attempts", record.attempts.to_string()),
    ]
}

fn bare(text: &str) -> String {
    let may_stand = |character| matches!(character, '!'..='~') && !matches!(character, '"' | '\\' | '=');
    match !text.is_empty() && text.len() <= 2048 && text.chars().all(may_stand) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (at, character) in text.char_indices() {
        if at + character.len_utf8() > 2048 {
            out += "...";
            break;
        }
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
        }
    }
    out + "\""
}

/// What stands in paths, what does not, and one that does not amid many that do: wherever it stands it is found.
fn texts() -> impl Strategy<Value = String> {
    let one_amid =
        ("[!-~]{0,40}", any::<char>(), "[!-~]{0,40}").prop_map(|(left, one, right)| format!("{left}{one}{right}"));
    let long = (1990..2060_usize, ".{0,60}").prop_map(|(length, end)| "x".repeat(length) + &end);
    prop_oneof![4 => "[!-~]{0,60}", 4 => one_amid, 2 => "[ -~]{0,40}", 2 => any::<String>(), 1 => long]
}

fn tokens() -> impl Strategy<Value = TokenAction> {
    use TokenAction::{Cached, Failed, None, Retried, RetryRefused, Waited};
    proptest::sample::select(vec![None, Cached, Waited, Retried, RetryRefused, Failed])
}

/// Of every length, with its neighbours.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..2000_u64,
        (0..20_u32, 0..3_u64).prop_map(|(digits, more)| 10_u64.pow(digits) - 1 + more)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_stands_in_a_record_its_line_is_the_simple_one(
        (method, path) in (prop_oneof![Just("GET".to_owned()), texts()], texts()),
        (route, request_id, error) in (option::of(texts()), option::of(texts()), option::of(texts())),
        (status, attempts, token) in (any::<u16>(), any::<u32>(), tokens()),
        (bytes_sent, bytes_received, micros) in (sizes(), sizes(), sizes()),
    ) {
        let record = Record {
            method: &method,
            route: route.as_deref(),
            path: &path,
            status,
            bytes_sent,
            bytes_received,
            duration: Duration::from_micros(micros),
            ended: UNIX_EPOCH,
            attempts,
            token,
            request_id: request_id.as_deref(),
            error: error.as_deref(),
        };
        prop_assert_eq!(text(&record), text_line(&record));
        let json = json(&record);
        prop_assert_eq!(&json, &json_line(&record));

        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (key, value) in [("path", Some(&path)), ("route", route.as_ref()), ("error", error.as_ref())] {
            if value.is_none_or(|value| value.len() <= 2048) {
                prop_assert_eq!(read.get(key).and_then(|read| read.as_str()), value.map(String::as_str));
            }
        }
    }

    /// A line is as long as it is: nothing is left of the room it was written into, nor of what stood before it.
    #[test]
    fn a_line_stands_behind_the_one_before_it(first in texts(), second in texts()) {
        let (mut clock, mut out) = (Clock::default(), Vec::new());
        let records = [Record { path: &first, ..RECORD }, Record { path: &second, error: Some(&first), ..RECORD }];
        let now = UNIX_EPOCH + Duration::from_millis(1_795_298_711_023);
        for record in &records {
            line::json(record, clock.at(now), &mut out);
            line::text(record, clock.at(now), &mut out);
        }
        let expected = records.map(|record| json(&record) + &text(&record)).concat();
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

/// The longest line there can be: each value as long as it may be, and every character of it escaped.
#[test]
fn the_longest_line_has_room() {
    let long = "\u{1}".repeat(3000);
    let longest = Record {
        method: &long,
        route: Some(&long),
        path: &long,
        status: u16::MAX,
        bytes_sent: u64::MAX,
        bytes_received: u64::MAX,
        duration: Duration::MAX,
        ended: UNIX_EPOCH,
        attempts: u32::MAX,
        token: TokenAction::RetryRefused,
        request_id: Some(&long),
        error: Some(&long),
    };
    assert_eq!(json(&longest), json_line(&longest));
    assert_eq!(text(&longest), text_line(&longest));
}

/// What [`formatted`] says it is.
const TIME: &str = "2026-11-21T22:05:11.023Z";
