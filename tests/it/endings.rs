//! Everything has an end, and says which: a downstream that takes nothing, an answer that breaks off, an upstream that
//! takes nothing, a protocol nobody asked for.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use super::support::{Downstream, Proxy, Upstream, eventually, soon};

/// More than all buffers between an upstream and a downstream hold.
const LARGE: usize = 32 * 1024 * 1024;

/// Sends a large sized answer to each request, and then waits for the end of the connection.
async fn sending_much() -> Upstream {
    Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
            connection.send(vec![b'x'; LARGE]).await;
        }
    })
    .await
}

/// A downstream that has read the head of its answer, on a listener with these timeouts.
async fn reading_from(upstream: &Upstream, timeouts: &str) -> (Proxy, Downstream) {
    let proxy = Proxy::new()
        .listener(&format!("    timeouts: {timeouts}\n"))
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.head().await;
    (proxy, downstream)
}

// DESIGN.md 1.6: a downstream that leaves its answer unread does not hold a connection for ever.
#[tokio::test]
async fn a_downstream_that_reads_no_more_is_cut_off_after_timeouts_send() {
    let upstream = sending_much().await;
    let (proxy, mut downstream) = reading_from(&upstream, "{send: 300ms, idle: 20ms}").await;
    let began = Instant::now();

    // Nobody reads here. The figures say when the proxy has let go of the connection.
    eventually("the end of the connection", || is_closed(&proxy)).await;

    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    let rest = downstream.read_to_end().await;
    assert!(rest.len() < LARGE, "the answer was cut off");
}

fn is_closed(proxy: &Proxy) -> bool {
    proxy.metrics().lines().any(|line| line.starts_with("bearer_proxy_connections_open{") && line.ends_with(" 0"))
}

// R46: whoever reads slowly gets all, however short the idle time is: it counts from the last byte taken.
#[tokio::test]
async fn a_slow_reader_gets_all_although_connections_may_idle_for_less() {
    let upstream = sending_much().await;
    let (_proxy, mut downstream) = reading_from(&upstream, "{idle: 50ms, send: 10s}").await;

    let mut left = LARGE;
    let mut pace = tokio::time::interval(Duration::from_millis(150));
    while left > 0 {
        // Each pause is three times as long as a connection may idle.
        pace.tick().await;
        let part = left.min(4 * 1024 * 1024);
        assert_eq!(downstream.read(part).await.len(), part);
        left -= part;
    }
}

// R48: for HTTP/1.0 the end of the connection is the end of the answer, unless it is a reset.
#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_to_http_1_0() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        // No last chunk.
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await;

    let mut answer = Vec::new();
    let ended = soon("the end of the answer", downstream.stream.read_to_end(&mut answer)).await;

    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{}", answer.escape_ascii());
}

// R19: what the upstream changes to must be what was asked for.
#[tokio::test]
async fn a_change_to_another_protocol_is_no_tunnel() {
    for upgrade in ["upgrade: h2c\r\n", "upgrade: websocket, h2c\r\n", ""] {
        let upstream =
            Upstream::answering(format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{upgrade}\r\n"))
                .await;
        let proxy = Proxy::to(&upstream).await;
        let answer = Downstream::of(&proxy)
            .await
            .ask("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        assert_eq!(answer.status(), 502, "{upgrade}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=http_protocol_error"));
    }
}

// R14: a trailer cannot bear what the credential, or the route, writes.
#[tokio::test]
async fn a_trailer_with_the_name_of_what_we_set_is_not_sent() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::new()
        .credential("  api: {grant: static, token: T0KEN, inject: {header: X-Api-Key, format: '{token}'}}\n")
        .route("/", &upstream.url(), "api", "    request_headers: {set: {X-Team: ours}}\n")
        .start()
        .await;
    for (name, passes) in [("X-Api-Key", false), ("x-team", false), ("x-digest", true)] {
        let mut downstream = Downstream::of(&proxy).await;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ntrailer: {name}\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\n{name}: theirs\r\n\r\n"
        );
        assert_eq!(downstream.ask(request).await.status(), 200, "{name}");
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.raw_body.windows(6).any(|bytes| bytes == b"theirs"), passes, "{name}");
    }
}
