//! Upstreams that refuse, break off, keep waiting or talk nonsense: each gets its status and its code of RFC 9209, and
//! none harms another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use super::support::{Authority, Downstream, Files, Message, Process, Proxy, Upstream, free_address, soon};

/// A route for everything to this URL, with these further keys at four spaces.
async fn to(url: &str, more: &str) -> Proxy {
    Proxy::new().static_token("api", "T0KEN").route("/", url, "api", more).start().await
}

/// An answer of ours of this status and code, in which there is nothing of what is behind us.
fn is_problem(answer: &Message, status: u16, error: &str) {
    assert_eq!(
        (answer.status(), answer.field("proxy-status")),
        (status, Some(format!("bearer-proxy; error={error}").as_str()))
    );
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert!(answer.complete);
    let body = answer.json();
    let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["detail", "route", "status", "title", "type"]);
    assert_eq!((body["status"].as_u64(), body["route"].as_str()), (Some(status.into()), Some("default")));
    assert_eq!(body["type"], format!("urn:bearer-proxy:problem:{error}"));
    for internal in ["127.0.0.1", "os error", "hyper", "rustls", "T0KEN", "localhost"] {
        assert!(!answer.text().contains(internal) && !answer.body_text().contains(internal), "{internal} is in it");
    }
}

/// A short timeout that is under test.
const SHORT: Duration = Duration::from_millis(300);

// R50
#[tokio::test]
async fn an_upstream_that_refuses_is_502_and_the_connection_stays_in_step() {
    let proxy = to(&format!("http://{}/", free_address()), "").await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        is_problem(&downstream.get("/a").await, 502, "connection_refused");
        is_problem(&downstream.post("/b", "body").await, 502, "connection_refused");
    }
}

// R50
#[tokio::test]
async fn an_upstream_that_ends_the_connection_before_an_answer_is_502() {
    for sent in [
        "",
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
        "HTTP/1.1 103 Early Hints\r\nx: 1\r\n",
    ] {
        for reset in [false, true] {
            let upstream = Upstream::start(move |mut connection| async move {
                connection.request().await;
                connection.send(sent).await;
                if reset {
                    connection.reset();
                }
            })
            .await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            is_problem(&downstream.get("/").await, 502, "connection_terminated");
            is_problem(&downstream.post("/", "x").await, 502, "connection_terminated");
            // R53: neither was tried again, for neither connection was a reused one.
            assert_eq!(upstream.requests().len(), 2, "{sent:?}");
        }
    }
}

// R50
#[tokio::test]
async fn an_upstream_that_closes_without_reading_is_502() {
    let upstream = Upstream::start(|_connection| async {}).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..20 {
        is_problem(&downstream.get("/").await, 502, "connection_terminated");
        is_problem(&downstream.post("/", "x").await, 502, "connection_terminated");
    }
}

// R24, R50
#[tokio::test]
async fn an_answer_that_is_no_http_is_502() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(200));
    for (sent, error) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "http_protocol_error"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 abc OK\r\n\r\n", "http_protocol_error"),
        ("HTTP/2.0 200 OK\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "http_protocol_error"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "http_protocol_error",
        ),
        (&long, "http_response_header_section_size"),
        (&many, "http_response_header_section_size"),
    ] {
        let upstream = Upstream::answering(sent).await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;
        is_problem(&downstream.get("/").await, 502, error);
        is_problem(&downstream.get("/").await, 502, error);
    }
}

/// A listener that accepts nobody, with its queue full: connecting to it takes for ever.
fn deaf() -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..4)
        .map(|_| {
            let socket = new();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    (listener, waiting, address.as_socket().unwrap())
}

// R51
#[tokio::test]
async fn an_upstream_that_takes_no_connection_in_time_is_504() {
    let (_listener, _waiting, address) = deaf();
    let proxy = to(&format!("http://{address}/"), "    timeouts: {connect: 300ms}\n").await;
    let began = Instant::now();

    is_problem(&Downstream::of(&proxy).await.get("/").await, 504, "connection_timeout");

    assert!(began.elapsed() >= SHORT);
}

// R51: also when it holds the last of the connections that there may be.
#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_no_lack_of_connections() {
    let (_listener, _waiting, address) = deaf();
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!(
            "  - path: /\n    upstream: {{url: 'http://{address}/', connections: {{max: 1}}}}\n    credential: api\n    timeouts: {{connect: 600ms}}\n"
        ))
        .start()
        .await;
    let mut first = Downstream::of(&proxy).await;
    let mut second = Downstream::of(&proxy).await;

    first.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (first, second) = tokio::join!(first.answer(), second.get("/"));

    is_problem(&first, 504, "connection_timeout");
    assert!(matches!(second.status(), 503 | 504), "it waited for the first one, and then had little time left");
}

// R51: a TLS handshake counts as connecting.
#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_is_504() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.read_to_end().await;
    })
    .await;
    let proxy = to(&format!("https://{}/", upstream.address()), "    timeouts: {connect: 300ms}\n").await;
    let began = Instant::now();

    is_problem(&Downstream::of(&proxy).await.get("/").await, 504, "connection_timeout");

    assert!(began.elapsed() >= SHORT);
}

// R51: nothing at all, one byte now and then, and one interim answer after the other: the time is that of the whole.
#[tokio::test]
async fn a_head_that_is_not_there_in_time_is_504() {
    for drip in ["", "x", "HTTP/1.1 100 Continue\r\n\r\n"] {
        for body in ["", "hello"] {
            let upstream = Upstream::start(move |mut connection| async move {
                connection.request().await;
                if drip == "x" {
                    connection.send("HTTP/1.1 200 OK\r\nx: ").await;
                }
                let mut pace = tokio::time::interval(Duration::from_millis(20));
                loop {
                    pace.tick().await;
                    if connection.stream.write_all(drip.as_bytes()).await.is_err() {
                        return;
                    }
                }
            })
            .await;
            let proxy = to(&upstream.url(), "    timeouts: {response_head: 300ms}\n").await;
            let began = Instant::now();

            let mut downstream = Downstream::of(&proxy).await;
            is_problem(&downstream.post("/", body).await, 504, "http_response_timeout");

            assert!(began.elapsed() >= SHORT);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            assert_eq!(upstream.requests().len(), 1, "R53: a late one is not sent again");
        }
    }
}

// R51, R48: an answer that stands still ends, and not well.
#[tokio::test]
async fn an_answer_that_stands_still_is_broken_off() {
    for framing in ["transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", "content-length: 100\r\n\r\nfirst", "\r\nfirst"]
    {
        let (ended, mut end) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let ended = ended.clone();
            async move {
                connection.request().await;
                connection.send(format!("HTTP/1.1 200 OK\r\n{framing}")).await;
                connection.read_to_end().await;
                ended.send(()).unwrap();
            }
        })
        .await;
        let proxy = to(&upstream.url(), "    timeouts: {idle_body: 300ms}\n").await;
        let began = Instant::now();

        let answer = Downstream::of(&proxy).await.get("/").await;

        assert_eq!((answer.status(), answer.complete, answer.body_text()), (200, false, "first"), "{framing:?}");
        assert!(began.elapsed() >= SHORT);
        soon("the end upstream", end.recv()).await.unwrap();
    }
}

// R51: a downstream that does not go on sending.
#[tokio::test]
async fn an_upload_that_stands_still_is_408_and_never_completed() {
    for body in ["content-length: 100\r\n\r\nfirst", "transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"] {
        let (ended, mut end) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let ended = ended.clone();
            async move {
                connection.head().await;
                ended.send(connection.read_to_end().await).unwrap();
            }
        })
        .await;
        let proxy = to(&upstream.url(), "    timeouts: {idle_body: 300ms}\n").await;
        let mut downstream = Downstream::of(&proxy).await;

        let answer = downstream.ask(format!("PUT / HTTP/1.1\r\nhost: localhost\r\n{body}")).await;

        is_problem(&answer, 408, "http_request_error");
        assert_eq!(answer.field("connection"), Some("close"));
        let sent = soon("the end upstream", end.recv()).await.unwrap();
        assert!(!String::from_utf8_lossy(&sent).contains("0\r\n"), "{:?}", String::from_utf8_lossy(&sent));
    }
}

// R51: an upstream that does not go on reading.
#[tokio::test]
async fn an_upload_that_the_upstream_does_not_take_is_504() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await;
        // Never reads; open until the test has ended.
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = to(&upstream.url(), "    timeouts: {idle_body: 500ms}\n").await;
    let downstream = Downstream::of(&proxy).await;
    let size = 40 * 1024 * 1024;
    let (mut read, mut write) = downstream.stream.into_split();
    let sending = tokio::spawn(async move {
        let _ = write
            .write_all(format!("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n").as_bytes())
            .await;
        let _ = write.write_all(&vec![b'x'; size]).await;
        write
    });

    let mut answer = vec![0; 4096];
    let count = soon("an answer", read.read(&mut answer)).await.unwrap();

    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer:?}");
    assert!(answer.contains("proxy-status: bearer-proxy; error=connection_write_timeout\r\n"), "{answer:?}");
    sending.abort();
}

/// A server of TLS with this name in its certificate, and how many requests it saw.
async fn tls_upstream(authority: &Authority, name: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let acceptor = TlsAcceptor::from(Authority::server(&authority.issue(name), None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    seen.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    (address, requests)
}

async fn over_tls(url: &str, ca: Option<&Authority>) -> Proxy {
    let files = Files::new();
    let ca = ca.map_or_else(String::new, |ca| {
        let path = files.write("ca.pem", &ca.pem());
        format!(", tls: {{ca: '{}'}}", path.display())
    });
    Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!("  - path: /\n    upstream: {{url: '{url}'{ca}}}\n    credential: api\n"))
        .start()
        .await
}

// R42
#[tokio::test]
async fn a_certificate_is_verified_by_chain_and_name() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger's");
    let (right, right_requests) = tls_upstream(&authority, "127.0.0.1").await;
    let (wrong_name, wrong_name_requests) = tls_upstream(&authority, "other.example").await;
    let (wrong_chain, wrong_chain_requests) = tls_upstream(&stranger, "127.0.0.1").await;

    let proxy = over_tls(&format!("https://{right}/"), Some(&authority)).await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..3 {
        assert_eq!(downstream.get("/").await.body_text(), "ok");
    }
    for (address, ca) in [(wrong_name, Some(&authority)), (wrong_chain, Some(&authority)), (right, None)] {
        let proxy = over_tls(&format!("https://{address}/"), ca).await;
        let mut downstream = Downstream::of(&proxy).await;
        is_problem(&downstream.get("/").await, 502, "tls_certificate_error");
        is_problem(&downstream.post("/", "x").await, 502, "tls_certificate_error");
    }

    let counts = [right_requests, wrong_name_requests, wrong_chain_requests].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [3, 0, 0]);
}

// R42: no bytes before the handshake ends, and no plaintext fallback.
#[tokio::test]
async fn a_server_without_tls_sees_nothing_but_a_hello() {
    for answer in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", ""] {
        let (sender, mut came) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut connection| {
            let came = sender.clone();
            async move {
                let mut first = vec![0; 16 * 1024];
                let count = connection.stream.read(&mut first).await.unwrap();
                first.truncate(count);
                connection.send(answer).await;
                if !answer.is_empty() {
                    first.extend(connection.read_to_end().await);
                }
                came.send(first).unwrap();
            }
        })
        .await;
        let proxy = over_tls(&format!("https://{}/", upstream.address()), None).await;

        is_problem(&Downstream::of(&proxy).await.post("/secret", "b0dy").await, 502, "tls_protocol_error");

        let came = soon("the bytes", came.recv()).await.unwrap();
        assert_eq!(came.first(), Some(&0x16), "a TLS handshake");
        let text = String::from_utf8_lossy(&came);
        assert!(
            !text.contains("T0KEN") && !text.contains("HTTP/1.1") && !text.contains("secret") && !text.contains("b0dy")
        );
        assert_eq!(upstream.seen().connections(), 1);
    }
}

/// An upstream whose connections answer one request, and read another to close without an answer; after `dead` of
/// those, all is well.
async fn dying(dead: usize) -> Upstream {
    let left = Arc::new(AtomicUsize::new(dead));
    Upstream::start(move |mut connection| {
        let left = Arc::clone(&left);
        async move {
            let mut first = true;
            while connection.request().await.is_some() {
                if !first && left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
                {
                    return;
                }
                first = false;
                let number = connection.number.to_string();
                connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{number}", number.len())).await;
            }
        }
    })
    .await
}

// R52
#[tokio::test]
async fn a_pooled_connection_found_dead_is_not_the_downstreams_affair() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        for body in
            ["\r\n", "content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
        {
            let upstream = dying(1).await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            assert_eq!(downstream.get("/first").await.status(), 200);

            let answer = downstream.ask(format!("{method} /x HTTP/1.1\r\nhost: localhost\r\n{body}")).await;

            assert_eq!(answer.status(), 200, "{method} {body:?}");
            let seen = upstream.requests();
            assert_eq!(seen.len(), 3, "{method} {body:?}");
            assert_eq!(seen[1].head, seen[2].head);
            assert_eq!((seen[1].raw_body.clone(), seen[1].complete), (seen[2].raw_body.clone(), seen[2].complete));
            assert_eq!(upstream.seen().connections(), 2);
        }
    }
}

// R52: once, and on a fresh connection.
#[tokio::test]
async fn a_request_is_repeated_once_at_most() {
    let upstream = Upstream::start(|mut connection| async move {
        let request = connection.request().await;
        if connection.number <= 2 && request.is_some_and(|request| request.first_line().contains("/first")) {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            connection.request().await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut one = Downstream::of(&proxy).await;
    let mut other = Downstream::of(&proxy).await;
    // Two connections in the pool.
    tokio::join!(one.get("/first"), other.get("/first"));
    let before = upstream.requests().len();

    is_problem(&one.get("/x").await, 502, "connection_terminated");

    assert_eq!(upstream.requests().len(), before + 2);
}

// R53
#[tokio::test]
async fn what_the_upstream_may_have_acted_on_is_never_sent_twice() {
    for method in ["POST", "PATCH", "PROPPATCH", "x-odd"] {
        for body in ["\r\n", "content-length: 5\r\n\r\nhello"] {
            let upstream = dying(1).await;
            let proxy = Proxy::to(&upstream).await;
            let mut downstream = Downstream::of(&proxy).await;
            assert_eq!(downstream.get("/first").await.status(), 200);

            let answer = downstream.ask(format!("{method} /x HTTP/1.1\r\nhost: localhost\r\n{body}")).await;

            is_problem(&answer, 502, "connection_terminated");
            assert_eq!(upstream.requests().len(), 2, "{method} was sent twice");
            // And the connection is in step.
            assert_eq!(downstream.get("/").await.status(), 200);
        }
    }
}

// R53: too long to be held, so it cannot be repeated although it might.
#[tokio::test]
async fn a_body_that_was_not_held_is_not_repeated() {
    let upstream = dying(1).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/first").await.status(), 200);

    let answer = downstream
        .ask(format!("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000)))
        .await;

    is_problem(&answer, 502, "connection_terminated");
    assert_eq!(upstream.requests().len(), 2);
}

/// An upstream that closes each connection without notice after so many answers.
async fn closing_after(answers: usize) -> Upstream {
    Upstream::start(move |mut connection| async move {
        for _ in 0..answers {
            let Some(request) = connection.request().await else { return };
            let echo = format!("{} {}", request.first_line(), request.body_text());
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{echo}", echo.len())).await;
        }
    })
    .await
}

/// Two thousand requests, by eight at a time, against that upstream.
async fn two_thousand(method: &'static str, answers: usize) {
    let upstream = closing_after(answers).await;
    let proxy = Proxy::to(&upstream).await;
    let address = proxy.address();
    let all: Vec<_> = (0..8)
        .map(|worker| {
            tokio::spawn(async move {
                let mut downstream = Downstream::connect(address).await;
                for number in 0..250 {
                    let target = format!("/{worker}/{number}");
                    let body = if method == "GET" { "" } else { "hello" };
                    let answer = downstream
                        .ask(format!(
                            "{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        ))
                        .await;
                    assert_eq!(answer.body_text(), format!("{method} {target} HTTP/1.1 {body}"));
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    if method != "GET" {
        assert_eq!(upstream.requests().len(), 2_000, "R53: something was sent twice");
    }
}

// R54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_without_notice_cost_no_get() {
    two_thousand("GET", 1).await;
    two_thousand("GET", 3).await;
}

// R54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_without_notice_cost_no_post() {
    two_thousand("POST", 1).await;
    two_thousand("POST", 3).await;
}

// R55
#[tokio::test]
async fn a_broken_route_harms_no_other_and_recovers() {
    let good = Upstream::saying("good").await;
    let address = free_address();
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/good", &good.url(), "api", "")
        .route("/bad", &format!("http://{address}/"), "api", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..20 {
        assert_eq!(downstream.get("/bad").await.status(), 502);
        assert_eq!(downstream.get("/good").await.body_text(), "good");
    }

    // The upstream is back: the next request finds it.
    let listener = TcpListener::bind(address).await.unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback").await.unwrap();
        }
    });
    assert_eq!(downstream.get("/bad").await.body_text(), "back");
    serving.abort();
}

// R55: a slow route holds up no other.
#[tokio::test]
async fn a_route_that_does_not_answer_holds_up_no_other() {
    let good = Upstream::saying("good").await;
    let silent = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/good", &good.url(), "api", "")
        .route("/silent", &silent.url(), "api", "")
        .start()
        .await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("GET /silent HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        waiting.push(downstream);
    }
    silent.seen().wait_for(200).await;

    assert_eq!(Downstream::of(&proxy).await.get("/good").await.body_text(), "good");
}

// R50, R55: a 502 leaves the downstream's connection in step, or closes it, wherever its body was at.
#[tokio::test]
async fn a_502_leaves_the_connection_in_step_or_closed() {
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/bad", &format!("http://{}/", free_address()), "api", "")
        .start()
        .await;
    for size in [10, 1_000, 100_000, 1_000_000] {
        let mut downstream = Downstream::of(&proxy).await;
        let body = "GET /inner HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(size / 10);
        downstream
            .send(format!("POST /bad HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n", body.len()))
            .await;
        assert_eq!(downstream.answer().await.status(), 502);
        if let Some(next) = downstream.answer_to("GET").await {
            assert_eq!(next.status(), 404, "{size}: the answer to the second request");
        }
    }
}

// R58, R43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_thousand_requests_in_flight_none_is_lost_or_swapped() {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let (counted, opened) = (Arc::clone(&arrived), Arc::clone(&gate));
    let upstream = Upstream::start(move |mut connection| {
        let (arrived, gate) = (Arc::clone(&counted), Arc::clone(&opened));
        async move {
            while let Some(request) = connection.head().await {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                let target = request.first_line().split(' ').nth(1).unwrap().to_owned();
                connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len())).await;
            }
        }
    })
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!(
            "  - path: /\n    upstream: {{url: '{}', connections: {{max: 4000}}}}\n    credential: api\n    timeouts: {{connect: 20s}}\n",
            upstream.url()
        ))
        .start()
        .await;
    let address = proxy.address();

    let mut all = Vec::new();
    for number in 0..2_000 {
        all.push(tokio::spawn(async move {
            let mut downstream = Downstream::connect(address).await;
            let target = format!("/{number}");
            let answer = downstream.get(&target).await;
            assert_eq!((answer.status(), answer.body_text()), (200, target.as_str()));
        }));
        if all.len() % 200 == 0 {
            // No more at a time than a listener's queue takes: beyond, the kernel lets them wait for seconds.
            soon("two hundred requests", arrived.acquire_many(200)).await.unwrap().forget();
        }
    }
    gate.add_permits(2_000);
    for one in all {
        one.await.unwrap();
    }
    drop(upstream);
}

/// The real binary with these routes.
async fn process(routes: &str) -> (Process, SocketAddr) {
    let file = Files::new();
    let file = file
        .write("proxy.yaml", &format!("listeners:\n  - address: 127.0.0.1:0\nroutes:\n{routes}log: {{access: off}}\n"));
    let process = Process::serving(&file).await;
    let address = process.listening().await;
    (process, address)
}

fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends `count` of these requests, sixteen at a time; each must get one of these statuses.
async fn fail(address: SocketAddr, request: &'static str, count: usize, statuses: &'static [u16]) {
    let left = Arc::new(AtomicUsize::new(count));
    let all: Vec<_> = (0..16)
        .map(|_| {
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                let mut downstream = Downstream::connect(address).await;
                while left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
                    let answer = downstream.ask(request).await;
                    assert!(statuses.contains(&answer.status()), "{request:?}: {}", answer.status());
                    if answer.field("connection") == Some("close") {
                        downstream = Downstream::connect(address).await;
                    }
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
}

// R59
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_failing_requests_leave_nothing_behind() {
    let closing = Upstream::start(|mut connection| async move {
        connection.head().await;
    })
    .await;
    let nonsense = Upstream::answering("nonsense\r\n\r\n").await;
    let broken = Upstream::start(|mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
    })
    .await;
    let route = |path: &str, url: String| format!("  - path: {path}\n    upstream: {url}\n    credential: none\n");
    let (process, address) = process(
        &[
            route("/refused", format!("http://{}/", free_address())),
            route("/closing", closing.url()),
            route("/nonsense", nonsense.url()),
            route("/broken", broken.url()),
        ]
        .concat(),
    )
    .await;
    let kinds: [(&str, &[u16]); 5] = [
        ("GET /refused HTTP/1.1\r\nhost: localhost\r\n\r\n", &[502]),
        ("POST /closing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello", &[502]),
        ("GET /nonsense HTTP/1.1\r\nhost: localhost\r\n\r\n", &[502]),
        ("GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n", &[404]),
        ("GET /../x HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400]),
    ];
    let break_off = async |count: usize| {
        for _ in 0..count {
            assert!(!Downstream::connect(address).await.get("/broken").await.complete);
        }
    };
    for (request, statuses) in kinds {
        fail(address, request, 200, statuses).await;
    }
    break_off(50).await;
    let at_rest = settled(&process).await;
    let before = resident(&process);

    for (request, statuses) in kinds {
        fail(address, request, 1_000, statuses).await;
    }
    break_off(200).await;

    assert!(settled(&process).await <= at_rest, "descriptors are left");
    let growth = resident(&process).saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB more than before");
}

// R58
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_connections_leave_no_descriptor() {
    let upstream = Upstream::saying("ok").await;
    let (process, address) =
        process(&format!("  - path: /\n    upstream: {}\n    credential: none\n", upstream.url())).await;
    let at_rest = settled(&process).await;

    for number in 0..3_000 {
        let mut downstream = Downstream::connect(address).await;
        match number % 3 {
            0 => assert_eq!(downstream.get("/").await.status(), 200),
            1 => downstream.send("GET / HTTP/1.1\r\nhost: loc").await,
            _ => {}
        }
    }

    // One to the upstream may stay, for each of those that were in flight together.
    assert!(settled(&process).await <= at_rest + 2, "descriptors are left");
}

/// How many descriptors are open once nobody uses any: the least that is seen for a while.
async fn settled(process: &Process) -> usize {
    let mut least = descriptors(process);
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..20 {
        pace.tick().await;
        least = least.min(descriptors(process));
    }
    least
}
