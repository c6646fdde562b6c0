//! Grant `token_exchange` (RFC 8693): what a caller brings is exchanged for a token of the upstream's, once for each
//! caller, and goes nowhere else.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::api::{echo, tokens};
use super::support::binary::ended;
use super::support::{
    Captured, Downstream, Files, Message, Proxy, ProxyBuilder, TokenEndpoint, Upstream, answer, eventually,
    json_answer, oauth_error, soon,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An authorization server that exchanges `alice` for `alice-1`, then `alice-2`, as RFC 8693 §2.2.1 shows.
struct Exchanger {
    upstream: Upstream,
    /// A permit for each answer, once it is told to hold them.
    gate: Arc<Semaphore>,
}

impl Exchanger {
    async fn start() -> Self {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (issued, permits) = (Arc::new(Mutex::new(HashMap::<String, usize>::new())), Arc::clone(&gate));
        let upstream = Upstream::start(move |mut connection| {
            let (issued, permits) = (Arc::clone(&issued), Arc::clone(&permits));
            async move {
                while let Some(request) = connection.request().await {
                    permits.acquire().await.unwrap().forget();
                    let answer = exchanged(&request, &mut issued.lock().unwrap());
                    connection.send(answer).await;
                }
            }
        })
        .await;
        Self { upstream, gate }
    }

    fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn release(&self) {
        self.gate.add_permits(100_000);
    }

    /// A credential that asks here, with these further keys at four spaces.
    fn credential(&self, more: &str) -> String {
        let subject = if more.contains("subject_token:") { "" } else { "    subject_token: request\n" };
        let url = self.upstream.url();
        format!(
            "  api:\n    grant: token_exchange\n    token_url: {url}token\n    client_id: gateway\n    \
             client_secret: s3cret\n{subject}{more}"
        )
    }

    /// A proxy before this upstream.
    fn before(&self, upstream: &Upstream, more: &str) -> ProxyBuilder {
        Proxy::new().credential(&self.credential(more)).route("/", &upstream.url(), "api", "")
    }

    fn requests(&self) -> Vec<Message> {
        self.upstream.requests()
    }

    fn asked(&self) -> usize {
        self.requests().len()
    }
}

fn exchanged(request: &Message, issued: &mut HashMap<String, usize>) -> Vec<u8> {
    assert_eq!(param(request, "grant_type").as_deref(), Some(GRANT));
    let Some(subject) = param(request, "subject_token") else {
        return oauth_error("400 Bad Request", "invalid_request");
    };
    if subject.starts_with("mallory") {
        return oauth_error("400 Bad Request", "invalid_request");
    }
    let number = issued.entry(subject.clone()).or_default();
    *number += 1;
    let name = subject.split('.').next().unwrap();
    json_answer(&format!(
        "{{\"access_token\":\"{name}-{number}\",\"issued_token_type\":\"{ACCESS_TOKEN}\",\"token_type\":\"Bearer\",\
         \"expires_in\":3600}}"
    ))
}

fn param(request: &Message, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(&request.body).filter(|(key, _)| key == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    assert!(values.next().is_none(), "{name} is there twice");
    value
}

async fn get_as(proxy: &Proxy, subject: &str) -> Message {
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {subject}\r\n\r\n");
    Downstream::of(proxy).await.ask(request).await
}

#[tokio::test]
async fn what_a_caller_brings_is_exchanged_as_rfc_8693_says_and_goes_nowhere_else() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let actor = directory.path().join("actor");
    fs::write(&actor, "me\n").unwrap();
    let more = format!(
        "    audience: [orders, stock]\n    resource: https://orders.example/\n    scope: [read, write]\n    \
         subject_token_type: jwt\n    requested_token_type: access_token\n    actor_token: ${{file:{}}}\n    \
         actor_token_type: urn:example:actor\n",
        actor.display()
    );
    let proxy = server.before(&upstream, &more).start().await;

    assert_eq!(get_as(&proxy, "alice").await.body_text(), "hello");

    let requests = server.requests();
    let pairs: Vec<_> = url::form_urlencoded::parse(&requests[0].body).into_owned().collect();
    let expected = [
        ("grant_type", GRANT),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token", "alice"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("actor_token", "me"),
        ("actor_token_type", "urn:example:actor"),
        ("scope", "read write"),
        ("audience", "orders"),
        ("audience", "stock"),
        ("resource", "https://orders.example/"),
    ];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(requests[0].field("authorization"), Some("Basic Z2F0ZXdheTpzM2NyZXQ="));
    let seen = upstream.requests();
    assert_eq!(seen[0].fields("authorization"), ["Bearer alice-1"]);
    assert!(!seen[0].text().contains("Bearer alice\r\n"));
}

// R43, R74
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subjects_never_see_each_others_token() {
    let (server, upstream) = (Exchanger::start().await, Upstream::answering_by(echo_token).await);
    let proxy = Arc::new(server.before(&upstream, "").start().await);
    let mut callers = JoinSet::new();
    for number in 0..40 {
        let proxy = Arc::clone(&proxy);
        callers.spawn(async move {
            for _ in 0..10 {
                let subject = format!("s{}", number % 8);
                assert_eq!(get_as(&proxy, &subject).await.body_text(), format!("Bearer {subject}-1"));
            }
        });
    }
    soon("all answers", callers.join_all()).await;
    assert_eq!(server.asked(), 8);
}

fn echo_token(request: &Message) -> Vec<u8> {
    answer("200 OK", &[], request.field("authorization").unwrap_or("none"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_concurrent_requests_of_one_subject_cost_one_exchange() {
    const CALLERS: usize = 500;
    let (server, upstream) = (Exchanger::start().await, Upstream::answering_by(echo).await);
    let more = "    request: {timeout: 60s}\n";
    let route = "    timeouts: {connect: 20s}\n";
    let proxy = Proxy::new().credential(&server.credential(more)).route("/", &upstream.url(), "api", route);
    let proxy = Arc::new(proxy.start().await);
    server.hold();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let proxy = Arc::clone(&proxy);
        callers.spawn(async move { assert_eq!(get_as(&proxy, "alice").await.status(), 200) });
    }
    eventually("all of them waiting", || proxy.figure("requests_in_flight{route=\"default\"}") == 500).await;
    server.release();
    soon("all answers", callers.join_all()).await;
    assert_eq!(server.asked(), 1);
    assert!(tokens(&upstream).iter().all(|token| token == "alice-1"));
    assert_eq!(upstream.requests().len(), CALLERS);
}

#[tokio::test]
async fn a_request_without_a_token_of_its_own_gets_401_and_nobody_is_asked() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let proxy = server.before(&upstream, "").start().await;
    let cases = [
        ("", "Bearer", "no_subject"),
        ("authorization: Basic dTpw\r\n", "Bearer", "no_subject"),
        ("authorization: Bearer\r\n", "Bearer error=\"invalid_token\"", "invalid_token"),
        ("authorization: Bearer a b\r\n", "Bearer error=\"invalid_token\"", "invalid_token"),
        ("authorization: Bearer a\r\nauthorization: Bearer b\r\n", "Bearer error=\"invalid_token\"", "invalid_token"),
    ];
    let mut downstream = Downstream::of(&proxy).await;
    for (fields, challenge, details) in cases {
        let refused = downstream.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
        assert_eq!(refused.status(), 401, "{fields}");
        assert_eq!(refused.field("www-authenticate"), Some(challenge));
        assert_eq!(refused.field("content-type"), Some("application/problem+json"));
        let status = format!("bearer-proxy; error=http_request_denied; details=\"{details}\"");
        assert_eq!(refused.field("proxy-status"), Some(status.as_str()));
    }
    assert_eq!((server.asked(), upstream.requests().len()), (0, 0));
    let lines = proxy.log_lines_when(cases.len()).await;
    assert!(lines.iter().all(|line| line["token"] == "failed" && line["status"] == 401), "{lines:?}");
}

#[tokio::test]
async fn a_subject_that_the_server_refuses_gets_401_and_is_not_asked_about_again() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let proxy = server.before(&upstream, "").top("admin:\n  address: 127.0.0.1:0\n").start().await;
    for _ in 0..5 {
        let refused = get_as(&proxy, "mallory").await;
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(!refused.body_text().contains("eyes"), "{}", refused.body_text());
    }
    assert_eq!(get_as(&proxy, "alice").await.status(), 200);
    assert_eq!((server.asked(), upstream.requests().len()), (2, 1));
    let figures = Downstream::connect(proxy.running().admin_address().unwrap()).await.get("/metrics").await;
    let name = "bearer_proxy_token_requests_total";
    let counts: Vec<_> = figures.body_text().lines().filter(|line| line.starts_with(name)).collect();
    let count = |outcome: &str| format!("{name}{{credential=\"api\",outcome=\"{outcome}\"}} 1");
    assert_eq!(counts, [count("invalid_request"), count("success")]);
}

#[tokio::test]
async fn a_client_that_the_server_refuses_is_502_for_everybody_after_one_request() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.answer_always(oauth_error("401 Unauthorized", "invalid_client"));
    let credential = endpoint.credential_with("api", "    grant: token_exchange\n    subject_token: request\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    for subject in ["alice", "bob", "carol"] {
        let refused = get_as(&proxy, subject).await;
        assert_eq!((refused.status(), refused.field("www-authenticate")), (502, None));
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_slow_or_answers_garbage_is_503() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let more = "    grant: token_exchange\n    subject_token: request\n    request: {timeout: 200ms}\n";
    let credential = endpoint.credential_with("api", more);
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    let details = |answer: &Message| {
        assert_eq!(answer.status(), 503);
        assert!(answer.field("retry-after").is_some());
        answer.field("proxy-status").unwrap().split("details=").nth(1).unwrap().to_owned()
    };
    endpoint.answer_next(answer("200 OK", &["content-type: text/html"], "<p>Welcome"));
    assert_eq!(details(&get_as(&proxy, "alice").await), "\"malformed_answer\"");
    endpoint.answer_next(answer("503 Service Unavailable", &[], ""));
    assert_eq!(details(&get_as(&proxy, "bob").await), "\"unavailable\"");
    endpoint.hold();
    assert_eq!(details(&get_as(&proxy, "carol").await), "\"timeout\"");
    endpoint.release();
    // Nobody else is concerned by what failed for these.
    assert_eq!(get_as(&proxy, "dave").await.status(), 200);
    drop(endpoint);
    assert_eq!(details(&get_as(&proxy, "erin").await), "\"unreachable\"");
    assert_eq!(get_as(&proxy, "dave").await.status(), 200);
}

// DESIGN.md section 2
#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_exchanged_anew_once_and_the_request_sent_again() {
    let server = Exchanger::start().await;
    let upstream = Upstream::answering_by(|request| match request.field("authorization") {
        Some("Bearer alice-1") => answer("401 Unauthorized", &["www-authenticate: Bearer error=\"invalid_token\""], ""),
        Some("Bearer bob-1" | "Bearer bob-2") => answer("401 Unauthorized", &[], ""),
        _ => echo(request),
    })
    .await;
    let proxy = server.before(&upstream, "").start().await;
    let post = |subject: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {subject}\r\ncontent-length: 5\r\n\r\nhello"
        )
    };
    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask(post("alice")).await;
    assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
    assert_eq!(tokens(&upstream), ["alice-1", "alice-2"]);

    // Refused again: passed on, and no storm.
    for _ in 0..5 {
        assert_eq!(downstream.ask(post("bob")).await.status(), 401);
    }
    assert_eq!(server.asked(), 4);
    assert_eq!(downstream.ask(post("alice")).await.status(), 200, "bob's cooldown is bob's");
}

/// An unsigned JWT of `alice` that ends so many seconds from now.
fn jwt(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = i64::try_from(now).unwrap() + seconds;
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("alice{}.{}.c2ln", part("{\"alg\":\"none\"}".to_owned()), part(format!("{{\"exp\":{exp}}}")))
}

#[tokio::test]
async fn no_token_outlives_its_subject() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let proxy = server.before(&upstream, "").start().await;
    let expired = get_as(&proxy, &jwt(-1)).await;
    assert_eq!((expired.status(), expired.field("www-authenticate")), (401, Some("Bearer error=\"invalid_token\"")));
    assert_eq!(server.asked(), 0, "the server could only say so too");

    // The exchanged one says that it lives for an hour.
    let subject = jwt(2);
    assert_eq!(get_as(&proxy, &subject).await.status(), 200);
    soon("the subject's end", async {
        while get_as(&proxy, &subject).await.status() == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(get_as(&proxy, &subject).await.status(), 401);
}

#[tokio::test]
async fn a_subject_from_a_file_is_read_anew_and_serves_everybody() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let subject = directory.path().join("subject");
    fs::write(&subject, "pod-a\n").unwrap();
    let more = format!("    subject_token: ${{file:{}}}\n    lifetime: {{max: 1s}}\n", subject.display());
    let proxy = server.before(&upstream, &more).start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(get_as(&proxy, "somebody").await.status(), 200);
    assert_eq!(tokens(&upstream), ["pod-a-1", "pod-a-1"]);

    fs::write(&subject, "pod-b\n").unwrap();
    soon("the new subject", async {
        while tokens(&upstream).last().unwrap() != "pod-b-1" {
            assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
        }
    })
    .await;
}

// R38
#[tokio::test]
async fn neither_subject_nor_token_is_told_to_anybody() {
    let captured = Captured::start();
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let proxy = server.before(&upstream, "").top("admin:\n  address: 127.0.0.1:0\n").start().await;
    for subject in ["M4RK3Da", "M4RK3Db", "malloryM4RK3D", "M4RK3D%"] {
        get_as(&proxy, subject).await;
    }
    assert_eq!(server.asked(), 3);
    let admin = proxy.running().admin_address().unwrap();
    let mut told = vec![captured.text(), proxy.metrics()];
    assert!(told[0].contains("token.fetch"));
    told.extend(proxy.log_lines_when(4).await.iter().map(ToString::to_string));
    for page in ["/status", "/metrics", "/readyz"] {
        told.push(Downstream::connect(admin).await.get(page).await.body_text().to_owned());
    }
    for text in told {
        assert!(!text.contains("M4RK3D"), "{text}");
    }
}

// DESIGN.md section 7
#[tokio::test]
async fn the_command_token_wants_the_subject_that_a_request_would_bring() {
    let (server, upstream) = (Exchanger::start().await, Upstream::saying("hello").await);
    let files = Files::new();
    let file = files.write("proxy.yaml", &server.before(&upstream, "").text());
    let subject = files.write("subject", "alice\n");
    let refused = files.write("refused", "mallory\n");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let token = |subject: Option<String>| {
        let arguments = ["token".to_owned(), "api".to_owned(), "--config".to_owned(), path(&file)];
        let subject = subject.map(|subject| ["--subject".to_owned(), subject]);
        let all: Vec<_> = arguments.into_iter().chain(subject.into_iter().flatten()).collect();
        async move { ended(&all.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };

    let without = token(None).await;
    assert_eq!((without.code, without.stdout.as_str()), (Some(2), ""));
    assert!(without.stderr.contains("give one with --subject FILE"), "{}", without.stderr);
    let with = token(Some(path(&subject))).await;
    assert_eq!((with.code, with.stdout.as_str(), with.stderr.as_str()), (Some(0), "alice-1\n", ""));
    let explained = token(Some(path(&refused))).await;
    assert_eq!((explained.code, explained.stdout.as_str()), (Some(1), ""));
    assert!(explained.stderr.contains("grant token_exchange"), "{}", explained.stderr);
    assert!(explained.stderr.contains("check that the subject token is of this server"), "{}", explained.stderr);
    assert!(!explained.stderr.contains("mallory"), "{}", explained.stderr);

    let explain = ended(&["explain", "GET", "/", "--config", &path(&file)]).await;
    assert!(explain.stdout.contains("exchange    the request's own bearer token"), "{}", explain.stdout);
}
