//! Connections to an upstream: used again, not for ever, never too many, and never with something left in them.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::support::{Downstream, Message, Proxy, ProxyBuilder, Upstream, soon};

/// A route for everything whose pool and timeouts are these.
fn pooled(upstream: &Upstream, connections: &str, timeouts: &str) -> ProxyBuilder {
    Proxy::new().static_token("api", "T0KEN").raw_route(&format!(
        "  - path: /\n    upstream: {{url: '{}', connections: {{{connections}}}}}\n    credential: api\n    timeouts: {{{timeouts}}}\n",
        upstream.url()
    ))
}

/// An upstream that answers with the number of the connection, each request when `gate` lets it.
async fn gated(gate: &'static Semaphore) -> Upstream {
    Upstream::start(move |mut connection| async move {
        while connection.request().await.is_some() {
            gate.acquire().await.unwrap().forget();
            let number = connection.number.to_string();
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{number}", number.len())).await;
        }
    })
    .await
}

fn closed_gate() -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(0)))
}

async fn numbered() -> Upstream {
    gated(Box::leak(Box::new(Semaphore::new(Semaphore::MAX_PERMITS)))).await
}

/// Sends a GET without waiting for its answer.
async fn asked(proxy: &Proxy) -> Downstream {
    let mut downstream = Downstream::of(proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream
}

fn is_limit(answer: &Message) {
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=connection_limit_reached"));
    assert_eq!(answer.field("retry-after"), Some("1"));
}

// DESIGN.md section 4, `connections.max`; STYLE 16: the wait has an end.
#[tokio::test]
async fn beyond_its_limit_a_request_waits_for_a_connection_and_then_gets_503() {
    let gate = closed_gate();
    let upstream = gated(gate).await;
    let proxy = pooled(&upstream, "max: 2", "connect: 300ms").start().await;

    let mut first = asked(&proxy).await;
    let mut second = asked(&proxy).await;
    upstream.seen().wait_for(2).await;
    let began = Instant::now();
    is_limit(&asked(&proxy).await.answer().await);
    assert!(began.elapsed() >= Duration::from_millis(300));

    gate.add_permits(2);
    assert_eq!(first.answer().await.status(), 200);
    assert_eq!(second.answer().await.status(), 200);
    // There is room again, and there never was a third connection.
    gate.add_permits(1);
    assert_eq!(first.get("/").await.status(), 200);
    assert_eq!(upstream.seen().connections(), 2);
}

#[tokio::test]
async fn a_request_that_waits_gets_the_first_connection_that_comes_back() {
    let gate = closed_gate();
    let upstream = gated(gate).await;
    let proxy = pooled(&upstream, "max: 1", "").start().await;

    let mut first = asked(&proxy).await;
    upstream.seen().wait_for(1).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(asked(&proxy).await);
    }
    gate.add_permits(6);

    assert_eq!(first.answer().await.body_text(), "1");
    for downstream in &mut waiting {
        assert_eq!(downstream.answer().await.body_text(), "1");
    }
    assert_eq!(upstream.seen().connections(), 1);
}

// A connection that comes back just before somebody begins to wait must not be overlooked: in each round nobody else
// would ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_two_who_share_a_connection() {
    let upstream = numbered().await;
    let proxy = pooled(&upstream, "max: 1", "").start().await;
    let mut one = Downstream::of(&proxy).await;
    let mut other = Downstream::of(&proxy).await;

    for round in 0..1_000 {
        let statuses = tokio::join!(one.get("/"), other.get("/"));
        assert_eq!((statuses.0.status(), statuses.1.status()), (200, 200), "round {round}");
    }

    assert_eq!(upstream.seen().connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_share_few_connections() {
    let upstream = numbered().await;
    let proxy = pooled(&upstream, "max: 2", "connect: 10s").start().await;
    let address = proxy.address();

    let all: Vec<_> = (0..12)
        .map(|_| {
            tokio::spawn(async move {
                let mut downstream = Downstream::connect(address).await;
                for _ in 0..200 {
                    assert_eq!(downstream.get("/").await.status(), 200);
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }

    assert!(upstream.seen().connections() <= 2, "{}", upstream.seen().connections());
}

// A downstream that gives up while it waits leaves nothing behind.
#[tokio::test]
async fn those_who_give_up_waiting_take_no_connection_with_them() {
    let gate = closed_gate();
    let upstream = gated(gate).await;
    let proxy = pooled(&upstream, "max: 1", "").start().await;

    let mut first = asked(&proxy).await;
    upstream.seen().wait_for(1).await;
    for _ in 0..10 {
        drop(asked(&proxy).await);
    }
    gate.add_permits(100);

    assert_eq!(first.answer().await.status(), 200);
    for _ in 0..5 {
        assert_eq!(first.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_connection_is_closed_when_it_has_lain_idle_for_idle_timeout() {
    let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let ended = ended.clone();
        async move {
            while connection.request().await.is_some() {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            ended.send(Instant::now()).unwrap();
        }
    })
    .await;
    let proxy = pooled(&upstream, "idle_timeout: 300ms", "").start().await;
    let began = Instant::now();

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);

    let at = soon("the end of an idle connection", end.recv()).await.unwrap();
    assert!(at - began >= Duration::from_millis(300));
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(upstream.seen().connections(), 2);
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_max_age() {
    let upstream = numbered().await;
    let proxy = pooled(&upstream, "max_age: 500ms", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    let began = Instant::now();

    soon("a second connection", async { while downstream.get("/").await.body_text() == "1" {} }).await;

    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert!(upstream.requests().len() > 2, "the first connection was used again");
}

// The connection used last is the least likely to have been closed by the server, and the others get old and go.
#[tokio::test]
async fn the_connection_used_last_is_used_next() {
    let gate = closed_gate();
    let upstream = gated(gate).await;
    let proxy = pooled(&upstream, "max: 10", "").start().await;
    let mut all = Vec::new();
    for count in 1..=3 {
        all.push(asked(&proxy).await);
        upstream.seen().wait_for(count).await;
    }
    let mut last = String::new();
    for downstream in &mut all {
        gate.add_permits(1);
        last = downstream.answer().await.body_text().to_owned();
    }
    gate.add_permits(10);

    for _ in 0..5 {
        assert_eq!(all[0].get("/").await.body_text(), last);
    }
}

// R23: an upstream that answers before it has read the request's body. Its connection has a rest of that in it.
#[tokio::test]
async fn a_connection_with_an_unfinished_upload_is_not_used_again() {
    let upstream = Upstream::start(|mut connection| async move {
        let mut numbers = 0;
        while connection.head().await.is_some() {
            numbers += 1;
            assert_eq!(numbers, 1, "what follows an unfinished body was taken for a request");
            let number = connection.number;
            connection.send(format!("HTTP/1.1 413 Too Much\r\ncontent-length: 1\r\n\r\n{number}")).await;
            // The connection stays open, as with servers that are not careful.
            connection.read_to_end().await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    for number in 1..=5 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nhello").await;
        let answer = downstream.answer().await;
        assert_eq!((answer.status(), answer.body_text()), (413, number.to_string().as_str()));
    }

    assert_eq!(upstream.seen().connections(), 5);
}

// The same with an answer that has no body, and with a chunked upload.
#[tokio::test]
async fn nor_is_one_whose_answer_had_no_body() {
    let upstream = Upstream::start(|mut connection| async move {
        let head = connection.head().await.unwrap();
        let length = if head.first_line().starts_with("PUT") { "" } else { "content-length: 0\r\n" };
        connection.send(format!("HTTP/1.1 204 No Content\r\n{length}\r\n")).await;
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    for _ in 0..5 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        assert_eq!(downstream.answer().await.status(), 204);
    }

    assert_eq!(upstream.seen().connections(), 5);
}

// R24: surplus bytes after an answer belong to nobody.
#[tokio::test]
async fn a_connection_with_surplus_bytes_after_an_answer_is_not_used_again() {
    let upstream = Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            connection
                .send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nrightHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong")
                .await;
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..50 {
        assert_eq!(downstream.get("/").await.body_text(), "right");
    }

    assert_eq!(upstream.seen().connections(), 50);
}

// R77: two routes to one upstream share no connection: each has its own credential.
#[tokio::test]
async fn routes_share_no_connections() {
    let upstream = numbered().await;
    let proxy = Proxy::new()
        .static_token("one", "0NE")
        .static_token("two", "TW0")
        .route("/one", &upstream.url(), "one", "")
        .route("/two", &upstream.url(), "two", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    let one = downstream.get("/one").await.body_text().to_owned();
    let two = downstream.get("/two").await.body_text().to_owned();

    assert_ne!(one, two);
    assert_eq!(downstream.get("/one").await.body_text(), one);
    assert_eq!(downstream.get("/two").await.body_text(), two);
}
