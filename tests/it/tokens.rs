//! Tokens are cached, renewed ahead of their end by one request for everybody, and put where the file says (R66).

use std::sync::Arc;
use std::time::Duration;

use bearer_proxy::demo::{self, AuthorizationServer, Dialect, RefreshTokens, SeenRequest, Systems, What};
use tokio::task::JoinSet;

use super::support::api::{echo, proxy};
use super::support::proxy::parse;
use super::support::{Api, Downstream, Message, Proxy, TokenEndpoint, Upstream, answer, eventually, json_answer, soon};

/// An authorization server of z-Pax with its API, and a proxy in front whose credential has these further keys.
async fn zpax(more: &str) -> (AuthorizationServer, demo::Api, Proxy) {
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    let api = demo::Api::start(&server).await.unwrap();
    let more = format!("    scope: [orders.read, offline_access]\n{more}");
    let proxy = Proxy::new().client_credentials("zpax", &server, &more).route("/", &api.url(), "zpax", "");
    (server, api, proxy.start().await)
}

/// The parameters of a token request.
fn form(request: &Message) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

fn param(request: &Message, name: &str) -> Option<String> {
    form(request).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The grant types that were asked for, in order.
fn grants(seen: &[SeenRequest]) -> Vec<String> {
    seen.iter().map(|request| request.param("grant_type").unwrap()).collect()
}

// R66
#[tokio::test]
async fn one_token_serves_many_requests() {
    let (server, api, proxy) = zpax("").await;

    for _ in 0..5 {
        let mut downstream = Downstream::of(&proxy).await;
        for _ in 0..20 {
            assert_eq!(downstream.get("/orders").await.status(), 200);
        }
    }

    assert_eq!((server.token_requests(), api.requests()), (1, 100));
    let lines = proxy.log_lines_when(100).await;
    let count = |action| lines.iter().filter(|line| line["token"] == action).count();
    assert_eq!((count("waited"), count("cached")), (1, 99));
}

// R66
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_a_cold_start_cost_one_token_request() {
    const CALLERS: usize = 1000;
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::answering_by(echo).await);
    let credential = endpoint.credential_with("api", "    request: {timeout: 60s}\n");
    let route = "    timeouts: {connect: 20s}\n";
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", route).start().await;
    endpoint.hold();

    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move {
            let body = format!("caller {number}");
            let answer = downstream.post("/", &body).await;
            assert_eq!((answer.status(), answer.body_text()), (200, body.as_str()));
        });
    }
    eventually("all of them waiting", || proxy.figure("requests_in_flight{route=\"default\"}") == 1000).await;
    assert_eq!(upstream.requests().len(), 0);
    endpoint.release();
    soon("all answers", callers.join_all()).await;

    assert_eq!(endpoint.asked(), 1);
    let requests = upstream.requests();
    assert_eq!(requests.len(), CALLERS);
    assert!(requests.iter().all(|request| request.fields("authorization") == ["Bearer T1"]));
}

// R66
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_token_endpoint_is_asked_once_and_nobody_is_refused() {
    let (server, api, proxy) = zpax("").await;
    server.delay(Duration::from_millis(300));

    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move { assert_eq!(downstream.get("/").await.status(), 200) });
    }
    soon("all answers", callers.join_all()).await;

    assert_eq!((server.token_requests(), api.requests()), (1, 200));
    assert_eq!(proxy.figure("upstream_unauthorized_total{route=\"default\"}"), 0);
}

// R66
#[tokio::test]
async fn a_downstream_that_leaves_at_a_cold_start_does_not_take_the_token_request_along() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let proxy = api.behind_proxy(&endpoint, "").await;
    endpoint.hold();

    let mut leaver = Downstream::of(&proxy).await;
    leaver.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    endpoint.wait_for(1).await;
    drop(leaver);
    assert_eq!(proxy.log_lines_when(1).await[0]["status"], 499);
    endpoint.release();

    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!((endpoint.asked(), api.requests().len()), (1, 1));
}

// R66
#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_nobody_waits_for_it() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.say_more(",\"expires_in\":8");
    // Fresh for four seconds, renewed after two; the rest is room for a machine that is busy.
    let credential = endpoint.credential_with("api", "    refresh: {margin: 4s, ahead: 2s}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    endpoint.hold();

    // Nobody asks the proxy for anything meanwhile.
    endpoint.wait_for(2).await;
    for _ in 0..50 {
        assert_eq!(downstream.get("/").await.status(), 200);
    }
    let lines = proxy.log_lines_when(51).await;
    assert!(lines.iter().skip(1).all(|line| line["token"] == "cached"), "{lines:?}");
    assert!(upstream.requests().iter().all(|request| request.field("authorization") == Some("Bearer T1")));

    endpoint.release();
    soon("the new token", async {
        while upstream.requests().last().unwrap().field("authorization") != Some("Bearer T2") {
            assert_eq!(downstream.get("/").await.status(), 200);
        }
    })
    .await;
    assert_eq!(endpoint.asked(), 2);
}

// R66
#[tokio::test]
async fn while_requests_come_there_is_one_token_request_a_lifetime_and_no_refusal() {
    let (server, _api, proxy) = zpax("").await;
    server.set_lifetime(Duration::from_secs(3));
    let mut events = server.events().subscribe();
    let mut downstream = Downstream::of(&proxy).await;

    soon("two renewals", async {
        while server.tokens_issued() < 3 {
            assert_eq!(downstream.get("/").await.status(), 200);
        }
    })
    .await;

    assert_eq!(server.token_requests(), 3);
    while let Ok(event) = events.try_recv() {
        if let What::Answered { status, token, .. } = event.what {
            assert_eq!(status, 200, "{token:?}");
        }
    }
    let lines = proxy.log_lines_when(2).await;
    assert_eq!(lines.iter().filter(|line| line["token"] != "cached").count(), 1, "only the very first has waited");
}

// R66, R76
#[tokio::test]
async fn refresh_tokens_are_used_and_rotated() {
    let (server, _api, proxy) = zpax("").await;
    let mut downstream = Downstream::of(&proxy).await;

    assert_eq!(downstream.get("/").await.status(), 200);
    for _ in 0..4 {
        server.revoke_access_tokens();
        assert_eq!(downstream.get("/").await.status(), 200);
    }

    let seen = server.seen();
    assert_eq!(
        grants(&seen),
        ["client_credentials", "refresh_token", "refresh_token", "refresh_token", "refresh_token"]
    );
    let mut used: Vec<_> = seen.iter().filter_map(|request| request.param("refresh_token")).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 4, "each is used once");
    assert_eq!(server.tokens_issued(), 5);
}

// R66, R76
#[tokio::test]
async fn a_refresh_token_is_kept_when_the_answer_has_no_new_one() {
    let (server, _api, proxy) = zpax("").await;
    server.set_refresh_tokens(RefreshTokens::Kept);
    let mut downstream = Downstream::of(&proxy).await;

    assert_eq!(downstream.get("/").await.status(), 200);
    for _ in 0..3 {
        server.revoke_access_tokens();
        assert_eq!(downstream.get("/").await.status(), 200);
    }

    let seen = server.seen();
    let used: Vec<_> = seen.iter().filter_map(|request| request.param("refresh_token")).collect();
    assert_eq!((used.len(), seen.len()), (3, 4));
    assert!(used.iter().all(|token| *token == used[0]));
}

// R66, R76
#[tokio::test]
async fn a_refused_refresh_token_is_given_up_for_the_credentials_own_grant_at_once() {
    let (server, _api, proxy) = zpax("").await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);

    server.revoke_all();
    assert_eq!(downstream.get("/").await.status(), 200);
    server.revoke_access_tokens();
    assert_eq!(downstream.get("/").await.status(), 200);

    let seen = server.seen();
    assert_eq!(grants(&seen), ["client_credentials", "refresh_token", "client_credentials", "refresh_token"]);
    assert_ne!(seen[1].param("refresh_token"), seen[3].param("refresh_token"), "the refused one is not tried again");
}

// R66
#[tokio::test]
async fn the_file_may_forbid_refresh_tokens() {
    let (server, _api, proxy) = zpax("    refresh: {use_refresh_token: false}\n").await;
    let mut downstream = Downstream::of(&proxy).await;

    assert_eq!(downstream.get("/").await.status(), 200);
    server.revoke_access_tokens();
    assert_eq!(downstream.get("/").await.status(), 200);

    assert_eq!(grants(&server.seen()), ["client_credentials", "client_credentials"]);
}

// R66, R76
#[tokio::test]
async fn a_first_refresh_token_from_the_file_is_used_once_and_its_successors_after_it() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("A1").await);
    let keys = "    grant: refresh_token\n    refresh_token: first\n    client_secret: s3cret\n";
    let credential = endpoint.credential_with("api", keys);
    let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for reply in [
        r#"{"access_token":"A1","refresh_token":"second","expires_in":3600}"#,
        r#"{"access_token":"A2","expires_in":3600}"#,
        r#"{"access_token":"A3","refresh_token":"third","expires_in":3600}"#,
        r#"{"access_token":"A4","expires_in":3600}"#,
    ] {
        endpoint.answer_next(json_answer(reply));
    }

    for token in ["A1", "A2", "A3", "A4"] {
        api.take(token);
        assert_eq!(downstream.get("/").await.status(), 200, "{token}");
    }

    let used: Vec<_> = endpoint.requests().iter().map(|request| param(request, "refresh_token").unwrap()).collect();
    assert_eq!(used, ["first", "second", "second", "third"]);
}

// R66
#[tokio::test]
async fn a_secret_file_that_changes_is_read_again_before_the_next_token_request() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old secret\n").unwrap();
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let keys = format!("    client_secret: ${{file:{}}}\n    client_auth: client_secret_post\n", file.path().display());
    let credential = endpoint.credential_with("api", &keys);
    let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;

    assert_eq!(downstream.get("/").await.status(), 200);
    std::fs::write(file.path(), "new secret").unwrap();
    api.take("T2");
    assert_eq!(downstream.get("/").await.status(), 200);

    let secrets: Vec<_> = endpoint.requests().iter().map(|request| param(request, "client_secret").unwrap()).collect();
    assert_eq!(secrets, ["old secret", "new secret"]);
}

// R66
#[tokio::test]
async fn a_wrong_secret_file_that_is_put_right_serves_again_without_a_restart() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let server = AuthorizationServer::start(Dialect::Applixure.settings()).await.unwrap();
    let api = demo::Api::start(&server).await.unwrap();
    let credential = format!(
        "  api:\n    grant: client_credentials\n    token_url: {}\n    client_id: {}\n    client_secret: ${{file:{}}}\n",
        server.token_url(),
        server.settings().client_id,
        file.path().display()
    );
    let proxy = Proxy::new().credential(&credential).route("/", &api.url(), "api", "").start().await;
    let mut downstream = Downstream::of(&proxy).await;

    assert_eq!(downstream.get("/").await.status(), 502);
    for _ in 0..20 {
        assert_eq!(downstream.get("/").await.status(), 502);
    }
    assert_eq!(server.token_requests(), 1);

    std::fs::write(file.path(), server.settings().client_secret.as_deref().unwrap()).unwrap();
    soon("the change to be seen", async { while downstream.get("/").await.status() != 200 {} }).await;
    assert_eq!((server.token_requests(), api.requests()), (2, 1));
}

// R37
#[tokio::test]
async fn a_token_goes_into_the_header_and_the_form_that_the_file_names() {
    for (inject, fields) in [
        ("{header: X-Api-Key, format: \"{token}\"}", vec![("x-api-key", "T1")]),
        ("{header: Authentication}", vec![("authentication", "Bearer T1")]),
        ("{format: 'Token token=\"{token}\" {not this}'}", vec![("authorization", "Token token=\"T1\" {not this}")]),
        ("[{}, {header: X-Token, format: \"{token}\"}]", vec![("authorization", "Bearer T1"), ("x-token", "T1")]),
    ] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        let credential = endpoint.credential_with("api", &format!("    inject: {inject}\n"));
        let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer mine\r\nx-api-key: mine\r\n\
                       authentication: mine\r\nx-token: mine\r\nx-other: mine\r\n\r\n";
        assert_eq!(Downstream::of(&proxy).await.ask(request).await.status(), 200);

        let request = &upstream.requests()[0];
        for (name, value) in &fields {
            assert_eq!(request.fields(name), [*value], "{inject}");
        }
        assert_eq!(request.field("x-other"), Some("mine"));
        assert!(!request.text().contains("Bearer mine"), "{inject}");
    }
}

// R37, R67
#[tokio::test]
async fn a_token_in_the_query_replaces_the_downstreams_and_is_replaced_itself() {
    let endpoint = TokenEndpoint::start().await;
    let upstream = Upstream::answering_by(|request| match request.first_line().contains("=T2 ") {
        true => echo(request),
        false => answer("401 Unauthorized", &[], ""),
    })
    .await;
    let credential = endpoint.credential_with("api", "    inject: {query: access_token}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &upstream.url(), "api", "").start().await;

    let target = "/a%2Fb?x=%7e&access_token=mine&%61ccess_token=mine&y";
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer mine\r\n\r\n");
    assert_eq!(Downstream::of(&proxy).await.ask(request).await.status(), 200);

    let lines: Vec<_> = upstream.requests().iter().map(|request| request.first_line().to_owned()).collect();
    assert_eq!(lines, ["T1", "T2"].map(|token| format!("GET /a%2Fb?x=%7e&y&access_token={token} HTTP/1.1")));
    assert!(upstream.requests().iter().all(|request| request.fields("authorization").is_empty()));
    assert_eq!(proxy.log_lines_when(1).await[0]["path"], "/a%2Fb");
}

// R43, R58
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_bears_its_own_routes_token_and_every_answer_goes_to_its_own_asker() {
    const CALLERS: usize = 50;
    const EACH: usize = 40;
    let systems = Systems::start(Duration::from_secs(600)).await.unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = Proxy::from(&parse(&systems.configuration(any, any))).await;

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut downstream = Downstream::of(&proxy).await;
        callers.spawn(async move {
            for number in 0..EACH {
                let slug = Dialect::ALL[(caller + number) % 4].slug();
                let body = format!("{slug} {caller} {number}");
                let answer = downstream.post(&format!("/{slug}/echo"), &body).await;
                assert_eq!((answer.status(), answer.body_text()), (200, body.as_str()));
            }
        });
    }
    soon("all answers", callers.join_all()).await;

    // Each API takes tokens of its own server alone, and exactly one of them.
    for (server, api) in systems.iter() {
        assert_eq!((server.tokens_issued(), api.requests()), (1, 500), "{}", server.dialect());
    }
}

// R61
#[tokio::test]
async fn a_reload_keeps_the_tokens_of_unchanged_credentials_and_renews_changed_ones() {
    let (kept, changed) = (TokenEndpoint::start().await, TokenEndpoint::start().await);
    let upstream = Upstream::saying("hello").await;
    let file = |scope: &str| {
        Proxy::new()
            .credential(&kept.credential("kept"))
            .credential(&changed.credential_with("changed", &format!("    scope: {scope}\n")))
            .route("/kept/", &upstream.url(), "kept", "")
            .route("/changed/", &upstream.url(), "changed", "")
    };
    let proxy = file("read").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for path in ["/kept/", "/changed/"] {
        assert_eq!(downstream.get(path).await.status(), 200);
    }

    proxy.running().reload(&file("read").config()).await.unwrap();
    for path in ["/kept/", "/changed/"] {
        assert_eq!(downstream.get(path).await.status(), 200);
    }
    assert_eq!((kept.asked(), changed.asked()), (1, 1), "nothing has changed");

    proxy.running().reload(&file("write").config()).await.unwrap();
    for path in ["/kept/", "/changed/"] {
        assert_eq!(downstream.get(path).await.status(), 200);
    }
    assert_eq!((kept.asked(), changed.asked()), (1, 2));
    assert_eq!(param(&changed.requests()[1], "scope").as_deref(), Some("write"));
    assert_eq!(upstream.requests().last().unwrap().field("authorization"), Some("Bearer T2"));
}

/// An issuer: its metadata at this path, with this token endpoint.
async fn issuer(path: &'static str, issuer: Option<&'static str>, endpoint: &TokenEndpoint) -> Upstream {
    let token_endpoint = endpoint.url();
    Upstream::answering_by(move |request| {
        let named = match issuer {
            Some(issuer) => issuer.to_owned(),
            None => format!("http://{}/realm", request.field("host").unwrap()),
        };
        match request.first_line() == format!("GET {path} HTTP/1.1") {
            true => json_answer(&format!("{{\"issuer\":\"{named}\",\"token_endpoint\":\"{token_endpoint}\"}}")),
            false => answer("404 Not Found", &[], ""),
        }
    })
    .await
}

// R66
#[tokio::test]
async fn a_token_endpoint_is_found_from_its_issuer_once() {
    for path in ["/realm/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realm"] {
        let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
        let issuer = issuer(path, None, &endpoint).await;
        let url = issuer.url();
        let credential =
            format!("  api: {{grant: client_credentials, issuer: \"{url}realm\", client_id: me, client_secret: s}}\n");
        let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;
        let mut downstream = Downstream::of(&proxy).await;

        assert_eq!(downstream.get("/").await.status(), 200, "{path}");
        let asked = issuer.requests().len();
        api.take("T2");
        assert_eq!(downstream.get("/").await.status(), 200);

        assert_eq!((endpoint.asked(), issuer.requests().len()), (2, asked));
    }
}

// R66, R72
#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let (endpoint, api) = (TokenEndpoint::start().await, Api::taking("T1").await);
    let path = "/realm/.well-known/openid-configuration";
    let issuer = issuer(path, Some("http://127.0.0.1:9/realm"), &endpoint).await;
    let url = issuer.url();
    let credential =
        format!("  api: {{grant: client_credentials, issuer: \"{url}realm\", client_id: me, client_secret: s}}\n");
    let proxy = Proxy::new().credential(&credential).route("/", &api.upstream.url(), "api", "").start().await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!(answer.status(), 503);
    let status = "bearer-proxy; error=destination_unavailable; details=\"discovery_failed\"";
    assert_eq!(answer.field("proxy-status"), Some(status));
    assert_eq!((endpoint.asked(), api.requests().len()), (0, 0));
}

// R66
#[tokio::test]
async fn a_static_token_is_sent_as_it_is_and_a_refusal_of_it_is_passed_on() {
    let upstream = Upstream::answering(answer("401 Unauthorized", &["www-authenticate: Bearer"], "no")).await;
    let proxy = Proxy::to(&upstream).await;

    let answer = Downstream::of(&proxy).await.get("/").await;

    assert_eq!((answer.status(), answer.body_text()), (401, "no"));
    assert!(upstream.requests().iter().all(|request| request.fields("authorization") == ["Bearer T0KEN"]));
}

// R66
#[tokio::test]
async fn expires_in_may_be_absent_or_absurd() {
    for more in ["", ",\"expires_in\":0", ",\"expires_in\":-5", ",\"expires_in\":\"soon\"", ",\"expires_in\":1e300"] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        endpoint.say_more(more);
        let proxy = Arc::new(proxy(&upstream, &endpoint, "").await);
        let mut downstream = Downstream::of(&proxy).await;

        for _ in 0..20 {
            assert_eq!(downstream.get("/").await.status(), 200, "{more}");
        }

        assert_eq!(endpoint.asked(), 1, "{more}");
    }
}
