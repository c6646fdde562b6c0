//! An API that takes one token at a time, and echoes what it is sent.

use std::sync::{Arc, Mutex};

use super::upstream::Upstream;
use super::wire::Message;
use super::{Proxy, TokenEndpoint, answer};

/// An API; it ends when this is dropped.
pub struct Api {
    pub upstream: Upstream,
    token: Arc<Mutex<String>>,
}

impl Api {
    /// Starts one that takes this token and answers 401 to any other.
    pub async fn taking(token: &str) -> Self {
        let right = Arc::new(Mutex::new(token.to_owned()));
        let known = Arc::clone(&right);
        let upstream = Upstream::answering_by(move |request| {
            let wanted = format!("Bearer {}", known.lock().unwrap());
            if request.field("authorization") == Some(wanted.as_str()) {
                return echo(request);
            }
            let body = if request.first_line().starts_with("HEAD ") { "" } else { "refused" };
            answer("401 Unauthorized", &["www-authenticate: Bearer error=\"invalid_token\""], body)
        })
        .await;
        Self { upstream, token: right }
    }

    /// Takes this one from now on.
    pub fn take(&self, token: &str) {
        token.clone_into(&mut self.token.lock().unwrap());
    }

    /// A proxy in front, with tokens from there; `more`: keys of the route.
    pub async fn behind_proxy(&self, endpoint: &TokenEndpoint, more: &str) -> Proxy {
        proxy(&self.upstream, endpoint, more).await
    }

    pub fn requests(&self) -> Vec<Message> {
        self.upstream.requests()
    }

    /// The tokens that came, in order.
    pub fn tokens(&self) -> Vec<String> {
        tokens(&self.upstream)
    }
}

/// A proxy with one route, to this upstream with tokens from there; `more`: keys of the route.
pub async fn proxy(upstream: &Upstream, endpoint: &TokenEndpoint, more: &str) -> Proxy {
    Proxy::new().credential(&endpoint.credential("api")).route("/", &upstream.url(), "api", more).start().await
}

/// The tokens that came to an upstream, in order; each request must have one.
pub fn tokens(upstream: &Upstream) -> Vec<String> {
    let token = |request: &Message| {
        let value = request.field("authorization").and_then(|value| value.strip_prefix("Bearer "));
        value.unwrap_or_else(|| panic!("no token in {}", request.text())).to_owned()
    };
    upstream.requests().iter().map(token).collect()
}

/// `200 OK` with the body of the request.
pub fn echo(request: &Message) -> Vec<u8> {
    let length = request.body.len();
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(), &request.body].concat()
}
