//! Where the proxy listens: TCP, Unix sockets, sockets of a service manager; several at once, each with its limits.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use bearer_proxy::app;
use tokio::net::UnixStream;

use super::support::binary::clean;
use super::support::{Downstream, Files, Process, Proxy, ProxyBuilder, Upstream, eventually, parse, soon};

/// One route for everything, with a static token.
fn to(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", "")
}

/// The same, with these listeners instead of the one on a free port.
fn listening_on(upstream: &Upstream, listeners: &[&str]) -> String {
    let listeners: String = listeners.iter().map(|address| format!("  - address: {address}\n")).collect();
    to(upstream).text().replace("  - address: 127.0.0.1:0\n", &listeners)
}

async fn over(path: &Path) -> Downstream<UnixStream> {
    Downstream::over(soon("a connection", UnixStream::connect(path)).await.unwrap())
}

async fn start(yaml: &str) -> Result<app::Proxy, app::StartError> {
    app::Proxy::start(&parse(&format!("{yaml}log: {{access: off}}\n"))).await
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_removed_at_the_end() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    let proxy = start(&listening_on(&upstream, &[&format!("unix:{}", path.display())])).await.unwrap();

    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let mut downstream = over(&path).await;
    assert_eq!(downstream.get("/").await.body_text(), "hello");
    assert_eq!(upstream.requests()[0].field("authorization"), Some("Bearer T0KEN"));
    assert_eq!(std::fs::read_dir(files.directory()).unwrap().count(), 1, "nothing else is left beside it");

    // R39: a browser cannot reach it, but the rules are the same
    let foreign = downstream.ask("GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(foreign.status(), 421);

    proxy.stop().await;
    assert!(downstream.is_closed().await);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_that_nobody_listens_on_is_replaced() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    // A process that was killed leaves it behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let _proxy = start(&listening_on(&upstream, &[&format!("unix:{}", path.display())])).await.unwrap();

    assert_eq!(over(&path).await.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_unix_socket_that_is_in_use_or_another_file_is_left_alone() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let (used, file) = (files.path("used.sock"), files.write("file", "precious"));
    let listener = std::os::unix::net::UnixListener::bind(&used).unwrap();
    for (path, what) in [(&used, "another process listens on it"), (&file, "the file is there already, and no socket")]
    {
        let Err(error) = start(&listening_on(&upstream, &[&format!("unix:{}", path.display())])).await else {
            panic!("it started on {}", path.display());
        };
        assert_eq!(error.to_string(), format!("cannot listen on unix:{}: {what}", path.display()));
    }
    assert_eq!(files.read("file"), "precious");
    drop(std::os::unix::net::UnixStream::connect(&used).unwrap());
    drop(listener);
}

#[tokio::test]
async fn two_listeners_serve_side_by_side_each_by_its_own_rules() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    let yaml = to(&upstream).text().replace(
        "  - address: 127.0.0.1:0\n",
        &format!(
            "  - address: 127.0.0.1:0\n  - {{address: '127.0.0.1:0', hosts: [other.example]}}\n  - address: unix:{}\n",
            path.display()
        ),
    );
    let proxy = start(&yaml).await.unwrap();
    let addresses = proxy.addresses();
    assert_eq!(addresses.len(), 2);
    let statuses = async |address| {
        let mut downstream = Downstream::connect(address).await;
        let own = downstream.get("/").await.status();
        (own, downstream.ask("GET / HTTP/1.1\r\nhost: other.example\r\n\r\n").await.status())
    };

    assert_eq!(statuses(addresses[0]).await, (200, 421));
    assert_eq!(statuses(addresses[1]).await, (421, 200));
    assert_eq!(over(&path).await.get("/").await.status(), 200);
}

#[tokio::test]
async fn if_one_listener_cannot_be_opened_none_is() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    let taken = upstream.address().to_string();

    let started = start(&listening_on(&upstream, &[&format!("unix:{}", path.display()), &taken])).await;

    assert_eq!(
        started.err().map(|error| error.to_string().split(": ").next().unwrap().to_owned()),
        Some(format!("cannot listen on {taken}"))
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn ipv6_is_served_where_there_is_some() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: there is no IPv6 here");
        return;
    }
    let upstream = Upstream::saying("hello").await;
    let proxy = start(&listening_on(&upstream, &["'[::1]:0'"])).await.unwrap();
    let address = proxy.addresses()[0];
    assert!(address.is_ipv6());
    let mut downstream = Downstream::connect(address).await;
    for host in [address.to_string(), "[::1]".to_owned(), "localhost".to_owned()] {
        assert_eq!(downstream.ask(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.status(), 200, "{host}");
    }
    assert_eq!(downstream.ask("GET / HTTP/1.1\r\nhost: [::2]\r\n\r\n").await.status(), 421);
}

/// Starts the binary as systemd would: these sockets as descriptors 3 and up, their names, and its process id, in the
/// environment. Sockets arrive as standard input and output of a shell, which moves them.
fn activated(file: &Path, names: &str, sockets: Vec<OwnedFd>) -> Process {
    let count = sockets.len();
    assert!(count <= 2);
    let mut sockets = sockets.into_iter();
    let mut command = Command::new("sh");
    let moves = if count == 2 { "exec 3<&0 4<&1 1>&2" } else { "exec 3<&0" };
    let run = format!(
        "{moves}; export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec {} --config {}",
        env!("CARGO_BIN_EXE_bearer-proxy"),
        file.display()
    );
    clean(&mut command).args(["-c", &run]).stdin(Stdio::from(sockets.next().unwrap()));
    match sockets.next() {
        Some(second) => Process::start_with_stdout(command, Stdio::from(second)),
        None => Process::start(command),
    }
}

#[tokio::test]
async fn sockets_of_a_service_manager_are_found_by_name() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap();
    let path = files.path("passed.sock");
    let local = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // In the file the other way round: names count, not numbers.
    let yaml = listening_on(&upstream, &["systemd:local\n    access: local", "systemd:web\n    access: local"]);
    let file = files.write("proxy.yaml", &format!("{yaml}log: {{access: off}}\n"));

    let process = activated(&file, "web:local", vec![web.into(), local.into()]);
    // A connection may come before the process does: the manager has been listening all the time.
    let mut downstream = Downstream::connect(address).await;
    assert_eq!(downstream.get("/").await.body_text(), "hello");
    assert_eq!(over(&path).await.get("/").await.body_text(), "hello");

    process.signal("HUP");
    process.stderr.wait_for("is in force").await;
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    process.signal("TERM");
    assert_eq!(process.ended().await.code, Some(0));
    assert!(path.exists(), "the socket is the manager's, and not ours to remove");
}

#[tokio::test]
async fn a_socket_that_was_not_passed_is_named() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = files.write("proxy.yaml", &listening_on(&upstream, &["systemd:wbe\n    access: local"]));

    let ended = activated(&file, "web", vec![web.into()]).ended().await;

    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no socket named wbe was passed (LISTEN_FDNAMES=web)"), "{}", ended.stderr);
}

// A descriptor that was closed may be anything else by now: it is not taken for the socket a second time.
#[tokio::test]
async fn a_passed_socket_that_a_reload_closed_needs_a_restart() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let (one, two) =
        (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let address = one.local_addr().unwrap();
    let yaml = |listeners: &[&str]| format!("{}log: {{access: off}}\n", listening_on(&upstream, listeners));
    let (first, second) = ("systemd:one\n    access: local", "systemd:two\n    access: local");
    let file = files.write("proxy.yaml", &yaml(&[first, second]));
    let process = activated(&file, "one:two", vec![one.into(), two.into()]);
    let mut downstream = Downstream::connect(address).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    files.write("proxy.yaml", &yaml(&[first]));
    process.signal("HUP");
    process.stderr.wait_for("is in force").await;
    files.write("proxy.yaml", &yaml(&[first, second]));
    process.signal("HUP");

    let refused = process.stderr.wait_for("the running configuration stays").await;
    assert!(refused.contains("the service manager has to pass it again"), "{refused}");
    assert_eq!(downstream.get("/").await.status(), 200);
}

// R57
#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served_when_there_is_room() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream).listener("    limits: {connections: 2}\n").start().await;
    let (mut first, mut second) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);
    assert_eq!(first.get("/").await.status(), 200);
    assert_eq!(second.get("/").await.status(), 200);

    // The kernel takes it; we do not yet.
    let mut third = Downstream::of(&proxy).await;
    third.send("GET /third HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    for _ in 0..50 {
        assert_eq!(first.get("/").await.status(), 200);
    }
    assert!(upstream.requests().iter().all(|request| !request.first_line().contains("/third")));

    drop(second);
    assert_eq!(third.answer().await.body_text(), "hello");
    drop((first, third));
    for _ in 0..20 {
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200, "room is given back");
    }
}

// R61
#[tokio::test]
async fn a_limit_that_a_reload_raises_lets_those_in_who_wait() {
    let upstream = Upstream::saying("hello").await;
    let limited = |count: usize| to(&upstream).listener(&format!("    limits: {{connections: {count}}}\n")).config();
    let proxy = Proxy::from(&limited(1)).await;
    let mut first = Downstream::of(&proxy).await;
    assert_eq!(first.get("/").await.status(), 200);
    let mut second = Downstream::of(&proxy).await;
    second.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;

    proxy.running().reload(&limited(2)).await.unwrap();

    assert_eq!(second.answer().await.status(), 200);
    assert_eq!(first.get("/").await.status(), 200);
}

// R13
#[tokio::test]
async fn limits_of_a_listener_are_its_own() {
    let upstream = Upstream::saying("hello").await;
    let yaml = to(&upstream).text().replace(
        "  - address: 127.0.0.1:0\n",
        "  - address: 127.0.0.1:0\n  - {address: '127.0.0.1:0', limits: {request_head: 8KiB, headers: 5}}\n",
    );
    let proxy = Proxy::from(&parse(&yaml)).await;
    let addresses = proxy.running().addresses();
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x-many: 1\r\n".repeat(5));
    for request in [long, many] {
        assert_eq!(Downstream::connect(addresses[0]).await.ask(&request).await.status(), 200);
        assert_eq!(Downstream::connect(addresses[1]).await.ask(&request).await.status(), 431);
    }
}

#[tokio::test]
async fn a_socket_given_up_by_a_reload_can_be_had_by_others_at_once() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let path = files.path("proxy.sock");
    let unix = format!("unix:{}", path.display());
    let yaml = |listeners: &[&str]| parse(&format!("{}log: {{access: off}}\n", listening_on(&upstream, listeners)));
    let proxy = app::Proxy::start(&yaml(&["127.0.0.1:0", &unix])).await.unwrap();
    let mut downstream = over(&path).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    for _ in 0..3 {
        proxy.reload(&yaml(&["127.0.0.1:0"])).await.unwrap();
        eventually("the socket is gone", || !path.exists()).await;
        proxy.reload(&yaml(&["127.0.0.1:0", &unix])).await.unwrap();
        assert_eq!(over(&path).await.get("/").await.status(), 200);
    }
}
