//! One request's life, from the head that came in to the body that goes out.
//!
//! Knows tokens, not grants. Follows no redirect, holds no body beyond `retry.max_body`, decodes nothing.

mod answer;
mod attempts;
mod body;
mod error;
mod exchange;
mod headers;
mod outgoing;
mod refusal;
mod respond;
pub mod settings;
mod target;
mod upgrade;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use answer::ResponseBody;
use attempts::Attempts;
use body::BodySource;
pub use body::RequestBody;
pub use error::ForwardError;
use exchange::Exchange;
use outgoing::{Outgoing, Via};
pub use target::Target;
pub use target::TargetMetrics;
pub use target::rewrite;

use crate::route::RouteTable;
use crate::route::path;
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::telemetry::TokenAction;
use crate::token::AccessToken;
use crate::token::TokenCache;
use crate::upstream::AnswerBody;

/// Answers requests: with the upstream's response, or with our own if there is none to give.
pub struct Forwarder {
    routes: RouteTable<Arc<Target>>,
    via: Via,
    log: AccessLog,
    metrics: Option<Arc<Metrics>>,
}

/// Who calls, as far as a request's life depends on it.
#[derive(Clone)]
pub struct Downstream {
    /// The caller's address; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Takes the bytes of an interim answer (1xx) to the caller; `None`: they are dropped.
    pub interim: Option<Interim>,
}

/// What the downstream gets.
pub struct Reply {
    /// The answer.
    pub response: Response<ResponseBody>,
    /// Carries the bytes of a tunnel once the answer, a 101, has been sent; to be run by whoever owns the connection.
    pub tunnel: Option<Tunnel>,
}

impl From<Response<ResponseBody>> for Reply {
    fn from(response: Response<ResponseBody>) -> Self {
        Self { response, tunnel: None }
    }
}

/// Ends when the tunnel does; dropped, it ends the tunnel.
pub type Tunnel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes a whole 1xx head, to be sent before the final answer.
pub type Interim = Arc<dyn Fn(Bytes) + Send + Sync>;

impl Forwarder {
    /// A forwarder for these routes. `pseudonym`: our name in `Via`, unlike that of any other proxy on the way.
    #[must_use]
    pub fn new(routes: RouteTable<Arc<Target>>, pseudonym: &str, log: AccessLog) -> Self {
        Self { routes, via: Via::new(pseudonym), log, metrics: None }
    }

    /// Counts requests that are answered before they have a route; all others are counted by their target.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &RouteTable<Arc<Target>> {
        &self.routes
    }

    /// Whether this request, in absolute form, may be forwarded: a route names its host, and the port is one that a
    /// URL without port would mean (R70).
    #[must_use]
    pub fn proxies(&self, authority: &str) -> bool {
        let (host, port) = outgoing::host_and_port(authority);
        self.routes.names_host(host) && matches!(port, None | Some(80 | 443))
    }

    /// Answers one request. Whether the caller may use this proxy for that host has been looked at before.
    pub async fn handle(&self, request: Request<Incoming>, downstream: &Downstream) -> Reply {
        let mut exchange = Exchange::begin(&request, downstream.peer, &self.log);
        match self.forward(request, downstream, &mut exchange).await {
            Ok(Forwarded::Answer(response)) => answer::pass_on(response, exchange, &self.via).into(),
            Ok(Forwarded::Own(response)) => answer::own(response, exchange).into(),
            Ok(Forwarded::Tunnel(response, upgrade)) => answer::tunnel(response, *upgrade, exchange, &self.via),
            Err(error) => self.answer_error(&error, exchange).into(),
        }
    }

    /// Answers a request that may not be forwarded. What could be read in two ways is said before anything else is.
    pub fn refuse(&self, head: &Parts, downstream: &Downstream, error: &ForwardError) -> Response<ResponseBody> {
        let exchange = Exchange::of_head(head, downstream.peer, &self.log);
        match check_path(head) {
            Ok(()) => self.answer_error(error, exchange),
            Err(ambiguous) => self.answer_error(&ambiguous, exchange),
        }
    }

    /// Answers a request whose head was not acceptable, and of which therefore nothing is known.
    pub fn refuse_unread(&self, downstream: &Downstream, error: &ForwardError) -> Response<ResponseBody> {
        self.answer_error(error, Exchange::of_nothing(downstream.peer, &self.log))
    }

    fn answer_error(&self, error: &ForwardError, exchange: Box<Exchange>) -> Response<ResponseBody> {
        let routed = exchange.target().is_some();
        let response = answer::refuse(error, exchange);
        if let Some(metrics) = self.metrics.as_ref().filter(|_| !routed) {
            metrics.refused(response.status().as_u16());
        }
        response
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        downstream: &Downstream,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, ForwardError> {
        // hyper puts its half of an upgrade there; nothing else is ever in it.
        let upgrade = (!request.extensions().is_empty()).then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        head.extensions.clear();
        if let Some(own) = answer_ourselves(&head)? {
            return Ok(Forwarded::Own(own));
        }
        let target = self.find(&head)?;
        exchange.route(target);
        let token = match &target.tokens {
            Some(tokens) => Some(current(tokens, exchange).await?),
            None => None,
        };
        let (source, received) = BodySource::new(body, target.held());
        exchange.receives(received);
        let outgoing = Outgoing::prepare(head, source, target, &self.via)?;
        let mut attempts = Attempts { target, outgoing, exchange, interim: downstream.interim.as_ref() };
        let mut response = attempts.deliver(token.as_deref()).await?;
        if let (Some(tokens), Some(token)) = (&target.tokens, &token)
            && target.is_refusal(response.status())
        {
            response = Box::pin(attempts.renew_and_repeat(response, tokens, token)).await?;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let agreed = attempts.outgoing.wants_websocket() && headers::is_websocket(response.headers());
            return match upgrade.filter(|_| agreed) {
                Some(upgrade) => Ok(Forwarded::Tunnel(response, Box::new(upgrade))),
                None => Err(ForwardError::BadUpgrade("The upstream changed to a protocol that was not asked for.")),
            };
        }
        Ok(Forwarded::Answer(response))
    }

    fn find(&self, head: &Parts) -> Result<&Arc<Target>, ForwardError> {
        check_path(head)?;
        let (path, method, headers) = (head.uri.path(), &head.method, &head.headers);
        let (host, _) = outgoing::host_and_port(outgoing::authority(head).unwrap_or_default());
        let found = match head.uri.authority() {
            // As somebody's proxy: only to the host that was asked for.
            Some(authority) if self.proxies(authority.as_str()) => self.routes.find_named(host, path, method, headers),
            _ => self.routes.find(host, path, method, headers),
        };
        found.ok_or(ForwardError::NoRoute)
    }
}

fn check_path(head: &Parts) -> Result<(), ForwardError> {
    path::check(head.uri.path())
        .map_err(|ambiguous| ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: ambiguous.0 })
}

/// What came of a request.
enum Forwarded {
    /// The upstream's answer.
    Answer(Response<AnswerBody<RequestBody>>),
    /// Ours, and not an error.
    Own(Response<Bytes>),
    /// The upstream agreed to change the protocol, and the downstream asked for it.
    Tunnel(Response<AnswerBody<RequestBody>>, Box<hyper::upgrade::OnUpgrade>),
}

/// What is not for any upstream: `OPTIONS *`, `Max-Forwards: 0`, TRACE, CONNECT (R18, R28, R38).
fn answer_ourselves(head: &Parts) -> Result<Option<Response<Bytes>>, ForwardError> {
    let refused = |detail| Err(ForwardError::BadRequest { status: StatusCode::METHOD_NOT_ALLOWED, detail });
    match head.method {
        // It would echo the token.
        Method::TRACE => refused("TRACE is not served: the answer would show the access token."),
        Method::CONNECT => refused("CONNECT is not served."),
        Method::OPTIONS if head.uri.path() == "*" || outgoing::max_forwards(head) == Some(0) => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(Some(response))
        }
        _ => Ok(None),
    }
}

/// The credential's current token; the one wait before anything is sent.
async fn current(tokens: &Arc<TokenCache>, exchange: &mut Exchange) -> Result<Arc<AccessToken>, ForwardError> {
    if let Some(token) = tokens.current(exchange.moment()) {
        exchange.token(TokenAction::Cached);
        return Ok(token);
    }
    exchange.token(TokenAction::Failed);
    let token = Box::pin(tokens.get()).await?;
    exchange.token(TokenAction::Waited);
    Ok(token)
}
