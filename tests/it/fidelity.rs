//! Unchanged means unchanged: what is sent is what came, but for hop-by-hop fields, the credential, `Host` and `Via`.

use super::support::{Downstream, Message, Proxy, Upstream};

/// The fields of a head, sorted by name; those of one name stay in their order.
fn fields(message: &Message) -> Vec<(String, String)> {
    let mut fields: Vec<_> = message
        .text()
        .trim_end()
        .split("\r\n")
        .skip(1)
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// The same of fields written down here, in any order.
fn sorted(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Our own entry in `Via`, which is the last one.
fn our_via(message: &Message) -> String {
    let via = message.fields("via").last().copied().expect("a Via").to_owned();
    assert!(via.starts_with("1.1 bearer-proxy-"), "{via:?}");
    via
}

// R25, R37: nothing is invented, nothing lost, and fields of one name keep their order.
#[tokio::test]
async fn the_upstream_sees_the_fields_that_were_sent_and_no_others() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;

    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Many: 2\r\nx-other: \tb  \r\nX-MANY: 1\r\nCookie: a=b; c=d\r\n\
                   x-many:\r\nAuthorization: Basic b3RoZXI=\r\nX-Latin: caf\u{e9}\r\nx_under_score: yes\r\n\r\n";
    Downstream::of(&proxy).await.ask(request).await;

    let seen = &upstream.requests()[0];
    let host = upstream.address().to_string();
    assert_eq!(seen.first_line(), "GET / HTTP/1.1");
    let mut head = fields(seen);
    for (_, value) in &mut head {
        *value = value.trim().to_owned();
    }
    let expected = sorted(&[
        ("host", &host),
        ("x-many", "2"),
        ("x-many", "1"),
        ("x-many", ""),
        ("x-other", "b"),
        ("cookie", "a=b; c=d"),
        ("authorization", "Bearer T0KEN"),
        ("x-latin", "caf\u{e9}"),
        ("x_under_score", "yes"),
        ("via", &our_via(seen)),
    ]);
    assert_eq!(head, expected);
}

// R25: the smallest request there is gets nothing but what a hop must add.
#[tokio::test]
async fn a_request_with_only_a_host_reaches_the_upstream_with_host_token_and_via_alone() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;

    Downstream::of(&proxy).await.get("/").await;

    let seen = &upstream.requests()[0];
    let expected = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer T0KEN\r\nvia: {}\r\n\r\n",
        upstream.address(),
        our_via(seen)
    );
    assert_eq!(fields(seen), fields(&Message { head: expected.into_bytes(), ..Message::default() }));
}

// R25
#[tokio::test]
async fn any_method_token_passes() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    let methods = [
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "PROPFIND",
        "QUERY",
        "get",
        "M-SEARCH",
        "x!#$%&'*+-.^_`|~9",
    ];

    for method in methods {
        downstream.send(format!("{method} /m HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(downstream.answer().await.status(), 200, "{method}");
    }

    let seen: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(seen, methods.map(|method| format!("{method} /m HTTP/1.1")));
    for request in upstream.requests() {
        assert_eq!(request.fields("content-length"), [""; 0], "invented for {:?}", request.first_line());
        assert_eq!(request.fields("transfer-encoding"), [""; 0], "invented for {:?}", request.first_line());
    }
}

// R26
#[tokio::test]
async fn path_and_query_arrive_byte_for_byte() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    let targets = [
        "/",
        "/?",
        "/??a=b?c",
        "//",
        "//a//b/",
        "/a%2Fb/%7Ec/~d/%c3%A9",
        "/a;v=1/b,c;d=e?x;y",
        "/raw|pipe/{brace}/^caret/\"quote\"/[x]?q={a:[1,2]}|^`'",
        "/a?redirect=https://other.example/../x&n=%00%0d%0a&plus=+&space=%20",
        "/...../a..b/..c/.d",
        "/%E0%B8%81?%ff%FE",
        "/a%20b%09c%0d%0aHost:%20evil",
    ];

    for target in targets {
        assert_eq!(downstream.get(target).await.status(), 200, "{target}");
    }

    let seen: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(seen, targets.map(|target| format!("GET {target} HTTP/1.1")));
}

// R26
#[tokio::test]
async fn the_matched_prefix_alone_is_replaced() {
    let upstream = Upstream::saying("").await;
    let url = format!("{}v1/", upstream.url());
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/zpax/", &url, "api", "")
        .route("/kept/", &upstream.url(), "api", "    keep_prefix: true\n")
        .route("/both/", &url, "api", "    keep_prefix: true\n")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    let pairs = [
        ("/zpax/orders?a=/zpax/", "/v1/orders?a=/zpax/"),
        ("/zpax/", "/v1/"),
        ("/zpax/?", "/v1/?"),
        ("/zpax//a%2Fb/%7E/zpax/;x|y?q", "/v1//a%2Fb/%7E/zpax/;x|y?q"),
        ("/kept/a?b", "/kept/a?b"),
        ("/both/a%2f", "/v1/both/a%2f"),
    ];

    for (sent, _) in pairs {
        assert_eq!(downstream.get(sent).await.status(), 200, "{sent}");
    }
    for stranger in ["/zpaxx/a", "/ZPAX/a", "/zpa/x", "/%7Apax/a"] {
        assert_eq!(downstream.get(stranger).await.status(), 404, "{stranger}");
    }

    let seen: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(seen, pairs.map(|(_, expected)| format!("GET {expected} HTTP/1.1")));
}

// R27
#[tokio::test]
async fn a_length_stays_a_length_and_chunks_stay_chunks() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.post("/", "hello").await;
    downstream.ask("POST / HTTP/1.1\r\nhost: a.localhost\r\ncontent-length: 0\r\n\r\n").await;
    downstream.ask("PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0003;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n").await;
    downstream.ask("PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    downstream.ask("GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nget").await;
    downstream
        .ask("DELETE / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        .await;

    let seen = upstream.requests();
    let framing: Vec<_> = seen
        .iter()
        .map(|request| (request.field("content-length"), request.field("transfer-encoding"), request.body_text()))
        .collect();
    assert_eq!(
        framing,
        [
            (Some("5"), None, "hello"),
            (Some("0"), None, ""),
            (None, Some("chunked"), "abc0123456789"),
            (None, Some("chunked"), ""),
            (Some("3"), None, "get"),
            (None, Some("chunked"), "x"),
        ]
    );
    assert!(seen.iter().all(|request| request.complete));
    assert!(!String::from_utf8_lossy(&seen[2].raw_body).contains("ext"), "chunk extensions are one hop's affair");
}

// R27, R31: whatever a content coding is, it is nobody's business here.
#[tokio::test]
async fn encoded_bodies_pass_untouched_both_ways() {
    // gzip of "hello\n", and bytes that are no gzip at all.
    let gzip =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06\x00\x00\x00";
    let every_byte: Vec<u8> = (0..=255).collect();
    let upstream = Upstream::answering_by(|request| {
        let encoding = request.field("content-encoding").unwrap().to_owned();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            request.body.len()
        );
        [head.as_bytes(), &request.body].concat()
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for (coding, body) in [("gzip", gzip.as_slice()), ("br", &every_byte), ("nonsense", &every_byte)] {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        downstream.send([head.as_bytes(), body].concat()).await;
        let answer = downstream.answer().await;
        assert_eq!(answer.field("content-encoding"), Some(coding));
        assert_eq!(answer.body, body);
    }

    for request in upstream.requests() {
        assert_eq!(request.field("accept-encoding"), Some("gzip"));
    }
}

// R28
#[tokio::test]
async fn via_is_appended_both_ways_after_those_that_are_there() {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nvia: 1.1 back\r\nVia: 2 other (x, y)\r\ncontent-length: 0\r\n\r\n")
            .await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy)
        .await
        .ask("GET / HTTP/1.1\r\nhost: localhost\r\nvia: 1.0 fred, 1.1 p.example\r\nvia: 1.1 q\r\n\r\n")
        .await;

    let seen = &upstream.requests()[0];
    let ours = our_via(seen);
    assert_eq!(seen.fields("via"), ["1.0 fred, 1.1 p.example", "1.1 q", &ours]);
    assert_eq!(answer.fields("via"), ["1.1 back", "2 other (x, y)", &ours]);
}

// R28
#[tokio::test]
async fn a_request_that_has_been_here_before_is_a_loop() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    downstream.get("/").await;
    let pseudonym = our_via(&upstream.requests()[0]).split_off("1.1 ".len());

    for via in [
        format!("via: 1.1 {pseudonym}\r\n"),
        format!("via: 1.1 a, HTTP/1.1 {} (comment) , 1.1 b\r\n", pseudonym.to_uppercase()),
        format!("via: 1.1 a\r\nvia: 1.1\t{pseudonym}\r\n"),
    ] {
        let answer = downstream.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{via}\r\n")).await;
        assert_eq!(answer.status(), 508, "{via:?}");
        assert_eq!(answer.field("proxy-status"), Some("bearer-proxy; error=proxy_loop_detected"));
    }
    // Another proxy of ours, and a name that only begins like it.
    for other in ["1.1 bearer-proxy-000000000000", &format!("1.1 {pseudonym}0"), &format!("{pseudonym} x")] {
        let answer = downstream.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\nvia: {other}\r\n\r\n")).await;
        assert_eq!(answer.status(), 200, "{other:?}");
    }

    assert_eq!(upstream.requests().len(), 4);
}

// R28: an upstream that is this proxy again.
#[tokio::test]
async fn a_route_that_leads_back_to_the_proxy_ends_at_the_second_turn() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!(
        "listeners:\n  - address: {address}\nroutes:\n  - path: /\n    upstream: http://{address}/\n    credential: none\n"
    );
    let proxy = Proxy::from(&super::support::parse(&text)).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!(answer.status(), 508);
    let statuses: Vec<_> = proxy.log_lines().iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses[0], 508, "{statuses:?}");
}

// R28
#[tokio::test]
async fn max_forwards_is_counted_down_for_options_alone() {
    let upstream = Upstream::saying("upstream").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let ours = downstream.ask("OPTIONS /a HTTP/1.1\r\nhost: localhost\r\nmax-forwards: 0\r\n\r\n").await;
    assert_eq!((ours.status(), ours.body_text()), (204, ""));
    let everything = downstream.ask("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(everything.status(), 204);
    assert_eq!(upstream.requests().len(), 0);

    for (method, sent, expected) in [
        ("OPTIONS", "5", "4"),
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "many", "many"),
        ("GET", "0", "0"),
        ("GET", "7", "7"),
    ] {
        let answer =
            downstream.ask(format!("{method} / HTTP/1.1\r\nhost: localhost\r\nmax-forwards: {sent}\r\n\r\n")).await;
        assert_eq!(answer.body_text(), "upstream");
        assert_eq!(upstream.requests().last().unwrap().field("max-forwards"), Some(expected), "{method} {sent}");
    }
}

// R28: what proxies before us said of the downstream is passed on, and nothing is added to it.
#[tokio::test]
async fn forwarded_fields_pass_unchanged_and_none_is_added() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;
    let lines = [
        ("forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43"),
        ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
        ("x-forwarded-for", "192.0.2.3"),
        ("x-forwarded-host", "front.example"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "192.0.2.1"),
    ];
    let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();

    downstream.ask(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{text}\r\n")).await;
    downstream.get("/").await;

    let seen = upstream.requests();
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        let sent: Vec<_> = lines.iter().filter(|(given, _)| *given == name).map(|(_, value)| *value).collect();
        assert_eq!(seen[0].fields(name), sent, "{name}");
        assert_eq!(seen[1].fields(name), [""; 0], "{name}");
    }
}

// R29
#[tokio::test]
async fn every_status_passes_with_its_reason_and_its_body() {
    let upstream = Upstream::answering_by(|request| {
        let code = request.first_line().split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let body = match code.as_str() {
            "204" | "304" => String::new(),
            _ => format!("body of {code}"),
        };
        let length = match code.as_str() {
            "204" | "304" => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        format!("HTTP/1.1 {code} Reason Of {code}!\r\nx-code: {code}\r\n{length}\r\n{body}").into_bytes()
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for code in 200..600 {
        let answer = downstream.get(&format!("/{code}")).await;
        assert_eq!(answer.first_line(), format!("HTTP/1.1 {code} Reason Of {code}!"));
        assert_eq!(answer.field("x-code"), Some(code.to_string().as_str()));
        let body = if matches!(code, 204 | 304) { String::new() } else { format!("body of {code}") };
        assert_eq!(answer.body_text(), body, "{code}");
    }

    // One each, but for the 401: that is our own affair (R67).
    assert_eq!(upstream.requests().len(), 401);
    assert_eq!(upstream.requests().iter().filter(|request| request.first_line() == "GET /401 HTTP/1.1").count(), 2);
}

// R29
#[tokio::test]
async fn a_status_without_reason_stays_without() {
    let upstream = Upstream::answering("HTTP/1.1 299 \r\ncontent-length: 1\r\n\r\nx").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((answer.status(), answer.body_text()), (299, "x"));
}

// R30, R31
#[tokio::test]
async fn the_downstream_sees_the_fields_that_were_answered_and_no_others() {
    let head = "HTTP/1.1 200 Fine\r\nSet-Cookie: b=2; Path=/\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nset-cookie: a=1, c\r\n\
                WWW-Authenticate: Basic realm=\"x\"\r\nServer: Odd/1.0 (thing)\r\nwww-authenticate: Bearer error=\"y\"\r\n\
                ETag: W/\"a\"\r\nContent-Type: text/plain\r\nAlt-Svc: h3=\":443\"\r\nX-Accel-Redirect: /secret\r\n\
                Location: http://other.example/\r\nSet-Cookie: a=0\r\nContent-Length: 2\r\n\r\n";
    let upstream = Upstream::answering(format!("{head}ok")).await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    let mut expected = fields(&Message { head: head.as_bytes().to_vec(), ..Message::default() });
    expected.push(("via".to_owned(), our_via(&answer)));
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(answer.first_line(), "HTTP/1.1 200 Fine");
    assert_eq!(fields(&answer), expected);
    assert_eq!(answer.body_text(), "ok");
}

// R30: not even a Date, a Server or a Content-Type.
#[tokio::test]
async fn an_answer_without_fields_gets_none_but_via() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!(fields(&answer), sorted(&[("content-length", "2"), ("via", &our_via(&answer))]));
}

// R31
#[tokio::test]
async fn chunked_answers_and_those_that_end_with_the_connection_come_whole() {
    let upstream = Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.first_line().contains("/chunked") {
                connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n").await;
            } else {
                connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
                return;
            }
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let chunked = downstream.get("/chunked").await;
    assert_eq!((chunked.field("transfer-encoding"), chunked.body_text()), (Some("chunked"), "abc0123456789"));
    assert!(chunked.complete && !String::from_utf8_lossy(&chunked.raw_body).contains("a=b"));
    let closed = downstream.get("/closed").await;
    assert_eq!((closed.field("transfer-encoding"), closed.body_text()), (Some("chunked"), "until the end"));
    assert!(closed.complete);
    // The downstream's connection has not ended with the upstream's.
    assert_eq!(downstream.get("/chunked").await.body_text(), "abc0123456789");
}

// R32
#[tokio::test]
async fn answers_without_body_keep_their_fields_and_the_connection_stays_in_step() {
    let answers = [
        ("GET", "HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n", None),
        // hyper leaves the length out that a 200 would have had (RFC 9110 §8.6 allows that).
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 12345\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n", None),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n", Some("77")),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", None),
        ("HEAD", "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n", Some("9")),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some("0")),
    ];
    let upstream = Upstream::answering_by(move |request| {
        match request.field("x-number").map(|number| number.parse::<usize>().unwrap()) {
            Some(number) => answers[number].1.as_bytes().to_vec(),
            None => b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nin step".to_vec(),
        }
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for (number, (method, sent, length)) in answers.iter().enumerate() {
        let answer =
            downstream.ask(format!("{method} / HTTP/1.1\r\nhost: localhost\r\nx-number: {number}\r\n\r\n")).await;
        assert_eq!(answer.first_line(), sent.split("\r\n").next().unwrap());
        assert_eq!(answer.field("content-length"), *length, "{sent:?}");
        if *method == "GET" {
            assert_eq!(answer.fields("transfer-encoding"), [""; 0], "{sent:?}");
        }
        assert_eq!(downstream.get("/").await.body_text(), "in step", "after {sent:?}");
    }
}

// R33
#[tokio::test]
async fn trailers_of_a_request_pass() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::to(&upstream).await;

    Downstream::of(&proxy)
        .await
        .ask("POST / HTTP/1.1\r\nhost: localhost\r\ntrailer: Digest, x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nDigest: sha-256=x\r\nx-sum: 6\r\n\r\n")
        .await;

    let seen = &upstream.requests()[0];
    assert_eq!(seen.body_text(), "abc");
    let raw = String::from_utf8_lossy(&seen.raw_body).to_ascii_lowercase();
    assert!(raw.contains("\r\ndigest: sha-256=x\r\n") && raw.contains("\r\nx-sum: 6\r\n"), "{raw:?}");
    assert!(seen.complete);
    assert_eq!(seen.fields("digest"), [""; 0], "a trailer is no header");
}

// R33
#[tokio::test]
async fn trailers_of_an_answer_pass_to_those_who_ask_for_them() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntrailer: grpc-status\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let asked = downstream.ask("GET / HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\n\r\n").await;
    let not_asked = downstream.get("/").await;

    assert!(String::from_utf8_lossy(&asked.raw_body).contains("\r\ngrpc-status: 0\r\n"), "{asked:?}");
    assert_eq!(String::from_utf8_lossy(&not_asked.raw_body), "2\r\nok\r\n0\r\n\r\n");
    let seen = upstream.requests();
    assert_eq!((seen[0].field("te"), seen[0].field("connection")), (Some("trailers"), Some("te")));
    assert_eq!((seen[1].field("te"), seen[1].field("connection")), (None, None));
}

// R34
#[tokio::test]
async fn an_early_hint_is_passed_on_ahead_of_the_answer() {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let hint = downstream.get("/").await;
    let answer = downstream.answer().await;

    assert_eq!(hint.first_line(), "HTTP/1.1 103 Early Hints");
    assert_eq!(fields(&hint), sorted(&[("link", "</a.css>; rel=preload"), ("link", "</b.js>")]));
    assert_eq!((answer.status(), answer.body_text()), (200, "ok"));
    // And the connection is in step.
    assert_eq!(downstream.get("/").await.status(), 103);
    assert_eq!(downstream.answer().await.body_text(), "ok");
}

// R34, R44: it does not wait for the answer.
#[tokio::test]
async fn an_early_hint_is_passed_on_at_once() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
        // Nothing more until the downstream, which has seen it, says so.
        connection.read_to_end().await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;

    let hint = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((hint.status(), hint.field("link")), (103, Some("</a>")));
}

// R34, RFC 9110 §15.2: an HTTP/1.0 downstream knows no interim answers.
#[tokio::test]
async fn an_early_hint_is_never_sent_to_http_1_0() {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let proxy = Proxy::to(&upstream).await;

    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "ok"));
    assert!(downstream.is_closed().await);
}

// R34
#[tokio::test]
async fn a_continue_of_the_upstream_ends_here() {
    let upstream = Upstream::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nx: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((answer.status(), answer.body_text()), (200, "ok"));
}

// R34
#[tokio::test]
async fn ten_thousand_interim_answers_do_no_harm() {
    let interim = |code: u16| format!("HTTP/1.1 {code} Interim\r\nx-pad: {}\r\n\r\n", "p".repeat(100));
    let flood = [interim(100).repeat(5_000), interim(103).repeat(5_000)].concat();
    let upstream = Upstream::answering(format!("{flood}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..2 {
        downstream.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut passed = 0;
        let last = loop {
            let answer = downstream.answer().await;
            if answer.status() >= 200 {
                break answer;
            }
            assert_eq!(answer.status(), 103);
            passed += 1;
        };
        assert_eq!((last.status(), last.body_text()), (200, "ok"));
        assert!((1..=700).contains(&passed), "{passed} were passed on: they are bounded in bytes");
    }
}

// R34: an interim answer and then nothing is no answer.
#[tokio::test]
async fn an_interim_answer_is_never_taken_for_the_final_one() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let mut answer = downstream.get("/").await;
    if answer.status() == 103 {
        answer = downstream.answer().await;
    }

    assert_eq!(answer.status(), 502);
}

// R35
#[tokio::test]
async fn a_downstream_that_says_close_gets_its_answer_and_the_end() {
    let upstream = Upstream::saying("ok").await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let answer = downstream.ask("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;

    assert_eq!((answer.body_text(), answer.field("connection")), ("ok", Some("close")));
    assert!(downstream.is_closed().await);
    // The upstream's connection was not told to close: the next one uses it.
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(upstream.seen().connections(), 1);
    assert_eq!(upstream.requests()[0].field("connection"), None);
}

// R35
#[tokio::test]
async fn http_1_0_ends_after_an_answer_unless_it_asks_to_be_kept_alive() {
    let upstream = Upstream::saying("ok").await;
    let proxy = Proxy::to(&upstream).await;

    let mut once = Downstream::of(&proxy).await;
    assert_eq!(once.ask("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await.body_text(), "ok");
    assert!(once.is_closed().await);

    let mut kept = Downstream::of(&proxy).await;
    for _ in 0..3 {
        let answer = kept.ask("GET / HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n").await;
        assert_eq!((answer.body_text(), answer.field("connection")), ("ok", Some("keep-alive")));
    }
    assert_eq!(kept.ask("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n").await.body_text(), "ok");
    assert!(kept.is_closed().await);
    assert!(upstream.requests().iter().all(|request| request.first_line() == "GET / HTTP/1.1"));
}

// R35: what HTTP/1.0 cannot frame ends with the connection.
#[tokio::test]
async fn http_1_0_gets_no_chunks() {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
            .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    let answer = downstream.ask("GET / HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n").await;

    assert_eq!(answer.fields("transfer-encoding"), [""; 0]);
    assert_eq!(answer.body_text(), "abcdef");
    assert!(downstream.is_closed().await);
}

// R35
#[tokio::test]
async fn an_upstream_that_says_close_is_not_used_again() {
    let upstream =
        Upstream::answering("HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\ncontent-length: 2\r\n\r\nok")
            .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let answer = downstream.get("/").await;
        assert_eq!((answer.status(), answer.body_text()), (200, "ok"));
        assert_eq!((answer.field("connection"), answer.field("x-hop")), (None, None));
    }

    assert_eq!(upstream.seen().connections(), 3);
}

// R35: an upstream of HTTP/1.0 closes when it has answered, which need not be said.
#[tokio::test]
async fn an_upstream_of_http_1_0_is_served_from_too() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.0 200 OK\r\nserver: old\r\n\r\nold").await;
    })
    .await;
    let proxy = Proxy::to(&upstream).await;
    let mut downstream = Downstream::of(&proxy).await;

    for _ in 0..3 {
        let answer = downstream.get("/").await;
        assert_eq!((answer.first_line(), answer.body_text()), ("HTTP/1.1 200 OK", "old"));
    }
}

#[tokio::test]
async fn a_routes_edits_set_and_remove_fields() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nserver: secret/1\r\nx-keep: 1\r\nx-old: a\r\nx-old: b\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route(
            "/",
            &upstream.url(),
            "api",
            "    request_headers: {set: {X-Api-Version: \"7\", Accept: text/x}, remove: [Cookie, X-Gone]}\n\
             \x20   response_headers: {set: {X-Old: new, Strict-Transport-Security: max-age=1}, remove: [Server]}\n",
        )
        .start()
        .await;

    let answer = Downstream::of(&proxy)
        .await
        .ask("GET / HTTP/1.1\r\nhost: localhost\r\naccept: a\r\naccept: b\r\ncookie: c\r\nx-gone: 1\r\nx-stays: 1\r\n\r\n")
        .await;

    let seen = &upstream.requests()[0];
    let host = upstream.address().to_string();
    let expected = sorted(&[
        ("host", &host),
        ("authorization", "Bearer T0KEN"),
        ("x-api-version", "7"),
        ("accept", "text/x"),
        ("x-stays", "1"),
        ("via", &our_via(seen)),
    ]);
    assert_eq!(fields(seen), expected);
    let expected = sorted(&[
        ("x-keep", "1"),
        ("x-old", "new"),
        ("strict-transport-security", "max-age=1"),
        ("content-length", "0"),
        ("via", &our_via(&answer)),
    ]);
    assert_eq!(fields(&answer), expected);
}

#[tokio::test]
async fn the_downstreams_host_is_kept_where_a_route_says_so() {
    let upstream = Upstream::saying("").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .route("/kept", &upstream.url(), "api", "    host: localhost\n    preserve_host: true\n")
        .route("/own", &upstream.url(), "api", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;

    downstream.ask("GET /kept HTTP/1.1\r\nhost: LocalHost:1234\r\n\r\n").await;
    downstream.ask("GET /own HTTP/1.1\r\nhost: LocalHost:1234\r\n\r\n").await;

    let seen = upstream.requests();
    assert_eq!(seen[0].fields("host"), ["LocalHost:1234"]);
    assert_eq!(seen[1].fields("host"), [upstream.address().to_string()]);
}

// R39: the route table alone says where a request goes.
#[tokio::test]
async fn nothing_in_a_request_but_its_path_and_host_says_where_it_goes() {
    let upstream = Upstream::saying("right").await;
    let other = Upstream::saying("wrong").await;
    let proxy = Proxy::new()
        .static_token("api", "T0KEN")
        .static_token("other", "0THER")
        .route("/api/", &upstream.url(), "api", "")
        .route("/other/", &other.url(), "other", "")
        .start()
        .await;
    let mut downstream = Downstream::of(&proxy).await;
    let elsewhere = other.address();
    let hostile = [
        format!("x-forwarded-host: {elsewhere}"),
        format!("x-forwarded-server: {elsewhere}"),
        format!("forwarded: host={elsewhere};proto=http"),
        format!("x-host: {elsewhere}"),
        format!("x-original-host: {elsewhere}"),
        "x-original-url: /other/x".to_owned(),
        "x-rewrite-url: /other/x".to_owned(),
        "x-forwarded-prefix: /other".to_owned(),
        "x-forwarded-uri: /other/x".to_owned(),
        "x-http-method-override: DELETE".to_owned(),
        format!("destination: http://{elsewhere}/other/x"),
        format!("location: http://{elsewhere}/"),
        format!("proxy: http://{elsewhere}/"),
        format!("via: 1.1 {elsewhere}"),
        "referer: /other/".to_owned(),
    ];

    for line in &hostile {
        let answer = downstream.ask(format!("GET /api/x HTTP/1.1\r\nhost: localhost\r\n{line}\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.body_text()), (200, "right"), "{line}");
    }

    assert_eq!(other.seen().connections(), 0);
    let host = upstream.address().to_string();
    for request in upstream.requests() {
        assert_eq!(request.first_line(), "GET /x HTTP/1.1");
        assert_eq!(request.fields("host"), [host.as_str()]);
        assert_eq!(request.fields("authorization"), ["Bearer T0KEN"]);
    }
}

// R41: a redirect is an answer.
#[tokio::test]
async fn a_redirect_is_passed_on_and_not_followed() {
    let other = Upstream::saying("wrong").await;
    let upstream =
        Upstream::answering(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", other.url()))
            .await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((answer.status(), answer.field("location")), (302, Some(other.url().as_str())));
    assert_eq!(other.seen().connections(), 0);
}
