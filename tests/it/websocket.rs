//! WebSocket: a tunnel only where both sides have agreed, with the token in the handshake, and with an end (RFC 6455).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::support::{Authority, Connection, Downstream, Files, Message, Proxy, Upstream, soon};

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-protocol: chat, superchat\r\norigin: http://localhost\r\n\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n";

/// How soon the other side must have ended too (R36).
const ENDED: Duration = Duration::from_secs(2);

/// An upstream that switches, and then does `serve`.
async fn switching<F>(serve: impl Fn(Connection) -> F + Clone + Send + Sync + 'static) -> Upstream
where
    F: Future<Output = ()> + Send + 'static,
{
    Upstream::start(move |mut connection| {
        let serve = serve.clone();
        async move {
            if connection.head().await.is_some() {
                connection.send(SWITCHED).await;
                serve(connection).await;
            }
        }
    })
    .await
}

/// Sends back what comes.
async fn echo(mut connection: Connection) {
    let ahead = connection.read_ahead();
    connection.send(ahead).await;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = connection.stream.read(&mut buffer).await {
        if connection.stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Reads until the downstream's end is seen.
async fn tunnel(proxy: &Proxy) -> Downstream {
    let mut downstream = Downstream::of(proxy).await;
    let switched = downstream.ask(HANDSHAKE).await;
    assert_eq!(switched.status(), 101);
    downstream
}

fn via(message: &Message) -> usize {
    message.fields("via").len()
}

// R36, R19, R37
#[tokio::test]
async fn the_handshake_bears_the_token_and_its_answer_comes_back() {
    let upstream = switching(echo).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let handshake = HANDSHAKE.replace("origin:", "authorization: Bearer other\r\norigin:");
    let switched = downstream.ask(handshake).await;

    let seen = &upstream.requests()[0];
    assert_eq!(seen.first_line(), "GET /ws HTTP/1.1");
    assert_eq!(seen.field("authorization"), Some("Bearer T0KEN"));
    assert_eq!(seen.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(seen.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    for (name, value) in [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("origin", "http://localhost"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert_eq!(switched.first_line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!(switched.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(switched.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert_eq!(switched.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(switched.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!((via(seen), via(&switched)), (1, 1));
}

// R36
#[tokio::test]
async fn bytes_go_both_ways_as_they_are() {
    let upstream = switching(echo).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = tunnel(&proxy).await;

    for word in ["\u{1}\u{5}hello", "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "0\r\n\r\n"] {
        downstream.send(word).await;
        assert_eq!(downstream.read(word.len()).await, word.as_bytes());
    }
    // Larger than all buffers on the way, in both directions at once.
    let large: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut read, mut write) = downstream.stream.into_split();
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write
    });
    let mut back = vec![0; large.len()];
    soon("all of it", read.read_exact(&mut back)).await.unwrap();
    assert!(back == large);
    drop(sending.await.unwrap());
    assert_eq!(upstream.requests().len(), 1);
}

// R19: what comes behind the handshake is nobody's business until the upstream has switched; then it is the first of it.
#[tokio::test]
async fn early_bytes_are_withheld_until_the_upstream_has_switched() {
    let go_on = Arc::new(Notify::new());
    let may_switch = Arc::clone(&go_on);
    let (sender, mut first) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let (may_switch, first) = (Arc::clone(&may_switch), sender.clone());
        async move {
            connection.head().await;
            may_switch.notified().await;
            let early = connection.read_ahead();
            let mut byte = [0; 1];
            let nothing = connection.stream.try_read(&mut byte).is_err();
            first.send((early, nothing)).unwrap();
            connection.send(SWITCHED).await;
            echo(connection).await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send(format!("{HANDSHAKE}early")).await;
    upstream.seen().wait_for(1).await;
    go_on.notify_one();

    assert_eq!(soon("the handshake", first.recv()).await.unwrap(), (Vec::new(), true));
    assert_eq!(downstream.answer().await.status(), 101);
    assert_eq!(downstream.read(5).await, b"early");
}

// R36, R19: after a refusal all is plain HTTP, and what came behind the handshake is a request.
#[tokio::test]
async fn a_refused_handshake_leaves_the_connection_usable() {
    let upstream = Upstream::answering_by(|request| {
        let body = request.first_line().split(' ').nth(1).unwrap().to_owned();
        let status = if body == "/ws" { "403 Forbidden" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let refused = downstream.ask(HANDSHAKE).await;
    assert_eq!((refused.status(), refused.body_text()), (403, "/ws"));
    assert_eq!(downstream.get("/plain").await.body_text(), "/plain");

    downstream.send(format!("{HANDSHAKE}GET /behind HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    assert_eq!(downstream.answer().await.status(), 403);
    assert_eq!(downstream.answer().await.body_text(), "/behind");
    assert_eq!(upstream.seen().connections(), 1);
}

// R19: an upgrade that the upstream knows nothing of is an ordinary request.
#[tokio::test]
async fn an_upstream_that_does_not_switch_just_answers() {
    let upstream = Upstream::saying("no tunnel").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let answer = downstream.ask(HANDSHAKE).await;
        assert_eq!((answer.status(), answer.body_text(), answer.field("upgrade")), (200, "no tunnel", None));
        assert_eq!(downstream.get("/").await.body_text(), "no tunnel");
    }
}

// R19: h2c and what nobody knows is no upgrade; nothing of it reaches the upstream.
#[tokio::test]
async fn other_protocols_are_not_asked_for() {
    let upstream = Upstream::saying("plain").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for fields in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        "connection: upgrade\r\nupgrade: tls/1.0\r\n",
        "connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
    ] {
        let answer = downstream.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
        assert_eq!((answer.status(), answer.body_text()), (200, "plain"), "{fields:?}");
    }

    for request in upstream.requests() {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(request.field(name), None, "{name} in {:?}", request.text());
        }
    }
}

// R19
#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_502() {
    let upstream = switching(echo).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        // HTTP/1.0 knows no upgrade (RFC 9110 §7.8).
        "GET / HTTP/1.0\r\nhost: localhost\r\nconnection: upgrade, keep-alive\r\nupgrade: websocket\r\n\r\n",
    ] {
        let answer = downstream.ask(request).await;
        assert_eq!(answer.status(), 502, "{request:?}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=http_protocol_error"));
    }
}

// R36
#[tokio::test]
async fn a_tunnel_ends_with_the_downstream() {
    for half in [false, true] {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let upstream = switching(move |mut connection| {
            let ended = sender.clone();
            async move {
                connection.read_to_end().await;
                ended.send(Instant::now()).unwrap();
                // It does not close its own half by itself.
                let mut byte = [0];
                let _ = connection.stream.read(&mut byte).await;
                std::future::pending::<()>().await;
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = tunnel(&proxy).await;

        let left = Instant::now();
        if half {
            downstream.finish().await;
            assert!(downstream.is_closed().await);
            assert!(left.elapsed() < ENDED, "{:?}", left.elapsed());
        } else {
            drop(downstream);
        }

        let at = soon("the end upstream", ended.recv()).await.unwrap();
        assert!(at - left < ENDED, "{:?}", at - left);
    }
}

// R36
#[tokio::test]
async fn a_tunnel_ends_with_the_upstream() {
    for reset in [false, true] {
        let go_on = Arc::new(Notify::new());
        let may_end = Arc::clone(&go_on);
        let upstream = switching(move |mut connection| {
            let may_end = Arc::clone(&may_end);
            async move {
                may_end.notified().await;
                connection.send("bye").await;
                if reset {
                    connection.reset();
                }
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = tunnel(&proxy).await;

        let left = Instant::now();
        go_on.notify_one();
        let last = downstream.read_to_end().await;

        assert!(left.elapsed() < ENDED, "{:?}", left.elapsed());
        // What was sent before a reset may be lost with it.
        assert!(last == b"bye" || (reset && last.is_empty()), "{last:?}");
    }
}

// R36: whatever the upstream still has to say to a downstream that has closed its sending half comes.
#[tokio::test]
async fn the_last_words_of_a_tunnel_arrive() {
    let upstream = switching(|mut connection| async move {
        let said = connection.read_to_end().await;
        connection.send([b"heard ", said.as_slice()].concat()).await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = tunnel(&proxy).await;

    downstream.send("goodbye").await;
    downstream.finish().await;

    assert_eq!(downstream.read_to_end().await, b"heard goodbye");
}

// STYLE 16: a tunnel in which nothing moves ends; one in which something moves, in whichever direction, does not.
#[tokio::test]
async fn a_tunnel_lives_as_long_as_something_moves_in_it() {
    for downstream_talks in [false, true] {
        let upstream = switching(move |mut connection| async move {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            if !downstream_talks {
                loop {
                    pace.tick().await;
                    if connection.stream.write_all(b"x").await.is_err() {
                        return;
                    }
                }
            }
            let mut byte = [0];
            while let Ok(1) = connection.stream.read(&mut byte).await {}
        })
        .await;
        let proxy = Proxy::new()
            .static_token("api", "T0KEN")
            .route("/", &upstream.url(), "api", "    timeouts: {idle_body: 500ms}\n")
            .start()
            .await;
        let mut downstream = tunnel(&proxy).await;

        let mut pace = tokio::time::interval(Duration::from_millis(100));
        // Twice as long as either direction may be silent, and FAREWELL on top.
        for _ in 0..25 {
            if downstream_talks {
                pace.tick().await;
                soon("room to write", downstream.stream.write_all(b"x")).await.unwrap();
            } else {
                assert_eq!(downstream.read(1).await, b"x", "the tunnel was cut although something moved in it");
            }
        }
        if downstream_talks {
            let mut byte = [0];
            assert!(
                downstream.stream.try_read(&mut byte).is_err(),
                "the tunnel was cut although something moved in it"
            );
        }
    }
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_ends() {
    let upstream = switching(|mut connection| async move {
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "    timeouts: {idle_body: 300ms}\n")
        .start()
        .await;
    let began = Instant::now();
    let mut downstream = tunnel(&proxy).await;

    assert!(downstream.is_closed().await);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

// R36: a side that does not read cannot keep a tunnel open that the other has left.
#[tokio::test]
async fn a_tunnel_ends_although_one_side_does_not_read() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let upstream = switching(move |mut connection| {
        let ended = sender.clone();
        async move {
            let chunk = vec![0; 64 * 1024];
            while connection.stream.write_all(&chunk).await.is_ok() {}
            ended.send(Instant::now()).unwrap();
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let downstream = tunnel(&proxy).await;

    let left = Instant::now();
    drop(downstream);

    let at = soon("the end upstream", ended.recv()).await.unwrap();
    assert!(at - left < ENDED, "{:?}", at - left);
}

// R60: a tunnel is a request under way: it has the time of the drain, and no more.
#[tokio::test]
async fn a_drain_lets_tunnels_live_until_its_deadline_and_then_cuts_them() {
    let upstream = switching(echo).await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "")
        .top("shutdown: {drain: 700ms}\n")
        .start()
        .await;
    let mut downstream = tunnel(&proxy).await;
    let mut idle = Downstream::of(&proxy).await;
    assert_eq!(idle.ask(HANDSHAKE).await.status(), 101);

    let began = Instant::now();
    let stopping = tokio::spawn(proxy.stop());
    downstream.send("still here").await;
    assert_eq!(downstream.read(10).await, b"still here");

    assert!(downstream.is_closed().await);
    assert!(idle.is_closed().await);
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    soon("the stop", stopping).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

// R67: a handshake that is refused with 401 is one of those that are tried again with a new token.
#[tokio::test]
async fn a_handshake_is_repeated_with_a_new_token() {
    let upstream = Upstream::start(|mut connection| async move {
        let head = connection.head().await.unwrap();
        if connection.number == 1 {
            connection.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            return;
        }
        assert_eq!(head.field("upgrade"), Some("websocket"));
        connection.send(SWITCHED).await;
        echo(connection).await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = tunnel(&proxy).await;

    downstream.send("hello").await;

    assert_eq!(downstream.read(5).await, b"hello");
    assert_eq!(upstream.requests().len(), 2);
}

// R36, R42: over TLS, where what is written may lie in a buffer until it is flushed.
#[tokio::test]
async fn a_tunnel_over_tls_delivers_everything() {
    let authority = Authority::new("ours");
    let acceptor = tokio_rustls::TlsAcceptor::from(Authority::server(&authority.issue("127.0.0.1"), None));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(SWITCHED.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut all = vec![0; 5_000_000];
        stream.read_exact(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
        stream.flush().await.unwrap();
        stream
    });
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem());
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!(
            "  - path: /\n    upstream: {{url: 'https://{address}/', tls: {{ca: '{}'}}}}\n    credential: api\n",
            ca.display()
        ))
        .start()
        .await;
    let mut downstream = tunnel(&proxy).await;

    let all: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
    downstream.send(&all).await;

    assert!(downstream.read(all.len()).await == all);
    drop(soon("the upstream", serving).await.unwrap());
}
