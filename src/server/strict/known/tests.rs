use proptest::prelude::*;

use super::super::head::{Body, check};
use super::super::messages::{Messages, Step};
use super::super::tests::LIMITS;
use super::super::violation::Violation;
use super::*;

/// Looks at one head after another, each in one piece, on one connection, as far as they are well. Their bodies, if
/// they have any, are thought away.
fn on_one_connection(heads: &[Vec<u8>]) -> Vec<Result<Step, Violation>> {
    let mut messages = Messages::new(LIMITS);
    let mut steps = Vec::new();
    for head in heads {
        messages.go_straight_on();
        steps.push(messages.step(head));
        messages.take_kept();
        if steps.last().is_some_and(Result::is_err) {
            break;
        }
    }
    steps
}

fn step(head: &[u8]) -> Result<Step, Violation> {
    Messages::new(LIMITS).step(head)
}

fn known(fields: &[u8], framing: Framing) -> KnownFields {
    let mut known = KnownFields::default();
    known.remember(fields, framing);
    known
}

const PLAIN: Framing = Framing { body: Body::None, websocket: false };
const LINE: &[u8] = b"GET / HTTP/1.1\r\n";
const FIELDS: &[u8] = b"Host: a\r\nX: y\r\n\r\n";

#[test]
fn the_same_fields_say_the_same_after_another_line() {
    let framing = Framing { body: Body::Length(3), websocket: true };
    let known = known(FIELDS, framing);
    for line in [LINE, b"PUT /a/b?c HTTP/1.1\r\n"] {
        let head = [line, FIELDS].concat();
        assert_eq!(known.follow(line.len(), &head, &LIMITS), Some((head.len(), framing)));
        let more = [&head, b"abc".as_slice()].concat();
        assert_eq!(known.follow(line.len(), &more, &LIMITS), Some((head.len(), framing)));
    }
}

#[test]
fn other_fields_are_not_known() {
    let known = known(FIELDS, PLAIN);
    for fields in
        ["", "Host: a\r\n\r\n", "Host: a\r\nX: z\r\n\r\n", "host: a\r\nX: y\r\n\r\n", "Host: a\r\nX: y\r\nZ:\r\n\r\n"]
    {
        let head = [LINE, fields.as_bytes()].concat();
        assert_eq!(known.follow(LINE.len(), &head, &LIMITS), None, "{fields:?}");
    }
    for length in 0..FIELDS.len() {
        let head = [LINE, &FIELDS[..length]].concat();
        assert_eq!(known.follow(LINE.len(), &head, &LIMITS), None, "{length} bytes of it");
    }
    assert_eq!(KnownFields::default().follow(LINE.len(), LINE, &LIMITS), None);
}

#[test]
fn a_head_with_known_fields_is_held_to_its_length_all_the_same() {
    // R13
    let known = known(FIELDS, PLAIN);
    let length = LINE.len() + FIELDS.len();
    let head = [LINE, FIELDS].concat();
    for (limit, expected) in [(length - 1, None), (length, Some((length, PLAIN)))] {
        assert_eq!(known.follow(LINE.len(), &head, &Limits { head: limit, ..LIMITS }), expected);
    }
}

#[test]
fn little_is_remembered() {
    let long = format!("Host: a\r\nX: {}\r\n\r\n", "y".repeat(FIELDS_MAX));
    let mut known = known(FIELDS, PLAIN);
    known.remember(long.as_bytes(), PLAIN);
    assert!(known.fields.capacity() <= FIELDS_MAX);
    assert!(known.follow(LINE.len(), &[LINE, long.as_bytes()].concat(), &LIMITS).is_none());
    let known = KnownFields::default();
    assert_eq!(known.fields.capacity(), 0);
}

#[test]
fn what_http_1_0_may_leave_out_is_not_learnt_from_it() {
    // R17
    let (old, new) = (b"GET / HTTP/1.0\r\n\r\n".to_vec(), b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let steps = on_one_connection(&[old.clone(), old.clone(), old, new]);
    assert!(matches!(steps[..], [Ok(_), Ok(_), Ok(_), Err(_)]), "{steps:?}");
}

#[test]
fn what_http_1_1_may_have_is_not_allowed_to_1_0() {
    // R2
    let fields = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = |version| format!("POST / HTTP/1.{version}\r\n{fields}").into_bytes();
    let steps = on_one_connection(&[head(1), head(1), head(1), head(0)]);
    assert!(matches!(steps[..], [Ok(_), Ok(_), Ok(_), Err(_)]), "{steps:?}");
}

/// A field section; there are few, so that they come again, and many are nearly another.
fn any_fields() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("Host: a\r\n"),
        Just("X: y\r\n"),
        Just("X_Y: z\r\n"),
        Just("Content-Length: 3\r\n"),
        Just("Transfer-Encoding: chunked\r\n"),
        Just("Connection: upgrade\r\nUpgrade: websocket\r\n"),
        Just("Expect: 100-continue\r\n"),
    ];
    let lines = proptest::collection::vec(line, 0..3);
    (prop_oneof![9 => Just("Host: a\r\n"), 1 => Just("")], lines)
        .prop_map(|(host, lines)| format!("{host}{}\r\n", lines.concat()))
}

fn any_line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("GET / HTTP/1.1\r\n"),
        2 => Just("POST /a?b HTTP/1.1\r\n"),
        1 => Just("GET / HTTP/1.0\r\n"),
        1 => Just("GET http://a/ HTTP/1.1\r\n"),
        1 => Just("OPTIONS * HTTP/1.1\r\n"),
        1 => Just(" / HTTP/1.1\r\n"),
    ]
}

/// Heads that take turns with few field sections, of which some are changed in a byte.
fn any_heads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let change = proptest::option::weighted(0.1, (any::<prop::sample::Index>(), "[\r\n \0a0;:]"));
    let heads = proptest::collection::vec((any_line(), any::<prop::sample::Index>(), change), 1..12);
    (proptest::collection::vec(any_fields(), 1..4), heads).prop_map(|(fields, heads)| {
        let head = |(line, which, change): (&str, prop::sample::Index, Option<(prop::sample::Index, String)>)| {
            let mut head = [line, which.get(&fields).as_str()].concat().into_bytes();
            if let Some((index, byte)) = change {
                let at = index.index(head.len());
                head[at] = byte.as_bytes()[0];
            }
            head
        };
        heads.into_iter().map(head).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn each_head_is_judged_as_if_it_were_the_first(heads in any_heads()) {
        for (head, judged) in heads.iter().zip(on_one_connection(&heads)) {
            prop_assert_eq!(judged, step(head), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_request_goes_on_as_it_would_if_it_were_the_first(heads in any_heads()) {
        let mut messages = Messages::new(LIMITS);
        for head in &heads {
            messages.go_straight_on();
            let Ok(framing) = check(head, &LIMITS) else { break };
            messages.step(head).unwrap();
            prop_assert_eq!(messages.is_at_crossroads(), framing.websocket && framing.body == Body::None);
            prop_assert_eq!(messages.is_in_body(), framing.body != Body::None);
            prop_assert_eq!(messages.is_in_head(), framing == PLAIN);
        }
    }
}
