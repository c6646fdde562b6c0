//! Workers that share nothing but tokens, limits and figures keep every promise that one runtime keeps; and one worker is
//! one thread (`workers`).

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::{
    Api, Downstream, Files, Message, Process, Proxy, ProxyBuilder, TokenEndpoint, Upstream, eventually, parse, soon,
};

const SEPARATE: &str = "workers: {threads: 2, model: separate}\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// One route for everything, without a credential, served by two workers.
fn to(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().route("/", &upstream.url(), "none", "").top(SEPARATE)
}

/// An upstream that answers with the number of the connection.
async fn numbered() -> Upstream {
    Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            let number = connection.number.to_string();
            connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{number}", number.len())).await;
        }
    })
    .await
}

async fn number(downstream: &mut Downstream) -> String {
    let answer = downstream.get("/").await;
    assert_eq!(answer.status(), 200);
    answer.body_text().to_owned()
}

/// The names of a process's threads, without their numbers.
fn threads(process: &Process) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned()).collect()
}

#[tokio::test]
async fn connections_are_dealt_out_evenly_and_each_worker_has_upstream_connections_of_its_own() {
    let upstream = numbered().await;
    let proxy = to(&upstream).start().await;
    let mut all = Vec::new();
    for _ in 0..6 {
        let mut downstream = Downstream::of(&proxy).await;
        number(&mut downstream).await;
        all.push(downstream);
    }

    let mut with_first = Vec::new();
    for mut downstream in std::mem::take(&mut all) {
        match number(&mut downstream).await.as_str() {
            "1" => with_first.push(downstream),
            _ => all.push(downstream),
        }
    }
    assert_eq!((with_first.len(), all.len()), (3, 3));
    assert_eq!(upstream.seen().connections(), 2);

    // Few that live long do not meet on one of them: where some have gone, the next ones come.
    with_first.truncate(1);
    let open = format!("connections_open{{listener=\"{}\"}}", proxy.address());
    eventually("two have gone", || proxy.figure(&open) == 4).await;
    for _ in 0..2 {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(number(&mut downstream).await, "1");
        with_first.push(downstream);
    }
}

// R66
#[tokio::test]
async fn a_cold_start_on_all_workers_costs_one_token_request() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let builder = Proxy::new().credential(&endpoint.credential("api")).top(SEPARATE);
    let proxy = builder.route("/", &api.upstream.url(), "api", "").start().await;
    endpoint.hold();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move { assert_eq!(downstream.get("/").await.status(), 200) });
    }
    eventually("all of them waiting", || proxy.figure("requests_in_flight{route=\"default\"}") == 100).await;

    endpoint.release();
    soon("all answers", callers.join_all()).await;

    assert_eq!((endpoint.asked(), api.requests().len()), (1, 100));
}

// R66
#[tokio::test]
async fn a_token_that_is_refused_on_all_workers_is_renewed_once() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let builder = Proxy::new().credential(&endpoint.credential("api")).top(SEPARATE);
    let proxy = builder.route("/", &api.upstream.url(), "api", "").start().await;
    let mut all = Vec::new();
    for _ in 0..40 {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.get("/").await.status(), 200);
        all.push(downstream);
    }
    assert_eq!(endpoint.asked(), 1);

    api.take("T2");
    endpoint.hold();
    let mut callers = JoinSet::new();
    for mut downstream in all {
        callers.spawn(async move {
            let answer = downstream.post("/", "hello").await;
            assert_eq!((answer.status(), answer.body_text()), (200, "hello"));
        });
    }
    eventually("all of them refused", || api.tokens().iter().filter(|token| *token == "T1").count() == 80).await;
    endpoint.release();
    soon("all answers", callers.join_all()).await;

    assert_eq!(endpoint.asked(), 2);
}

// R61
#[tokio::test]
async fn a_reload_is_in_force_on_all_workers_and_what_is_under_way_ends_as_it_began() {
    let gate = Arc::new(Semaphore::new(0));
    let (old, new) = (Upstream::gated("old", &gate).await, Upstream::saying("new").await);
    let proxy = to(&old).start().await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send(GET).await;
        all.push(downstream);
    }
    old.seen().wait_for(4).await;

    proxy.running().reload(&to(&new).config()).await.unwrap();

    for _ in 0..4 {
        assert_eq!(Downstream::of(&proxy).await.get("/").await.body_text(), "new");
    }
    gate.add_permits(4);
    for downstream in &mut all {
        assert_eq!(downstream.answer().await.body_text(), "old");
        assert_eq!(downstream.get("/").await.body_text(), "new", "on the same connection");
    }
}

// R60
#[tokio::test]
async fn a_stop_lets_requests_under_way_end_on_all_workers() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::gated("late", &gate).await;
    let proxy = to(&upstream).start().await;
    let address = proxy.address();
    let mut idle = [Downstream::of(&proxy).await, Downstream::of(&proxy).await];
    let mut busy = [Downstream::of(&proxy).await, Downstream::of(&proxy).await];
    for downstream in &mut busy {
        downstream.send(GET).await;
    }
    upstream.seen().wait_for(2).await;

    let stopped = tokio::spawn(proxy.stop());

    for downstream in &mut idle {
        assert!(downstream.is_closed().await);
    }
    assert!(TcpStream::connect(address).await.is_err(), "new connections are refused");
    assert!(!stopped.is_finished());
    gate.add_permits(2);
    for downstream in &mut busy {
        assert_eq!(downstream.answer().await.body_text(), "late");
        assert!(downstream.is_closed().await);
    }
    soon("the end", stopped).await.unwrap();
}

// DESIGN.md section 4, `connections.max`: a promise about the process
#[tokio::test]
async fn an_upstream_gets_no_more_connections_than_it_may_however_many_workers_there_are() {
    let upstream = numbered().await;
    let route = format!("  - upstream: {{url: '{}', connections: {{max: 1}}}}\n    credential: none\n", upstream.url());
    let proxy = Proxy::new().raw_route(&route).top(SEPARATE).start().await;
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move {
            for _ in 0..10 {
                assert_eq!(number(&mut downstream).await, "1");
            }
        });
    }

    soon("all answers", callers.join_all()).await;

    assert_eq!(upstream.seen().connections(), 1);
}

// DESIGN.md section 4, `limits.connections`
#[tokio::test]
async fn a_listener_has_no_more_connections_than_it_may_however_many_workers_there_are() {
    let upstream = numbered().await;
    let proxy = to(&upstream).listener("    limits: {connections: 1}\n").start().await;
    let mut first = Downstream::of(&proxy).await;
    number(&mut first).await;
    let mut second = Downstream::of(&proxy).await;
    second.send(GET).await;
    for _ in 0..20 {
        number(&mut first).await;
    }
    assert_eq!(upstream.requests().len(), 21);

    drop(first);

    assert_eq!(second.answer().await.status(), 200);
}

#[tokio::test]
async fn connections_of_a_unix_socket_are_dealt_out_too() {
    let (files, upstream) = (Files::new(), numbered().await);
    let path = files.path("proxy.sock");
    let yaml = to(&upstream).text().replace("127.0.0.1:0", &format!("unix:{}", path.display()));
    let _proxy = Proxy::from(&parse(&yaml)).await;
    let mut all = Vec::new();
    for expected in ["1", "2"] {
        let mut downstream = Downstream::over(UnixStream::connect(&path).await.unwrap());
        // The first connection upstream is that of the worker who got the first; the second is the other's.
        assert_eq!(downstream.get("/").await.body_text(), expected);
        all.push(downstream);
    }
}

// R60, R61, R66; every worker model with its threads, in the real binary
#[tokio::test]
async fn a_process_serves_reloads_and_drains_whatever_its_workers_are() {
    for (workers, expected) in [
        ("1", None),
        ("{threads: 1, model: separate}", None),
        ("2", Some("tokio-rt-worker")),
        (SEPARATE, Some("worker")),
    ] {
        let workers = workers.trim_start_matches("workers: ").trim();
        let (files, gate, endpoint) = (Files::new(), Arc::new(Semaphore::new(0)), TokenEndpoint::start().await);
        let (api, second) = (Api::taking("T2").await, Upstream::gated("late", &gate).await);
        let builder = |upstream: &Upstream| {
            let builder = Proxy::new().credential(&endpoint.credential("api")).route("/", &upstream.url(), "api", "");
            let top = format!("workers: {workers}\nadmin: {{address: 127.0.0.1:0}}\n");
            builder.top(&top).text()
        };
        let process = Process::serving(&files.write("proxy.yaml", &builder(&api.upstream))).await;
        let kinds = threads(&process);
        assert_eq!(kinds.contains("tokio-rt-worker"), expected == Some("tokio-rt-worker"), "{workers}: {kinds:?}");
        assert_eq!(kinds.contains("worker"), expected == Some("worker"), "{workers}: {kinds:?}");

        let address = process.listening().await;
        let mut all = [Downstream::connect(address).await, Downstream::connect(address).await];
        for downstream in &mut all {
            assert_eq!(downstream.post("/", "hello").await.body_text(), "hello");
        }
        assert_eq!(endpoint.asked(), 2, "{workers}: a first one, which is refused, and another for everybody");

        files.write("proxy.yaml", &builder(&second));
        process.signal("HUP");
        process.stderr.wait_for("is in force").await;
        for downstream in &mut all {
            downstream.send(GET).await;
        }
        let seen: Vec<Message> = second.seen().wait_for(2).await;
        assert!(seen.iter().all(|request| request.field("authorization") == Some("Bearer T2")), "{workers}");

        process.signal("TERM");
        process.stderr.wait_for("stopping").await;
        gate.add_permits(2);
        for downstream in &mut all {
            assert_eq!(downstream.answer().await.body_text(), "late", "{workers}");
            assert!(downstream.is_closed().await);
        }
        let ended = process.ended().await;
        assert_eq!(ended.code, Some(0), "{workers}: {}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 4, "{workers}: the access log is whole: {}", ended.stdout);
    }
}
