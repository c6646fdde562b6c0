//! Assertions that we sign, or that are ready-made: grant `jwt_bearer` (RFC 7523 §2.1), `signed_jwt`, and `{assertion}` in
//! a login that is written out.

use bearer_proxy::cli::check;
use serde_json::{Value, json};

use super::support::api::{echo, tokens};
use super::support::signer::{Signer, claims_by_secret, header, names, param};
use super::support::{
    Api, Captured, Downstream, Files, Message, Proxy, ProxyBuilder, TokenEndpoint, Upstream, answer, json_answer,
    oauth_error, soon,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A proxy before this upstream, with a credential whose keys stand at four spaces.
fn before(upstream: &Upstream, keys: &str) -> ProxyBuilder {
    Proxy::new().credential(&format!("  api:\n{keys}")).route("/", &upstream.url(), "api", "")
}

/// The keys of a credential that asks this endpoint.
fn asking(endpoint: &TokenEndpoint, more: &str) -> String {
    format!("    grant: jwt_bearer\n    token_url: {}\n{more}", endpoint.url())
}

async fn get(proxy: &Proxy) -> Message {
    Downstream::of(proxy).await.get("/orders").await
}

fn assertion(request: &Message) -> String {
    param(request, "assertion").unwrap()
}

#[tokio::test]
async fn an_assertion_of_ours_is_exchanged_for_a_token_and_each_is_another() {
    let (endpoint, signer, files, api) =
        (TokenEndpoint::start().await, Signer::new(), Files::new(), Api::taking("T1").await);
    let key = files.write("key.pem", &signer.pem);
    let keys = format!(
        "    client_id: me\n    scope: [a, b]\n    assertion:\n      private_key: {}\n      key_id: k1\n      subject: \
         alice\n      lifetime: 2m\n      claims: {{tenant: {{id: 7}}}}\n",
        key.display()
    );
    let proxy = before(&api.upstream, &asking(&endpoint, &keys)).start().await;

    assert_eq!(get(&proxy).await.status(), 200);
    api.take("T2"); // The first is refused from now on.
    assert_eq!(get(&proxy).await.status(), 200);

    let requests = endpoint.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(names(&requests[0]), ["grant_type", "assertion", "scope", "client_id"]);
    assert_eq!(param(&requests[0], "grant_type").as_deref(), Some(GRANT));
    let said: Vec<Value> = requests.iter().map(|request| signer.claims(&assertion(request))).collect();
    assert_eq!(
        (&said[0]["iss"], &said[0]["sub"], &said[0]["aud"]),
        (&json!("me"), &json!("alice"), &json!(endpoint.url()))
    );
    assert_eq!(said[0]["tenant"], json!({"id": 7}));
    assert_eq!(said[0]["exp"].as_u64().unwrap() - said[0]["iat"].as_u64().unwrap(), 120);
    assert_eq!(header(&assertion(&requests[0]))["kid"], "k1");
    assert_ne!(said[0]["jti"], said[1]["jti"], "an assertion is sent once");
}

#[tokio::test]
async fn a_refused_assertion_is_not_sent_again_until_its_key_changes() {
    let (endpoint, upstream, files) = (TokenEndpoint::start().await, Upstream::saying("hello").await, Files::new());
    let (wrong, right) = (Signer::new(), Signer::new());
    let key = files.write("key.pem", &wrong.pem);
    let keys = format!("    client_id: me\n    assertion: {{private_key: {}}}\n", key.display());
    endpoint.answer_always(oauth_error("400 Bad Request", "invalid_grant"));
    let proxy = before(&upstream, &asking(&endpoint, &keys)).start().await;

    for _ in 0..3 {
        let answer = get(&proxy).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.field("proxy-status").unwrap().contains("invalid_grant"), "{}", answer.text());
    }
    assert_eq!(endpoint.asked(), 1);

    endpoint.recover();
    files.write("key.pem", &right.pem);
    soon("the change to be seen", async { while get(&proxy).await.status() != 200 {} }).await;
    assert_eq!(endpoint.asked(), 2);
    let requests = endpoint.requests();
    wrong.claims(&assertion(&requests[0]));
    right.claims(&assertion(&requests[1]));
}

#[tokio::test]
async fn a_server_that_is_away_slow_or_talks_nonsense_costs_a_503() {
    let (signer, files) = (Signer::new(), Files::new());
    let key = files.write("key.pem", &signer.pem);
    let keys = format!(
        "    client_id: me\n    request: {{timeout: 300ms}}\n    assertion: {{private_key: {}}}\n",
        key.display()
    );
    for (answer, said) in [
        (answer("503 Service Unavailable", &["retry-after: 7"], ""), "unavailable"),
        (answer("200 OK", &["content-type: text/html"], "<html>welcome</html>"), "malformed_answer"),
        (answer("200 OK", &[], ""), "malformed_answer"),
        (Vec::new(), "unreachable"),
    ] {
        let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
        endpoint.answer_always(answer);
        let proxy = before(&upstream, &asking(&endpoint, &keys)).start().await;
        let answer = get(&proxy).await;
        assert_eq!(answer.status(), 503, "{said}");
        assert!(answer.field("proxy-status").unwrap().contains(said), "{said}: {}", answer.text());
        assert!(answer.field("retry-after").is_some());
    }
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    endpoint.hold();
    let proxy = before(&upstream, &asking(&endpoint, &keys)).start().await;
    let answer = get(&proxy).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.field("proxy-status").unwrap().contains("timeout"), "{}", answer.text());
}

// Kubernetes and SPIFFE renew theirs several times an hour.
#[tokio::test]
async fn a_ready_made_assertion_is_read_anew_each_time() {
    let (endpoint, files, api) = (TokenEndpoint::start().await, Files::new(), Api::taking("T1").await);
    let file = files.write("token", "first.of.all\n");
    let keys = format!("    assertion_file: {}\n", file.display());
    let proxy = before(&api.upstream, &asking(&endpoint, &keys)).start().await;

    assert_eq!(get(&proxy).await.status(), 200);
    files.write("token", "second.of.all\n");
    api.take("T2");
    assert_eq!(get(&proxy).await.status(), 200);

    let sent: Vec<_> = endpoint.requests().iter().map(assertion).collect();
    assert_eq!(sent, ["first.of.all", "second.of.all"]);
}

// RFC 7522 §2.1
#[tokio::test]
async fn a_saml_assertion_goes_by_another_grant_type_in_base64url() {
    let (endpoint, files, upstream) = (TokenEndpoint::start().await, Files::new(), Upstream::saying("hello").await);
    let file = files.write("saml.xml", "<Assertion>?</Assertion>\n");
    let keys = format!(
        "    assertion_file: {}\n    request: {{params: {{grant_type: 'urn:ietf:params:oauth:grant-type:saml2-bearer'}}}}\n",
        file.display()
    );
    let proxy = before(&upstream, &asking(&endpoint, &keys)).start().await;
    assert_eq!(get(&proxy).await.status(), 200);
    let request = &endpoint.requests()[0];
    assert_eq!(param(request, "grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:saml2-bearer"));
    assert_eq!(assertion(request), "PEFzc2VydGlvbj4_PC9Bc3NlcnRpb24-");
}

// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
#[tokio::test]
async fn the_file_of_a_google_service_account_is_all_that_it_takes() {
    let (endpoint, signer, files) = (TokenEndpoint::start().await, Signer::new(), Files::new());
    let upstream = Upstream::saying("hello").await;
    let account = json!({"type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": signer.pem,
        "client_email": "me@p.iam.gserviceaccount.com", "client_id": "117", "token_uri": endpoint.url()});
    let file = files.write("account.json", &account.to_string());
    let keys = format!(
        "    grant: jwt_bearer\n    scope: https://www.googleapis.com/auth/cloud-platform\n    assertion: \
         {{private_key: {}}}\n",
        file.display()
    );
    let proxy = before(&upstream, &keys).start().await;

    assert_eq!(get(&proxy).await.status(), 200);

    let token = assertion(&endpoint.requests()[0]);
    let said = signer.claims(&token);
    assert_eq!(header(&token)["kid"], "k1");
    assert_eq!((&said["iss"], &said["aud"]), (&json!("me@p.iam.gserviceaccount.com"), &json!(endpoint.url())));
    assert_eq!(said["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert!(said.get("sub").is_none(), "that would be delegation: {said}");
}

#[tokio::test]
async fn a_jwt_of_ours_is_the_token_and_a_refused_one_is_signed_anew() {
    let (signer, files) = (Signer::new(), Files::new());
    let key = files.write("AuthKey.p8", &signer.pem);
    // Refuses the first token it sees, for ever.
    let first = std::sync::Mutex::new(None);
    let first = std::sync::Arc::new(first);
    let upstream = Upstream::answering_by(move |request| {
        let token = request.field("authorization").unwrap().to_owned();
        let mut first = first.lock().unwrap();
        match first.get_or_insert_with(|| token.clone()) == &token {
            true => answer("401 Unauthorized", &[], "no"),
            false => echo(request),
        }
    })
    .await;
    let keys = format!(
        "    grant: signed_jwt\n    assertion: {{private_key: {}, key_id: 2X9R4HXF34, issuer: 57246542, audience: \
         appstoreconnect-v1, lifetime: 20m}}\n",
        key.display()
    );
    let proxy = before(&upstream, &keys).start().await;

    assert_eq!(get(&proxy).await.status(), 200);
    assert_eq!(get(&proxy).await.status(), 200);

    let seen = tokens(&upstream);
    assert_eq!(seen.len(), 3, "refused, signed anew, and kept");
    assert_eq!(seen[1], seen[2]);
    let said = signer.claims(&seen[1]);
    assert_eq!((&said["iss"], &said["aud"]), (&json!("57246542"), &json!("appstoreconnect-v1")));
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 1200);
    assert_eq!(header(&seen[1])["kid"], "2X9R4HXF34");
    assert_ne!(signer.claims(&seen[0])["jti"], said["jti"]);
}

// https://ghost.org/docs/admin-api/#token-authentication
#[tokio::test]
async fn a_jwt_may_be_signed_with_a_shared_secret_in_hex_and_go_by_another_scheme() {
    let upstream = Upstream::saying("hello").await;
    let keys = "    grant: signed_jwt\n    assertion: {secret: 00ff10a0, secret_encoding: hex, key_id: 6489, audience: \
                /admin/, claims: {jti: null}}\n    inject: {format: 'Ghost {token}'}\n";
    let proxy = before(&upstream, keys).start().await;
    assert_eq!(get(&proxy).await.status(), 200);
    let requests = upstream.requests();
    let token = requests[0].field("authorization").unwrap().strip_prefix("Ghost ").unwrap();
    let said = claims_by_secret(token, &[0, 255, 16, 160]);
    assert_eq!(said["aud"], "/admin/");
    assert!(said.get("jti").is_none() && said.get("iss").is_none() && said.get("sub").is_none(), "{said}");
}

// No. 10: https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
#[tokio::test]
async fn an_assertion_stands_wherever_a_login_that_is_written_out_wants_it() {
    let (signer, files, upstream) = (Signer::new(), Files::new(), Upstream::saying("hello").await);
    let key = files.write("app.pem", &signer.pem);
    let github =
        Upstream::answering(answer("201 Created", &[], r#"{"token":"ghs_1","expires_at":"2999-01-01T00:00:00Z"}"#))
            .await;
    let keys = format!(
        "    grant: custom\n    client_id: Iv1.8a61f9b3a7aba766\n    assertion: {{private_key: {}, lifetime: 9m}}\n    \
         request:\n      method: POST\n      url: {}app/installations/42/access_tokens\n      headers: {{Authorization: \
         'Bearer {{assertion}}'}}\n    response: {{access_token: /token}}\n",
        key.display(),
        github.url()
    );
    let proxy = before(&upstream, &keys).start().await;

    assert_eq!(get(&proxy).await.status(), 200);

    let request = &github.requests()[0];
    assert_eq!(request.first_line(), "POST /app/installations/42/access_tokens HTTP/1.1");
    assert!(request.body.is_empty());
    let said = signer.claims(request.field("authorization").unwrap().strip_prefix("Bearer ").unwrap());
    assert_eq!(said["iss"], "Iv1.8a61f9b3a7aba766");
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 540);
    assert!(said.get("aud").is_none() && said.get("sub").is_none(), "{said}");
    assert_eq!(tokens(&upstream), ["ghs_1"]);
}

// R38
#[tokio::test]
async fn nothing_of_a_key_or_an_assertion_is_told() {
    let (endpoint, signer, files) = (TokenEndpoint::start().await, Signer::new(), Files::new());
    let key = files.write("key.pem", &signer.pem);
    let keys = asking(&endpoint, &format!("    client_id: me\n    assertion: {{private_key: {}}}\n", key.display()));
    let captured = Captured::start();
    let upstream = Upstream::saying("hello").await;
    let mut heard = String::new();
    // Good, and then a server that repeats what it was sent.
    let proxy = before(&upstream, &keys).start().await;
    assert_eq!(get(&proxy).await.status(), 200);
    let sent = assertion(&endpoint.requests()[0]);
    let repeating = Upstream::answering_by(|request| {
        let said = param(request, "assertion").unwrap();
        json_answer(&format!("{{\"error\":\"invalid_grant\",\"error_description\":\"bad {said}\"}}"))
    })
    .await;
    let repeated = keys.replace(&endpoint.url(), &repeating.url());
    let refused = before(&upstream, &repeated).start().await;
    let answer = get(&refused).await;
    assert_eq!(answer.status(), 502);
    heard.push_str(&format!("{}{}{}", answer.text(), answer.body_text(), refused.metrics()));
    let again = assertion(&repeating.requests()[0]);
    // A key that became something else is named by its file alone.
    files.write("key.pem", "M4RK3D, but no key");
    let yaml = files.write("proxy.yaml", &before(&upstream, &keys).text());
    let mut checked = Vec::new();
    assert_eq!(check::check(&yaml, &mut checked), 2);
    heard.push_str(&String::from_utf8(checked).unwrap());
    heard.push_str(&captured.text());
    for expected in ["invalid_grant", "token.fetch", "assertion.private_key: is none: PEM"] {
        assert!(heard.contains(expected), "{expected} is not in {heard}");
    }
    let body = signer.pem.lines().nth(1).unwrap();
    for secret in [sent.as_str(), again.as_str(), again.rsplit('.').next().unwrap(), body, "M4RK3D"] {
        assert!(!heard.contains(secret), "{secret} is told in {heard}");
    }
    // As a word: what is told has times, and 2026-11-22T10:00 is one.
    assert!(
        !heard.split(|byte: char| !byte.is_ascii_alphanumeric()).any(|word| word == "T1"),
        "the token is told in {heard}"
    );
}
