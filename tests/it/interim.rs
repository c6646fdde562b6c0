//! Interim answers go to who asked, ahead of the final one, and to nobody else (RFC 9110 §15.2; R24, R34).

use std::sync::Mutex;

use tokio::sync::{mpsc, oneshot};

use super::support::{Downstream, Proxy, Upstream, soon};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

// R34
#[tokio::test]
async fn interim_answers_that_come_byte_by_byte_are_passed_on() {
    let upstream = Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            for byte in format!("{HINT}HTTP/1.1 102 Processing\r\n\r\n{HINT}{OK}").bytes() {
                connection.send([byte]).await;
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        assert_eq!(downstream.get("/").await.text(), HINT);
        assert_eq!(downstream.answer().await.first_line(), "HTTP/1.1 102 Processing");
        assert_eq!(downstream.answer().await.text(), HINT);
        assert_eq!(downstream.answer().await.body_text(), "hello");
    }
    assert_eq!(upstream.seen().connections(), 1);
}

// R24, R34: one that comes with the answer or after it reaches neither who asked nor whoever asks next.
#[tokio::test]
async fn a_late_interim_answer_reaches_nobody() {
    let (sender, mut closed) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let sender = sender.clone();
        async move {
            let _ = connection.request().await;
            if connection.number % 2 == 0 {
                connection.send(format!("{OK}{HINT}")).await;
            } else {
                connection.send(OK).await;
                connection.send(HINT).await;
            }
            let _ = sender.send(connection.read_to_end().await);
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstreams = [Downstream::of(&proxy).await, Downstream::of(&proxy).await];

    for _ in 0..20 {
        for downstream in &mut downstreams {
            assert_eq!(downstream.get("/").await.body_text(), "hello");
            // Nor is the connection used again.
            assert_eq!(soon("the end", closed.recv()).await.unwrap(), b"");
        }
    }
}

// R34
#[tokio::test]
async fn an_interim_answer_does_not_wait_for_the_request_to_end() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await;
        connection.send(HINT).await;
        assert_eq!(connection.read(5).await, b"hello");
        connection.send(OK).await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let hint = downstream.ask("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(hint.text(), HINT);
    downstream.send("hello").await;
    assert_eq!(downstream.answer().await.body_text(), "hello");
}

// R34: what is sent before the answer is not the answer's.
#[tokio::test]
async fn an_interim_answer_goes_ahead_of_a_tunnel() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.head().await;
        connection
            .send(format!(
                "{HINT}HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n{HINT}"
            ))
            .await;
        assert_eq!(connection.read(HINT.len()).await, HINT.as_bytes());
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let handshake = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    assert_eq!(downstream.ask(handshake).await.text(), HINT);
    assert_eq!(downstream.head().await.status(), 101);
    // The bytes of a tunnel are nobody's answer.
    assert_eq!(downstream.read(HINT.len()).await, HINT.as_bytes());
    downstream.send(HINT).await;
    assert_eq!(downstream.read_to_end().await, b"");
}

// R24, R34: an interim answer has no body, whatever it says (RFC 9110 §8.6, RFC 9112 §6.3).
#[tokio::test]
async fn an_interim_answer_is_passed_on_without_a_length() {
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\nlink: </a>\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\ntransfer-encoding: chunked\r\nlink: </a>\r\ncontent-length: 5\r\n\r\n{OK}"
    ))
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..2 {
        assert_eq!(downstream.get("/").await.text(), HINT);
        assert_eq!(downstream.answer().await.text(), HINT);
        assert_eq!(downstream.answer().await.body_text(), "hello");
    }
}

// R24, R34
#[tokio::test]
async fn a_malformed_interim_answer_is_502_and_passed_on_to_nobody() {
    for head in
        ["HTTP/1.1 103 X\r\nx : y\r\n\r\n", "HTTP/1.1 103 X\r\nno colon\r\n\r\n", "HTTP/1.1 103 X\r\nx: a\0b\r\n\r\n"]
    {
        let upstream = Upstream::answering(format!("{head}{OK}")).await;
        let proxy = Proxy::to(&upstream).await;
        let answer = Downstream::of(&proxy).await.get("/").await;
        assert_eq!(answer.status(), 502, "{head:?}");
    }
}

// R34: each goes to who asked, although the upstream's connection is another's a moment later.
#[tokio::test]
async fn interim_answers_are_not_mixed_up_between_those_who_share_a_connection() {
    let upstream = Upstream::answering_by(|request| {
        let target = request.first_line().split(' ').nth(1).unwrap().to_owned();
        format!("HTTP/1.1 103 Early Hints\r\nlink: <{target}>\r\n\r\n{OK}").into_bytes()
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut downstream = Downstream::of(&proxy).await;
        tasks.spawn(async move {
            for _ in 0..50 {
                let hint = downstream.get(&format!("/{number}")).await;
                assert_eq!(hint.field("link"), Some(format!("</{number}>").as_str()));
                assert_eq!(downstream.answer().await.body_text(), "hello");
            }
        });
    }
    tasks.join_all().await;
}

// R34: a downstream that has gone takes its interim answers with it.
#[tokio::test]
async fn an_interim_answer_for_a_downstream_that_has_gone_reaches_nobody() {
    let (gone, is_gone) = oneshot::channel::<()>();
    let is_gone = Mutex::new(Some(is_gone));
    let upstream = Upstream::start(move |mut connection| {
        let is_gone = is_gone.lock().unwrap().take();
        async move {
            let _ = connection.request().await;
            if let Some(is_gone) = is_gone {
                is_gone.await.unwrap();
                let _ = connection.stream.try_write(format!("{HINT}{OK}").as_bytes());
            }
            connection.send(OK).await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut one = Downstream::of(&proxy).await;
    one.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    upstream.seen().wait_for(1).await;
    drop(one);
    gone.send(()).unwrap();

    assert_eq!(Downstream::of(&proxy).await.get("/").await.body_text(), "hello");
}
