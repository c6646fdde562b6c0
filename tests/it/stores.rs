//! What is kept in a token store survives a restart, and is shared by those who keep it there: one renewal does for all,
//! and no refresh token is used twice (R76).

use std::fs;
use std::path::Path;

use bearer_proxy::config;
use bearer_proxy::config::Config;
use bearer_proxy::demo::{self, AuthorizationServer, Dialect, RefreshTokens};

use super::support::binary::{bearer_proxy, ended};
use super::support::{Downstream, Process, Proxy, ProxyBuilder, TokenEndpoint, Upstream, proxy_yaml_error};

pub const KEY: &str = "an example of a key, 32 letters.";

/// `token_store` in a file there.
fn file_store(directory: &Path) -> String {
    format!("token_store: {{file: {{path: {}/tokens, key: '{KEY}'}}}}\n", directory.display())
}

/// An authorization server with rotating refresh tokens, of which a second use voids all, and an API behind it.
pub async fn rotating() -> (AuthorizationServer, demo::Api) {
    let server = AuthorizationServer::start(Dialect::Zpax.settings()).await.unwrap();
    server.set_refresh_tokens(RefreshTokens::Rotated);
    let api = demo::Api::start(&server).await.unwrap();
    (server, api)
}

/// A file whose credential has nothing but a first refresh token of that server.
pub async fn logged_in(server: &AuthorizationServer, api: &demo::Api, store: &str) -> ProxyBuilder {
    let first = first_refresh_token(server).await;
    let settings = server.settings();
    let credential = format!(
        "  person:\n    grant: refresh_token\n    token_url: {}\n    client_id: {}\n    client_secret: {:?}\n    refresh_token: {first}\n",
        server.token_url(),
        settings.client_id,
        settings.client_secret.as_deref().unwrap(),
    );
    Proxy::new().credential(&credential).route("/", &api.url(), "person", "").top(store)
}

async fn first_refresh_token(server: &AuthorizationServer) -> String {
    let settings = server.settings();
    let url = url::Url::parse(&server.token_url()).unwrap();
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &settings.client_id)
        .append_pair("client_secret", settings.client_secret.as_deref().unwrap())
        .append_pair("scope", "orders.read offline_access")
        .finish();
    let mut direct = Downstream::connect(url.socket_addrs(|| None).unwrap()[0]).await;
    let answer = direct
        .ask(format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\naccept: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            url.path(),
            body.len()
        ))
        .await;
    answer.json()["refresh_token"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

pub async fn status(proxy: &Proxy) -> u16 {
    Downstream::of(proxy).await.get("/").await.status()
}

/// The refresh tokens that were used, in order.
pub fn used(server: &AuthorizationServer) -> Vec<String> {
    server.seen().iter().filter_map(|request| request.param("refresh_token")).collect()
}

pub fn each_once(tokens: &[String]) {
    let mut sorted = tokens.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), tokens.len(), "{tokens:?}");
}

// R76
#[tokio::test]
async fn a_login_survives_a_restart() {
    let (server, api) = rotating().await;
    let directory = tempfile::tempdir().unwrap();
    let builder = logged_in(&server, &api, &file_store(directory.path())).await;
    let asked = server.token_requests();
    for restart in 0..4 {
        let proxy = Proxy::from(&builder.config()).await;
        assert_eq!(status(&proxy).await, 200);
        // The access token too: starting costs no login.
        assert_eq!(server.token_requests(), asked + 1 + restart);
        server.revoke_access_tokens();
        assert_eq!(status(&proxy).await, 200);
        proxy.stop().await;
    }
    each_once(&used(&server));
    assert_eq!(used(&server).len(), 5);
}

// R76
#[tokio::test]
async fn without_a_store_that_lasts_the_first_refresh_token_is_used_again() {
    let (server, api) = rotating().await;
    let builder = logged_in(&server, &api, "").await;
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(status(&proxy).await, 200);
    proxy.stop().await;
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(status(&proxy).await, 502);
    let warnings = builder.config().warnings;
    assert!(matches!(&warnings[..], [one] if one.message.contains("token_store: {file: …}")), "{warnings:?}");
}

// R76
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_host_renew_once_for_all_of_them() {
    let (server, api) = rotating().await;
    let directory = tempfile::tempdir().unwrap();
    let builder = logged_in(&server, &api, &file_store(directory.path())).await;
    share_one_login(&server, &builder.config()).await;
}

/// Five proxies, all of whose tokens are refused at once, six times over.
pub async fn share_one_login(server: &AuthorizationServer, config: &Config) {
    let mut proxies = Vec::new();
    for _ in 0..5 {
        proxies.push(Proxy::from(config).await);
    }
    let asked = server.token_requests();
    for round in 1..=6 {
        let asking = proxies.iter().map(async |proxy| assert_eq!(status(proxy).await, 200, "round {round}"));
        futures(asking).await;
        assert_eq!(server.token_requests(), asked + round, "one for all of them");
        server.revoke_access_tokens();
    }
    each_once(&used(server));
}

/// All of them at once.
pub async fn futures<F: Future<Output = ()>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_credential_that_asks_for_something_else_does_not_take_anothers_token() {
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let with = |more: &str| {
        let credential = endpoint.credential_with("api", more);
        Proxy::new().credential(&credential).route("/", &api.url(), "api", "").top(&file_store(directory.path()))
    };
    let same = "    request: {params: {tenant: 1}}\n";
    for (more, expected) in [(same, "T1"), (same, "T1"), ("    request: {params: {tenant: 2}}\n", "T2")] {
        let proxy = with(more).start().await;
        assert_eq!(status(&proxy).await, 200);
        let sent = api.requests().pop().unwrap();
        assert_eq!(sent.field("authorization"), Some(format!("Bearer {expected}").as_str()), "{more}");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_store_that_is_damaged_or_of_another_key_stops_the_start_and_says_what_to_do() {
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let text = Proxy::new().credential(&endpoint.credential("api")).route("/", &api.url(), "api", "");
    let text = text.top(&file_store(directory.path())).text();
    let file = directory.path().join("proxy.yaml");
    fs::write(&file, &text).unwrap();
    let process = Process::serving(&file).await;
    Downstream::connect(process.listening().await).await.get("/").await;
    process.signal("TERM");
    assert_eq!(process.ended().await.code, Some(0));
    let whole = fs::read(&tokens).unwrap();

    let file = file.to_str().unwrap();
    fs::write(file, text.replace("an example", "of another")).unwrap();
    let stopped = ended(&["run", "-c", file]).await;
    assert_eq!(stopped.code, Some(1));
    assert!(
        stopped.stderr.contains("was written with another key") && !stopped.stderr.contains(KEY),
        "{}",
        stopped.stderr
    );

    fs::write(file, text).unwrap();
    fs::write(&tokens, &whole[..whole.len() - 7]).unwrap();
    for arguments in [["run", "-c", file].as_slice(), &["token", "api", "-c", file]] {
        let stopped = ended(arguments).await;
        assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
        assert!(
            stopped.stderr.contains("is damaged") && stopped.stderr.contains("to begin anew"),
            "{}",
            stopped.stderr
        );
    }
    assert_eq!(fs::read(&tokens).unwrap().len(), whole.len() - 7, "it stays as it is");
}

// What `token` rotates, proxies take up.
#[tokio::test]
async fn the_command_token_uses_the_store_and_spoils_no_login() {
    let (server, api) = rotating().await;
    let directory = tempfile::tempdir().unwrap();
    let builder = logged_in(&server, &api, &file_store(directory.path())).await;
    let file = directory.path().join("proxy.yaml");
    fs::write(&file, builder.text()).unwrap();
    for _ in 0..2 {
        let printed = ended(&["token", "person", "-c", file.to_str().unwrap()]).await;
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let asked = server.token_requests();
        let proxy = Proxy::from(&builder.config()).await;
        assert_eq!((status(&proxy).await, server.token_requests()), (200, asked));
        server.revoke_access_tokens();
        assert_eq!((status(&proxy).await, server.token_requests()), (200, asked + 1));
        proxy.stop().await;
    }
    each_once(&used(&server));
    assert_eq!(used(&server).len(), 4);
}

// R70
#[tokio::test]
async fn a_reload_to_another_store_takes_logins_along() {
    let (server, api) = rotating().await;
    let directory = tempfile::tempdir().unwrap();
    let builder = logged_in(&server, &api, "").await;
    let in_memory = builder.config();
    let in_file =
        config::parse(&format!("{}{}", builder.text(), file_store(directory.path())), Path::new("proxy.yaml"), &|_| {
            None
        })
        .unwrap();
    let proxy = Proxy::from(&in_memory).await;
    assert_eq!(status(&proxy).await, 200);
    for config in [&in_file, &in_memory, &in_file] {
        proxy.running().reload(config).await.unwrap();
        assert_eq!(status(&proxy).await, 200);
    }
    proxy.stop().await;
    let proxy = Proxy::from(&in_file).await;
    server.revoke_access_tokens();
    assert_eq!(status(&proxy).await, 200);
    each_once(&used(&server));
}

// R70
#[tokio::test]
async fn a_reload_to_a_store_that_cannot_be_used_changes_nothing() {
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokens"), "something else").unwrap();
    let builder = Proxy::new().credential(&endpoint.credential("api")).route("/", &api.url(), "api", "");
    let proxy = Proxy::from(&builder.config()).await;
    assert_eq!(status(&proxy).await, 200);
    let error = proxy.running().reload(&builder.top(&file_store(directory.path())).config()).await.unwrap_err();
    assert!(
        error.to_string().contains("open to others") || error.to_string().contains("is not of bearer-proxy"),
        "{error}"
    );
    assert_eq!((status(&proxy).await, endpoint.asked()), (200, 1));
}

#[tokio::test]
async fn the_key_may_be_a_credential_of_systemd() {
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let directory = tempfile::tempdir().unwrap();
    let text = Proxy::new().credential(&endpoint.credential("api")).route("/", &api.url(), "api", "");
    let text = text.top("token_store: {file: ./tokens}\n").text();
    let error = proxy_yaml_error(&text).to_string();
    assert!(error.contains("token_store.file: its key is missing"), "{error}");

    let file = directory.path().join("proxy.yaml");
    fs::write(&file, text).unwrap();
    fs::write(directory.path().join("bearer-proxy-store-key"), format!("{KEY}\n")).unwrap();
    let mut command = bearer_proxy(&["run", "-c", file.to_str().unwrap()]);
    command.env("CREDENTIALS_DIRECTORY", directory.path());
    let process = Process::start(command);
    let address = process.listening().await;
    assert_eq!(Downstream::connect(address).await.get("/").await.status(), 200);
    assert!(directory.path().join("tokens").exists());
}
