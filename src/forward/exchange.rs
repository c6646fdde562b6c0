//! What is told of a request when it has ended: one line in the access log, and the figures of its route.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};

use super::headers::Found;
use super::outgoing::Passing;
use super::target::Target;
use crate::telemetry::AccessLog;
use crate::telemetry::Record;
use crate::telemetry::RetryOutcome;
use crate::telemetry::TokenAction;
use crate::telemetry::UpstreamFailure;
use crate::token::Moment;
use crate::upstream::UpstreamError;

/// One request and its answer. Told when dropped: that is when the last byte of the answer has gone, or nobody wants
/// it any more.
pub(super) struct Exchange {
    log: AccessLog,
    began: Moment,
    method: Method,
    uri: Uri,
    request_id: Option<HeaderValue>,
    route: Option<Arc<Target>>,
    received: Option<Arc<AtomicU64>>,
    received_in_tunnel: u64,
    sent: u64,
    attempts: u32,
    status: u16,
    token: TokenAction,
    error: Option<&'static str>,
}

impl Exchange {
    /// Takes the request's target: the upstream gets another.
    pub(super) fn begin(request: &mut Passing, found: Found, log: &AccessLog) -> Self {
        let uri = std::mem::take(request.uri_mut());
        let id = found.request_id.then(|| request.headers().get(&REQUEST_ID)).flatten();
        Self::new(request.method().clone(), uri, id, log)
    }

    /// Of a request whose head was not understood: no method, no path.
    pub(super) fn of_nothing(log: &AccessLog) -> Self {
        let method = Method::from_bytes(b"-").unwrap_or_default();
        // An authority alone: the one kind of URI that has no path.
        Self::new(method, Uri::from_static("-"), None, log)
    }

    fn new(method: Method, uri: Uri, request_id: Option<&HeaderValue>, log: &AccessLog) -> Self {
        Self {
            log: log.clone(),
            began: Moment::now(),
            method,
            uri,
            request_id: request_id.filter(|id| id.len() <= MAX_REQUEST_ID).cloned(),
            route: None,
            received: None,
            received_in_tunnel: 0,
            sent: 0,
            attempts: 0,
            status: 0,
            token: TokenAction::None,
            error: None,
        }
    }

    /// The request's target, as the downstream sent it.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// When the request's head had come.
    pub(super) fn moment(&self) -> Moment {
        self.began
    }

    /// The route's name, `-` without one.
    pub(super) fn route_name(&self) -> &str {
        self.route.as_ref().map_or("-", |target| target.name())
    }

    pub(super) fn target(&self) -> Option<&Arc<Target>> {
        self.route.as_ref()
    }

    pub(super) fn route(&mut self, target: &Arc<Target>) {
        target.metrics.route.begin();
        self.route = Some(Arc::clone(target));
    }

    pub(super) fn receives(&mut self, counter: Option<Arc<AtomicU64>>) {
        self.received = counter;
    }

    pub(super) fn token(&mut self, action: TokenAction) {
        self.token = action;
    }

    pub(super) fn attempt(&mut self) {
        self.attempts += 1;
    }

    /// The upstream refused the token.
    pub(super) fn refused(&mut self) {
        if let Some(target) = &self.route {
            target.metrics.route.unauthorized();
        }
    }

    pub(super) fn retry(&mut self, outcome: RetryOutcome) {
        self.token = match outcome {
            RetryOutcome::Success | RetryOutcome::RefusedAgain => TokenAction::Retried,
            _ => TokenAction::RetryRefused,
        };
        if let Some(target) = &self.route {
            target.metrics.route.retried(outcome);
        }
    }

    /// An attempt came to nothing.
    pub(super) fn failed(&mut self, error: &UpstreamError) {
        if let (Some(target), Some(failure)) = (&self.route, failure_of(error)) {
            target.metrics.upstream.failed(failure);
        }
    }

    /// An attempt got an answer, on a connection that had served others before or on a new one.
    pub(super) fn answered(&mut self, reused: bool) {
        if let (Some(target), true) = (&self.route, reused) {
            target.metrics.upstream.reused();
        }
    }

    /// The head of the answer is ready.
    pub(super) fn head(&mut self, status: u16) {
        self.status = status;
        if let Some(target) = &self.route {
            target.metrics.route.first_byte(self.elapsed());
        }
    }

    pub(super) fn error(&mut self, error: &'static str) {
        self.error = Some(error);
    }

    pub(super) fn body_broken_off(&mut self) {
        self.error = Some("upstream_body_broken_off");
        if let Some(target) = &self.route {
            target.metrics.upstream.failed(UpstreamFailure::BodyBrokenOff);
        }
    }

    /// Nobody takes the rest of the answer.
    pub(super) fn cut_short(&mut self) {
        self.error.get_or_insert(DOWNSTREAM_LEFT);
    }

    /// A piece of the answer's body has gone.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(u64::try_from(bytes).unwrap_or(0));
    }

    pub(super) fn tunnelled(&mut self, up: u64, down: u64) {
        self.received_in_tunnel = up;
        self.sent = down;
    }

    fn elapsed(&self) -> Duration {
        self.began.monotonic.elapsed()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.elapsed();
        let received = self.received.as_ref().map_or(0, |counter| counter.load(Ordering::Relaxed));
        let received = received.saturating_add(self.received_in_tunnel);
        if self.status == 0 {
            // Nobody waited for the head.
            self.status = CLIENT_CLOSED_REQUEST;
            self.error = Some(DOWNSTREAM_LEFT);
        }
        if let Some(target) = &self.route {
            target.metrics.route.finish(self.status, duration, self.sent, received);
        }
        self.log.record(&Record {
            method: self.method.as_str(),
            route: self.route.as_ref().map(|target| target.name()),
            path: self.uri.path(),
            status: self.status,
            bytes_sent: self.sent,
            bytes_received: received,
            duration,
            ended: self.began.wall_after(duration),
            attempts: self.attempts,
            token: self.token,
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()),
            error: self.error,
        });
    }
}

/// nginx's word for a downstream that left before there was an answer; never sent to anybody.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The word for it in the log.
const DOWNSTREAM_LEFT: &str = "downstream_left";

/// An id longer than this is not written down.
const MAX_REQUEST_ID: usize = 128;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn failure_of(error: &UpstreamError) -> Option<UpstreamFailure> {
    Some(match error {
        UpstreamError::Dns(_) => UpstreamFailure::Unresolved,
        UpstreamError::Refused => UpstreamFailure::Refused,
        UpstreamError::Unreachable(_) => UpstreamFailure::Unreachable,
        UpstreamError::ConnectTimeout => UpstreamFailure::ConnectTimeout,
        UpstreamError::TooManyConnections => UpstreamFailure::Exhausted,
        UpstreamError::Certificate(_) | UpstreamError::Tls(_) => UpstreamFailure::Tls,
        UpstreamError::Terminated(_) => UpstreamFailure::BrokenOff,
        UpstreamError::ResponseHeadTimeout => UpstreamFailure::ResponseTimeout,
        UpstreamError::Malformed(_) | UpstreamError::HeadTooLarge => UpstreamFailure::Malformed,
        UpstreamError::UploadTimeout | UpstreamError::WriteTimeout => UpstreamFailure::BodyTimeout,
        // The downstream's doing.
        UpstreamError::UploadAborted(_) | UpstreamError::TooLate => return None,
    })
}
