//! Logins that are no OAuth (`grant: custom`), several steps to a token (`then`), and what is kept of a reply beside it.
//! Numbers are those of PEERS.md section 3; each double answers as the manual of the system it is named after says.

use super::support::api::echo;
use super::support::{Captured, Downstream, Message, Proxy, Upstream, answer, json_answer};

/// A proxy for this credential, its keys at four spaces, with one route.
async fn proxy(upstream: &Upstream, keys: &str) -> Proxy {
    Proxy::new().credential(&format!("  api:\n{keys}")).route("/", &upstream.url(), "api", "").start().await
}

async fn ask(proxy: &Proxy) -> Message {
    Downstream::of(proxy).await.get("/orders").await
}

/// A login that takes whatever comes, and numbers its answers: `#` in this JSON is the number.
async fn login(fields: &'static [&'static str], body: &'static str) -> Upstream {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Upstream::answering_by(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let fields: Vec<_> = fields.iter().map(|field| field.replace('#', &number.to_string())).collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).chain(["content-type: application/json"]).collect();
        answer("200 OK", &fields, &body.replace('#', &number.to_string()))
    })
    .await
}

// No. 20, 26
#[tokio::test]
async fn a_login_in_json_brings_a_token_at_a_pointer_and_a_tenant_beside_it() {
    let login =
        login(&[], r##"{"data":{"session":{"token":"T#","validUntil":"2999-01-01T00:00:00Z"},"tenantId":17}}"##).await;
    let upstream = Upstream::answering_by(|request| match request.field("x-session-token") {
        Some("T1") if request.first_line().contains("/again") => answer("401 Unauthorized", &[], "no"),
        _ => echo(request),
    })
    .await;
    let url = login.url();
    let keys = format!(
        "    grant: custom
    request:
      url: {url}api/login?v=2
      query: {{tenant: a b}}
      headers: {{Authorization: 'Basic {{base64(me:p}}w)}}', X-Device: proxy}}
      body:
        json: {{user: me, remember: true, device: {{ids: [1, \"2\", null], text: 'query {{ me {{ id }} }}'}}}}
    response:
      access_token: /data/session/token
      expires_in: /data/session/validUntil
      values: {{tenant: /data/tenantId}}
    inject:
      - {{header: X-Session-Token, format: '{{token}}'}}
      - {{header: X-Tenant-Id, format: '{{tenant}}'}}
"
    );
    let proxy = proxy(&upstream, &keys).await;

    assert_eq!(ask(&proxy).await.status(), 200);
    assert_eq!(ask(&proxy).await.status(), 200);
    assert_eq!(Downstream::of(&proxy).await.get("/again").await.status(), 200);

    let logins = login.requests();
    assert_eq!(logins.len(), 2, "one login, and one more after the 401");
    for login in logins {
        assert_eq!(login.first_line(), "POST /api/login?v=2&tenant=a+b HTTP/1.1");
        assert_eq!(login.field("authorization"), Some("Basic bWU6cH13"));
        assert_eq!((login.field("x-device"), login.field("accept")), (Some("proxy"), Some("application/json")));
        assert_eq!(login.field("content-type"), Some("application/json"));
        let expected = r#"{"user":"me","remember":true,"device":{"ids":[1,"2",null],"text":"query { me { id } }"}}"#;
        assert_eq!(login.body_text(), expected);
    }
    let requests = upstream.requests();
    assert_eq!(requests[0].fields("x-session-token"), ["T1"]);
    assert_eq!(requests[0].fields("x-tenant-id"), ["17"]);
    assert_eq!(requests[0].field("authorization"), None);
    assert_eq!(requests[3].fields("x-session-token"), ["T2"]);
}

// No. 20: SAP Business One
#[tokio::test]
async fn a_session_by_cookies_is_one_and_nothing_is_kept_from_one_login_to_the_next() {
    let cookies = &["set-cookie: B1SESSION=s#;HttpOnly;;SameSite=None", "set-cookie: ROUTEID=.node1; path=/b1s"];
    let login = login(cookies, r#"{"SessionId":"s","SessionTimeout":30}"#).await;
    let upstream = Upstream::answering_by(|request| match request.field("cookie") {
        Some("B1SESSION=s2; ROUTEID=.node1") => echo(request),
        _ => answer("401 Unauthorized", &[], "no"),
    })
    .await;
    let url = login.url();
    let keys = format!(
        "    grant: custom
    request: {{url: {url}b1s/v1/Login, body: {{json: {{CompanyDB: PROD, UserName: u, Password: p}}}}}}
    response: {{access_token: {{cookies: [B1SESSION, ROUTEID]}}}}
    inject: {{header: Cookie, format: '{{token}}'}}
"
    );
    let proxy = proxy(&upstream, &keys).await;

    let mut downstream = Downstream::of(&proxy).await;
    let answer = downstream.ask("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: mine=1\r\n\r\n").await;

    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.requests()[0].fields("cookie"), ["B1SESSION=s1; ROUTEID=.node1"]);
    assert_eq!(login.requests().len(), 2);
    assert!(login.requests().iter().all(|request| request.field("cookie").is_none()));
}

// No. 20: tokens in a header field; seven of the catalogue log in by GET
#[tokio::test]
async fn a_login_by_get_has_its_token_in_a_header_field() {
    let login = login(&["x-subject-token: T#", "x-uid: 7"], "").await;
    let upstream = Upstream::answering_by(echo).await;
    let url = login.url();
    let keys = format!(
        "    grant: custom
    request: {{url: {url}auth, query: {{key: 'k&1', roles: [a, b]}}}}
    response: {{access_token: {{header: X-Subject-Token}}, values: {{uid: {{header: x-uid}}}}}}
    inject: [{{header: X-Auth, format: 'Basic {{base64({{token}}:{{uid}})}}'}}]
"
    );
    let proxy = proxy(&upstream, &keys).await;

    assert_eq!(ask(&proxy).await.status(), 200);

    let request = &login.requests()[0];
    assert_eq!(request.first_line(), "GET /auth?key=k%261&roles=a&roles=b HTTP/1.1");
    assert_eq!((request.field("content-length"), request.field("content-type")), (None, None));
    assert_eq!(upstream.requests()[0].fields("x-auth"), ["Basic VDE6Nw=="]);
}

#[tokio::test]
async fn a_login_in_a_form_or_in_a_text_has_the_whole_body_as_its_token() {
    let login = Upstream::answering_by(|request| match request.field("content-type") {
        Some("application/x-www-form-urlencoded") => answer("201 Created", &["content-type: text/plain"], "FORM\n"),
        Some("text/xml") => json_answer("\"TEXT\""),
        other => answer("415 Unsupported Media Type", &[], other.unwrap_or("none")),
    })
    .await;
    let url = login.url();
    for (request, body, token) in [
        (
            "client_id: i\n    client_secret: s&1\n    client_auth: client_secret_post\n    request: {url: URL, body: {form: {user: a b, again: [1, 2]}}}",
            "user=a+b&again=1&again=2&client_id=i&client_secret=s%261",
            "FORM",
        ),
        (
            "request: {method: PUT, url: URL, headers: {content-type: text/xml}, body: {text: \"<u>me</u>\\n{x}\"}}",
            "<u>me</u>\n{x}",
            "TEXT",
        ),
    ] {
        let upstream = Upstream::answering_by(echo).await;
        let request = request.replace("URL", &url);
        let keys = format!(
            "    grant: custom\n    {request}\n    response: {{access_token: ''}}\n    lifetime: {{default: 1h}}\n"
        );
        let proxy = proxy(&upstream, &keys).await;

        assert_eq!(ask(&proxy).await.status(), 200, "{request}");

        assert_eq!(login.requests().pop().unwrap().body_text(), body);
        assert_eq!(upstream.requests()[0].fields("authorization"), [format!("Bearer {token}")]);
    }
}

// A secret and Basic, raw unless the file says otherwise.
#[tokio::test]
async fn a_client_with_a_secret_proves_itself_at_a_login_too() {
    let login = login(&[], r##"{"access_token":"T#"}"##).await;
    let upstream = Upstream::answering_by(echo).await;
    let url = login.url();
    let keys = format!(
        "    grant: custom\n    client_id: i\n    client_secret: p+w\n    request: {{url: {url}, method: POST}}\n"
    );
    let proxy = proxy(&upstream, &keys).await;

    assert_eq!(ask(&proxy).await.status(), 200);

    let request = &login.requests()[0];
    assert_eq!(request.fields("authorization"), ["Basic aTpwK3c="]);
    assert_eq!((request.field("content-length"), request.field("content-type")), (Some("0"), None));
}

/// A login of two steps: `/session` for a key, `/token` for the session.
async fn two_steps() -> Upstream {
    Upstream::answering_by(|request| match (request.first_line(), request.body_text()) {
        ("POST /session HTTP/1.1", r#"{"apiKey":"k"}"#) => json_answer(r#"{"sessionId":"S1","node":"n7"}"#),
        ("POST /token HTTP/1.1", "session=S1&node=n7") if request.field("x-session") == Some("UzE6bjc=") => {
            json_answer(r#"{"jwt":"J1","expires_in":600}"#)
        }
        ("GET /whoami?of=J1 HTTP/1.1", "") => {
            json_answer(r#"{"id":"tenant-1","apiHosts":{"dataRegion":"http://127.0.0.1:9/"}}"#)
        }
        _ => answer("400 Bad Request", &["content-type: application/json"], r#"{"error":"invalid_request"}"#),
    })
    .await
}

/// All its steps, with a third for a tenant.
fn in_steps(url: &str) -> String {
    format!(
        "    grant: custom
    request: {{url: {url}session, body: {{json: {{apiKey: k}}}}}}
    response: {{access_token: /sessionId, values: {{node: /node}}}}
    then:
      - request:
          url: {url}token
          headers: {{X-Session: '{{base64({{token}}:{{node}})}}'}}
          body: {{form: {{session: '{{token}}', node: '{{node}}'}}}}
        response: {{access_token: /jwt}}
      - request: {{url: {url}whoami, query: {{of: '{{token}}'}}}}
        response: {{access_token: null, values: {{tenant: /id, region: /apiHosts/dataRegion}}}}
    inject:
      - {{header: Authorization, format: 'Bearer {{token}}'}}
      - {{header: X-Tenant-ID, format: '{{tenant}} {{node}}'}}
"
    )
}

// No. 25, 26: two-step logins, and Sophos, whose second step only says which tenant the token is for.
#[tokio::test]
async fn several_steps_lead_to_a_token_and_no_reply_says_where_it_goes() {
    let elsewhere = Upstream::saying("welcome").await;
    let (login, upstream) = (two_steps().await, Upstream::answering_by(echo).await);
    let proxy = proxy(&upstream, &in_steps(&login.url())).await;

    for _ in 0..3 {
        assert_eq!(ask(&proxy).await.status(), 200);
    }

    assert_eq!(login.requests().len(), 3, "each step once");
    for request in upstream.requests() {
        assert_eq!(request.fields("authorization"), ["Bearer J1"]);
        assert_eq!(request.fields("x-tenant-id"), ["tenant-1 n7"]);
    }
    assert_eq!(elsewhere.seen().connections(), 0);
}

// No. 25: Salesforce's `instance_url` is kept, and the upstream is still the file's.
#[tokio::test]
async fn a_base_url_in_a_reply_moves_nothing() {
    let elsewhere = Upstream::saying("welcome").await;
    let reply = format!(r#"{{"access_token":"T","instance_url":"{}"}}"#, elsewhere.url());
    let (login, upstream) = (Upstream::answering(json_answer(&reply)).await, Upstream::answering_by(echo).await);
    let url = login.url();
    let keys = format!(
        "    grant: client_credentials
    token_url: {url}
    response: {{values: {{instance: /instance_url}}}}
    inject: [{{}}, {{header: X-Instance, format: '{{instance}}'}}]
"
    );
    let proxy = proxy(&upstream, &keys).await;

    assert_eq!(ask(&proxy).await.status(), 200);

    assert_eq!(upstream.requests()[0].fields("x-instance"), [elsewhere.url()]);
    assert_eq!(elsewhere.seen().connections(), 0);
}

// A token that is there already is as good a beginning as any.
#[tokio::test]
async fn steps_follow_a_static_token_and_a_refresh() {
    let login = Upstream::answering_by(|request| match request.first_line() {
        "POST /token HTTP/1.1" => {
            json_answer(r#"{"access_token":"A","refresh_token":"R2","expires_in":600,"tenant":"t"}"#)
        }
        _ => json_answer(r#"{"access_token":"B"}"#),
    })
    .await;
    let url = login.url();
    for (keys, first) in [
        ("grant: static\n    token: A".to_owned(), 0),
        (format!("grant: refresh_token\n    token_url: {url}token\n    refresh_token: R1"), 1),
    ] {
        let upstream = Upstream::answering_by(echo).await;
        let before = login.requests().len();
        let step = format!("    then: [{{request: {{url: {url}then, headers: {{x-a: '<{{token}}>'}}}}}}]\n");
        let proxy = proxy(&upstream, &format!("    {keys}\n{step}")).await;

        assert_eq!(ask(&proxy).await.status(), 200);

        let requests = &login.requests()[before..];
        assert_eq!(requests.len(), first + 1);
        assert_eq!(requests[first].first_line(), "GET /then HTTP/1.1");
        assert_eq!(requests[first].fields("x-a"), ["<A>"]);
        assert_eq!(upstream.requests()[0].fields("authorization"), ["Bearer B"]);
    }
}

#[tokio::test]
async fn a_value_that_is_missing_makes_the_reply_worthless_and_is_named() {
    let captured = Captured::start();
    let login = login(&[], r#"{"access_token":"T","tenant":{}}"#).await;
    let upstream = Upstream::answering_by(echo).await;
    let url = login.url();
    let keys = format!(
        "    grant: client_credentials\n    token_url: {url}\n    response: {{values: {{tenant: /tenant/id}}}}\n\
         \x20   inject: {{header: X-A, format: '{{token}} {{tenant}}'}}\n"
    );
    let proxy = proxy(&upstream, &keys).await;

    let answer = ask(&proxy).await;

    assert_eq!(answer.status(), 503);
    let why = "no text at `/tenant/id` in an object, where `response.values.tenant` should stand";
    assert!(captured.text().contains(why), "{}", captured.text());
    assert!(upstream.requests().is_empty());
}

// A reply to a refresh need not say again what has not changed.
#[tokio::test]
async fn a_value_outlives_a_refresh_that_does_not_repeat_it() {
    let login = Upstream::answering_by(|request| match request.body_text() {
        text if text.contains("refresh_token=R1") => json_answer(r#"{"access_token":"T2"}"#),
        _ => json_answer(r#"{"access_token":"T1","refresh_token":"R1","tenant":"t"}"#),
    })
    .await;
    let upstream = Upstream::answering_by(|request| match request.field("authorization") {
        Some("Bearer T1") => answer("401 Unauthorized", &[], "no"),
        _ => echo(request),
    })
    .await;
    let url = login.url();
    let keys = format!(
        "    grant: custom\n    request: {{url: {url}login, refresh_url: {url}refresh, body: {{form: {{user: u}}}}}}\n\
         \x20   response: {{values: {{tenant: /tenant}}}}\n\
         \x20   inject: [{{}}, {{header: X-Tenant, format: '{{tenant}}'}}]\n"
    );
    let proxy = proxy(&upstream, &keys).await;

    assert_eq!(ask(&proxy).await.status(), 200);

    let lines: Vec<_> = login.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(lines, ["POST /login HTTP/1.1", "POST /refresh HTTP/1.1"]);
    assert_eq!(login.requests()[1].body_text(), "grant_type=refresh_token&refresh_token=R1");
    assert_eq!(upstream.requests()[1].fields("x-tenant"), ["t"]);
    assert_eq!(upstream.requests()[1].fields("authorization"), ["Bearer T2"]);
}

#[tokio::test]
async fn a_login_that_is_refused_away_slow_or_nonsense_is_answered_as_any_other() {
    for (reply, status, error) in [
        (answer("401 Unauthorized", &[], r#"{"message":"wrong password"}"#), 502, "http_401"),
        (answer("503 Service Unavailable", &[], "later"), 503, "unavailable"),
        (answer("200 OK", &[], "<html>log in</html>"), 503, "malformed_answer"),
        (json_answer("{\"access_token\":"), 503, "malformed_answer"),
        (json_answer("{\"error\":\"invalid_grant\"}"), 502, "invalid_grant"),
        (Vec::new(), 503, "timeout"),
    ] {
        for step in [false, true] {
            let refused = reply.clone();
            let login = Upstream::answering_by(move |request| match request.first_line().contains("/first") {
                true => json_answer(r#"{"access_token":"S"}"#),
                false => refused.clone(),
            })
            .await;
            let upstream = Upstream::answering_by(echo).await;
            let url = login.url();
            let request = match step {
                true => format!(
                    "    request: {{url: {url}first, timeout: 500ms}}\n    then: [{{request: {{url: {url}}}}}]\n"
                ),
                false => format!("    request: {{url: {url}, timeout: 500ms}}\n"),
            };
            let proxy = proxy(&upstream, &format!("    grant: custom\n{request}")).await;

            let answer = ask(&proxy).await;

            assert_eq!(answer.status(), status, "{step} {error}: {}", answer.text());
            assert!(answer.field("proxy-status").unwrap().contains(error), "{error}: {}", answer.text());
            assert_eq!(ask(&proxy).await.status(), status, "and not asked again at once");
            assert_eq!(login.requests().len(), if step { 2 } else { 1 });
            assert!(upstream.requests().is_empty());
        }
    }
}

// R38
#[tokio::test]
async fn nothing_of_a_login_is_told() {
    let captured = Captured::start();
    let said = "no M4RK3D-password, M4RK3D-session, bTo= or M4RK3D-value";
    let upstream = Upstream::answering_by(echo).await;
    for (code, last) in [
        ("200 OK", "{\"access_token\":\"M4RK3D-token\"}".to_owned()),
        ("400 Bad Request", format!("{{\"message\":\"{said}\"}}")),
    ] {
        let login = Upstream::answering_by(move |request| match request.first_line().contains("/first") {
            true => json_answer(r#"{"access_token":"M4RK3D-session","value":"M4RK3D-value"}"#),
            false => answer(code, &[], &last),
        })
        .await;
        let url = login.url();
        let keys = format!(
            "    grant: custom
    request:
      url: {url}first
      headers: {{Authorization: 'Basic {{base64(m:M4RK3D-password)}}'}}
      body: {{json: {{deep: {{password: M4RK3D-password}}}}}}
    response: {{values: {{value: /value}}}}
    then:
      - request: {{url: {url}second, body: {{text: '<p>${{P:-M4RK3D-password}} {{token}} {{value}} {{base64(m:)}}</p>'}}}}
"
        );
        let proxy = proxy(&upstream, &keys).await;
        let answer = ask(&proxy).await;
        assert_eq!(answer.status(), if code.starts_with("200") { 200 } else { 502 });
        let sent = &login.requests()[1];
        assert_eq!(sent.body_text(), "<p>M4RK3D-password M4RK3D-session M4RK3D-value bTo=</p>");
        proxy.stop().await;
    }
    let told = captured.text();
    assert!(told.contains("a token request ended") && told.contains("http_400"), "{told}");
    for secret in ["M4RK3D", "bTpNNFJLM0Qt", "bTo="] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
