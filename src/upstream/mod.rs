//! Talking to an API: where it is, TLS, connections and their pool.
//!
//! Speaks HTTP/1.1 over `hyper::client::conn`, with a pool of its own: the pool knows whether a request went out on a
//! reused connection, and costs a third less than a general client. A request leaves for the scheme, host and port of
//! its [`Upstream`] and for nothing else (R39, R77); redirects are answers.

mod body;
mod clock;
mod connection;
mod connector;
mod drive;
mod driver;
mod environment;
mod error;
mod framing;
mod haste;
mod interim;
mod pool;
mod room;
pub mod settings;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Body;

pub use body::{AnswerBody, Upload};
use connection::Connection;
use connector::Connector;
pub use environment::Environment;
pub use error::{BodyError, SendError, UpstreamError};
use pool::{Pool, Room};
use settings::{ConnectionSettings, Scheme, Timeouts, UpstreamSettings};

use crate::tls::TlsError;

/// One API, and our connections to it. `B` is the body of the requests.
pub struct Upstream<B: Body> {
    host: HeaderValue,
    origin: Box<str>,
    path: Box<str>,
    connector: Connector,
    pool: Arc<Pool<B>>,
    timeouts: Timeouts,
}

/// A request and its answer on their way. They lie here and are not handed from one future to the next: each such step
/// would copy some hundred bytes.
pub struct RoundTrip<'a, B: Body> {
    /// What is to be sent; there again when nothing of it was.
    pub request: &'a mut Option<Request<Upload<B>>>,
    /// What has come; its body is still coming.
    pub response: Option<Response<AnswerBody<B>>>,
    /// Whether the request asks for another protocol.
    pub wants_upgrade: bool,
}

impl<'a, B: Body> RoundTrip<'a, B> {
    /// Of this request.
    pub fn of(request: &'a mut Option<Request<Upload<B>>>) -> Self {
        Self { request, response: None, wants_upgrade: false }
    }
}

/// Called for each connection that is opened; what it returns is dropped when that connection ends.
pub type OnOpen = Arc<dyn Fn() -> Box<dyn Send> + Send + Sync>;

/// Whether a request may go out on a connection that served others before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A pooled one if there is one.
    Allowed,
    /// The same for a request that must not be sent twice: none that the upstream may be about to close.
    Cautious,
    /// A new one: the pooled one just tried was dead.
    Forbidden,
}

impl<B> Upstream<B>
where
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Prepares an upstream; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The TLS files cannot be used.
    pub fn new(settings: &UpstreamSettings, environment: &Environment, on_open: OnOpen) -> Result<Self, TlsError> {
        Ok(Self {
            host: host_header(settings),
            origin: origin(settings).into(),
            path: settings.path.as_str().into(),
            connector: Connector::new(settings, environment)?,
            pool: Pool::new(settings.connections, environment, on_open),
            timeouts: settings.timeouts,
        })
    }

    /// The same once more, for another worker: with idle connections of its own, and one limit for both.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            host: self.host.clone(),
            origin: self.origin.clone(),
            path: self.path.clone(),
            connector: self.connector.clone(),
            pool: self.pool.beside(),
            timeouts: self.timeouts,
        }
    }

    /// The `Host` field this upstream expects.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Scheme and authority of its URL: `https://api.example:8443`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path of its URL, as written.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How long a body, or a tunnel, may stand still.
    #[must_use]
    pub fn idle_body(&self) -> Duration {
        self.timeouts.idle_body
    }

    /// Connections that are open now, for all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.pool.open()
    }

    /// Sends one request and waits for the head of its answer. Says whether the connection had served others before.
    ///
    /// A request that a dead connection did not begin to send goes out again on another, whatever its method.
    /// `may_go`: asked after there was a wait for a connection, whether what the request bears may still be sent.
    /// `interim`: gets the interim answers (1xx) ahead of the final one, but for `100 Continue`.
    ///
    /// # Errors
    ///
    /// No connection, or none of its answers in time.
    pub async fn send(
        &self,
        trip: &mut RoundTrip<'_, B>,
        mut reuse: Reuse,
        may_go: impl Fn() -> bool,
        interim: Option<&impl Fn(StatusCode, HeaderMap)>,
    ) -> Result<bool, SendError> {
        loop {
            let connection = match self.pool.take_now(reuse) {
                Some(connection) => connection,
                // Rare and large: as a part of every request's future it would be most of what a connection holds.
                None => match Box::pin(self.connection(reuse)).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(SendError { error, reused: false }),
                },
            };
            let reused = connection.is_reused();
            // A pooled one is there at once; a new one may have taken as long as `timeouts.connect`.
            if !reused && !may_go() {
                return Err(SendError { error: UpstreamError::TooLate, reused });
            }
            match connection.send(trip, &self.timeouts, &self.pool, interim).await {
                Ok(()) => return Ok(reused),
                // Nothing of it was written. A pooled connection proves nothing about the upstream: try the next one;
                // a fresh one does.
                Err(_) if reused && trip.request.is_some() => reuse = Reuse::Forbidden,
                Err(error) => return Err(SendError { error, reused }),
            }
        }
    }

    async fn connection(&self, reuse: Reuse) -> Result<Connection<B>, UpstreamError> {
        if reuse != Reuse::Forbidden
            && let Some(connection) = self.pool.take(reuse).await
        {
            return Ok(connection);
        }
        self.connect(reuse).await
    }

    async fn connect(&self, reuse: Reuse) -> Result<Connection<B>, UpstreamError> {
        let deadline = tokio::time::Instant::now() + self.timeouts.connect;
        let permit = match tokio::time::timeout_at(deadline, self.pool.room(reuse)).await {
            Ok(Room::Connection(connection)) => return Ok(connection),
            Ok(Room::Open(permit)) => permit,
            Err(_elapsed) => return Err(UpstreamError::TooManyConnections),
        };
        match tokio::time::timeout_at(deadline, self.pool.open_with(&self.connector, permit)).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(UpstreamError::ConnectTimeout),
        }
    }

    /// Makes a pooled connection of a stream that is already there: benches and tests without sockets.
    ///
    /// # Errors
    ///
    /// hyper refuses it.
    pub async fn adopt<S>(&self, stream: S) -> Result<(), UpstreamError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        self.pool.adopt(stream).await
    }
}

/// `Host` as the URL says it: the port only when it is not the scheme's own (RFC 9110 §7.2).
#[must_use]
pub fn host_header(settings: &UpstreamSettings) -> HeaderValue {
    let host = settings.host_in_url();
    let own_port = match settings.scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let text = match settings.port == own_port {
        true => host.into_owned(),
        false => format!("{host}:{}", settings.port),
    };
    // The configuration holds no host that is no header value; an unusable one would be refused by every server.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("invalid"))
}

fn origin(settings: &UpstreamSettings) -> String {
    let scheme = match settings.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme}://{}", host_header(settings).to_str().unwrap_or_default())
}

/// How long a connection may still be used, of what its settings allow.
fn lifetime(settings: ConnectionSettings, age: Duration) -> Duration {
    settings.idle_timeout.min(settings.max_age.saturating_sub(age))
}

#[cfg(test)]
mod tests;
