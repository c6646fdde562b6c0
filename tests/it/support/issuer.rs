//! An authorization server that people log in to, and a person who does: RFC 6749 §4.1 with RFC 7636 and RFC 9207, RFC 8628,
//! RFC 7009, RFC 8414.
//!
//! Strict where the RFCs are: a code is good once, with its own redirect and its own verifier; a refresh token is good
//! once. Everything it hands out bears a mark.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;
use url::form_urlencoded;

use super::upstream::Upstream;
use super::wire::Message;
use super::{Downstream, answer, json_answer, oauth_error};

/// Part of every code and token.
pub const MARK: &str = "M4RK3D";

pub type Parameters = HashMap<String, String>;

/// What becomes of what a person came with, and of the issuer.
pub type SendsBack = Box<dyn Fn(&Parameters, &str) -> String + Send>;

/// The server; it ends when this is dropped.
pub struct Issuer {
    pub upstream: Upstream,
    desk: Arc<Mutex<Desk>>,
}

/// What it knows, and what a test tells it.
pub struct Desk {
    /// What people were sent with, the last one last.
    pub asked: Vec<Parameters>,
    /// The query that people are sent back with, made of what they came with and the issuer.
    pub sends_back: SendsBack,
    /// Further members of the metadata, with a comma before each.
    pub metadata: String,
    /// Members of the answer to a code or a confirmed device; `{nonce}` is the one that was asked for.
    pub reply: String,
    /// The claims of the ID token; none if empty.
    pub claims: String,
    /// What devices are told before `reply`.
    pub device: VecDeque<Vec<u8>>,
    /// Members of what a device is told first.
    pub device_reply: String,
    /// What refreshes and logouts are answered instead.
    pub instead: VecDeque<Vec<u8>>,
    issued: usize,
    code: Option<String>,
    refresh_token: Option<String>,
    /// Tokens that were revoked.
    pub revoked: Vec<String>,
}

impl Issuer {
    pub async fn start() -> Self {
        let desk = Desk {
            asked: Vec::new(),
            sends_back: Box::new(|asked, issuer| {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("code", &format!("{MARK}-code")).append_pair("state", &asked["state"]);
                query.append_pair("iss", issuer).finish()
            }),
            metadata: ",\"authorization_response_iss_parameter_supported\":true".to_owned(),
            reply: ",\"expires_in\":3600,\"refresh_token\":\"{refresh}\"".to_owned(),
            claims: String::new(),
            device: VecDeque::new(),
            device_reply: String::new(),
            instead: VecDeque::new(),
            issued: 0,
            code: None,
            refresh_token: None,
            revoked: Vec::new(),
        };
        let desk = Arc::new(Mutex::new(desk));
        let clerk = Arc::clone(&desk);
        let upstream = Upstream::answering_by(move |request| clerk.lock().unwrap().answer(request)).await;
        Self { upstream, desk }
    }

    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// Its name.
    pub fn url(&self) -> String {
        format!("http://{}", self.upstream.address())
    }

    /// A credential `crm` of grant `authorization_code`; `more`: further keys, or others in place of these, at four
    /// spaces.
    pub fn credential(&self, more: &str) -> String {
        let has = |key: &str| more.lines().any(|line| line.starts_with(&format!("    {key}:")));
        let issuer = self.url();
        let defaults = [
            ("grant", "authorization_code"),
            ("issuer", issuer.as_str()),
            ("client_id", "me"),
            ("scope", "orders offline_access"),
        ];
        let lines = defaults.iter().filter(|(key, _)| !has(key)).map(|(key, value)| format!("    {key}: {value}\n"));
        format!("  crm:\n{}{more}", lines.collect::<String>())
    }

    /// The forms that came to this path.
    pub fn forms(&self, path: &str) -> Vec<Parameters> {
        let requests = self.upstream.requests();
        let there = requests.iter().filter(|request| request.first_line().starts_with(&format!("POST {path} ")));
        there.map(|request| parameters(request.body_text())).collect()
    }
}

impl Desk {
    fn answer(&mut self, request: &Message) -> Vec<u8> {
        let issuer = format!("http://{}", request.field("host").unwrap());
        let target = request.first_line().split(' ').nth(1).unwrap().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/.well-known/openid-configuration" => json_answer(&self.metadata(&issuer)),
            "/authorize" => self.authorize(parameters(query), &issuer),
            "/token" => self.token(&parameters(request.body_text())),
            "/device" => {
                let more = &self.device_reply;
                json_answer(&format!(
                    "{{\"device_code\":\"{MARK}-device\",\"user_code\":\"WDJB-MJHT\",\
                     \"verification_uri\":\"{issuer}/go\",\"expires_in\":600{more}}}"
                ))
            }
            "/revoke" => {
                self.revoked.push(parameters(request.body_text())["token"].clone());
                self.instead.pop_front().unwrap_or_else(|| answer("200 OK", &[], ""))
            }
            _ => answer("404 Not Found", &[], ""),
        }
    }

    fn metadata(&self, issuer: &str) -> String {
        let endpoints = ["authorization", "token", "device_authorization", "revocation"];
        let paths = ["authorize", "token", "device", "revoke"];
        let all = endpoints.iter().zip(paths).map(|(name, path)| format!(",\"{name}_endpoint\":\"{issuer}/{path}\""));
        format!("{{\"issuer\":\"{issuer}\"{}{}}}", all.collect::<String>(), self.metadata)
    }

    fn authorize(&mut self, asked: Parameters, issuer: &str) -> Vec<u8> {
        let query = (self.sends_back)(&asked, issuer);
        self.code = Some(format!("{MARK}-code"));
        let to = format!("location: {}?{query}", asked["redirect_uri"]);
        self.asked.push(asked);
        answer("302 Found", &[&to], "")
    }

    fn token(&mut self, form: &Parameters) -> Vec<u8> {
        let refused = |code| oauth_error("400 Bad Request", code);
        match form.get("grant_type").map(String::as_str) {
            Some("authorization_code") => {
                let asked = self.asked.last().unwrap();
                let proof = form.get("code_verifier").map(|verifier| challenge(verifier));
                let code = form.get("code").or(form.get("auth_code"));
                let is_right = self.code.take().as_ref() == code
                    && form["redirect_uri"] == asked["redirect_uri"]
                    && proof.as_ref() == asked.get("code_challenge");
                if is_right { self.issue() } else { refused("invalid_grant") }
            }
            Some("urn:ietf:params:oauth:grant-type:device_code") => {
                assert_eq!(form["device_code"], format!("{MARK}-device"));
                self.device.pop_front().unwrap_or_else(|| self.issue())
            }
            Some("refresh_token") => {
                if let Some(instead) = self.instead.pop_front() {
                    return instead;
                }
                let is_right = self.refresh_token.take().as_ref() == form.get("refresh_token");
                if is_right { self.issue() } else { refused("invalid_grant") }
            }
            _ => refused("unsupported_grant_type"),
        }
    }

    fn issue(&mut self) -> Vec<u8> {
        self.issued += 1;
        let refresh = format!("{MARK}-refresh-{}", self.issued);
        let nonce = self.asked.last().and_then(|asked| asked.get("nonce")).cloned().unwrap_or_default();
        let mut reply = self.reply.replace("{refresh}", &refresh);
        if !self.claims.is_empty() {
            let claims = BASE64_URL_SAFE_NO_PAD.encode(self.claims.replace("{nonce}", &nonce));
            reply.push_str(&format!(",\"id_token\":\"e30.{claims}.{MARK}\""));
        }
        self.refresh_token = Some(refresh);
        json_answer(&format!("{{\"access_token\":\"{MARK}-{}\",\"token_type\":\"Bearer\"{reply}}}", self.issued))
    }
}

/// What a person's browser does with an address: it goes where it is sent, and shows what is there.
pub async fn browse(url: &str) -> Message {
    let mut url = Url::parse(url).unwrap();
    for _ in 0..5 {
        let page = get(&url).await;
        match page.field("location") {
            Some(location) => url = Url::parse(location).unwrap(),
            None => return page,
        }
    }
    panic!("sent on and on, at last to {url}")
}

/// One request of a browser.
pub async fn get(url: &Url) -> Message {
    let authority = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut connection = Downstream::connect(authority.parse().unwrap()).await;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", url.path());
    connection.ask(format!("GET {target} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: Mozilla/5.0\r\n\r\n")).await
}

/// A form or a query.
pub fn parameters(text: &str) -> Parameters {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let count = pairs.len();
    let parameters: Parameters = pairs.into_iter().collect();
    assert_eq!(parameters.len(), count, "a parameter is there twice in {text}");
    parameters
}

/// RFC 7636 §4.6.
fn challenge(verifier: &str) -> String {
    assert!((43..=128).contains(&verifier.len()), "RFC 7636 §4.1");
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}
