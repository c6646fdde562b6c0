//! What an operator sees: `/healthz`, `/readyz`, `/status`, `/metrics`, and the access log, line by line.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};

use bearer_proxy::app;
use bearer_proxy::telemetry::settings::LogFormat;
use bearer_proxy::telemetry::{AccessLog, Metrics};

use super::support::token_endpoint::oauth_error;
use super::support::{
    Api, Downstream, Files, Message, Proxy, ProxyBuilder, TokenEndpoint, Upstream, eventually, free_address, parse,
};

/// One route named `api` for everything, with a static token.
fn to(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().static_token("cred", "T0KEN").route("/", &upstream.url(), "cred", "    name: api\n")
}

/// With an admin listener, and where that is.
fn with_admin(builder: ProxyBuilder) -> (ProxyBuilder, std::net::SocketAddr) {
    let admin = free_address();
    (builder.top(&format!("admin: {{address: {admin}}}\n")), admin)
}

async fn admin(address: std::net::SocketAddr, path: &str) -> Message {
    Downstream::connect(address).await.get(path).await
}

#[tokio::test]
async fn healthz_says_ok_and_nothing_can_be_changed() {
    let upstream = Upstream::saying("hello").await;
    let (builder, address) = with_admin(to(&upstream));
    let _proxy = builder.start().await;
    let mut downstream = Downstream::connect(address).await;

    let health = downstream.get("/healthz").await;
    assert_eq!((health.status(), health.body_text()), (200, "ok\n"));
    assert_eq!(health.field("cache-control"), Some("no-store"));
    let head = downstream.ask("HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!((head.status(), head.field("content-length")), (200, Some("3")));
    assert_eq!(downstream.get("/").await.status(), 404);
    let post = downstream.ask("POST /status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!((post.status(), post.field("allow")), (405, Some("GET, HEAD")));
    // R39
    let foreign = downstream.ask("GET /status HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(foreign.status(), 421);
    assert_eq!(upstream.requests().len(), 0);
}

// R38
#[tokio::test]
async fn status_tells_of_routes_and_credentials_and_never_a_token() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let builder = Proxy::new()
        .credential(&endpoint.credential("zpax"))
        .static_token("fixed", "T0KEN")
        .route("/zpax/", &upstream.url(), "zpax", "    name: zpax\n")
        .route("/fixed/", &upstream.url(), "fixed", "    name: fixed\n")
        .route("/open/", &upstream.url(), "none", "    name: open\n");
    let (builder, address) = with_admin(builder);
    let proxy = builder.start().await;

    let before = admin(address, "/status").await;
    assert_eq!(before.json()["credentials"][0]["state"], "idle");
    assert_eq!(Downstream::of(&proxy).await.get("/zpax/x").await.status(), 200);
    let after = admin(address, "/status").await;

    assert_eq!((after.status(), after.field("content-type")), (200, Some("application/json")));
    let status = after.json();
    assert_eq!((&status["ready"], &status["draining"]), (&true.into(), &false.into()));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let zpax = &status["credentials"][0];
    assert_eq!((&zpax["name"], &zpax["state"], &zpax["last_error"]), (&"zpax".into(), &"live".into(), &().into()));
    assert!((3590..=3600).contains(&zpax["expires_in"].as_u64().unwrap()));
    let host = upstream.address().to_string();
    for (number, (name, credential)) in
        [("zpax", Some("zpax")), ("fixed", Some("fixed")), ("open", None)].into_iter().enumerate()
    {
        let route = serde_json::json!({ "name": name, "upstream": host, "credential": credential });
        assert_eq!(status["routes"][number], route);
    }
    for secret in ["T0KEN", "T1", "s3cret"] {
        assert!(!after.body_text().contains(secret), "{}", after.body_text());
    }
}

#[tokio::test]
async fn readyz_names_the_credential_that_fails_until_it_works_again() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let builder = Proxy::new().credential(&endpoint.credential("zpax")).route("/", &upstream.url(), "zpax", "");
    let (builder, address) = with_admin(builder);
    let proxy = builder.start().await;
    assert_eq!(admin(address, "/readyz").await.status(), 200, "nobody has asked yet");

    endpoint.answer_always(oauth_error("401 Unauthorized", "invalid_client"));
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 502);

    let ready = admin(address, "/readyz").await;
    assert_eq!((ready.status(), &ready.json()["ready"]), (503, &false.into()));
    let failing = &ready.json()["failing"][0];
    assert_eq!((&failing["name"], &failing["state"]), (&"zpax".into(), &"refused".into()));
    assert_eq!(failing["last_error"], "invalid_client");
    assert!(!ready.body_text().contains("for your eyes only"), "never the server's text");
}

/// The value of a line of the exposition.
fn value(page: &str, line: &str) -> f64 {
    let start = format!("bearer_proxy_{line} ");
    let found = page.lines().find_map(|one| one.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("{line} is not in\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_count_what_has_passed() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let gone = Upstream::saying("").await.url();
    let builder = Proxy::new()
        .credential(&endpoint.credential("zpax"))
        .route("/", &api.upstream.url(), "zpax", "    name: api\n")
        .route("/gone/", &gone, "none", "    name: gone\n");
    let (builder, address) = with_admin(builder);
    let proxy = builder.start().await;
    let mut downstream = Downstream::of(&proxy).await;
    // Three are served, one of them after a renewal; one finds no upstream, one no route's host, one is not understood.
    assert_eq!(downstream.get("/one").await.status(), 200);
    api.take("T2");
    assert_eq!(downstream.post("/two", "hello").await.status(), 200);
    assert_eq!(downstream.post("/three", "hello!").await.status(), 200);
    assert_eq!(downstream.get("/gone/x").await.status(), 502);
    assert_eq!(downstream.ask("GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").await.status(), 421);
    assert_eq!(downstream.ask("GET /../x HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status(), 400);
    assert_eq!(Downstream::of(&proxy).await.ask("GET / HTTP/1.1\r\n\r\n").await.status(), 400);
    proxy.log_lines_when(7).await;
    eventually("both connections have ended", || {
        proxy.figure(&format!("connections_open{{listener=\"{}\"}}", proxy.address())) == 0
    })
    .await;

    let page = admin(address, "/metrics").await;

    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((page.status(), page.field("content-type")), (200, Some(media_type)));
    let page = page.body_text();
    assert!(page.ends_with("# EOF\n"));
    let (listener, upstream) = (proxy.address(), api.upstream.address());
    let gone = gone.trim_start_matches("http://").trim_end_matches('/').to_owned();
    for (line, expected) in [
        (format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
        ("requests_total{route=\"api\",class=\"2xx\"}".to_owned(), 3.0),
        ("requests_total{route=\"api\",class=\"4xx\"}".to_owned(), 0.0),
        ("requests_total{route=\"gone\",class=\"5xx\"}".to_owned(), 1.0),
        ("requests_refused_total{status=\"421\"}".to_owned(), 1.0),
        ("requests_refused_total{status=\"400\"}".to_owned(), 2.0),
        ("requests_in_flight{route=\"api\"}".to_owned(), 0.0),
        ("request_duration_seconds_count{route=\"api\"}".to_owned(), 3.0),
        ("request_duration_seconds_bucket{le=\"+Inf\",route=\"api\"}".to_owned(), 3.0),
        ("response_first_byte_seconds_count{route=\"api\"}".to_owned(), 3.0),
        ("received_bytes_total{route=\"api\"}".to_owned(), 11.0),
        ("sent_bytes_total{route=\"api\"}".to_owned(), 11.0),
        ("upstream_unauthorized_total{route=\"api\"}".to_owned(), 1.0),
        ("retries_total{route=\"api\",outcome=\"success\"}".to_owned(), 1.0),
        ("retries_total{route=\"api\",outcome=\"renewal_failed\"}".to_owned(), 0.0),
        ("token_requests_total{credential=\"zpax\",outcome=\"success\"}".to_owned(), 2.0),
        (format!("upstream_failures_total{{upstream=\"{gone}\",kind=\"refused\"}}"), 1.0),
        (format!("connections_accepted_total{{listener=\"{listener}\"}}"), 2.0),
        (format!("connections_open{{listener=\"{listener}\"}}"), 0.0),
        ("log_lines_dropped_total{log=\"access\"}".to_owned(), 0.0),
    ] {
        assert_eq!(value(page, &line), expected, "{line} in\n{page}");
    }
    // The retry may find the connection of the first attempt free again, or open another.
    let connections = |what: &str| value(page, &format!("upstream_connections_{what}{{upstream=\"{upstream}\"}}"));
    assert_eq!(connections("opened_total") + connections("reused_total"), 4.0);
    assert_eq!(connections("open"), connections("opened_total"));
    let left = value(page, "token_expires_seconds{credential=\"zpax\"}");
    assert!((3590.0..=3600.0).contains(&left), "{left}");
    assert!(value(page, "request_duration_seconds_sum{route=\"api\"}") > 0.0);
    // R38
    for secret in ["T1", "T2", "s3cret", "evil.example"] {
        assert!(!page.contains(secret), "{secret} in\n{page}");
    }
}

#[tokio::test]
async fn every_family_has_a_type_and_a_help_text() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    proxy.log_lines_when(1).await;
    let page = proxy.metrics();
    let mut family = String::new();
    for line in page.lines().filter(|line| *line != "# EOF") {
        let mut words = line.split([' ', '{']);
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name)) => family = name.to_owned(),
            (Some("#"), Some("TYPE" | "UNIT"), Some(name)) => assert_eq!(name, family),
            (Some(sample), ..) => assert!(sample.starts_with(&family), "{sample} in {family}"),
            _ => panic!("{line}"),
        }
    }
}

/// A line of the access log, without what changes from one time to the next: `time` and `duration_ms`.
fn still(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('=') {
        Some(("time", time)) => {
            assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
            "time=…".to_owned()
        }
        Some(("duration_ms", duration)) => {
            let (whole, decimals) = duration.split_once('.').unwrap();
            assert!(whole.parse::<u64>().is_ok() && decimals.len() == 3, "{duration}");
            "duration_ms=…".to_owned()
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The lines of a file, once there are so many.
async fn lines(files: &Files, name: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines in {name}"), || files.read(name).lines().count() >= count).await;
    files.read(name).lines().map(str::to_owned).collect()
}

// R38: neither query nor fields nor tokens
#[tokio::test]
async fn a_line_of_text_says_what_was_done_for_a_request() {
    let (files, endpoint, api) = (Files::new(), TokenEndpoint::start().await, Api::taking("T1").await);
    let gone = Upstream::saying("").await.url();
    let yaml = Proxy::new()
        .credential(&endpoint.credential("zpax"))
        .route("/", &api.upstream.url(), "zpax", "    name: api\n")
        .route("/gone/", &gone, "none", "    name: gone\n")
        .top(&format!("log: {{access: {}}}\n", files.path("access.log").display()))
        .text();
    let proxy = app::Proxy::start(&parse(&yaml)).await.unwrap();
    let mut downstream = Downstream::connect(proxy.addresses()[0]).await;

    downstream.ask("GET /a%2Fb?q=s3cret HTTP/1.1\r\nhost: localhost\r\nx-request-id: r-1\r\n\r\n").await;
    downstream.post("/echo", "hello").await;
    api.take("T2");
    downstream
        .ask("POST /again HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nx-request-id: a \"b\"=c\r\n\r\nhi")
        .await;
    downstream.get("/gone/x").await;
    downstream.ask("GET /x HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    downstream.ask("HEAD /head HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.ask("GET /x/../y HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let lines = lines(&files, "access.log", 7).await;

    let problem = |status: u16| files_problem_length(&lines, status);
    let expected = [
        "time=… method=GET route=api path=/a%2Fb status=200 bytes_sent=0 bytes_received=0 duration_ms=… attempts=1 token=waited request_id=r-1".to_owned(),
        "time=… method=POST route=api path=/echo status=200 bytes_sent=5 bytes_received=5 duration_ms=… attempts=1 token=cached".to_owned(),
        "time=… method=POST route=api path=/again status=200 bytes_sent=2 bytes_received=2 duration_ms=… attempts=2 token=retried request_id=\"a \\\"b\\\"=c\"".to_owned(),
        format!("time=… method=GET route=gone path=/gone/x status=502 bytes_sent={} bytes_received=0 duration_ms=… attempts=1 token=none error=connection_refused", problem(502)),
        format!("time=… method=GET path=/x status=421 bytes_sent={} bytes_received=0 duration_ms=… attempts=0 token=none error=http_request_denied", problem(421)),
        "time=… method=HEAD route=api path=/head status=200 bytes_sent=0 bytes_received=0 duration_ms=… attempts=1 token=cached".to_owned(),
        format!("time=… method=GET path=/x/../y status=400 bytes_sent={} bytes_received=0 duration_ms=… attempts=0 token=none error=http_request_error", problem(400)),
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(still(line), expected);
    }
    proxy.stop().await;
}

/// How long the body of our own answer with this status was, as the log has it.
fn files_problem_length(lines: &[String], status: u16) -> usize {
    let line = lines.iter().find(|line| line.contains(&format!(" status={status} "))).unwrap();
    let length = line.split("bytes_sent=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!((100..1000).contains(&length), "{line}");
    length
}

#[tokio::test]
async fn a_line_of_json_has_the_same_keys() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let proxy = Proxy::new()
        .credential(&endpoint.credential("zpax"))
        .route("/", &api.upstream.url(), "zpax", "    name: api\n")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.ask("GET /a%2Fb?q=1 HTTP/1.1\r\nhost: localhost\r\nx-request-id: r-\"1\"\r\n\r\n").await;
    api.take("T9");
    let refused = downstream.post("/b", "hello").await;
    assert_eq!(refused.status(), 401);
    let denied = downstream.ask("GET /c HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;

    let mut lines = proxy.log_lines_when(3).await;

    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        assert!(line.remove("time").unwrap().as_str().unwrap().ends_with('Z'));
        assert!(line.remove("duration_ms").unwrap().as_f64().unwrap() > 0.0);
    }
    let expected = serde_json::json!([
        {"method": "GET", "route": "api", "path": "/a%2Fb", "status": 200, "bytes_sent": 0, "bytes_received": 0,
         "attempts": 1, "token": "waited", "request_id": "r-\"1\""},
        {"method": "POST", "route": "api", "path": "/b", "status": 401, "bytes_sent": 7, "bytes_received": 5,
         "attempts": 2, "token": "retried"},
        {"method": "GET", "path": "/c", "status": 421, "bytes_sent": denied.body.len(), "bytes_received": 0,
         "attempts": 0, "token": "none", "error": "http_request_denied"},
    ]);
    assert_eq!(serde_json::Value::from(lines), expected);
}

// A head that was not understood has neither a method nor a path: the log invents none.
#[tokio::test]
async fn a_request_that_was_not_understood_is_logged_as_such() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).start().await;
    assert_eq!(Downstream::of(&proxy).await.ask("DELETE /precious HTTP/1.1\r\n\r\n").await.status(), 400);

    let line = proxy.log_lines_when(1).await.remove(0);

    assert_eq!((&line["method"], &line["path"]), (&"-".into(), &"".into()), "{line}");
    assert_eq!((&line["status"], &line["error"]), (&400.into(), &"http_request_error".into()));
    assert_eq!(line.get("route"), None);
}

#[tokio::test]
async fn a_downstream_that_leaves_before_its_answer_is_499() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.read_to_end().await;
    })
    .await;
    let proxy = to(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    upstream.seen().wait_for(1).await;

    drop(downstream);

    let line = proxy.log_lines_when(1).await.remove(0);
    assert_eq!((&line["status"], &line["error"]), (&499.into(), &"downstream_left".into()), "{line}");
    assert_eq!((&line["attempts"], &line["bytes_sent"]), (&1.into(), &0.into()));
    assert_eq!(proxy.figure("requests_total{route=\"api\",class=\"4xx\"}"), 1);
    assert_eq!(proxy.figure("requests_in_flight{route=\"api\"}"), 0);
}

#[tokio::test]
async fn a_downstream_that_leaves_within_its_answer_is_told_apart_from_one_that_got_it_all() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
        connection.read_to_end().await;
    })
    .await;
    let proxy = to(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.head().await;
    assert_eq!(downstream.read(5).await, b"hello");

    drop(downstream);

    let line = proxy.log_lines_when(1).await.remove(0);
    assert_eq!((&line["status"], &line["bytes_sent"]), (&200.into(), &5.into()), "what it got");
    assert_eq!(line["error"], "downstream_left", "{line}");
}

// R48
#[tokio::test]
async fn an_upstream_that_breaks_off_is_told_as_that() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    })
    .await;
    let proxy = to(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    downstream.read_to_end().await;

    let line = proxy.log_lines_when(1).await.remove(0);

    assert_eq!((&line["status"], &line["error"]), (&200.into(), &"upstream_body_broken_off".into()), "{line}");
    let failures = format!("upstream_failures_total{{upstream=\"{}\",kind=\"body_broken_off\"}}", upstream.address());
    assert_eq!(proxy.figure(&failures), 1);
}

/// A place to write to that takes nothing until it is told to.
#[derive(Clone, Default)]
struct Stalled(Arc<(Mutex<Option<Vec<u8>>>, Condvar)>);

impl Stalled {
    fn flow(&self) {
        *self.0.0.lock().unwrap() = Some(Vec::new());
        self.0.1.notify_all();
    }

    fn lines(&self) -> usize {
        let written = self.0.0.lock().unwrap();
        written.as_ref().map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.1.wait_while(self.0.0.lock().unwrap(), |written| written.is_none()).unwrap();
        written.as_mut().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// DESIGN.md section 1.6: a log that stalls costs lines, and no request
#[tokio::test]
async fn a_log_that_takes_nothing_holds_up_no_request_and_its_losses_are_counted() {
    let upstream = Upstream::saying("hello").await;
    let (metrics, sink) = (Arc::new(Metrics::default()), Stalled::default());
    let log = AccessLog::to(sink.clone(), LogFormat::Json, &metrics).unwrap();
    let proxy = app::Proxy::start_with(&to(&upstream).config(), Arc::clone(&metrics), log).await.unwrap();
    let dropped = || value(&metrics.exposition(Vec::new()), "log_lines_dropped_total{log=\"access\"}");
    let mut downstream = Downstream::connect(proxy.addresses()[0]).await;
    let long = "x".repeat(2000);

    let mut asked = 0;
    while dropped() == 0.0 {
        for _ in 0..100 {
            assert_eq!(downstream.get(&format!("/{long}")).await.status(), 200);
            asked += 1;
        }
        assert!(asked < 200_000, "memory has no bound");
    }

    sink.flow();
    eventually("what was kept is written", || {
        let lost = value(&metrics.exposition(Vec::new()), "log_lines_dropped_total{log=\"access\"}");
        sink.lines() as f64 + lost == f64::from(asked)
    })
    .await;
    assert_eq!(downstream.get("/").await.status(), 200);
    proxy.stop().await;
    assert!(sink.lines() > 1000);
}

// The same, when the log is changed while it stalls: nobody waits for the old one.
#[tokio::test]
async fn a_stalled_log_that_a_reload_replaces_holds_up_nobody() {
    let upstream = Upstream::saying("hello").await;
    let (metrics, sink) = (Arc::new(Metrics::default()), Stalled::default());
    let log = AccessLog::to(sink.clone(), LogFormat::Json, &metrics).unwrap();
    let proxy = app::Proxy::start_with(&to(&upstream).config(), metrics, log).await.unwrap();
    let mut downstream = Downstream::connect(proxy.addresses()[0]).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    let began = std::time::Instant::now();

    proxy.reload(&to(&upstream).top("log: {access: off}\n").config()).await.unwrap();
    // Long enough for all that is behind the scenes to let go of the old one.
    while began.elapsed() < std::time::Duration::from_millis(600) {
        let asked = std::time::Instant::now();
        assert_eq!(downstream.get("/").await.status(), 200);
        assert!(asked.elapsed() < std::time::Duration::from_millis(1500), "{:?}", asked.elapsed());
    }
    sink.flow();
    eventually("the old lines are not lost", || sink.lines() == 1).await;
}
