//! No secret and no token is told to anybody but those they are for (R38): not in logs at their most talkative, not in
//! our own answers, the access log, figures, the admin's pages, a `Debug`, nor in what commands say.
//!
//! Every secret bears a mark. Each test first shows that the marked secrets were really used, then that no one heard.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bearer_proxy::cli::check;
use bearer_proxy::config;
use bearer_proxy::oauth::OAuthClient;
use bearer_proxy::token::store::MemoryStore;

use super::support::api::echo;
use super::support::proxy::parse;
use super::support::{
    Captured, Downstream, Message, Proxy, ProxyBuilder, TokenEndpoint, Upstream, answer, json_answer, soon,
};

/// Part of every secret. No encoding but base64 hides it.
const MARK: &str = "M4RK3D";

/// All that anybody can hear of a test: what is told through `tracing`, and what is given to [`Ears::hear`].
struct Ears {
    captured: Captured,
    heard: Vec<(String, String)>,
}

impl Ears {
    fn open() -> Self {
        Self { captured: Captured::start(), heard: Vec::new() }
    }

    fn hear(&mut self, from: &str, text: impl Into<String>) {
        self.heard.push((from.to_owned(), text.into()));
    }

    /// An answer of the proxy's own, whole.
    fn hear_own(&mut self, answer: &Message) {
        assert!(answer.field("proxy-status").is_some(), "an answer of our own: {}", answer.text());
        self.hear("an answer", format!("{}{}", answer.text(), answer.body_text()));
    }

    /// All that a proxy shows of itself.
    async fn hear_proxy(&mut self, proxy: &Proxy) {
        self.hear("the figures", proxy.metrics());
        for line in proxy.log_lines() {
            self.hear("the access log", line.to_string());
        }
        let admin = proxy.running().admin_address().expect("an admin listener");
        for page in ["/status", "/metrics", "/readyz", "/healthz", "/no-such-page"] {
            let answer = Downstream::connect(admin).await.get(page).await;
            self.hear(page, format!("{}{}", answer.text(), answer.body_text()));
        }
    }

    /// Nobody has heard anything that the endpoint, or anybody else, was told in confidence.
    fn assert_nothing_was_told(mut self, endpoint: &TokenEndpoint) {
        let told = self.captured.text();
        assert!(told.contains("token.fetch"), "nothing was captured: {told}");
        self.hear("tracing", told);
        let mut marks = vec![MARK.to_owned(), STANDARD.encode(MARK)];
        for request in endpoint.requests() {
            let credentials = request.field("authorization").and_then(|value| value.split_once(' '));
            marks.extend(credentials.map(|(_, credentials)| credentials.to_owned()));
        }
        for (from, text) in &self.heard {
            for line in text.lines() {
                for mark in &marks {
                    assert!(!line.contains(mark.as_str()), "{from} tells {mark}: {line}");
                }
            }
        }
    }
}

/// The secrets reached those they are for.
fn assert_used(endpoint: &TokenEndpoint) {
    let used = endpoint.requests().iter().any(|request| {
        let basic = request.field("authorization").and_then(|value| value.strip_prefix("Basic "));
        let basic = basic.map(|basic| STANDARD.decode(basic).unwrap()).unwrap_or_default();
        let whole = [request.text().as_bytes(), &request.body, &basic].concat();
        String::from_utf8_lossy(&whole).contains(MARK)
    });
    assert!(used, "no marked secret was sent");
}

/// A proxy with an admin listener, one route to this upstream, and this credential.
fn marked(upstream: &Upstream, credential: &str) -> ProxyBuilder {
    let route = "    timeouts: {response_head: 300ms}\n";
    Proxy::new()
        .credential(credential)
        .route("/", &upstream.url(), "api", route)
        .top("admin:\n  address: 127.0.0.1:0\n")
}

/// Credentials of each grant and each way to prove oneself, each with its secret, which bears the mark.
fn credentials(endpoint: &TokenEndpoint, file: &Path) -> Vec<(String, &'static str)> {
    let in_file = format!("    client_secret: ${{file:{}}}\n", file.display());
    let secret = "M4RK3D/sec+ret";
    [
        ("    client_secret: M4RK3D/sec+ret\n", secret),
        ("    client_secret: M4RK3D/sec+ret\n    request: {basic_encoding: raw}\n", secret),
        ("    client_secret: M4RK3D/sec+ret\n    client_auth: client_secret_post\n", secret),
        (
            "    client_secret: M4RK3D/sec+ret\n    client_auth: client_secret_post\n    request: {format: json}\n",
            secret,
        ),
        (
            "    client_secret: M4RK3D/sec+ret\n    client_auth: client_secret_post\n    request: {format: query}\n",
            secret,
        ),
        (&in_file, "M4RK3D-in-a-file"),
        ("    grant: password\n    username: me\n    password: M4RK3D pass&word\n", "M4RK3D pass&word"),
        ("    grant: refresh_token\n    refresh_token: M4RK3D-first\n", "M4RK3D-first"),
        (
            "    request:\n      params: {client_assertion: M4RK3D-key}\n      headers: {X-Key: M4RK3D-key}\n",
            "M4RK3D-key",
        ),
        ("    client_secret: M4RK3D-s\n    inject: {query: access_token}\n", "M4RK3D-s"),
        ("    client_secret: M4RK3D-s\n    inject: [{header: X-Key, format: 'M4RK3D {token}'}, {}]\n", "M4RK3D-s"),
    ]
    .map(|(keys, secret)| (endpoint.credential_with("api", keys), secret))
    .to_vec()
}

fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "M4RK3D-in-a-file\n").unwrap();
    file
}

/// The answer of a token endpoint, with marked tokens.
fn tokens(number: usize) -> Vec<u8> {
    json_answer(&format!(
        "{{\"access_token\":\"M4RK3D-access-{number}\",\"refresh_token\":\"M4RK3D-refresh-{number}\",\
         \"id_token\":\"M4RK3D-id\",\"token_type\":\"Bearer\",\"expires_in\":3600}}"
    ))
}

// R38
#[tokio::test]
async fn nothing_is_told_while_requests_succeed_are_refused_and_renewed() {
    let (endpoint, file) = (TokenEndpoint::start().await, secret_file());
    for (credential, _) in credentials(&endpoint, file.path()) {
        let mut ears = Ears::open();
        // Good, refused, good, and then refused for ever.
        let upstream = Upstream::answering_by(|request| match request.text() {
            text if text.contains("/never") => answer("401 Unauthorized", &[], "no"),
            text if text.contains("/first") || text.contains("access-2") => echo(request),
            _ => answer("401 Unauthorized", &["www-authenticate: Bearer"], "no"),
        })
        .await;
        let proxy = marked(&upstream, &credential).start().await;
        let mut downstream = Downstream::of(&proxy).await;
        (1..=4).for_each(|number| endpoint.answer_next(tokens(number)));

        let query = "?access_token=M4RK3D-mine&x=M4RK3D";
        let own = "authorization: Bearer M4RK3D-mine\r\ncookie: M4RK3D=1\r\nproxy-authorization: Basic M4RK3D";
        for (path, status) in [("/first", 200), ("/second", 200), ("/never", 401), ("/never", 401)] {
            let request = format!("GET {path}{query} HTTP/1.1\r\nhost: localhost\r\n{own}\r\n\r\n");
            assert_eq!(downstream.ask(request).await.status(), status, "{path} {credential}");
        }

        assert!(upstream.requests().iter().all(|request| request.text().contains("M4RK3D-access-")));
        assert_used(&endpoint);
        proxy.log_lines_when(4).await;
        ears.hear_proxy(&proxy).await;
        proxy.stop().await;
        endpoint.recover();
        ears.assert_nothing_was_told(&endpoint);
    }
}

/// What a token endpoint may answer that repeats the secret that it was sent, or holds a token that cannot be used.
fn indiscretions(secret: &str) -> Vec<Vec<u8>> {
    let json = |status: &str, body: String| answer(status, &["content-type: application/json"], &body);
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let said = format!("you sent {secret} as {encoded}, and {secret}");
    vec![
        json("401 Unauthorized", format!("{{\"error\":\"invalid_client\",\"error_description\":\"{said}\"}}")),
        json("400 Bad Request", format!("{{\"error\":\"{secret}\",\"error_description\":\"{secret}\"}}")),
        json("400 Bad Request", format!("{{\"message\":\"{secret}\",\"code\":\"{secret}\"}}")),
        json("503 Service Unavailable", format!("{{\"detail\":\"{said}\"}}")),
        json("200 OK", format!("{{\"error\":\"what\",\"message\":\"{said}\"}}")),
        json("200 OK", format!("{{\"accesstoken\":\"M4RK3D-access\",\"expires_in\":3600,\"you\":\"{secret}\"}}")),
        json("200 OK", "{\"access_token\":\"M4RK3D-access\",\"token_type\":\"mac\"}".to_owned()),
        json("200 OK", "{\"access_token\":\"M4RK3D\\r\\naccess\"}".to_owned()),
        json("200 OK", "{\"access_token\":\"M4RK3D-access".to_owned()),
        answer("200 OK", &["content-type: text/html"], &format!("<html>{said}</html>")),
        answer("200 OK", &["content-type: text/plain"], "M4RK3D-access and more"),
        answer("500 Internal Server Error", &[], &said),
        answer("302 Found", &[&format!("location: http://127.0.0.1:9/{encoded}?y={encoded}#{encoded}")], ""),
        answer("302 Found", &[&format!("location: http://{encoded}:{encoded}@127.0.0.1:9/")], ""),
        format!("HTTP/1.1 {encoded}\r\n\r\n").into_bytes(),
        format!("HTTP/1.1 200 OK\r\n{encoded}\r\n\r\n").into_bytes(),
        Vec::new(),
    ]
}

// R38, R68
#[tokio::test]
async fn nothing_is_told_when_the_authorization_server_repeats_what_it_was_sent() {
    let file = secret_file();
    let endpoint = TokenEndpoint::start().await;
    for (credential, secret) in credentials(&endpoint, file.path()) {
        let mut ears = Ears::open();
        for bytes in indiscretions(secret) {
            let upstream = Upstream::saying("hello").await;
            endpoint.answer_always(bytes);
            let proxy = marked(&upstream, &credential).start().await;

            let answer = Downstream::of(&proxy).await.get("/").await;

            assert!(matches!(answer.status(), 502 | 503), "{}", answer.text());
            ears.hear_own(&answer);
            ears.hear_proxy(&proxy).await;
        }
        assert_used(&endpoint);
        ears.assert_nothing_was_told(&endpoint);
    }
}

// R38, R68
#[tokio::test]
async fn nothing_is_told_of_a_secret_that_is_cut_off_encoded_or_written_otherwise() {
    let basic = STANDARD.encode("me:M4RK3D-s++and+more");
    let padding = "x".repeat(290);
    let long_code = "x".repeat(58);
    for body in [
        format!("{{\"error\":\"invalid_client\",\"error_description\":\"{padding} M4RK3D-s  and more\"}}"),
        format!("{{\"error\":\"invalid_client\",\"error_description\":\"you sent {basic}\"}}"),
        "{\"error\":\"invalid_client\",\"error_description\":\"bad secret M4RK3D-s  and more\"}".to_owned(),
        "{\"error\":\"invalid_client\",\"error_description\":\"client_secret=M4RK3D-s++and+more\"}".to_owned(),
        "{\"error\":\"invalid_client\",\"error_description\":\"client_secret=M4RK3D-s%20%20and%20more\"}".to_owned(),
        format!("{{\"error\":\"{long_code}M4RK3D-key\"}}"),
    ] {
        for auth in ["client_secret_basic", "client_secret_post"] {
            if body.contains(&basic) && auth != "client_secret_basic" {
                continue; // It was not sent so.
            }
            let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
            let keys = format!(
                "    client_secret: 'M4RK3D-s  and more'\n    client_auth: {auth}\n    \
                 request: {{params: {{key: M4RK3D-key}}}}\n"
            );
            let credential = endpoint.credential_with("api", &keys);
            endpoint.answer_always(answer("400 Bad Request", &["content-type: application/json"], &body));
            let mut ears = Ears::open();

            let proxy = marked(&upstream, &credential).start().await;
            ears.hear_own(&Downstream::of(&proxy).await.get("/").await);
            ears.hear_proxy(&proxy).await;
            let credential = parse(&marked(&upstream, &credential).text()).credentials.remove(0);
            let client = OAuthClient::new(credential.settings, std::sync::Arc::new(MemoryStore::default())).unwrap();
            let explanation = client.explain().await;
            ears.hear("token", format!("{explanation}\n{explanation:?}"));

            assert_used(&endpoint);
            ears.assert_nothing_was_told(&endpoint);
        }
    }
}

// R38
#[tokio::test]
async fn nothing_is_told_of_the_token_when_the_upstream_fails() {
    let endpoint = TokenEndpoint::start().await;
    for inject in ["", "    inject: {query: access_token}\n"] {
        for bytes in [
            Vec::new(),
            b"HTTP/1.1 nonsense M4RK3D-access-1\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nM4RK3D-access-1\r\n\r\n".to_vec(),
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: M4RK3D\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "M4RK3D".repeat(100_000)).into_bytes(),
        ] {
            let mut ears = Ears::open();
            let upstream = Upstream::start(move |mut connection| {
                let bytes = bytes.clone();
                async move {
                    connection.request().await;
                    connection.send(bytes).await;
                }
            })
            .await;
            endpoint.answer_next(tokens(1));
            let keys = format!("    client_secret: M4RK3D-s\n{inject}");
            let proxy = marked(&upstream, &endpoint.credential_with("api", &keys)).start().await;

            let answer = Downstream::of(&proxy).await.get("/?x=M4RK3D").await;

            assert_eq!(answer.status(), 502);
            assert!(upstream.requests()[0].text().contains("M4RK3D-access-1"));
            ears.hear_own(&answer);
            ears.hear_proxy(&proxy).await;
            ears.assert_nothing_was_told(&endpoint);
        }
    }
}

// R38
#[tokio::test]
async fn nothing_is_told_of_the_token_when_the_upstream_is_slow_or_away() {
    let endpoint = TokenEndpoint::start().await;
    let slow = Upstream::start(|mut connection| async move {
        connection.request().await;
        connection.read_to_end().await;
    })
    .await;
    let gone = Upstream::saying("hello").await;
    let address = gone.url();
    drop(gone);
    for (url, status) in [(slow.url(), 504), (address, 502)] {
        let mut ears = Ears::open();
        endpoint.answer_next(tokens(1));
        let keys = "    client_secret: M4RK3D-s\n    inject: {query: access_token}\n";
        let proxy = Proxy::new()
            .credential(&endpoint.credential_with("api", keys))
            .route("/", &url, "api", "    timeouts: {response_head: 300ms}\n")
            .top("admin:\n  address: 127.0.0.1:0\n")
            .start()
            .await;

        let answer = soon("an answer", async {
            // Whether the port is still being closed is not ours to know.
            loop {
                let answer = Downstream::of(&proxy).await.get("/?x=M4RK3D").await;
                if answer.status() == status {
                    return answer;
                }
            }
        })
        .await;

        ears.hear_own(&answer);
        ears.hear_proxy(&proxy).await;
        ears.assert_nothing_was_told(&endpoint);
    }
}

// R38
#[tokio::test]
async fn nothing_is_told_of_bad_requests() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let proxy = marked(&upstream, &endpoint.credential_with("api", "    client_secret: M4RK3D-s\n")).start().await;
    let mut ears = Ears::open();
    endpoint.answer_next(tokens(1));
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);

    let own = "authorization: Bearer M4RK3D-mine\r\n";
    for request in [
        format!("GET /?M4RK3D HTTP/1.1\r\nhost: a\r\nhost: b\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\n{own}\r\n"),
        format!("GET /a/../b?M4RK3D HTTP/1.1\r\nhost: localhost\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: M4RK3D\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nauthorization : Bearer M4RK3D\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer M4RK3D\0\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nexpect: M4RK3D\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: M4RK3D.example\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\norigin: https://M4RK3D.example\r\n{own}\r\n"),
        format!("TRACE /?M4RK3D HTTP/1.1\r\nhost: localhost\r\n{own}\r\n"),
        format!("CONNECT M4RK3D:443 HTTP/1.1\r\nhost: M4RK3D:443\r\n{own}\r\n"),
        format!("GET http://M4RK3D.example/ HTTP/1.1\r\nhost: M4RK3D.example\r\n{own}\r\n"),
        format!("GET http://u:M4RK3D@localhost/ HTTP/1.1\r\nhost: localhost\r\n{own}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", MARK.repeat(20_000)),
    ] {
        let mut downstream = Downstream::of(&proxy).await;
        downstream.send(&request).await;
        let answer = downstream.answer().await;
        assert!((400..500).contains(&answer.status()), "{request:.200}: {}", answer.text());
        ears.hear_own(&answer);
    }

    ears.hear("the figures", proxy.metrics());
    let lines = proxy.log_lines_when(15).await;
    for line in lines.iter().filter(|line| line["status"] != 200) {
        ears.hear("the access log", line.to_string());
    }
    ears.assert_nothing_was_told(&endpoint);
}

// R38, R61
#[tokio::test]
async fn nothing_is_told_by_a_reload_and_a_stop() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let mut ears = Ears::open();
    let file =
        |secret: &str| marked(&upstream, &endpoint.credential_with("api", &format!("    client_secret: {secret}\n")));
    let proxy = file("M4RK3D-old").start().await;
    let mut downstream = Downstream::of(&proxy).await;
    (1..=2).for_each(|number| endpoint.answer_next(tokens(number)));

    assert_eq!(downstream.get("/").await.status(), 200);
    proxy.running().reload(&file("M4RK3D-new").config()).await.unwrap();
    assert_eq!(downstream.get("/").await.status(), 200);
    // A port that is taken: the reload fails, and what runs stays.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = file("M4RK3D-third").text().replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    let error = proxy.running().reload(&parse(&text)).await.unwrap_err();
    ears.hear("the error", format!("{error} {error:?}"));
    assert_eq!(downstream.get("/").await.status(), 200);

    assert_eq!(endpoint.asked(), 2);
    ears.hear_proxy(&proxy).await;
    proxy.stop().await;
    assert_used(&endpoint);
    ears.assert_nothing_was_told(&endpoint);
}

// R38
#[tokio::test]
async fn nothing_is_told_by_debug_check_and_the_explanation_of_a_token() {
    let (endpoint, file) = (TokenEndpoint::start().await, secret_file());
    let upstream = Upstream::saying("hello").await;
    for (credential, _) in credentials(&endpoint, file.path()) {
        let mut ears = Ears::open();
        let text = marked(&upstream, &credential).text();
        let config = parse(&text);
        ears.hear("Debug of a configuration", format!("{config:?} {config:#?}"));

        let settings = config.credentials[0].settings.clone();
        for bytes in [tokens(1), answer("400 Bad Request", &[], "{\"error\":\"invalid_grant\"}"), Vec::new()] {
            endpoint.answer_next(bytes);
            let client = OAuthClient::new(settings.clone(), std::sync::Arc::new(MemoryStore::default())).unwrap();
            let explanation = client.explain().await;
            assert!(!explanation.steps.is_empty());
            ears.hear("Display of an explanation", explanation.to_string());
            ears.hear("Debug of an explanation", format!("{explanation:?}"));
        }

        // A mistake in the line above, the line below, and the same line.
        let secret = text.lines().position(|line| line.contains(MARK)).unwrap_or(3);
        for wrong in [
            text.replace("listeners:", "listenerz:"),
            text.replace("grant:", "grannt:"),
            text.replace("token_url: http", "token_url: ftp"),
            text.replace("M4RK3D", "${NOBODY_SET_THIS}M4RK3D"),
            text.replace("M4RK3D", "\"M4RK3D"),
            insert(&text, secret, "   wrong"),
            insert(&text, secret + 1, "    wrong: [M4RK3D"),
            insert(&text, secret + 1, "\tM4RK3D: x"),
        ] {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &wrong).unwrap();
            let mut said = Vec::new();
            check::check(path.path(), &mut said);
            ears.hear("check", String::from_utf8(said).unwrap());
            if let Err(error) = config::parse(&wrong, Path::new("proxy.yaml"), &|_| None) {
                ears.hear("Debug of a mistake", format!("{error:?}"));
            }
        }
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &text).unwrap();
        let mut said = Vec::new();
        assert_eq!(check::check(path.path(), &mut said), 0);
        ears.hear("check", String::from_utf8(said).unwrap());

        assert_used(&endpoint);
        endpoint.recover();
        let span = tracing::info_span!("token.fetch");
        drop(span.entered());
        ears.assert_nothing_was_told(&endpoint);
    }
}

fn insert(text: &str, line: usize, what: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(line, what);
    lines.join("\n")
}
