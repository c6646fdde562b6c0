//! An authorization server with a token endpoint (RFC 6749 §3.2) and one client, on loopback.
//!
//! Tests tell it what to do (fail, wait, revoke) and ask it what it saw. It refuses everything that its [`Dialect`] does
//! not document, with that system's own errors.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::issuer::Issuer;
use super::listener::{Body, Listening, whole};
use super::refusal::Refusal;
use super::token_request::form;
use super::{Dialect, Events, Presented, RefreshTokens, ServerSettings, What};

/// A running authorization server; it ends when this is dropped.
pub struct AuthorizationServer {
    issuer: Arc<Issuer>,
    listening: Listening,
}

impl AuthorizationServer {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start(settings: ServerSettings) -> io::Result<Self> {
        let address = settings.address;
        let issuer = Arc::new(Issuer::new(settings));
        let desk = Arc::clone(&issuer);
        let listening = Listening::start(address, move |request| handle(Arc::clone(&desk), request)).await?;
        Ok(Self { issuer, listening })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The URL of its token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("http://{}{}", self.address(), self.dialect().token_path())
    }

    /// How it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.issuer.settings.dialect
    }

    /// What it was started with: its client, user and scopes.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.issuer.settings
    }

    /// Where its events, and those of its APIs, go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.issuer.settings.events
    }

    /// How many access tokens it has issued.
    #[must_use]
    pub fn tokens_issued(&self) -> u64 {
        self.issuer.state().issued
    }

    /// How many requests have reached the token endpoint, whatever came of them.
    #[must_use]
    pub fn token_requests(&self) -> u64 {
        self.issuer.state().asked
    }

    /// The newest requests to the token endpoint that arrived whole, oldest first; at most 1,024.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.issuer.state().seen.iter().cloned().collect()
    }

    /// How an access token stands with this server.
    #[must_use]
    pub fn check(&self, token: &str) -> Presented {
        self.issuer.check(token)
    }

    /// Voids all access and refresh tokens.
    pub fn revoke_all(&self) {
        self.issuer.revoke(true);
    }

    /// Voids all access tokens; refresh tokens stay good.
    pub fn revoke_access_tokens(&self) {
        self.issuer.revoke(false);
    }

    /// Answers the next `times` token requests with this status and a page of HTML, as a load balancer would.
    /// `times` 0: it works again.
    pub fn fail_with(&self, status: StatusCode, times: u64) {
        self.issuer.state().failure = (times > 0).then_some((status, times));
    }

    /// What such failures say in `Retry-After`, in whole seconds; by default nothing.
    pub fn set_retry_after(&self, after: Option<Duration>) {
        self.issuer.state().retry_after = after;
    }

    /// Waits so long before each answer, from the next request on; by default not at all.
    pub fn delay(&self, delay: Duration) {
        self.issuer.state().delay = delay;
    }

    /// How long access tokens live that are issued from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.issuer.state().lifetime = lifetime;
    }

    /// How long refresh tokens live that are issued from now on.
    pub fn set_refresh_lifetime(&self, lifetime: Duration) {
        self.issuer.state().refresh_lifetime = lifetime;
    }

    /// What becomes of refresh tokens from now on.
    pub fn set_refresh_tokens(&self, rule: RefreshTokens) {
        self.issuer.state().refresh_tokens = rule;
    }

    /// Stops; returns when its port refuses connections. Its APIs go on with the tokens there are.
    pub async fn stop(self) {
        self.listening.stop().await;
    }

    pub(super) fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }
}

/// A request that reached the token endpoint, as it was. Holds secrets, so it does not print.
#[derive(Clone)]
pub struct SeenRequest {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl SeenRequest {
    /// A form parameter's first value; `None` also when the body is no form.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        form(&self.body)?.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Larger is no token request.
const MAX_BODY: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests kept for [`AuthorizationServer::seen`].
const MAX_SEEN: usize = 1024;

async fn handle(issuer: Arc<Issuer>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() != issuer.settings.dialect.token_path() {
        let mut response = Response::new(whole("there is a token endpoint here, and nothing else\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    issuer.state().asked += 1;
    issuer.tell(What::Asked);
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return issuer.refuse(Refusal::too_large()),
        Err(_) => return issuer.refuse(Refusal::too_slow()),
    };
    let delay = {
        let mut state = issuer.state();
        if state.seen.len() >= MAX_SEEN {
            state.seen.pop_front();
        }
        let (method, uri, headers) = (head.method.clone(), head.uri.clone(), head.headers.clone());
        state.seen.push_back(SeenRequest { method, uri, headers, body: body.clone() });
        state.delay
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match issuer.failure() {
        Some(response) => response,
        None => issuer.answer(&head, &body),
    }
}
