//! DPoP (RFC 9449): tokens that are bound to a key, and a fresh proof with each request. The endpoints here check every
//! proof as the RFC has a server do (§4.3), with another library.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::Value;

use super::support::binary::ended;
use super::support::{
    Captured, Downstream, Files, Message, Proxy, ProxyBuilder, TokenEndpoint, Upstream, answer, eventually,
    proxy_yaml_error,
};

/// A token endpoint and an API, who both believe no proof twice.
struct Servers {
    endpoint: Upstream,
    api: Upstream,
    desk: Arc<Mutex<Desk>>,
}

#[derive(Default)]
struct Desk {
    issued: usize,
    /// What proofs must have in them, at the endpoint and at the API.
    nonces: [Option<String>; 2],
    /// The API asks for another one with each answer.
    restless: bool,
    /// Offered with the API's next good answer, and wanted from then on.
    next: Option<String>,
    /// Tokens that the API refuses.
    revoked: BTreeSet<String>,
    jtis: BTreeSet<String>,
    /// Keys that proofs were signed with.
    keys: BTreeSet<String>,
    /// What tokens begin with.
    mark: &'static str,
}

impl Servers {
    async fn start() -> Self {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let (clerk, guard) = (Arc::clone(&desk), Arc::clone(&desk));
        let endpoint = Upstream::answering_by(move |request| clerk.lock().unwrap().token(request)).await;
        let api = Upstream::answering_by(move |request| guard.lock().unwrap().resource(request)).await;
        Self { endpoint, api, desk }
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// A credential that asks here, with these further keys at four spaces.
    fn proxy(&self, more: &str) -> ProxyBuilder {
        let url = self.endpoint.url();
        let credential = format!(
            "  api:\n    grant: client_credentials\n    token_url: {url}token?tenant=1\n    client_id: me\n    \
             client_secret: s3cret\n{more}"
        );
        Proxy::new().credential(&credential).route("/", &self.api.url(), "api", "")
    }

    fn counts(&self) -> (usize, usize) {
        (self.endpoint.requests().len(), self.api.requests().len())
    }
}

impl Desk {
    fn token(&mut self, request: &Message) -> Vec<u8> {
        let claims = self.proven(request);
        assert!(claims.get("ath").is_none(), "{claims}");
        if let Some(nonce) = self.nonces[0].clone().filter(|nonce| claims["nonce"] != **nonce) {
            let fields = [format!("dpop-nonce: {nonce}"), "content-type: application/json".to_owned()];
            return answer("400 Bad Request", &fields.each_ref().map(String::as_str), "{\"error\":\"use_dpop_nonce\"}");
        }
        self.issued += 1;
        let body = format!(
            "{{\"access_token\":\"{}T{}\",\"token_type\":\"DPoP\",\"expires_in\":3600}}",
            self.mark, self.issued
        );
        answer("200 OK", &["content-type: application/json"], &body)
    }

    fn resource(&mut self, request: &Message) -> Vec<u8> {
        let claims = self.proven(request);
        let token = request.field("authorization").and_then(|value| value.strip_prefix("DPoP ")).unwrap();
        let ath = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        assert_eq!(claims["ath"], ath.as_str());
        let refuse = |error: &str, more: &str| {
            let challenge = format!("www-authenticate: DPoP error=\"{error}\", algs=\"ES256 EdDSA\"");
            let fields: Vec<&str> = [challenge.as_str(), more].into_iter().filter(|field| !field.is_empty()).collect();
            answer("401 Unauthorized", &fields, "refused")
        };
        if self.restless {
            self.nonces[1] = Some(format!("restless-{}", self.jtis.len()));
        }
        if let Some(nonce) = self.nonces[1].clone().filter(|nonce| claims["nonce"] != **nonce) {
            return refuse("use_dpop_nonce", &format!("dpop-nonce: {nonce}"));
        }
        if self.revoked.contains(token) {
            return refuse("invalid_token", "");
        }
        let offered = self.next.take().map(|next| {
            self.nonces[1] = Some(next.clone());
            format!("dpop-nonce: {next}")
        });
        let fields: Vec<&str> = offered.iter().map(String::as_str).collect();
        answer("200 OK", &fields, request.body_text())
    }

    /// The claims of a request's proof, which must be right and new (§4.3).
    fn proven(&mut self, request: &Message) -> Value {
        let proof = request.field("dpop").unwrap_or_else(|| panic!("no proof in {}", request.text()));
        let (message, signature) = proof.rsplit_once('.').unwrap();
        let part =
            |part: &str| -> Value { serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let (header, claims) = message.split_once('.').unwrap();
        let (header, claims) = (part(header), part(claims));
        assert_eq!(header["typ"], "dpop+jwt");
        let member = |name: &str| header["jwk"][name].as_str().unwrap();
        assert!(header["jwk"].get("d").is_none());
        let (key, algorithm) = match header["alg"].as_str().unwrap() {
            "ES256" => (DecodingKey::from_ec_components(member("x"), member("y")).unwrap(), Algorithm::ES256),
            "EdDSA" => (DecodingKey::from_ed_components(member("x")).unwrap(), Algorithm::EdDSA),
            other => panic!("{other}"),
        };
        assert!(crypto::verify(signature, message.as_bytes(), &key, algorithm).unwrap());
        let mut line = request.first_line().split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let path = target.split('?').next().unwrap();
        assert_eq!(claims["htm"], method);
        assert_eq!(claims["htu"], format!("http://{}{path}", request.field("host").unwrap()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(claims["iat"].as_u64().unwrap()) < 60);
        assert!(self.jtis.insert(claims["jti"].to_string()), "a proof is used twice");
        self.keys.insert(member("x").to_owned());
        claims
    }
}

const DPOP: &str = "    dpop: true\n";

// R75
#[tokio::test]
async fn each_request_has_a_proof_of_its_own_and_all_are_of_one_key() {
    let servers = Servers::start().await;
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for _ in 0..5 {
        assert_eq!(downstream.post("/orders/a%20b?q=1", "hello").await.body_text(), "hello");
        assert_eq!(downstream.get("/").await.status(), 200);
    }
    assert_eq!(servers.counts(), (1, 10));
    let desk = servers.desk();
    assert_eq!((desk.jtis.len(), desk.keys.len()), (11, 1));
}

#[tokio::test]
async fn what_the_downstream_sends_as_a_proof_does_not_reach_the_upstream() {
    let servers = Servers::start().await;
    let proxy = servers.proxy(DPOP).start().await;
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\ndpop: theirs\r\nDPoP: too\r\nauthorization: DPoP x\r\n\r\n";
    assert_eq!(Downstream::of(&proxy).await.ask(request).await.status(), 200);
    assert_eq!(servers.api.requests()[0].fields("dpop").len(), 1);
}

// RFC 9449 §8
#[tokio::test]
async fn a_token_endpoint_that_wants_a_nonce_gets_it_and_is_not_asked_twice_for_the_next_token() {
    let servers = Servers::start().await;
    servers.desk().nonces[0] = Some("n-0S6_WzA2Mj".to_owned());
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(servers.counts(), (2, 1));

    servers.desk().revoked.insert("T1".to_owned());
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(servers.counts(), (3, 3), "the nonce is remembered");
}

// RFC 9449 §9, R75
#[tokio::test]
async fn an_upstream_that_wants_a_nonce_gets_it_by_one_retry_and_the_token_stays() {
    let servers = Servers::start().await;
    servers.desk().nonces[1] = Some("eyJ7S_zG".to_owned());
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.post("/", "hello").await.body_text(), "hello");
    assert_eq!(servers.counts(), (1, 2));
    assert_eq!(downstream.post("/", "again").await.body_text(), "again");
    assert_eq!(servers.counts(), (1, 3), "the nonce is remembered");

    // A 200 offers the next one.
    servers.desk().next = Some("eyJ7S_zH".to_owned());
    for _ in 0..3 {
        assert_eq!(downstream.get("/").await.status(), 200);
    }
    assert_eq!(servers.counts(), (1, 6));
    let lines = proxy.log_lines_when(5).await;
    let retried: Vec<_> = lines.iter().map(|line| line["token"] == "retried").collect();
    assert_eq!(retried, [true, false, false, false, false]);
    assert_eq!(proxy.figure("upstream_unauthorized_total{route=\"default\"}"), 0, "no token was refused");
}

#[tokio::test]
async fn an_upstream_that_is_never_content_with_a_nonce_costs_one_retry_and_no_token() {
    let servers = Servers::start().await;
    servers.desk().restless = true;
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    for requests in [2, 4, 6] {
        let refused = downstream.get("/").await;
        assert_eq!((refused.status(), refused.body_text()), (401, "refused"));
        assert_eq!(servers.counts(), (1, requests));
    }
}

#[tokio::test]
async fn a_token_that_is_refused_after_the_nonce_is_renewed_for_the_next_caller() {
    let servers = Servers::start().await;
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    servers.desk().nonces[1] = Some("eyJ7S_zG".to_owned());
    servers.desk().revoked.insert("T1".to_owned());
    assert_eq!(downstream.get("/").await.status(), 401, "it has had its one retry");
    eventually("the renewal", || servers.desk().issued == 2).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(servers.counts().0, 2);
}

// DESIGN.md section 2
#[tokio::test]
async fn a_body_that_is_gone_cannot_follow_the_nonce() {
    let servers = Servers::start().await;
    servers.desk().nonces[1] = Some("eyJ7S_zG".to_owned());
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    let long = "x".repeat(100_000);
    assert_eq!(downstream.post("/", &long).await.status(), 401);
    assert_eq!(downstream.post("/", &long).await.status(), 200, "the next one has it");
    assert_eq!(servers.counts(), (1, 2));
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_new_one_has_its_own_proof() {
    let servers = Servers::start().await;
    let proxy = servers.proxy(DPOP).start().await;
    let mut downstream = Downstream::of(&proxy).await;
    assert_eq!(downstream.get("/").await.status(), 200);
    servers.desk().revoked.insert("T1".to_owned());
    assert_eq!(downstream.get("/").await.status(), 200);
    assert_eq!(servers.counts(), (2, 3));
}

// RFC 9449 §5
#[tokio::test]
async fn a_token_that_is_not_bound_is_refused() {
    let (endpoint, api) = (TokenEndpoint::start().await, Upstream::saying("hello").await);
    let credential = endpoint.credential_with("api", DPOP);
    let proxy = Proxy::new().credential(&credential).route("/", &api.url(), "api", "").start().await;
    let refused = Downstream::of(&proxy).await.get("/").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.field("proxy-status").unwrap().contains("malformed_answer"));
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn the_key_may_be_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dpop.pem");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(&file, key.serialize_pem()).unwrap();
    let servers = Servers::start().await;
    let more = format!("    dpop: {{private_key: {}}}\n", file.display());
    let proxy = servers.proxy(&more).start().await;
    assert_eq!(Downstream::of(&proxy).await.get("/").await.status(), 200);
    let expected = BASE64_URL_SAFE_NO_PAD.encode(key.public_key_raw());
    assert_eq!(servers.desk().keys.iter().collect::<Vec<_>>(), [&expected]);

    let text = |more: &str| servers.proxy(more).text();
    let wrong = format!("    dpop: {{algorithm: ES256, private_key: {}}}\n", file.display());
    assert!(proxy_yaml_error(&text(&wrong)).to_string().contains("is a key for EdDSA"));
    std::fs::write(&file, "something").unwrap();
    assert!(proxy_yaml_error(&text(&more)).to_string().contains("the private key is none"));
}

// R38
#[tokio::test]
async fn neither_proof_nor_nonce_nor_token_nor_key_is_told_to_anybody() {
    let captured = Captured::start();
    let files = Files::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let file = files.write("dpop.pem", &key.serialize_pem());
    let of_file = format!("    dpop: {{private_key: {}}}\n", file.display());
    for more in [DPOP, &of_file] {
        let servers = Servers::start().await;
        servers.desk().nonces = [Some("n0nce-a".to_owned()), Some("n0nce-b".to_owned())];
        servers.desk().mark = "M4RK3D-";
        let builder = servers.proxy(more).top("admin:\n  address: 127.0.0.1:0\n");
        let mut told = vec![format!("{:?}", builder.config())];
        let proxy = Proxy::from(&builder.config()).await;
        let mut downstream = Downstream::of(&proxy).await;
        assert_eq!(downstream.get("/").await.status(), 200);
        servers.desk().revoked.insert("M4RK3D-T1".to_owned());
        servers.desk().next = Some("n0nce-c".to_owned());
        assert_eq!(downstream.get("/").await.status(), 200);
        assert_eq!(downstream.get("/").await.status(), 200);

        told.extend(proxy.log_lines_when(3).await.iter().map(ToString::to_string));
        told.extend([captured.text(), proxy.metrics()]);
        assert!(told.iter().any(|text| text.contains("token.fetch")));
        let admin = proxy.running().admin_address().unwrap();
        for page in ["/status", "/metrics", "/readyz"] {
            told.push(Downstream::connect(admin).await.get(page).await.body_text().to_owned());
        }
        let token = files.write("proxy.yaml", &builder.text());
        let token = ended(&["token", "api", "--verbose", "--config", token.to_str().unwrap()]).await;
        assert_eq!((token.code, token.stdout.contains("M4RK3D-")), (Some(0), true), "{token:?}");
        told.push(token.stderr);

        // The pem's second line is the key, whose last 32 bytes are in it by themselves too (RFC 8410 section 7).
        let der = key.serialize_der();
        assert_eq!(der[14..16], [4, 32]);
        let seed = BASE64_URL_SAFE_NO_PAD.encode(&der[16..48]);
        let mut secrets = vec!["n0nce".to_owned(), "M4RK3D".to_owned(), "PRIVATE KEY".to_owned(), seed];
        secrets.push(key.serialize_pem().lines().nth(1).unwrap().to_owned());
        let requests = [servers.endpoint.requests(), servers.api.requests()].concat();
        assert!(requests.iter().any(|request| request.text().contains("M4RK3D-T2")));
        // Of a proof: what it claims, and its signature.
        let proofs = requests.iter().flat_map(|request| request.field("dpop").unwrap().split('.').skip(1));
        secrets.extend(proofs.map(str::to_owned));
        for text in &told {
            for secret in &secrets {
                let line = text.lines().find(|line| line.contains(secret.as_str()));
                assert!(line.is_none(), "{secret} in {line:?}");
            }
        }
    }
}
