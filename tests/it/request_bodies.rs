//! A body belongs to its request, is re-framed without what the framing alone said, and is never completed by us when it
//! was not completed by the downstream (RFC 9112 §6 to §9; R6, R7, R11 to R14, R20, R22, R23).

use tokio::sync::mpsc;

use super::support::refusal::{SMUGGLED, assert_problem, shown};
use super::support::sent::{assert_sent, first_lines};
use super::support::{Connection, Downstream, Proxy, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn sized(method: &str, body: &str) -> String {
    format!("{method} /first HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn chunked(method: &str, chunks: &str) -> String {
    format!("{method} /first HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")
}

/// An upstream that answers whole requests and hangs up on others.
async fn upstream() -> Upstream {
    Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if !request.complete {
                return;
            }
            connection.send(OK).await;
        }
    })
    .await
}

fn host_of(upstream: &Upstream) -> String {
    format!("host: {}", upstream.address())
}

// R6
#[tokio::test]
async fn a_body_belongs_to_its_request_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "PROPFIND", "get"] {
        let upstream = upstream().await;
        let proxy = Proxy::to(&upstream).await;
        let host = host_of(&upstream);
        let length = format!("content-length: {}", SMUGGLED.len());
        let chunks = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
        for (request, framing) in
            [(sized(method, SMUGGLED), length.as_str()), (chunked(method, &chunks), "transfer-encoding: chunked")]
        {
            let mut downstream = Downstream::of(&proxy).await;
            downstream.send(format!("{request}GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
            assert_eq!(downstream.answer_to(method).await.unwrap().status(), 200, "{method}");
            assert_eq!(downstream.answer().await.status(), 200, "{method}");

            let requests = upstream.requests();
            let [.., first, next] = requests.as_slice() else { panic!("{method}") };
            assert_sent(first, &format!("{method} /first HTTP/1.1"), &[&host, framing]);
            assert_eq!((String::from_utf8_lossy(&first.body), first.complete), (SMUGGLED.into(), true), "{method}");
            assert_sent(next, "GET /next HTTP/1.1", &[&host]);
        }
        assert_eq!(upstream.requests().len(), 4, "{method}");
    }
}

// R6: also of a request that we answer ourselves.
#[tokio::test]
async fn the_body_of_a_request_that_is_not_forwarded_is_never_a_request() {
    let upstream = upstream().await;
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/api/", &upstream.url(), "api", "").start().await;
    let smuggled = SMUGGLED.replace("/smuggled", "/api/smuggled");
    let length = smuggled.len();
    let chunks = format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n");
    for (line, status) in [
        ("POST /none HTTP/1.1\r\nhost: localhost", 404),
        ("GET /none HTTP/1.1\r\nhost: localhost", 404),
        ("POST /api/../x HTTP/1.1\r\nhost: localhost", 400),
        ("TRACE /api/ HTTP/1.1\r\nhost: localhost", 405),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost", 204),
        ("OPTIONS /api/ HTTP/1.1\r\nhost: localhost\r\nmax-forwards: 0", 204),
        ("POST /api/ HTTP/1.1\r\nhost: evil.example", 421),
        ("POST /api/ HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example", 403),
        ("POST http://evil.example/api/ HTTP/1.1\r\nhost: localhost", 403),
    ] {
        for framed in [
            format!("{line}\r\ncontent-length: {length}\r\n\r\n{smuggled}"),
            format!("{line}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
        ] {
            let mut downstream = Downstream::of(&proxy).await;
            downstream
                .send(format!("{framed}GET /api/next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
                .await;
            assert_eq!(downstream.answer().await.status(), status, "{line}");
            // The body was read to its end, or the connection was closed.
            let rest = downstream.read_to_end().await;
            let count = rest.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
            assert!(rest.is_empty() || count == 1 && rest.ends_with(b"hello"), "{line}: {}", shown(&rest));
        }
    }
    assert!(upstream.requests().iter().all(|request| request.first_line() == "GET /next HTTP/1.1"));
}

// R6: a large body, of which the downstream sends on after it has its answer.
#[tokio::test]
async fn what_is_sent_after_a_refusal_is_never_a_request() {
    let upstream = upstream().await;
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/api/", &upstream.url(), "api", "").start().await;
    let body = SMUGGLED.replace("/smuggled", "/api/smuggled").repeat(4000);
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(format!("POST /none HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    assert_eq!(downstream.answer().await.status(), 404);
    downstream.send(&body).await;
    assert_eq!(shown(&downstream.read_to_end().await), "");
    assert_eq!(upstream.seen().connections(), 0);
}

/// An upstream that never answers `/first` but reads to the end and tells what came behind its head.
async fn witness() -> (Upstream, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let sender = sender.clone();
        async move {
            while let Some(head) = connection.head().await {
                if head.first_line().contains(" /first ") {
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

/// Sends this beginning of a request, waits until it is on its way, then ends it one way or another; answers what the
/// upstream has seen behind the head.
async fn broken_off(beginning: &str, then: impl AsyncFnOnce(Downstream)) -> Vec<u8> {
    let (upstream, mut came) = witness().await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(beginning).await;
    upstream.seen().wait_for(1).await;
    then(downstream).await;
    let came = came.recv().await.unwrap();
    assert_eq!(first_lines(&upstream.requests()), [beginning.split("\r\n").next().unwrap()]);
    came
}

// R7
#[tokio::test]
async fn a_body_that_ends_early_is_never_completed_upstream() {
    let long = "x".repeat(100_000);
    let head = |length| format!("POST /first HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    for (beginning, whole) in [
        (format!("{}hello", head(10)), "hello"),
        (head(10), ""),
        (format!("{}{long}", head(100_001)), &long),
        (chunked("POST", ""), ""),
        (chunked("POST", "a"), ""),
        (chunked("POST", "a\r\nhello"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r\n"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r\n0"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r\n0\r\n"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r\n0\r\n\r"), "5\r\nhello\r\n"),
        (chunked("POST", "5\r\nhello\r\n0\r\nx: y\r\n"), "5\r\nhello\r\n"),
        (chunked("GET", "5\r\nhello\r\n"), "5\r\nhello\r\n"),
    ] {
        let of = shown(beginning.as_bytes());
        // It ends its half, and may still read: it gets a refusal, or nothing.
        let half = broken_off(&beginning, async |mut downstream| {
            downstream.finish().await;
            let bytes = downstream.read_to_end().await;
            if !bytes.is_empty() {
                assert_problem(&bytes, 400, &of);
            }
        });
        // It goes.
        let gone = broken_off(&beginning, async |downstream| drop(downstream));
        for came in [half.await, gone.await] {
            assert!(whole.as_bytes().starts_with(&came), "{of}: {}", shown(&came));
        }
    }
}

// R11
#[tokio::test]
async fn a_chunked_body_is_framed_anew_without_extensions() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let host = host_of(&upstream);
    for (chunks, body) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0\r\n\r\n", ""),
        ("5;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=b;c=\"d;e\"\r\nhello\r\n0;f\r\n\r\n", "hello"),
        ("5;\r\nhello\r\n0;\r\n\r\n", "hello"),
        ("5; a = b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("0005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"),
        ("1\r\nh\r\n4;x\r\nello\r\n00\r\n\r\n", "hello"),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.ask(chunked("POST", chunks)).await.body_text(), "hello", "{chunks:?}");
        let seen = upstream.requests().pop().unwrap();
        assert_sent(&seen, "POST /first HTTP/1.1", &[&host, "transfer-encoding: chunked"]);
        assert_eq!((seen.body_text(), seen.complete), (body, true), "{chunks:?}");
        // What is no size, no data and no line end is not there: the framing is as short as it can be.
        let mut framed = String::new();
        let pieces: Vec<&str> = if body == "hello" && chunks.starts_with('1') { vec!["h", "ello"] } else { vec![body] };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            framed.push_str(&format!("{:X}\r\n{piece}\r\n", piece.len()));
        }
        assert_eq!(String::from_utf8_lossy(&seen.raw_body), format!("{framed}0\r\n\r\n"), "{chunks:?}");
        // In step afterwards.
        assert_eq!(downstream.get("/next").await.body_text(), "hello", "{chunks:?}");
    }
}

// R11: nothing of it is held, so nothing is known of it once it is on its way; a GET whose body is not announced loses it.
#[tokio::test]
async fn a_chunked_body_of_whatever_method_is_sent_where_nothing_is_held() {
    let upstream = upstream().await;
    let more = "    retry: {max_body: 0B}\n";
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", more).start().await;
    for method in ["GET", "POST", "DELETE"] {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.ask(chunked(method, "5\r\nhello\r\n0\r\n\r\n")).await.body_text(), "hello", "{method}");
        let seen = upstream.requests().pop().unwrap();
        assert_eq!((seen.body_text(), seen.complete), ("hello", true), "{method}");
    }
}

/// Each of these chunked bodies is refused, never completed upstream, and nothing behind it is a request: whether it
/// comes in one piece with its head, or when the upstream already has the first chunk.
async fn assert_all_broken<T: AsRef<str>>(bodies: impl IntoIterator<Item = T>) {
    for chunks in bodies {
        assert_broken_at_once(chunks.as_ref()).await;
        assert_broken_on_its_way(chunks.as_ref()).await;
    }
}

async fn assert_broken_at_once(chunks: &str) {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send([&chunked("POST", chunks), SMUGGLED].concat()).await;
    assert_problem(&downstream.read_to_end().await, 400, &shown(chunks.as_bytes()));
    assert_eq!(Downstream::of(&proxy).await.get("/good").await.status(), 200);
    for request in upstream.requests() {
        match request.first_line() {
            "POST /first HTTP/1.1" => assert!(!request.complete, "{}", shown(chunks.as_bytes())),
            line => assert_eq!(line, "GET /good HTTP/1.1", "{}", shown(chunks.as_bytes())),
        }
    }
}

async fn assert_broken_on_its_way(chunks: &str) {
    let of = shown(chunks.as_bytes());
    let (upstream, mut came) = witness().await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(&chunked("POST", "3\r\nabc\r\n")).await;
    upstream.seen().wait_for(1).await;
    downstream.send([chunks, SMUGGLED].concat()).await;
    assert_eq!(assert_problem(&downstream.read_to_end().await, 400, &of)["route"], "default");
    let came = String::from_utf8(came.recv().await.unwrap()).unwrap();
    assert!("3\r\nabc\r\n".starts_with(&came) || came.starts_with("3\r\nabc\r\n"), "{of}: {came:?}");
    assert!(!came.contains("\r\n0\r\n") && !came.contains("smuggled"), "{of}: {came:?}");
    assert_eq!(first_lines(&upstream.requests()), ["POST /first HTTP/1.1"]);
}

// R12
#[tokio::test]
async fn an_invalid_chunk_breaks_off_both_sides() {
    let sizes = [
        "0x5",
        "+5",
        "-5",
        " 5",
        "5 ",
        "\t5",
        "5\t",
        "5 ;a",
        "5_0",
        "5,",
        "5.",
        "g",
        "",
        ";a",
        "\0",
        "5\0",
        "5h",
        "\"5\"",
        "10000000000000005",
        "FFFFFFFFFFFFFFFFF",
        "00000000000000005",
        "fffffffffffffffff0",
        "5\u{a0}",
    ];
    let ends = [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5\n\rhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    let extensions = [
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\x7f\r\nhello\r\n0\r\n\r\n",
    ];
    let data = [
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
    ];
    let last = ["0\n\r\n", "0\r\n\n", "0\r\n\rX", "0\n\n", "0\r\rX"];
    let sizes = sizes.map(|size| format!("{size}\r\nhello\r\n0\r\n\r\n"));
    let others = [&ends[..], &extensions, &data, &last].concat();
    assert_all_broken(others.into_iter().map(str::to_owned).chain(sizes)).await;
}

// R12, R48
#[tokio::test]
async fn an_invalid_chunk_breaks_off_an_answer_that_has_begun() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await.unwrap();
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        let came = connection.read_to_end().await;
        assert_eq!(String::from_utf8_lossy(&came), "3\r\nabc\r\n");
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(&chunked("POST", "3\r\nabc\r\n")).await;
    assert_eq!(downstream.head().await.status(), 200);
    assert_eq!(downstream.read_through(b"hi\r\n").await.unwrap(), b"2\r\nhi\r\n");
    downstream.send(["0x0\r\n\r\n", SMUGGLED].concat()).await;
    assert_eq!(shown(&downstream.read_to_end().await), "");
    assert_eq!(upstream.seen().connections(), 1);
}

// R13
#[tokio::test]
async fn chunk_extensions_and_trailers_beyond_a_limit_break_off_both_sides() {
    let long = "a".repeat(17 * 1024);
    assert_all_broken([
        format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        format!("5\r\nhello\r\n0;{long}\r\n\r\n"),
        // Together too long (CVE-2023-39326).
        format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", &long[..1000]).repeat(17)),
        format!("{}0\r\n\r\n", "1;ab\r\nx\r\n".repeat(6000)),
        format!("5\r\nhello\r\n0\r\nx: {long}\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\n{long}"),
        format!("5\r\nhello\r\n0\r\n{}\r\n", "x: y\r\n".repeat(101)),
        format!("5\r\nhello\r\n0\r\n{}\r\n", format!("x: {}\r\n", &long[..1000]).repeat(17)),
    ])
    .await;
}

// R14
#[tokio::test]
async fn a_trailer_that_frames_identifies_or_belongs_to_a_connection_breaks_off_both_sides() {
    let names = [
        "content-length",
        "Content-Length",
        "transfer-encoding",
        "host",
        "authorization",
        "Authorization",
        "proxy-authorization",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "cookie",
        "expect",
        "content-type",
        "content-encoding",
        "content-range",
        "via",
        "content_length",
        "transfer_encoding",
        "x_forwarded_for",
    ];
    let lines = names.map(|name| format!("{name}: 5"));
    let malformed = ["x : y", " x: y", "x", ": y", "x: y\nz: w", "x: a\0b", "x: a\rb", "x: y\r\n z"].map(str::to_owned);
    assert_all_broken(lines.into_iter().chain(malformed).map(|line| format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n")))
        .await;
}

// R14, R33
#[tokio::test]
async fn announced_trailers_pass_as_trailers_and_others_are_dropped() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let host = host_of(&upstream);
    let mut downstream = Downstream::of(&proxy).await;

    let request = "POST / HTTP/1.1\r\nhost: localhost\r\ntrailer: X-Digest\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Digest: abc\r\nx-other: z\r\n\r\n";
    assert_eq!(downstream.ask(request).await.status(), 200);
    let seen = upstream.requests().pop().unwrap();
    assert_sent(&seen, "POST / HTTP/1.1", &[&host, "trailer: X-Digest", "transfer-encoding: chunked"]);
    assert_eq!(String::from_utf8_lossy(&seen.raw_body), "5\r\nhello\r\n0\r\nx-digest: abc\r\n\r\n");

    assert_eq!(downstream.ask(chunked("POST", "5\r\nhello\r\n0\r\nx-other: z\r\n\r\n")).await.status(), 200);
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.raw_body), "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(downstream.get("/next").await.status(), 200);
    assert_sent(&upstream.requests().pop().unwrap(), "GET /next HTTP/1.1", &[&host]);
}

// R20
#[tokio::test]
async fn an_expectation_of_100_is_met_before_the_body_comes_and_not_passed_on() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let host = host_of(&upstream);
    for (framing, body, sent) in [
        ("content-length: 5", "hello", "hello"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        for expect in ["100-continue", "100-Continue"] {
            let mut downstream = Downstream::of(&proxy).await;
            downstream
                .send(format!("PUT / HTTP/1.1\r\nhost: localhost\r\n{framing}\r\nExpect: {expect}\r\n\r\n"))
                .await;
            assert_eq!(downstream.answer().await.text(), "HTTP/1.1 100 Continue\r\n\r\n");
            downstream.send(body).await;
            assert_eq!(downstream.answer().await.body_text(), "hello");
            assert_eq!(downstream.get("/next").await.body_text(), "hello");

            let requests = upstream.requests();
            let [.., put, _next] = requests.as_slice() else { panic!() };
            assert_sent(put, "PUT / HTTP/1.1", &[&host, framing]);
            assert_eq!(String::from_utf8_lossy(&put.raw_body), sent);
        }
    }
}

// R20
#[tokio::test]
async fn an_expectation_without_a_body_or_in_http_1_0_brings_no_100() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let host = host_of(&upstream);

    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("GET / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert_sent(&upstream.requests()[0], "GET / HTTP/1.1", &[&host]);

    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("PUT / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(answer.status(), 200);
    assert_sent(&upstream.requests()[1], "PUT / HTTP/1.1", &[&host, "content-length: 5"]);
    assert_eq!(upstream.requests()[1].body, b"hello");
}

// R20
#[tokio::test]
async fn an_expectation_that_cannot_be_met_is_417() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    for expect in ["200-ok", "100-continue, x", "x=y", "", "100", "100-continue;q=1", "100 continue"] {
        let mut downstream = Downstream::of(&proxy).await;
        downstream
            .send(format!(
                "PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: {expect}\r\n\r\nhello{SMUGGLED}"
            ))
            .await;
        assert_problem(&downstream.read_to_end().await, 417, expect);
    }
    assert_eq!(upstream.seen().connections(), 0);
}

// R20: what follows a final answer without 100 may be the body or the next request. It is neither.
#[tokio::test]
async fn after_a_final_answer_without_100_nothing_is_guessed() {
    let upstream = upstream().await;
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/api/", &upstream.url(), "api", "").start().await;
    for framing in ["content-length: 5", "content-length: 100000", "transfer-encoding: chunked"] {
        let mut downstream = Downstream::of(&proxy).await;
        downstream
            .send(format!("PUT /none HTTP/1.1\r\nhost: localhost\r\n{framing}\r\nexpect: 100-continue\r\n\r\n"))
            .await;
        assert_eq!(downstream.answer().await.status(), 404);
        downstream.send(SMUGGLED.replace("/smuggled", "/api/smuggled")).await;
        assert_eq!(shown(&downstream.read_to_end().await), "", "{framing}");
    }
    assert_eq!(upstream.seen().connections(), 0);
}

// R22
#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_once() {
    let upstream = Upstream::answering_by(|request| {
        let echo = format!("{}|{}", request.first_line(), String::from_utf8_lossy(&request.body));
        let length = echo.len();
        let echo = if request.first_line().starts_with("HEAD") { String::new() } else { echo };
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{echo}").into_bytes()
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    let mut downstream = Downstream::of(&proxy).await;
    let mut all = String::new();
    for number in 0..20 {
        all.push_str(&format!("GET /{number} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        all.push_str(&format!("POST /{number} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nGET "));
        all.push_str(&format!("HEAD /{number} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        all.push_str(&format!(
            "PUT /{number} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\r\n"
        ));
    }
    downstream.send(all).await;

    for number in 0..20 {
        for (method, body) in [("GET", ""), ("POST", "GET "), ("HEAD", ""), ("PUT", "ab")] {
            let answer = downstream.answer_to(method).await.unwrap();
            let expected = if method == "HEAD" { String::new() } else { format!("{method} /{number} HTTP/1.1|{body}") };
            assert_eq!((answer.status(), answer.body_text()), (200, expected.as_str()));
        }
    }
    assert_eq!(upstream.requests().len(), 80);
    assert_eq!(upstream.seen().connections(), 1);
}

// R22
#[tokio::test]
async fn what_is_pipelined_behind_connection_close_is_not_answered() {
    let upstream = upstream().await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(format!("GET /last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n{SMUGGLED}")).await;
    let answer = downstream.answer().await;
    assert_eq!((answer.body_text(), answer.field("connection")), ("hello", Some("close")));
    assert_eq!(shown(&downstream.read_to_end().await), "");
    assert_eq!(first_lines(&upstream.requests()), ["GET /last HTTP/1.1"]);
}

/// An upstream whose first connection answers when it has the head alone, and then reads to the end and tells what came;
/// the others answer whole requests.
async fn hasty_upstream(answer: &'static str, ends: bool) -> (Upstream, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection: Connection| {
        let sender = sender.clone();
        async move {
            if connection.number > 1 {
                while connection.request().await.is_some() {
                    connection.send(OK).await;
                }
                return;
            }
            connection.head().await.unwrap();
            connection.send(answer).await;
            if ends {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut connection.stream).await;
            }
            let _ = sender.send(connection.read_to_end().await);
        }
    })
    .await;
    (upstream, receiver)
}

// R23
#[tokio::test]
async fn an_answer_before_the_body_is_forwarded_at_once_and_that_connection_never_used_again() {
    for (answer, ends) in [
        ("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig", false),
        ("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n", false),
        ("HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\n\r\nbig", true),
    ] {
        for length in [1_000, 300_000] {
            let (upstream, mut came) = hasty_upstream(answer, ends).await;
            let proxy = Proxy::to(&upstream).await;
            let body = "G".repeat(length);
            let (first, rest) = body.split_at(500);

            let mut downstream = Downstream::of(&proxy).await;
            downstream
                .send(format!("POST /first HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{first}"))
                .await;
            let early = downstream.answer().await;
            assert_eq!(early.body_text(), "big", "{answer}");
            // While the body is still to come: another connection.
            assert_eq!(Downstream::of(&proxy).await.get("/other").await.body_text(), "hello");
            assert_eq!(upstream.seen().connections(), 2);

            // What comes now is body, or is not read at all.
            downstream.send(format!("{rest}GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
            let after = downstream.read_to_end().await;
            assert!(after.is_empty() || after.ends_with(b"hello"), "{}", shown(&after));
            let came = came.recv().await.unwrap();
            assert!(body.as_bytes().starts_with(&came), "{answer}: {}", shown(&came[came.len().saturating_sub(200)..]));
            for request in upstream.requests() {
                let line = request.first_line();
                assert!(
                    ["POST /first HTTP/1.1", "GET /other HTTP/1.1", "GET /next HTTP/1.1"].contains(&line),
                    "{line}"
                );
            }
        }
    }
}
