use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { head: 64 * 1024, fields: 100 };

fn read(head: &[u8]) -> Result<Framing, Violation> {
    check(head, &LIMITS)
}

/// A GET with a Host, and these lines.
fn with(lines: &str) -> Result<Framing, Violation> {
    read(format!("GET /a?b HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

fn status(head: &[u8]) -> u16 {
    read(head).map_or_else(|violation| violation.status.as_u16(), |_| 200)
}

fn status_of_line(line: &str) -> u16 {
    status(format!("{line}\r\nHost: a\r\n\r\n").as_bytes())
}

fn status_with(lines: &str) -> u16 {
    with(lines).map_or_else(|violation| violation.status.as_u16(), |_| 200)
}

#[test]
fn an_ordinary_head_passes_and_says_how_the_request_goes_on() {
    let plain = Framing { body: Body::None, websocket: false };
    assert_eq!(with(""), Ok(plain));
    assert_eq!(with("Content-Length: 0\r\n"), Ok(plain));
    assert_eq!(with("content-LENGTH:\t12 \r\n"), Ok(Framing { body: Body::Length(12), ..plain }));
    assert_eq!(with("Content-Length: 0012\r\n"), Ok(Framing { body: Body::Length(12), ..plain }));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing { body: Body::Chunked, ..plain }));
    assert_eq!(with("Empty:\r\nLatin: \u{e9}\r\nTab: a\tb\r\nX_Y: z\r\n"), Ok(plain));
}

#[test]
fn both_length_and_coding_are_refused() {
    // R1
    assert_eq!(status_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
    assert_eq!(status_with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400);
}

#[test]
fn a_disguised_or_unknown_transfer_coding_is_refused() {
    // R2, R3
    for (lines, expected) in [
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding\t: chunked\r\n", 400),
        ("Transfer-Encoding: \u{b}chunked\r\n", 400),
        ("Transfer-Encoding: chunked\u{c}\r\n", 400),
        ("Transfer-Encoding: chunked\0\r\n", 400),
        ("Transfer-Encoding: \"chunked\"\r\n", 400),
        ("Transfer-Encoding: 'chunked'\r\n", 400),
        ("Transfer-Encoding: chunked;q=1\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: , chunked\r\n", 400),
        ("Transfer-Encoding:\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", 400),
        ("X: y\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: identity, chunked\r\n", 501),
    ] {
        assert_eq!(status_with(lines), expected, "{lines:?}");
    }
    assert_eq!(status(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn a_length_is_digits_within_64_bits_and_stands_once() {
    // R4
    for value in [
        "",
        "+5",
        "-5",
        "5 5",
        "5,5",
        "5, 6",
        "0x5",
        "5.0",
        "five",
        "\u{b}5",
        "18446744073709551616",
        "18446744073709551615",
        "99999999999999999999999",
    ] {
        assert_eq!(status_with(&format!("Content-Length: {value}\r\n")), 400, "{value:?}");
    }
    assert_eq!(status_with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400);
    assert_eq!(status_with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400);
    assert_eq!(with("Content-Length: 18446744073709551613\r\n").unwrap().body, Body::Length(u64::MAX - 2));
}

#[test]
fn a_field_name_is_a_token_right_before_its_colon() {
    // R5, R9
    for line in [
        "X : y",
        "X\t: y",
        " X: y",
        "\tX: y",
        ": y",
        "X",
        "X y: z",
        "X(: y",
        "X\"Y: z",
        "X\0: y",
        "X\u{e9}: y",
        "X@: y",
    ] {
        assert_eq!(status_with(&format!("{line}\r\n")), 400, "{line:?}");
    }
    assert_eq!(status_with("!#$%&'*+-.^`|~09azAZ: y\r\n"), 200);
}

#[test]
fn lines_end_with_crlf_and_nothing_else() {
    // R8
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    ] {
        assert_eq!(status(head.as_bytes()), 400, "{head:?}");
    }
}

#[test]
fn a_field_value_has_no_control_character() {
    // R9: at every place of a word and of its rest
    for length in 1..40 {
        for at in 0..length {
            for byte in [0, 1, 8, 0xb, 0xc, b'\r', 0x1f, 0x7f] {
                let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX:".to_vec();
                let start = head.len();
                head.extend(std::iter::repeat_n(b'v', length));
                head[start + at] = byte;
                head.extend(b"\r\n\r\n");
                assert_eq!(status(&head), 400, "{byte} at {at} of {length}");
                head[start + at] = if at % 2 == 0 { b'\t' } else { 0xff };
                assert_eq!(status(&head), 200);
            }
        }
    }
}

#[test]
fn a_name_with_underscores_that_shadows_one_that_matters_is_refused() {
    // R10
    for name in [
        "Content_Length",
        "transfer_encoding",
        "Transfer_encoding",
        "X_Forwarded_For",
        "x-forwarded_proto",
        "X_Real_IP",
        "Proxy_Authorization",
        "proxy_connection",
        "Keep_Alive",
        "X_Original_URL",
        "X-Rewrite_Url",
    ] {
        assert_eq!(status_with(&format!("{name}: x\r\n")), 400, "{name}");
    }
    assert_eq!(status_with("api_key: x\r\nX_Request_Id: y\r\nX-Forwarded-For: z\r\n"), 200);
}

#[test]
fn what_is_too_large_is_refused_with_its_own_status() {
    // R13
    let long = "a".repeat(70 * 1024);
    assert_eq!(status_of_line(&format!("GET /{} HTTP/1.1", &long[..16 * 1024 - 1])), 200);
    assert_eq!(status_of_line(&format!("GET /{} HTTP/1.1", &long[..16 * 1024])), 414);
    assert_eq!(status_of_line(&format!("GET /{long} HTTP/1.1")), 414);
    assert_eq!(status(long.as_bytes()), 414);
    assert_eq!(status_with(&format!("X: {}\r\n", &long[..60 * 1024])), 200);
    assert_eq!(status_with(&format!("X: {}\r\n", &long[..65 * 1024])), 431);
    assert_eq!(status_with(&format!("X: {long}")), 431);
    assert_eq!(status_with(&format!("{}: x\r\n", &long[..9 * 1024])), 431);
    assert_eq!(status_with(&"X: y\r\n".repeat(99)), 200);
    assert_eq!(status_with(&"X: y\r\n".repeat(100)), 431);
}

#[test]
fn the_request_line_is_method_target_and_version() {
    // R15
    for (line, expected) in [
        ("GET / HTTP/1.1", 200),
        ("GET / HTTP/1.0", 200),
        ("M-SEARCH / HTTP/1.1", 200),
        ("get / HTTP/1.1", 200),
        ("GET /", 400),
        ("GET", 400),
        ("/ HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("GET / HTTP/0.9", 400),
        ("GET / HTTP/1.2", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP 1.1", 400),
        ("GET / ICY/1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/2", 505),
        ("GET / HTTP/3.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("G(T / HTTP/1.1", 400),
        ("G\0T / HTTP/1.1", 400),
        ("\u{e9} / HTTP/1.1", 400),
    ] {
        assert_eq!(status_of_line(line), expected, "{line:?}");
    }
}

#[test]
fn a_target_has_no_character_that_must_be_encoded() {
    // R16, R26
    for byte in (0..=b' ').chain(*b"#<>\\`").chain(0x7f..=0xff) {
        let head = [b"GET /a".as_slice(), &[byte], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(status(&head), 400, "{byte}");
    }
    for byte in (0..=b' ').chain(*b"\"#<>").chain(0x7f..=0xff) {
        let head = [b"GET /?a".as_slice(), &[byte], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(status(&head), 400, "{byte}");
    }
    for target in
        ["/%0d%0aX:y", "/%00", "/a|b{c}^d", "/a//b;c=d,e:f@g!$&'()*+", "/?a=\\`{}|^[]?/", "/[a]\"", "/%zz", "/.."]
    {
        assert_eq!(status_of_line(&format!("GET {target} HTTP/1.1")), 200, "{target}");
    }
}

#[test]
fn there_is_one_host_and_it_is_well_formed() {
    // R17
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(status(head.as_bytes()), 400, "{head:?}");
    }
    assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), 200);
    for (host, expected) in [
        ("a.example", 200),
        ("A_b-c.example.:80", 200),
        ("127.0.0.1:65535", 200),
        ("[::1]", 200),
        ("[2001:db8::1]:443", 200),
        ("a:", 200),
        ("xn--a", 200),
        ("", 400),
        (" ", 400),
        (":80", 400),
        ("a:65536", 400),
        ("a:x", 400),
        ("a:80:80", 400),
        ("a:+80", 400),
        ("user@a", 400),
        ("a/b", 400),
        ("a b", 400),
        ("a,b", 400),
        ("a?b", 400),
        ("a#b", 400),
        ("a\\b", 400),
        ("[::1", 400),
        ("::1", 400),
        ("[::1]80", 400),
        ("[a]", 400),
        ("[fe80::1%25eth0]", 400),
        ("[v1.a]", 400),
        ("a..b", 400),
        (".", 400),
        (".a", 400),
        ("a%2fb", 400),
        ("\"a\"", 400),
        ("http://a", 400),
        ("\u{e9}", 400),
        ("*", 400),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(head.as_bytes()), expected, "{host}");
    }
    assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(256)).as_bytes()), 400);
}

#[test]
fn of_the_other_target_forms_only_a_url_and_the_asterisk_of_options_pass() {
    // R18
    for (line, expected) in [
        ("GET http://a.example/b?c HTTP/1.1", 200),
        ("GET HTTPS://a.example:8443/ HTTP/1.1", 200),
        ("GET http://a.example HTTP/1.1", 200),
        ("GET http://a.example?b HTTP/1.1", 200),
        ("GET http://[::1]:80/ HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET http://user@a.example/ HTTP/1.1", 400),
        ("GET http://user:pass@a.example/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http:/a HTTP/1.1", 400),
        ("GET http://a.example:x/ HTTP/1.1", 400),
        ("GET http://a%2eb/ HTTP/1.1", 400),
        ("GET http://a\\b/ HTTP/1.1", 400),
        ("GET http://a/#b HTTP/1.1", 400),
        ("GET http://a#b HTTP/1.1", 400),
        ("GET ftp://a/ HTTP/1.1", 400),
        ("GET javascript:alert(1) HTTP/1.1", 400),
        ("GET a.example:443 HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET ?a HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS ** HTTP/1.1", 400),
        ("CONNECT a.example:443 HTTP/1.1", 405),
        ("CONNECT / HTTP/1.1", 405),
    ] {
        assert_eq!(status_of_line(line), expected, "{line}");
    }
}

#[test]
fn a_websocket_is_asked_for_with_two_fields_and_a_body_beside_them_is_framed() {
    // R19
    let asks = |lines: &str| with(lines).unwrap().websocket;
    assert!(asks("Upgrade: websocket\r\nConnection: Upgrade\r\n"));
    assert!(asks("Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n"));
    assert!(asks("Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"));
    assert!(!asks("Upgrade: websocket\r\n"));
    assert!(!asks("Upgrade: websocket\r\nConnection: upgrades\r\n"));
    assert!(!asks("Upgrade: h2c\r\nConnection: upgrade, HTTP2-Settings\r\n"));
    assert!(!read(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").unwrap().websocket);
    let with_body = with("Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 3\r\n");
    assert_eq!(with_body, Ok(Framing { body: Body::Length(3), websocket: true }));
}

#[test]
fn an_expectation_that_nobody_can_meet_is_refused() {
    // R20
    assert_eq!(status_with("Expect: 100-Continue\r\n"), 200);
    assert_eq!(status_with("Expect: 200-ok\r\n"), 417);
    assert_eq!(status_with("Expect: 100-continue, x\r\n"), 417);
    assert_eq!(status_with("Expect:\r\n"), 417);
}

#[test]
fn a_bad_line_is_refused_before_the_head_is_complete() {
    let mut head = Head::default();
    assert!(head.read_on(b"GET / HTTP/1.1\nHost", &LIMITS).is_err());
}

/// Heads, and things that look like heads.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        10 => prop_oneof![
            Just("\r\n"), Just("\r\n"), Just("Host: a\r\n"), Just("X: y\r\n"), Just("Content-Length: 3\r\n"), Just("X_Y:\r\n"),
            Just("Transfer-Encoding: chunked\r\n"), Just("Connection: upgrade\r\n"), Just("Upgrade: websocket\r\n"),
        ].prop_map(|text| text.as_bytes().to_vec()),
        1 => "[ -~]{0,9}: [ -~\t]{0,20}\r\n".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..9),
        1 => prop_oneof![Just("\n"), Just("\r"), Just("\0"), Just(" "), Just(":")].prop_map(|text| text.as_bytes().to_vec()),
    ];
    let line = prop_oneof![
        6 => Just("GET / HTTP/1.1\r\nHost: a\r\n".to_owned()),
        4 => "(GET|P-X|OPTIONS) (/|http://a)[!-~]{0,12} HTTP/1.[01]\r\nHost: [a.:1]{1,5}\r\n",
        2 => "[!-~]{1,4} [!-~]{1,12} HTTP/1.1\r\n",
    ];
    (line, proptest::collection::vec(piece, 0..6)).prop_map(|(line, pieces)| {
        let mut head = line.into_bytes();
        pieces.iter().for_each(|piece| head.extend(piece));
        head.extend(b"\r\n");
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_passes_is_read_the_same_by_httparse_and_its_target_by_http(bytes in any_head()) {
        let mut head = Head::default();
        if let Ok(Progress::Complete { length, .. }) = head.read_on(&bytes, &LIMITS) {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut headers);
            prop_assert_eq!(request.parse(&bytes).unwrap(), httparse::Status::Complete(length));
            prop_assert_eq!(request.headers.len(), head.facts.unwrap().fields);
            prop_assert!(request.path.unwrap().parse::<http::Uri>().is_ok());
            prop_assert!(http::Method::from_bytes(request.method.unwrap().as_bytes()).is_ok());
            for header in request.headers {
                prop_assert!(http::HeaderName::try_from(header.name).is_ok());
                prop_assert!(http::HeaderValue::from_bytes(header.value).is_ok());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_quick_way_and_the_careful_way_agree(bytes in any_head()) {
        let mut careful = Head::default();
        // A byte at a time: no line is whole when it is first looked at.
        let dripped = (1..=bytes.len()).find_map(|length| match careful.read_on(&bytes[..length], &LIMITS) {
            Ok(Progress::Partial) => None,
            other => Some(format!("{other:?}")),
        });
        let at_once = match Head::default().read_on(&bytes, &LIMITS) {
            Ok(Progress::Partial) => None,
            other => Some(format!("{other:?}")),
        };
        prop_assert_eq!(at_once, dripped);
    }
}
