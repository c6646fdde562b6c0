//! What a downstream brings of its own never stands in for the proxy's token, and the token goes to its upstream alone
//! (R21, R37, R38, R41, R73).

use super::support::{Downstream, Message, Proxy, TokenEndpoint, Upstream, answer};

const REQUEST: &str = "GET /orders HTTP/1.1\r\nhost: localhost\r\n";

/// The head that an upstream gets of a GET with these fields.
async fn received(fields: &str, more: &str) -> (Message, u16) {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new().static_token("api", "T0KEN").route("/", &upstream.url(), "api", more).start().await;
    let answer = Downstream::of(&proxy).await.ask(format!("{REQUEST}{fields}\r\n")).await;
    (upstream.requests().into_iter().next().unwrap_or_default(), answer.status())
}

// R37
#[tokio::test]
async fn no_authorization_of_the_downstream_reaches_an_upstream() {
    for fields in [
        "authorization: Bearer mine\r\n",
        "Authorization: Basic bWluZTptaW5l\r\n",
        "AUTHORIZATION: mine\r\n",
        "aUtHoRiZaTiOn:mine\r\n",
        "authorization:\r\n",
        "authorization: \t mine \t\r\n",
        "authorization: Bearer mine\r\nx-other: a\r\nauthorization: Bearer mine too\r\nAuthorization: mine\r\n",
        "proxy-authorization: Basic mine\r\n",
        "Proxy-Authorization: mine\r\nauthorization: mine\r\nPROXY-AUTHORIZATION: mine\r\n",
        "authorization: Bearer T0KEN\r\n",
    ] {
        let (request, status) = received(fields, "").await;

        assert_eq!(status, 200, "{fields}");
        assert_eq!(request.fields("authorization"), ["Bearer T0KEN"], "{fields}");
        assert_eq!(request.fields("proxy-authorization"), [""; 0], "{fields}");
        assert!(!request.text().contains("mine"), "{fields}: {}", request.text());
    }
}

// R37, R5, R8, R9
#[tokio::test]
async fn a_disguised_authorization_is_refused_or_dropped() {
    for fields in [
        "authorization : Bearer mine\r\n",
        "authorization\t: Bearer mine\r\n",
        " authorization: Bearer mine\r\n",
        "x-a: b\r\n authorization: Bearer mine\r\n",
        "x-a: b\nauthorization: Bearer mine\r\n",
        "x-a: b\rauthorization: Bearer mine\r\n",
        "authorization\0: Bearer mine\r\n",
        "\"authorization\": Bearer mine\r\n",
    ] {
        let (request, status) = received(fields, "").await;

        assert!(status == 400 || request.fields("authorization") == ["Bearer T0KEN"], "{fields:?}: {status}");
        assert!(!request.text().contains("mine"), "{fields:?}: {}", request.text());
    }
}

// R37, R33, R14
#[tokio::test]
async fn an_authorization_among_the_trailers_does_not_reach_the_upstream() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let request = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntrailer: authorization, x-sum\r\n\r\n\
                   5\r\nhello\r\n0\r\nauthorization: Bearer mine\r\nproxy-authorization: mine\r\nx-sum: 1\r\n\r\n";
    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask(request).await;

    for request in upstream.requests() {
        assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
        let trailers = String::from_utf8_lossy(&request.raw_body).to_ascii_lowercase();
        assert!(!trailers.contains("authorization") && !trailers.contains("mine"), "{trailers}");
    }
    assert!(answer.status() == 200 || answer.status() == 400, "{}", answer.text());
}

// R21, R37
#[tokio::test]
async fn nothing_that_connection_nominates_takes_the_token_away() {
    for fields in [
        "connection: authorization\r\n",
        "connection: Authorization, close\r\nauthorization: Bearer mine\r\n",
        "connection: keep-alive, AUTHORIZATION, host, content-length\r\n",
        "connection: x-a\r\nconnection: authorization\r\nx-a: mine\r\n",
        "proxy-connection: authorization\r\nauthorization: mine\r\n",
        "connection: proxy-authorization\r\nproxy-authorization: mine\r\n",
    ] {
        let (request, status) = received(fields, "").await;

        assert_eq!(status, 200, "{fields}");
        assert_eq!(request.fields("authorization"), ["Bearer T0KEN"], "{fields}");
        assert_eq!(request.fields("host").len(), 1);
        assert!(!request.text().contains("mine"), "{fields}: {}", request.text());
    }
}

// R10, R37
#[tokio::test]
async fn an_underscore_does_not_shadow_the_token() {
    for fields in ["proxy_authorization: mine\r\n", "AUTHORIZATION_: mine\r\n", "http_authorization: mine\r\n"] {
        let (request, status) = received(fields, "").await;
        // What is no spelling of a field of ours passes; a gateway interface would not confuse it with ours.
        assert!(status == 200 || status == 400, "{fields}: {status}");
        if status == 200 {
            assert_eq!(request.fields("authorization"), ["Bearer T0KEN"], "{fields}");
            assert_eq!(request.fields("proxy_authorization"), [""; 0], "{fields}");
        }
    }
}

// R37
#[tokio::test]
async fn a_route_without_a_credential_takes_the_authorization_away_too() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new().route("/", &upstream.url(), "none", "").start().await;

    let request = format!("{REQUEST}authorization: Bearer mine\r\nproxy-authorization: Basic mine\r\n\r\n");
    assert_eq!(Downstream::of(&proxy).await.ask(request).await.status(), 200);

    let request = &upstream.requests()[0];
    assert!(!request.text().contains("mine"), "{}", request.text());
}

// R37
#[tokio::test]
async fn a_route_may_pass_the_downstreams_own_authorization_on_but_never_the_proxys() {
    let upstream = Upstream::saying("hello").await;
    let route = "    pass_authorization: true\n";
    let proxy = Proxy::new().route("/", &upstream.url(), "none", route).start().await;
    let mut downstream = Downstream::of(&proxy).await;

    for (fields, passed) in [
        ("authorization: Bearer mine\r\n", vec!["Bearer mine"]),
        ("AuthoriZation: Digest username=\"a\", uri=\"/\"\r\n", vec!["Digest username=\"a\", uri=\"/\""]),
        ("", vec![]),
        ("connection: authorization\r\nauthorization: Bearer mine\r\n", vec![]),
    ] {
        let request = format!("{REQUEST}{fields}proxy-authorization: Basic secret\r\n\r\n");
        assert_eq!(downstream.ask(request).await.status(), 200);
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.fields("authorization"), passed, "{fields}");
        assert_eq!(request.fields("proxy-authorization"), [""; 0]);
    }
}

// R37, R67
#[tokio::test]
async fn a_refusal_of_the_downstreams_own_authorization_is_its_own_affair() {
    let upstream =
        Upstream::answering(answer("401 Unauthorized", &["www-authenticate: Basic realm=\"a\""], "no")).await;
    let route = "    pass_authorization: true\n";
    let proxy = Proxy::new().route("/", &upstream.url(), "none", route).start().await;

    let answer = Downstream::of(&proxy).await.ask(format!("{REQUEST}authorization: Basic mine\r\n\r\n")).await;

    assert_eq!((answer.status(), answer.field("www-authenticate")), (401, Some("Basic realm=\"a\"")));
    assert_eq!(upstream.requests().len(), 1);
}

// R73: documented, and not the default of RFC 6750 §2.3's servers: what a parameter means is the API's affair.
#[tokio::test]
async fn an_access_token_parameter_of_the_downstream_passes() {
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/orders?access_token=mine&b").await;

    assert_eq!(answer.status(), 200);
    let request = &upstream.requests()[0];
    assert_eq!(request.first_line(), "GET /orders?access_token=mine&b HTTP/1.1");
    assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
    assert_eq!(proxy.log_lines_when(1).await[0]["path"], "/orders", "the query is not logged");
}

// R38
#[tokio::test]
async fn trace_is_refused_since_it_would_echo_the_token() {
    let upstream = Upstream::answering_by(|request| answer("200 OK", &[], request.text())).await;
    let proxy = Proxy::to(&upstream).await;

    for request in [
        "TRACE / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: localhost\r\nmax-forwards: 3\r\n\r\n",
    ] {
        let answer = Downstream::of(&proxy).await.ask(request).await;

        assert_eq!(answer.status(), 405);
        assert!(!answer.body_text().contains("T0KEN"));
        assert!(answer.field("allow").is_some_and(|allow| !allow.contains("TRACE")));
    }
    assert_eq!(upstream.seen().connections(), 0);
}

// R41
#[tokio::test]
async fn a_redirect_is_passed_on_and_the_token_goes_nowhere_else() {
    let elsewhere = Upstream::saying("welcome").await;
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent"] {
        for location in [elsewhere.url(), "/login".to_owned(), "//evil.example/".to_owned()] {
            let field = format!("location: {location}");
            let upstream = Upstream::answering(answer(status, &[&field], "over there")).await;
            let proxy = Proxy::to(&upstream).await;

            let answer = Downstream::of(&proxy).await.post("/orders", "hello").await;

            assert_eq!(answer.first_line(), format!("HTTP/1.1 {status}"));
            assert_eq!((answer.field("location"), answer.body_text()), (Some(location.as_str()), "over there"));
            assert_eq!(upstream.requests().len(), 1);
        }
    }
    assert_eq!(elsewhere.seen().connections(), 0);
}

// R41
#[tokio::test]
async fn fields_that_steer_other_proxies_have_no_effect_on_this_one() {
    let elsewhere = Upstream::saying("secret file").await;
    for field in [
        "x-accel-redirect: /internal/secret".to_owned(),
        "x-sendfile: /etc/passwd".to_owned(),
        format!("refresh: 0; url={}", elsewhere.url()),
        format!("alt-svc: h2=\"{}\"", elsewhere.address()),
        format!("content-location: {}", elsewhere.url()),
    ] {
        let upstream = Upstream::answering(answer("200 OK", &[&field], "as it is")).await;
        let proxy = Proxy::to(&upstream).await;
        let mut downstream = Downstream::of(&proxy).await;

        for _ in 0..2 {
            let answer = downstream.get("/").await;
            assert_eq!((answer.status(), answer.body_text()), (200, "as it is"));
            assert!(answer.text().contains(&field), "{}", answer.text());
        }
        assert_eq!(upstream.requests().len(), 2);
    }
    assert_eq!(elsewhere.seen().connections(), 0);
}

// R39
#[tokio::test]
async fn what_the_downstream_says_of_hosts_does_not_move_the_token() {
    let elsewhere = Upstream::saying("welcome").await;
    let there = elsewhere.address();
    let upstream = Upstream::saying("hello").await;
    let proxy = Proxy::new()
        .listener("    hosts: [localhost]\n")
        .static_token("api", "T0KEN")
        .route("/", &upstream.url(), "api", "")
        .start()
        .await;
    let fields = format!(
        "x-forwarded-host: {there}\r\nx-original-url: http://{there}/\r\nx-rewrite-url: http://{there}/\r\n\
         forwarded: host={there}\r\ndestination: http://{there}/\r\nx-host: {there}\r\nx-forwarded-server: {there}\r\n"
    );

    assert_eq!(Downstream::of(&proxy).await.ask(format!("{REQUEST}{fields}\r\n")).await.status(), 200);
    for request in [
        format!("GET / HTTP/1.1\r\nhost: {there}\r\n\r\n"),
        format!("GET http://{there}/ HTTP/1.1\r\nhost: {there}\r\n\r\n"),
        format!("GET http://localhost@{there}/ HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    ] {
        let answer = Downstream::of(&proxy).await.ask(&request).await;
        assert!((400..500).contains(&answer.status()), "{request}: {}", answer.text());
    }

    assert_eq!(elsewhere.seen().connections(), 0);
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(upstream.requests()[0].field("host"), Some(upstream.address().to_string().as_str()));
}

// R37, R43
#[tokio::test]
async fn each_route_has_its_own_token_and_no_other() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let proxy = Proxy::new()
        .static_token("one", "ONE")
        .static_token("two", "TWO")
        .credential(&endpoint.credential("three"))
        .route("/one/", &upstream.url(), "one", "")
        .route("/one/two/", &upstream.url(), "two", "")
        .route("/three/", &upstream.url(), "three", "")
        .route("/", &upstream.url(), "none", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    for path in ["/one/", "/one/two/", "/three/", "/onetwo/", "/one", "/One/"] {
        assert_eq!(downstream.get(path).await.status(), 200, "{path}");
    }

    let tokens: Vec<_> =
        upstream.requests().iter().map(|request| request.field("authorization").unwrap_or("none").to_owned()).collect();
    assert_eq!(tokens[..4], ["Bearer ONE", "Bearer TWO", "Bearer T1", "none"]);
    assert_eq!(tokens[5], "none", "paths are compared with case");
}
