//! A connection on which nobody has asked for anything for a moment gives its buffers back, and nobody can tell (R57).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::support::certificates::connect_tls;
use super::support::{Authority, Captured, Downstream, Files, Proxy, ProxyBuilder, Upstream, eventually, parse, soon};

/// A proxy whose connections park as soon as somebody looks.
struct Parking {
    proxy: Proxy,
    told: Captured,
}

impl Parking {
    async fn to(upstream: &Upstream) -> Self {
        Self::with(Proxy::new().route("/", &upstream.url(), "none", "")).await
    }

    async fn with(proxy: ProxyBuilder) -> Self {
        Self::of(&proxy.text()).await
    }

    async fn of(file: &str) -> Self {
        let told = Captured::start();
        let mut config = parse(file);
        config.listeners[0].timeouts.park = Duration::ZERO;
        Self { proxy: Proxy::from(&config).await, told }
    }

    /// How many times a connection has parked.
    fn count(&self) -> usize {
        self.told.text().matches("a downstream connection is parked").count()
    }

    /// Waits until one more has than at this count.
    async fn after(&self, count: usize) {
        eventually("a connection to park", || self.count() > count).await;
    }

    /// A connection that has had an answer, and is parked.
    async fn parked(&self) -> Downstream {
        let before = self.count();
        let mut downstream = Downstream::of(&self.proxy).await;
        assert_eq!(downstream.get("/first").await.status(), 200);
        self.after(before).await;
        downstream
    }

    fn is_nobody_connected(&self) -> bool {
        self.proxy.figure(&format!("connections_open{{listener=\"{}\"}}", self.proxy.address())) == 0
    }
}

/// Answers with the request's own body.
async fn echo() -> Upstream {
    Upstream::answering_by(|request| super::support::answer("200 OK", &[], request.body_text())).await
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_parked_connection_answers_as_any_other() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    let mut downstream = parking.parked().await;
    let long = "x".repeat(100_000);
    let length = long.len();
    let cookies = "c".repeat(20_000);
    let chunked = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let cases = [
        ("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello".to_owned(), "hello"),
        (format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{long}"), &long),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: {cookies}\r\n\r\n"), ""),
        (chunked.to_owned(), "hello"),
        (format!("\r\n{GET}"), ""),
    ];
    for (request, body) in cases {
        let before = parking.count();
        downstream.send(&request).await;
        let answer = downstream.answer().await;
        assert_eq!((answer.status(), answer.body_text()), (200, body));
        parking.after(before).await;
    }
    let seen = upstream.requests();
    assert_eq!((seen.len(), seen[3].field("cookie")), (6, Some(cookies.as_str())));
}

#[tokio::test]
async fn pipelined_requests_wake_it_and_are_answered_in_order() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    let mut downstream = parking.parked().await;
    let one =
        |body: &str| format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    downstream.send([one("first"), one(&"x".repeat(9_000)), GET.to_owned(), one("last")].concat()).await;
    for body in ["first", &"x".repeat(9_000), "", "last"] {
        assert_eq!(downstream.answer().await.body_text(), body);
    }
}

#[tokio::test]
async fn a_head_in_two_pieces_wakes_it_when_it_is_whole() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    let mut downstream = parking.parked().await;
    for cut in [1, 20, GET.len() - 1] {
        let before = parking.count();
        downstream.send(&GET[..cut]).await;
        // The proxy has read them: another connection has been served since.
        assert_eq!(Downstream::of(&parking.proxy).await.get("/").await.status(), 200);
        downstream.send(&GET[cut..]).await;
        assert_eq!(downstream.answer().await.status(), 200);
        parking.after(before).await;
    }
}

// R56
#[tokio::test]
async fn the_head_of_a_parked_connection_has_its_time_too() {
    let upstream = echo().await;
    let limit = "    timeouts: {request_head: 500ms}\n";
    let parking = Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").listener(limit)).await;
    let mut downstream = parking.parked().await;
    let began = Instant::now();
    downstream.send(&GET[..20]).await;
    assert!(downstream.is_closed().await);
    assert!(began.elapsed() >= Duration::from_millis(490));
}

// R56
#[tokio::test]
async fn a_connection_that_never_says_a_word_parks_and_is_cut_in_time() {
    let upstream = echo().await;
    let limit = "    timeouts: {request_head: 1s}\n";
    let parking = Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").listener(limit)).await;
    let (mut silent, mut late) = (Downstream::of(&parking.proxy).await, Downstream::of(&parking.proxy).await);
    parking.after(1).await;
    assert_eq!(late.get("/").await.status(), 200);
    assert!(silent.is_closed().await);
}

// R19
#[tokio::test]
async fn a_bad_head_on_a_parked_connection_is_refused() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    for bad in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nhost: localhost\n\n", "\r\n\r\n\r\n\r\n"] {
        let mut downstream = parking.parked().await;
        let refusal = downstream.ask(format!("{bad}{GET}")).await;
        assert_eq!((refusal.status(), refusal.field("connection")), (400, Some("close")));
        assert!(downstream.is_closed().await);
    }
    assert_eq!(upstream.requests().len(), 3, "nothing but what was asked for before");
}

#[tokio::test]
async fn a_caller_of_http_1_0_that_keeps_its_connection_is_served_on() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    let mut downstream = Downstream::of(&parking.proxy).await;
    for parked in 0..3 {
        let answer = downstream.ask("GET / HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n").await;
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("keep-alive")));
        parking.after(parked).await;
    }
    let last = downstream.ask("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(last.status(), 200);
    assert!(downstream.is_closed().await);
}

#[tokio::test]
async fn a_connection_over_tls_parks_too() {
    let (upstream, files, authority) = (echo().await, Files::new(), Authority::new("ours"));
    files.pair("server", &authority.issue("proxy.example"));
    let directory = files.directory().display();
    let tls = format!("    tls: {{certificate: {directory}/server.pem, private_key: {directory}/server.key}}\n");
    let parking = Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").listener(&tls)).await;
    let client = authority.client(None);
    let stream = connect_tls(parking.proxy.address(), "proxy.example", &client).await.unwrap();
    let mut downstream = Downstream::over(stream);
    for parked in 0..3 {
        // More than one record, more than one piece.
        let body = "x".repeat(parked * 40_000);
        assert_eq!(downstream.post("/", &body).await.body_text(), body);
        parking.after(parked).await;
    }
    // Several requests in one record: what is decrypted and not taken wakes nobody a second time.
    downstream.send(GET.repeat(200)).await;
    for _ in 0..200 {
        assert_eq!(downstream.answer().await.status(), 200);
    }
    let parked = parking.count();
    parking.after(parked - 1).await;
    downstream.finish().await;
    assert!(downstream.is_closed().await);
    eventually("the connection's end", || parking.is_nobody_connected()).await;
}

#[tokio::test]
async fn a_unix_connection_parks_too() {
    let (files, upstream) = (Files::new(), echo().await);
    let path = files.path("proxy.sock");
    let yaml = Proxy::new().route("/", &upstream.url(), "none", "").text();
    let parking = Parking::of(&yaml.replace("127.0.0.1:0", &format!("unix:{}", path.display()))).await;
    let mut downstream = Downstream::over(tokio::net::UnixStream::connect(&path).await.unwrap());
    for parked in 0..3 {
        assert_eq!(downstream.post("/", "hello").await.body_text(), "hello");
        parking.after(parked).await;
    }
}

// R36
#[tokio::test]
async fn a_parked_connection_can_become_a_tunnel_which_never_parks() {
    let upstream = Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.field("upgrade").is_none() {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            connection
                .send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
                .await;
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = connection.stream.read(&mut buffer).await {
                let _ = connection.stream.write_all(&buffer[..count]).await;
            }
            return;
        }
    })
    .await;
    let parking = Parking::to(&upstream).await;
    let mut downstream = parking.parked().await;
    let switched = downstream
        .ask(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        )
        .await;
    assert_eq!(switched.status(), 101);
    let parked = parking.count();
    drop(parking.parked().await);
    assert_eq!(parking.count(), parked + 1, "that one, and not the tunnel");
    downstream.send("\0\x01hello").await;
    assert_eq!(downstream.read(7).await, b"\0\x01hello");
}

#[tokio::test]
async fn a_parked_connection_ends_after_its_idle_time() {
    let upstream = echo().await;
    let limit = "    timeouts: {idle: 700ms}\n";
    let parking = Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").listener(limit)).await;
    let asked = Instant::now();
    let mut downstream = parking.parked().await;
    assert!(downstream.is_closed().await);
    assert!(asked.elapsed() >= Duration::from_millis(690));
    eventually("the connection's end", || parking.is_nobody_connected()).await;
}

// R60
#[tokio::test]
async fn a_drain_ends_parked_connections_at_once() {
    let upstream = echo().await;
    let parking =
        Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").top("shutdown: {drain: 1h}\n")).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(parking.parked().await);
    }
    soon("the end of the proxy", parking.proxy.stop()).await;
    for mut downstream in all {
        assert!(downstream.is_closed().await);
    }
}

#[tokio::test]
async fn the_end_of_a_parked_connections_downstream_is_seen() {
    let upstream = echo().await;
    let parking = Parking::to(&upstream).await;
    drop(parking.parked().await);
    eventually("the connection's end", || parking.is_nobody_connected()).await;
    let mut half_closed = parking.parked().await;
    half_closed.finish().await;
    assert!(half_closed.is_closed().await);
    let mut half_a_head = parking.parked().await;
    half_a_head.send(&GET[..20]).await;
    half_a_head.finish().await;
    assert!(half_a_head.is_closed().await);
    let reset = parking.parked().await;
    socket2::SockRef::from(&reset.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(reset);
    eventually("all connections' ends", || parking.is_nobody_connected()).await;
}

#[tokio::test]
async fn a_request_under_way_does_not_park_nor_a_body_that_has_not_come() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::gated("late", &gate).await;
    let parking = Parking::to(&upstream).await;
    let mut asking = Downstream::of(&parking.proxy).await;
    asking.send(GET).await;
    let mut sending = Downstream::of(&parking.proxy).await;
    sending.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello").await;
    upstream.seen().wait_for(1).await;
    // Looked at as often as this one is.
    let mut silent = Downstream::of(&parking.proxy).await;
    parking.after(0).await;
    silent.send(&GET[..10]).await;
    sending.send("world").await;
    upstream.seen().wait_for(2).await;
    assert_eq!(parking.count(), 1);
    gate.add_permits(2);
    for downstream in [&mut asking, &mut sending] {
        assert_eq!(downstream.answer().await.body_text(), "late");
    }
    parking.after(2).await;
    assert!(upstream.requests().iter().any(|request| request.body == b"helloworld"));
}

// R61
#[tokio::test]
async fn a_parked_connection_has_the_limits_of_the_time_when_it_parked() {
    let upstream = echo().await;
    let file = |limit: &str| Proxy::new().route("/", &upstream.url(), "none", "").listener(limit).text();
    let parking = Parking::of(&file("")).await;
    let mut downstream = parking.parked().await;
    let mut config = parse(&file("    limits: {request_head: 8KiB}\n"));
    config.listeners[0].timeouts.park = Duration::ZERO;
    parking.proxy.running().reload(&config).await.unwrap();
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(10_000));
    let before = parking.count();
    assert_eq!(downstream.ask(&long).await.status(), 200);
    parking.after(before).await;
    assert_eq!(downstream.ask(&long).await.status(), 431);
}

/// Whenever the sweep comes by: between two requests, inside one, while an answer is on its way.
#[tokio::test]
async fn whenever_a_connection_is_looked_at_nothing_is_lost() {
    const CONNECTIONS: usize = 20;
    const REQUESTS: usize = 60;
    let upstream = echo().await;
    // Looked at every ten milliseconds.
    let often = "    timeouts: {send: 80ms}\n";
    let parking = Parking::with(Proxy::new().route("/", &upstream.url(), "none", "").listener(often)).await;
    let address = parking.proxy.address();
    let clients = (0..CONNECTIONS).map(|number| {
        tokio::spawn(async move {
            let mut downstream = Downstream::connect(address).await;
            for turn in 0..REQUESTS {
                let body = format!("{number} {turn}").repeat(turn * turn);
                let length = body.len();
                let request = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
                // To be met by the sweep in ever other places; nothing is waited for.
                let cut = (number * 7919 + turn * 104_729) % request.len();
                tokio::time::sleep(Duration::from_millis((turn % 4) as u64 * 5)).await;
                downstream.send(&request[..cut]).await;
                tokio::time::sleep(Duration::from_millis((number % 3) as u64 * 5)).await;
                downstream.send(&request[cut..]).await;
                let answer = downstream.answer().await;
                assert_eq!((answer.status(), answer.body_text()), (200, body.as_str()));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        soon("a client's end", client).await.unwrap();
    }
    assert_eq!(upstream.requests().len(), CONNECTIONS * REQUESTS);
    assert!(parking.count() > CONNECTIONS * REQUESTS / 10, "parked only {} times", parking.count());
}
