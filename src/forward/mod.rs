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
mod tokens;
mod upgrade;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use answer::Carried;
pub use answer::ResponseBody;
use attempts::Attempts;
use body::BodySource;
pub use body::RequestBody;
pub use error::ForwardError;
use exchange::Exchange;
use outgoing::{BROKEN_OFF, Outgoing, Via};
pub use outgoing::{Passing, receive};
pub use target::Target;
pub use target::TargetMetrics;
pub use target::rewrite;

use crate::route::RouteTable;
use crate::route::path;
use crate::telemetry::AccessLog;
use crate::telemetry::Metrics;
use crate::token::TokenCache;
use crate::token::Tokens;
use crate::upstream::RoundTrip;
use crate::upstream::UpstreamError;

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
    ///
    /// `passing`: its head, which becomes that of the request to the upstream, and is taken from there when that goes out. It
    /// is not moved before: each move copies 232 bytes to memory that has left the processor's cache since the last request.
    pub async fn handle(&self, passing: &mut Option<Passing>, body: Incoming, downstream: &Downstream) -> Reply {
        let Some(request) = passing else { return self.refuse_unread(&BROKEN_OFF).into() };
        let found = headers::look(request.headers());
        let mut carried = Carried::new(Exchange::begin(request, found, &self.log));
        let target = match self.begin(request, &mut carried.exchange) {
            Ok(Beginning::Target(target)) => target,
            Ok(Beginning::Own(response)) => return answer::own(*response, carried).into(),
            Err(error) => return self.answer_error(&error, carried).into(),
        };
        let mut call = Call {
            outgoing: Outgoing::new(request, BodySource::new(body), found),
            // hyper puts its half of an upgrade there; nothing else is ever in it.
            upgrade: request.extensions_mut().remove::<OnUpgrade>(),
            trip: RoundTrip::of(passing),
            subject: None,
        };
        let upgrade = match self.forward(&mut call, target, downstream, &mut carried.exchange).await {
            Ok(upgrade) => upgrade,
            Err(error) => return self.answer_error(&error, carried).into(),
        };
        let Some(response) = call.trip.response.take() else {
            return self.answer_error(&no_answer(), carried).into();
        };
        match upgrade {
            None => answer::pass_on(response, carried, &self.via).into(),
            Some(upgrade) => answer::tunnel(response, *upgrade, carried, &self.via),
        }
    }

    /// Answers a request that may not be forwarded. What could be read in two ways is said before anything else is.
    pub fn refuse(&self, request: &mut Passing, error: &ForwardError) -> Response<ResponseBody> {
        let found = headers::look(request.headers());
        let exchange = Exchange::begin(request, found, &self.log);
        let ambiguous = check_path(exchange.uri()).err();
        self.answer_error(ambiguous.as_ref().unwrap_or(error), Carried::new(exchange))
    }

    /// Answers a request whose head was not acceptable, and of which therefore nothing is known.
    pub fn refuse_unread(&self, error: &ForwardError) -> Response<ResponseBody> {
        self.answer_error(error, Carried::new(Exchange::of_nothing(&self.log)))
    }

    fn answer_error(&self, error: &ForwardError, carried: Box<Carried>) -> Response<ResponseBody> {
        let routed = carried.exchange.target().is_some();
        let response = answer::refuse(error, carried);
        if let Some(metrics) = self.metrics.as_ref().filter(|_| !routed) {
            metrics.refused(response.status().as_u16());
        }
        response
    }

    /// What can be said of a request before anything is waited for: where it goes, or our own answer.
    fn begin(&self, request: &Passing, exchange: &mut Exchange) -> Result<Beginning<'_>, ForwardError> {
        if let Some(own) = answer_ourselves(request, exchange.uri())? {
            return Ok(Beginning::Own(Box::new(own)));
        }
        let target = self.find(request, exchange.uri())?;
        exchange.route(target);
        Ok(Beginning::Target(target))
    }

    /// Leaves the upstream's answer in `call`, and returns the downstream's half of an upgrade if both agreed to one.
    async fn forward(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        downstream: &Downstream,
        exchange: &mut Exchange,
    ) -> Result<Option<Box<OnUpgrade>>, ForwardError> {
        let tokens = match &target.tokens {
            Some(Tokens::Shared(tokens)) => Some(tokens),
            Some(Tokens::PerSubject(subjects)) => {
                let request = call.trip.request.as_ref();
                Some(&*call.subject.insert(Box::pin(tokens::of_subject(subjects, request, exchange)).await?))
            }
            None => None,
        };
        let token = match tokens {
            Some(tokens) => Some(tokens::current(tokens, exchange).await?),
            None => None,
        };
        exchange.receives(call.outgoing.body.hold(target.held()));
        call.outgoing.prepare(call.trip.request.as_mut().ok_or(BROKEN_OFF)?, target, &self.via)?;
        let Call { outgoing, trip, upgrade, .. } = call;
        let mut attempts =
            Attempts { target, tokens, via: &self.via, outgoing, trip, exchange, interim: downstream.interim.as_ref() };
        attempts.deliver(token.as_deref()).await?;
        if let (Some(tokens), Some(token)) = (tokens, &token)
            && attempts.is_refused()
        {
            Box::pin(attempts.renew_and_repeat(tokens, token)).await?;
        }
        let response = trip.response.as_ref().ok_or_else(no_answer)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        let agreed = outgoing.wants_websocket() && headers::is_websocket(response.headers());
        match upgrade.take().filter(|_| agreed) {
            Some(upgrade) => Ok(Some(Box::new(upgrade))),
            None => Err(ForwardError::BadUpgrade("The upstream changed to a protocol that was not asked for.")),
        }
    }

    fn find(&self, request: &Passing, uri: &Uri) -> Result<&Arc<Target>, ForwardError> {
        check_path(uri)?;
        let (path, method, headers) = (uri.path(), request.method(), request.headers());
        let host = match self.routes.names_hosts() {
            true => outgoing::host_and_port(outgoing::authority(uri, headers).unwrap_or_default()).0,
            false => "",
        };
        let found = match uri.authority() {
            // As somebody's proxy: only to the host that was asked for.
            Some(authority) if self.proxies(authority.as_str()) => self.routes.find_named(host, path, method, headers),
            _ => self.routes.find(host, path, method, headers),
        };
        found.ok_or(ForwardError::NoRoute)
    }
}

/// One request under way: what lies still while futures come and go.
struct Call<'a> {
    outgoing: Outgoing,
    trip: RoundTrip<'a, RequestBody>,
    upgrade: Option<OnUpgrade>,
    /// The tokens of the one on whose behalf it comes, where that matters.
    subject: Option<Arc<TokenCache>>,
}

fn check_path(uri: &Uri) -> Result<(), ForwardError> {
    path::check(uri.path())
        .map_err(|ambiguous| ForwardError::BadRequest { status: StatusCode::BAD_REQUEST, detail: ambiguous.0 })
}

/// What a request's head leads to.
enum Beginning<'a> {
    Target(&'a Arc<Target>),
    /// An answer of ours that is no error.
    Own(Box<Response<Bytes>>),
}

/// An attempt that did not fail has left an answer.
#[cold]
fn no_answer() -> ForwardError {
    UpstreamError::Terminated("there is no answer".to_owned()).into()
}

/// What is not for any upstream: `OPTIONS *`, `Max-Forwards: 0`, TRACE, CONNECT (R18, R28, R38).
fn answer_ourselves(request: &Passing, uri: &Uri) -> Result<Option<Response<Bytes>>, ForwardError> {
    let refused = |detail| Err(ForwardError::BadRequest { status: StatusCode::METHOD_NOT_ALLOWED, detail });
    match *request.method() {
        // It would echo the token.
        Method::TRACE => refused("TRACE is not served: the answer would show the access token."),
        Method::CONNECT => refused("CONNECT is not served."),
        Method::OPTIONS if uri.path() == "*" || outgoing::max_forwards(request.headers()) == Some(0) => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(Some(response))
        }
        _ => Ok(None),
    }
}
