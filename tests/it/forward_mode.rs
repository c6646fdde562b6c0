//! The proxy as `HTTP_PROXY`: requests in absolute form are matched by host and path, and go to the route's upstream
//! and nowhere else (R18, R39, R70).

use super::support::{Downstream, Message, Proxy, Upstream};

/// A proxy with a route for `api.example/v1/`, one for `*.wild.example`, and one for any host.
async fn start(api: &Upstream, any: &Upstream) -> Proxy {
    Proxy::new()
        .static_token("api", "T0KEN")
        .static_token("any", "0THER")
        .raw_route(&format!(
            "  - {{host: api.example, path: /v1/, upstream: '{}base/', credential: api}}\n\
             \x20 - {{host: '*.wild.example', path: /, upstream: '{}', credential: api}}\n",
            api.url(),
            api.url()
        ))
        .route("/", &any.url(), "any", "")
        .start()
        .await
}

async fn both() -> (Upstream, Upstream, Proxy) {
    let (api, any) = (Upstream::saying("api").await, Upstream::saying("any").await);
    let proxy = start(&api, &any).await;
    (api, any, proxy)
}

async fn get(proxy: &Proxy, target: &str, fields: &str) -> Message {
    Downstream::of(proxy).await.ask(format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await
}

fn is_denied(answer: &Message) {
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=http_request_denied"));
}

// R18, R26, R70
#[tokio::test]
async fn a_request_in_absolute_form_goes_to_the_routes_upstream_in_origin_form() {
    let (api, _, proxy) = both().await;

    let answer = get(&proxy, "http://api.example/v1/a%2Fb?q=%7E", "Host: api.example\r\n").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "api"));
    let request = &api.requests()[0];
    assert_eq!(request.first_line(), "GET /base/a%2Fb?q=%7E HTTP/1.1");
    assert_eq!(request.fields("host"), [api.address().to_string()]);
    assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
}

// R18
#[tokio::test]
async fn the_targets_host_counts_and_not_the_field() {
    let (api, any, proxy) = both().await;

    let answer = get(&proxy, "http://api.example/v1/x", "Host: localhost\r\n").await;
    assert_eq!(answer.body_text(), "api");
    let own = format!("http://localhost:{}/v1/x", proxy.address().port());
    let answer = get(&proxy, &own, "Host: api.example\r\n").await;
    assert_eq!(answer.body_text(), "any");
    is_denied(&get(&proxy, "http://evil.example/v1/x", "Host: api.example\r\n").await);

    assert_eq!((api.requests().len(), any.requests().len()), (1, 1));
    assert_eq!(any.requests()[0].field("authorization"), Some("Bearer 0THER"));
}

#[tokio::test]
async fn host_may_be_preserved_and_is_then_the_targets() {
    let upstream = Upstream::saying("api").await;
    let route = format!(
        "  - {{host: api.example, path: /, upstream: '{}', credential: none, preserve_host: true}}\n",
        upstream.url()
    );
    let proxy = Proxy::new().raw_route(&route).start().await;

    assert_eq!(get(&proxy, "http://api.example:80/v1", "Host: localhost\r\n").await.status(), 200);

    assert_eq!(upstream.requests()[0].fields("host"), ["api.example:80"]);
}

// R70
#[tokio::test]
async fn hosts_are_compared_without_case_and_wildcards_match_below() {
    let (api, any, proxy) = both().await;
    for target in [
        "http://API.Example/v1/x",
        "HTTP://api.example/v1/x",
        "http://api.example:80/v1/x",
        "https://api.example/v1/x",
        "https://api.example:443/v1/x",
        "http://a.wild.example/x",
        "http://a.b.wild.example",
        "http://a.wild.example?x=1",
    ] {
        let answer = get(&proxy, target, "Host: ignored.example\r\n").await;
        assert_eq!((answer.status(), answer.body_text()), (200, "api"), "{target}");
    }
    let lines: Vec<_> = api.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(lines[lines.len() - 2..], ["GET / HTTP/1.1", "GET /?x=1 HTTP/1.1"]);
    assert!(any.requests().is_empty());
}

// R39, R70
#[tokio::test]
async fn a_host_that_no_route_names_is_refused_although_a_route_is_for_any() {
    let (api, any, proxy) = both().await;
    for target in [
        "http://evil.example/",
        "http://wild.example/",
        "http://api.example.evil.example/v1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
    ] {
        is_denied(&get(&proxy, target, "Host: api.example\r\n").await);
        is_denied(&get(&proxy, target, "Host: localhost\r\n").await);
    }
    assert!(api.requests().is_empty() && any.requests().is_empty());
}

// R70: scheme, host and port are those of a listed resource, or nothing is sent
#[tokio::test]
async fn an_odd_port_is_another_resource() {
    let (api, any, proxy) = both().await;
    for port in ["8080", "8443", "81", "0", "65535"] {
        is_denied(&get(&proxy, &format!("http://api.example:{port}/v1/x"), "Host: api.example\r\n").await);
    }
    for port in ["99999", "1e3", "-1", "80:80"] {
        let answer = get(&proxy, &format!("http://api.example:{port}/v1/x"), "Host: api.example\r\n").await;
        assert!(matches!(answer.status(), 400 | 403), "{port}: {}", answer.text());
    }
    assert!(api.requests().is_empty() && any.requests().is_empty());
}

// R70: what a host's own routes do not serve must not end up at somebody else's API, with their token
#[tokio::test]
async fn a_path_that_no_route_of_the_host_has_goes_nowhere() {
    let (api, any, proxy) = both().await;

    let answer = get(&proxy, "http://api.example/login", "Host: api.example\r\n").await;

    assert_eq!(answer.status(), 404);
    assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=destination_not_found"));
    assert!(api.requests().is_empty() && any.requests().is_empty());
}

// R18
#[tokio::test]
async fn user_names_fragments_and_other_schemes_are_not_understood() {
    let (api, any, proxy) = both().await;
    for target in [
        "http://me:pw@api.example/v1/x",
        "http://api.example@evil.example/v1/x",
        "http://api.example/v1/x#f",
        "ftp://api.example/v1/x",
        "http:///v1/x",
        "http:api.example/v1/x",
        "//api.example\\evil/v1/x",
        "api.example/v1/x",
        "api.example:80",
    ] {
        let answer = get(&proxy, target, "Host: api.example\r\n").await;
        assert_eq!(answer.status(), 400, "{target}");
    }
    // R40
    for path in ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin"] {
        assert_eq!(get(&proxy, &format!("http://api.example{path}"), "Host: x\r\n").await.status(), 400, "{path}");
    }
    assert!(api.requests().is_empty() && any.requests().is_empty());
}

// R18, R71
#[tokio::test]
async fn connect_is_refused_and_what_follows_it_is_no_request() {
    let (api, any, proxy) = both().await;
    for target in ["api.example:443", "localhost:443", "evil.example:443"] {
        let mut downstream = Downstream::of(&proxy).await;
        downstream
            .send(format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nGET http://api.example/v1/x HTTP/1.1\r\nHost: x\r\n\r\n"
            ))
            .await;
        // Not answered as a CONNECT would be: 2xx alone opens a tunnel.
        let answer = downstream.answer_to("GET").await.unwrap();
        assert_eq!(answer.status(), 405, "{target}");
        assert!(answer.field("allow").is_some_and(|allowed| !allowed.contains("CONNECT")));
        assert!(downstream.is_closed().await);
    }
    assert!(api.requests().is_empty() && any.requests().is_empty());
}

// R21, R37
#[tokio::test]
async fn what_the_application_says_to_its_proxy_stays_here() {
    let (api, _, proxy) = both().await;
    let fields = "Host: api.example\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\
                  Authorization: Bearer mine\r\nX-Kept: yes\r\n";

    assert_eq!(get(&proxy, "http://api.example/v1/x", fields).await.status(), 200);

    let request = &api.requests()[0];
    for gone in ["proxy-authorization", "proxy-connection", "connection"] {
        assert_eq!(request.fields(gone), Vec::<&str>::new(), "{gone}");
    }
    assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
    assert_eq!(request.field("x-kept"), Some("yes"));
}

// RFC 9112 §3.2.2: a server takes absolute form for its own name, too
#[tokio::test]
async fn our_own_name_in_absolute_form_is_the_reverse_proxy() {
    let (_, any, proxy) = both().await;
    let port = proxy.address().port();
    for own in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let answer = get(&proxy, &format!("http://{own}/orders"), &format!("Host: {own}\r\n")).await;
        assert_eq!((answer.status(), answer.body_text()), (200, "any"), "{own}");
    }
    assert_eq!(any.requests()[0].first_line(), "GET /orders HTTP/1.1");
}

#[tokio::test]
async fn a_name_under_hosts_is_our_own_as_well() {
    let upstream = Upstream::saying("any").await;
    let proxy = Proxy::new()
        .listener("    hosts: [proxy.corp]\n")
        .static_token("any", "0THER")
        .route("/", &upstream.url(), "any", "")
        .start()
        .await;

    assert_eq!(get(&proxy, "http://proxy.corp:8080/orders", "Host: x\r\n").await.status(), 200);
    is_denied(&get(&proxy, "http://other.corp:8080/orders", "Host: proxy.corp\r\n").await);
    assert_eq!(upstream.requests().len(), 1);
}

// R22, R35
#[tokio::test]
async fn requests_to_several_hosts_share_a_connection() {
    let (api, any, proxy) = both().await;
    let mut downstream = Downstream::of(&proxy).await;
    let own = format!("http://localhost:{}/2", proxy.address().port());
    for (target, status) in [
        ("http://api.example/v1/1", 200),
        ("http://evil.example/", 403),
        (own.as_str(), 200),
        ("http://localhost:3000/2", 403),
        ("http://a.wild.example/3", 200),
    ] {
        let answer = downstream.ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{target}");
    }
    assert_eq!((api.requests().len(), any.requests().len()), (2, 1));
}

// R69: a browser's page has no business here either
#[tokio::test]
async fn a_foreign_page_is_refused_in_forward_mode() {
    let (api, _, proxy) = both().await;
    is_denied(&get(&proxy, "http://api.example/v1/x", "Host: api.example\r\nOrigin: https://evil.example\r\n").await);
    assert!(api.requests().is_empty());
}
