use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::telemetry::Metrics;
use crate::token::State;
use crate::token::Status;

/// A running admin listener.
struct Admin {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Admin {
    async fn with(snapshot: Snapshot) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let source: Source = Arc::new(move || snapshot.clone());
        let serving = tokio::spawn(serve(listener, source, async {
            let _dropped_or_sent = stopped.await;
        }));
        Self { address, stop, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads until the connection ends.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        parts(&self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).await)
    }
}

/// Status, head and body.
fn parts(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

fn credential(name: &str, state: State) -> Status {
    Status {
        name: name.to_owned(),
        state,
        expires_in: (state == State::Live).then_some(Duration::from_secs(90)),
        last_error: matches!(state, State::Failing | State::Refused).then(|| "invalid_client".to_owned()),
        requests: vec![("success".to_owned(), 2)],
    }
}

fn snapshot(credentials: Vec<Status>) -> Snapshot {
    Snapshot {
        uptime: Duration::from_secs(61),
        draining: false,
        credentials,
        routes: vec![RouteStatus {
            name: "orders".to_owned(),
            upstream: "api.example:443".to_owned(),
            credential: Some("zpax".to_owned()),
        }],
        token_store: StoreStatus { kind: "memory", trouble: None },
        metrics: Arc::new(Metrics::default()),
    }
}

#[tokio::test]
async fn it_is_healthy_whatever_the_credentials_do() {
    let mut snapshot = snapshot(vec![credential("zpax", State::Refused)]);
    snapshot.draining = true;
    let (status, head, body) = Admin::with(snapshot).await.get("/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    assert!(head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn it_is_ready_while_every_credential_has_a_token_or_was_not_asked() {
    let credentials = vec![credential("zpax", State::Live), credential("apiax", State::Idle)];
    let (status, head, body) = Admin::with(snapshot(credentials)).await.get("/readyz").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["ready"], true);
}

#[tokio::test]
async fn a_credential_without_a_token_is_named_and_it_is_not_ready() {
    for (state, word) in [(State::Failing, "failing"), (State::Refused, "refused")] {
        let credentials = vec![credential("zpax", State::Live), credential("apiax", state)];
        let (status, _, body) = Admin::with(snapshot(credentials)).await.get("/readyz").await;
        assert_eq!(status, 503);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["ready"], false);
        let failing = body["failing"].as_array().unwrap();
        assert_eq!(failing.len(), 1);
        assert_eq!(failing[0]["name"], "apiax");
        assert_eq!(failing[0]["state"], word);
        assert_eq!(failing[0]["last_error"], "invalid_client");
    }
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready() {
    let mut snapshot = snapshot(vec![credential("zpax", State::Live)]);
    snapshot.draining = true;
    let (status, _, body) = Admin::with(snapshot).await.get("/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["draining"], true);
}

#[tokio::test]
async fn metrics_bear_the_open_metrics_type_and_the_credentials_figures() {
    let (status, head, body) =
        Admin::with(snapshot(vec![credential("zpax", State::Live)])).await.get("/metrics?name[]=x").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.contains("\nbearer_proxy_token_requests_total{credential=\"zpax\",outcome=\"success\"} 2\n"));
    assert!(body.contains("\nbearer_proxy_token_expires_seconds{credential=\"zpax\"} 90\n"));
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn status_says_what_runs_and_where_it_leads() {
    let credentials = vec![credential("zpax", State::Live), credential("apiax", State::Failing)];
    let (status, _, body) = Admin::with(snapshot(credentials)).await.get("/status").await;
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": 61,
        "ready": false,
        "draining": false,
        "credentials": [
            { "name": "zpax", "state": "live", "expires_in": 90, "last_error": null },
            { "name": "apiax", "state": "failing", "expires_in": null, "last_error": "invalid_client" },
        ],
        "token_store": { "kind": "memory", "trouble": null },
        "routes": [{ "name": "orders", "upstream": "api.example:443", "credential": "zpax" }],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let (status, head, body) =
        parts(&admin.raw("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await);
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 3"), "{head}");
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let request = "POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let (status, head, body) = parts(&admin.raw(request).await);
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head") && head.contains("content-type: application/problem+json"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], 405);
}

#[tokio::test]
async fn an_unknown_page_is_a_problem() {
    let (status, head, body) = Admin::with(snapshot(Vec::new())).await.get("/metrics/").await;
    assert_eq!(status, 404);
    assert!(head.contains("content-type: application/problem+json"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["title"], "Not Found");
}

// R39
#[tokio::test]
async fn on_loopback_it_answers_to_its_own_names_alone() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let asked = async |target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        parts(&admin.raw(&request).await).0
    };
    let own =
        ["localhost", "LocalHost:9090", "localhost.", "admin.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:9090"];
    for host in own {
        assert_eq!(asked("/status", &format!("Host: {host}\r\n")).await, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "evillocalhost", "10.0.0.1", "[::2]", "127.0.0.1.nip.io"] {
        assert_eq!(asked("/status", &format!("Host: {host}\r\n")).await, 421, "{host}");
    }
    for fields in ["", "Host: \r\n", "Host: localhost\r\nHost: localhost\r\n", "Host: me@localhost\r\n"] {
        assert_eq!(asked("/status", fields).await, 400, "{fields:?}");
    }
    assert_eq!(asked("http://evil.example/status", "Host: localhost\r\n").await, 421);
    assert_eq!(asked("http://localhost/status", "Host: evil.example\r\n").await, 421);
    let old = admin.raw("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(parts(&old).0, 200);
}

#[test]
fn off_loopback_a_probe_may_use_any_name() {
    let at = |address: &str| Hosts::of(Some(address.parse().unwrap()));
    assert_eq!(at("127.0.0.1:1"), Hosts::Own);
    assert_eq!(at("[::1]:1"), Hosts::Own);
    assert_eq!(at("[::ffff:127.0.0.1]:1"), Hosts::Own);
    assert_eq!(at("0.0.0.0:1"), Hosts::Any);
    assert_eq!(at("10.0.0.1:1"), Hosts::Any);
    assert_eq!(Hosts::of(None), Hosts::Own);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let mut stream = admin.connect().await;
    // The answer may come, and the connection end, before all of it is written.
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    let _broken_pipe = stream.write_all(request.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let mut stream = admin.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").await.unwrap();
    let mut rest = Vec::new();
    let _reset_or_end = stream.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn beyond_its_number_of_connections_callers_wait() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    };
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = admin.connect().await;
        ask(&mut stream).await;
        held.push(stream);
    }
    let mut last = admin.connect().await;
    let mut asked = pin!(ask(&mut last));
    assert!(timeout(Duration::from_millis(50), asked.as_mut()).await.is_err(), "it was answered beside 64 others");
    held.pop();
    timeout(Duration::from_secs(5), asked).await.unwrap();
}

#[tokio::test]
async fn at_the_end_idle_connections_are_closed_and_serving_ends() {
    let admin = Admin::with(snapshot(Vec::new())).await;
    let mut stream = admin.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    admin.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), admin.serving).await.unwrap().unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("ok\n"), "{rest}");
    assert!(TcpStream::connect(admin.address).await.is_err());
}
