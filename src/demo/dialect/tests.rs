//! Each dialect over a socket, with raw bytes: what it accepts, and every rule by which it refuses.

use super::*;
use crate::demo::AuthorizationServer;
use crate::demo::wire::{Answer, ask, ask_with, basic};

/// z-Pax' id and secret, form-encoded (RFC 6749 §2.3.1).
const ZPAX: &str = "zpax-demo:z%2Fsecret%2B100%25+%3A%29";
const ZPAX_BODY: &str = "client_id=zpax-demo&client_secret=z%2Fsecret%2B100%25+%3A%29";
const EAGLE: &str = "eagle-demo:eagle/eye=20+20";
const APPLIXURE: &str = "applixure-demo:key+secret%26more";
const APIAX_LOGIN: &str =
    "grant_type=password&client_id=integration-api&username=demo%40apiax.example&password=pass%26word%3D1%2B1";
const JWT_BEARER: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

async fn start(dialect: Dialect) -> AuthorizationServer {
    AuthorizationServer::start(dialect.settings()).await.unwrap()
}

/// Refused, with this status and code, in this system's form; never kept by a cache.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, description: &str) {
    assert_eq!((answer.status, answer.text("error").as_str()), (status, code), "{}", answer.body);
    let description = answer.text(description);
    // RFC 6749 §5.2: the characters a description may have.
    let allowed = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(!description.is_empty() && description.bytes().all(allowed), "{}", answer.body);
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("www-authenticate").is_some(), status == 401);
}

#[tokio::test]
async fn zpax_gives_a_token_for_id_secret_and_scope_in_either_place() {
    let server = start(Dialect::Zpax).await;
    let by_header = ask(&server, &[&basic(ZPAX)], "grant_type=client_credentials&scope=orders.read+orders.write").await;
    assert_eq!(by_header.status, 200, "{}", by_header.body);
    assert_eq!(by_header.text("token_type"), "Bearer");
    assert_eq!(by_header.text("scope"), "orders.read orders.write");
    assert_eq!(by_header.json()["expires_in"], 1200);
    assert_eq!(by_header.field("cache-control"), Some("no-store"));
    assert!(by_header.json().get("refresh_token").is_none(), "not without offline_access");

    let by_body = ask(&server, &[], &format!("grant_type=client_credentials&scope=orders.read&{ZPAX_BODY}")).await;
    assert_eq!(by_body.status, 200, "{}", by_body.body);
    assert_ne!(by_body.text("access_token"), by_header.text("access_token"));
    assert_eq!(server.tokens_issued(), 2);
}

#[tokio::test]
async fn zpax_adds_a_refresh_token_for_offline_access_and_rotates_it() {
    let server = start(Dialect::Zpax).await;
    let login = ask(&server, &[&basic(ZPAX)], "grant_type=client_credentials&scope=orders.read+offline_access").await;
    let refresh = format!("grant_type=refresh_token&refresh_token={}", login.text("refresh_token"));
    let refreshed = ask(&server, &[&basic(ZPAX)], &refresh).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    assert_eq!(refreshed.text("scope"), "orders.read offline_access");
    assert_ne!(refreshed.text("refresh_token"), login.text("refresh_token"));
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_but_not_widen_it() {
    let server = start(Dialect::Zpax).await;
    let login = ask(&server, &[&basic(ZPAX)], "grant_type=client_credentials&scope=orders.read+offline_access").await;
    let refresh = format!("grant_type=refresh_token&refresh_token={}", login.text("refresh_token"));
    let wider = ask(&server, &[&basic(ZPAX)], &format!("{refresh}&scope=orders.write")).await;
    assert_refused(&wider, 400, "invalid_scope", "error_description");
    let narrower = ask(&server, &[&basic(ZPAX)], &format!("{refresh}&scope=orders.read")).await;
    assert_eq!(narrower.text("scope"), "orders.read", "the refused one did not use the token up");
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let server = start(Dialect::Zpax).await;
    let login = "grant_type=client_credentials&scope=orders.read";
    let auth = basic(ZPAX);
    for body in [
        "scope=orders.read",
        "grant_type=&scope=orders.read",
        "grant_type=client_credentials&grant_type=client_credentials&scope=orders.read",
        "grant_type=client_credentials&scope=orders.read&scope=orders.read",
        "grant_type=client_credentials&scope=orders.read&unknown=1&unknown=2",
        "grant_type=client_credentials&scope=orders.read&",
        "grant_type=client_credentials&scope=%zz",
        "{\"grant_type\":\"client_credentials\"}",
        "grant_type=client_credentials&scope=orders.read&client_id=somebody-else",
        &format!("grant_type=client_credentials&scope=orders.read&{ZPAX_BODY}"),
    ] {
        assert_refused(&ask(&server, &[&auth], body).await, 400, "invalid_request", "error_description");
    }
    let doubled = ask(&server, &[&auth, &auth], login).await;
    assert_refused(&doubled, 400, "invalid_request", "error_description");
    let unknown_is_ignored = ask(&server, &[&auth], &format!("{login}&unknown=1&resource=a&resource=b")).await;
    assert_eq!(unknown_is_ignored.status, 200);
    assert_eq!(server.tokens_issued(), 1);
}

#[tokio::test]
async fn another_method_content_type_target_or_size_is_refused() {
    let server = start(Dialect::Zpax).await;
    let path = server.dialect().token_path();
    let login = "grant_type=client_credentials&scope=orders.read";
    let auth = basic(ZPAX);
    for content_type in [
        "Content-Type: application/json",
        "Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1",
        "Content-Type: multipart/form-data",
        "X-Content-Type: missing",
    ] {
        let answer = ask_with(&server, "POST", path, &[content_type, &auth], login).await;
        assert_refused(&answer, 400, "invalid_request", "error_description");
    }
    let form = "Content-Type: application/x-www-form-urlencoded;charset=UTF-8";
    assert_eq!(ask_with(&server, "POST", path, &[form, &auth], login).await.status, 200);

    let get = ask_with(&server, "GET", path, &[form, &auth], login).await;
    assert_eq!((get.status, get.field("allow")), (405, Some("POST")));
    let query = ask_with(&server, "POST", &format!("{path}?{login}"), &[form, &auth], "").await;
    assert_refused(&query, 400, "invalid_request", "error_description");
    assert_eq!(ask_with(&server, "POST", "/oauth/token", &[form, &auth], login).await.status, 404);
    let long = format!("{login}&x={}", "x".repeat(64 * 1024));
    assert_refused(&ask(&server, &[&auth], &long).await, 413, "invalid_request", "error_description");
}

#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_refused() {
    let server = start(Dialect::Zpax).await;
    let login = "grant_type=client_credentials&scope=orders.read";
    for fields in [
        vec![],
        vec![basic("zpax-demo:wrong")],
        vec![basic("nobody:z%2Fsecret%2B100%25+%3A%29")],
        // Not form-encoded first, and so another secret, or none.
        vec![basic("zpax-demo:z/secret+100% :)")],
        vec![basic("zpax-demo")],
        vec!["Authorization: Basic !".to_owned()],
        vec!["Authorization: Bearer abc".to_owned()],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let answer = ask(&server, &fields, login).await;
        assert_refused(&answer, 401, "invalid_client", "error_description");
        assert!(answer.field("www-authenticate").unwrap().starts_with("Basic "));
    }
    for credentials in ["client_id=zpax-demo&client_secret=wrong", "client_id=nobody&client_secret=z"] {
        let answer = ask(&server, &[], &format!("{login}&{credentials}")).await;
        assert_refused(&answer, 400, "invalid_client", "error_description");
    }
}

#[tokio::test]
async fn zpax_refuses_scopes_and_grants_it_does_not_know() {
    let server = start(Dialect::Zpax).await;
    for scope in ["", "&scope=", "&scope=orders.delete", "&scope=orders.read++orders.write", "&scope=orders.read+"] {
        let answer = ask(&server, &[&basic(ZPAX)], &format!("grant_type=client_credentials{scope}")).await;
        assert_refused(&answer, 400, "invalid_scope", "error_description");
    }
    for grant in ["password", "Client_Credentials", "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"] {
        let answer = ask(&server, &[&basic(ZPAX)], &format!("grant_type={grant}&scope=orders.read")).await;
        assert_refused(&answer, 400, "unsupported_grant_type", "error_description");
    }
}

#[tokio::test]
async fn apiax_gives_java_timestamps_for_a_password() {
    let server = start(Dialect::Apiax).await;
    let before = u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let login = ask(&server, &[], APIAX_LOGIN).await;
    assert_eq!(login.status, 200, "{}", login.body);
    let expires_in = login.json()["expires_in"].as_u64().unwrap();
    assert!(expires_in >= before + 1_800_000 && expires_in < before + 1_810_000, "{expires_in}");
    assert_eq!(login.json()["expires_at"], expires_in);
    assert_eq!(login.json()["refresh_expires_in"], 0);
    assert_eq!(login.text("token_type"), "bearer");
}

#[tokio::test]
async fn apiax_refuses_a_wrong_password_and_any_client_authentication() {
    let server = start(Dialect::Apiax).await;
    let wrong = ask(&server, &[], &APIAX_LOGIN.replace("pass%26word", "pass")).await;
    assert_refused(&wrong, 400, "invalid_grant", "error_description");
    let unencoded = ask(&server, &[], &APIAX_LOGIN.replace("%26", "&")).await;
    assert_refused(&unencoded, 400, "invalid_request", "error_description");
    for missing in ["&username=demo%40apiax.example", "&password=pass%26word%3D1%2B1", "&client_id=integration-api"] {
        let answer = ask(&server, &[], &APIAX_LOGIN.replace(missing, "")).await;
        assert_refused(&answer, 400, "invalid_request", "error_description");
    }
    let basic = ask(&server, &[&basic("integration-api:")], APIAX_LOGIN).await;
    assert_refused(&basic, 401, "invalid_client", "error_description");
    let secret = ask(&server, &[], &format!("{APIAX_LOGIN}&client_secret=x")).await;
    assert_refused(&secret, 400, "invalid_client", "error_description");
    let stranger = ask(&server, &[], &APIAX_LOGIN.replace("integration-api", "somebody")).await;
    assert_refused(&stranger, 400, "invalid_client", "error_description");
    let grant = ask(&server, &[], "grant_type=client_credentials&client_id=integration-api").await;
    assert_refused(&grant, 400, "unsupported_grant_type", "error_description");
    assert_eq!(server.tokens_issued(), 0);
}

#[tokio::test]
async fn apiax_wants_client_assertion_type_on_refresh() {
    let server = start(Dialect::Apiax).await;
    let login = ask(&server, &[], APIAX_LOGIN).await;
    let refresh =
        format!("grant_type=refresh_token&client_id=integration-api&refresh_token={}", login.text("refresh_token"));
    assert_refused(&ask(&server, &[], &refresh).await, 400, "invalid_request", "error_description");
    let other = ask(&server, &[], &format!("{refresh}&client_assertion_type=saml2-bearer")).await;
    assert_refused(&other, 400, "invalid_request", "error_description");
    assert_eq!(ask(&server, &[], &format!("{refresh}&{JWT_BEARER}")).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_of_apiax_used_twice_voids_the_whole_login() {
    let server = start(Dialect::Apiax).await;
    let refresh = async |login: &Answer| {
        let token = login.text("refresh_token");
        let body = format!("grant_type=refresh_token&client_id=integration-api&refresh_token={token}&{JWT_BEARER}");
        ask(&server, &[], &body).await
    };
    let first = ask(&server, &[], APIAX_LOGIN).await;
    let other = ask(&server, &[], APIAX_LOGIN).await;
    let second = refresh(&first).await;
    assert_ne!(first.text("refresh_token"), second.text("refresh_token"));

    assert_refused(&refresh(&first).await, 400, "invalid_grant", "error_description");
    assert_refused(&refresh(&second).await, 400, "invalid_grant", "error_description");
    for gone in [&first, &second] {
        assert!(matches!(server.check(&gone.text("access_token")), crate::demo::Presented::Revoked { .. }));
    }
    assert_eq!(refresh(&other).await.status, 200, "another login is untouched");
}

#[tokio::test]
async fn screening_eagle_takes_raw_basic_alone_and_adds_id_and_refresh_tokens() {
    let server = start(Dialect::ScreeningEagle).await;
    let login = ask(&server, &[&basic(EAGLE)], "grant_type=client_credentials&scope=openid+inspect").await;
    assert_eq!(login.status, 200, "{}", login.body);
    assert_eq!(login.json()["expires_in"], 604_800);
    assert_eq!(login.text("id_token").matches('.').count(), 2);
    assert_eq!(server.check(&login.text("id_token")), crate::demo::Presented::Unknown);

    let refresh = format!("grant_type=refresh_token&refresh_token={}", login.text("refresh_token"));
    for _ in 0..2 {
        let refreshed = ask(&server, &[&basic(EAGLE)], &refresh).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.body);
        assert!(refreshed.json().get("refresh_token").is_none(), "the old one is kept");
    }
}

#[tokio::test]
async fn screening_eagle_refuses_in_a_form_of_its_own() {
    let server = start(Dialect::ScreeningEagle).await;
    let login = "grant_type=client_credentials&scope=inspect";
    let encoded = ask(&server, &[&basic("eagle-demo:eagle%2Feye%3D20%2B20")], login).await;
    assert_refused(&encoded, 401, "invalid_client", "errorDescription");
    let body = format!("{login}&client_id=eagle-demo&client_secret=eagle%2Feye%3D20%2B20");
    assert_refused(&ask(&server, &[], &body).await, 401, "invalid_client", "errorDescription");
    let auth = basic(EAGLE);
    for (body, code) in [
        ("grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=admin", "invalid_scope"),
        ("grant_type=authorization_code&scope=inspect", "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=made-up", "invalid_grant"),
        ("grant_type=refresh_token", "invalid_request"),
    ] {
        let answer = ask(&server, &[&auth], body).await;
        assert_refused(&answer, 400, code, "errorDescription");
        assert!(answer.json().get("error_description").is_none());
    }
}

#[tokio::test]
async fn applixure_has_a_default_scope_and_never_a_refresh_token() {
    let server = start(Dialect::Applixure).await;
    let by_header = ask(&server, &[&basic(APPLIXURE)], "grant_type=client_credentials").await;
    assert_eq!(by_header.status, 200, "{}", by_header.body);
    assert_eq!(by_header.text("scope"), "account-all:read");
    assert!(by_header.json().get("refresh_token").is_none());
    let by_body = ask(
        &server,
        &[],
        "grant_type=client_credentials&scope=account-all%3Aread+account-data%3Amanage\
         &client_id=applixure-demo&client_secret=key+secret%26more",
    )
    .await;
    assert_eq!(by_body.text("scope"), "account-all:read account-data:manage");

    for (grant, code) in [("refresh_token", "unauthorized_client"), ("password", "unsupported_grant_type")] {
        let answer = ask(&server, &[&basic(APPLIXURE)], &format!("grant_type={grant}&refresh_token=x")).await;
        assert_refused(&answer, 400, code, "error_description");
    }
    let scope = ask(&server, &[&basic(APPLIXURE)], "grant_type=client_credentials&scope=everything").await;
    assert_refused(&scope, 400, "invalid_scope", "error_description");
}
