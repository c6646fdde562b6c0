//! How the client proves itself (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705), and what becomes of it when a secret, a key or
//! a certificate is replaced.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::support::binary::ended;
use super::support::certificates::Pair;
use super::support::signer::{Signer, claims_by_secret, header, names, param};
use super::support::{
    Api, Authority, Captured, Downstream, Files, Message, Proxy, TokenEndpoint, Upstream, answer, json_answer,
    oauth_error, soon,
};

const JWT: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A proxy before this upstream, with client credentials from there; further keys at four spaces.
async fn before(upstream: &Upstream, token_url: &str, more: &str) -> Proxy {
    let keys = format!("  api:\n    grant: client_credentials\n    token_url: {token_url}\n    client_id: me\n{more}");
    Proxy::new().credential(&keys).route("/", &upstream.url(), "api", "").start().await
}

async fn get(proxy: &Proxy) -> Message {
    Downstream::of(proxy).await.get("/orders").await
}

fn assertion(request: &Message) -> String {
    assert_eq!(param(request, "client_assertion_type").as_deref(), Some(JWT));
    param(request, "client_assertion").unwrap()
}

// No. 9: an assertion that was sent is never sent again, whatever came of it.
#[tokio::test]
async fn a_client_proves_itself_with_a_private_key_anew_for_each_attempt() {
    let (endpoint, signer, files, api) =
        (TokenEndpoint::start().await, Signer::new(), Files::new(), Api::taking("T1").await);
    let key = files.write("client.pem", &signer.pem);
    let more = format!("    client_assertion: {{private_key: {}, key_id: k1, lifetime: 1m}}\n", key.display());
    let proxy = before(&api.upstream, &endpoint.url(), &more).await;
    endpoint.say_more(",\"refresh_token\":\"R\",\"expires_in\":3600");
    assert_eq!(get(&proxy).await.status(), 200);

    // The API refuses the token, the server the refresh token: the third attempt is with the credential's own grant.
    api.take("T2");
    endpoint.answer_next(oauth_error("400 Bad Request", "invalid_grant"));
    assert_eq!(get(&proxy).await.status(), 200);

    let requests = endpoint.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(names(&requests[0]), ["grant_type", "client_id", "client_assertion_type", "client_assertion"]);
    assert_eq!(param(&requests[1], "grant_type").as_deref(), Some("refresh_token"));
    assert!(requests.iter().all(|request| request.field("authorization").is_none()));
    let said: Vec<Value> = requests.iter().map(|request| signer.claims(&assertion(request))).collect();
    for said in &said {
        assert_eq!((&said["iss"], &said["sub"], &said["aud"]), (&json!("me"), &json!("me"), &json!(endpoint.url())));
    }
    assert_eq!(header(&assertion(&requests[0]))["kid"], "k1");
    let ids: Vec<_> = said.iter().map(|said| said["jti"].as_str().unwrap()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn an_assertion_may_be_for_the_issuer_as_it_is_written() {
    let (signer, files, upstream) = (Signer::new(), Files::new(), Upstream::saying("hello").await);
    let key = files.write("client.pem", &signer.pem);
    let server = Upstream::answering_by(|request| match request.first_line() {
        line if line.contains("/.well-known/openid-configuration") => {
            let issuer = format!("http://{}", request.field("host").unwrap());
            json_answer(&format!("{{\"issuer\":\"{issuer}\",\"token_endpoint\":\"{issuer}/t\"}}"))
        }
        _ => json_answer("{\"access_token\":\"T1\",\"expires_in\":60}"),
    })
    .await;
    let issuer = server.url().trim_end_matches('/').to_owned();
    let keys = format!(
        "  api:\n    grant: client_credentials\n    issuer: {issuer}\n    client_id: me\n    client_assertion: \
         {{private_key: {}, audience: [issuer, token_url, other]}}\n",
        key.display()
    );
    let proxy = Proxy::new().credential(&keys).route("/", &upstream.url(), "api", "").start().await;
    assert_eq!(get(&proxy).await.status(), 200);
    let said = signer.claims(&assertion(&server.requests()[1]));
    assert_eq!(said["aud"], json!([issuer, format!("{issuer}/t"), "other"]));
}

#[tokio::test]
async fn a_client_signs_with_its_secret_and_does_not_send_it() {
    let (endpoint, upstream) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let more = "    client_secret: a-secret-of-32-bytes-at-the-least\n    client_auth: client_secret_jwt\n    \
                client_assertion: {algorithm: HS384}\n";
    let proxy = before(&upstream, &endpoint.url(), more).await;
    assert_eq!(get(&proxy).await.status(), 200);
    let request = &endpoint.requests()[0];
    let said = claims_by_secret(&assertion(request), b"a-secret-of-32-bytes-at-the-least");
    assert_eq!((&said["iss"], &said["sub"]), (&json!("me"), &json!("me")));
    assert_eq!(header(&assertion(request))["alg"], "HS384");
    assert!(!String::from_utf8_lossy(&request.body).contains("a-secret-of"), "{}", request.text());
    assert!(request.field("authorization").is_none());
}

// Prometheus, Kubernetes and SPIFFE: https://github.com/prometheus/common/issues/869
#[tokio::test]
async fn a_ready_made_client_assertion_is_read_anew_for_each_attempt() {
    let (endpoint, files, api) = (TokenEndpoint::start().await, Files::new(), Api::taking("T1").await);
    let file = files.write("token", "first.of.all\n");
    let keys = format!(
        "  api:\n    grant: client_credentials\n    token_url: {}\n    client_assertion_file: {}\n",
        endpoint.url(),
        file.display()
    );
    let proxy = Proxy::new().credential(&keys).route("/", &api.upstream.url(), "api", "").start().await;
    assert_eq!(get(&proxy).await.status(), 200);
    files.write("token", "second.of.all\n");
    api.take("T2");
    assert_eq!(get(&proxy).await.status(), 200);
    let sent: Vec<_> = endpoint.requests().iter().map(assertion).collect();
    assert_eq!(sent, ["first.of.all", "second.of.all"]);
    assert_eq!(names(&endpoint.requests()[0]), ["grant_type", "client_assertion_type", "client_assertion"]);
}

/// A server that knows these secrets, and answers `T1`, `T2`, …; and an API that takes what was given out last.
struct Changing {
    server: Upstream,
    api: Upstream,
    secrets: Arc<Mutex<Vec<&'static str>>>,
    revoked: Arc<Mutex<usize>>,
}

impl Changing {
    async fn knowing(secrets: &[&'static str]) -> Self {
        let (secrets, issued) = (Arc::new(Mutex::new(secrets.to_vec())), Arc::new(Mutex::new(0)));
        let (known, count) = (Arc::clone(&secrets), Arc::clone(&issued));
        let server = Upstream::answering_by(move |request| {
            let secret = param(request, "client_secret").unwrap();
            if !known.lock().unwrap().contains(&secret.as_str()) {
                return oauth_error("401 Unauthorized", "invalid_client");
            }
            let mut count = count.lock().unwrap();
            *count += 1;
            json_answer(&format!("{{\"access_token\":\"T{count}\",\"expires_in\":3600}}"))
        })
        .await;
        let revoked = Arc::new(Mutex::new(0));
        let last = Arc::clone(&revoked);
        let api = Upstream::answering_by(move |request| {
            let token = request.field("authorization").unwrap().strip_prefix("Bearer T").unwrap();
            match token.parse::<usize>().unwrap() > *last.lock().unwrap() {
                true => super::support::api::echo(request),
                false => super::support::answer("401 Unauthorized", &[], "no"),
            }
        })
        .await;
        Self { server, api, secrets, revoked }
    }

    async fn proxy(&self) -> Proxy {
        let more = "    client_secret: [new-secret, old-secret]\n    client_auth: client_secret_post\n";
        before(&self.api, &format!("{}token", self.server.url()), more).await
    }

    fn know(&self, secrets: &[&'static str]) {
        *self.secrets.lock().unwrap() = secrets.to_vec();
    }

    /// The token that was given out last is not taken any more.
    fn revoke(&self) {
        *self.revoked.lock().unwrap() += 1;
    }

    fn sent(&self) -> Vec<String> {
        self.server.requests().iter().map(|request| param(request, "client_secret").unwrap()).collect()
    }
}

#[tokio::test]
async fn a_secret_is_replaced_without_a_gap() {
    let changing = Changing::knowing(&["old-secret"]).await;
    let captured = Captured::start();
    let proxy = changing.proxy().await;

    // The server does not know the new one yet.
    assert_eq!(get(&proxy).await.status(), 200);
    assert_eq!(changing.sent(), ["new-secret", "old-secret"]);

    // The one that worked is the first to be tried again.
    changing.revoke();
    assert_eq!(get(&proxy).await.status(), 200);
    assert_eq!(changing.sent()[2..], ["old-secret"]);

    // And when it works no more, the other is tried at once.
    changing.know(&["new-secret"]);
    changing.revoke();
    assert_eq!(get(&proxy).await.status(), 200);
    assert_eq!(changing.sent()[3..], ["old-secret", "new-secret"]);
    changing.revoke();
    assert_eq!(get(&proxy).await.status(), 200);
    assert_eq!(changing.sent()[5..], ["new-secret"]);

    let told = captured.text();
    assert!(told.contains("a client secret was refused"), "{told}");
    assert!(!told.contains("new-secret") && !told.contains("old-secret"), "{told}");
}

#[tokio::test]
async fn only_when_no_secret_is_believed_is_it_remembered() {
    let changing = Changing::knowing(&[]).await;
    let proxy = changing.proxy().await;
    for _ in 0..3 {
        let answer = get(&proxy).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.field("proxy-status").unwrap().contains("invalid_client"), "{}", answer.text());
    }
    assert_eq!(changing.sent(), ["new-secret", "old-secret"], "each once, and then no more");
}

/// A token endpoint that insists on a certificate, and remembers whose came with which body.
struct MutualTls {
    url: String,
    seen: Arc<Mutex<Vec<Shown>>>,
}

/// A certificate, and the body of the request that came with it.
type Shown = (Vec<u8>, String);

impl MutualTls {
    async fn start(shown: &Pair, callers: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
        let acceptor = TlsAcceptor::from(Authority::server(shown, Some(callers)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                let body = read_body(&mut stream).await;
                let number = {
                    let mut all = all.lock().unwrap();
                    all.push((certificate, body));
                    all.len()
                };
                let token = json_answer(&format!("{{\"access_token\":\"T{number}\",\"expires_in\":3600}}"));
                let _ = stream.write_all(&token).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, seen }
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().iter().map(|(certificate, _)| certificate.clone()).collect()
    }
}

async fn read_body(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return body.to_owned();
            }
        }
        match soon("a request", stream.read(&mut buffer)).await.unwrap() {
            0 => return text,
            length => read.extend_from_slice(&buffer[..length]),
        }
    }
}

// RFC 8705 §2, R75
#[tokio::test]
async fn a_client_proves_itself_with_its_certificate_and_with_the_new_one_once_it_is_there() {
    for way in ["tls_client_auth", "self_signed_tls_client_auth"] {
        let (authority, files, api) = (Authority::new("internal"), Files::new(), Api::taking("T1").await);
        let endpoint = MutualTls::start(&authority.issue("localhost"), &authority).await;
        let ca = files.write("ca.pem", &authority.pem());
        let (old, new) = (authority.issue("client"), authority.issue("client"));
        let (certificate, key) = files.pair("client", &old);
        let more = format!(
            "    client_auth: {way}\n    request: {{tls: {{ca: {}, certificate: {}, private_key: {}}}}}\n",
            ca.display(),
            certificate.display(),
            key.display()
        );
        let proxy = before(&api.upstream, &endpoint.url, &more).await;
        assert_eq!(get(&proxy).await.status(), 200);

        // A certificate without its key is no new certificate yet.
        files.write("client.pem", &new.certificate);
        api.take("T2");
        assert_eq!(get(&proxy).await.status(), 200);
        files.write("client.key", &new.key);
        api.take("T3");
        assert_eq!(get(&proxy).await.status(), 200);

        assert_eq!(endpoint.certificates(), [old.der().to_vec(), old.der().to_vec(), new.der().to_vec()]);
        let bodies: Vec<_> = endpoint.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
        assert_eq!(bodies[0], "grant_type=client_credentials&client_id=me");
    }
}

/// What a server says that repeats what it was sent: the proof by itself, and the whole body.
fn repeated(way: usize, proof: &str, body: &str) -> Vec<u8> {
    let refusal = |status: &str, code: &str, description: &str| {
        let said = json!({"error": code, "error_description": description}).to_string();
        answer(status, &["content-type: application/json"], &said)
    };
    match way {
        0 => refusal("401 Unauthorized", "invalid_client", &format!("{proof} is not believed")),
        1 => refusal("401 Unauthorized", "invalid_client", body),
        2 => refusal("400 Bad Request", proof, "no"),
        3 => refusal("503 Service Unavailable", proof, "later"),
        4 => refusal("429 Too Many Requests", "slow_down", &format!("{} {proof}", "x".repeat(280))),
        5 => refusal("200 OK", "what", body),
        6 => answer("302 Found", &[&format!("location: /login?{body}#{proof}")], ""),
        _ => answer("400 Bad Request", &["content-type: text/plain"], proof),
    }
}

const WAYS: usize = 8;

/// What the client has proved itself with.
fn proof(request: &Message) -> String {
    if let Some(basic) = request.field("authorization") {
        let basic = BASE64_STANDARD.decode(basic.strip_prefix("Basic ").unwrap()).unwrap();
        return String::from_utf8(basic).unwrap().split_once(':').unwrap().1.to_owned();
    }
    param(request, "client_assertion").or_else(|| param(request, "client_secret")).unwrap()
}

// R38, R68
#[tokio::test]
async fn a_server_that_repeats_how_the_client_has_proved_itself_is_not_quoted() {
    let captured = Captured::start();
    let (signer, files, upstream) = (Signer::new(), Files::new(), Upstream::saying("hello").await);
    let key = files.write("client.pem", &signer.pem);
    let ready = files.write("ready", &"M4RK3D-ready.".repeat(8));
    let secrets = ["new", "old"].map(|which| format!("M4RK3D-{which}-{}", which.repeat(25)));
    let list = format!("    client_secret: [{}]\n", secrets.join(", "));
    let cases = [
        (format!("    client_assertion: {{private_key: {}}}\n", key.display()), 1),
        (format!("    client_assertion_file: {}\n", ready.display()), 1),
        (
            "    client_secret: M4RK3D-and-so-on-to-32-bytes-and-more\n    client_auth: client_secret_jwt\n".to_owned(),
            1,
        ),
        (list.clone(), 2),
        (format!("{list}    client_auth: client_secret_post\n"), 2),
    ];
    for (keys, proofs) in cases {
        for way in 0..WAYS {
            let server =
                Upstream::answering_by(move |request| repeated(way, &proof(request), request.body_text())).await;
            let url = server.url();
            let keys =
                format!("  api:\n    grant: client_credentials\n    token_url: {url}\n    client_id: me\n{keys}");
            let builder = Proxy::new().credential(&keys).route("/", &upstream.url(), "api", "");
            let builder = builder.top("admin: {address: 127.0.0.1:0}\n");
            let proxy = Proxy::from(&builder.config()).await;

            let answer = get(&proxy).await;

            assert!(matches!(answer.status(), 502 | 503), "{way}: {}", answer.text());
            let sent: Vec<_> = server.requests().iter().map(proof).collect();
            assert_eq!(sent.len(), if way < 2 { proofs } else { 1 }, "{way} {keys}");
            let file = files.write("proxy.yaml", &builder.text());
            let token = ended(&["token", "api", "--verbose", "--config", file.to_str().unwrap()]).await;
            assert_eq!(token.code, Some(1), "{token:?}");
            assert!(token.stderr.contains("no token was obtained"), "{}", token.stderr);
            let admin = Downstream::connect(proxy.running().admin_address().unwrap()).await.get("/status").await;
            proxy.log_lines_when(1).await;
            let told = format!(
                "{}{}{}{}{:?}{}{}",
                answer.text(),
                answer.body_text(),
                admin.body_text(),
                proxy.metrics(),
                proxy.log_lines(),
                token.stderr,
                captured.text()
            );
            assert!(told.contains("token.fetch"), "nothing was captured");
            let sent: Vec<_> = server.requests().iter().map(proof).collect();
            for secret in sent.iter().flat_map(|proof| telling(proof)).chain(["M4RK3D", "TTRSSzN"]) {
                let line = told.lines().find(|line| line.contains(secret));
                assert!(line.is_none(), "{way} {keys}: {secret} in {line:?}");
            }
        }
    }
}

/// What of a proof must not be told: nothing of a secret, and of what is signed no claim and no signature.
fn telling(proof: &str) -> Vec<&str> {
    match proof.split('.').collect::<Vec<_>>()[..] {
        [header, claims, signature] if header.starts_with("eyJ") => vec![&claims[..16], signature],
        _ => vec![&proof[..16]],
    }
}
