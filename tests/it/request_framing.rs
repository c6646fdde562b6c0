//! A request whose head two readers could understand differently is refused, its connection closed, and nothing of it
//! or after it reaches an upstream (RFC 9112; R1 to R5, R8 to R10, R13, R15, R17).

use super::support::refusal::{assert_refused, assert_untouched};
use super::support::{Downstream, Proxy, Upstream};

/// Every one of these is refused with its status, and nothing of any of them goes upstream.
async fn assert_all_refused<T: AsRef<[u8]>>(requests: impl IntoIterator<Item = (u16, T)>) {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    for (status, request) in requests {
        assert_refused(&proxy, request, status).await;
    }
    assert_untouched(&proxy, &upstream).await;
}

/// A POST with these further lines, and what follows its head.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /orders HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n{rest}")
}

/// A GET with these further lines.
fn get(lines: &str) -> String {
    format!("GET /orders HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n")
}

// R1
#[tokio::test]
async fn a_request_with_both_a_length_and_chunks_is_refused() {
    assert_all_refused([
        (400, post("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
        (400, post("transfer-encoding: chunked\r\ncontent-length: 5", "0\r\n\r\n")),
        (400, post("content-length: 0\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
        (400, post("transfer-encoding: chunked\r\nx: y\r\ncontent-length: 3", "3\r\nabc\r\n0\r\n\r\n")),
        (400, post("Transfer-Encoding:chunked\r\nContent-Length:6", "0\r\n\r\nG")),
    ])
    .await;
}

// R2
#[tokio::test]
async fn a_disguised_or_repeated_transfer_encoding_is_refused() {
    let chunks = "0\r\n\r\n";
    let lines = [
        (400, "transfer-encoding : chunked"),
        (400, "transfer-encoding\t: chunked"),
        (400, " transfer-encoding: chunked"),
        (400, "x: y\r\n transfer-encoding: chunked"),
        (400, "transfer-encoding: \x0bchunked"),
        (400, "transfer-encoding: \x0cchunked"),
        (400, "transfer-encoding: chunked\x0b"),
        (400, "transfer-encoding: chunked\0"),
        (400, "transfer-encoding: \0chunked"),
        (400, "transfer-encoding\0: chunked"),
        (400, "transfer-encoding: \"chunked\""),
        (400, "transfer-encoding: 'chunked'"),
        (400, "transfer-encoding: chunked;q=1"),
        (400, "transfer-encoding: chunked; a=b"),
        (400, "transfer-encoding: identity"),
        (501, "transfer-encoding: identity, chunked"),
        (400, "transfer-encoding: chunked, identity"),
        (400, "transfer-encoding: xchunked"),
        (400, "transfer-encoding: chunkedx"),
        (400, "transfer-encoding: chunk"),
        (400, "transfer-encoding: cow"),
        (400, "transfer-encoding: chunked, chunked"),
        (400, "transfer-encoding: chunked,"),
        (400, "transfer-encoding: ,chunked"),
        (400, "transfer-encoding:"),
        (400, "transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        (400, "transfer-encoding: chunked\r\ntransfer-encoding: identity"),
        (400, "transfer-encoding: identity\r\ntransfer-encoding: chunked"),
        (400, "transfer-encoding:\r\n chunked"),
        (400, "transfer-encoding: chun\r\n ked"),
        (400, "x: y\rtransfer-encoding: chunked"),
        (400, "x: y\ntransfer-encoding: chunked"),
        (400, "x: y\r\rtransfer-encoding: chunked"),
        (400, "transfer_encoding: chunked"),
        (400, "transfer-encoding: chunked\u{a0}"),
        (400, "transfer\u{2010}encoding: chunked"),
    ];
    let requests = lines.map(|(status, lines)| (status, post(lines, chunks)));
    // Never falls back to the length that is also there.
    let beside_a_length = lines.map(|(status, lines)| {
        let status = if lines.ends_with("identity, chunked") { 501 } else { status };
        (status, post(&format!("{lines}\r\ncontent-length: 5"), chunks))
    });
    assert_all_refused(requests.into_iter().chain(beside_a_length)).await;
}

// R3
#[tokio::test]
async fn a_coding_that_is_not_chunked_at_last_or_unknown_or_in_http_1_0_is_refused() {
    let with_version = |version: &str, coding: &str| {
        format!("POST / {version}\r\nhost: localhost\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n")
    };
    assert_all_refused([
        (400, with_version("HTTP/1.1", "gzip")),
        (400, with_version("HTTP/1.1", "chunked, gzip")),
        (501, with_version("HTTP/1.1", "gzip, chunked")),
        (501, with_version("HTTP/1.1", "x-unknown, chunked")),
        (400, with_version("HTTP/1.0", "chunked")),
        (400, with_version("HTTP/1.0", "identity")),
        (400, "POST / HTTP/1.0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.0\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
    ])
    .await;
}

// R4
#[tokio::test]
async fn a_length_that_is_not_one_number_is_refused() {
    let values = [
        "+5",
        "-5",
        "0x5",
        "5a",
        "a",
        "5 5",
        "5,5",
        "5, 5",
        "5, 6",
        "",
        " ",
        ",",
        "5,",
        "5.0",
        "5e1",
        "1_0",
        "\"5\"",
        "5;",
        "٥",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999",
        "-18446744073709551611",
        "5\x0b",
        "5\0",
    ];
    let single = values.map(|value| (400, post(&format!("content-length: {value}"), "hello")));
    assert_all_refused(single.into_iter().chain([
        (400, post("content-length: 5\r\ncontent-length: 5", "hello")),
        (400, post("content-length: 5\r\nx: y\r\nContent-Length: 5", "hello")),
        (400, post("content-length: 5\r\ncontent-length: 6", "hello!")),
        (400, post("content-length: 6\r\ncontent-length: 5", "hello!")),
        (400, post("content-length: 0\r\ncontent-length: 5", "hello")),
        (400, post("content-length: 5\r\ncontent-length:", "hello")),
        (400, post("content-length:\r\n 5", "hello")),
        (400, post("content-length : 5", "hello")),
        (400, post("content-length\t: 5", "hello")),
    ]))
    .await;
}

// R4
#[tokio::test]
async fn a_length_with_leading_zeros_is_a_length() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.ask(post("content-length: 0005", "hello")).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.requests()[0].body, b"hello");
}

// R5
#[tokio::test]
async fn white_space_before_the_colon_is_refused() {
    assert_all_refused(
        ["x : y", "x\t: y", "x  : y", "x : ", "accept : */*", "Host : localhost", "authorization : Bearer own"]
            .map(|line| (400, get(line))),
    )
    .await;
}

// R8
#[tokio::test]
async fn bare_cr_bare_lf_and_folded_lines_are_refused() {
    assert_all_refused([
        // Bare LF.
        (400, "GET / HTTP/1.1\nhost: localhost\n\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nhost: localhost\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\nhost: localhost\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nhost: localhost\r\n\n".to_owned()),
        (400, "\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()),
        (400, get("x: y\nz: w")),
        (400, get("x: y\n\nGET /inner HTTP/1.1\nhost: localhost")),
        // Bare CR.
        (400, get("x: y\rz: w")),
        (400, get("x: y\r")),
        (400, get("x: \r y")),
        (400, get("\rx: y")),
        (400, "GET /\r HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\r\nhost: localhost\r\n\r\n".to_owned()),
        (400, "\r\rGET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()),
        // Folds.
        (400, get("x: y\r\n z")),
        (400, get("x: y\r\n\tz")),
        (400, get("x:\r\n y")),
        (400, get("x: y\r\n ")),
        (400, "GET / HTTP/1.1\r\n host: localhost\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n \r\nhost: localhost\r\n\r\n".to_owned()),
    ])
    .await;
}

// R9
#[tokio::test]
async fn a_name_that_is_no_token_and_a_value_with_a_control_character_are_refused() {
    let names = [
        "", "a b", "a(b", "a)b", "a,b", "a/b", "a;b", "a<b", "a=b", "a>b", "a?b", "a@b", "a[b", "a\\b", "a]b", "a{b",
        "a\"b", "a\x7fb", "a\x01b", "a\0b", "é",
    ];
    let values = ["a\0b", "\0", "a\x01b", "a\x08b", "a\x0bb", "a\x1fb", "a\x7fb"];
    let lines = names.map(|name| format!("{name}: y")).into_iter().chain(values.map(|value| format!("x: {value}")));
    assert_all_refused(lines.chain(["no colon".to_owned(), "nocolon".to_owned()]).map(|line| (400, get(&line)))).await;
}

// R9
#[tokio::test]
async fn every_token_is_a_name_and_every_other_byte_may_stand_in_a_value() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.ask(get("!#$%&'*+-.^_`|~09azAZ: \t (\"a\tb\", <c>; \\d @é) \t ")).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.requests()[0].field("!#$%&'*+-.^_`|~09azAZ"), Some("(\"a\tb\", <c>; \\d @é)"));
}

// R10
#[tokio::test]
async fn names_with_underscores_that_stand_in_for_framing_identity_or_origin_are_refused() {
    let names = [
        "content_length",
        "Content_Length",
        "transfer_encoding",
        "TRANSFER_ENCODING",
        "proxy_authorization",
        "Proxy_Authorization",
        "proxy-_authorization",
        "proxy_connection",
        "x_forwarded_for",
        "X_Forwarded_For",
        "x-forwarded_for",
        "X_FORWARDED-HOST",
        "x_forwarded_proto",
        "x_forwarded_user",
        "x_original_url",
        "x_rewrite_url",
        "x_real_ip",
        "x_http_method_override",
        "keep_alive",
    ];
    assert_all_refused(names.map(|name| (400, get(&format!("{name}: 1"))))).await;
}

// R10
#[tokio::test]
async fn a_name_with_an_underscore_that_stands_in_for_what_the_proxy_sets_does_not_reach_the_upstream() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .credential("  api: {grant: static, token: T0KEN, inject: {header: X-Api-Key, format: '{token}'}}\n")
        .route("/", &upstream.url(), "api", "    request_headers: {set: {X-Tenant-Id: ours}}\n")
        .start()
        .await;

    for line in ["x_api_key: theirs", "X_Api-Key: theirs", "x-api_key: theirs", "x_tenant_id: theirs"] {
        let answer = Downstream::of(&proxy).await.ask(get(line)).await;
        assert!(matches!(answer.status(), 200 | 400), "{line}");
    }

    for request in upstream.requests() {
        assert!(!request.text().contains("theirs"), "{}", request.text());
        assert_eq!(request.field("x-api-key"), Some("T0KEN"));
        assert_eq!(request.field("x-tenant-id"), Some("ours"));
    }
}

// R10
#[tokio::test]
async fn any_other_name_with_an_underscore_passes() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.ask(get("x_session_id: 1\r\n_: 2")).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.requests()[0].field("x_session_id"), Some("1"));
    assert_eq!(upstream.requests()[0].field("_"), Some("2"));
}

// R13
#[tokio::test]
async fn a_head_beyond_a_limit_is_refused_with_the_limits_own_status() {
    let long = "a".repeat(100_000);
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", &long[..length - 1]);
    assert_all_refused([
        (414, target(16 * 1024 + 1)),
        (414, target(60_000)),
        (414, target(100_000)),
        // No end of the line in sight.
        (414, format!("GET /{long}")),
        (414, format!("{long} / HTTP/1.1\r\nhost: localhost\r\n\r\n")),
        (431, get(&format!("x: {}", &long[..64 * 1024]))),
        (431, get(&format!("{}: y", &long[..64 * 1024]))),
        (431, get(&format!("x: {long}"))),
        (431, get(&vec![format!("x: {}", &long[..1000]); 70].join("\r\n"))),
        // `host` is the hundred and first.
        (431, get(&vec!["x: y"; 100].join("\r\n"))),
        (431, get(&vec!["x: y"; 1000].join("\r\n"))),
    ])
    .await;
}

// R13
#[tokio::test]
async fn a_head_within_the_limits_passes_whole() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    let long = "a".repeat(60_000);
    let target = format!("/{}", &long[..16 * 1024 - 1]);

    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get(&target).await.status(), 200);
    assert_eq!(downstream.ask(get(&format!("x: {long}"))).await.status(), 200);
    // `host`, and these.
    assert_eq!(downstream.ask(get(&vec!["x: y"; 99].join("\r\n"))).await.status(), 200);

    let requests = upstream.requests();
    assert_eq!(requests[0].first_line(), format!("GET {target} HTTP/1.1"));
    assert_eq!(requests[1].field("x"), Some(long.as_str()));
    assert_eq!(requests[2].fields("x").len(), 99);
}

// R13
#[tokio::test]
async fn the_limits_of_a_head_can_be_set() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .listener("    limits: {request_head: 8KiB, headers: 3}\n")
        .route("/", &upstream.url(), "api", "")
        .start()
        .await;

    assert_refused(&proxy, get(&format!("x: {}", "a".repeat(8 * 1024))), 431).await;
    assert_refused(&proxy, get("a: 1\r\nb: 2\r\nc: 3"), 431).await;
    assert_untouched(&proxy, &upstream).await;
}

// R15
#[tokio::test]
async fn a_request_line_of_another_form_or_version_is_refused() {
    let with_line = |line: &str| format!("{line}\r\nhost: localhost\r\n\r\n");
    let bad = [
        "GET /",
        "GET",
        "",
        "/ HTTP/1.1",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.1\t",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "GÉT / HTTP/1.1",
        "GET: / HTTP/1.1",
        "\x16\x03\x01 / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/1.11",
        "GET / HTTP/01.1",
        "GET / HTTP/1.",
        "GET / HTTP/1",
        "GET / HTTP/",
        "GET / HTTP",
        "GET / HTTPS/1.1",
        "GET / HTTP/0.9",
        "GET / HTTP/-1.1",
        "GET / HTTP/1,1",
        "GET / HTTP /1.1",
        "GET / ICY/1.1",
        "GET HTTP/1.1",
    ];
    let other_version = ["GET / HTTP/2.0", "GET / HTTP/2", "GET / HTTP/3.0", "GET / HTTP/9.9", "PRI * HTTP/2.0"];
    let bad = bad.iter().filter(|line| !line.is_empty()).map(|line| (400, with_line(line)));
    let other_version = other_version.iter().map(|line| (505, with_line(line)));
    let http_0_9 = [(400, "GET /\r\n".to_owned()), (400, "GET /\r\n\r\n".to_owned())];
    let h2_preface = [(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned())];
    assert_all_refused(bad.chain(other_version).chain(http_0_9).chain(h2_preface)).await;
}

// R15
#[tokio::test]
async fn a_client_hello_on_a_plain_listener_is_refused() {
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.extend((0..=255).cycle().take(500));
    // The bytes of SMUGGLED follow; their line ends are the first.
    hello.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    assert_all_refused([(400, hello)]).await;
}

// R15, R25
#[tokio::test]
async fn any_token_is_a_method() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    for method in ["PATCH", "PROPFIND", "M-SEARCH", "get", "X", "!#$%&'*+-.^_`|~"] {
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.ask(format!("{method} / HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(upstream.requests().last().unwrap().first_line(), format!("{method} / HTTP/1.1"));
    }
}

// R15, R35
#[tokio::test]
async fn an_http_1_0_request_is_forwarded_as_http_1_1() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n").await;

    let answer = downstream.answer().await;
    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    assert!(downstream.is_closed().await);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    let host = upstream.address();
    let head = requests[0].text();
    assert!(head.starts_with("GET /a HTTP/1.1\r\n") && head.contains(&format!("host: {host}\r\n")), "{head}");
}

// R17
#[tokio::test]
async fn no_host_several_hosts_or_a_malformed_one_are_refused() {
    let with_lines = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let missing = [(400, with_lines("")), (400, with_lines("accept: */*\r\n"))];
    let several = [
        (400, with_lines("host: localhost\r\nhost: localhost\r\n")),
        (400, with_lines("host: localhost\r\nHost: evil.example\r\n")),
        (400, with_lines("host: localhost\r\nx: y\r\nHOST: localhost\r\n")),
        (400, "GET / HTTP/1.0\r\nhost: localhost\r\nhost: localhost\r\n\r\n".to_owned()),
        (400, with_lines("host: localhost\r\n host: evil.example\r\n")),
        (400, with_lines("host : localhost\r\n")),
    ];
    let malformed = [
        "",
        "a b",
        "localhost, evil.example",
        "user@localhost",
        "user:pass@localhost",
        "localhost/",
        "localhost/x",
        "localhost?x",
        "localhost#x",
        "http://localhost",
        "localhost:",
        "localhost:80:80",
        "localhost:x",
        "localhost:-1",
        "localhost:+80",
        "localhost:65536",
        "localhost:99999999999",
        ":80",
        "[::1",
        "::1",
        "[localhost]",
        "[::1]x",
        "[::1]:x",
        "[::1%25eth0]",
        "local\\host",
        "local%00host",
        "localhost%2e",
        "\"localhost\"",
        "<localhost>",
        "{localhost}",
        "local..host",
        ".localhost",
        "localhost\x7f",
        "lócalhost",
    ];
    // An empty port is a port (RFC 3986 §3.2.3).
    let malformed = malformed.into_iter().filter(|host| *host != "localhost:");
    let malformed = malformed.map(|host| (400, with_lines(&format!("host: {host}\r\n"))));
    assert_all_refused(missing.into_iter().chain(several).chain(malformed)).await;
}

// R17, R39
#[tokio::test]
async fn the_host_that_a_request_names_is_never_the_one_that_is_sent() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    let own = proxy.address();
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost:8080",
        "localhost:",
        "localhost.",
        "a.localhost",
        "127.0.0.1",
        "[::1]:1",
        &own.to_string(),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 200, "{host}");
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.field("host"), Some(upstream.address().to_string().as_str()), "{host}");
    }
}

// R1 to R17: the verdict depends on the bytes, not on how they come.
#[tokio::test]
async fn a_bad_head_that_comes_byte_by_byte_is_refused_too() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    for request in [
        post("content-length: 5\r\ntransfer-encoding: chunked", ""),
        post("transfer-encoding: chunked\r\ntransfer-encoding: chunked", ""),
        get("x: y\nz: w"),
        get("x : y"),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        for byte in request.bytes() {
            downstream.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = downstream.answer().await;
        assert_eq!(answer.status(), 400, "{request:?}");
        assert!(downstream.is_closed().await);
    }
    assert_untouched(&proxy, &upstream).await;
}

// R55: a refusal after good requests on the same connection.
#[tokio::test]
async fn good_requests_before_a_bad_one_are_answered_and_nothing_after_it() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let good = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let bad = post("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n");
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send([good("/1"), good("/2"), bad, good("/3")].concat()).await;

    assert_eq!(downstream.answer().await.body_text(), "hello");
    assert_eq!(downstream.answer().await.body_text(), "hello");
    let refusal = downstream.answer().await;
    assert_eq!((refusal.status(), refusal.field("connection")), (400, Some("close")));
    assert!(downstream.is_closed().await);
    let lines: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(lines, ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]);
}
