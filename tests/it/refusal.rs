//! The 401 contract (DESIGN.md section 2; R67): one renewal, one retry, and otherwise the upstream's own answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

use super::support::api::{echo, proxy, tokens};
use super::support::{
    Api, Captured, Downstream, Message, Proxy, TokenEndpoint, Upstream, answer, eventually, json_answer, oauth_error,
    soon,
};

/// The default of `retry.max_body`.
const MAX_BODY: usize = 64 * 1024;

/// The two attempts are the same to the byte, but for the one token that each has.
fn assert_repeated(upstream: &Upstream) {
    let requests = upstream.requests();
    let [first, second] = &requests[..] else { panic!("{} requests at the upstream", requests.len()) };
    assert_eq!(tokens(upstream), ["T1", "T2"]);
    assert_eq!(first.text().replace("Bearer T1", "Bearer T2"), second.text());
    assert!(first.body == second.body, "{} bytes and then {}", first.body.len(), second.body.len());
    assert!(first.complete && second.complete);
}

/// What the last line of the access log says, once there are `lines`, and the one outcome that is counted.
async fn assert_told(proxy: &Proxy, lines: usize, status: u64, attempts: u64, token: &str, outcome: &str) {
    let last = proxy.log_lines_when(lines).await.pop().unwrap();
    let told = (last["status"].as_u64(), last["attempts"].as_u64(), last["token"].as_str());
    assert_eq!(told, (Some(status), Some(attempts), Some(token)), "{last}");
    assert_eq!(retries(proxy, outcome), 1, "{outcome}");
}

fn retries(proxy: &Proxy, outcome: &str) -> u64 {
    proxy.figure(&format!("retries_total{{route=\"default\",outcome=\"{outcome}\"}}"))
}

fn unauthorized(proxy: &Proxy) -> u64 {
    proxy.figure("upstream_unauthorized_total{route=\"default\"}")
}

fn chunked(chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("POST /orders HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

// R67
#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_request_sent_again() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;

    let answer = Downstream::of(&proxy).await.get("/orders?open=1").await;

    assert_eq!((answer.status(), answer.body_text()), (200, ""));
    assert_eq!(answer.fields("www-authenticate"), [""; 0], "nothing of the first answer is left");
    assert_repeated(&api.upstream);
    assert_eq!(endpoint.asked(), 2);
    assert_told(&proxy, 1, 200, 2, "retried", "success").await;
    assert_eq!(unauthorized(&proxy), 1);
}

// R67
#[tokio::test]
async fn a_sized_body_is_sent_again_whole() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;

    let answer = Downstream::of(&proxy).await.post("/orders", "two loaves").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "two loaves"));
    assert_repeated(&api.upstream);
    assert_eq!(api.requests()[1].field("content-length"), Some("10"));
    assert_eq!(proxy.log_lines_when(1).await[0]["bytes_received"], 10, "what the downstream sent, not what we did");
}

// R67
#[tokio::test]
async fn a_chunked_body_is_sent_again_whole() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;

    let answer = Downstream::of(&proxy).await.ask(chunked(&["two ", "loa", "ves"])).await;

    assert_eq!((answer.status(), answer.body_text()), (200, "two loaves"));
    assert_repeated(&api.upstream);
    assert_eq!(api.requests()[1].field("transfer-encoding"), Some("chunked"));
}

// R67, R33
#[tokio::test]
async fn trailers_of_a_held_body_are_sent_again() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;

    let request = "POST /orders HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   5\r\nhello\r\n0\r\nx-sum: 17\r\n\r\n";
    let answer = Downstream::of(&proxy).await.ask(request).await;

    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    assert_repeated(&api.upstream);
    for request in api.requests() {
        assert_eq!(String::from_utf8_lossy(&request.raw_body), "5\r\nhello\r\n0\r\nx-sum: 17\r\n\r\n");
    }
}

// R67
#[tokio::test]
async fn a_body_as_long_as_may_be_held_is_sent_again() {
    let body = "x".repeat(MAX_BODY);
    let (half, rest) = body.split_at(MAX_BODY / 2 + 7);
    let sized = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {MAX_BODY}\r\n\r\n{body}");
    for request in [sized, chunked(&[half, rest])] {
        let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
        let proxy = api.behind_proxy(&endpoint, "").await;

        let answer = Downstream::of(&proxy).await.ask(request).await;

        assert_eq!(answer.status(), 200);
        assert!(answer.body == body.as_bytes());
        assert_repeated(&api.upstream);
    }
}

// R67
#[tokio::test]
async fn a_body_one_byte_too_long_is_sent_once_and_the_token_renewed_for_the_next() {
    let body = "x".repeat(MAX_BODY + 1);
    let (half, rest) = body.split_at(MAX_BODY / 2);
    let sized = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for request in [sized, chunked(&[half, rest])] {
        let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
        let proxy = api.behind_proxy(&endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;

        let answer = downstream.ask(request).await;

        assert_eq!((answer.status(), answer.body_text()), (401, "refused"));
        assert_eq!(answer.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(api.tokens(), ["T1"]);
        assert!(api.requests()[0].body == body.as_bytes());
        assert_told(&proxy, 1, 401, 1, "retry_refused", "not_replayable").await;

        assert_eq!(downstream.get("/").await.status(), 200);
        assert_eq!(endpoint.asked(), 2);
    }
}

// R67
#[tokio::test]
async fn how_much_is_held_is_the_files_choice() {
    for (max_body, status) in [("5B", 200), ("4B", 401), ("0B", 401)] {
        let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
        let proxy = api.behind_proxy(&endpoint, &format!("    retry: {{max_body: {max_body}}}\n")).await;

        let answer = Downstream::of(&proxy).await.post("/", "hello").await;

        assert_eq!(answer.status(), status, "{max_body}");
    }
}

// R67
#[tokio::test]
async fn every_method_follows_the_same_rules() {
    for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
        let proxy = api.behind_proxy(&endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;

        let (head, body) = match method {
            "HEAD" => ("", ""),
            _ => ("content-length: 2\r\n", "ok"),
        };
        let answer = downstream.ask(format!("{method} /pot HTTP/1.1\r\nhost: localhost\r\n{head}\r\n{body}")).await;

        assert_eq!((answer.status(), answer.body_text()), (200, body), "{method}");
        assert_repeated(&api.upstream);
        assert_eq!(api.requests()[1].first_line(), format!("{method} /pot HTTP/1.1"));
        assert_eq!(downstream.get("/").await.status(), 200, "{method}: the connection is in step");
    }
}

// R37, R67
#[tokio::test]
async fn both_attempts_bear_one_token_whatever_the_downstream_sends() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;

    let request = "GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer mine\r\nAuthorization: Basic bWU6\r\n\
                   AUTHORIZATION: Bearer T2\r\nproxy-authorization: Basic bWU6\r\n\r\n";
    let answer = Downstream::of(&proxy).await.ask(request).await;

    assert_eq!(answer.status(), 200);
    assert_repeated(&api.upstream);
    assert!(api.requests().iter().all(|request| request.fields("proxy-authorization").is_empty()));
}

// R67
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_refusals_of_one_token_cost_one_renewal() {
    const CALLERS: usize = 1000;
    let endpoint = TokenEndpoint::start().await;
    // Nobody hears of his refusal before all thousand have sent the token.
    let all_here = Arc::new(Barrier::new(CALLERS));
    let upstream = Upstream::start(move |mut connection| {
        let all_here = Arc::clone(&all_here);
        async move {
            while let Some(request) = connection.request().await {
                match request.field("authorization") {
                    Some("Bearer T1") => {
                        all_here.wait().await;
                        connection.send(answer("401 Unauthorized", &[], "refused")).await;
                    }
                    _ => connection.send(echo(&request)).await,
                }
            }
        }
    })
    .await;
    let proxy = Arc::new(proxy(&upstream, &endpoint, "    timeouts: {connect: 20s}\n").await);

    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let proxy = Arc::clone(&proxy);
        callers.spawn(async move {
            let body = format!("caller {number}");
            let answer = Downstream::of(&proxy).await.post("/", &body).await;
            assert_eq!((answer.status(), answer.body_text()), (200, body.as_str()));
        });
    }
    soon("all answers", callers.join_all()).await;

    assert_eq!(endpoint.asked(), 2, "the first token, and one renewal");
    let tokens = tokens(&upstream);
    let count = |token| tokens.iter().filter(|sent| *sent == token).count();
    assert_eq!((count("T1"), count("T2"), tokens.len()), (CALLERS, CALLERS, 2 * CALLERS));
    assert_eq!((unauthorized(&proxy), retries(&proxy, "success")), (1000, 1000));
}

// R67
#[tokio::test]
async fn a_refusal_while_a_renewal_is_under_way_joins_it() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let proxy = api.behind_proxy(&endpoint, "").await;
    let (mut one, mut other) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);
    assert_eq!(one.get("/").await.status(), 200);
    api.take("T2");
    endpoint.hold();

    one.send("GET /one HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    endpoint.wait_for(2).await;
    other.send("GET /other HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    eventually("the second refusal", || unauthorized(&proxy) == 2).await;
    endpoint.release();

    assert_eq!((one.answer().await.status(), other.answer().await.status()), (200, 200));
    assert_eq!(endpoint.asked(), 2);
}

// R67
#[tokio::test]
async fn a_token_that_was_replaced_meanwhile_is_not_replaced_again() {
    let endpoint = TokenEndpoint::start().await;
    let replaced = Arc::new(Notify::new());
    let gate = Arc::clone(&replaced);
    let upstream = Upstream::start(move |mut connection| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = connection.request().await {
                if request.field("authorization") == Some("Bearer T2") {
                    connection.send(echo(&request)).await;
                    continue;
                }
                if request.first_line().starts_with("GET /slow ") {
                    gate.notified().await;
                }
                connection.send(answer("401 Unauthorized", &[], "")).await;
            }
        }
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "").await;
    let (mut slow, mut quick) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);

    slow.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    upstream.seen().wait_for(1).await;
    assert_eq!(quick.get("/quick").await.status(), 200);
    replaced.notify_one();

    assert_eq!(slow.answer().await.status(), 200);
    assert_eq!(tokens(&upstream), ["T1", "T1", "T2", "T2"]);
    assert_eq!(endpoint.asked(), 2);
}

// R67
#[tokio::test]
async fn when_the_renewal_fails_the_upstreams_own_refusal_is_passed_on_unchanged() {
    let refusal = "HTTP/1.1 401 Nothing Doing\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: api/1\r\n\
                   www-authenticate: Bearer realm=\"a\", error=\"invalid_token\"\r\nwww-authenticate: Basic realm=\"b\"\r\n\
                   set-cookie: a=1\r\nset-cookie: b=2\r\nx-odd: \"a\"  b, ,\tc\r\ncontent-length: 12\r\n\r\nno\r\n\r\n\0such!";
    for (failure, word) in [
        (answer("503 Service Unavailable", &[], "later"), "unavailable"),
        (oauth_error("401 Unauthorized", "invalid_client"), "invalid_client"),
        (answer("200 OK", &["content-type: text/html"], "<html>"), "malformed_answer"),
        (answer("302 Found", &["location: http://127.0.0.1:9/"], ""), "unavailable"),
        (b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(), "unreachable"),
    ] {
        let captured = Captured::start();
        let endpoint = TokenEndpoint::start().await;
        let upstream = Upstream::answering(refusal).await;
        let proxy = proxy(&upstream, &endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;
        endpoint.answer_next(json_answer("{\"access_token\":\"T1\",\"expires_in\":3600}"));
        endpoint.answer_next(failure);

        let answer = downstream.post("/", "hello").await;

        let via = format!("via: {}\r\n\r\n", answer.field("via").unwrap());
        let bytes = [answer.head.as_slice(), &answer.raw_body].concat();
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{head}\r\n{via}{body}"), "{word}");
        assert_eq!((upstream.requests().len(), endpoint.asked()), (1, 2), "{word}");
        assert_told(&proxy, 1, 401, 1, "retry_refused", "renewal_failed").await;
        assert!(captured.text().contains(word), "the log says why: {word}");
    }
}

// R67
#[tokio::test]
async fn a_second_refusal_is_passed_on_and_begins_a_cooldown() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::answering_by(|request| {
        let challenge = format!("www-authenticate: Bearer realm=\"{}\"", request.field("authorization").unwrap());
        answer("401 Unauthorized", &[&challenge, "www-authenticate: Basic"], &challenge)
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "    retry: {cooldown: 1h}\n").await;
    let mut downstream = Downstream::of(&proxy).await;

    let answer = downstream.get("/").await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.fields("www-authenticate"), ["Bearer realm=\"Bearer T2\"", "Basic"]);
    assert_eq!(answer.body_text(), "www-authenticate: Bearer realm=\"Bearer T2\"");
    assert_eq!((upstream.requests().len(), endpoint.asked()), (2, 2));
    assert_told(&proxy, 1, 401, 2, "retried", "refused_again").await;

    for further in 1..=20 {
        assert_eq!(downstream.get("/").await.status(), 401);
        assert_eq!((upstream.requests().len(), endpoint.asked()), (2 + further, 2), "neither renewed nor retried");
    }
    let last = proxy.log_lines_when(21).await.pop().unwrap();
    assert_eq!((&last["attempts"], &last["token"]), (&1.into(), &"retry_refused".into()));
    assert_eq!((retries(&proxy, "cooldown"), retries(&proxy, "refused_again"), unauthorized(&proxy)), (20, 1, 22));
}

// R67
#[tokio::test]
async fn after_the_cooldown_a_refused_token_is_replaced_again() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::answering(answer("401 Unauthorized", &[], "no")).await;
    let proxy = proxy(&upstream, &endpoint, "    retry: {cooldown: 50ms}\n").await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 401);
    assert_eq!(endpoint.asked(), 2);

    let api_is_well_again = async {
        while endpoint.asked() == 2 {
            assert_eq!(downstream.get("/").await.status(), 401);
        }
    };
    soon("another renewal", api_is_well_again).await;

    let tokens = tokens(&upstream);
    assert_eq!(tokens.iter().filter(|token| *token == "T3").count(), 1, "{tokens:?}");
}

// R67
#[tokio::test]
async fn insufficient_scope_is_passed_on_since_a_fresh_token_cannot_help() {
    for challenge in
        ["Bearer realm=\"a\", error=\"insufficient_scope\", scope=\"write\"", "Bearer error=insufficient_scope"]
    {
        let endpoint = TokenEndpoint::start().await;
        let field = format!("www-authenticate: {challenge}");
        let upstream = Upstream::answering(answer("401 Unauthorized", &[&field], "no")).await;
        let proxy = proxy(&upstream, &endpoint, "").await;

        let answer = Downstream::of(&proxy).await.get("/").await;

        assert_eq!((answer.status(), answer.field("www-authenticate")), (401, Some(challenge)));
        assert_eq!((upstream.requests().len(), endpoint.asked()), (1, 1));
        assert_told(&proxy, 1, 401, 1, "retry_refused", "insufficient_scope").await;
    }
}

/// An upstream that refuses the first request when it has its head, and takes the second whole.
async fn hasty(refusal: Vec<u8>, then_closes: bool) -> Upstream {
    Upstream::start(move |mut connection| {
        let refusal = refusal.clone();
        async move {
            if connection.number == 1 {
                connection.head().await;
                connection.send(refusal).await;
                if !then_closes {
                    connection.read_to_end().await;
                }
                return;
            }
            while let Some(request) = connection.request().await {
                connection.send(echo(&request)).await;
            }
        }
    })
    .await
}

// R67, R23
#[tokio::test]
async fn a_sized_body_that_was_refused_before_it_was_read_is_read_to_its_end_and_sent_whole() {
    for (refusal, then_closes) in [
        (answer("401 Unauthorized", &[], "refused"), false),
        (answer("401 Unauthorized", &[], ""), false),
        (answer("401 Unauthorized", &["connection: close"], "refused"), true),
        (answer("401 Unauthorized", &["connection: close"], ""), true),
    ] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, hasty(refusal, then_closes).await);
        let proxy = proxy(&upstream, &endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;

        downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\ntwo ").await;
        endpoint.wait_for(2).await;
        downstream.send("loaves").await;
        let answer = downstream.answer().await;

        assert_eq!((answer.status(), answer.body_text()), (200, "two loaves"));
        assert_eq!(tokens(&upstream), ["T1", "T2"]);
        assert_eq!(endpoint.asked(), 2);
        assert_eq!(downstream.get("/").await.status(), 200, "the connection is in step");
    }
}

// R67, R23
#[tokio::test]
async fn an_upstream_that_refuses_and_reads_no_more_does_not_hold_up_the_second_attempt() {
    // More than the sockets on the way take in.
    let body = "x".repeat(16 * 1024 * 1024);
    for refusal in ["refused", ""] {
        let endpoint = TokenEndpoint::start().await;
        let (done, refusal) = (Arc::new(Notify::new()), answer("401 Unauthorized", &[], refusal));
        let end = Arc::clone(&done);
        let upstream = Upstream::start(move |mut connection| {
            let (end, refusal) = (Arc::clone(&end), refusal.clone());
            async move {
                if connection.number == 1 {
                    connection.head().await;
                    connection.send(refusal).await;
                    end.notified().await;
                    return;
                }
                let request = connection.request().await.unwrap();
                connection.send(answer("200 OK", &[], &request.body.len().to_string())).await;
            }
        })
        .await;
        let proxy = proxy(&upstream, &endpoint, "    retry: {max_body: 32MiB}\n").await;

        let answer = Downstream::of(&proxy).await.post("/", &body).await;

        assert_eq!((answer.status(), answer.body_text()), (200, body.len().to_string().as_str()));
        done.notify_one();
    }
}

// R67, R20
#[tokio::test]
async fn a_body_that_waits_for_100_continue_is_asked_for_and_sent_to_the_second_attempt() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = hasty(answer("401 Unauthorized", &[], "refused"), false).await;
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(downstream.answer().await.status(), 100);
    downstream.send("hello").await;
    let answer = downstream.answer().await;

    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    assert_eq!(tokens(&upstream), ["T1", "T2"]);
}

// R67
#[tokio::test]
async fn when_the_second_attempt_gets_no_answer_the_downstream_hears_so() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.field("authorization") == Some("Bearer T2") {
                return;
            }
            connection.send(answer("401 Unauthorized", &["connection: close"], "refused")).await;
        }
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "").await;

    let answer = Downstream::of(&proxy).await.post("/", "hello").await;

    assert_eq!(answer.status(), 502);
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=connection_terminated"));
    assert_repeated(&upstream);
    let line = proxy.log_lines_when(1).await.remove(0);
    assert_eq!((&line["attempts"], &line["token"]), (&2.into(), &"retried".into()));
}

// R67
#[tokio::test]
async fn a_chunked_body_that_is_not_at_its_end_is_not_sent_again_but_the_token_is_renewed() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = hasty(answer("401 Unauthorized", &["www-authenticate: Bearer"], "refused"), false).await;
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n").await;
    let answer = downstream.answer().await;

    assert_eq!((answer.status(), answer.body_text()), (401, "refused"));
    assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
    endpoint.wait_for(2).await;
    assert_told(&proxy, 1, 401, 1, "retry_refused", "not_replayable").await;
    drop(downstream);
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(endpoint.asked(), 2);
}

// R67, R47
#[tokio::test]
async fn a_renewal_goes_on_when_the_downstream_that_caused_it_leaves() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let proxy = api.behind_proxy(&endpoint, "").await;
    let mut leaver = Downstream::of(&proxy).await;
    assert_eq!(leaver.get("/").await.status(), 200);
    api.take("T2");
    endpoint.hold();

    leaver.send("GET /leaver HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    endpoint.wait_for(2).await;
    drop(leaver);
    let last = proxy.log_lines_when(2).await.pop().unwrap();
    assert_eq!((&last["status"], &last["error"]), (&499.into(), &"downstream_left".into()));
    endpoint.release();

    assert_eq!(Downstream::of(&proxy).await.get("/next").await.status(), 200);
    assert_eq!(endpoint.asked(), 2, "the renewal that was under way serves the next");
}

// R67
#[tokio::test]
async fn with_retry_off_every_refusal_is_passed_on() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "    retry: off\n").await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let answer = downstream.post("/", "hello").await;
        assert_eq!((answer.status(), answer.body_text()), (401, "refused"));
    }
    assert_eq!((api.tokens(), endpoint.asked()), (vec!["T1".to_owned(); 3], 1));
    let last = proxy.log_lines_when(3).await.pop().unwrap();
    assert_eq!((&last["attempts"], &last["token"]), (&1.into(), &"cached".into()));
}

// R67, R29
#[tokio::test]
async fn no_other_status_triggers_a_renewal() {
    for status in ["200 OK", "302 Found", "400 Bad Request", "403 Forbidden", "407 Proxy", "419 Expired", "500 Oops"] {
        let endpoint = TokenEndpoint::start().await;
        let challenge = "www-authenticate: Bearer error=\"invalid_token\"";
        let upstream = Upstream::answering(answer(status, &[challenge], "as it is")).await;
        let proxy = proxy(&upstream, &endpoint, "").await;

        let answer = Downstream::of(&proxy).await.get("/").await;

        assert_eq!(answer.first_line(), format!("HTTP/1.1 {status}"));
        assert_eq!(answer.body_text(), "as it is");
        assert_eq!((upstream.requests().len(), endpoint.asked()), (1, 1), "{status}");
        proxy.log_lines_when(1).await;
        assert_eq!(unauthorized(&proxy), 0);
    }
}

// R67
#[tokio::test]
async fn the_file_may_name_other_statuses() {
    for (statuses, status, attempts) in
        [("[401, 403]", "403 Forbidden", 2), ("[401, 403]", "401 Unauthorized", 2), ("[403]", "401 Unauthorized", 1)]
    {
        let endpoint = TokenEndpoint::start().await;
        let upstream = Upstream::answering_by(move |request| match request.field("authorization") {
            Some("Bearer T1") => answer(status, &[], "no"),
            _ => echo(request),
        })
        .await;
        let proxy = proxy(&upstream, &endpoint, &format!("    retry: {{statuses: {statuses}}}\n")).await;

        let answer = Downstream::of(&proxy).await.get("/").await;

        assert_eq!(answer.status() == 200, attempts == 2, "{statuses} and {status}");
        assert_eq!((upstream.requests().len(), endpoint.asked()), (attempts, attempts));
    }
}

// R67, R36
#[tokio::test]
async fn a_refused_websocket_handshake_is_repeated_and_becomes_a_tunnel() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            assert_eq!(request.field("upgrade"), Some("websocket"));
            if request.field("authorization") != Some("Bearer T2") {
                connection.send(answer("401 Unauthorized", &[], "refused")).await;
                continue;
            }
            let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            connection.send(format!("{switch}welcome")).await;
            let ping = connection.read(4).await;
            connection.send([b"echo ", ping.as_slice()].concat()).await;
            return;
        }
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    let handshake = "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = downstream.ask(handshake).await;

    assert_eq!(answer.status(), 101);
    assert_eq!(downstream.read(7).await, b"welcome");
    downstream.send("ping").await;
    assert_eq!(downstream.read(9).await, b"echo ping");
    assert!(downstream.is_closed().await);
    assert_repeated(&upstream);
    assert_told(&proxy, 1, 101, 2, "retried", "success").await;
}

// R67, R36
#[tokio::test]
async fn a_websocket_handshake_that_is_refused_twice_leaves_plain_http() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("none").await);
    let proxy = api.behind_proxy(&endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    let handshake = "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(downstream.ask(handshake).await.status(), 401);

    api.take("T2");
    assert_eq!(downstream.get("/").await.status(), 200);
}

// R67, R35
#[tokio::test]
async fn connections_of_refused_attempts_are_used_again() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T2").await);
    let proxy = api.behind_proxy(&endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    for round in 2..8 {
        api.take(&format!("T{round}"));
        assert_eq!(downstream.post("/", "hello").await.status(), 200);
    }

    assert_eq!((endpoint.asked(), api.requests().len()), (7, 12));
    let connections = api.upstream.seen().connections();
    assert!(connections <= 2, "{connections} connections for twelve requests, one after the other");
}

// R67, R58
#[tokio::test]
async fn a_refusal_whose_body_never_ends_is_given_up() {
    let endpoint = TokenEndpoint::start().await;
    let closed = Arc::new(Notify::new());
    let tell = Arc::clone(&closed);
    let upstream = Upstream::start(move |mut connection| {
        let tell = Arc::clone(&tell);
        async move {
            while let Some(request) = connection.request().await {
                if request.field("authorization") == Some("Bearer T2") {
                    connection.send(echo(&request)).await;
                    continue;
                }
                connection.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 1000\r\n\r\nthe rest never comes").await;
                connection.read_to_end().await;
                tell.notify_one();
                return;
            }
        }
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "").await;

    let answer = Downstream::of(&proxy).await.post("/", "hello").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    soon("the end of the first connection", closed.notified()).await;
}

// R67
#[tokio::test]
async fn an_upstream_that_refuses_one_token_after_the_other_does_not_cause_a_storm_of_logins() {
    let endpoint = TokenEndpoint::start().await;
    // Each token is good once: a pool of servers that do not agree about tokens.
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::answering_by(move |request| match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => answer("401 Unauthorized", &[], "no"),
        _ => echo(request),
    })
    .await;
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;

    let mut passed_on = Vec::<Message>::new();
    for _ in 0..40 {
        let answer = downstream.get("/").await;
        if answer.status() == 401 {
            passed_on.push(answer);
        }
    }

    assert!(endpoint.asked() <= 10, "{} token requests for forty requests", endpoint.asked());
    assert!(passed_on.iter().all(|answer| answer.body_text() == "no"), "the upstream's own answer");
}
