//! How connections begin, wait and end: slow and silent ones, thousands of them, and an orderly stop (R56 to R60).

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::support::{
    Downstream, Files, Process, Proxy, ProxyBuilder, Upstream, eventually, free_address, parse, soon,
};

/// One route for everything, without a credential.
fn to(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().route("/", &upstream.url(), "none", "")
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

// R56
#[tokio::test]
async fn slow_heads_and_silent_connections_are_cut_and_others_served_meanwhile() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).listener("    timeouts: {request_head: 1s}\n").start().await;
    let began = Instant::now();
    let silent = Downstream::of(&proxy).await;
    let mut half = Downstream::of(&proxy).await;
    half.send("GET / HTTP/1.1\r\nhost: loc").await;
    let mut second_head = Downstream::of(&proxy).await;
    assert_eq!(second_head.get("/").await.status(), 200);
    second_head.send("GET / HTTP/1.1\r\nhost:").await;
    // Total time, and not the time between bytes.
    let dripping = tokio::spawn({
        let mut dripping = Downstream::of(&proxy).await;
        async move {
            dripping.send("GET / HTTP/1.1\r\nx-slow: ").await;
            while tokio::io::AsyncWriteExt::write_all(&mut dripping.stream, b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Instant::now()
        }
    });

    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let asked = Instant::now();
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
        fastest = fastest.min(asked.elapsed());
    }
    assert!(fastest < Duration::from_secs(1), "others wait {fastest:?}");
    for mut cut in [silent, half, second_head] {
        assert!(cut.is_closed().await);
        assert!(began.elapsed() >= Duration::from_millis(990));
    }
    let ended = soon("the end of the dripping head", dripping).await.unwrap();
    assert!(ended - began >= Duration::from_millis(990));
    assert!(upstream.requests().iter().all(|request| request.fields("x-slow").is_empty()));
}

// R56, over TLS and Unix sockets as well: the same reader stands behind all of them
#[tokio::test]
async fn a_silent_unix_connection_is_cut_too() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    let yaml = to(&upstream).listener("    timeouts: {request_head: 200ms}\n").text();
    let config = parse(&yaml.replace("127.0.0.1:0", &format!("unix:{}", path.display())));
    let _proxy = Proxy::from(&config).await;
    let mut silent = Downstream::over(tokio::net::UnixStream::connect(&path).await.unwrap());
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn a_connection_may_wait_for_its_next_request_for_the_idle_time() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).listener("    timeouts: {request_head: 30s, idle: 400ms}\n").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    let last = Instant::now();
    assert_eq!(downstream.get("/").await.status(), 200);

    assert!(downstream.is_closed().await);

    assert!(last.elapsed() >= Duration::from_millis(390));
}

#[tokio::test]
async fn a_request_under_way_is_neither_idle_nor_slow() {
    let (gate, upload) = (Arc::new(Semaphore::new(0)), Upstream::saying("uploaded").await);
    let upstream = Upstream::gated("late", &gate).await;
    let proxy = to(&upstream)
        .route("/upload/", &upload.url(), "none", "")
        .listener("    timeouts: {request_head: 1s, idle: 1s}\n")
        .start()
        .await;
    let (mut waiting, mut sending) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);
    waiting.send(GET).await;
    upstream.seen().wait_for(1).await;
    sending.send("POST /upload/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello").await;

    // Who has nothing under way is cut, twice over.
    for _ in 0..2 {
        let mut idle = Downstream::of(&proxy).await;
        assert_eq!(idle.get("/upload/").await.status(), 200);
        assert!(idle.is_closed().await);
    }

    gate.add_permits(1);
    assert_eq!(waiting.answer().await.body_text(), "late");
    sending.send("world").await;
    assert_eq!(sending.answer_to("POST").await.unwrap().body_text(), "uploaded");
    assert_eq!(upload.requests().last().unwrap().body, b"helloworld");
}

/// What the system allows in open descriptors, here and in processes started from here.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)).unwrap_or("1024");
    soft.parse().unwrap_or(usize::MAX)
}

/// Resident memory in KiB.
fn memory(process: &Process) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn open_descriptors(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

/// The binary in front of this upstream, and where it listens.
async fn binary(files: &Files, builder: ProxyBuilder) -> (Process, SocketAddr) {
    let yaml = builder.top("log: {access: off, level: warn}\n").text();
    let address = free_address();
    let file = files.write("proxy.yaml", &yaml.replace("127.0.0.1:0", &address.to_string()));
    let process = Process::start(super::support::binary::bearer_proxy(&["--config", file.to_str().unwrap()]));
    soon("the proxy's listener", async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    (process, address)
}

// R57
#[tokio::test]
async fn ten_thousand_idle_clients_fit_in_400_mib_and_are_all_usable() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let clients = descriptors().saturating_sub(500).min(10_000);
    if clients < 10_000 {
        eprintln!("scaled down to {clients} clients: `ulimit -n` allows no more");
    }
    let more = "    timeouts: {request_head: 5m, idle: 5m}\n    limits: {connections: 20000}\n";
    let (process, address) = binary(&files, to(&upstream).listener(more)).await;
    let mut all = Vec::with_capacity(clients);
    while all.len() < clients {
        // In batches, so that nobody is turned away by a full accept queue.
        let batch = (0..100.min(clients - all.len())).map(|_| async move {
            let mut downstream = Downstream::connect(address).await;
            assert_eq!(downstream.get("/").await.status(), 200);
            downstream
        });
        all.extend(together(batch).await);
    }

    let used = memory(&process);
    eprintln!("{clients} idle clients: {} MiB", used / 1024);
    assert!(used < 400 * 1024, "{used} KiB");
    for batch in all.chunks_mut(100) {
        let asked = batch.iter_mut().map(|downstream| async { downstream.get("/").await.status() });
        assert!(together(asked).await.iter().all(|status| *status == 200));
    }
    drop(all);
    assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    eventually("descriptors are given back", || open_descriptors(&process) < 300).await;
}

// R57: the memory of a crowd does not stay when the crowd has gone, nor wait for the next caller
#[tokio::test]
async fn what_a_thousand_clients_took_goes_back_to_the_system_when_they_have_gone() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let (process, address) = binary(&files, to(&upstream)).await;
    assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    let before = memory(&process);
    let mut all = Vec::new();
    for _ in 0..1000 {
        let mut downstream = Downstream::connect(address).await;
        // Such a head is held whole until it ends.
        downstream.send(format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "x".repeat(40_000))).await;
        all.push(downstream);
    }
    eventually("the heads are there", || memory(&process) > before + 30_000).await;
    let most = memory(&process);

    drop(all);

    eventually("half of it has gone back", || memory(&process) < before + (most - before) / 2).await;
}

/// All of these futures' results, in order, side by side on this task.
async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().map(Option::unwrap).collect()
}

// R43, R58
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_requests_in_flight_get_each_its_own_answer() {
    let gate = Arc::new(Semaphore::new(0));
    let echo = async || {
        let gate = Arc::clone(&gate);
        Upstream::start(move |mut connection| {
            let gate = Arc::clone(&gate);
            async move {
                while let Some(request) = connection.request().await {
                    let number = request.first_line().split(['/', ' ']).nth(2).unwrap().to_owned();
                    let _released = gate.acquire().await.unwrap();
                    let length = number.len();
                    connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{number}")).await;
                }
            }
        })
        .await
    };
    // Two, since one upstream is given at most 1,024 connections.
    let (one, two) = (echo().await, echo().await);
    let yaml = Proxy::new().route("/1/", &one.url(), "none", "").route("/2/", &two.url(), "none", "");
    let proxy = yaml.start().await;
    let mut asking = Vec::new();
    for number in 0..2000 {
        let mut downstream = Downstream::of(&proxy).await;
        let route = number % 2 + 1;
        downstream.send(format!("GET /{route}/{number} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        asking.push(downstream);
    }
    one.seen().wait_for(1000).await;
    two.seen().wait_for(1000).await;

    gate.add_permits(2000);

    for (number, mut downstream) in asking.into_iter().enumerate() {
        assert_eq!(downstream.answer().await.body_text(), number.to_string());
    }
    assert_eq!(one.requests().len() + two.requests().len(), 2000);
}

// R58
#[tokio::test]
async fn three_thousand_connections_leave_no_descriptor_behind() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let (process, address) = binary(&files, to(&upstream)).await;
    for _ in 0..3 {
        assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    }
    let before = open_descriptors(&process);

    for _ in 0..300 {
        let batch = (0..10).map(|number| async move {
            let mut downstream = Downstream::connect(address).await;
            match number {
                // Ends in order, after a request.
                0..3 => assert_eq!(downstream.get("/").await.status(), 200),
                // Says nothing at all.
                3..5 => {}
                // Leaves inside a head, a body, or before its answer.
                5 => downstream.send("GET / HTTP/1.1\r\nho").await,
                6 => downstream.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nhello").await,
                7 => downstream.send(GET).await,
                // Is refused.
                8 => assert_eq!(downstream.ask("GET / HTTP/1.1\r\n\r\n").await.status(), 400),
                // Resets.
                _ => {
                    downstream.send(GET).await;
                    let stream = downstream.stream.into_std().unwrap();
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        });
        together(batch).await;
    }

    assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    // Some connections to the upstream may lie ready for the next request.
    eventually("descriptors are given back", || open_descriptors(&process) <= before + 20).await;
}

// R59
#[tokio::test]
async fn five_thousand_failures_leave_memory_as_it_was() {
    let (files, upstream) = (Files::new(), Upstream::saying("").await);
    let url = upstream.url();
    drop(upstream);
    let (process, address) = binary(&files, Proxy::new().route("/", &url, "none", "")).await;
    let fail = async |count: usize| {
        let batch = (0..10).map(|_| async {
            let mut downstream = Downstream::connect(address).await;
            for _ in 0..count / 10 {
                assert_eq!(downstream.get("/").await.status(), 502);
            }
        });
        together(batch).await;
    };
    fail(1000).await;
    let before = memory(&process);

    fail(5000).await;

    let after = memory(&process);
    assert!(after < before + 16 * 1024, "{before} KiB before, {after} KiB after");
}

// R60
#[tokio::test]
async fn a_stop_ends_the_idle_at_once_and_lets_requests_under_way_end() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::gated("late", &gate).await;
    let proxy = to(&upstream).start().await;
    let address = proxy.address();
    let mut fresh = Downstream::of(&proxy).await;
    let mut idle = Downstream::of(&proxy).await;
    gate.add_permits(1);
    assert_eq!(idle.get("/").await.status(), 200);
    let mut busy = Downstream::of(&proxy).await;
    busy.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut asking = Downstream::of(&proxy).await;
    asking.send(GET).await;
    upstream.seen().wait_for(2).await;

    let stopping = tokio::spawn(proxy.stop());

    assert!(idle.is_closed().await);
    assert!(fresh.is_closed().await, "it has not asked for anything yet");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "new connections are refused");
    assert!(!stopping.is_finished());
    busy.send("world").await;
    upstream.seen().wait_for(3).await;
    gate.add_permits(2);
    for mut downstream in [asking, busy] {
        let answer = downstream.answer().await;
        assert_eq!((answer.status(), answer.body_text()), (200, "late"));
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(downstream.is_closed().await);
    }
    soon("the end of the proxy", stopping).await.unwrap();
    assert!(upstream.requests().iter().any(|request| request.body == b"helloworld"));
}

// R60
#[tokio::test]
async fn a_stream_goes_on_while_the_proxy_drains() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |mut connection| {
        let gate = Arc::clone(&opened);
        async move {
            connection.request().await;
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for _ in 0..3 {
                connection.send("5\r\nhello\r\n").await;
                gate.acquire().await.unwrap().forget();
            }
            connection.send("0\r\n\r\n").await;
        }
    })
    .await;
    let proxy = to(&upstream).start().await;
    let (mut stream, mut idle) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);
    stream.send(GET).await;
    stream.head().await;
    assert!(stream.read_through(b"hello\r\n").await.is_some());

    let stopping = tokio::spawn(proxy.stop());
    assert!(idle.is_closed().await);

    gate.add_permits(3);
    let rest = stream.read_to_end().await;
    assert_eq!(String::from_utf8(rest).unwrap(), "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n");
    soon("the end of the proxy", stopping).await.unwrap();
}

// R48, R60
#[tokio::test]
async fn what_has_not_ended_when_the_drain_is_over_is_cut_off() {
    let gate = Arc::new(Semaphore::new(0));
    let never = Upstream::gated("never", &gate).await;
    let endless = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        connection.read_to_end().await;
    })
    .await;
    let proxy =
        to(&never).route("/endless/", &endless.url(), "none", "").top("shutdown: {drain: 400ms}\n").start().await;
    let mut waiting = Downstream::of(&proxy).await;
    waiting.send(GET).await;
    let mut stream = Downstream::of(&proxy).await;
    stream.send("GET /endless/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    stream.head().await;
    never.seen().wait_for(1).await;
    let began = Instant::now();

    soon("the end of the proxy", proxy.stop()).await;

    assert!(began.elapsed() >= Duration::from_millis(390));
    assert!(began.elapsed() < Duration::from_secs(10));
    let rest = String::from_utf8(stream.read_to_end().await).unwrap();
    assert_eq!(rest, "5\r\nhello\r\n", "no last chunk");
    assert!(waiting.is_closed().await, "and no invented answer");
}

// R60
#[tokio::test]
async fn with_nothing_under_way_a_stop_takes_no_time() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).top("shutdown: {drain: 1h}\n").start().await;
    let mut all = Vec::new();
    for _ in 0..50 {
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.get("/").await.status(), 200);
        all.push(downstream);
    }
    soon("the end of the proxy", proxy.stop()).await;
    for mut downstream in all {
        assert!(downstream.is_closed().await);
    }
}

// R60
#[tokio::test]
async fn readyz_is_red_while_draining_and_healthz_green() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::gated("late", &gate).await;
    let admin = free_address();
    let proxy = to(&upstream).top(&format!("admin: {{address: {admin}}}\n")).start().await;
    let ready = Downstream::connect(admin).await.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["ready"]), (200, &true.into()));
    let mut idle = Downstream::of(&proxy).await;
    let mut busy = Downstream::of(&proxy).await;
    busy.send(GET).await;
    upstream.seen().wait_for(1).await;

    let stopping = tokio::spawn(proxy.stop());
    assert!(idle.is_closed().await);

    let ready = Downstream::connect(admin).await.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["draining"]), (503, &true.into()));
    assert_eq!(Downstream::connect(admin).await.get("/healthz").await.status(), 200);
    gate.add_permits(1);
    assert_eq!(busy.answer().await.status(), 200);
    soon("the end of the proxy", stopping).await.unwrap();
    assert!(tokio::net::TcpStream::connect(admin).await.is_err());
}
