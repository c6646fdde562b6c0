//! A request goes to its route's upstream with its route's token, and the answer comes back.

use super::support::{Downstream, Proxy, Upstream};

#[tokio::test]
async fn a_request_bears_the_routes_token_and_the_answer_comes_back() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/orders?open=1").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    let request = &upstream.requests()[0];
    assert_eq!(request.first_line(), "GET /orders?open=1 HTTP/1.1");
    assert_eq!(request.field("authorization"), Some("Bearer T0KEN"));
    assert_eq!(request.field("host"), Some(upstream.address().to_string().as_str()));
}

// R35
#[tokio::test]
async fn upstream_connections_are_used_again() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..5 {
        assert_eq!(downstream.get("/").await.status(), 200);
    }

    assert_eq!(upstream.seen().connections(), 1);
}
