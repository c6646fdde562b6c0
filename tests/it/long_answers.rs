//! Long bodies of known length are read without hyper, whose connection is taken apart for it and made anew. Nothing of
//! that is to be seen: they come whole, byte for byte, or break off; and what comes before and after them is as ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use super::support::wire::Buffered;
use super::support::{Authority, Connection, Downstream, Files, Message, Proxy, TokenEndpoint, Upstream, soon};

const KIB: usize = 1024;

/// Around where something changes: what hyper reads at first, where a body is long, the room for what is read.
const LENGTHS: [usize; 14] = [
    0,
    1,
    8 * KIB - 40,
    8 * KIB,
    24 * KIB - 1,
    24 * KIB,
    33 * KIB,
    100 * KIB,
    128 * KIB - 1,
    128 * KIB,
    128 * KIB + 1,
    512 * KIB + 7,
    3 * KIB * KIB,
    200,
];

/// So many bytes, no stretch of them like another.
fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()).collect()
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
}

fn answer(length: usize) -> Vec<u8> {
    [head(length).into_bytes(), body(length)].concat()
}

/// The length that `/LENGTH` asks for.
fn wanted(request: &Message) -> usize {
    request.first_line().split(['/', ' ']).nth(2).and_then(|length| length.parse().ok()).unwrap()
}

/// An upstream that answers with as much as it is asked for.
async fn of_any_length() -> Upstream {
    Upstream::answering_by(|request| answer(wanted(request))).await
}

/// Closes, and tells when the proxy has too.
async fn close(mut connection: Connection, closed: &mpsc::UnboundedSender<()>) {
    connection.stream.shutdown().await.unwrap();
    connection.read_to_end().await;
    closed.send(()).unwrap();
}

/// What came is what was to come; says where it is not.
fn is_whole(answer: &Message, length: usize) {
    assert_eq!((answer.status(), answer.complete, answer.body.len()), (200, true, length));
    let expected = body(length);
    let wrong = answer.body.iter().zip(&expected).position(|(came, expected)| came != expected);
    assert_eq!(wrong, None, "the first wrong byte of {length}");
}

// R44, R54
#[tokio::test]
async fn every_byte_of_it_comes_and_its_connection_is_used_again() {
    let upstream = of_any_length().await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        for length in LENGTHS.into_iter().chain(LENGTHS.into_iter().rev()) {
            is_whole(&downstream.get(&format!("/{length}")).await, length);
        }
    }

    assert_eq!(upstream.seen().connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_it_is_on_many_connections_and_several_threads() {
    let upstream = of_any_length().await;
    let proxy = Proxy::to(&upstream).await;
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let address = proxy.address();
            tokio::spawn(async move {
                let mut downstream = Downstream::connect(address).await;
                for turn in 0..40 {
                    let length = LENGTHS[(caller + turn * 5) % LENGTHS.len()];
                    is_whole(&downstream.get(&format!("/{length}")).await, length);
                }
            })
        })
        .collect();
    for caller in callers {
        soon("all answers", caller).await.unwrap();
    }
    assert!(upstream.seen().connections() <= 16);
}

// R44: what has come is passed on, however little it is.
#[tokio::test]
async fn its_pieces_come_as_they_are_sent() {
    let (length, cuts) = (100 * KIB, [1, 2_000, 2_049, 8_151, 8_192, 8_193, 30_000, 70_000, 70_001, 102_399]);
    let arrived = Arc::new(Notify::new());
    let go_on = Arc::clone(&arrived);
    let upstream = Upstream::start(move |mut connection| {
        let go_on = Arc::clone(&go_on);
        async move {
            // The second time another length is expected than comes at first.
            while connection.request().await.is_some() {
                let (body, mut sent) = (body(length), 0);
                connection.send(head(length)).await;
                for cut in cuts.into_iter().chain([length]) {
                    connection.send(&body[sent..cut]).await;
                    sent = cut;
                    go_on.notified().await;
                }
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(downstream.head().await.status(), 200);
        let (expected, mut read) = (body(length), 0);
        for cut in cuts.into_iter().chain([length]) {
            assert!(downstream.read(cut - read).await == expected[read..cut], "between {read} and {cut}");
            read = cut;
            arrived.notify_one();
        }
    }
    assert_eq!(upstream.seen().connections(), 1);
}

// R48
#[tokio::test]
async fn it_breaks_off_where_the_upstream_does() {
    let length = 200 * KIB;
    for come in [0, 1, 8_000, 30_000, 150_000, length - 1] {
        let upstream = Upstream::start(move |mut connection| async move {
            connection.request().await;
            connection.send(&answer(length)[..head(length).len() + come]).await;
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;

        let answer = downstream.get("/").await;
        assert_eq!((answer.status(), answer.complete), (200, false), "{come}");
        assert!(answer.body == body(come), "{} bytes of {come}", answer.body.len());
        assert!(downstream.is_closed().await);
        assert_eq!(proxy.log_lines_when(1).await[0]["error"], "upstream_body_broken_off", "{come}");
    }
}

// R51
#[tokio::test]
async fn it_breaks_off_when_it_stands_still_for_idle_body() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send(&answer(200 * KIB)[..100 * KIB]).await;
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "    timeouts: {idle_body: 300ms}\n")
        .start()
        .await;

    let began = Instant::now();
    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((answer.complete, answer.body.len()), (false, 100 * KIB - head(200 * KIB).len()));
    assert!(began.elapsed() > Duration::from_millis(290), "{:?}", began.elapsed());
}

// R47
#[tokio::test]
async fn whoever_leaves_in_the_middle_of_it_is_noticed_upstream() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection: Connection| {
        let ended = ended.clone();
        async move {
            connection.request().await;
            connection.send(&answer(200 * KIB)[..100 * KIB]).await;
            connection.read_to_end().await;
            ended.send(()).unwrap();
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.read(90 * KIB).await;

    drop(downstream);

    soon("the upstream to notice", end.recv()).await.unwrap();
}

// R24: surplus bytes after an answer belong to nobody.
#[tokio::test]
async fn what_follows_it_unasked_is_no_answer() {
    for surplus in ["x", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"] {
        let upstream = Upstream::start(move |mut connection| async move {
            while let Some(request) = connection.request().await {
                connection.send([answer(wanted(&request)), surplus.into()].concat()).await;
            }
        })
        .await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;

        for length in [30 * KIB, 100 * KIB, 1024 * KIB] {
            for _ in 0..10 {
                is_whole(&downstream.get(&format!("/{length}")).await, length);
            }
        }
        assert_eq!(upstream.seen().connections(), 30);
    }
}

// R54: the connection is watched again after it.
#[tokio::test]
async fn a_close_after_it_is_seen_and_costs_no_request() {
    let (closed, mut end) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection: Connection| {
        let closed = closed.clone();
        async move {
            while let Some(request) = connection.request().await {
                connection.send(answer(wanted(&request))).await;
                if wanted(&request) > 100 * KIB {
                    return close(connection, &closed).await;
                }
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..5 {
        // A connection that has been kept before; then the one that is closed.
        is_whole(&downstream.get("/100").await, 100);
        is_whole(&downstream.get("/300000").await, 300_000);
        soon("the proxy to close", end.recv()).await.unwrap();
        let answer = downstream.post("/100", "once").await;
        is_whole(&answer, 100);
    }
    assert_eq!(upstream.seen().requests().len(), 15, "none was sent twice");
}

// R54: so it is after whatever follows; these 2,048 bytes are just what is read before somebody asks for more.
#[tokio::test]
async fn nor_does_a_close_after_a_short_answer_that_follows_it() {
    let (closed, mut end) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection: Connection| {
        let closed = closed.clone();
        async move {
            while let Some(request) = connection.request().await {
                if !request.first_line().contains("/chunks") {
                    connection.send(answer(wanted(&request))).await;
                    continue;
                }
                let (chunks, head) =
                    ("1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: ");
                let filling = "x".repeat(2_048 - chunks.len() - head.len() - 4);
                connection.send(format!("{head}{filling}\r\n\r\n{chunks}")).await;
                return close(connection, &closed).await;
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        is_whole(&downstream.get("/100000").await, 100_000);
        assert_eq!(downstream.get("/chunks").await.body_text(), "ab");
        soon("the proxy to close", end.recv()).await.unwrap();
        is_whole(&downstream.post("/100", "once").await, 100);
    }
}

#[tokio::test]
async fn after_connection_close_there_is_another_connection() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        let head = head(100 * KIB).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        connection.send([head.into_bytes(), body(100 * KIB)].concat()).await;
        // It does not close; whoever says so need not be waited for.
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for number in 1..=3 {
        is_whole(&downstream.get("/").await, 100 * KIB);
        assert_eq!(upstream.seen().connections(), number);
    }
}

// RFC 9110 §9.3.2.
#[tokio::test]
async fn a_length_without_a_body_is_no_long_answer() {
    let upstream = Upstream::answering_by(|request| match request.first_line().starts_with("HEAD") {
        true => head(100 * KIB).into_bytes(),
        false => answer(100),
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let answer = downstream.ask("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("102400")));
        is_whole(&downstream.get("/").await, 100);
    }
    assert_eq!(upstream.seen().connections(), 1);
}

// R23: the answer begins before the request has gone, and the request goes on.
#[tokio::test]
async fn it_does_not_cut_off_the_request_that_it_answers() {
    let (answered, sent) = (1024 * KIB, 8 * 1024 * KIB);
    let upstream = Upstream::start(move |mut connection| async move {
        for _ in 0..3 {
            let Some(_) = connection.head().await else { return };
            let answer = answer(answered);
            let (begin, rest) = answer.split_at(answered / 2);
            connection.send(begin).await;
            // An upload that is cut off leaves this waiting, and then nobody sends the rest.
            if connection.read(sent).await.len() == sent {
                connection.send(rest).await;
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let Downstream { stream, .. } = &mut downstream;
        let (mut from, mut to) = stream.split();
        let mut buffered = Buffered::default();
        let upload = async {
            to.write_all(format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {sent}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            to.write_all(&vec![b'u'; sent]).await.unwrap();
        };
        let ((), answer) =
            soon("both bodies", async { tokio::join!(upload, buffered.response(&mut from, "POST")) }).await;
        is_whole(&answer.unwrap(), answered);
    }
    assert_eq!(upstream.seen().connections(), 1);
}

// R67: a refusal that is not too long is read to its end, and its connection used for the second attempt.
#[tokio::test]
async fn a_long_refusal_is_read_and_the_request_repeated() {
    for length in [40 * KIB, 1024 * KIB] {
        let upstream = Upstream::answering_by(move |request| match request.field("authorization") {
            Some("Bearer T2") => answer(100 * KIB),
            _ => [head(length).replace("200 OK", "401 Unauthorized").into_bytes(), body(length)].concat(),
        })
        .await;
        let endpoint = TokenEndpoint::start().await;
        let builder = Proxy::new().credential(&endpoint.credential("api"));
        let proxy = builder.route("/", &upstream.url(), "api", "").start().await;
        let mut downstream = Downstream::of(&proxy).await;

        is_whole(&downstream.get("/").await, 100 * KIB);
        assert_eq!((endpoint.asked(), upstream.seen().requests().len()), (2, 2));
        is_whole(&downstream.get("/").await, 100 * KIB);
        assert!(upstream.seen().connections() <= 2, "one is read to its end while the other is in use");
    }
}

// R42: over TLS it is the same, but that it is decrypted.
#[tokio::test]
async fn over_tls_it_is_the_same() {
    let (files, authority) = (Files::new(), Authority::new("theirs"));
    let acceptor = TlsAcceptor::from(Authority::server(&authority.issue("localhost"), None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut buffered = Buffered::default();
        while let Some(request) = buffered.request(&mut stream).await {
            stream.write_all(&answer(wanted(&request))).await.unwrap();
        }
        let _ = stream.read(&mut [0]).await;
    });
    let ca = files.write("ca.pem", &authority.pem());
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!(
            "  - {{path: /, upstream: {{url: 'https://localhost:{port}/', tls: {{ca: {}}}}}, credential: api}}\n",
            ca.display()
        ))
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    for length in LENGTHS.into_iter().chain(LENGTHS) {
        is_whole(&downstream.get(&format!("/{length}")).await, length);
    }
    assert!(!serving.is_finished(), "all of it on one connection");
}
