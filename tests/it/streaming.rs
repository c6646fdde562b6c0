//! Bodies flow both ways as they come, at the pace of whoever is slower, and an end is never made up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::support::{Connection, Downstream, Files, Process, Proxy, Upstream, soon};

const MIB: usize = 1024 * 1024;

/// Nothing has moved for so long: it has come to a stop. There is no event that says so.
const STANDSTILL: Duration = Duration::from_millis(700);

/// How soon the other side must notice that one has gone (R47).
const NOTICED: Duration = Duration::from_secs(2);

/// Reads until so many bytes have come, and counts them.
async fn count_to(stream: &mut TcpStream, wanted: usize) -> usize {
    let mut buffer = vec![0; 256 * 1024];
    let mut count = 0;
    while count < wanted {
        match soon("bytes", stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => break,
            Ok(more) => count += more,
        }
    }
    count
}

/// Writes until nobody takes any more, at most `limit`; answers how many bytes were taken.
async fn fill(stream: &mut TcpStream, limit: usize) -> usize {
    let chunk = vec![b'x'; 64 * 1024];
    let mut written = 0;
    while written < limit {
        let rest = chunk.len().min(limit - written);
        match tokio::time::timeout(STANDSTILL, stream.write(&chunk[..rest])).await {
            Ok(count) => written += count.unwrap(),
            Err(_standstill) => break,
        }
    }
    written
}

async fn write(stream: &mut TcpStream, mut count: usize) {
    let chunk = vec![b'x'; 64 * 1024];
    while count > 0 {
        let part = chunk.len().min(count);
        if soon("room to write", stream.write_all(&chunk[..part])).await.is_err() {
            return;
        }
        count -= part;
    }
}

/// Closes with a reset instead of an orderly end.
fn reset(downstream: Downstream) {
    let stream = downstream.stream.into_std().unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// How a downstream goes away.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Close,
    Reset,
}

const WAYS: [Leaving; 2] = [Leaving::Close, Leaving::Reset];

fn leave(downstream: Downstream, way: Leaving) {
    match way {
        Leaving::Close => drop(downstream),
        Leaving::Reset => reset(downstream),
    }
}

// R44: the upstream sends no more before the downstream has what was sent.
#[tokio::test]
async fn head_and_each_event_come_at_once() {
    let seen = Arc::new(Notify::new());
    let go_on = Arc::clone(&seen);
    let upstream = Upstream::start(move |mut connection| {
        let go_on = Arc::clone(&go_on);
        async move {
            connection.request().await;
            connection
                .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            for event in ["data: 1\n\n", "data: 2\n\n"] {
                go_on.notified().await;
                connection.send(format!("9\r\n{event}\r\n")).await;
            }
            go_on.notified().await;
            connection.send("0\r\n\r\n").await;
            connection.read_to_end().await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let head = downstream.head().await;
    assert_eq!((head.status(), head.field("content-type")), (200, Some("text/event-stream")));
    for event in ["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n"] {
        let began = Instant::now();
        seen.notify_one();
        assert_eq!(downstream.read(event.len()).await, event.as_bytes());
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
    seen.notify_one();
    assert_eq!(downstream.read(5).await, b"0\r\n\r\n");
}

// R44: the same of an answer that ends with the connection, and of one with a length.
#[tokio::test]
async fn parts_of_an_answer_come_at_once_however_it_is_framed() {
    for framing in ["", "content-length: 11\r\n"] {
        let seen = Arc::new(Notify::new());
        let go_on = Arc::clone(&seen);
        let upstream = Upstream::start(move |mut connection| {
            let go_on = Arc::clone(&go_on);
            async move {
                connection.request().await;
                connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\nfirst")).await;
                go_on.notified().await;
                connection.send("second").await;
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;

        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert!(downstream.read_through(b"first").await.is_some());
        seen.notify_one();
        assert!(downstream.read_through(b"second").await.is_some());
    }
}

// R44: a stream that says something now and then lives longer than `idle_body`.
#[tokio::test]
async fn a_quiet_stream_lives_as_long_as_it_says_something_within_idle_body() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut pace = tokio::time::interval(Duration::from_millis(150));
        for _ in 0..16 {
            pace.tick().await;
            connection.send("1\r\nx\r\n").await;
        }
        connection.send("0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "    timeouts: {idle_body: 1s, response_head: 1s}\n")
        .start()
        .await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert!(answer.complete);
    assert_eq!(answer.body.len(), 16);
}

// R45
#[tokio::test]
async fn a_requests_body_streams_before_it_ends() {
    for (framing, first, second) in [
        ("content-length: 11\r\n", "first", "second"),
        // Beyond what is held for a repetition, and below.
        ("content-length: 100000\r\n", "first", "second"),
        ("transfer-encoding: chunked\r\n", "5\r\nfirst\r\n", "6\r\nsecond\r\n"),
    ] {
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let arrived = sender.clone();
            async move {
                connection.head().await;
                for part in [first, second] {
                    arrived.send(connection.read(part.len()).await).unwrap();
                }
                connection.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;

        downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n")).await;
        for part in [first, second] {
            downstream.send(part).await;
            let arrived = soon("a part of the body", arrived.recv()).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&arrived), part, "{framing}");
        }
        assert_eq!(downstream.answer().await.status(), 200);
    }
}

// R45: the answer begins, and goes on, while the request is still being sent.
#[tokio::test]
async fn both_bodies_flow_at_the_same_time() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        loop {
            let chunk = connection.read(5).await;
            connection.send(&chunk).await;
            if chunk == b"0\r\n\r\n" {
                return;
            }
            let rest = connection.read(5).await;
            connection.send(rest).await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    assert_eq!(downstream.head().await.status(), 200);
    for word in ["hello", "again", "world"] {
        let chunk = format!("5\r\n{word}\r\n");
        downstream.send(&chunk).await;
        assert_eq!(downstream.read(10).await, chunk.as_bytes());
    }
    downstream.send("0\r\n\r\n").await;
    assert_eq!(downstream.read(5).await, b"0\r\n\r\n");
}

// R45: nothing is held whole. Measured in a process of its own.
#[tokio::test]
async fn fifty_mebibytes_each_way_cost_less_than_forty_eight() {
    let size = 50 * MIB;
    let upstream = Upstream::start(move |mut connection| async move {
        while let Some(head) = connection.head().await {
            if head.first_line().starts_with("POST") {
                let mut left = size;
                while left > 0 {
                    let got = connection.read(left.min(256 * 1024)).await.len();
                    assert!(got > 0, "the upload broke off");
                    left -= got;
                }
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            } else {
                connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")).await;
                write(&mut connection.stream, size).await;
            }
        }
    })
    .await;
    let (process, address) = process_to(&upstream).await;
    let mut downstream = Downstream::connect(address).await;
    let before = resident(&process);

    downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n")).await;
    write(&mut downstream.stream, size).await;
    assert_eq!(downstream.answer().await.status(), 200);
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(downstream.head().await.status(), 200);
    let ahead = downstream.take_ahead();
    assert_eq!(ahead + count_to(&mut downstream.stream, size - ahead).await, size);

    let growth = peak(&process).saturating_sub(before);
    assert!(growth < 48 * 1024, "{growth} KiB");
}

/// The real binary with a route to this upstream.
async fn process_to(upstream: &Upstream) -> (Process, std::net::SocketAddr) {
    let files = Files::new();
    let file = files.write(
        "proxy.yaml",
        &format!(
            "listeners:\n  - address: 127.0.0.1:0\ncredentials:\n  api: {{grant: static, token: T0KEN}}\nroutes:\n  - path: /\n    upstream: {}\n    credential: api\nlog: {{access: off}}\n",
            upstream.url()
        ),
    );
    let process = Process::serving(&file).await;
    let address = process.listening().await;
    (process, address)
}

/// A figure of a process's memory, in KiB.
fn memory(process: &Process, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn resident(process: &Process) -> usize {
    memory(process, "VmRSS:")
}

fn peak(process: &Process) -> usize {
    memory(process, "VmHWM:")
}

// R46
#[tokio::test]
async fn a_downstream_that_does_not_read_stops_the_upstream_and_then_gets_everything() {
    let size = 40 * MIB;
    let (stopped, mut stop) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let stopped = stopped.clone();
        async move {
            connection.request().await;
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")).await;
            let written = fill(&mut connection.stream, size).await;
            stopped.send(written).unwrap();
            write(&mut connection.stream, size - written).await;
            connection.read_to_end().await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let written = soon("a standstill", stop.recv()).await.unwrap();
    assert!(written < 24 * MIB, "{written} bytes were taken for a downstream that does not read");

    assert_eq!(downstream.head().await.status(), 200);
    let ahead = downstream.take_ahead();
    assert_eq!(ahead + count_to(&mut downstream.stream, size - ahead).await, size);
}

// R46
#[tokio::test]
async fn an_upstream_that_does_not_read_stops_the_downstream_and_then_gets_everything() {
    let size = 40 * MIB;
    let read_on = Arc::new(Notify::new());
    let go_on = Arc::clone(&read_on);
    let upstream = Upstream::start(move |mut connection| {
        let go_on = Arc::clone(&go_on);
        async move {
            connection.head().await;
            go_on.notified().await;
            let mut left = size;
            while left > 0 {
                let got = connection.read(left.min(256 * 1024)).await.len();
                assert!(got > 0, "the upload broke off");
                left -= got;
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nall!").await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send(format!("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n")).await;
    let written = fill(&mut downstream.stream, size).await;
    assert!(written < 24 * MIB, "{written} bytes were taken for an upstream that does not read");
    read_on.notify_one();
    write(&mut downstream.stream, size - written).await;

    assert_eq!(downstream.answer().await.body_text(), "all!");
}

/// An upstream that does `serve` and then reads to the end of the connection: what came, and when it ended.
async fn watched<F>(
    serve: impl Fn(Connection) -> F + Clone + Send + Sync + 'static,
) -> (Upstream, mpsc::UnboundedReceiver<(Vec<u8>, Instant)>)
where
    F: Future<Output = Connection> + Send + 'static,
{
    let (ended, end) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |connection| {
        let (serve, ended) = (serve.clone(), ended.clone());
        async move {
            let mut connection = serve(connection).await;
            let rest = connection.read_to_end().await;
            let _ = ended.send((rest, Instant::now()));
        }
    })
    .await;
    (upstream, end)
}

// R47
#[tokio::test]
async fn a_downstream_that_leaves_while_it_waits_is_noticed_upstream() {
    for way in WAYS {
        for body in ["", "content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
        {
            let (upstream, mut end) = watched(|mut connection| async move {
                connection.request().await.unwrap();
                connection
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            let body = if body.is_empty() { "\r\n" } else { body };
            downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{body}")).await;
            upstream.seen().wait_for(1).await;

            let left = Instant::now();
            leave(downstream, way);

            let (_, at) = soon("the upstream to notice", end.recv()).await.unwrap();
            assert!(at - left < NOTICED, "{way:?} {body:?}: {:?}", at - left);
        }
    }
}

// R47: with another request sent ahead, whose bytes lie between the reader and the end of the connection.
#[tokio::test]
async fn one_that_has_sent_the_next_request_already_is_noticed_too() {
    for way in WAYS {
        let (upstream, mut end) = watched(|mut connection| async move {
            connection.request().await.unwrap();
            connection
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("GET /1 HTTP/1.1\r\nhost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        upstream.seen().wait_for(1).await;

        let left = Instant::now();
        leave(downstream, way);

        let (_, at) = soon("the upstream to notice", end.recv()).await.unwrap();
        assert!(at - left < NOTICED, "{way:?}: {:?}", at - left);
        assert_eq!(upstream.requests().len(), 1);
    }
}

// R47: the upstream has begun to answer, and says nothing for the moment.
#[tokio::test]
async fn a_downstream_that_leaves_in_the_middle_of_a_quiet_answer_is_noticed_upstream() {
    for way in WAYS {
        for framing in
            ["transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", "content-length: 100\r\n\r\nfirst", "\r\nfirst"]
        {
            let (upstream, mut end) = watched(move |mut connection| async move {
                connection.request().await.unwrap();
                connection.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
                connection
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            downstream.read_through(b"first").await.unwrap();

            let left = Instant::now();
            leave(downstream, way);

            let (_, at) = soon("the upstream to notice", end.recv()).await.unwrap();
            assert!(at - left < NOTICED, "{way:?} {framing:?}: {:?}", at - left);
        }
    }
}

// R47: the upstream sends and sends.
#[tokio::test]
async fn a_downstream_that_leaves_in_the_middle_of_a_busy_answer_is_noticed_upstream() {
    for way in WAYS {
        let (ended, mut end) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let ended = ended.clone();
            async move {
                connection.request().await.unwrap();
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nfirst").await;
                let chunk = vec![b'x'; 64 * 1024];
                while soon("an end", connection.stream.write_all(&chunk)).await.is_ok() {}
                ended.send(Instant::now()).unwrap();
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        downstream.read_through(b"first").await.unwrap();

        let left = Instant::now();
        leave(downstream, way);

        let at = soon("the upstream to notice", end.recv()).await.unwrap();
        assert!(at - left < NOTICED, "{way:?}: {:?}", at - left);
    }
}

// R47, R7: an upload that breaks off is broken off, whether it could be repeated or not, and never made complete.
#[tokio::test]
async fn an_upload_that_breaks_off_is_never_completed() {
    for way in WAYS {
        for body in [
            "content-length: 100\r\n\r\nfirst",
            "content-length: 1000000\r\n\r\nfirst",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n5\r\nse",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
            "trailer: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nx: 1\r\n",
        ] {
            let (upstream, mut end) = watched(|mut connection| async move {
                connection.head().await.unwrap();
                let mut body = Vec::new();
                while !body.ends_with(b"first") {
                    body.extend(connection.read(1).await);
                }
                connection
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{body}")).await;
            upstream.seen().wait_for(1).await;

            let left = Instant::now();
            leave(downstream, way);

            let (rest, at) = soon("the upstream to notice", end.recv()).await.unwrap();
            assert!(at - left < NOTICED, "{way:?} {body:?}: {:?}", at - left);
            let rest = String::from_utf8_lossy(&rest);
            assert!(!rest.contains("0\r\n"), "{way:?} {body:?} was completed: {rest:?}");
            assert_eq!(upstream.requests().len(), 1, "{way:?} {body:?} was sent again");
        }
    }
}

// R47: the same when the answer has begun already.
#[tokio::test]
async fn nor_is_one_whose_answer_has_begun() {
    for way in WAYS {
        for body in ["content-length: 100\r\n\r\nfirst", "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"] {
            let (upstream, mut end) = watched(|mut connection| async move {
                connection.head().await.unwrap();
                connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await;
                connection
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{body}")).await;
            downstream.read_through(b"2\r\nok\r\n").await.unwrap();

            let left = Instant::now();
            leave(downstream, way);

            let (rest, at) = soon("the upstream to notice", end.recv()).await.unwrap();
            assert!(at - left < NOTICED, "{way:?} {body:?}: {:?}", at - left);
            let rest = String::from_utf8_lossy(&rest);
            assert!(!rest.contains("0\r\n"), "{way:?} {body:?} was completed: {rest:?}");
        }
    }
}

// R47, R60: the same when it is the proxy that cuts the downstream off.
#[tokio::test]
async fn nor_is_one_that_the_proxy_cuts_off() {
    for answer in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"] {
        for body in ["content-length: 100\r\n\r\nfirst", "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"] {
            let (upstream, mut end) = watched(move |mut connection| async move {
                connection.head().await.unwrap();
                connection.send(answer).await;
                connection
            })
            .await;
            let proxy = Proxy::new()
                .static_token("api", "T0KEN")
                .route("/", &upstream.url(), "api", "")
                .top("shutdown: {drain: 200ms}\n")
                .start()
                .await;
            let mut downstream = Downstream::of(&proxy).await;
            downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{body}")).await;
            upstream.seen().wait_for(1).await;

            proxy.stop().await;

            let (rest, _) = soon("the upstream to notice", end.recv()).await.unwrap();
            let rest = String::from_utf8_lossy(&rest);
            assert!(!rest.contains("0\r\n"), "{body:?} was completed: {rest:?}");
            let got = String::from_utf8_lossy(&downstream.read_to_end().await).into_owned();
            assert!(!got.contains("0\r\n\r\n"), "the answer was completed: {got:?}");
        }
    }
}

// R48
#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_off() {
    for reset in [false, true] {
        for answer in [
            "content-length: 100\r\n\r\nfirst",
            "content-length: 100000000\r\n\r\nfirst",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n5\r\nse",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nx: 1\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nfirstX",
        ] {
            let seen = Arc::new(Notify::new());
            let go_on = Arc::clone(&seen);
            let upstream = Upstream::start(move |mut connection| {
                let go_on = Arc::clone(&go_on);
                async move {
                    connection.request().await;
                    connection.send(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
                    go_on.notified().await;
                    if reset {
                        connection.reset();
                    }
                }
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;

            downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            let mut answered = downstream.head().await;
            assert_eq!(answered.status(), 200, "{answer:?}");
            seen.notify_one();
            let rest = String::from_utf8_lossy(&downstream.read_to_end().await).into_owned();
            answered.body = rest.clone().into_bytes();

            assert!(!rest.contains("0\r\n"), "reset: {reset}, {answer:?} came to a clean end: {rest:?}");
            assert!(rest.len() < 100, "{rest:?}");
        }
    }
}

// R48: what ends with the connection has no other sign of breaking off than a reset.
#[tokio::test]
async fn a_reset_is_no_end_of_an_answer() {
    let seen = Arc::new(Notify::new());
    let go_on = Arc::clone(&seen);
    let upstream = Upstream::start(move |mut connection| {
        let go_on = Arc::clone(&go_on);
        async move {
            connection.request().await;
            connection.send("HTTP/1.1 200 OK\r\n\r\nfirst").await;
            go_on.notified().await;
            connection.reset();
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.read_through(b"first").await.unwrap();
    seen.notify_one();

    assert_eq!(String::from_utf8_lossy(&downstream.read_to_end().await), "\r\n");
}

// R48: the figures and the log tell it too.
#[tokio::test]
async fn an_answer_that_breaks_off_is_written_down() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert!(!answer.complete);
    let line = &proxy.log_lines_when(1).await[0];
    assert_eq!(line["error"].as_str(), Some("upstream_body_broken_off"), "{line}");
}

// R49: a downstream that has sent all it has to say gets an answer or the end.
#[tokio::test]
async fn a_downstream_that_closes_its_sending_half_is_answered_or_closed() {
    let upstream = Upstream::saying("ok").await;
    let proxy = Proxy::to(&upstream).await;

    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nhi",
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "GET / HTTP/1.0\r\nhost: localhost\r\n\r\n",
        "GET / HTT",
        "",
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send(request).await;
        downstream.finish().await;
        let answer = String::from_utf8_lossy(&downstream.read_to_end().await).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{request:?}: {answer:?}");
        assert!(!answer.starts_with("HTTP/1.1 200") || answer.ends_with("ok"), "{request:?}: {answer:?}");
    }

    assert!(upstream.requests().iter().all(|request| request.body_text() != "hi"
        || request.field("content-length") != Some("3")
        || !request.complete));
}

// R49
#[tokio::test]
async fn an_upstream_that_closes_its_sending_half_leads_to_an_answer_or_the_end() {
    for (sent, status, complete) in [
        ("", 502, true),
        ("HTTP/1.1 200", 502, true),
        ("HTTP/1.1 200 OK\r\nx: 1\r\n", 502, true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, true),
        ("HTTP/1.1 200 OK\r\n\r\nok", 200, true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", 200, false),
    ] {
        let (upstream, _end) = watched(move |mut connection| async move {
            connection.request().await;
            connection.send(sent).await;
            connection.stream.shutdown().await.unwrap();
            connection
        })
        .await;
        let proxy = Proxy::to(&upstream).await;

        let answer = Downstream::of(&proxy).await.post("/", "x").await;

        assert_eq!((answer.status(), answer.complete), (status, complete), "{sent:?}");
    }
}

// R49: in the middle of an upload.
#[tokio::test]
async fn an_upstream_that_closes_its_sending_half_ends_an_upload() {
    let (upstream, mut end) = watched(|mut connection| async move {
        connection.head().await;
        connection.stream.shutdown().await.unwrap();
        connection
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nfirst").await;

    assert_eq!(downstream.answer().await.status(), 502);
    soon("the end upstream", end.recv()).await.unwrap();
}

// R23: an early answer is not lost, although the upstream closes with the upload unread, which makes a reset of it.
#[tokio::test]
async fn an_early_answer_is_passed_on_although_the_upstream_closes_after_it() {
    pass_early_answers_on().await;
}

// R23: the same where reading and writing happen on several threads, and the reset is met by a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_is_passed_on_whichever_thread_meets_the_reset() {
    pass_early_answers_on().await;
}

async fn pass_early_answers_on() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await;
        connection.read(5).await;
        connection.send("HTTP/1.1 413 Too Much\r\nconnection: close\r\ncontent-length: 4\r\n\r\nmuch").await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    for _ in 0..50 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n").await;
        downstream.send("x".repeat(100_000)).await;
        let answer = downstream.answer().await;
        assert_eq!((answer.status(), answer.body_text()), (413, "much"));
    }
}

// R46: a long answer that begins before the request has ended does not stop the request, although nobody reads it yet.
#[tokio::test]
async fn a_downstream_that_sends_all_before_it_reads_gets_its_early_answer() {
    const LENGTH: usize = 8 * MIB;
    let (took, mut taken) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let took = took.clone();
        async move {
            connection.head().await;
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
            let ahead = connection.read_ahead().len();
            let (mut reading, mut writing) = connection.stream.split();
            let answer = vec![b'y'; LENGTH];
            let upload = async {
                let mut buffer = vec![0; 64 * 1024];
                let mut count = ahead;
                while count < LENGTH {
                    count += soon("the upload", reading.read(&mut buffer)).await.unwrap();
                }
                took.send(count).unwrap();
            };
            let (written, ()) = tokio::join!(writing.write_all(&answer), upload);
            written.unwrap();
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
    write(&mut downstream.stream, LENGTH).await;

    assert_eq!(soon("the upload's end", taken.recv()).await, Some(LENGTH));
    let answer = downstream.answer().await;
    assert_eq!((answer.status(), answer.body.len(), answer.complete), (200, LENGTH, true));
}
