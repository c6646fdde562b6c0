//! A reload takes effect at once, as a whole or not at all, and nobody who is being served notices (R61).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bearer_proxy::app;
use bearer_proxy::config::Config;
use bearer_proxy::demo::{AuthorizationServer, Dialect};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::support::{
    Authority, Downstream, Files, Proxy, ProxyBuilder, TokenEndpoint, Upstream, eventually, free_address, parse, soon,
};

/// One route for everything, with a static token.
fn to(upstream: &Upstream, token: &str) -> ProxyBuilder {
    Proxy::new().static_token("api", token).route("/", &upstream.url(), "api", "")
}

/// The configuration of a file with these listeners.
fn listening_on(builder: &ProxyBuilder, listeners: &[String]) -> Config {
    let listeners: String = listeners.iter().map(|address| format!("  - address: {address}\n")).collect();
    parse(&builder.text().replace("  - address: 127.0.0.1:0\n", &listeners))
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

// R61
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_twenty_reloads() {
    let (one, two) = (Upstream::saying("one").await, Upstream::saying("two").await);
    let configs = [to(&one, "0NE").config(), to(&two, "TW0").config()];
    let proxy = Arc::new(Proxy::from(&configs[0]).await);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (proxy, stop, answered) = (Arc::clone(&proxy), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut downstream = Downstream::of(&proxy).await;
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    // Half of them come anew each time; the others stay, and send bodies as well.
                    let answer = match number % 2 {
                        0 => Downstream::of(&proxy).await.get("/").await,
                        _ if count % 2 == 0 => downstream.post("/", "hello").await,
                        _ => downstream.get("/").await,
                    };
                    assert_eq!(answer.status(), 200, "{}", answer.body_text());
                    assert!(matches!(answer.body_text(), "one" | "two"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    for reload in 1..=20 {
        let so_far = answered.load(Ordering::Relaxed);
        eventually("requests between two reloads", || {
            answered.load(Ordering::Relaxed) >= so_far + 20 || clients.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
        proxy.running().reload(&configs[reload % 2]).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);

    for client in clients {
        soon("a client", client).await.expect("no request fails");
    }
    // R39, R43: a token never goes to the other's upstream
    assert!(one.requests().iter().all(|request| request.fields("authorization") == ["Bearer 0NE"]));
    assert!(two.requests().iter().all(|request| request.fields("authorization") == ["Bearer TW0"]));
    assert!(!two.requests().is_empty());
}

// R61
#[tokio::test]
async fn new_routes_and_tokens_are_used_by_the_next_request_on_the_same_connection() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream, "0LD").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/a/x").await.status(), 200);

    let next = Proxy::new().static_token("api", "N3W").route("/b/", &upstream.url(), "api", "").config();
    proxy.running().reload(&next).await.unwrap();

    assert_eq!(downstream.get("/a/x").await.status(), 404);
    assert_eq!(downstream.get("/b/x").await.status(), 200);
    let seen: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| (request.first_line().to_owned(), request.field("authorization").unwrap().to_owned()))
        .collect();
    let expected = [("GET /a/x HTTP/1.1", "Bearer 0LD"), ("GET /x HTTP/1.1", "Bearer N3W")];
    assert_eq!(seen, expected.map(|(line, token)| (line.to_owned(), token.to_owned())));
}

// R61
#[tokio::test]
async fn a_stream_and_a_request_under_way_live_on_although_their_route_is_gone() {
    let gate = Arc::new(Semaphore::new(0));
    let late = Upstream::gated("late", &gate).await;
    let opened = Arc::clone(&gate);
    let events = Upstream::start(move |mut connection| {
        let gate = Arc::clone(&opened);
        async move {
            connection.request().await;
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
            gate.acquire().await.unwrap().forget();
            connection.send("5\r\nworld\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let proxy = to(&late, "T0KEN").route("/events/", &events.url(), "api", "").start().await;
    let (mut stream, mut waiting) = (Downstream::of(&proxy).await, Downstream::of(&proxy).await);
    stream.send("GET /events/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    stream.head().await;
    assert!(stream.read_through(b"hello\r\n").await.is_some());
    waiting.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello").await;
    eventually("the request's way to the upstream", || late.seen().connections() == 1).await;

    let other = Upstream::saying("other").await;
    proxy.running().reload(&Proxy::new().route("/", &other.url(), "none", "").config()).await.unwrap();
    assert_eq!(Downstream::of(&proxy).await.get("/").await.body_text(), "other");

    waiting.send("world").await;
    late.seen().wait_for(1).await;
    gate.add_permits(2);
    assert_eq!(waiting.answer_to("POST").await.unwrap().body_text(), "late");
    assert!(stream.read_through(b"5\r\nworld\r\n0\r\n\r\n").await.is_some());
    for mut downstream in [stream, waiting] {
        assert_eq!(downstream.get("/").await.body_text(), "other", "their connections go on with what is new");
    }
    assert_eq!(late.requests()[0].body, b"helloworld");
}

// R61, R66
#[tokio::test]
async fn tokens_of_credentials_that_did_not_change_are_kept_and_others_are_asked_for_anew() {
    let (kept, changed) = (TokenEndpoint::start().await, TokenEndpoint::start().await);
    let upstream = Upstream::saying("hello").await;
    let file = |secret: &str, routes: &[&str]| {
        let credentials = kept.credential("kept") + &changed.credential("changed").replace("s3cret", secret);
        let all = Proxy::new().credential(&credentials).route("/changed/", &upstream.url(), "changed", "");
        routes.iter().fold(all, |all, path| all.route(path, &upstream.url(), "kept", "")).config()
    };
    let proxy = Proxy::from(&file("s3cret", &["/kept/"])).await;
    let ask = async |path: &str| assert_eq!(Downstream::of(&proxy).await.get(path).await.status(), 200);
    ask("/kept/").await;
    ask("/changed/").await;

    proxy.running().reload(&file("another", &["/kept/", "/kept/too/"])).await.unwrap();
    ask("/kept/").await;
    ask("/kept/too/").await;
    ask("/changed/").await;

    assert_eq!((kept.asked(), changed.asked()), (1, 2));
    let tokens: Vec<_> = upstream.requests().iter().map(|one| one.field("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer T1", "Bearer T1", "Bearer T1", "Bearer T1", "Bearer T2"]);
}

// R61: a token request under way serves those who wait for it, reload or not
#[tokio::test]
async fn a_request_that_waits_for_its_token_gets_it_across_a_reload() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let file = |more: &str| {
        Proxy::new().credential(&endpoint.credential("api")).route("/", &upstream.url(), "api", more).config()
    };
    let proxy = Proxy::from(&file("")).await;
    endpoint.hold();
    let mut downstream = Downstream::of(&proxy).await;
    downstream.send(GET).await;
    endpoint.wait_for(1).await;

    soon("the reload", proxy.running().reload(&file("    keep_prefix: true\n"))).await.unwrap();
    endpoint.release();

    assert_eq!(downstream.answer().await.status(), 200);
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(endpoint.asked(), 1);
}

// R61, R66
#[tokio::test]
async fn a_reload_cuts_off_no_refresh_that_begins_while_it_waits_for_another() {
    let (one, two) = (TokenEndpoint::start().await, TokenEndpoint::start().await);
    let upstream = Upstream::saying("hello").await;
    let keys = |more: &str| format!("    grant: refresh_token\n    refresh_token: first\n{more}");
    let file = |more: &str| {
        let credentials = one.credential_with("one", &keys(more)) + &two.credential_with("two", &keys(more));
        let proxy = Proxy::new().credential(&credentials).route("/one/", &upstream.url(), "one", "");
        proxy.route("/two/", &upstream.url(), "two", "")
    };
    let admin = free_address();
    let next = file("    request: {timeout: 9s}\n").route("/new/", &upstream.url(), "none", "");
    let next = next.top(&format!("admin:\n  address: {admin}\n")).config();
    one.say_more(",\"refresh_token\":\"second\",\"expires_in\":3600");
    one.hold();
    two.hold();
    let proxy = Arc::new(file("").start().await);
    let mut waiting = Downstream::of(&proxy).await;
    waiting.send("GET /two/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    two.wait_for(1).await;
    let reloading = {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { proxy.running().reload(&next).await })
    };
    soon("the reload's wait", async {
        while TcpStream::connect(admin).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    // The first credential had nothing to end when the reload began to wait for the second.
    let mut impatient = Downstream::of(&proxy).await;
    impatient.send("GET /one/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    one.wait_for(1).await;
    drop(impatient);
    two.release();
    soon("the new routes", async { while Downstream::of(&proxy).await.get("/new/").await.status() != 200 {} }).await;
    one.release();
    soon("the reload", reloading).await.unwrap().unwrap();

    assert_eq!(Downstream::of(&proxy).await.get("/one/").await.status(), 200);
    let last = one.requests().pop().unwrap();
    assert!(String::from_utf8_lossy(&last.body).contains("refresh_token=second"), "{last:?}");
}

// DESIGN.md section 1.7
#[tokio::test]
async fn what_cannot_be_run_is_refused_as_a_whole() {
    let (files, upstream, other) = (Files::new(), Upstream::saying("old").await, Upstream::saying("new").await);
    let authority = Authority::new("ours");
    let (certificate, _) = files.pair("one", &authority.issue("localhost"));
    let (_, key) = files.pair("two", &authority.issue("localhost"));
    let (taken, first, second) = (upstream.address(), free_address(), free_address());
    let old = to(&upstream, "0LD").top("log: {access: off}\n");
    let proxy = app::Proxy::start(&listening_on(&old, &[first.to_string()])).await.unwrap();
    let mut downstream = Downstream::connect(first).await;
    assert_eq!(downstream.get("/").await.body_text(), "old");

    let tls = format!("{second}\n    tls: {{certificate: {}, private_key: {}}}", certificate.display(), key.display());
    let unix = format!("unix:{}", files.path("new.sock").display());
    let new = || to(&other, "N3W");
    let off = "log: {access: off}\n";
    let directory = files.path("log");
    std::fs::create_dir(&directory).unwrap();
    let log = format!("log: {{access: {}/access.log}}\n", directory.display());
    let gone = listening_on(&new().top(&log), &[first.to_string()]);
    std::fs::remove_dir(&directory).unwrap();
    for (config, what) in [
        (
            listening_on(&new().top(off), &[first.to_string(), second.to_string(), taken.to_string()]),
            "cannot listen on",
        ),
        (listening_on(&new().top(off), &[unix.clone(), taken.to_string()]), "cannot listen on"),
        (listening_on(&new().top(off), &[first.to_string(), tls]), "is not the key of the first certificate"),
        (
            listening_on(&new().top(&format!("{off}admin: {{address: {taken}}}\n")), &[second.to_string()]),
            "(admin.address)",
        ),
        (gone, "the access log cannot be opened"),
    ] {
        let error = proxy.reload(&config).await.expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
        assert_eq!(downstream.get("/").await.body_text(), "old", "{what}: on the old connection");
        assert_eq!(Downstream::connect(first).await.get("/").await.body_text(), "old", "{what}: on a new one");
        assert_eq!(proxy.addresses(), [first]);
        eventually("what was opened for it is closed again", || std::net::TcpStream::connect(second).is_err()).await;
        assert!(!files.path("new.sock").exists());
    }
    assert!(other.requests().is_empty());

    proxy.reload(&listening_on(&new().top(off), &[first.to_string(), second.to_string()])).await.unwrap();
    assert_eq!(downstream.get("/").await.body_text(), "new");
    assert_eq!(Downstream::connect(second).await.get("/").await.body_text(), "new");
}

// R60, R61
#[tokio::test]
async fn listeners_come_go_and_stay() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, late) = (Upstream::saying("hello").await, Upstream::gated("late", &gate).await);
    let builder = to(&upstream, "T0KEN").route("/late/", &late.url(), "api", "").top("log: {access: off}\n");
    let [stays, goes, comes] = [free_address(), free_address(), free_address()];
    let config = |addresses: &[std::net::SocketAddr]| {
        listening_on(&builder, &addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let proxy = app::Proxy::start(&config(&[goes, stays])).await.unwrap();
    let mut staying = Downstream::connect(stays).await;
    let (mut idle, mut busy) = (Downstream::connect(goes).await, Downstream::connect(goes).await);
    for downstream in [&mut staying, &mut idle, &mut busy] {
        assert_eq!(downstream.get("/").await.status(), 200);
    }
    busy.send("GET /late/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    late.seen().wait_for(1).await;

    proxy.reload(&config(&[stays, comes])).await.unwrap();

    assert_eq!(proxy.addresses(), [stays, comes]);
    assert!(idle.is_closed().await);
    assert!(TcpStream::connect(goes).await.is_err());
    assert_eq!(staying.get("/").await.status(), 200, "its connections are not touched");
    assert_eq!(Downstream::connect(comes).await.get("/").await.status(), 200);

    // The address can be had again although a request on the old socket is still under way.
    proxy.reload(&config(&[goes, stays])).await.unwrap();
    assert_eq!(Downstream::connect(goes).await.get("/").await.status(), 200);
    gate.add_permits(1);
    assert_eq!(busy.answer().await.body_text(), "late");
    assert!(busy.is_closed().await);
    soon("the end of the proxy", proxy.stop()).await;
}

#[tokio::test]
async fn listeners_on_any_free_port_keep_their_ports() {
    let upstream = Upstream::saying("hello").await;
    let builder = to(&upstream, "T0KEN").top("log: {access: off}\n");
    let config = |count: usize| listening_on(&builder, &vec!["127.0.0.1:0".to_owned(); count]);
    let proxy = app::Proxy::start(&config(3)).await.unwrap();
    let before = proxy.addresses();

    proxy.reload(&config(4)).await.unwrap();

    let after = proxy.addresses();
    assert_eq!((after.len(), &after[..3]), (4, &before[..]));
    for address in after {
        assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_listener_takes_to_tls_and_back_for_new_connections() {
    let (files, upstream, authority) = (Files::new(), Upstream::saying("hello").await, Authority::new("ours"));
    let (certificate, key) = files.pair("server", &authority.issue("localhost"));
    let tls = format!("    tls: {{certificate: {}, private_key: {}}}\n", certificate.display(), key.display());
    let (plain, encrypted) = (to(&upstream, "T").config(), to(&upstream, "T").listener(&tls).config());
    let proxy = Proxy::from(&plain).await;
    let mut before = Downstream::of(&proxy).await;
    assert_eq!(before.get("/").await.status(), 200);

    proxy.running().reload(&encrypted).await.unwrap();

    // Let in without the encryption that is asked for now.
    assert!(before.is_closed().await);
    let stream =
        super::support::certificates::connect_tls(proxy.address(), "localhost", &authority.client(None)).await.unwrap();
    assert_eq!(Downstream::over(stream).get("/").await.status(), 200);
    proxy.running().reload(&plain).await.unwrap();
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
}

// R39: rules of access are looked at for each request
#[tokio::test]
async fn rules_of_access_change_for_open_connections_too() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream, "T0KEN").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    let strict = to(&upstream, "T0KEN").listener("    hosts: [other.example]\n").config();
    proxy.running().reload(&strict).await.unwrap();

    assert_eq!(downstream.get("/").await.status(), 421);
}

// R39, R61: what was decided before a reload counts no longer, and what is decided after it does
#[tokio::test]
async fn each_reload_has_the_hosts_of_an_open_connection_judged_anew() {
    let upstream = Upstream::saying("hello").await;
    let with = |hosts: &str| to(&upstream, "T0KEN").listener(hosts).config();
    let of_route = to(&upstream, "T0KEN")
        .listener("    hosts: [other.example]\n")
        .route("/of-host/", &upstream.url(), "api", "    host: localhost\n")
        .config();
    let proxy = to(&upstream, "T0KEN").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..2 {
        for (config, status) in [
            (with("    hosts: [other.example]\n"), 421),
            (with("    hosts: [localhost]\n"), 200),
            (with("    hosts: ['*.localhost']\n"), 421),
            (of_route.clone(), 200),
            (with("    hosts: [other.example]\n"), 421),
            (with(""), 200),
        ] {
            proxy.running().reload(&config).await.unwrap();
            for _ in 0..3 {
                assert_eq!(downstream.get("/").await.status(), status);
            }
        }
    }
}

#[tokio::test]
async fn the_admin_listener_moves_goes_and_comes() {
    let upstream = Upstream::saying("hello").await;
    let (one, two) = (free_address(), free_address());
    let with = |admin: Option<std::net::SocketAddr>| {
        let admin = admin.map(|address| format!("admin: {{address: {address}}}\n"));
        to(&upstream, "T0KEN").top(&admin.unwrap_or_default()).config()
    };
    let proxy = Proxy::from(&with(Some(one))).await;
    let health = async |address| match TcpStream::connect(address).await {
        Ok(stream) => Some(Downstream::over(stream).get("/healthz").await.status()),
        Err(_) => None,
    };
    assert_eq!(health(one).await, Some(200));

    proxy.running().reload(&with(Some(two))).await.unwrap();
    assert_eq!(health(two).await, Some(200));
    eventually("the old one is closed", || std::net::TcpStream::connect(one).is_err()).await;

    proxy.running().reload(&with(None)).await.unwrap();
    assert_eq!(proxy.running().admin_address(), None);
    eventually("the old one is closed", || std::net::TcpStream::connect(two).is_err()).await;

    proxy.running().reload(&with(Some(one))).await.unwrap();
    let mut admin = Downstream::connect(one).await;
    proxy.running().reload(&with(Some(one))).await.unwrap();
    assert_eq!(admin.get("/healthz").await.status(), 200, "where it stays, its connections stay");
}

#[tokio::test]
async fn the_access_log_changes_place_and_form() {
    let (files, upstream) = (Files::new(), Upstream::saying("hello").await);
    let log = |log: &str| to(&upstream, "T0KEN").top(&format!("log: {{{log}}}\n")).text();
    let file = |name: &str| format!("access: {}", files.path(name).display());
    let proxy = app::Proxy::start(&parse(&log(&file("one.log")))).await.unwrap();
    let mut downstream = Downstream::connect(proxy.addresses()[0]).await;
    let mut ask = async |path: &str, name: &str, start: &str| {
        assert_eq!(downstream.get(path).await.status(), 200);
        eventually("its line", || files.read(name).lines().any(|line| line.starts_with(start) && line.contains(path)))
            .await;
    };
    ask("/first", "one.log", "time=").await;

    proxy.reload(&parse(&log(&format!("{}, format: json", file("two.log"))))).await.unwrap();
    ask("/second", "two.log", "{\"time\":").await;
    proxy.reload(&parse(&log("access: off"))).await.unwrap();
    assert_eq!(downstream.get("/third").await.status(), 200);
    proxy.reload(&parse(&log(&file("one.log")))).await.unwrap();
    assert_eq!(downstream.get("/fourth").await.status(), 200);
    proxy.stop().await;

    assert_eq!(files.read("one.log").lines().count(), 2);
    assert_eq!(files.read("two.log").lines().count(), 1);
}

#[tokio::test]
async fn the_drain_that_counts_is_that_of_the_last_file() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::gated("never", &gate).await;
    let drain = |drain: &str| to(&upstream, "T0KEN").top(&format!("shutdown: {{drain: {drain}}}\n")).config();
    let proxy = Proxy::from(&drain("1h")).await;
    let mut busy = Downstream::of(&proxy).await;
    busy.send(GET).await;
    upstream.seen().wait_for(1).await;

    proxy.running().reload(&drain("50ms")).await.unwrap();

    soon("the end of the proxy", proxy.stop()).await;
    assert!(busy.is_closed().await);
}

// R61: figures go on counting
#[tokio::test]
async fn figures_are_kept_across_a_reload() {
    let upstream = Upstream::saying("hello").await;
    let proxy = to(&upstream, "T0KEN").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.get("/").await;
    proxy.running().reload(&to(&upstream, "N3W").config()).await.unwrap();
    downstream.get("/").await;
    let name = proxy.log_lines_when(2).await[0]["route"].as_str().unwrap().to_owned();

    assert_eq!(proxy.figure(&format!("requests_total{{route=\"{name}\",class=\"2xx\"}}")), 2);
    assert_eq!(proxy.figure(&format!("connections_accepted_total{{listener=\"{}\"}}", proxy.address())), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_at_the_same_time_come_one_after_the_other() {
    let upstream = Upstream::saying("hello").await;
    let builder = to(&upstream, "T0KEN").top("log: {access: off}\n");
    let addresses = [free_address(), free_address(), free_address()];
    let proxy = Arc::new(app::Proxy::start(&listening_on(&builder, &[addresses[0].to_string()])).await.unwrap());

    let all = (0..12).map(|number| {
        let config = listening_on(&builder, &[addresses[0].to_string(), addresses[1 + number % 2].to_string()]);
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { proxy.reload(&config).await })
    });
    let all: Vec<_> = all.collect();
    for reload in all {
        // The socket that the one before gave up may not be closed yet: then it is refused, as a whole.
        let _ = soon("a reload", reload).await.unwrap();
    }

    assert_eq!(proxy.addresses().len(), 2);
    for address in proxy.addresses() {
        assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    }
}

// R66: what a real authorization server sees of twenty reloads
#[tokio::test]
async fn reloads_cost_the_authorization_server_nothing() {
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    let upstream = Upstream::saying("hello").await;
    let config = Proxy::new()
        .client_credentials("zpax", &server, "    scope: [orders.read]\n")
        .route("/", &upstream.url(), "zpax", "")
        .config();
    let proxy = Proxy::from(&config).await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..20 {
        assert_eq!(downstream.get("/").await.status(), 200);
        proxy.running().reload(&config).await.unwrap();
    }
    assert_eq!(server.token_requests(), 1);
}
