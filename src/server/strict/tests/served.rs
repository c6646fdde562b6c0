//! The guard between a downstream and a real hyper connection.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::server::settings::ListenerLimits;

struct Connection {
    downstream: DuplexStream,
    handle: Arc<Handle>,
    task: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    fn new() -> Self {
        Self::with(LIMITS, 64 * 1024)
    }

    fn with(limits: Limits, room: usize) -> Self {
        let (downstream, io) = duplex(room);
        let handle = Arc::new(Handle::new(Instant::now()));
        let guard = Guard::new(io, limits, Arc::clone(&handle));
        let for_service = Arc::clone(&handle);
        let service = service_fn(move |request| answer(Arc::clone(&for_service), request));
        let mut builder = http1::Builder::new();
        limits.configure(builder.auto_date_header(false));
        let task = tokio::spawn(builder.serve_connection(TokioIo::new(guard), service).with_upgrades().into_future());
        Self { downstream, handle, task }
    }

    async fn send(&mut self, text: &str) {
        self.downstream.write_all(text.as_bytes()).await.unwrap();
    }

    /// As much as there is, until this text has come.
    async fn receive_until(&mut self, text: &str) -> String {
        let mut received = Vec::new();
        while !received.ends_with(text.as_bytes()) {
            match self.downstream.read_u8().await {
                Ok(byte) => received.push(byte),
                Err(_) => panic!("{}", received.escape_ascii()),
            }
        }
        String::from_utf8(received).unwrap()
    }

    /// Everything up to the end of the connection.
    async fn receive(&mut self) -> String {
        let mut received = String::new();
        self.downstream.read_to_string(&mut received).await.unwrap();
        received
    }
}

fn statuses(received: &str) -> Vec<&str> {
    received.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Says which request it was, and what its body.
async fn answer(handle: Arc<Handle>, mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let ordinal = handle.request_started();
    let (status, text) = match (handle.refused(ordinal), request.uri().path()) {
        (Some(violation), _) => (violation.status, violation.detail.to_owned()),
        (None, "/upgrade") => {
            let upgrade = hyper::upgrade::on(&mut request);
            let handle = Arc::clone(&handle);
            tokio::spawn(async move {
                let upgraded = upgrade.await.unwrap();
                handle.tunnel(ordinal);
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
                tokio::io::copy(&mut from, &mut to).await.unwrap();
            });
            (StatusCode::SWITCHING_PROTOCOLS, String::new())
        }
        (None, "/interim") => {
            let others = Arc::clone(&handle);
            // From another task, as an upstream's would come.
            let hints = tokio::spawn(async move {
                others.send_interim(Bytes::from_static(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"));
            });
            hints.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            (StatusCode::OK, format!("{ordinal}!"))
        }
        (None, _) => match request.into_body().collect().await {
            Ok(body) => (StatusCode::OK, format!("{ordinal}:{}!", String::from_utf8_lossy(&body.to_bytes()))),
            Err(_) => match handle.refused(ordinal) {
                Some(violation) => (violation.status, violation.detail.to_owned()),
                None => (StatusCode::BAD_GATEWAY, "no reason".to_owned()),
            },
        },
    };
    handle.no_tunnel(if status == StatusCode::SWITCHING_PROTOCOLS { 0 } else { ordinal });
    handle.response_started();
    handle.request_finished();
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}

#[tokio::test]
async fn pipelined_requests_before_a_bad_one_are_answered_in_order_and_then_ours_closes() {
    // R1, R22: the request after the bad one was meant to be smuggled
    let mut connection = Connection::new();
    let bad = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    connection.send(&[GOOD, POST, bad, GOOD].concat()).await;
    let received = connection.receive().await;
    assert_eq!(statuses(&received), ["200", "200", "400"], "{received}");
    assert!(received.contains("2:hello!"));
    assert!(received.ends_with("there are both Content-Length and Transfer-Encoding"));
    assert!(received.contains("connection: close"));
}

#[tokio::test]
async fn a_bare_line_feed_is_answered_at_once_and_by_us() {
    // R8: nothing more comes, and the answer must not wait for it
    let mut connection = Connection::new();
    connection.send("GET / HTTP/1.1\n").await;
    let received = connection.receive_until("does not end with CRLF").await;
    assert!(received.starts_with("HTTP/1.1 400 "), "{received}");
}

#[tokio::test]
async fn a_head_in_small_pieces_is_answered() {
    let mut connection = Connection::with(LIMITS, 3);
    for (request, answer) in [(POST, "1:hello!"), (CHUNKED, "2:hello!"), (GOOD, "3:!")] {
        connection.send(request).await;
        assert!(connection.receive_until(answer).await.starts_with("HTTP/1.1 200 OK"));
    }
}

#[tokio::test]
async fn a_head_and_fields_up_to_the_limits_pass_hyper_too() {
    // R13
    for settings in
        [ListenerLimits::default(), ListenerLimits { request_head: 1 << 20, headers: 500, ..ListenerLimits::default() }]
    {
        let mut connection = Connection::with(Limits::from(&settings), 1 << 21);
        let fields = "X: y\r\n".repeat(settings.headers - 2);
        let room = settings.request_head - GOOD.len() - fields.len() - 5;
        let head = format!("{}{fields}Y: {}\r\n\r\n", &GOOD[..25], "x".repeat(room));
        assert_eq!(head.len(), settings.request_head);
        connection.send(&head).await;
        assert!(connection.receive_until("1:!").await.starts_with("HTTP/1.1 200 OK"));
        connection.send(&head.replace("Y: ", "Y: x")).await;
        assert!(connection.receive().await.starts_with("HTTP/1.1 431 "));
    }
}

#[tokio::test]
async fn a_long_answer_reaches_a_downstream_that_sends_on_after_its_bad_head() {
    let mut connection = Connection::with(LIMITS, 1000);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    for _ in 0..200 {
        connection.send(&"x".repeat(1000)).await; // would block for ever, or fail, if nobody read it
    }
    connection.downstream.shutdown().await.unwrap();
    assert!(connection.receive().await.ends_with("there is more than one Host"));
    assert!(connection.task.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_downstream_that_never_stops_sending_is_not_waited_for() {
    let mut connection = Connection::new();
    connection.send("GET / HTTP/1.1\r\n\r\n").await;
    assert!(connection.receive().await.starts_with("HTTP/1.1 400 "));
    let began = Instant::now();
    assert!(connection.task.await.unwrap().is_ok());
    assert!(began.elapsed() <= Duration::from_secs(3));
}

#[tokio::test]
async fn a_body_that_is_broken_breaks_off_and_the_reason_is_known() {
    // R12
    let mut connection = Connection::new();
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe").await;
    tokio::task::yield_now().await;
    connection.send("llo!\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let received = connection.receive().await;
    assert!(received.starts_with("HTTP/1.1 400 "), "{received}");
    assert!(received.ends_with("a chunk does not end where its size says"));
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_body() {
    // R7
    let mut connection = Connection::new();
    connection.send(&POST[..POST.len() - 1]).await;
    connection.downstream.shutdown().await.unwrap();
    assert!(!connection.receive().await.contains("200 OK"));
}

#[tokio::test]
async fn a_websocket_gets_what_was_sent_ahead_of_its_answer() {
    // R19
    let mut connection = Connection::new();
    let upgrade = WEBSOCKET.replace("GET /", "GET /upgrade");
    connection.send(&[&upgrade, "\0early\n"].concat()).await;
    let received = connection.receive_until("\0early\n").await;
    assert!(received.starts_with("HTTP/1.1 101 "), "{received}");
    connection.send("late\n").await;
    assert_eq!(connection.receive_until("late\n").await, "late\n");
}

#[tokio::test]
async fn without_an_upgrade_what_follows_is_the_next_request_and_is_looked_at() {
    // R19
    let mut connection = Connection::new();
    let with_body = WEBSOCKET.replace("Host: a", "Host: a\r\nContent-Length: 3");
    connection.send(&[&with_body, "yes", GOOD, WEBSOCKET, "GET / HTTP/1.1\r\n\r\n"].concat()).await;
    let received = connection.receive().await;
    for expected in ["1:yes!", "2:!", "3:!", "there is no Host"] {
        assert!(received.contains(expected), "{received}");
    }
}

#[tokio::test]
async fn an_interim_answer_goes_out_before_the_final_one() {
    // R34
    let mut connection = Connection::new();
    let interim = GOOD.replace("GET /", "GET /interim");
    connection.send(&[POST, &interim, &interim, GOOD].concat()).await;
    let received = connection.receive_until("4:!").await;
    assert_eq!(statuses(&received), ["200", "103", "200", "103", "200", "200"], "{received}");
    assert!(received.contains("1:hello!HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK"), "{received}");
}

#[tokio::test]
async fn an_interim_answer_that_is_late_or_too_long_is_dropped() {
    let handle = Handle::new(Instant::now());
    handle.send_interim(Bytes::from_static(b"early"));
    assert!(!handle.has_interim());
    handle.request_started();
    handle.send_interim(Bytes::from(vec![b'x'; 60_000]));
    handle.send_interim(Bytes::from(vec![b'x'; 6_000]));
    assert_eq!(handle.take_interim().len(), 1);
    handle.response_started();
    handle.send_interim(Bytes::from_static(b"late"));
    assert!(!handle.has_interim());
    handle.request_started();
    handle.send_interim(Bytes::from(vec![b'x'; 60_000]));
    assert!(handle.has_interim());
}

#[tokio::test(start_paused = true)]
async fn the_handle_tells_what_is_waited_for_and_since_when() {
    // R51, R56
    let mut connection = Connection::new();
    let began = Instant::now();
    let second = Duration::from_secs(1);
    assert_eq!(connection.handle.waiting(), Waiting::ForRequest { since: began });
    tokio::time::sleep(second).await;
    connection.send("GE").await;
    tokio::time::sleep(second).await;
    assert_eq!(connection.handle.waiting(), Waiting::ForHead { since: began + second });
    connection.send("T / HTTP/1.1\r\n").await;
    tokio::time::sleep(second).await;
    assert_eq!(connection.handle.waiting(), Waiting::ForHead { since: began + second });
    connection.send("Host: a\r\n\r\n").await;
    connection.receive_until("1:!").await;
    assert_eq!(connection.handle.waiting(), Waiting::ForRequest { since: began + 3 * second });

    connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await;
    tokio::time::sleep(second).await;
    assert_eq!(connection.handle.waiting(), Waiting::No);
    connection.send("xGET").await;
    connection.receive_until("2:x!").await;
    assert_eq!(connection.handle.waiting(), Waiting::ForHead { since: began + 4 * second });
}

impl Connection {
    /// Asks it to park, and has it look at that.
    async fn ask_to_park(&self) {
        assert!(self.handle.parking().ask(), "asked or parked already");
        self.handle.no_tunnel(0); // nothing but a wake-up
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_connection_parks_when_nothing_is_under_way() {
    let mut connection = Connection::new();
    for request in 0..2 {
        if request == 1 {
            connection.send(&[POST, CHUNKED, "\r\n"].concat()).await;
            connection.receive_until("2:hello!").await;
        }
        connection.ask_to_park().await;
        assert!(connection.handle.parking().is_parked());
        assert!(connection.task.is_finished(), "hyper was shown an end");
        connection = Connection::new();
    }
}

#[tokio::test]
async fn it_does_not_park_inside_a_head_or_a_body() {
    let mut connection = Connection::new();
    for (request, cut) in [(GOOD, 1), (GOOD, 20), (POST, POST.len() - 1), (CHUNKED, CHUNKED.len() - 2)] {
        connection.send(&request[..cut]).await;
        connection.ask_to_park().await;
        assert!(!connection.handle.parking().is_parked());
        connection.send(&request[cut..]).await;
        assert!(connection.receive_until("!").await.starts_with("HTTP/1.1 200 "));
    }
    connection.send(WEBSOCKET).await;
    connection.receive_until("5:!").await;
    connection.ask_to_park().await;
    assert!(connection.handle.parking().is_parked());
}

#[tokio::test]
async fn it_does_not_park_before_its_answer_is_out() {
    // The service is done, hyper is not: the pipe takes ten bytes at a time.
    let mut connection = Connection::with(LIMITS, 10);
    connection.send(GOOD).await;
    for _ in 0..3 {
        connection.ask_to_park().await;
        assert!(matches!(connection.handle.waiting(), Waiting::ToWrite { .. }));
        assert!(!connection.handle.parking().is_parked());
        connection.downstream.read_u8().await.unwrap();
    }
    assert!(connection.receive_until("1:!").await.ends_with("1:!"));
    connection.ask_to_park().await;
    assert!(connection.handle.parking().is_parked());
}
