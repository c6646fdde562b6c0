//! The authorization server's unhappy days (R68, DESIGN.md section 6): the downstream hears what is wrong and when to
//! come back, nothing goes upstream without a token, and nobody else is harmed.

use std::time::{Duration, Instant};

use bearer_proxy::demo::{AuthorizationServer, Dialect};
use tokio::task::JoinSet;

use super::support::api::proxy;
use super::support::{
    Api, Captured, Downstream, Message, Proxy, TokenEndpoint, Upstream, answer, json_answer, oauth_error, soon,
};

/// Its own answer, whole: 503 with `Retry-After`, and this word in `Proxy-Status`.
fn assert_unavailable(answer: &Message, details: &str) {
    assert_eq!(answer.first_line(), "HTTP/1.1 503 Service Unavailable", "{details}");
    let status = format!("bearer-proxy; error=destination_unavailable; details=\"{details}\"");
    assert_eq!(answer.field("proxy-status"), Some(status.as_str()));
    assert!(retry_after(answer) >= 1);
    let problem = assert_problem(answer);
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["type"], "urn:bearer-proxy:problem:destination_unavailable");
}

/// Its own answer to a refusal for good: 502 with the OAuth code, and nothing to wait for.
fn assert_refused(answer: &Message, code: &str) {
    assert_eq!(answer.first_line(), "HTTP/1.1 502 Bad Gateway", "{code}");
    let status = format!("bearer-proxy; error=proxy_configuration_error; details=\"{code}\"");
    assert_eq!(answer.field("proxy-status"), Some(status.as_str()));
    assert_eq!(answer.field("retry-after"), None);
    let problem = assert_problem(answer);
    assert_eq!(problem["status"], 502);
    assert!(problem["detail"].as_str().unwrap().contains(code));
}

/// RFC 9457, with nothing in it that the authorization server said.
fn assert_problem(answer: &Message) -> serde_json::Value {
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert_eq!(answer.fields("www-authenticate"), [""; 0]);
    let whole = format!("{}{}", answer.text(), answer.body_text());
    for inside in ["for your eyes only", "127.0.0.1", "s3cret", "/token"] {
        assert!(!whole.contains(inside), "{inside} in {whole}");
    }
    let problem = answer.json();
    let mut members: Vec<_> = problem.as_object().unwrap().keys().cloned().collect();
    members.sort_unstable();
    assert_eq!(members, ["detail", "route", "status", "title", "type"]);
    assert_eq!(problem["route"], "default");
    problem
}

fn retry_after(answer: &Message) -> u64 {
    answer.field("retry-after").expect("Retry-After").parse().expect("whole seconds")
}

/// A port that refuses connections.
async fn closed_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

// R68
#[tokio::test]
async fn an_answer_that_is_no_token_is_503_with_retry_after_and_nothing_goes_upstream() {
    let json = |body: &str| json_answer(body);
    let elsewhere = TokenEndpoint::start().await;
    let location = format!("location: {}", elsewhere.url());
    let huge = format!("{{\"padding\":\"{}\",\"access_token\":\"T1\"}}", "x".repeat(2 * 1024 * 1024));
    for (what, bytes, details) in [
        ("no answer", Vec::new(), "unreachable"),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "unreachable"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec(), "unreachable"),
        (
            "half a body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"access_token\":\"T1\"".to_vec(),
            "unreachable",
        ),
        ("a redirect", answer("307 Temporary Redirect", &[&location], ""), "unavailable"),
        ("a moved endpoint", answer("301 Moved Permanently", &[&location], ""), "unavailable"),
        ("a busy server", answer("503 Service Unavailable", &[], "for your eyes only"), "unavailable"),
        ("a broken server", answer("500 Internal Server Error", &[], ""), "unavailable"),
        ("a gateway", answer("502 Bad Gateway", &["content-type: text/html"], "<html>"), "unavailable"),
        ("too many", answer("429 Too Many Requests", &[], ""), "unavailable"),
        ("later", oauth_error("400 Bad Request", "temporarily_unavailable"), "unavailable"),
        ("an error with 200", json(r#"{"error":"try_again"}"#), "unavailable"),
        ("HTML", answer("200 OK", &["content-type: text/html"], "<html>for your eyes only</html>"), "malformed_answer"),
        ("nothing", answer("200 OK", &["content-type: application/json"], ""), "malformed_answer"),
        ("half of JSON", json(r#"{"access_token":"T1","#), "malformed_answer"),
        ("no token", json(r#"{"token_type":"Bearer"}"#), "malformed_answer"),
        ("an empty token", json(r#"{"access_token":""}"#), "malformed_answer"),
        ("null", json(r#"{"access_token":null}"#), "malformed_answer"),
        ("a token with a line end", json(r#"{"access_token":"T1\r\nx-admin: yes"}"#), "malformed_answer"),
        ("a token with NUL", json("{\"access_token\":\"T\\u0000\"}"), "malformed_answer"),
        ("another kind of token", json(r#"{"access_token":"T1","token_type":"mac"}"#), "malformed_answer"),
        ("too much", json(&huge), "malformed_answer"),
    ] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        endpoint.answer_always(bytes);
        let proxy = proxy(&upstream, &endpoint, "").await;

        let answer = Downstream::of(&proxy).await.get("/orders").await;

        assert_unavailable(&answer, details);
        assert_eq!((upstream.seen().connections(), endpoint.asked()), (0, 1), "{what}");
        let line = proxy.log_lines_when(1).await.remove(0);
        let told = (&line["token"], &line["attempts"], &line["error"]);
        assert_eq!(told, (&"failed".into(), &0.into(), &"destination_unavailable".into()), "{what}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
}

// R68
#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_503() {
    let upstream = Upstream::saying("hello").await;
    let url = format!("http://127.0.0.1:{}/token", closed_port().await);
    let credential = format!("  api: {{grant: client_credentials, token_url: \"{url}\", client_id: me}}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

    assert_unavailable(&Downstream::of(&proxy).await.get("/").await, "unreachable");
    assert_eq!(upstream.seen().connections(), 0);
}

// R68
#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_503() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.hold();
    let credential = endpoint.credential_with("api", "    request: {timeout: 300ms}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

    let began = Instant::now();
    assert_unavailable(&Downstream::of(&proxy).await.get("/").await, "timeout");

    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(upstream.seen().connections(), 0);
}

// R68
#[tokio::test]
async fn an_answer_that_never_comes_to_its_end_is_503() {
    let upstream = Upstream::saying("hello").await;
    for beginning in
        ["HTTP/1.1 200 OK\r\nx-slow: ", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"access_token\":\"T1\""]
    {
        let endpoint = Upstream::start(move |mut connection| async move {
            connection.request().await;
            connection.send(beginning).await;
            connection.read_to_end().await;
        })
        .await;
        let url = endpoint.url();
        let credential = format!(
            "  api: {{grant: client_credentials, token_url: \"{url}\", client_id: me, request: {{timeout: 300ms}}}}\n"
        );
        let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

        assert_unavailable(&Downstream::of(&proxy).await.get("/").await, "timeout");
    }
    assert_eq!(upstream.seen().connections(), 0);
}

// R68
#[tokio::test]
async fn retry_after_of_the_authorization_server_is_obeyed_and_passed_on() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        endpoint.answer_next(answer(status, &["retry-after: 120"], ""));
        let proxy = proxy(&upstream, &endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;

        let first = downstream.get("/").await;
        assert_unavailable(&first, "unavailable");
        assert_eq!(retry_after(&first), 120);
        for _ in 0..20 {
            let further = downstream.get("/").await;
            assert_unavailable(&further, "unavailable");
            assert!((60..=120).contains(&retry_after(&further)));
        }
        assert_eq!((endpoint.asked(), upstream.seen().connections()), (1, 0), "not asked before its time");
    }
}

// R68
#[tokio::test]
async fn a_refusal_for_good_is_502_with_the_oauth_code_alone() {
    for (status, code) in [
        ("401 Unauthorized", "invalid_client"),
        ("400 Bad Request", "invalid_grant"),
        ("400 Bad Request", "unauthorized_client"),
        ("400 Bad Request", "invalid_scope"),
        ("400 Bad Request", "unsupported_grant_type"),
        ("200 OK", "invalid_client"),
        ("403 Forbidden", "access_denied"),
    ] {
        let captured = Captured::start();
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        endpoint.answer_always(oauth_error(status, code));
        let proxy = proxy(&upstream, &endpoint, "").await;
        let mut downstream = Downstream::of(&proxy).await;

        for _ in 0..20 {
            assert_refused(&downstream.get("/").await, code);
        }

        assert_eq!((endpoint.asked(), upstream.seen().connections()), (1, 0), "{code}: asked once, not per request");
        assert!(captured.text().contains("for your eyes only"), "the log tells the operator what the server said");
    }
}

// R68
#[tokio::test]
async fn a_refusal_that_is_no_oauth_names_its_status() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.answer_always(answer("404 Not Found", &["content-type: text/html"], "<html>for your eyes only</html>"));
    let proxy = proxy(&upstream, &endpoint, "").await;

    assert_refused(&Downstream::of(&proxy).await.get("/").await, "http_404");
}

// R68
#[tokio::test]
async fn what_a_server_invents_as_its_code_cannot_change_the_answer() {
    for code in ["a\\\"; x=\\\"b", "\\r\\nx-admin: yes", "<script>alert(1)</script>", "127.0.0.1 for your eyes only"] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        let body = format!("{{\"error\":\"{code}\"}}");
        endpoint.answer_always(answer("400 Bad Request", &["content-type: application/json"], &body));
        let proxy = proxy(&upstream, &endpoint, "").await;

        assert_refused(&Downstream::of(&proxy).await.get("/").await, "http_400");
    }
}

// R68
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_asked_once_and_not_per_request() {
    let server = AuthorizationServer::start(Dialect::Apiax.settings()).await.unwrap();
    let upstream = Upstream::saying("hello").await;
    let credential = format!(
        "  api: {{grant: password, token_url: \"{}\", client_id: integration-api, username: demo@apiax.example, \
         password: for your eyes only}}\n",
        server.token_url()
    );
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move {
            for _ in 0..3 {
                assert_refused(&downstream.get("/").await, "invalid_grant");
            }
        });
    }
    soon("all answers", callers.join_all()).await;

    assert_eq!((server.token_requests(), upstream.seen().connections()), (1, 0));
}

// R68
#[tokio::test]
async fn a_live_token_serves_on_while_the_authorization_server_is_away() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.say_more(",\"expires_in\":8");
    // Due after two seconds, so that the failed renewal is seen; the rest is room for a machine that is busy.
    let credential = endpoint.credential_with("api", "    refresh: {margin: 4s, ahead: 2s}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    endpoint.answer_always(answer("503 Service Unavailable", &[], ""));
    endpoint.wait_for(2).await;
    for _ in 0..20 {
        assert_eq!(downstream.get("/").await.status(), 200);
    }
    assert!(upstream.requests().iter().all(|request| request.field("authorization") == Some("Bearer T1")));

    // Back before the token's end: nobody has noticed anything.
    endpoint.recover();
    soon("the new token", async {
        while upstream.requests().last().unwrap().field("authorization") != Some("Bearer T2") {
            assert_eq!(downstream.get("/").await.status(), 200);
        }
    })
    .await;
}

// R68
#[tokio::test]
async fn an_expired_token_is_never_sent() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.say_more(",\"expires_in\":1");
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    endpoint.answer_always(answer("503 Service Unavailable", &["retry-after: 600"], ""));
    let refused = soon("the token's end", async {
        loop {
            let answer = downstream.get("/").await;
            if answer.status() != 200 {
                return answer;
            }
        }
    })
    .await;

    assert_unavailable(&refused, "unavailable");
    let so_far = upstream.requests().len();
    for _ in 0..20 {
        assert_unavailable(&downstream.get("/").await, "unavailable");
    }
    assert_eq!(upstream.requests().len(), so_far);
    assert_eq!(endpoint.asked(), 2);
}

// R68
#[tokio::test]
async fn tokens_come_again_soon_after_the_authorization_server_does() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    endpoint.answer_always(answer("503 Service Unavailable", &[], ""));
    let proxy = api.behind_proxy(&endpoint, "").await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_unavailable(&downstream.get("/").await, "unavailable");

    endpoint.recover();
    let back = async { while downstream.get("/").await.status() != 200 {} };
    assert!(tokio::time::timeout(Duration::from_secs(10), back).await.is_ok());

    assert_eq!((endpoint.asked(), api.tokens()), (2, vec!["T1".to_owned()]));
}

// R68, R55
#[tokio::test]
async fn other_routes_are_served_while_one_waits_for_its_token() {
    let (endpoint, other) = (TokenEndpoint::start().await, TokenEndpoint::start().await);
    let upstream = Upstream::saying("hello").await;
    endpoint.hold();
    let proxy = Proxy::new()
        .credential(&endpoint.credential("slow"))
        .credential(&other.credential("well"))
        .route("/slow/", &upstream.url(), "slow", "")
        .route("/well/", &upstream.url(), "well", "")
        .route("/open/", &upstream.url(), "none", "")
        .start()
        .await;
    let (mut waiting, mut downstream) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);

    waiting.send("GET /slow/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    endpoint.wait_for(1).await;
    for path in ["/well/", "/open/", "/well/"] {
        assert_eq!(downstream.get(path).await.status(), 200, "{path}");
    }

    endpoint.release();
    assert_eq!(waiting.answer().await.status(), 200);
}

// R68, R55
#[tokio::test]
async fn the_downstreams_connection_stays_in_step_after_a_failure() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.answer_always(oauth_error("401 Unauthorized", "invalid_client"));
    let proxy = Proxy::new()
        .credential(&endpoint.credential("api"))
        .route("/api/", &upstream.url(), "api", "")
        .route("/open/", &upstream.url(), "none", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        assert_eq!(downstream.post("/api/", "GET /open/smuggled HTTP/1.1\r\n\r\n").await.status(), 502);
        let head = downstream.ask("HEAD /api/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!((head.status(), head.body.len()), (502, 0));
        assert_eq!(downstream.get("/open/").await.body_text(), "hello");
    }
    let paths: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(paths, ["GET / HTTP/1.1"; 3]);
}

// R68
#[tokio::test]
async fn a_secret_file_that_is_gone_is_503_until_it_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "s3cret").unwrap();
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let keys = format!("    client_secret: ${{file:{}}}\n", path.display());
    let credential = endpoint.credential_with("api", &keys);
    let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    std::fs::remove_file(&path).unwrap();

    let answer = downstream.get("/").await;
    assert_unavailable(&answer, "secret_unreadable");
    assert!(!answer.body_text().contains(path.to_str().unwrap()));
    assert_eq!(endpoint.asked(), 0);

    std::fs::write(&path, "s3cret").unwrap();
    soon("the secret", async { while downstream.get("/").await.status() != 200 {} }).await;
}

// R68
#[tokio::test]
async fn a_failure_is_told_to_everybody_who_waited_and_costs_one_attempt() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.hold();
    endpoint.answer_always(answer("503 Service Unavailable", &["retry-after: 60"], ""));
    let proxy = proxy(&upstream, &endpoint, "").await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        waiting.push(downstream);
    }
    endpoint.wait_for(1).await;
    endpoint.release();

    for downstream in &mut waiting {
        assert_unavailable(&downstream.answer().await, "unavailable");
    }
    assert_eq!((endpoint.asked(), upstream.seen().connections()), (1, 0));
}
