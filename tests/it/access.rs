//! Who may call, under which name, and from which page (R39, R69): a listener on loopback puts credentials on requests
//! of this host's programs, and not on those of a web page that a browser here has open.

use super::support::proxy_yaml_error;
use super::support::{Downstream, Message, Proxy, ProxyBuilder, Upstream};

/// A request with these fields, `Host` included.
fn request(fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET / HTTP/1.1\r\n{fields}\r\n")
}

fn builder(upstream: &Upstream) -> ProxyBuilder {
    Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", "").raw_route(&format!(
        "  - {{host: api.example, path: /, upstream: '{0}', credential: api}}\n\
         \x20 - {{host: '*.wild.example', path: /, upstream: '{0}', credential: api}}\n",
        upstream.url()
    ))
}

async fn ask(proxy: &Proxy, fields: &[&str]) -> Message {
    Downstream::of(proxy).await.ask(request(fields)).await
}

fn is_denied(answer: &Message, status: u16) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=http_request_denied"));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["status"], status);
}

// R39
#[tokio::test]
async fn a_loopback_listener_answers_to_its_own_names_and_those_of_routes() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let port = proxy.address().port();
    let own = ["localhost", "LocalHost", "app.localhost", "localhost.", "127.0.0.1", "127.8.9.10", "[::1]"];
    let routed = ["api.example", "API.example", "api.example.", "a.wild.example", "a.b.wild.example"];
    for name in own.into_iter().chain(routed) {
        for host in [format!("host: {name}"), format!("host: {name}:{port}")] {
            assert_eq!(ask(&proxy, &[&host]).await.status(), 200, "{host}");
        }
    }
}

// R39: DNS rebinding
#[tokio::test]
async fn any_other_host_is_misdirected_and_no_token_leaves() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    for name in [
        "evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "api.example.evil.example",
        "wild.example",
        "192.168.0.1",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "[::]",
        "[::2]",
    ] {
        is_denied(&ask(&proxy, &[&format!("host: {name}")]).await, 421);
    }
    assert_eq!(upstream.requests().len(), 0);
}

// R39: none of these is looked at
#[tokio::test]
async fn no_other_field_stands_in_for_the_host() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let fields = ["x-forwarded-host: localhost", "forwarded: host=localhost", "x-host: localhost", "x-original-url: /"];
    for field in fields {
        is_denied(&ask(&proxy, &["host: evil.example", field]).await, 421);
        assert_eq!(ask(&proxy, &["host: localhost", &field.replace("localhost", "evil.example")]).await.status(), 200);
    }
    assert_eq!(upstream.requests().len(), fields.len());
}

// R69
#[tokio::test]
async fn a_foreign_page_is_refused() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let port = proxy.address().port();
    let host = format!("host: localhost:{port}");
    for fields in [
        vec!["origin: https://evil.example"],
        vec!["origin: null"],
        vec!["Origin: http://localhost:1"],
        vec!["origin: https://evil.example", "origin: https://evil.example"],
        vec!["origin: nonsense"],
        vec!["origin:"],
        vec!["sec-fetch-site: cross-site"],
        vec!["Sec-Fetch-Site: cross-site", "sec-fetch-mode: navigate"],
        vec!["sec-fetch-site: cross-site", "origin: https://evil.example"],
    ] {
        let all = [&[host.as_str()][..], &fields].concat();
        is_denied(&ask(&proxy, &all).await, 403);
    }
    assert_eq!(upstream.requests().len(), 0);
}

// R69
#[tokio::test]
async fn programs_and_our_own_pages_are_served() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let port = proxy.address().port();
    let host = format!("host: localhost:{port}");
    let own = format!("origin: http://localhost:{port}");
    for fields in [
        vec![],
        vec!["sec-fetch-site: none"],
        vec!["sec-fetch-site: same-origin"],
        vec!["sec-fetch-site: same-origin", own.as_str()],
        vec![own.as_str()],
    ] {
        let all = [&[host.as_str()][..], &fields].concat();
        assert_eq!(ask(&proxy, &all).await.status(), 200, "{fields:?}");
    }
}

// R69
#[tokio::test]
async fn pages_of_allowed_origins_are_served_even_across_sites() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream)
        .listener("    allowed_origins: [https://app.example, 'http://localhost:3000']\n")
        .start()
        .await;
    for (origin, status) in [
        ("https://app.example", 200),
        ("https://app.example:443", 200),
        ("http://localhost:3000", 200),
        ("http://app.example", 403),
        ("https://app.example:8443", 403),
        ("https://app.example.evil.example", 403),
        ("http://localhost:3001", 403),
        ("null", 403),
    ] {
        let origin = format!("origin: {origin}");
        let answer = ask(&proxy, &["host: localhost", &origin, "sec-fetch-site: cross-site"]).await;
        assert_eq!(answer.status(), status, "{origin}");
    }
    let without_origin = ask(&proxy, &["host: localhost", "sec-fetch-site: cross-site"]).await;
    is_denied(&without_origin, 403);
}

// R69: a page's preflight is no way around, and neither is a method that browsers send without one
#[tokio::test]
async fn no_method_is_exempt() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    for method in ["GET", "POST", "OPTIONS", "DELETE", "BREW"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\r\n");
        is_denied(&Downstream::of(&proxy).await.ask(request).await, 403);
    }
    let preflight = "OPTIONS * HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    is_denied(&Downstream::of(&proxy).await.ask(preflight).await, 421);
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn hosts_names_what_a_listener_answers_to_instead() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).listener("    hosts: [proxy.corp, '*.gateway.corp']\n").start().await;
    for (host, status) in [
        ("proxy.corp", 200),
        ("PROXY.corp:8080", 200),
        ("a.gateway.corp", 200),
        ("api.example", 200),
        ("gateway.corp", 421),
        ("localhost", 421),
        ("127.0.0.1", 421),
        ("evil.example", 421),
    ] {
        assert_eq!(ask(&proxy, &[&format!("host: {host}")]).await.status(), status, "{host}");
    }
}

// A request refused by these rules leaves the connection in step: the next one is served.
#[tokio::test]
async fn a_refusal_costs_nobody_the_connection() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    is_denied(&downstream.ask(request(&["host: evil.example"])).await, 421);
    is_denied(&downstream.ask(request(&["host: localhost", "origin: https://evil.example"])).await, 403);
    let with_body = "POST / HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 5\r\n\r\nhello";
    is_denied(&downstream.ask(with_body).await, 421);
    assert_eq!(downstream.get("/").await.status(), 200);
}

// R39, R70: that one host was admitted says nothing of another
#[tokio::test]
async fn two_hosts_in_turn_on_one_connection_are_each_judged() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..3 {
        for (host, status) in [
            ("localhost", 200),
            ("evil.example", 421),
            ("api.example", 200),
            ("localhost.evil.example", 421),
            ("localhos", 421),
            ("LOCALHOST", 200),
        ] {
            let answer = downstream.ask(request(&[&format!("host: {host}")])).await;
            assert_eq!(answer.status(), status, "{host}");
            // Again, and from a place where it is not looked for first.
            let answer = downstream.ask(request(&["accept: */*", &format!("host: {host}")])).await;
            assert_eq!(answer.status(), status, "{host}");
        }
    }
    assert_eq!(upstream.requests().len(), 18);
}

// R18, R39: in absolute form it is the target that counts, whatever Host was admitted before
#[tokio::test]
async fn a_target_in_absolute_form_is_judged_on_a_connection_whose_host_is_known() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..3 {
        assert_eq!(downstream.get("/").await.status(), 200);
        let answer = downstream.ask("GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(answer.status(), 403);
    }
    assert_eq!(upstream.requests().len(), 3);
}

// R69
#[tokio::test]
async fn each_request_of_a_connection_is_asked_which_page_had_it_sent() {
    let upstream = Upstream::saying("hello").await;
    let proxy = builder(&upstream).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..3 {
        assert_eq!(downstream.get("/").await.status(), 200);
        for field in ["origin: https://evil.example", "Origin: null", "sec-fetch-site: cross-site"] {
            is_denied(&downstream.ask(request(&["host: localhost", field])).await, 403);
            is_denied(&downstream.ask(request(&[field, "host: localhost"])).await, 403);
        }
        let ours = request(&["host: localhost", "origin: http://localhost", "sec-fetch-site: same-origin"]);
        assert_eq!(downstream.ask(ours).await.status(), 200);
    }
    assert_eq!(upstream.requests().len(), 6);
}

// R69
#[tokio::test]
async fn access_anyone_looks_at_neither_host_nor_origin() {
    let upstream = Upstream::saying("hello").await;
    let yaml = builder(&upstream).listener("    access: anyone\n").text().replace("127.0.0.1:0", "0.0.0.0:0");
    let proxy = Proxy::from(&super::support::parse(&yaml)).await;
    let address = ([127, 0, 0, 1], proxy.address().port()).into();
    let fields = ["host: evil.example", "origin: https://evil.example", "sec-fetch-site: cross-site"];
    let answer = Downstream::connect(address).await.ask(request(&fields)).await;
    assert_eq!(answer.status(), 200);
}

/// An address of this host that is not loopback, if it has one.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing: asks the system which address it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

// R69
#[tokio::test]
async fn access_local_off_loopback_refuses_callers_by_another_address() {
    let Some(own) = own_address() else {
        eprintln!("skipped: this host has no address but loopback");
        return;
    };
    let upstream = Upstream::saying("hello").await;
    let yaml = builder(&upstream).listener("    access: local\n").text().replace("127.0.0.1:0", "0.0.0.0:0");
    let proxy = Proxy::from(&super::support::parse(&yaml)).await;
    let port = proxy.address().port();

    let from_afar = Downstream::connect((own, port).into()).await.ask(request(&["host: localhost"])).await;
    is_denied(&from_afar, 403);
    let from_here = Downstream::connect(([127, 0, 0, 1], port).into()).await.ask(request(&["host: localhost"])).await;
    assert_eq!(from_here.status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}

// R69
#[test]
fn a_listener_off_loopback_must_say_who_may_call() {
    let yaml = "\
listeners:
  - address: 0.0.0.0:8080
  - address: '[::]:8081'
  - address: 192.0.2.1:8082
  - address: systemd:web
  - address: 127.0.0.1:8083
  - address: '[::1]:8084'
  - address: unix:/run/proxy.sock
routes:
  - {path: /, upstream: https://api.example/, credential: none}
";
    let problems = proxy_yaml_error(yaml).problems;
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 4, 5], "{problems:?}");
    for problem in problems {
        assert!(problem.message.contains("access: local") && problem.message.contains("access: anyone"), "{problem}");
    }
}
