//! A person logs in, once: in a browser that comes back, or on another device; and what they bring lasts (RFC 6749 §4.1,
//! RFC 7636, RFC 8252, RFC 9207, RFC 8628, RFC 7009).

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bearer_proxy::oauth::{Authorization, LoggedIn, LoginError, OAuthClient, Revoked};
use bearer_proxy::token::TokenError;
use bearer_proxy::token::store::MemoryStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use super::support::api::tokens;
use super::support::binary::bearer_proxy;
use super::support::issuer::{Issuer, MARK, Parameters, browse, get, parameters};
use super::support::{
    Captured, Downstream, Message, Process, Proxy, ProxyBuilder, TokenEndpoint, Upstream, answer, eventually,
    free_address, json_answer, oauth_error, soon,
};

/// The client of the credential `crm`; `more`: further keys, at four spaces.
fn client(issuer: &Issuer, more: &str) -> OAuthClient {
    let builder = Proxy::new().credential(&issuer.credential(more));
    let config = builder.route("/", "https://api.example.com/", "crm", "").config();
    OAuthClient::new(config.credentials[0].settings.clone(), Arc::new(MemoryStore::default())).unwrap()
}

/// A login whose person follows the address in a browser; and what they see at last.
async fn in_browser(client: &OAuthClient) -> (Result<LoggedIn, LoginError>, Message) {
    let login = begun(client).await;
    let url = login.url().to_string();
    let (result, page) = soon("the login", async { tokio::join!(finished(client, login), browse(&url)) }).await;
    (result, page)
}

async fn begun(client: &OAuthClient) -> Authorization {
    client.authorization(&mut Vec::new()).await.unwrap()
}

/// Waits for the end of a login into which nothing is pasted.
async fn finished(client: &OAuthClient, login: Authorization) -> Result<LoggedIn, LoginError> {
    let (_nobody, pasted) = mpsc::channel(1);
    client.log_in(login, pasted, &mut Vec::new()).await
}

/// A parameter of the address that a person is sent to.
fn said(login: &Authorization, name: &str) -> String {
    parameters(login.url().query().unwrap())[name].clone()
}

/// Where the browser comes back to, with this query.
fn back(login: &Authorization, query: &str) -> Url {
    Url::parse(&format!("{}?{query}", said(login, "redirect_uri"))).unwrap()
}

fn why(result: Result<LoggedIn, LoginError>) -> String {
    result.expect_err("it came to nothing").to_string()
}

#[tokio::test]
async fn a_person_logs_in_and_the_code_is_exchanged_with_its_proof() {
    let issuer = Issuer::start().await;
    let (result, page) = in_browser(&client(&issuer, "")).await;

    assert_eq!(result.unwrap(), LoggedIn { lasts: true, lifetime: Some(Duration::from_secs(3600)), values: vec![] });
    assert_eq!(page.status(), 200);
    assert!(!page.body_text().contains(MARK) && !page.text().contains(MARK), "{}", page.body_text());
    let asked = issuer.desk().asked[0].clone();
    let mut names: Vec<_> = asked.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected =
        ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope", "state"];
    assert_eq!(names, expected);
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "me"));
    assert_eq!((asked["scope"].as_str(), asked["code_challenge_method"].as_str()), ("orders offline_access", "S256"));
    // RFC 8252 §7.3: the address, and a port that was free.
    let redirect = asked["redirect_uri"].strip_prefix("http://127.0.0.1:").unwrap();
    assert!(redirect.strip_suffix("/callback").unwrap().parse::<u16>().unwrap() > 1023);
    let mut form = issuer.forms("/token").remove(0);
    // The server has compared it with the challenge.
    assert!(form.remove("code_verifier").is_some());
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "M4RK3D-code"),
        ("redirect_uri", asked["redirect_uri"].as_str()),
        ("client_id", "me"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn whoever_does_not_know_the_state_changes_nothing() {
    let issuer = Issuer::start().await;
    let client = client(&issuer, "");
    let login = begun(&client).await;
    let url = login.url().to_string();
    let strangers = [
        ("", "code=stolen&state=guessed", 400),
        ("", "code=stolen", 400),
        ("", "error=access_denied", 400),
        ("/elsewhere", "", 404),
        ("/", "", 404),
    ]
    .map(|(path, query, status)| {
        let mut url = back(&login, query);
        if !path.is_empty() {
            url.set_path(path);
        }
        (url, status)
    });
    let person = async {
        for (url, status) in &strangers {
            assert_eq!(get(url).await.status(), *status, "{url}");
        }
        let authority = strangers[0].0.authority().to_owned();
        let mut poster = Downstream::connect(authority.parse().unwrap()).await;
        let post = poster.ask(format!("POST /callback HTTP/1.1\r\nhost: {authority}\r\ncontent-length: 0\r\n\r\n"));
        assert_eq!(post.await.status(), 405);
        assert_eq!(browse(&url).await.status(), 200);
    };
    let (result, ()) = soon("the login", async { tokio::join!(finished(&client, login), person) }).await;
    assert!(result.unwrap().lasts);
}

#[tokio::test]
async fn the_first_answer_counts_and_the_second_is_told_so() {
    let issuer = Issuer::start().await;
    let client = client(&issuer, "");
    let login = begun(&client).await;
    browse_to_code(&issuer, &login).await;
    let address = back(&login, "").authority().to_owned();
    let right = format!("/callback?code={MARK}-code&state={}&iss={}", said(&login, "state"), issuer.url());
    let (first, second) = (ask_for(&right, &address), ask_for("/callback?code=c&state=s", &address));
    let person = async {
        let mut slow = Downstream::connect(address.parse().unwrap()).await;
        slow.send("GET ").await;
        let mut fast = Downstream::connect(address.parse().unwrap()).await;
        assert_eq!(fast.ask(&second).await.status(), 400, "so that the slow one has been let in by now");
        let mut fast = Downstream::connect(address.parse().unwrap()).await;
        assert_eq!(fast.ask(&first).await.status(), 200);
        slow.ask(first.strip_prefix("GET ").unwrap()).await.status()
    };
    let (result, status) = soon("the login", async { tokio::join!(finished(&client, login), person) }).await;
    assert!(result.is_ok());
    assert_eq!(status, 410);
    assert_eq!(issuer.forms("/token").len(), 1);
}

fn ask_for(target: &str, authority: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: {authority}\r\n\r\n")
}

/// Has the server make out a code for this login, and does not bring it.
async fn browse_to_code(issuer: &Issuer, login: &Authorization) {
    let count = issuer.desk().asked.len();
    assert_eq!(get(login.url()).await.status(), 302);
    assert_eq!(issuer.desk().asked.len(), count + 1);
}

// RFC 9207
#[tokio::test]
async fn an_answer_of_another_authorization_server_is_not_used() {
    for (query, expected) in [
        ("code=c&state={state}&iss=https://evil.example", "another authorization server"),
        ("code=c&state={state}", "iss"),
    ] {
        let issuer = Issuer::start().await;
        issuer.desk().sends_back = Box::new(move |asked, _| query.replace("{state}", &asked["state"]));
        let (result, page) = in_browser(&client(&issuer, "")).await;
        assert!(why(result).contains(expected), "{query}");
        assert_eq!(page.status(), 400);
        assert_eq!(issuer.forms("/token").len(), 0, "the code went nowhere");
    }
    // A server that does not say that it does so need not.
    let issuer = Issuer::start().await;
    issuer.desk().metadata.clear();
    issuer.desk().sends_back = Box::new(|asked, _| format!("code={MARK}-code&state={}", asked["state"]));
    assert!(in_browser(&client(&issuer, "")).await.0.is_ok());
}

// OpenID Connect Core §3.1.3.7
#[tokio::test]
async fn the_id_token_must_be_of_this_login() {
    for (claims, expected) in [
        (r#"{"nonce":"{nonce}"}"#, None),
        (r#"{"nonce":"of another"}"#, Some("nonce")),
        (r#"{"sub":"me"}"#, Some("nonce")),
        ("", Some("openid")),
    ] {
        let issuer = Issuer::start().await;
        issuer.desk().claims = claims.to_owned();
        let client = client(&issuer, "    scope: [openid, orders]\n");
        let (result, _) = in_browser(&client).await;
        match expected {
            None => assert!(result.unwrap().lasts),
            Some(expected) => {
                assert!(why(result).contains(expected), "{claims}");
                assert!(!client.holding().await.unwrap().lasts, "nothing of it is kept");
            }
        }
        assert!(issuer.desk().asked[0]["nonce"].len() >= 43);
    }
}

// RFC 6749 §4.1.2.1
#[tokio::test]
async fn a_person_who_says_no_has_said_no() {
    let issuer = Issuer::start().await;
    issuer.desk().sends_back = Box::new(|asked, issuer| {
        format!("error=access_denied&error_description=not+today&state={}&iss={issuer}", asked["state"])
    });
    let (result, page) = in_browser(&client(&issuer, "")).await;
    assert_eq!(why(result), "the login was refused: access_denied (not today)");
    assert_eq!(page.status(), 400);
    assert!(!page.body_text().contains("not today"), "a page shows nothing of what came");
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let issuer = Issuer::start().await;
    let client = client(&issuer, "    authorization: {timeout: 10ms}\n");
    let login = begun(&client).await;
    let back = back(&login, "");
    assert_eq!(why(finished(&client, login).await), "nobody has logged in within 10ms (authorization.timeout)");
    let address = back.socket_addrs(|| None).unwrap()[0];
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_code_that_the_server_refuses_is_a_refusal() {
    let issuer = Issuer::start().await;
    issuer.desk().sends_back = Box::new(|asked, issuer| format!("code=wrong&state={}&iss={issuer}", asked["state"]));
    let (result, _) = in_browser(&client(&issuer, "")).await;
    assert!(matches!(result, Err(LoginError::Token(TokenError::Refused { code, .. })) if code == "invalid_grant"));
}

// RFC 6749 §4.1.3: a code is good once, so it is sent once.
#[tokio::test]
async fn a_server_that_is_away_slow_or_answers_garbage_ends_a_login_and_the_next_one_works() {
    let captured = Captured::start();
    let (issuer, endpoint) = (Issuer::start().await, TokenEndpoint::start().await);
    issuer.desk().metadata.clear();
    issuer.desk().sends_back = Box::new(|asked, _| format!("code={MARK}-code&state={}", asked["state"]));
    let logging_in = |token_url: &str| {
        let credential = format!(
            "  crm:\n    grant: authorization_code\n    authorization_url: {}/authorize\n    token_url: {token_url}\n    \
             client_id: me\n    request: {{timeout: 1s}}\n",
            issuer.url()
        );
        let config = Proxy::new().credential(&credential).route("/", "https://api.example.com/", "crm", "").config();
        OAuthClient::new(config.credentials[0].settings.clone(), Arc::new(MemoryStore::default())).unwrap()
    };
    let away = logging_in(&format!("http://{}/token", free_address()));
    let (result, page) = in_browser(&away).await;
    assert!(matches!(result, Err(LoginError::Token(TokenError::Unreachable(_)))), "{result:?}");
    assert_eq!(page.status(), 200, "the person has done their part");

    let client = logging_in(&endpoint.url());
    let said = format!("you sent {MARK}-code");
    for (garbage, expected) in [
        (answer("503 Service Unavailable", &[], &said), "unavailable"),
        (answer("200 OK", &["content-type: text/html"], &format!("<html>{said}</html>")), "malformed_answer"),
        (json_answer(&format!("{{\"access_token\":\"{MARK}")), "malformed_answer"),
        (json_answer(&format!("{{\"id_token\":\"{MARK}\"}}")), "malformed_answer"),
        (format!("HTTP/1.1 {MARK}\r\n\r\n").into_bytes(), "unreachable"),
        (Vec::new(), "unreachable"),
    ] {
        endpoint.answer_next(garbage);
        let before = endpoint.asked();
        let (result, _) = in_browser(&client).await;
        let Err(LoginError::Token(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.code(), expected, "{error}");
        assert!(!error.to_string().contains(MARK), "{error}");
        assert_eq!(endpoint.asked(), before + 1, "{expected}: the code was sent once");
    }
    endpoint.hold();
    let before = endpoint.asked();
    let (result, _) = in_browser(&client).await;
    assert!(matches!(result, Err(LoginError::Token(TokenError::TimedOut))), "{result:?}");
    assert_eq!(endpoint.asked(), before + 1);
    assert!(!client.holding().await.unwrap().lasts, "nothing of it is kept");

    endpoint.release();
    endpoint.say_more(&format!(",\"expires_in\":3600,\"refresh_token\":\"{MARK}-refresh\""));
    assert!(in_browser(&client).await.0.unwrap().lasts);
    assert!(client.holding().await.unwrap().lasts);
    let told = captured.text();
    assert!(told.contains("a token request ended") && !told.contains(MARK), "{told}");
}

#[tokio::test]
async fn servers_that_know_no_pkce_and_have_names_of_their_own() {
    let issuer = Issuer::start().await;
    issuer.desk().sends_back =
        Box::new(|asked, issuer| format!("auth_code={MARK}-code&state={}&realmId=193514&iss={issuer}", asked["state"]));
    issuer.desk().reply = ",\"refresh_token\":\"{refresh}\",\"instance_url\":\"https://eu1.example\"".to_owned();
    let more = "    authorization:\n      pkce: off\n      code_parameter: auth_code\n      \
                rename: {client_id: app_id, code: auth_code}\n      params: {access_type: offline}\n      \
                values: {company: realmId}\n    response: {values: {instance: /instance_url}}\n";
    let client = client(&issuer, more);
    let (result, _) = in_browser(&client).await;
    assert_eq!(result.unwrap().values, ["company", "instance"]);

    let asked = issuer.desk().asked[0].clone();
    assert_eq!((asked["app_id"].as_str(), asked["access_type"].as_str()), ("me", "offline"));
    assert!(!asked.contains_key("client_id") && !asked.contains_key("code_challenge"));
    let form = issuer.forms("/token").remove(0);
    assert_eq!((form["app_id"].as_str(), form["auth_code"].as_str()), ("me", "M4RK3D-code"));
    assert!(!form.contains_key("code") && !form.contains_key("code_verifier"));
    let values = client.holding().await.unwrap().values;
    let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(values, [("company", "193514"), ("instance", "https://eu1.example")]);
}

#[tokio::test]
async fn a_person_may_paste_what_the_browser_was_sent_to() {
    let issuer = Issuer::start().await;
    let client = client(&issuer, "    authorization: {redirect_uri: \"https://app.example.com/cb\"}\n");
    let login = begun(&client).await;
    assert!(!login.comes_back());
    assert_eq!(said(&login, "redirect_uri"), "https://app.example.com/cb");
    let sent = get(login.url()).await.field("location").unwrap().to_owned();
    let (sender, pasted) = mpsc::channel(1);
    sender.send(format!(" {sent}\n")).await.unwrap();
    assert!(client.log_in(login, pasted, &mut Vec::new()).await.unwrap().lasts);

    let login = begun(&client).await;
    let (sender, pasted) = mpsc::channel(1);
    // Of the login before.
    sender.send(sent).await.unwrap();
    assert!(why(client.log_in(login, pasted, &mut Vec::new()).await).contains("state"));

    let login = begun(&client).await;
    let (sender, pasted) = mpsc::channel(1);
    drop(sender);
    assert!(why(client.log_in(login, pasted, &mut Vec::new()).await).contains("nothing was pasted"));
}

/// A login on another device in which no time passes; and how long it would have waited.
async fn on_device(client: &OAuthClient) -> (Result<LoggedIn, LoginError>, Vec<u64>) {
    let waited = Mutex::new(Vec::new());
    let wait = async |span: Duration| waited.lock().unwrap().push(span.as_secs());
    let login = client.device_login(&mut Vec::new()).await.unwrap();
    let result = soon("the login", client.log_in_by_device(login, wait, &mut Vec::new())).await;
    (result, waited.into_inner().unwrap())
}

fn device_credential() -> &'static str {
    "    grant: device_code\n"
}

// RFC 8628 §§3.1 to 3.5
#[tokio::test]
async fn a_device_asks_until_somebody_has_confirmed() {
    let issuer = Issuer::start().await;
    let pending = || oauth_error("400 Bad Request", "authorization_pending");
    issuer.desk().device = [pending(), oauth_error("400 Bad Request", "slow_down"), pending()].into();
    let client = client(&issuer, device_credential());
    let (result, waited) = on_device(&client).await;
    assert!(result.unwrap().lasts);
    assert_eq!(waited, [5, 5, 10, 10], "no interval is five seconds, slow_down five more");

    let expected = [("client_id", "me"), ("scope", "orders offline_access")];
    let expected: Parameters = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(issuer.forms("/device"), [expected]);
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", "M4RK3D-device"),
        ("client_id", "me"),
    ];
    let expected: Parameters = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(issuer.forms("/token"), vec![expected; 4]);
}

// RFC 8628 §3.5
#[tokio::test]
async fn a_device_stops_asking_when_it_is_told_to_or_the_code_has_ended() {
    let ended = [("access_denied", "the login was refused: access_denied"), ("expired_token", "before it expired")];
    for (code, expected) in ended {
        let issuer = Issuer::start().await;
        issuer.desk().device = [oauth_error("400 Bad Request", code)].into();
        let (result, waited) = on_device(&client(&issuer, device_credential())).await;
        assert!(why(result).contains(expected), "{code}");
        assert_eq!(waited, [5]);
    }
    let issuer = Issuer::start().await;
    issuer.desk().device_reply = ",\"interval\":250".to_owned();
    issuer.desk().device = vec![oauth_error("400 Bad Request", "authorization_pending"); 99].into();
    let (result, waited) = on_device(&client(&issuer, device_credential())).await;
    assert!(why(result).contains("before it expired"));
    assert_eq!(waited, vec![60; 10], "600 s, asked each minute at least");
}

#[tokio::test]
async fn a_server_that_is_away_or_talks_nonsense_is_no_login() {
    let issuer = Issuer::start().await;
    let away = client(&issuer, "    grant: device_code\n    device_authorization_url: http://127.0.0.1:1/\n");
    let error = away.device_login(&mut Vec::new()).await.err().unwrap();
    assert!(matches!(error, LoginError::Token(TokenError::Unreachable(_))), "{error}");
    issuer.desk().device = [answer("500 Oops", &[], ""), json_answer("{}"), json_answer("{}")].into();
    let (result, waited) = on_device(&client(&issuer, device_credential())).await;
    assert!(matches!(result, Err(LoginError::Token(TokenError::Malformed(_)))));
    assert_eq!(waited, [5, 10], "a passing fault is waited out");
    let unknown = "    grant: device_code\n    issuer: http://127.0.0.1:1\n";
    assert!(client(&issuer, unknown).device_login(&mut Vec::new()).await.is_err());
}

// RFC 7009
#[tokio::test]
async fn a_logout_revokes_and_forgets() {
    let issuer = Issuer::start().await;
    let client = client(&issuer, "");
    let nobody = client.log_out(&mut Vec::new()).await.unwrap();
    assert!(!nobody.was_kept && matches!(nobody.revoked, Revoked::Nothing));
    assert!(in_browser(&client).await.0.unwrap().lasts);
    assert!(client.holding().await.unwrap().lasts);

    let somebody = client.log_out(&mut Vec::new()).await.unwrap();
    assert!(somebody.was_kept && matches!(somebody.revoked, Revoked::Told));
    assert_eq!(issuer.desk().revoked, ["M4RK3D-refresh-1"]);
    let form = issuer.forms("/revoke").remove(0);
    assert_eq!((form["token_type_hint"].as_str(), form["client_id"].as_str()), ("refresh_token", "me"));
    assert!(!client.holding().await.unwrap().lasts);

    assert!(in_browser(&client).await.0.is_ok());
    issuer.desk().instead = [oauth_error("400 Bad Request", "unsupported_token_type")].into();
    let refused = client.log_out(&mut Vec::new()).await.unwrap();
    assert!(
        matches!(refused.revoked, Revoked::Failed(TokenError::Refused { code, .. }) if code == "unsupported_token_type")
    );
    assert!(!client.holding().await.unwrap().lasts, "forgotten all the same");
}

/// A file whose credential `crm` keeps its login there, and an API behind.
fn file(issuer: &Issuer, api: &Upstream, directory: &Path, more: &str) -> ProxyBuilder {
    let store = format!(
        "admin: {{address: 127.0.0.1:0}}\ntoken_store: {{file: {{path: {}/tokens, key: 'an example of a key, 32 letters.'}}}}\n",
        directory.display()
    );
    Proxy::new().credential(&issuer.credential(more)).route("/", &api.url(), "crm", "").top(&store)
}

/// The command, with this file's text on disk.
fn command(arguments: &[&str], builder: &ProxyBuilder, directory: &Path) -> std::process::Command {
    let path = directory.join("proxy.yaml");
    fs::write(&path, builder.text()).unwrap();
    let mut command = bearer_proxy(arguments);
    command.args(["--config", path.to_str().unwrap()]).stdin(Stdio::null());
    command
}

/// What is answered once the token that a login brought has ended.
async fn after_the_first_token(proxy: &Proxy) -> Message {
    soon("the end of the first token", async {
        loop {
            let answer = Downstream::of(proxy).await.get("/").await;
            if answer.status() != 200 {
                return answer;
            }
        }
    })
    .await
}

async fn page(proxy: &Proxy, path: &str) -> Message {
    Downstream::connect(proxy.running().admin_address().unwrap()).await.get(path).await
}

#[tokio::test]
async fn a_proxy_that_runs_takes_a_login_up_without_a_restart() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let proxy = Proxy::from(&builder.config()).await;

    // Before anybody has asked, the readiness check says what is missing.
    let mut ready = String::new();
    soon("the first look", async {
        while !ready.contains("needs_login") {
            ready = page(&proxy, "/readyz").await.body_text().to_owned();
        }
    })
    .await;
    assert_eq!(page(&proxy, "/readyz").await.status(), 503);
    let refused = Downstream::of(&proxy).await.get("/").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json()["detail"], "A person has to log in: run `bearer-proxy login crm`.");
    assert!(refused.field("proxy-status").unwrap().contains("details=\"needs_login\""));
    assert!(refused.field("retry-after").is_some());
    let metrics = page(&proxy, "/metrics").await;
    assert!(metrics.body_text().contains("needs_login"), "{}", metrics.body_text());
    assert_eq!(issuer.forms("/token").len(), 0, "there is nobody to ask");

    let address = proxy.running().admin_address().unwrap().to_string();
    let status = || Process::start(command(&["status", "--address", &address], &builder, directory.path())).ended();
    let before = status().await;
    assert_eq!(before.code, Some(1), "{before:?}");
    assert!(before.stdout.contains(&format!("as the proxy at {address} says")), "{}", before.stdout);
    assert!(before.stdout.contains("needs_login") && before.stdout.contains("bearer-proxy login crm"));

    let login = Process::start(command(&["login", "crm", "--no-browser"], &builder, directory.path()));
    let url = login.stdout.wait_for("/authorize?").await;
    assert_eq!(browse(url.trim()).await.status(), 200);
    let ended = login.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("crm: logged in"), "{}", ended.stdout);
    assert!(!format!("{ended:?}").contains(MARK), "{ended:?}");

    soon("the proxy to look again", async { while Downstream::of(&proxy).await.get("/").await.status() != 200 {} })
        .await;
    assert_eq!(tokens(&api), ["M4RK3D-1"], "the login's own access token, and no other");
    assert_eq!(page(&proxy, "/readyz").await.status(), 200);

    let status = status().await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("crm") && status.stdout.contains("live"), "{}", status.stdout);
    assert!(!format!("{status:?}").contains(MARK));

    // Whoever may not read the store, or finds it damaged, still learns what the proxy knows.
    fs::write(directory.path().join("tokens"), "damaged").unwrap();
    let unseen = Process::start(command(&["status", "--address", &address], &builder, directory.path())).ended().await;
    assert_eq!(unseen.code, Some(0), "{unseen:?}");
    assert!(unseen.stdout.contains("live"), "{}", unseen.stdout);
    assert!(unseen.stderr.contains("what is kept beside the tokens of logins is not shown"), "{}", unseen.stderr);
}

#[tokio::test]
async fn a_login_lasts_over_restarts_until_somebody_logs_out() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    issuer.desk().reply = ",\"expires_in\":1,\"refresh_token\":\"{refresh}\"".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "    authorization: {values: {company: realm}}\n");
    issuer.desk().sends_back =
        Box::new(|asked, issuer| format!("code={MARK}-code&state={}&iss={issuer}&realm=193514", asked["state"]));
    let run = |arguments: &[&str]| Process::start(command(arguments, &builder, directory.path()));
    let before = run(&["status"]).ended().await;
    assert_eq!(before.code, Some(1), "{before:?}");
    assert!(before.stdout.contains("bearer-proxy login crm"), "{}", before.stdout);

    let login = run(&["login", "crm", "--no-browser"]);
    browse(login.stdout.wait_for("/authorize?").await.trim()).await;
    let ended = login.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let after = run(&["status"]).ended().await;
    assert_eq!(after.code, Some(0), "{after:?}");
    assert!(after.stdout.contains("company = 193514"), "{}", after.stdout);

    for _ in 0..2 {
        let proxy = Proxy::from(&builder.config()).await;
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
        proxy.stop().await;
    }
    let out = run(&["logout", "crm"]).ended().await;
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stdout.contains("has revoked"), "{}", out.stdout);
    assert_eq!(issuer.desk().revoked.len(), 1);
    assert!(issuer.desk().revoked[0].contains("refresh"));
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 503);
    let again = run(&["logout", "crm"]).ended().await;
    assert!(again.stdout.contains("nobody was logged in"), "{again:?}");
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_is_told_once_as_an_error() {
    let captured = Captured::start();
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    issuer.desk().reply = ",\"expires_in\":1,\"refresh_token\":\"{refresh}\"".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let login = Process::start(command(&["login", "crm", "--no-browser"], &builder, directory.path()));
    browse(login.stdout.wait_for("/authorize?").await.trim()).await;
    assert_eq!(login.ended().await.code, Some(0));

    issuer.desk().instead = vec![oauth_error("400 Bad Request", "invalid_grant"); 9].into();
    let proxy = Proxy::from(&builder.config()).await;
    let refused = after_the_first_token(&proxy).await;
    assert_eq!(refused.status(), 503);
    for _ in 0..5 {
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 503);
    }
    let told = captured.text();
    let errors: Vec<_> = told.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("bearer-proxy login crm") && errors[0].contains("invalid_grant"), "{}", errors[0]);
    assert_eq!(issuer.forms("/token").len(), 2, "the code, and one refresh: there is nothing else to ask with");
}

/// The way to a server, which can be taken away.
struct Way(JoinHandle<()>);

impl Way {
    async fn open(here: std::net::SocketAddr, there: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind(here).await.unwrap();
        Self(tokio::spawn(async move {
            // With the task all connections end.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(there).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        }))
    }

    async fn take_away(self) {
        self.0.abort();
        let _ = self.0.await;
    }
}

// Nobody need log in again because a server was away.
#[tokio::test]
async fn a_login_outlives_a_server_that_is_away_when_it_should_be_refreshed() {
    let captured = Captured::start();
    let (issuer, api, here) = (Issuer::start().await, Upstream::saying("hello").await, free_address());
    issuer.desk().reply = ",\"expires_in\":1,\"refresh_token\":\"{refresh}\"".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let more = format!("    request: {{refresh_url: 'http://{here}/token', timeout: 1s}}\n");
    let builder = file(&issuer, &api, directory.path(), &more);
    let run = |arguments: &[&str]| Process::start(command(arguments, &builder, directory.path()));
    let login = run(&["login", "crm", "--no-browser"]);
    browse(login.stdout.wait_for("/authorize?").await.trim()).await;
    assert_eq!(login.ended().await.code, Some(0));

    // Nobody listens there: the first token ends, and cannot be replaced.
    let proxy = Proxy::from(&builder.config()).await;
    let mut refused = after_the_first_token(&proxy).await;
    for _ in 0..3 {
        assert_eq!(refused.status(), 503);
        assert!(refused.field("proxy-status").unwrap().contains("unreachable"), "{}", refused.text());
        assert!(refused.field("retry-after").is_some() && !refused.text().contains("needs_login"));
        assert!(!refused.body_text().contains("log in"), "{}", refused.body_text());
        refused = Downstream::of(&proxy).await.get("/").await;
    }
    for path in ["/status", "/readyz"] {
        let page = page(&proxy, path).await;
        assert!(!page.body_text().contains("needs_login"), "{}", page.body_text());
    }
    let status = run(&["status"]).ended().await;
    assert!(status.stdout.contains("crm") && !status.stdout.contains("needs_login"), "{status:?}");
    assert_eq!(issuer.forms("/token").len(), 1, "the code alone");

    // It is back: the login is there, and its refresh token was not used up.
    issuer.desk().reply = ",\"expires_in\":3600,\"refresh_token\":\"{refresh}\"".to_owned();
    let way = Way::open(here, issuer.upstream.address()).await;
    soon("the refresh", async { while Downstream::of(&proxy).await.get("/").await.status() != 200 {} }).await;
    assert_eq!(issuer.forms("/token")[1]["refresh_token"], "M4RK3D-refresh-1");
    assert_eq!(tokens(&api).pop().unwrap(), "M4RK3D-2");

    // Away once more, and the proxy with it; what starts then has the token that lives.
    way.take_away().await;
    proxy.stop().await;
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    assert_eq!(tokens(&api).pop().unwrap(), "M4RK3D-2");
    assert_eq!(issuer.desk().asked.len(), 1, "nobody has logged in again");
    assert!(!captured.text().contains("needs_login") && !captured.text().contains(MARK), "{}", captured.text());
}

#[tokio::test]
async fn a_login_without_a_refresh_token_serves_as_long_as_its_access_token() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    issuer.desk().reply = ",\"expires_in\":3600".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let login = Process::start(command(&["login", "crm", "--no-browser"], &builder, directory.path()));
    browse(login.stdout.wait_for("/authorize?").await.trim()).await;
    let ended = login.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("offline_access") && ended.stderr.contains("60 minutes"), "{}", ended.stderr);
    for _ in 0..2 {
        let proxy = Proxy::from(&builder.config()).await;
        assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    }
    assert_eq!(tokens(&api), ["M4RK3D-1", "M4RK3D-1"]);
    let token = Process::start(command(&["token", "crm"], &builder, directory.path())).ended().await;
    assert_eq!(token.stdout.trim(), "M4RK3D-1", "{token:?}");
}

#[tokio::test]
async fn a_code_is_shown_as_text_and_for_a_telephone() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    issuer.desk().device_reply =
        ",\"interval\":1,\"verification_uri_complete\":\"https://as.example/go?user_code=WDJB-MJHT\"".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let login = Process::start(command(&["login", "crm", "--device"], &builder, directory.path())).ended().await;
    assert_eq!(login.code, Some(0), "{login:?}");
    assert!(login.stdout.contains("WDJB-MJHT") && login.stdout.contains(&format!("{}/go", issuer.url())));
    assert!(login.stdout.contains("10 minutes") && login.stdout.contains('█') && login.stdout.contains('▀'));
    assert!(!format!("{login:?}").contains(MARK));
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200, "the same credential, whatever the way");
}

#[tokio::test]
async fn a_browser_is_opened_for_the_person() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let opened = directory.path().join("opened");
    let browser = directory.path().join("xdg-open");
    fs::write(&browser, format!("#!/bin/sh\nprintf %s \"$1\" > {0}.part && mv {0}.part {0}\n", opened.display()))
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&browser, mode).unwrap();
    let mut login = command(&["login", "crm"], &builder, directory.path());
    login.env("PATH", format!("{}:/usr/bin:/bin", directory.path().display()));
    let login = Process::start(login);
    eventually("the browser to be opened", || opened.exists()).await;
    assert_eq!(browse(&fs::read_to_string(&opened).unwrap()).await.status(), 200);
    assert_eq!(login.ended().await.code, Some(0));
}

#[tokio::test]
async fn an_answer_can_be_pasted_at_the_terminal() {
    use std::io::Write;
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let builder = file(&issuer, &api, directory.path(), "");
    let (reader, mut terminal) = std::io::pipe().unwrap();
    let mut login = command(&["login", "crm", "--no-browser"], &builder, directory.path());
    login.stdin(reader);
    let login = Process::start(login);
    let url = login.stdout.wait_for("/authorize?").await;
    // A browser on another machine: what it was sent to leads nowhere there.
    let sent = get(&Url::parse(url.trim()).unwrap()).await.field("location").unwrap().to_owned();
    writeln!(terminal, "\n{sent}").unwrap();
    let ended = login.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_logged_in_to_says_why() {
    let (issuer, api) = (Issuer::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let forgetful = Proxy::new().credential(&issuer.credential("")).route("/", &api.url(), "crm", "");
    let run = |builder: &ProxyBuilder, arguments: &[&str]| {
        Process::start(command(arguments, builder, directory.path())).ended()
    };
    for verb in ["login", "logout"] {
        let ended = run(&forgetful, &[verb, "crm"]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("token_store: {file"), "{}", ended.stderr);
    }
    let ended = run(&forgetful, &["login", "crn"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("there are: crm"), "{}", ended.stderr);
    let fixed = Proxy::new().static_token("crm", "t").route("/", &api.url(), "crm", "");
    let ended = run(&fixed, &["login", "crm"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("needs no person"), "{}", ended.stderr);
}

// R38
#[tokio::test]
async fn nothing_of_a_login_is_told_to_anybody() {
    let captured = Captured::start();
    let issuer = Issuer::start().await;
    issuer.desk().claims = r#"{"nonce":"{nonce}"}"#.to_owned();
    let client = client(&issuer, "    scope: [openid, orders]\n");
    let mut steps = Vec::new();
    let login = client.authorization(&mut steps).await.unwrap();
    let mut secrets = vec![MARK.to_owned(), said(&login, "state"), said(&login, "nonce")];
    let url = login.url().to_string();
    let (_nobody, pasted) = mpsc::channel(1);
    let (result, _) = tokio::join!(client.log_in(login, pasted, &mut steps), browse(&url));
    result.unwrap();
    secrets.push(issuer.forms("/token")[0]["code_verifier"].clone());
    let explained = client.explain().await;
    client.log_out(&mut steps).await.unwrap();
    issuer.desk().device = [oauth_error("400 Bad Request", "authorization_pending")].into();
    on_device(&client).await.0.unwrap();
    issuer.desk().sends_back = Box::new(|asked, _| format!("code={MARK}&state={}", asked["state"]));
    let refused = why(in_browser(&client).await.0);

    let told = captured.text();
    assert!(told.contains("a token request ended"), "nothing was captured: {told}");
    let steps: String = steps.iter().chain(&explained.steps).map(ToString::to_string).collect();
    assert!(steps.contains("code_verifier") && steps.contains("<redacted"), "{steps}");
    for text in [told, steps, refused] {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{secret}: {line:?}");
        }
    }
}
