//! Servers and APIs together: what tests and the demo rely on.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{ask, basic, get, send};
use super::*;

const APPLIXURE: &str = "applixure-demo:key+secret%26more";

async fn start() -> (AuthorizationServer, Api) {
    let server = AuthorizationServer::start(Dialect::Applixure.settings()).await.unwrap();
    let api = Api::start(&server).await.unwrap();
    (server, api)
}

async fn token(server: &AuthorizationServer) -> String {
    let answer = ask(server, &[&basic(APPLIXURE)], "grant_type=client_credentials").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.text("access_token")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[tokio::test]
async fn an_api_answers_a_good_token_and_never_shows_it() {
    let (server, api) = start().await;
    let token = token(&server).await;
    let answer = get(api.address(), "/orders?secret=1", &[&bearer(&token)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!((answer.text("path").as_str(), &answer.json()["token"]), ("/orders", &1.into()));
    assert!(!answer.body.contains(&token) && !answer.head.contains(&token));
    assert_eq!(api.requests(), 1);
}

#[tokio::test]
async fn an_api_refuses_everything_that_is_not_exactly_one_good_token() {
    let (server, api) = start().await;
    let (stranger, _other) = start().await;
    let (mine, theirs) = (bearer(&token(&server).await), bearer(&token(&stranger).await));
    let address = api.address();
    for line in [
        theirs.as_str(),
        "Authorization: Bearer",
        "Authorization: Bearer made-up",
        &basic(APPLIXURE),
        &mine.replace("Bearer ", "bearer "),
        &mine.replace("Bearer ", "Bearer  "),
        &format!("{mine}x"),
    ] {
        let answer = get(address, "/", &[line]).await;
        assert_eq!(answer.status, 401, "{line}");
        assert!(answer.field("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    }
    // RFC 6750 §3.1: no error code for who did not know that a token is needed.
    let answer = get(address, "/", &[]).await;
    assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer realm=\"demo\"")));
    assert_eq!(get(address, "/", &[&mine, &mine]).await.status, 400);
    assert_eq!(get(address, "/", &[&mine.replace("Authorization", "Authentication")]).await.status, 401);
}

#[tokio::test]
async fn the_api_of_apiax_also_takes_the_field_that_its_guide_names() {
    let server = AuthorizationServer::start(Dialect::Apiax.settings()).await.unwrap();
    let api = Api::start(&server).await.unwrap();
    let body =
        "grant_type=password&client_id=integration-api&username=demo%40apiax.example&password=pass%26word%3D1%2B1";
    let authorization = bearer(&ask(&server, &[], body).await.text("access_token"));
    let authentication = authorization.replace("Authorization", "Authentication");
    assert_eq!(get(api.address(), "/", &[&authorization]).await.status, 200);
    assert_eq!(get(api.address(), "/", &[&authentication]).await.status, 200);
    assert_eq!(get(api.address(), "/", &[&authorization, &authentication]).await.status, 400);
}

#[tokio::test]
async fn a_token_serves_until_it_is_revoked() {
    let (server, api) = start().await;
    let line = bearer(&token(&server).await);
    assert_eq!(get(api.address(), "/revoke", &[&line]).await.status, 405);
    let post = format!("POST /revoke HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n{line}\r\n\r\n");
    assert_eq!(send(api.address(), &post).await.status, 200);
    let answer = get(api.address(), "/", &[&line]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.text("error_description"), "the token was revoked");

    let line = bearer(&token(&server).await);
    assert_eq!(get(api.address(), "/", &[&line]).await.json()["token"], 2);
    server.revoke_all();
    assert_eq!(get(api.address(), "/", &[&line]).await.status, 401);
}

#[tokio::test]
async fn a_token_serves_until_its_lifetime_is_over() {
    let (server, api) = start().await;
    server.set_lifetime(Duration::ZERO);
    let line = bearer(&token(&server).await);
    let answer = get(api.address(), "/", &[&line]).await;
    assert_eq!((answer.status, answer.text("error_description").as_str()), (401, "the token has expired"));
    server.set_lifetime(Duration::from_millis(90_500));
    let answer = ask(&server, &[&basic(APPLIXURE)], "grant_type=client_credentials").await;
    assert_eq!(answer.json()["expires_in"], 90.5);
}

#[tokio::test]
async fn an_api_can_be_told_to_refuse_good_tokens() {
    let (server, api) = start().await;
    let line = bearer(&token(&server).await);
    api.refuse_next(2);
    assert_eq!(get(api.address(), "/", &["X: none"]).await.status, 401, "counts not: it bore no good token");
    for expected in [401, 401, 200] {
        assert_eq!(get(api.address(), "/", &[&line]).await.status, expected);
    }
}

#[tokio::test]
async fn a_server_can_be_told_to_fail_for_a_while() {
    let (server, _api) = start().await;
    server.fail_with(StatusCode::SERVICE_UNAVAILABLE, 2);
    server.set_retry_after(Some(Duration::from_secs(7)));
    for _ in 0..2 {
        let answer = ask(&server, &[&basic(APPLIXURE)], "grant_type=client_credentials").await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("7")));
    }
    token(&server).await;
    assert_eq!((server.token_requests(), server.tokens_issued()), (3, 1));
    assert_eq!(server.seen()[0].param("grant_type").as_deref(), Some("client_credentials"));
}

#[tokio::test]
async fn a_delayed_answer_can_be_awaited_through_events() {
    let (server, _api) = start().await;
    let mut events = server.events().subscribe();
    server.delay(Duration::from_millis(30));
    token(&server).await;
    let event = events.recv().await.unwrap();
    assert_eq!((event.system, event.what), (Dialect::Applixure, What::Asked));
    assert!(matches!(events.recv().await.unwrap().what, What::Issued { generation: 1, .. }));
}

#[tokio::test]
async fn echo_sends_the_body_back_as_it_comes() {
    let (server, api) = start().await;
    let line = bearer(&token(&server).await);
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{line}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"5\r\nhello\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"5\r\nhello\r\n") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    while !seen.ends_with(b"0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_first_tick_of_a_stream_comes_at_once() {
    let (server, api) = start().await;
    let line = bearer(&token(&server).await);
    let answer = get(api.address(), "/stream?ticks=1", &[&line]).await;
    assert_eq!(answer.field("content-type"), Some("text/event-stream"));
    assert!(answer.body.contains("data: {\"tick\":1,\"of\":1}\n\n"), "{}", answer.body);
}

#[tokio::test]
async fn no_event_holds_a_token() {
    let (server, api) = start().await;
    let mut events = server.events().subscribe();
    let token = token(&server).await;
    get(api.address(), &format!("/?access_token={token}"), &[&bearer(&token)]).await;
    let told: Vec<String> =
        std::iter::from_fn(|| events.try_recv().ok()).map(|event| format!("{event:?} {}", event.what)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(!told.concat().contains(&token), "{told:?}");
}

#[tokio::test]
async fn a_stopped_server_refuses_connections() {
    let (server, _api) = start().await;
    let address = server.address();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_configuration_has_a_route_for_each_system() {
    let systems = Systems::start(Duration::from_secs(20)).await.unwrap();
    let listener = "127.0.0.1:8080".parse().unwrap();
    let yaml = systems.configuration(listener, "127.0.0.1:9090".parse().unwrap());
    assert!(yaml.starts_with("listeners:\n  - address: 127.0.0.1:8080\nadmin:\n  address: 127.0.0.1:9090\n"));
    for (server, api) in systems.iter() {
        let (slug, settings) = (server.dialect().slug(), server.settings());
        let secret = settings.client_secret.as_ref().or(settings.user.as_ref().map(|(_, password)| password)).unwrap();
        for line in [
            format!("  {slug}:\n    token_url: {}\n    grant: ", server.token_url()),
            format!("    client_id: \"{}\"\n", settings.client_id),
            format!(": \"{secret}\"\n"),
            format!("  - path: /{slug}/\n    upstream: {}\n    credential: {slug}\n", api.url()),
        ] {
            assert!(yaml.contains(&line), "{line} is not in\n{yaml}");
        }
    }
}
