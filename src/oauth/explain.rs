//! How a token was obtained, or why not, for a person to read (`bearer-proxy token NAME`).
//!
//! Each request is a step: what was sent, what came back, what that means, what to change. Secrets show as their length;
//! of an answer only those members are quoted that RFC 6749 §§5.1 and 5.2 say are no secrets.

mod advice;

use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;
use url::Url;

use super::endpoint::Answer;
use super::grant::{self, Exec};
use super::request::{Ask, HttpRequest, REDACTED, TokenRequest, Value, is_secret};
use super::response::{Body, TokenResponse};
use super::settings::CredentialSettings;
use crate::secret::Secret;
use crate::token::TokenError;

/// The story of one fetch. `Display` tells it without the token.
#[derive(Debug)]
pub struct Explanation {
    /// Each request, in order; none for a grant that asks nobody, or when a secret could not be read.
    pub steps: Vec<Step>,
    /// How it ended.
    pub outcome: Result<Issued, TokenError>,
}

/// A token just obtained.
#[derive(Debug)]
pub struct Issued {
    /// It.
    pub token: Secret,
    /// How long it lives; `None`: without an end.
    pub lifetime: Option<Duration>,
}

/// One request, and what came of it. No text in it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was tried.
    pub title: String,
    /// The request: its first line, its header fields' names, its parameters.
    pub sent: Vec<String>,
    /// The answer: its status and type, its body's members. Empty if there was none.
    pub received: Vec<String>,
    /// What that means.
    pub meaning: String,
    /// What to change, where we can tell.
    pub advice: Option<String>,
}

impl Step {
    /// Asking the token endpoint.
    pub(super) fn asking(request: &TokenRequest, ask: &Ask, settings: &CredentialSettings) -> Self {
        let with = match ask {
            Ask::OwnGrant | Ask::OnBehalf(_) => format!("grant {}", grant::name(&settings.grant)),
            Ask::Code(_) => "the authorization code".to_owned(),
            Ask::Device(_) => "the device code".to_owned(),
            Ask::Refresh(_) => "the refresh token".to_owned(),
        };
        Self::new(format!("ask {} with {with}", host(request.url())))
    }

    /// A further step (`then`), counted from zero.
    pub(super) fn going_on(request: &TokenRequest, index: usize) -> Self {
        Self::new(format!("ask {} as then[{index}] says", host(request.url())))
    }

    /// Running a command.
    pub(super) fn running(exec: &Exec) -> Self {
        let names: Vec<&str> = exec.env.iter().map(|(name, _)| name.as_str()).collect();
        let sent = vec![
            format!("arguments: {}", exec.args.len()),
            format!("environment: {}", ["PATH", "HOME"].into_iter().chain(names).collect::<Vec<_>>().join(", ")),
        ];
        Self { sent, ..Self::new(format!("run {}", exec.command.display())) }
    }

    /// What a command printed; `stderr` has no secret in it.
    pub(super) fn printed(&mut self, ended: &str, answer: &Answer, body: &Body, stderr: &[String]) {
        self.received.push(format!("it {ended}; it printed {} bytes: {}", answer.body.len(), body.what()));
        self.members(body);
        self.received.extend(stderr.iter().map(|line| format!("it said: {line}")));
    }

    /// Asking an endpoint beside the token endpoint.
    pub(super) fn beside(request: &TokenRequest, what: &str) -> Self {
        Self::new(format!("ask {} {what}", host(request.url())))
    }

    /// Asking for an issuer's metadata.
    pub(super) fn discovering(url: &Url) -> Self {
        Self { sent: vec![format!("GET {}", shown(url))], ..Self::new(format!("ask {} for its metadata", host(url))) }
    }

    fn new(title: String) -> Self {
        Self { title, sent: Vec::new(), received: Vec::new(), meaning: String::new(), advice: None }
    }

    /// What was sent. The parameters of a query stand below, not in the URL.
    pub(super) fn sent(&mut self, http: &HttpRequest, request: &TokenRequest) {
        self.sent.push(format!("{} {}", http.method, shown(request.url())));
        let mut names: Vec<&str> = http.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        self.sent.push(format!("header fields: {}", names.join(", ")));
        for (name, value) in request.query().iter().chain(request.parameters()) {
            list(name, name, value, &mut self.sent);
        }
        if let Some(text) = request.body() {
            self.sent.push(format!("(the body) = {}", redacted(text.expose())));
        }
    }

    /// What came back.
    pub(super) fn received(&mut self, answer: &Answer, body: &Body) {
        let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.map(printable).unwrap_or_else(|| "no Content-Type".to_owned());
        self.received.push(format!("{}, {content_type}, {} bytes: {}", answer.status, answer.body.len(), body.what()));
        self.members(body);
    }

    fn members(&mut self, body: &Body) {
        for (name, value) in body.members().take(MANY) {
            self.received.push(format!("{} = {}", printable(name), member(name, value)));
        }
    }

    /// As [`Step::received`], without what the server repeats of our secrets.
    pub(super) fn received_for(&mut self, answer: &Answer, body: &Body, request: &TokenRequest) {
        self.received(answer, body);
        self.received.iter_mut().for_each(|line| *line = request.scrub(line));
    }

    /// What a token endpoint's answer means.
    pub(super) fn concluded(&mut self, result: Result<&TokenResponse, &TokenError>, settings: &CredentialSettings) {
        let meaning = |response: &TokenResponse| {
            let refresh = if response.refresh_token.is_some() { ", and a refresh token" } else { "" };
            format!("an access token that lives for {:?}{refresh}", response.lifetime)
        };
        self.ended(result.map(meaning), settings);
    }

    /// What came of it, in words.
    pub(super) fn ended(&mut self, result: Result<String, &TokenError>, settings: &CredentialSettings) {
        match result {
            Ok(meaning) => self.meaning = meaning,
            Err(error) => {
                self.meaning = error.to_string();
                self.advice = advice::on(error, settings).map(|advice| in_words_of(settings, advice));
            }
        }
        tracing::debug!(step = self.title, meaning = self.meaning, "a token request ended");
    }

    /// What an issuer's metadata means.
    pub(super) fn discovered(&mut self, result: Result<&Url, &str>) {
        match result {
            Ok(url) => self.meaning = format!("its token endpoint is {}", shown(url)),
            Err(why) => {
                self.meaning = format!("no metadata that can be used: {why}");
                self.advice = Some(advice::ON_ISSUER.to_owned());
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number}. {step}")?;
        }
        match &self.outcome {
            Ok(Issued { lifetime: Some(lifetime), .. }) => {
                writeln!(f, "a token was obtained; it lives for {lifetime:?}")
            }
            Ok(Issued { lifetime: None, .. }) => writeln!(f, "a token was obtained; it has no end"),
            Err(error) => writeln!(f, "no token was obtained: {error}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        block(f, "sent", &self.sent)?;
        block(f, "received", &self.received)?;
        block(f, "means", std::slice::from_ref(&self.meaning))?;
        block(f, "try", self.advice.as_slice())
    }
}

/// Where a login is written out, its URL has another name.
fn in_words_of(settings: &CredentialSettings, advice: &str) -> String {
    match settings.endpoint {
        Some(_) => advice.to_owned(),
        None => advice.replace("token_url", "request.url").replace("request.format", "request.body"),
    }
}

/// A label before the first line, the others below it.
fn block(f: &mut fmt::Formatter<'_>, label: &str, lines: &[String]) -> fmt::Result {
    for (place, line) in lines.iter().enumerate() {
        writeln!(f, "   {:<9} {line}", if place == 0 { label } else { "" })?;
    }
    Ok(())
}

/// No more members are listed.
const MANY: usize = 50;

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// A URL without the values of its query.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    let names: Vec<String> = url.query_pairs().map(|(name, _)| format!("{}={REDACTED}", printable(&name))).collect();
    match names.is_empty() {
        true => shown.to_string(),
        false => format!("{shown}?{}", names.join("&")),
    }
}

/// A line for a parameter, and one for each member of those that have any.
fn list(path: &str, name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| list(&format!("{path}.{name}"), name, value, lines));
        }
        _ => lines.push(format!("{path} = {}", parameter(name, value))),
    }
}

fn parameter(name: &str, value: &Value) -> String {
    match value {
        Value::Text(text) if is_secret(name) => redacted(text.expose()),
        Value::Text(text) => printable(text.expose()),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(values) => values.iter().map(|value| parameter(name, value)).collect::<Vec<_>>().join(", "),
        Value::Null => "null".to_owned(),
        Value::Object(members) => format!("an object of {}", members.len()),
    }
}

fn member(name: &str, value: &Json) -> String {
    const QUOTED: [&str; 10] = [
        "error",
        "error_description",
        "errorDescription",
        "error_uri",
        "issuer",
        "token_endpoint",
        "token_type",
        "scope",
        "expires_in",
        "refresh_expires_in",
    ];
    match value {
        Json::String(text) if QUOTED.contains(&name) || name.starts_with("expires") => printable(text),
        Json::String(text) => redacted(text),
        Json::Number(number) => number.to_string(),
        Json::Bool(value) => value.to_string(),
        Json::Null => "null".to_owned(),
        Json::Array(values) => format!("a list of {}", values.len()),
        Json::Object(members) => format!("an object of {}", members.len()),
    }
}

fn redacted(text: &str) -> String {
    format!("<redacted, {} characters>", text.chars().count())
}

/// One line that a terminal does not take for commands, 300 characters of it.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
