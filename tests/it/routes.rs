//! Which route a request takes, and what becomes of its path (DESIGN.md section 4).

use super::support::{Downstream, Message, Proxy, ProxyBuilder, Upstream};

/// An upstream that says by which path each request came to it: every route leads to it by one of its own.
async fn mirror() -> Upstream {
    Upstream::answering_by(|request| {
        let path = request.first_line().split(' ').nth(1).unwrap().to_owned();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()).into_bytes()
    })
    .await
}

/// A file of routes, each `conditions => name`: conditions as YAML in one line, and the name as the upstream's path.
fn routes(upstream: &Upstream, all: &[(&str, &str)]) -> ProxyBuilder {
    all.iter().fold(Proxy::new(), |builder, (name, conditions)| {
        let upstream = upstream.url();
        builder.raw_route(&format!(
            "  - {{name: {name}, {conditions}, upstream: '{upstream}{name}/', credential: none}}\n"
        ))
    })
}

/// Which of those routes a request takes; `None`: none.
async fn taken(proxy: &Proxy, request: &str) -> Option<String> {
    let answer = Downstream::of(proxy).await.ask(format!("{request}\r\n\r\n")).await;
    match answer.status() {
        404 => {
            assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=destination_not_found"));
            None
        }
        status => {
            assert_eq!(status, 200, "{request}: {}", answer.text());
            Some(answer.body_text().split('/').nth(1).unwrap().to_owned())
        }
    }
}

async fn take(proxy: &Proxy, cases: &[(&str, Option<&str>)]) {
    for (request, expected) in cases {
        assert_eq!(taken(proxy, request).await.as_deref(), *expected, "{request}");
    }
}

#[tokio::test]
async fn an_exact_host_comes_before_a_wildcard_and_that_before_any() {
    let upstream = mirror().await;
    let proxy = routes(
        &upstream,
        &[
            ("any-long", "path: /a/b/c/"),
            ("any", "path: /"),
            ("wide", "host: '*.example', path: /"),
            ("narrow", "host: '*.api.example', path: /"),
            ("exact", "host: one.api.example, path: /a/"),
        ],
    )
    .start()
    .await;
    take(
        &proxy,
        &[
            ("GET /a/b/c/ HTTP/1.1\r\nhost: one.api.example", Some("exact")),
            ("GET /a/b/c/ HTTP/1.1\r\nhost: ONE.api.EXAMPLE:8080", Some("exact")),
            ("GET /b HTTP/1.1\r\nhost: one.api.example", Some("narrow")),
            ("GET /a/ HTTP/1.1\r\nhost: two.api.example", Some("narrow")),
            ("GET /a/b/c/ HTTP/1.1\r\nhost: api.example", Some("wide")),
            ("GET /a/b/c/ HTTP/1.1\r\nhost: localhost", Some("any-long")),
            ("GET /a/b/ HTTP/1.1\r\nhost: localhost", Some("any")),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_longer_path_wins_at_segment_boundaries_and_case_counts() {
    let upstream = mirror().await;
    let proxy = routes(
        &upstream,
        &[("a-slash", "path: /a/"), ("ab", "path: /a/b"), ("ab-slash-c", "path: /a/b/c/"), ("x", "path: /x")],
    )
    .start()
    .await;
    take(
        &proxy,
        &[
            ("GET /a/ HTTP/1.1\r\nhost: localhost", Some("a-slash")),
            ("GET /a HTTP/1.1\r\nhost: localhost", None),
            ("GET /ab HTTP/1.1\r\nhost: localhost", None),
            ("GET /a/b HTTP/1.1\r\nhost: localhost", Some("ab")),
            ("GET /a/b/ HTTP/1.1\r\nhost: localhost", Some("ab")),
            ("GET /a/bc HTTP/1.1\r\nhost: localhost", Some("a-slash")),
            ("GET /a/b/c HTTP/1.1\r\nhost: localhost", Some("ab")),
            ("GET /a/b/c/ HTTP/1.1\r\nhost: localhost", Some("ab-slash-c")),
            ("GET /a/b?x=/c/ HTTP/1.1\r\nhost: localhost", Some("ab")),
            ("GET /a%2Fb HTTP/1.1\r\nhost: localhost", None),
            ("GET /a/b%2Fc/ HTTP/1.1\r\nhost: localhost", Some("a-slash")),
            ("GET /A/b HTTP/1.1\r\nhost: localhost", None),
            ("GET /x;y HTTP/1.1\r\nhost: localhost", None),
            ("GET /%78 HTTP/1.1\r\nhost: localhost", None),
            ("GET //a/ HTTP/1.1\r\nhost: localhost", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn more_conditions_come_before_fewer_and_then_the_order_of_the_file() {
    let upstream = mirror().await;
    let proxy = routes(
        &upstream,
        &[
            ("plain", "path: /a/"),
            ("post", "path: /a/, methods: [POST, PUT]"),
            ("kind", "path: /a/, headers: {x-kind: big}"),
            ("post-kind", "path: /a/, methods: [POST], headers: {x-kind: big}"),
            ("two", "path: /a/, headers: {x-kind: big, x-more: '1'}"),
        ],
    )
    .start()
    .await;
    take(
        &proxy,
        &[
            ("GET /a/ HTTP/1.1\r\nhost: localhost", Some("plain")),
            ("PUT /a/ HTTP/1.1\r\nhost: localhost", Some("post")),
            ("put /a/ HTTP/1.1\r\nhost: localhost", Some("plain")),
            ("GET /a/ HTTP/1.1\r\nhost: localhost\r\nX-KIND: big", Some("kind")),
            ("GET /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: Big", Some("plain")),
            ("GET /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: small\r\nx-kind: big", Some("kind")),
            ("PUT /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: big", Some("post")),
            ("POST /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: big", Some("post-kind")),
            ("GET /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: big\r\nx-more: 1", Some("two")),
            ("POST /a/ HTTP/1.1\r\nhost: localhost\r\nx-kind: big\r\nx-more: 1", Some("post-kind")),
        ],
    )
    .await;
}

#[tokio::test]
async fn where_conditions_do_not_hold_the_next_less_specific_route_is_taken() {
    let upstream = mirror().await;
    let proxy = routes(
        &upstream,
        &[
            ("host-post", "host: api.example, path: /a/b/, methods: [POST]"),
            ("wild-post", "host: '*.example', path: /a/, methods: [POST]"),
            ("long-post", "path: /a/b/, methods: [POST]"),
            ("short", "path: /a/"),
        ],
    )
    .start()
    .await;
    take(
        &proxy,
        &[
            ("POST /a/b/ HTTP/1.1\r\nhost: api.example", Some("host-post")),
            ("POST /a/c/ HTTP/1.1\r\nhost: api.example", Some("wild-post")),
            ("GET /a/b/ HTTP/1.1\r\nhost: api.example", Some("short")),
            ("POST /a/b/ HTTP/1.1\r\nhost: localhost", Some("long-post")),
            ("GET /a/b/ HTTP/1.1\r\nhost: localhost", Some("short")),
            ("GET /b/ HTTP/1.1\r\nhost: api.example", None),
        ],
    )
    .await;
}

// R25
#[tokio::test]
async fn any_token_is_a_method_and_can_be_matched() {
    let upstream = mirror().await;
    let proxy = routes(&upstream, &[("brew", "path: /, methods: [BREW, M-SEARCH]")]).start().await;
    take(
        &proxy,
        &[
            ("BREW / HTTP/1.1\r\nhost: localhost", Some("brew")),
            ("M-SEARCH / HTTP/1.1\r\nhost: localhost", Some("brew")),
            ("brew / HTTP/1.1\r\nhost: localhost", None),
            ("GET / HTTP/1.1\r\nhost: localhost", None),
        ],
    )
    .await;
    assert_eq!(upstream.requests()[1].first_line(), "M-SEARCH /brew/ HTTP/1.1");
}

// R26
#[tokio::test]
async fn the_prefix_is_replaced_by_the_upstreams_path_and_the_rest_is_sent_as_it_came() {
    let upstream = mirror().await;
    for (path, base, keep, sent, expected) in [
        ("/zpax/", "v1/", false, "/zpax/orders?open=1", "/v1/orders?open=1"),
        ("/zpax/", "v1", false, "/zpax/orders", "/v1/orders"),
        ("/zpax", "v1/", false, "/zpax/orders", "/v1/orders"),
        ("/zpax", "v1", false, "/zpax/orders", "/v1/orders"),
        ("/zpax", "v1/", false, "/zpax", "/v1/"),
        ("/zpax", "v1", false, "/zpax", "/v1"),
        ("/zpax", "v1", false, "/zpax?a=b", "/v1?a=b"),
        ("/zpax", "v1", false, "/zpax/", "/v1/"),
        ("/zpax/", "", false, "/zpax/", "/"),
        ("/zpax", "", false, "/zpax", "/"),
        ("/zpax/", "v1/", true, "/zpax/orders", "/v1/zpax/orders"),
        ("/zpax/", "", true, "/zpax/orders", "/zpax/orders"),
        ("/", "", false, "/", "/"),
        ("/", "", false, "/?", "/?"),
        ("/", "v1/", false, "/?q=a?b/c", "/v1/?q=a?b/c"),
        ("/p/", "v1/", false, "/p//a///b//", "/v1//a///b//"),
        ("/p/", "v1/", false, "/p/a%2Fb%7e;x=1,2|y%25?q=%2f%zz|{}", "/v1/a%2Fb%7e;x=1,2|y%25?q=%2f%zz|{}"),
        ("/p/", "v1/", false, "/p/%C3%BC...%20+&=@:!$'()*", "/v1/%C3%BC...%20+&=@:!$'()*"),
    ] {
        let more = format!("    keep_prefix: {keep}\n");
        let proxy = Proxy::new().route(path, &format!("{}{base}", upstream.url()), "none", &more).start().await;
        let answer = Downstream::of(&proxy).await.get(sent).await;
        assert_eq!((answer.status(), answer.body_text()), (200, expected), "{sent} by {path} to {base:?}");
        proxy.stop().await;
    }
}

async fn ask(proxy: &Proxy, fields: &str) -> Message {
    Downstream::of(proxy).await.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await
}

// R37
#[tokio::test]
async fn without_a_credential_nothing_is_put_on_and_the_callers_own_goes_only_where_that_is_asked_for() {
    let upstream = Upstream::saying("hello").await;
    let own = "Authorization: Bearer mine\r\nProxy-Authorization: Basic eA==\r\n";

    let removing = Proxy::new().route("/", &upstream.url(), "none", "").start().await;
    assert_eq!(ask(&removing, own).await.status(), 200);
    let passing = Proxy::new().route("/", &upstream.url(), "none", "    pass_authorization: true\n").start().await;
    assert_eq!(ask(&passing, own).await.status(), 200);
    assert_eq!(ask(&passing, "").await.status(), 200);

    let sent: Vec<_> = upstream.requests().iter().map(|one| one.fields("authorization").concat()).collect();
    assert_eq!(sent, ["", "Bearer mine", ""]);
    assert!(upstream.requests().iter().all(|one| one.fields("proxy-authorization").is_empty()));
}

#[tokio::test]
async fn fields_are_set_and_removed_both_ways() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nserver: a\r\nx-gone: 1\r\nx-gone: 2\r\nx-set: a\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let more = "    request_headers: {set: {x-tenant: acme, User-Agent: us}, remove: [cookie, X-Gone]}\n    \
                response_headers: {set: {x-set: b, x-new: c}, remove: [Server, x-gone]}\n";
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", more).start().await;

    let answer = ask(&proxy, "X-Tenant: evil\r\nx-tenant: evil\r\ncookie: a\r\nx-gone: b\r\nx-kept: c\r\n").await;

    let request = &upstream.requests()[0];
    assert_eq!(request.fields("x-tenant"), ["acme"]);
    assert_eq!(request.fields("user-agent"), ["us"]);
    assert_eq!(request.fields("x-kept"), ["c"]);
    assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
    assert!(request.fields("cookie").is_empty() && request.fields("x-gone").is_empty());
    assert_eq!((answer.fields("x-set"), answer.fields("x-new")), (vec!["b"], vec!["c"]));
    assert!(answer.fields("server").is_empty() && answer.fields("x-gone").is_empty());
}

// R39, R43
#[tokio::test]
async fn each_route_has_its_own_token_and_its_own_upstream() {
    let (one, two) = (Upstream::saying("one").await, Upstream::saying("two").await);
    let proxy = Proxy::new()
        .static_token("first", "0NE")
        .static_token("second", "TW0")
        .route("/one/", &one.url(), "first", "")
        .route("/two/", &two.url(), "second", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..3 {
        assert_eq!(downstream.get("/one/x").await.body_text(), "one");
        assert_eq!(downstream.get("/two/x").await.body_text(), "two");
    }
    assert!(one.requests().iter().all(|request| request.fields("authorization") == ["Bearer 0NE"]));
    assert!(two.requests().iter().all(|request| request.fields("authorization") == ["Bearer TW0"]));
}
