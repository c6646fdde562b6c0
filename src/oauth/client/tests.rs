//! Whole token requests over real sockets: a token endpoint of raw bytes, and what it saw to the byte.
//!
//! Numbers are those of PEERS.md section 3.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::oauth::settings::{
    BasicEncoding, BodyFormat, ClientAuthSettings, DescribedBody, DescribedRequest, GrantSettings, ParamValue, Pointer,
    StepSettings, TokenPlace, for_test as settings,
};
use crate::secret::{Part, SecretSource};
use crate::token::store::{BoxFuture, Entry, Lease, MemoryStore, StoreError, Value};

/// A token endpoint that says what it is told to say, in turn, one request a connection, and remembers what it read.
struct Endpoint {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Before an answer: the connection stays open after it.
const UNFINISHED: char = '\0';

impl Endpoint {
    /// After the last answer, connections are closed without one.
    async fn saying(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                let Some(answer) = answers.next() else { continue };
                let _ = stream.write_all(answer.trim_start_matches(UNFINISHED).as_bytes()).await;
                if answer.starts_with(UNFINISHED) {
                    // As long as the test runs.
                    std::mem::forget(stream);
                }
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn url(&self) -> Url {
        Url::parse(&self.url).unwrap()
    }

    fn host(&self) -> String {
        let url = self.url();
        format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
    }

    /// The bodies of what it read.
    fn bodies(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn json(body: &str) -> String {
    answer("200 OK", "content-type: application/json\r\n", body)
}

fn error(code: &str) -> String {
    answer("400 Bad Request", "content-type: application/json\r\n", &format!(r#"{{"error":"{code}"}}"#))
}

/// `{"access_token":"…"}`, and a refresh token if there is a name for it.
fn token(name: &str, refresh_token: Option<&str>) -> String {
    let refresh_token = refresh_token.map(|name| format!(r#","refresh_token":"{name}""#)).unwrap_or_default();
    json(&format!(r#"{{"access_token":"{name}","expires_in":1200{refresh_token}}}"#))
}

fn at(url: Url) -> CredentialSettings {
    CredentialSettings { endpoint: Some(EndpointSettings::TokenUrl(url)), ..settings() }
}

fn text(value: &str) -> SecretSource {
    SecretSource::fixed(value)
}

fn param(name: &str, value: &str) -> (String, ParamValue) {
    (name.to_owned(), ParamValue::Text(text(value)))
}

fn client(settings: CredentialSettings) -> OAuthClient {
    OAuthClient::new(settings, Arc::new(MemoryStore::default())).unwrap()
}

async fn obtain(client: &OAuthClient) -> Result<String, TokenError> {
    client.obtain(&|_| false, &mut Vec::new()).await.map(|obtained| obtained.token.expose().to_owned())
}

/// Sends one request with these settings to an endpoint that accepts it, and gives what it saw.
async fn sent(change: impl FnOnce(&mut CredentialSettings)) -> String {
    let endpoint = Endpoint::saying(vec![token("t", None)]).await;
    let mut settings = at(endpoint.url());
    change(&mut settings);
    assert_eq!(obtain(&client(settings)).await.unwrap(), "t");
    endpoint.requests().remove(0)
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split_once("\r\n\r\n").unwrap().0;
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value)
}

fn basic(secret: &str, encoding: BasicEncoding) -> ClientAuthSettings {
    ClientAuthSettings::SecretBasic { secret: text(secret), encoding }
}

fn password(settings: &mut CredentialSettings) {
    settings.grant = GrantSettings::Password { username: text("johndoe"), password: text("A3ddj3w") };
}

#[tokio::test]
async fn the_request_of_rfc_6749_section_4_4_2_to_the_byte() {
    let endpoint = Endpoint::saying(vec![token("2YotnFZFEjr1zCsicMWpAA", None)]).await;
    let mut settings = at(endpoint.url());
    settings.client_id = Some(text("s6BhdRkqt3"));
    settings.client_auth = basic("gX1fBat3bV", BasicEncoding::Form);
    assert_eq!(obtain(&client(settings)).await.unwrap(), "2YotnFZFEjr1zCsicMWpAA");
    let version = env!("CARGO_PKG_VERSION");
    let host = endpoint.host();
    assert_eq!(
        endpoint.requests(),
        [format!(
            "POST /token HTTP/1.1\r\n\
             accept: application/json\r\n\
             user-agent: bearer-proxy/{version}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\
             authorization: Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW\r\n\
             host: {host}\r\n\
             content-length: 29\r\n\
             \r\n\
             grant_type=client_credentials"
        )]
    );
}

#[tokio::test]
async fn the_request_of_rfc_6749_section_4_3_2() {
    let request = sent(|settings| {
        password(settings);
        settings.client_id = Some(text("s6BhdRkqt3"));
        settings.client_auth = basic("gX1fBat3bV", BasicEncoding::Form);
    });
    let request = request.await;
    assert_eq!(header(&request, "authorization"), Some("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"));
    assert_eq!(body(&request), "grant_type=password&username=johndoe&password=A3ddj3w");
}

#[tokio::test]
async fn the_refresh_request_of_rfc_6749_section_2_3_1() {
    let request = sent(|settings| {
        settings.grant = GrantSettings::RefreshToken { refresh_token: text("tGzv3JOkF0XG5Qx2TlKWIA") };
        settings.client_id = Some(text("s6BhdRkqt3"));
        settings.client_auth = ClientAuthSettings::SecretPost { secret: text("7Fjfp0ZBr1KtDRbnfVdmIw") };
    });
    assert_eq!(
        body(&request.await),
        "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA\
         &client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw"
    );
}

// No. 2.
#[tokio::test]
async fn salesforce_commerce_wants_basic_form_encoded() {
    let request = sent(|settings| {
        settings.client_id = Some(text("id"));
        settings.client_auth = basic("a+b%/!", BasicEncoding::Form);
    });
    assert_eq!(header(&request.await, "authorization"), Some("Basic aWQ6YSUyQmIlMjUlMkYlMjE=")); // id:a%2Bb%25%2F%21
}

// No. 2.
#[tokio::test]
async fn gluu_wants_basic_raw() {
    let request = sent(|settings| {
        settings.client_id = Some(text("id"));
        settings.client_auth = basic("a+b%/!", BasicEncoding::Raw);
    });
    assert_eq!(header(&request.await, "authorization"), Some("Basic aWQ6YStiJS8h")); // id:a+b%/!
}

// No. 1: another try with another method is another wrong login.
#[tokio::test]
async fn client_authentication_is_never_guessed() {
    let endpoint = Endpoint::saying(vec![error("invalid_client"), token("t", None)]).await;
    let mut settings = at(endpoint.url());
    settings.client_auth = basic("wrong", BasicEncoding::Form);
    let error = obtain(&client(settings)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("invalid_client", false));
    assert_eq!(endpoint.requests().len(), 1);
}

// No. 3.
#[tokio::test]
async fn auth0_reads_json() {
    let request = sent(|settings| {
        settings.client_id = Some(text("id"));
        settings.client_auth = ClientAuthSettings::SecretPost { secret: text("s\"3") };
        settings.audience = vec!["https://api.example/".to_owned()];
        settings.request.format = BodyFormat::Json;
        settings.request.params = vec![
            ("remember".to_owned(), ParamValue::Bool(true)),
            ("days".to_owned(), ParamValue::Number(7.into())),
            ("roles".to_owned(), ParamValue::List(vec![ParamValue::Text(text("a")), ParamValue::Text(text("b"))])),
        ];
    });
    let request = request.await;
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert_eq!(
        body(&request),
        r#"{"grant_type":"client_credentials","audience":"https://api.example/","client_id":"id","client_secret":"s\"3","remember":true,"days":7,"roles":["a","b"]}"#
    );
}

// No. 3.
#[tokio::test]
async fn transporeon_reads_the_query() {
    let request = sent(|settings| {
        let Some(EndpointSettings::TokenUrl(url)) = &mut settings.endpoint else { panic!() };
        url.set_query(Some("tenant=a%20b"));
        settings.scope = vec!["x y".to_owned()];
        settings.request.format = BodyFormat::Query;
    });
    let request = request.await;
    assert!(request.starts_with("POST /token?tenant=a%20b&grant_type=client_credentials&scope=x+y HTTP/1.1\r\n"));
    assert_eq!(header(&request, "content-length"), Some("0"));
    assert_eq!(header(&request, "content-type"), None);
    assert_eq!(body(&request), "");
}

// No. 4.
#[tokio::test]
async fn zoom_calls_its_grant_account_credentials() {
    let request = sent(|settings| {
        settings.request.params = vec![param("grant_type", "account_credentials"), param("account_id", "a1")];
    });
    assert_eq!(body(&request.await), "grant_type=account_credentials&account_id=a1");
}

// No. 4.
#[tokio::test]
async fn personio_knows_no_grant_type() {
    let request = sent(|settings| {
        settings.client_id = Some(text("id"));
        settings.client_auth = ClientAuthSettings::SecretPost { secret: text("s") };
        settings.request.format = BodyFormat::Json;
        settings.request.omit_grant_type = true;
    });
    assert_eq!(body(&request.await), r#"{"client_id":"id","client_secret":"s"}"#);
}

#[tokio::test]
async fn what_the_grant_sends_cannot_be_overwritten_but_for_case_and_grant_type() {
    let request = sent(|settings| {
        password(settings);
        settings.scope = vec!["a".to_owned()];
        settings.client_id = Some(text("id"));
        settings.request.params = vec![
            param("password", "other"),
            param("Password", "kept"),
            param("scope", "all"),
            param("client_id", "other"),
            param("extra", "1"),
        ];
        settings.request.headers = vec![(http::header::CONTENT_LENGTH, text("9"))];
    });
    assert_eq!(
        body(&request.await),
        "grant_type=password&username=johndoe&password=A3ddj3w&scope=a&client_id=id&Password=kept&extra=1"
    );
}

// No. 5.
#[tokio::test]
async fn dynatrace_and_rfc_8707_name_resources() {
    let request = sent(|settings| {
        settings.audience = vec!["a".to_owned()];
        settings.resource = vec!["urn:dtaccount:1".to_owned(), "https://b.example/".to_owned()];
    });
    assert_eq!(
        body(&request.await),
        "grant_type=client_credentials&audience=a&resource=urn%3Adtaccount%3A1&resource=https%3A%2F%2Fb.example%2F"
    );
}

// No. 6.
#[tokio::test]
async fn adobe_separates_scopes_by_commas() {
    let scopes = |separator: &'static str| {
        sent(move |settings| {
            settings.scope = vec!["openid".to_owned(), "AdobeID".to_owned()];
            settings.request.scope_separator = separator.to_owned();
        })
    };
    assert_eq!(body(&scopes(",").await), "grant_type=client_credentials&scope=openid%2CAdobeID");
    assert_eq!(body(&scopes(" ").await), "grant_type=client_credentials&scope=openid+AdobeID");
}

// No. 7.
#[tokio::test]
async fn vendors_want_further_header_fields() {
    let request = sent(|settings| {
        settings.client_auth = basic("s", BasicEncoding::Form);
        settings.request.headers = vec![
            (http::HeaderName::from_static("x-api-key"), text("k1")),
            (http::header::ACCEPT, text("application/vnd.api+json")),
            (http::header::USER_AGENT, text("legacy/1")),
            (http::header::AUTHORIZATION, text("ApiKey of the file")),
        ];
    });
    let request = request.await;
    assert_eq!(header(&request, "x-api-key"), Some("k1"));
    assert_eq!(header(&request, "accept"), Some("application/vnd.api+json"));
    assert_eq!(header(&request, "user-agent"), Some("legacy/1"));
    assert_eq!(header(&request, "authorization"), Some("Basic OnM="));
}

#[tokio::test]
async fn a_header_value_that_would_be_two_lines_is_not_sent() {
    let endpoint = Endpoint::saying(vec![]).await;
    let mut settings = at(endpoint.url());
    settings.request.headers = vec![(http::HeaderName::from_static("x-api-key"), text("a\r\nx-evil: 1"))];
    let error = obtain(&client(settings)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("nothing was sent: x-api-key"), "{error}");
    assert!(endpoint.requests().is_empty());
}

// No. 23.
#[tokio::test]
async fn a_rotated_refresh_token_is_used_the_next_time() {
    let answers = vec![token("a", Some("r1")), token("b", Some("r2")), token("c", None), token("d", None)];
    let endpoint = Endpoint::saying(answers).await;
    let mut settings = at(endpoint.url());
    settings.scope = vec!["s".to_owned()];
    let client = client(settings);
    for expected in ["a", "b", "c", "d"] {
        assert_eq!(obtain(&client).await.unwrap(), expected);
    }
    assert_eq!(
        endpoint.bodies(),
        [
            "grant_type=client_credentials&scope=s",
            "grant_type=refresh_token&refresh_token=r1",
            "grant_type=refresh_token&refresh_token=r2",
            "grant_type=refresh_token&refresh_token=r2",
        ]
    );
}

#[tokio::test]
async fn refresh_tokens_can_be_left_unused() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2"))]).await;
    let mut settings = at(endpoint.url());
    settings.refresh.use_refresh_token = false;
    let client = client(settings);
    assert_eq!(obtain(&client).await.unwrap(), "a");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    assert_eq!(endpoint.bodies(), ["grant_type=client_credentials"; 2]);
}

// DESIGN.md section 5.
#[tokio::test]
async fn apiax_refreshes_with_a_client_assertion_type() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2"))]).await;
    let mut settings = at(endpoint.url());
    password(&mut settings);
    settings.client_id = Some(text("integration-api"));
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    settings.request.params = vec![param("tenant", "x"), param("grant_type", "password")];
    settings.request.refresh_params = vec![param("client_assertion_type", assertion_type), param("tenant", "y")];
    let client = client(settings);
    obtain(&client).await.unwrap();
    obtain(&client).await.unwrap();
    assert_eq!(
        endpoint.bodies(),
        [
            "grant_type=password&username=johndoe&password=A3ddj3w&client_id=integration-api&tenant=x",
            "grant_type=refresh_token&refresh_token=r1&client_id=integration-api&tenant=y\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        ]
    );
}

// No. 8.
#[tokio::test]
async fn figma_refreshes_at_another_url() {
    let (login, refresh) =
        (Endpoint::saying(vec![token("a", Some("r1"))]).await, Endpoint::saying(vec![token("b", None)]).await);
    let mut settings = at(login.url());
    settings.request.refresh_url = Some(refresh.url());
    let client = client(settings);
    assert_eq!(obtain(&client).await.unwrap(), "a");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    assert_eq!((login.requests().len(), refresh.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_refused_refresh_token_gives_way_to_the_own_grant_at_once() {
    let codes = ["invalid_grant", "bad_refresh_token", "unauthorized_client", "unsupported_grant_type"].map(error);
    let bare = [answer("401 Unauthorized", "", ""), answer("404 Not Found", "", "<html>")];
    for refusal in codes.into_iter().chain(bare) {
        let endpoint =
            Endpoint::saying(vec![token("a", Some("r1")), refusal.clone(), token("b", None), token("c", None)]).await;
        let mut settings = at(endpoint.url());
        password(&mut settings);
        let client = client(settings);
        for expected in ["a", "b", "c"] {
            assert_eq!(obtain(&client).await.unwrap(), expected);
        }
        let own = "grant_type=password&username=johndoe&password=A3ddj3w";
        assert_eq!(endpoint.bodies(), [own, "grant_type=refresh_token&refresh_token=r1", own, own], "{refusal}");
    }
}

#[tokio::test]
async fn a_refused_password_after_a_refused_refresh_token_is_permanent() {
    let answers = vec![token("a", Some("r1")), error("invalid_grant"), error("invalid_grant"), error("invalid_grant")];
    let endpoint = Endpoint::saying(answers).await;
    let mut settings = at(endpoint.url());
    password(&mut settings);
    let client = client(settings);
    obtain(&client).await.unwrap();
    for requests in [3, 4] {
        let error = obtain(&client).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("invalid_grant", false));
        // The refused refresh token is not shown again.
        assert_eq!(endpoint.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_refused_client_is_not_refused_twice() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), error("invalid_client"), token("b", None)]).await;
    let client = client(at(endpoint.url()));
    obtain(&client).await.unwrap();
    assert_eq!(obtain(&client).await.unwrap_err().code(), "invalid_client");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    assert_eq!(endpoint.bodies()[2], "grant_type=refresh_token&refresh_token=r1");
}

// email-oauth2-proxy#123: an outage must not discard good refresh tokens.
#[tokio::test]
async fn an_outage_does_not_discard_a_refresh_token() {
    let away = answer("503 Service Unavailable", "retry-after: 7\r\n", "");
    let broken_off = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access".to_owned();
    let answers = vec![token("a", Some("r1")), away, broken_off, json("<html>"), token("b", None)];
    let endpoint = Endpoint::saying(answers).await;
    let client = client(at(endpoint.url()));
    obtain(&client).await.unwrap();
    let error = obtain(&client).await.unwrap_err();
    assert_eq!((error.code(), error.retry_after()), ("unavailable", Some(Duration::from_secs(7))));
    assert_eq!(obtain(&client).await.unwrap_err().code(), "unreachable");
    assert_eq!(obtain(&client).await.unwrap_err().code(), "malformed_answer");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    assert_eq!(endpoint.bodies()[1..], ["grant_type=refresh_token&refresh_token=r1"; 4]);
}

#[tokio::test]
async fn a_refresh_token_past_its_own_expiry_is_not_used() {
    let brief = r#"{"access_token":"a","refresh_token":"r1","refresh_expires_in":0.001}"#;
    let endless = r#"{"access_token":"b","refresh_token":"r2","refresh_expires_in":0}"#;
    let endpoint = Endpoint::saying(vec![json(brief), json(endless), token("c", None)]).await;
    let client = client(at(endpoint.url()));
    obtain(&client).await.unwrap();
    let answered = Moment::now();
    while !Moment::now().reached(answered.after(Duration::from_millis(1))) {
        tokio::task::yield_now().await;
    }
    obtain(&client).await.unwrap();
    obtain(&client).await.unwrap();
    let own = "grant_type=client_credentials";
    assert_eq!(endpoint.bodies(), [own, own, "grant_type=refresh_token&refresh_token=r2"]);
}

#[tokio::test]
async fn a_first_refresh_token_is_tried_when_the_rotated_one_is_refused() {
    let endpoint = Endpoint::saying(vec![
        token("a", Some("r1")),
        error("invalid_scope"),
        error("invalid_grant"),
        token("b", None),
        error("invalid_grant"),
    ])
    .await;
    let mut settings = at(endpoint.url());
    settings.grant = GrantSettings::RefreshToken { refresh_token: text("r0") };
    settings.scope = vec!["s".to_owned()];
    settings.request.params = vec![param("grant_type", "refresh_token_of_ours")];
    let client = client(settings);
    assert_eq!(obtain(&client).await.unwrap(), "a");
    // A refusal that is not about the token leaves it: nothing could replace it.
    assert_eq!(obtain(&client).await.unwrap_err().code(), "invalid_scope");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    let error = obtain(&client).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("invalid_grant", false));
    let tokens: Vec<String> = endpoint.bodies();
    let expected = ["r0", "r1", "r1", "r0", "r0"]
        .map(|name| format!("grant_type=refresh_token_of_ours&refresh_token={name}&scope=s"));
    assert_eq!(tokens, expected);
}

/// A store that never finishes saving, or fails.
#[derive(Default)]
struct BadStore {
    memory: MemoryStore,
    hangs: bool,
    asked: AtomicBool,
}

impl TokenStore for BadStore {
    fn load<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(std::future::ready(if self.hangs { Ok(None) } else { Err(away()) }))
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        self.memory.try_lease(key, limit)
    }

    fn save<'a>(&'a self, _lease: &'a Lease, _value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.asked.store(true, Ordering::SeqCst);
        match self.hangs {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(Err(away()))),
        }
    }

    fn mark(&self, _key: &str) -> u64 {
        0
    }

    fn is_shared(&self) -> bool {
        true
    }
}

fn away() -> StoreError {
    StoreError::Failed("away".to_owned())
}

// No. 23, R76.
#[tokio::test]
async fn a_rotated_refresh_token_is_saved_before_the_access_token_is_used() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1"))]).await;
    let store = Arc::new(BadStore { hangs: true, ..BadStore::default() });
    let client = OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    let fetch = tokio::spawn(async move { obtain(&client).await });
    while !store.asked.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    assert!(!fetch.is_finished());
    fetch.abort();
}

/// As [`MemoryStore`], but cannot save.
#[derive(Default)]
struct ReadOnlyStore(MemoryStore);

impl TokenStore for ReadOnlyStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.0.load(key)
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        self.0.try_lease(key, limit)
    }

    fn save<'a>(&'a self, _lease: &'a Lease, _value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::Failed("read only".to_owned()))))
    }

    fn mark(&self, key: &str) -> u64 {
        self.0.mark(key)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_store_that_cannot_save_does_not_lose_the_login() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2")), token("c", None)]).await;
    let client = OAuthClient::new(at(endpoint.url()), Arc::new(ReadOnlyStore::default())).unwrap();
    for expected in ["a", "b", "c"] {
        assert_eq!(obtain(&client).await.unwrap(), expected);
    }
    assert_eq!(
        endpoint.bodies()[1..],
        ["grant_type=refresh_token&refresh_token=r1", "grant_type=refresh_token&refresh_token=r2"]
    );
}

// What a refresh token would be rotated to could not be saved.
#[tokio::test]
async fn without_a_store_no_refresh_token_is_used() {
    let endpoint = Endpoint::saying(vec![]).await;
    let mut settings = at(endpoint.url());
    settings.grant = GrantSettings::RefreshToken { refresh_token: text("r0") };
    let error = obtain(&OAuthClient::new(settings, Arc::new(BadStore::default())).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("token_store", true));
    assert!(endpoint.requests().is_empty());
}

#[tokio::test]
async fn without_a_store_a_grant_that_can_be_repeated_goes_on() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", None)]).await;
    let client = OAuthClient::new(at(endpoint.url()), Arc::new(BadStore::default())).unwrap();
    assert_eq!(obtain(&client).await.unwrap(), "a");
    assert_eq!(obtain(&client).await.unwrap(), "b");
    assert_eq!(endpoint.bodies(), ["grant_type=client_credentials"; 2]);
}

/// As [`MemoryStore`], but others may use it too; fails to save as often as told, and gives out leases that end at once.
#[derive(Default)]
struct SharedStore {
    is_slow: AtomicBool,
    memory: MemoryStore,
    failures: std::sync::atomic::AtomicUsize,
}

impl TokenStore for SharedStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.memory.load(key)
    }

    fn try_lease<'a>(&'a self, key: &'a str, limit: Duration) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        let limit = if self.is_slow.load(Ordering::SeqCst) { Duration::ZERO } else { limit };
        self.memory.try_lease(key, limit)
    }

    fn save<'a>(&'a self, lease: &'a Lease, value: Option<Value>) -> BoxFuture<'a, Result<(), StoreError>> {
        let less = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Box::pin(std::future::ready(Err(away()))),
            Err(_) => self.memory.save(lease, value),
        }
    }

    fn mark(&self, key: &str) -> u64 {
        self.memory.mark(key)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A token, its own or another's.
async fn obtain_any(client: &OAuthClient) -> String {
    client.obtain(&|_| true, &mut Vec::new()).await.unwrap().token.expose().to_owned()
}

#[tokio::test]
async fn a_token_that_another_has_got_is_taken_up_once_and_then_a_new_one_is_asked_for() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2"))]).await;
    let store = Arc::new(SharedStore::default());
    let client = || OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    let (one, other) = (client(), client());
    assert_eq!(obtain_any(&one).await, "a");
    assert_eq!(obtain_any(&other).await, "a");
    // It was refused, or is near its end.
    assert_eq!(obtain_any(&other).await, "b");
    assert_eq!(obtain_any(&one).await, "b");
    assert_eq!(endpoint.bodies(), ["grant_type=client_credentials", "grant_type=refresh_token&refresh_token=r1"]);
}

// What is saved on the way is no new token.
#[tokio::test]
async fn a_token_whose_renewal_failed_is_not_taken_up_again() {
    let refused = vec![error("invalid_grant"), error("unauthorized_client")];
    let request = DescribedRequest {
        method: http::Method::GET,
        url: Url::parse("http://127.0.0.1:1/step").unwrap(),
        query: Vec::new(),
        headers: Vec::new(),
        body: DescribedBody::None,
    };
    let step = StepSettings { request, response: settings().response, keeps_token: false };
    for (failing, then) in [(refused, vec![]), (vec![token("x", Some("r2"))], vec![step])] {
        let answers = [vec![token("a", Some("r1"))], failing, vec![token("b", Some("r3"))]].concat();
        let endpoint = Endpoint::saying(answers).await;
        let store = Arc::new(SharedStore::default());
        let client = |settings| OAuthClient::new(settings, store.clone()).unwrap();
        let (one, other) = (client(at(endpoint.url())), client(at(endpoint.url())));
        assert_eq!(obtain_any(&one).await, "a");
        assert_eq!(obtain_any(&other).await, "a");
        obtain(&client(CredentialSettings { then, ..at(endpoint.url()) })).await.unwrap_err();
        assert_eq!(obtain_any(&other).await, "b");
    }
}

#[tokio::test]
async fn a_token_that_serves_no_longer_is_not_taken_up() {
    let endpoint = Endpoint::saying(vec![token("a", None), token("b", None)]).await;
    let store = Arc::new(SharedStore::default());
    let client = || OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    assert_eq!(obtain(&client()).await.unwrap(), "a");
    assert_eq!(obtain(&client()).await.unwrap(), "b");
}

#[tokio::test]
async fn what_another_process_has_changed_is_a_reason_to_ask_again() {
    let endpoint = Endpoint::saying(vec![error("unauthorized_client"), token("a", None)]).await;
    let store = Arc::new(SharedStore::default());
    let client = || OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    let (refused, other) = (client(), client());
    obtain(&refused).await.unwrap_err();
    assert!(!refused.has_changed());
    assert_eq!(obtain(&other).await.unwrap(), "a");
    assert!(refused.has_changed());
    assert_eq!(obtain_any(&refused).await, "a");
    assert!(!refused.has_changed());
}

#[tokio::test]
async fn a_rotated_refresh_token_is_saved_in_a_store_that_comes_back_in_time() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", None)]).await;
    let store = Arc::new(SharedStore::default());
    store.failures.store(3, Ordering::SeqCst);
    let client = || OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    assert_eq!(obtain(&client()).await.unwrap(), "a");
    assert_eq!(obtain(&client()).await.unwrap(), "b");
    assert_eq!(endpoint.bodies()[1], "grant_type=refresh_token&refresh_token=r1");
}

#[tokio::test]
async fn a_refresh_token_is_not_sent_when_the_lease_may_end_before_the_answer() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2"))]).await;
    let store = Arc::new(SharedStore::default());
    let client = OAuthClient::new(at(endpoint.url()), store.clone()).unwrap();
    assert_eq!(obtain(&client).await.unwrap(), "a");
    store.is_slow.store(true, Ordering::SeqCst);
    let error = obtain(&client).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("token_store", true));
    assert_eq!(endpoint.requests().len(), 1);
    store.is_slow.store(false, Ordering::SeqCst);
    assert_eq!(obtain(&client).await.unwrap(), "b");
}

#[tokio::test]
async fn values_of_a_reply_survive_with_its_refresh_token() {
    let first = json(r#"{"access_token":"a","refresh_token":"r1","tenant":"t"}"#);
    let endpoint = Endpoint::saying(vec![first, token("b", None)]).await;
    let mut settings = at(endpoint.url());
    settings.response.values = vec![("tenant".to_owned(), TokenPlace::Body(Pointer("/tenant".to_owned())))];
    let store = Arc::new(SharedStore::default());
    for expected in ["a", "b"] {
        let client = OAuthClient::new(settings.clone(), store.clone()).unwrap();
        let obtained = client.obtain(&|_| false, &mut Vec::new()).await.unwrap();
        assert_eq!((obtained.token.expose(), obtained.values.get("tenant").map(Secret::expose)), (expected, Some("t")));
    }
    let client = OAuthClient::new(settings, store).unwrap();
    let taken = client.obtain(&|_| true, &mut Vec::new()).await.unwrap();
    assert_eq!(taken.values.get("tenant").map(Secret::expose), Some("t"));
}

#[tokio::test]
async fn a_refresh_token_is_kept_for_what_it_was_granted_for() {
    let endpoint = Endpoint::saying(vec![token("a", Some("r1")), token("b", Some("r2")), token("c", None)]).await;
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let with_scope = |scope: &str| {
        let settings = CredentialSettings { scope: vec![scope.to_owned()], ..at(endpoint.url()) };
        OAuthClient::new(settings, Arc::clone(&store)).unwrap()
    };
    assert_eq!(obtain(&with_scope("read")).await.unwrap(), "a");
    assert_eq!(obtain(&with_scope("write")).await.unwrap(), "b");
    // A reload that changes nothing of it keeps it.
    assert_eq!(obtain(&with_scope("read")).await.unwrap(), "c");
    assert_eq!(
        endpoint.bodies(),
        [
            "grant_type=client_credentials&scope=read",
            "grant_type=client_credentials&scope=write",
            "grant_type=refresh_token&refresh_token=r1",
        ]
    );
}

// R41, R72.
#[tokio::test]
async fn no_redirect_is_followed_and_no_cookie_kept() {
    let elsewhere = Endpoint::saying(vec![token("stolen", None)]).await;
    let redirect = answer("307 Temporary Redirect", &format!("location: {}\r\nset-cookie: s=1\r\n", elsewhere.url), "");
    let endpoint = Endpoint::saying(vec![redirect, token("a", None)]).await;
    let client = client(at(endpoint.url()));
    let error = obtain(&client).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("redirects are not followed"), "{error}");
    assert_eq!(obtain(&client).await.unwrap(), "a");
    assert!(elsewhere.requests().is_empty());
    assert_eq!(header(&endpoint.requests()[1], "cookie"), None);
    assert_eq!(header(&endpoint.requests()[1], "referer"), None);
}

// R72.
#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let endless = format!(r#"{{"access_token":"{}"#, "a".repeat(3 * 1024 * 1024));
    let endpoint = Endpoint::saying(vec![json(&endless), answer("401 Unauthorized", "", &endless)]).await;
    let client = client(at(endpoint.url()));
    assert_eq!(obtain(&client).await.unwrap_err().code(), "malformed_answer");
    assert_eq!(obtain(&client).await.unwrap_err().code(), "http_401");
}

// R68.
#[tokio::test]
async fn a_silent_or_stalled_endpoint_is_given_up_in_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n";
    for begun in [String::new(), head.to_owned(), format!("{head}\r\n{{")] {
        let endpoint = Endpoint::saying(vec![format!("{UNFINISHED}{begun}")]).await;
        let mut settings = at(endpoint.url());
        settings.request.timeout = Duration::from_millis(100);
        let error = obtain(&client(settings)).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("timeout", true), "{begun}");
    }
}

// A wrong secret is a wrong secret, even if the page that says so never ends.
#[tokio::test]
async fn a_refusal_that_stalls_is_a_refusal() {
    let stalled = format!("{UNFINISHED}HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\n<html>");
    let endpoint = Endpoint::saying(vec![stalled]).await;
    let mut settings = at(endpoint.url());
    settings.request.timeout = Duration::from_millis(100);
    let error = obtain(&client(settings)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("http_401", false));
}

#[tokio::test]
async fn nobody_there_is_said_without_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token?key=s3cret", listener.local_addr().unwrap());
    drop(listener);
    let error = obtain(&client(at(Url::parse(&url).unwrap()))).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.to_string().contains("refused") && !error.to_string().contains("s3cret"), "{error}");
}

// R72: config refuses such a URL; nothing would be sent all the same.
#[tokio::test]
async fn nothing_is_sent_in_clear_text_to_another_machine() {
    for url in ["http://192.0.2.1/token", "http://as.example/token", "ftp://as.example/token"] {
        let error = obtain(&client(at(Url::parse(url).unwrap()))).await.unwrap_err();
        assert!(error.to_string().contains("neither https nor on this machine"), "{error}");
    }
}

// R54: the server keeps the connection, and closes it before the next request comes.
#[tokio::test]
async fn a_kept_connection_that_died_fails_no_request() {
    let kept =
        |name: &str| token(name, None).replace("HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n");
    let endpoint = Endpoint::saying((0..20).map(|number| kept(&number.to_string())).collect()).await;
    let client = client(at(endpoint.url()));
    for number in 0..20 {
        assert_eq!(obtain(&client).await.unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn a_secrets_file_is_read_anew_before_each_request() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "old").unwrap();
    let endpoint = Endpoint::saying(vec![error("invalid_client"), token("t", None)]).await;
    let mut settings = at(endpoint.url());
    let secret = SecretSource::from_parts(vec![Part::File(file.path().to_owned())]);
    settings.client_auth = ClientAuthSettings::SecretPost { secret };
    let client = client(settings);
    assert!(!client.has_changed(), "nothing was read yet");
    obtain(&client).await.unwrap_err();
    assert!(!client.has_changed());
    writeln!(file, "and new").unwrap();
    assert!(client.has_changed());
    obtain(&client).await.unwrap();
    assert!(!client.has_changed());
    let old = "grant_type=client_credentials&client_secret=old";
    assert_eq!(endpoint.bodies(), [old.to_owned(), format!("{old}%0Aand+new")]);
}

#[tokio::test]
async fn a_missing_secrets_file_is_a_passing_fault() {
    let mut settings = settings();
    settings.grant =
        GrantSettings::RefreshToken { refresh_token: SecretSource::from_parts(vec![Part::File("/no/such".into())]) };
    let error = obtain(&client(settings)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("secret_unreadable", true));
}

#[tokio::test]
async fn a_static_token_asks_nobody_and_ends_when_it_says_so() {
    let lifetime = |token: &str, max: Option<Duration>| {
        let mut settings = CredentialSettings { endpoint: None, ..settings() };
        settings.grant = GrantSettings::Static { token: text(token) };
        settings.lifetime.max = max;
        let client = client(settings);
        async move { client.obtain(&|_| false, &mut Vec::new()).await.unwrap().lifetime }
    };
    assert_eq!(lifetime("k1", None).await, None);
    assert_eq!(lifetime("k1", Some(Duration::from_secs(60))).await, Some(Duration::from_secs(60)));
    // {"exp":4102444800}: the year 2100.
    let jwt = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.";
    assert!(lifetime(jwt, None).await.unwrap() > Duration::from_secs(3600));
}

#[tokio::test]
async fn the_finished_token_goes_onto_a_request() {
    let endpoint = Endpoint::saying(vec![token("mF_9.B5f-4.1JqM", None)]).await;
    let token = client(at(endpoint.url())).fetch().await.unwrap();
    let mut head = http::Request::new(());
    token.authorize(&mut head);
    assert_eq!(head.headers()["authorization"], "Bearer mF_9.B5f-4.1JqM");
    let left = token.expires_in(Moment::now());
    assert!(left > Duration::from_secs(1190) && left <= Duration::from_secs(1200), "{left:?}");
}

/// Metadata at one of the two places, and a token endpoint beside it.
async fn issuer(place: &'static str, issuer_of: fn(&str) -> String) -> (Url, Arc<Mutex<HashMap<String, usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let (counts, base_url) = (Arc::clone(&seen), base.clone());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let first = *counts.lock().unwrap().entry(path.clone()).and_modify(|count| *count += 1).or_insert(1) == 1;
            let answer = match path.as_str() {
                "/token" => token("t", None),
                path if path == place && first => answer("503 Service Unavailable", "", ""),
                path if path == place => {
                    json(&format!(r#"{{"issuer":"{}","token_endpoint":"{base_url}/token"}}"#, issuer_of(&base_url)))
                }
                _ => answer("404 Not Found", "", ""),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (Url::parse(&format!("{base}/realms/a")).unwrap(), seen)
}

#[tokio::test]
async fn an_issuer_is_asked_until_it_tells_and_then_no_more() {
    for place in ["/realms/a/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/realms/a"] {
        let (url, seen) = issuer(place, |base| format!("{base}/realms/a")).await;
        let client = client(CredentialSettings { endpoint: Some(EndpointSettings::Issuer(url)), ..settings() });
        let error = obtain(&client).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("discovery_failed", true));
        assert_eq!(obtain(&client).await.unwrap(), "t");
        assert_eq!(obtain(&client).await.unwrap(), "t");
        assert_eq!(seen.lock().unwrap()[place], 2);
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let place = "/realms/a/.well-known/openid-configuration";
    let (url, seen) = issuer(place, |base| format!("{base}/realms/b")).await;
    let client = client(CredentialSettings { endpoint: Some(EndpointSettings::Issuer(url)), ..settings() });
    obtain(&client).await.unwrap_err();
    assert!(obtain(&client).await.unwrap_err().to_string().contains("realms/b"));
    assert!(!seen.lock().unwrap().contains_key("/token"));
}

#[tokio::test]
async fn a_refusal_is_explained_step_by_step() {
    let refusal = r#"{"error":"invalid_client","error_description":"no client hunter2-secret","trace":"abcdef"}"#;
    let answers = vec![answer("401 Unauthorized", "content-type: application/json\r\n", refusal)];
    let endpoint = Endpoint::saying(answers).await;
    let mut url = endpoint.url();
    url.set_query(Some("key=hunter2-query"));
    let mut settings = at(url);
    settings.client_id = Some(text("billing"));
    settings.client_auth = ClientAuthSettings::SecretPost { secret: text("hunter2-secret") };
    let explanation = client(settings).explain().await;
    assert!(explanation.outcome.is_err());
    let expected = "\
1. ask 127.0.0.1 with grant client_credentials
   sent      POST {url}?key=<redacted>
             header fields: accept, content-type, user-agent
             grant_type = client_credentials
             client_id = billing
             client_secret = <redacted, 14 characters>
   received  401 Unauthorized, application/json, 90 bytes: an object
             error = invalid_client
             error_description = no client <redacted>
             trace = <redacted, 6 characters>
   means     the authorization server refused the request: invalid_client (no client <redacted>)
   try       check client_id and client_secret; if they are right, try client_auth client_secret_basic

no token was obtained: the authorization server refused the request: invalid_client (no client <redacted>)
";
    assert_eq!(explanation.to_string(), expected.replace("{url}", &endpoint.url));
}

#[tokio::test]
async fn a_success_is_explained_without_the_token() {
    let endpoint = Endpoint::saying(vec![token("hunter2-a", Some("hunter2-r")), token("hunter2-b", None)]).await;
    let client = client(at(endpoint.url()));
    let first = client.explain().await;
    let second = client.explain().await;
    assert_eq!(second.outcome.as_ref().unwrap().token.expose(), "hunter2-b");
    for explanation in [&first, &second] {
        assert!(!format!("{explanation} {explanation:?}").contains("hunter2"), "{explanation}");
    }
    assert!(first.to_string().contains("access_token = <redacted, 9 characters>"), "{first}");
    assert!(
        first.to_string().contains("means     an access token that lives for 1200s, and a refresh token"),
        "{first}"
    );
    assert!(second.to_string().contains("1. ask 127.0.0.1 with the refresh token"), "{second}");
}

#[tokio::test]
async fn advice_fits_what_went_wrong() {
    let html = answer("200 OK", "content-type: text/html\r\n", "<html>Sign in");
    let redirect = answer("302 Found", "location: /login\r\n", "");
    for (answer, expected) in [
        (error("invalid_scope"), "set scope"),
        (error("unsupported_grant_type"), "request.format json"),
        (error("invalid_grant"), "registration"),
        (answer("404 Not Found", "", ""), "check the path of token_url"),
        (redirect, "redirects are never followed"),
        (html, "a page for people"),
        (answer("503 Service Unavailable", "", ""), "after a while"),
        (json("{}"), "response.access_token"),
    ] {
        let endpoint = Endpoint::saying(vec![answer]).await;
        let explanation = client(at(endpoint.url())).explain().await;
        let advice = explanation.steps[0].advice.clone().unwrap();
        assert!(advice.contains(expected), "{advice}");
    }
}

/// Everything that is logged, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// R38.
#[tokio::test]
async fn no_secret_is_logged_even_at_trace_level() {
    const MARK: &str = "hunter2";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    for format in [BodyFormat::Form, BodyFormat::Json, BodyFormat::Query] {
        // A server may repeat whatever it was sent.
        let repeating = |what: &str| {
            format!(
                r#"{{"error":"invalid_grant","error_description":"{MARK}-{what} {MARK}-otp {MARK}-h {MARK}-secret"}}"#
            )
        };
        let endpoint = Endpoint::saying(vec![
            token(&format!("{MARK}-a"), Some(&format!("{MARK}-r1"))),
            answer("400 Bad Request", "", &repeating("r1")),
            answer("500 Oops", "", &repeating("password")),
            answer("200 OK", "", &format!(r#"{{"access_token":"{MARK}-t\u0000"}}"#)),
            answer("302 Found", &format!("location: https://x.example/?{MARK}-l\r\n"), ""),
        ])
        .await;
        let mut url = endpoint.url();
        url.set_query(Some(&format!("key={MARK}-key")));
        let mut settings = at(url);
        settings.grant = GrantSettings::Password { username: text("u"), password: text(&format!("{MARK}-password")) };
        settings.client_auth = basic(&format!("{MARK}-secret"), BasicEncoding::Form);
        settings.request.format = format;
        settings.request.params = vec![param("otp", &format!("{MARK}-otp"))];
        settings.request.headers = vec![(http::HeaderName::from_static("x-api-key"), text(&format!("{MARK}-h")))];
        settings.response.access_token = TokenPlace::Body(Pointer("/access_token".to_owned()));
        let client = client(settings);
        for _ in 0..5 {
            match client.fetch().await {
                Ok(token) => assert!(!format!("{token:?}").contains(MARK)),
                Err(error) => assert!(!format!("{error} {error:?} {}", error.code()).contains(MARK), "{error}"),
            }
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("token.fetch") && log.contains("the refresh token was refused"), "{log}");
    assert!(!log.contains(MARK), "{log}");
}

/// A token endpoint behind TLS that asks for a client certificate, and the files of both sides.
async fn mutual_tls(files: &std::path::Path) -> (Url, crate::tls::TlsSettings) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = files.join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let (path, key_path) = (files.join(format!("{name}.pem")), files.join(format!("{name}.key")));
        std::fs::write(&path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        crate::tls::IdentitySettings { certificate: path, private_key: key_path }
    };
    let acceptor =
        tokio_rustls::TlsAcceptor::from(crate::tls::server_config(&identity("localhost"), Some(&ca)).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(token("t", None).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let tls = crate::tls::TlsSettings { ca: Some(ca), identity: Some(identity("client")), server_name: None };
    (Url::parse(&url).unwrap(), tls)
}

// No. 9, R42.
#[tokio::test]
async fn adp_wants_a_client_certificate() {
    let files = tempfile::tempdir().unwrap();
    let (url, tls) = mutual_tls(files.path()).await;
    let with = |tls| {
        let mut settings = at(url.clone());
        settings.request.tls = tls;
        client(settings)
    };
    assert_eq!(obtain(&with(tls.clone())).await.unwrap(), "t");

    let without_certificate = crate::tls::TlsSettings { identity: None, ..tls };
    let error = obtain(&with(without_certificate)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("unreachable", true));

    let explanation = with(crate::tls::TlsSettings::default()).explain().await;
    assert!(explanation.steps[0].advice.as_ref().unwrap().contains("set request.tls.ca"), "{explanation}");
}
