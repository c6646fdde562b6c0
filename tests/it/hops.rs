//! What belongs to one connection stays on it, both ways, and no connection becomes a tunnel unless both sides say so
//! (RFC 9110 §7.6.1, §7.8; R19, R21).

use tokio::sync::{mpsc, oneshot};

use super::support::refusal::{SMUGGLED, shown};
use super::support::sent::{assert_sent, first_lines};
use super::support::{Downstream, Proxy, Upstream, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n{lines}\r\n\r\nhello")
}

// R21
#[tokio::test]
async fn what_belongs_to_the_downstreams_connection_goes_and_what_we_need_stays() {
    let upstream = Upstream::answering(OK).await;
    let proxy = Proxy::to(&upstream).await;
    let host = format!("host: {}", upstream.address());
    for (lines, kept) in [
        ("connection: close, X-Foo, Authorization, Content-Length, Host\r\nx-foo: 1\r\nx-bar: 2", &["x-bar: 2"][..]),
        ("connection: authorization\r\nconnection: content-length\r\nconnection: host, via\r\nvia: 1.0 other", &[]),
        ("Connection:X-Foo,x-bar ,\tX-BAZ\r\nx-foo: 1\r\nX-Bar: 2\r\nx-baz: 3\r\nx-foo: 4", &[]),
        ("connection: keep-alive, content-type\r\nkeep-alive: timeout=5, max=9\r\ncontent-type: text/plain", &[]),
        ("connection: , ,\u{e9}, @, \"x-foo\", x foo\r\nx-foo: 1", &["x-foo: 1"]),
        ("connection: connection, te, upgrade, transfer-encoding\r\nte: gzip", &[]),
        ("proxy-connection: keep-alive\r\nproxy-authorization: Basic eDp5\r\nproxy-authenticate: Basic", &[]),
        ("te: trailers", &["connection: te", "te: trailers"]),
        ("te: gzip;q=0.5, Trailers", &["connection: te", "te: trailers"]),
        ("te: gzip, deflate;q=0.5", &[]),
        ("authorization: Bearer theirs\r\nAuthorization: Basic eDp5", &[]),
        ("connection: cookie\r\ncookie: a=b", &[]),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.ask(post(lines)).await.body_text(), "hello", "{lines}");
        let seen = upstream.requests().pop().unwrap();
        let fields = [kept, &[host.as_str(), "content-length: 5"]].concat();
        assert_sent(&seen, "POST / HTTP/1.1", &fields);
        assert_eq!(seen.body, b"hello", "{lines}");
    }
    // A downstream's `Connection: close` is not the upstream's.
    assert_eq!(upstream.seen().connections(), 1);
}

// R21
#[tokio::test]
async fn what_belongs_to_the_upstreams_connection_goes_and_what_frames_the_answer_stays() {
    for (lines, kept) in [
        ("connection: x-foo, content-length, set-cookie\r\nx-foo: 1\r\nset-cookie: a=b\r\nx-bar: 2", "x-bar: 2\r\n"),
        ("connection: close\r\nconnection: X-Foo\r\nX-Foo: 1", ""),
        ("keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nproxy-authenticate: Basic", ""),
        ("connection: upgrade\r\nupgrade: h2c, websocket", ""),
        ("te: trailers\r\nproxy-authorization: Basic eDp5", ""),
    ] {
        let upstream =
            Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{lines}\r\n\r\nhello")).await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.get("/").await;
        let via = answer.field("via").unwrap();
        let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{kept}via: {via}\r\n\r\n");
        assert_eq!((answer.text(), answer.body_text()), (expected.as_str(), "hello"), "{lines}");
        // An upstream's `Connection: close` is not the downstream's.
        assert_eq!(downstream.get("/").await.status(), 200);
    }
}

const HANDSHAKE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13";

fn get(lines: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n")
}

// R19
#[tokio::test]
async fn any_upgrade_but_to_websocket_is_taken_away() {
    let upstream = Upstream::answering(OK).await;
    let proxy = Proxy::to(&upstream).await;
    let host = format!("host: {}", upstream.address());
    for lines in [
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA",
        "connection: upgrade\r\nupgrade: h2c",
        "connection: upgrade\r\nupgrade: TLS/1.0",
        "connection: upgrade\r\nupgrade: foo",
        "connection: upgrade\r\nupgrade: websocket, h2c",
        "connection: upgrade\r\nupgrade: h2c, websocket",
        "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c",
        "connection: upgrade\r\nupgrade: websocket/13",
        "connection: upgrade\r\nupgrade: websockets",
        "connection: upgrade\r\nupgrade:",
        // Not named by Connection: for the next hop alone, and not meant.
        "upgrade: websocket",
        "connection: keep-alive\r\nupgrade: websocket",
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        // What follows is the next request.
        downstream.send(format!("{}GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n", get(lines))).await;
        assert_eq!(downstream.answer().await.body_text(), "hello", "{lines}");
        assert_eq!(downstream.answer().await.body_text(), "hello", "{lines}");
        let requests = upstream.requests();
        let [.., first, next] = requests.as_slice() else { panic!() };
        assert_sent(first, "GET /ws HTTP/1.1", &[&host]);
        assert_sent(next, "GET /next HTTP/1.1", &[&host]);
    }
}

// R19: RFC 9110 §7.8 has a server ignore it.
#[tokio::test]
async fn an_upgrade_in_http_1_0_is_taken_away() {
    let upstream = Upstream::answering(OK).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("GET /ws HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(answer.body_text(), "hello");
    assert_sent(&upstream.requests()[0], "GET /ws HTTP/1.1", &[&format!("host: {}", upstream.address())]);
}

/// The head of `101` as it reaches the downstream.
fn switched(via: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nvia: {via}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
}

// R19, R36
#[tokio::test]
async fn a_websocket_becomes_a_tunnel_when_the_upstream_says_101_and_not_a_byte_earlier() {
    let (go, went) = oneshot::channel::<()>();
    let went = std::sync::Mutex::new(Some(went));
    let upstream = Upstream::start(move |mut connection| {
        let went = went.lock().unwrap().take();
        async move {
            let Some(went) = went else {
                while connection.request().await.is_some() {
                    connection.send(OK).await;
                }
                return;
            };
            connection.head().await.unwrap();
            went.await.unwrap();
            let mut byte = [0];
            let early = connection.stream.try_read(&mut byte);
            assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            connection.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nfrom above").await;
            assert_eq!(connection.read(10).await, b"early late");
            connection.send("end").await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let host = format!("host: {}", upstream.address());

    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(format!("{}early", get(HANDSHAKE))).await;
    let seen = upstream.seen().wait_for(1).await.remove(0);
    let fields = [
        &host,
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version: 13",
    ];
    assert_sent(&seen, "GET /ws HTTP/1.1", &fields);
    // Time enough for the early bytes to be passed on, were they: a whole exchange on another connection.
    assert_eq!(Downstream::of(&proxy).await.get("/other").await.body_text(), "hello");
    go.send(()).unwrap();

    let head = downstream.head().await;
    let mut lines: Vec<_> = head.text().split("\r\n").collect();
    let expected = switched(head.field("via").unwrap());
    let mut expected: Vec<_> = expected.split("\r\n").collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(downstream.read(10).await, b"from above");
    downstream.send(" late").await;
    assert_eq!(downstream.read_to_end().await, b"end");
}

// R19: the early bytes of a handshake that is refused are a request like any other.
#[tokio::test]
async fn after_a_refused_handshake_the_connection_speaks_http() {
    for (answer, status) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 403),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200),
        (
            "HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n",
            426,
        ),
    ] {
        let upstream = Upstream::answering_by(move |request| match request.first_line() {
            "GET /ws HTTP/1.1" => answer.as_bytes().to_vec(),
            _ => OK.as_bytes().to_vec(),
        })
        .await;
        let proxy = Proxy::to(&upstream).await;

        let mut downstream = Downstream::of(&proxy).await;
        downstream.send(format!("{}GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n", get(HANDSHAKE))).await;
        assert_eq!(downstream.answer().await.status(), status);
        assert_eq!(downstream.answer().await.body_text(), "hello");
        assert_eq!(first_lines(&upstream.requests()), ["GET /ws HTTP/1.1", "GET /next HTTP/1.1"]);

        let mut downstream = Downstream::of(&proxy).await;
        downstream.send([get(HANDSHAKE).as_bytes(), b"\x81\x05hello"].concat()).await;
        assert_eq!(downstream.answer().await.status(), status);
        downstream.send("\r\n\r\n").await;
        assert_eq!(downstream.answer().await.status(), 400);
        assert!(downstream.is_closed().await);
        assert_eq!(upstream.requests().len(), 3);
    }
}

// R19 (CVE-2026-58055)
#[tokio::test]
async fn a_body_beside_upgrade_is_framed_normally() {
    let upstream = Upstream::answering(OK).await;
    let proxy = Proxy::to(&upstream).await;
    let host = format!("host: {}", upstream.address());
    let length = format!("content-length: {}", SMUGGLED.len());
    let chunks = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (upgrade, kept) in [("websocket", &["connection: upgrade", "upgrade: websocket"][..]), ("h2c", &[])] {
        for (framing, body) in [(length.as_str(), SMUGGLED), ("transfer-encoding: chunked", &chunks)] {
            let mut downstream = Downstream::of(&proxy).await;
            downstream
                .send(format!(
                    "POST /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\n{framing}\r\n\r\n\
                     {body}GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n"
                ))
                .await;
            assert_eq!(downstream.answer().await.body_text(), "hello", "{upgrade} {framing}");
            assert_eq!(downstream.answer().await.body_text(), "hello", "{upgrade} {framing}");
            let requests = upstream.requests();
            let [.., first, next] = requests.as_slice() else { panic!() };
            assert_sent(first, "POST /ws HTTP/1.1", &[&[host.as_str(), framing], kept].concat());
            assert_eq!(first.body_text(), SMUGGLED);
            assert_sent(next, "GET /next HTTP/1.1", &[&host]);
        }
    }
}

// R19
#[tokio::test]
async fn an_unasked_101_is_502_and_no_tunnel() {
    for lines in [
        "",
        "connection: upgrade\r\nupgrade: h2c",
        "upgrade: websocket",
        "connection: upgrade\r\nupgrade: websocket, h2c",
    ] {
        let (sender, mut came) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let sender = sender.clone();
            async move {
                let head = connection.head().await.unwrap();
                if head.first_line() == "GET /next HTTP/1.1" {
                    connection.send(OK).await;
                    return;
                }
                connection
                    .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfrom above")
                    .await;
                let _ = sender.send(connection.read_to_end().await);
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;

        let mut downstream = Downstream::of(&proxy).await;
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        downstream
            .send(format!(
                "GET /ws HTTP/1.1\r\nhost: localhost\r\n{lines}\r\nGET /next HTTP/1.1\r\nhost: localhost\r\n\r\n"
            ))
            .await;
        let answer = downstream.answer().await;
        assert_eq!(
            (answer.status(), answer.field("proxy-status")),
            (502, Some("bearer-proxy; error=http_protocol_error"))
        );
        assert_eq!(shown(&soon("the end", came.recv()).await.unwrap()), "", "{lines}");
        assert_eq!(downstream.answer().await.body_text(), "hello");
        assert_eq!(first_lines(&upstream.requests()), ["GET /ws HTTP/1.1", "GET /next HTTP/1.1"]);
    }
}
