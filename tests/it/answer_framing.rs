//! An upstream's answer that two readers could understand differently is not passed on, and what it sent beside an
//! answer reaches nobody (RFC 9112 §5 to §9; R24, R48).

use tokio::sync::mpsc;

use super::support::refusal::shown;
use super::support::sent::first_lines;
use super::support::{Downstream, Message, Proxy, Upstream, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// An upstream that gives these bytes for `/odd` and tells when the proxy has closed that connection; it answers other
/// requests well.
async fn odd(answer: impl AsRef<[u8]>) -> (Upstream, mpsc::UnboundedReceiver<Vec<u8>>) {
    let answer = answer.as_ref().to_vec();
    let (sender, receiver) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            while let Some(request) = connection.request().await {
                if request.first_line().contains(" /odd ") {
                    connection.send(&answer).await;
                    let _ = sender.send(connection.read_to_end().await);
                    return;
                }
                connection.send(OK).await;
            }
        }
    })
    .await;
    (upstream, receiver)
}

/// The bytes of a 502 to an answer that is not understood.
fn bad_gateway(error: &str, detail: &str) -> String {
    let title = match error {
        "http_protocol_error" if detail.contains("without being asked") => "The upstream's answer is not understood",
        _ => "No answer from the upstream",
    };
    let body = format!(
        "{{\"detail\":\"{detail}\",\"route\":\"default\",\"status\":502,\"title\":\"{title}\",\
         \"type\":\"urn:bearer-proxy:problem:{error}\"}}"
    );
    format!(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         proxy-status: bearer-proxy; error={error}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn bytes_of(message: &Message) -> String {
    format!("{}{}", message.text(), String::from_utf8_lossy(&message.body))
}

/// To each of these answers the downstream gets a 502 with this error, the upstream's connection is closed, and the
/// downstream's own goes on.
async fn assert_all_bad<T: AsRef<[u8]>>(error: &str, detail: &str, answers: impl IntoIterator<Item = T>) {
    for answer in answers {
        assert_bad("GET", error, detail, answer.as_ref()).await;
    }
}

async fn assert_bad(method: &str, error: &str, detail: &str, answer: &[u8]) {
    let (upstream, mut closed) = odd(answer).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(format!("{method} /odd HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let problem = downstream.answer_to(method).await.unwrap();
    let mut expected = bad_gateway(error, detail);
    if method == "HEAD" {
        expected.truncate(expected.find("\r\n\r\n").unwrap() + 4);
    }
    assert_eq!(bytes_of(&problem), expected, "to {}", shown(answer));
    let more = soon("the end", closed.recv()).await.unwrap();
    assert_eq!(shown(&more), "", "to {}", shown(answer));
    assert_eq!(downstream.get("/good").await.body_text(), "hello", "after {}", shown(answer));
    let line = format!("{method} /odd HTTP/1.1");
    assert_eq!(first_lines(&upstream.requests()), [line.as_str(), "GET /good HTTP/1.1"]);
}

const NOT_UNDERSTOOD: &str = "The upstream's answer is not understood.";

async fn assert_all_not_understood<T: AsRef<[u8]>>(answers: impl IntoIterator<Item = T>) {
    assert_all_bad("http_protocol_error", NOT_UNDERSTOOD, answers).await;
}

fn ok(lines: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{rest}")
}

// R24
#[tokio::test]
async fn a_bad_status_line_is_502() {
    let lines = [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 099 X",
        "HTTP/1.1 000 X",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/11 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTPS/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "200 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "<html>",
        "SSH-2.0-OpenSSH_9.6",
        "220 mail.example ESMTP",
        "GET / HTTP/1.1",
        "\x15\x03\x01\x02\x02(",
        "\0\0\x12\x04\0\0\0\0\0",
    ];
    assert_all_not_understood(lines.map(|line| format!("{line}\r\ncontent-length: 5\r\n\r\nhello"))).await;
}

// R24
#[tokio::test]
async fn a_status_line_without_a_reason_or_with_an_unknown_status_is_an_answer() {
    for (line, passed) in [
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
        ("HTTP/1.1 299 Odd", "HTTP/1.1 299 Odd"),
        ("HTTP/1.0 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 599 ?!", "HTTP/1.1 599 ?!"),
    ] {
        let (upstream, _closed) = odd(format!("{line}\r\ncontent-length: 5\r\n\r\nhello")).await;
        let proxy = Proxy::to(&upstream).await;
        let answer = Downstream::of(&proxy).await.get("/odd").await;
        assert_eq!((answer.first_line(), answer.body_text()), (passed, "hello"));
    }
}

const BAD_LENGTHS: &[&str] = &[
    "content-length: +5",
    "content-length: -5",
    "content-length: 0x5",
    "content-length: 5a",
    "content-length: a",
    "content-length:",
    "content-length: 5 5",
    "content-length: 5, 6",
    "content-length: 5,5",
    "content-length: 5, 5",
    "content-length: 5,",
    "content-length: \"5\"",
    "content-length: 5.0",
    "content-length: 18446744073709551616",
    "content-length: 99999999999999999999999",
    "content-length: 5\r\ncontent-length: 6",
    "content-length: 6\r\ncontent-length: 5",
    "content-length: 5\r\ncontent-length: 5",
    "content-length: 5\r\nx: y\r\nContent-Length: 5",
    "content-length: 5\r\ncontent-length:",
];

// R24
#[tokio::test]
async fn a_bad_different_or_repeated_length_is_502() {
    assert_all_not_understood(BAD_LENGTHS.iter().map(|lines| ok(lines, "hello"))).await;
}

const BAD_CODINGS: &[&str] = &[
    "transfer-encoding: chunked\r\ncontent-length: 5",
    "content-length: 5\r\ntransfer-encoding: chunked",
    "content-length: 0\r\ntransfer-encoding: chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked, gzip",
    "transfer-encoding: identity",
    "transfer-encoding: identity, chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: chunked;q=1",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding:",
    "transfer-encoding: ,chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: identity\r\ntransfer-encoding: chunked",
    "transfer-encoding: identity\r\ncontent-length: 5",
    "transfer-encoding: \x0bchunked",
];

// R24
#[tokio::test]
async fn a_coding_that_is_not_chunked_alone_is_502() {
    assert_all_not_understood(BAD_CODINGS.iter().map(|lines| ok(lines, "5\r\nhello\r\n0\r\n\r\n"))).await;
    assert_all_not_understood(["HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]).await;
}

// R24, R32: where no body comes, its framing must be clear all the same.
#[tokio::test]
async fn a_bad_length_or_coding_is_502_also_where_no_body_comes() {
    for lines in BAD_LENGTHS.iter().chain(BAD_CODINGS) {
        assert_bad("HEAD", "http_protocol_error", NOT_UNDERSTOOD, ok(lines, "").as_bytes()).await;
        for status in ["204 No Content", "304 Not Modified"] {
            let answer = format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\n");
            assert_bad("GET", "http_protocol_error", NOT_UNDERSTOOD, answer.as_bytes()).await;
        }
    }
}

// R24
#[tokio::test]
async fn a_bad_name_or_value_is_502() {
    let lines = [
        "x : y",
        "x\t: y",
        " x: y",
        "content-length : 5",
        ": y",
        "a b: y",
        "a(b: y",
        "a\0b: y",
        "a\x7fb: y",
        "nocolon",
        "x: a\0b",
        "x: a\x01b",
        "x: a\x7fb",
        "x: a\rb",
        "x: y\r\n z",
        "x: y\r\n\tz",
        "x:\r\n y",
        "\u{e9}: y",
    ];
    assert_all_not_understood(lines.map(|line| ok(&format!("{line}\r\ncontent-length: 5"), "hello"))).await;
    assert_all_not_understood(lines.map(|line| ok(&format!("content-length: 5\r\n{line}"), "hello"))).await;
}

// R8, R24: a bare LF is refused, or made CRLF; it never reaches the downstream.
#[tokio::test]
async fn a_bare_lf_in_an_answer_never_reaches_the_downstream() {
    for answer in [
        "HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
        "HTTP/1.1 200 OK\r\nx: y\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\nhello",
        "\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let upstream = Upstream::answering_by(move |request| match request.first_line() {
            "GET /odd HTTP/1.1" => answer.as_bytes().to_vec(),
            _ => OK.as_bytes().to_vec(),
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        let seen = downstream.get("/odd").await;
        match seen.status() {
            200 => assert_eq!((seen.body_text(), seen.field("content-length")), ("hello", Some("5")), "{answer:?}"),
            status => assert_eq!(status, 502, "{answer:?}"),
        }
        assert!(!seen.text().replace("\r\n", "").contains(['\r', '\n']), "{:?}", seen.text());
        assert_eq!(downstream.get("/good").await.body_text(), "hello");
    }
}

// R24
#[tokio::test]
async fn an_oversized_head_is_502() {
    let long = "a".repeat(70 * 1024);
    let detail = "The head of the upstream's answer is too large.";
    assert_all_bad(
        "http_response_header_section_size",
        detail,
        [
            ok(&format!("x: {long}\r\ncontent-length: 5"), "hello"),
            ok(&format!("{}content-length: 5", format!("x: {}\r\n", &long[..1000]).repeat(70)), "hello"),
            ok(&format!("{}content-length: 5", "x: y\r\n".repeat(100)), "hello"),
            // No end in sight.
            format!("HTTP/1.1 200 OK\r\nx: {}", long.repeat(10)),
            format!("HTTP/1.1 200 {}", long.repeat(10)),
        ],
    )
    .await;
}

// R24
#[tokio::test]
async fn a_head_within_the_limits_passes_whole() {
    let long = "a".repeat(60_000);
    for lines in [format!("x: {long}"), "x: y\r\n".repeat(98).trim_end().to_owned()] {
        let (upstream, _closed) = odd(ok(&format!("{lines}\r\ncontent-length: 5"), "hello")).await;
        let proxy = Proxy::to(&upstream).await;
        let answer = Downstream::of(&proxy).await.get("/odd").await;
        assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
        assert_eq!(answer.fields("x").len(), lines.split("\r\n").count());
        assert_eq!(answer.fields("x")[0], lines.split("\r\n").next().unwrap()[3..].to_owned());
    }
}

/// What came is an answer's head and a part of this body, or nothing at all if it broke off before any of it had gone:
/// never a body that ended well, and never another answer.
fn assert_broken_off(came: &[u8], body: &str, of: &str) {
    let came = String::from_utf8_lossy(came);
    let Some((head, came)) = came.split_once("\r\n\r\n") else {
        assert_eq!(came, "", "{of:?}");
        return;
    };
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{of:?}: {head:?}");
    assert!(body.starts_with(came), "{of:?}: {came:?}");
}

// R24, R48
#[tokio::test]
async fn an_answer_with_a_bad_chunk_is_broken_off() {
    let bad = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\rX",
        "5\r\nhello\r\n0\r\nx : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nx: a\0b\r\n\r\n",
        "5\r\nhello\r\n0\r\nnocolon\r\n\r\n",
    ];
    assert_all_broken_off(bad).await;
}

// R24: hyper's reader of answers lets these through, each as one clear message of its own framing.
#[tokio::test]
#[ignore = "defect: hyper takes white space after a chunk's size, and an empty line of a bare LF for the end of trailers"]
async fn an_answer_with_a_chunk_that_hyper_understands_is_broken_off() {
    assert_all_broken_off([
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n\r\n\r\n",
        "5\r\nhello\r\n0\r\nx: y\n\r\n\r\n",
    ])
    .await;
}

async fn assert_all_broken_off(bad: impl IntoIterator<Item = &'static str>) {
    for chunks in bad {
        let (upstream, mut closed) = odd(ok("transfer-encoding: chunked", &format!("3\r\nabc\r\n{chunks}"))).await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        downstream
            .send("GET /odd HTTP/1.1\r\nhost: localhost\r\n\r\nGET /next HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        assert_broken_off(&downstream.read_to_end().await, "3\r\nabc\r\n5\r\nhello\r\n", chunks);
        assert_eq!(shown(&soon("the end", closed.recv()).await.unwrap()), "");
        // Nobody else is harmed.
        assert_eq!(Downstream::of(&proxy).await.get("/good").await.body_text(), "hello", "{chunks:?}");
    }
}

// R11, R24
#[tokio::test]
async fn a_chunked_answer_is_framed_anew_without_extensions() {
    for chunks in ["5\r\nhello\r\n0\r\n\r\n", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", "0005\r\nhello\r\n000\r\n\r\n"] {
        let (upstream, _closed) = odd(ok("transfer-encoding: chunked", chunks)).await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.get("/odd").await;
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        assert_eq!(String::from_utf8_lossy(&answer.raw_body), "5\r\nhello\r\n0\r\n\r\n", "{chunks:?}");
    }
}

// R14, R24
#[tokio::test]
async fn trailers_of_an_answer_never_frame_or_identify() {
    let lines = "transfer-encoding: chunked\r\ntrailer: content-length, transfer-encoding, host, authorization, set-cookie, x-digest";
    let trailers = "content-length: 5\r\ntransfer-encoding: chunked\r\nhost: evil.example\r\nauthorization: x\r\nx-digest: abc\r\nx-other: 1\r\n";
    let answer = ok(lines, &format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
    let upstream = Upstream::answering_by(move |request| match request.first_line().contains("/odd") {
        true => answer.clone().into_bytes(),
        false => OK.as_bytes().to_vec(),
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("GET /odd HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\nconnection: te\r\n\r\n").await;
    assert_eq!(String::from_utf8_lossy(&answer.raw_body), "5\r\nhello\r\n0\r\nx-digest: abc\r\n\r\n");
    assert_eq!(downstream.get("/good").await.body_text(), "hello");
    // The connection came to the end of its answer, and serves on.
    assert_eq!(upstream.seen().connections(), 1);
}

const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

// R24
#[tokio::test]
async fn surplus_bytes_after_an_answer_reach_nobody_and_close_their_connection() {
    for (method, answer, body) in [
        ("GET", OK.to_owned(), "hello"),
        ("GET", ok("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
        ("GET", ok("content-length: 0", ""), ""),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n".to_owned(), ""),
        ("HEAD", ok("content-length: 64", ""), ""),
        ("HEAD", ok("transfer-encoding: chunked", ""), ""),
    ] {
        for surplus in [EVIL, "x", "\r\n", "hello", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let (upstream, mut closed) = odd(format!("{answer}{surplus}")).await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            downstream
                .send(format!(
                    "{method} /odd HTTP/1.1\r\nhost: localhost\r\n\r\nGET /good HTTP/1.1\r\nhost: localhost\r\n\r\n"
                ))
                .await;
            assert_eq!(downstream.answer_to(method).await.unwrap().body_text(), body, "{answer:?} {surplus:?}");
            assert_eq!(downstream.answer().await.body_text(), "hello", "{answer:?} {surplus:?}");
            // The connection with the surplus bytes saw one request.
            assert_eq!(shown(&soon("the end", closed.recv()).await.unwrap()), "", "{answer:?} {surplus:?}");
            assert_eq!(upstream.seen().connections(), 2, "{answer:?} {surplus:?}");
        }
    }
}

// R24
#[tokio::test]
async fn what_an_upstream_sends_unasked_on_an_idle_connection_reaches_nobody() {
    for unasked in [EVIL, "x", "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"] {
        let (sender, mut closed) = mpsc::unbounded_channel();
        let (go, went) = tokio::sync::oneshot::channel::<()>();
        let went = std::sync::Mutex::new(Some(went));
        let upstream = Upstream::start(move |mut connection| {
            let (sender, went) = (sender.clone(), went.lock().unwrap().take());
            async move {
                while connection.request().await.is_some() {
                    connection.send(OK).await;
                    if let Some(went) = went {
                        went.await.unwrap();
                        connection.send(unasked).await;
                        let _ = sender.send(connection.read_to_end().await);
                        return;
                    }
                }
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.get("/first").await.body_text(), "hello");
        go.send(()).unwrap();
        assert_eq!(shown(&soon("the end", closed.recv()).await.unwrap()), "");
        assert_eq!(downstream.get("/second").await.body_text(), "hello");
        assert_eq!(upstream.seen().connections(), 2);
        assert_eq!(first_lines(&upstream.requests()), ["GET /first HTTP/1.1", "GET /second HTTP/1.1"]);
    }
}

// R24, R48
#[tokio::test]
async fn an_answer_that_ends_within_its_head_is_502() {
    for answer in [
        "",
        "H",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let upstream = Upstream::start(move |mut connection| async move {
            let _ = connection.request().await;
            connection.send(answer).await;
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        let problem = downstream.get("/odd").await;
        assert_eq!(problem.status(), 502, "{answer:?}");
        let expected = bad_gateway("connection_terminated", "The upstream ended the connection without an answer.");
        assert_eq!(bytes_of(&problem), expected, "{answer:?}");
        assert_eq!(upstream.seen().connections(), 1, "{answer:?}");
    }
}

// R24, R48
#[tokio::test]
async fn an_answer_that_ends_within_its_body_is_broken_off() {
    for (answer, passed) in [
        (ok("content-length: 10", "hello"), "hello"),
        (ok("content-length: 10", ""), ""),
        (ok("transfer-encoding: chunked", "5\r\nhello\r\n"), "5\r\nhello\r\n"),
        (ok("transfer-encoding: chunked", "a\r\nhello"), "5\r\nhello\r\n"),
        (ok("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n"), "5\r\nhello\r\n"),
    ] {
        let ended = answer.clone();
        let upstream = Upstream::start(move |mut connection| {
            let answer = ended.clone();
            async move {
                let _ = connection.request().await;
                connection.send(answer).await;
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        downstream
            .send("GET /odd HTTP/1.1\r\nhost: localhost\r\n\r\nGET /next HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        assert_broken_off(&downstream.read_to_end().await, passed, &answer);
    }
}
