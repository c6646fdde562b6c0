//! The path that matched the route is the path that is sent, byte for byte; what could be read differently is refused
//! (RFC 3986 §6, RFC 9112 §3.2; R16, R18, R26, R39, R40).

use super::support::refusal::{SMUGGLED, assert_refused, assert_untouched};
use super::support::sent::{assert_sent, first_lines};
use super::support::{Downstream, Proxy, Upstream};

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Every one of these targets is refused with 400, and nothing of any of them goes upstream.
async fn assert_all_refused<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    for target in targets {
        assert_refused(&proxy, get(target.as_ref()), 400).await;
    }
    assert_untouched(&proxy, &upstream).await;
}

const AMBIGUOUS: &[&str] = &[
    // Dot segments, plain.
    "/.",
    "/..",
    "/./",
    "/../",
    "/a/.",
    "/a/..",
    "/a/./b",
    "/a/../b",
    "/../../etc/passwd",
    "//..",
    "/a//../b",
    "/../",
    "/..?x",
    "/.?x=/..",
    // Encoded.
    "/%2e",
    "/%2E",
    "/%2e%2e",
    "/%2e%2E/",
    "/.%2e/a",
    "/%2e./a",
    "/a/%2e%2e/b",
    "/a/%2e/b",
    // Parted by what some take for a slash, or ended by what some cut off.
    "/..%2f",
    "/..%2Fadmin",
    "/a%2f..%2fb",
    "/a%2f..",
    "/%2f..%2f",
    "/..%5cadmin",
    "/a%5c..%5cb",
    "/a%5C%2e%2e",
    "/..%00",
    "/.%00/",
    "/..%00/a",
    "/..;/",
    "/..;/admin",
    "/.;/a",
    "/..;a=b/c",
    "/a/..;",
    "/..%3b/",
    "/..%3B/admin",
    "/%2e%2e;/",
    "/..%3fx",
    "/..%23",
    "/..%20/",
    "/%20../",
    "/..%09",
    // NUL.
    "/a%00",
    "/a%00b",
    "/%00",
    // Encoded twice and more.
    "/%252e%252e/",
    "/%252e",
    "/a/%252e%252e%252fb",
    "/%25%32%65/",
    "/%25252e",
    "/a%255c..%255c",
    "/%252e%252e%255cx",
    "/a%2500",
    "/%2525252525",
    // Overlong UTF-8, and what is no escape at all.
    "/%c0%ae%c0%ae/",
    "/%c0%af..",
    "/%e0%80%ae/",
    "/%",
    "/a%",
    "/a%2",
    "/%zz",
    "/%2",
    "/%u002e",
    "/%%32%65",
    // Characters that no path may have.
    "/a\\b",
    "/\\",
    "/..\\",
    "\\",
    "/a\\..\\b",
];

// R40
#[tokio::test]
async fn a_path_that_another_reader_could_take_for_a_different_one_is_refused() {
    assert_all_refused(AMBIGUOUS).await;
}

// R40: the same where the prefix of a route is cut off, and in absolute form.
#[tokio::test]
async fn such_a_path_is_refused_whatever_the_route_and_the_form() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/api/", &format!("{}v1/", upstream.url()), "api", "")
        .route("/good", &upstream.url(), "api", "")
        .start()
        .await;
    for path in AMBIGUOUS {
        assert_refused(&proxy, get(&format!("/api{path}")), 400).await;
        if path.starts_with('/') {
            assert_refused(&proxy, get(&format!("http://localhost/api{path}")), 400).await;
        }
    }
    assert_eq!(upstream.seen().connections(), 0);
}

// R16
#[tokio::test]
async fn a_target_with_a_character_that_must_be_encoded_is_refused() {
    let controls =
        (0..=0x20_u8).chain([0x7f]).filter(|byte| *byte != b'\n').map(|byte| format!("/a{}b", char::from(byte)));
    let inside_a_query =
        (0..0x20_u8).chain([0x7f]).filter(|byte| *byte != b'\n').map(|byte| format!("/a?b{}c", char::from(byte)));
    let others = [
        "/a#b",
        "/#",
        "/a?b#c",
        "/a?b=\"c\"",
        "/a?#",
        "/a<b",
        "/a>b",
        "/é",
        "/a?é",
        "/\u{202e}",
        "a",
        "",
        "?a",
        "a/b",
        "*",
        "/a b",
        "//a b",
    ];
    assert_all_refused(controls.chain(inside_a_query).chain(others.map(str::to_owned))).await;
}

const CLEAR: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "//",
    "///",
    "/a//b",
    "/a///",
    "/.well-known/x",
    "/a.b/c..d",
    "/...",
    "/a/.../b",
    "/..a",
    "/.a/..b",
    "/a..",
    "/a.",
    "/a;b=c/d",
    "/;a",
    "/a..;b",
    "/a;../b",
    "/a%3Bb",
    "/a%2Fb",
    "/a%2fb",
    "/%2F",
    "/a%5Cb",
    "/%7Euser",
    "/~user",
    "/%41",
    "/a%20b",
    "/a%2520b",
    "/a%0d%0aX:y",
    "/%0D%0AHost:%20evil",
    "/a%0ab",
    "/a%09b",
    "/%E2%82%AC",
    "/%C3%A9",
    "/%ff%fe",
    "/%252F",
    "/a%25",
    "/a:b@c",
    "/@",
    "/:80",
    "/a|b",
    "/a^b",
    "/{id}",
    "/[a]",
    "/a'b",
    "/a\"b",
    "/a!$&'()*+,;=:@-._~",
    "/http://other.example/x",
    "//other.example/x",
    "/x?",
    "/?",
    "/?/../..",
    "/a?b=/../c",
    "/a?%2e%2e/",
    "/a?b?c",
    "/a?b=%zz",
    "/a?%",
    "/a?\\..\\",
    "/a?b|c",
    "/a?x=`y`",
    "/a?x={y:[1]}",
    "/a?access_token=x",
    "/a?a=b&a=c&&=&",
    "/a?+%20",
    "/a?x=http://b/c",
];

// R26, R40
#[tokio::test]
async fn any_other_path_and_query_pass_byte_for_byte() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    let host = format!("host: {}", upstream.address());
    let mut downstream = Downstream::of(&proxy).await;
    for target in CLEAR {
        let answer = downstream.get(target).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.body_text());
        assert_sent(&upstream.requests().pop().unwrap(), &format!("GET {target} HTTP/1.1"), &[&host]);
    }
}

// R26
#[tokio::test]
async fn behind_a_prefix_the_rest_passes_byte_for_byte() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/api/", &format!("{}v1/", upstream.url()), "api", "")
        .start()
        .await;
    let host = format!("host: {}", upstream.address());
    let mut downstream = Downstream::of(&proxy).await;
    for target in CLEAR {
        let answer = downstream.get(&format!("/api{target}")).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.body_text());
        assert_sent(&upstream.requests().pop().unwrap(), &format!("GET /v1{target} HTTP/1.1"), &[&host]);
    }
}

// R40
#[tokio::test]
async fn a_prefix_matches_at_a_segments_border_with_case_and_undecoded() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/api/", &upstream.url(), "api", "")
        .route("/one", &upstream.url(), "api", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    for target in [
        "/", "/apis", "/apis/a", "/API/a", "/Api/a", "/%61pi/a", "/api%2Fa", "/api%2fa", "//api/a", "/api;x/a", "/ap",
        "/ones", "/one%2Fa", "/One", "/?/api/", "/*",
    ] {
        let answer = downstream.get(target).await;
        assert_eq!(answer.status(), 404, "{target}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=destination_not_found"));
    }
    assert_eq!(upstream.seen().connections(), 0);
    for (target, line) in [
        ("/api/a", "GET /a HTTP/1.1"),
        ("/one", "GET / HTTP/1.1"),
        ("/one/a", "GET /a HTTP/1.1"),
        ("/one?x", "GET /?x HTTP/1.1"),
    ] {
        assert_eq!(downstream.get(target).await.status(), 200, "{target}");
        assert_eq!(upstream.requests().pop().unwrap().first_line(), line);
    }
}

/// A proxy whose one route has a host; it keeps the `Host` that it is given.
async fn proxy_for_a_host(upstream: &Upstream) -> Proxy {
    let url = upstream.url();
    Proxy::new()
        .static_token("api", "T0KEN")
        .raw_route(&format!("  - {{host: api.example, upstream: '{url}', credential: api, preserve_host: true}}\n"))
        .start()
        .await
}

// R18, R39
#[tokio::test]
async fn in_absolute_form_the_targets_authority_replaces_host_and_origin_form_goes_upstream() {
    let upstream = Upstream::saying("hello").await;
    let proxy = proxy_for_a_host(&upstream).await;
    for (target, host, line, sent) in [
        ("http://api.example/a?b", "api.example", "GET /a?b HTTP/1.1", "host: api.example"),
        ("http://api.example/a", "evil.example", "GET /a HTTP/1.1", "host: api.example"),
        ("HTTP://api.example/a", "localhost", "GET /a HTTP/1.1", "host: api.example"),
        ("https://api.example:443/a%2Fb//|", "x", "GET /a%2Fb//| HTTP/1.1", "host: api.example:443"),
        ("http://api.example", "api.example", "GET / HTTP/1.1", "host: api.example"),
        ("http://api.example?a", "api.example", "GET /?a HTTP/1.1", "host: api.example"),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.ask(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.body_text());
        assert_sent(&upstream.requests().pop().unwrap(), line, &[sent]);
    }
}

// R18: without `preserve_host` the upstream's own host is sent, whichever was named.
#[tokio::test]
async fn absolute_form_with_our_own_name_is_an_ordinary_request() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    let own = proxy.address();
    let host = format!("host: {}", upstream.address());
    for authority in [own.to_string(), format!("localhost:{}", own.port())] {
        let answer = Downstream::of(&proxy).await.get(&format!("http://{authority}/a")).await;
        assert_eq!(answer.status(), 200, "{authority}: {}", answer.body_text());
        assert_sent(&upstream.requests().pop().unwrap(), "GET /a HTTP/1.1", &[&host]);
    }
    // Another port of this host is another service, and none of ours.
    for authority in ["localhost", "localhost:1", "127.0.0.1"] {
        let answer = Downstream::of(&proxy).await.get(&format!("http://{authority}/a")).await;
        assert_eq!(answer.status(), 403, "{authority}: {}", answer.body_text());
    }
    assert_eq!(upstream.requests().len(), 2);
}

// R18, R39: Host does not help a target whose authority no route names.
#[tokio::test]
async fn absolute_form_with_a_host_that_no_route_names_is_not_proxied() {
    let upstream = Upstream::saying("hello").await;
    let proxy = proxy_for_a_host(&upstream).await;
    for target in [
        "http://evil.example/",
        "http://api.example.evil.example/",
        "http://api.example:8080/",
        "http://169.254.169.254/latest/",
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.ask(format!("GET {target} HTTP/1.1\r\nhost: api.example\r\n\r\n")).await;
        assert_eq!(answer.status(), 403, "{target}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=http_request_denied"));
    }
    assert_eq!(upstream.seen().connections(), 0);
    // One trailing dot is the same name.
    assert_eq!(Downstream::of(&proxy).await.get("http://api.example.:80/x").await.status(), 200);
}

// R18
#[tokio::test]
async fn an_absolute_form_that_is_malformed_or_has_a_user_is_refused() {
    assert_all_refused([
        "http://user@localhost/",
        "http://user:pass@localhost/",
        "http://@localhost/",
        "http://localhost@evil.example/",
        "http://localhost\\@evil.example/",
        "http://",
        "http:///a",
        "http:/a",
        "http:a",
        "http://:80/",
        "http://localhost:x/",
        "http://localhost:65536/",
        "http://localhost:80:80/",
        "http://local host/",
        "http://[::1/",
        "http://[localhost]/",
        "http://localhost#a",
        "http://localhost/#a",
        "http://localhost/a#b",
        "http://localhost\\a",
        "http://local%68ost/",
        "ftp://localhost/",
        "file:///etc/passwd",
        "ws://localhost/",
        "javascript:alert(1)",
        "httpx://localhost/",
        "://localhost/",
        "http//localhost/",
        "http://localhost/../a",
        "http://localhost/%2e%2e/",
        "http://localhost/\\",
        "localhost",
        "localhost/",
        "localhost:80",
        "127.0.0.1:80",
        "[::1]:80",
        "user@localhost:80",
    ])
    .await;
}

// R18
#[tokio::test]
async fn a_star_is_answered_here_for_options_and_refused_for_others() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(answer.text(), "HTTP/1.1 204 No Content\r\n\r\n");
    for request in [
        "GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "options * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "OPTIONS *x HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "OPTIONS ** HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        assert_refused(&proxy, request, 400).await;
    }
    assert_untouched(&proxy, &upstream).await;

    // The connection goes on.
    assert_eq!(downstream.get("/next").await.status(), 200);
}

// R18: nor are the bytes behind a CONNECT, that a hasty client takes for its tunnel's, read as requests.
#[tokio::test]
async fn connect_is_refused_with_everything_behind_it() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;
    let own = upstream.address();
    for target in [
        "localhost:443".to_owned(),
        own.to_string(),
        "/".to_owned(),
        "http://localhost/".to_owned(),
        "api.example:443".to_owned(),
        "*".to_owned(),
        "x".to_owned(),
    ] {
        assert_refused(&proxy, format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n{SMUGGLED}"), 405).await;
        assert_refused(
            &proxy,
            format!("CONNECT {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello"),
            405,
        )
        .await;
    }
    assert_untouched(&proxy, &upstream).await;
}

// R39
#[tokio::test]
async fn no_field_changes_where_a_request_goes() {
    let (one, other) = (Upstream::saying("one").await, Upstream::saying("other").await);
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/one/", &one.url(), "api", "")
        .route("/other/", &other.url(), "api", "")
        .start()
        .await;
    let address = other.address();
    for line in [
        format!("x-forwarded-host: {address}"),
        "x-original-url: /other/".to_owned(),
        "x-rewrite-url: /other/".to_owned(),
        format!("forwarded: host={address}"),
        format!("destination: http://{address}/other/"),
        format!("x-forwarded-server: {address}"),
        "x-forwarded-prefix: /other/".to_owned(),
        "x-http-method-override: DELETE".to_owned(),
        format!("referer: http://{address}/other/"),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        let answer = downstream.ask(format!("GET /one/a HTTP/1.1\r\nhost: localhost\r\n{line}\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.body_text()), (200, "one"), "{line}");
    }
    assert_eq!(first_lines(&one.requests()), ["GET /a HTTP/1.1"; 9]);
    assert_eq!(other.seen().connections(), 0);
}
