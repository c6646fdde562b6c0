//! Why an upstream gave no answer, or not all of it.

use super::connector::describe;

/// Why there is no answer. `Display` is for the log; the downstream gets a code of RFC 9209.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The name is not known, or the resolver fails.
    #[error("the name cannot be resolved: {0}")]
    Dns(String),
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// Any other failure to connect.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// No connection, TLS included, within `timeouts.connect`.
    #[error("no connection within timeouts.connect")]
    ConnectTimeout,
    /// All of `connections.max` were in use, and none came free within `timeouts.connect`.
    #[error("all connections to the upstream are in use (connections.max)")]
    TooManyConnections,
    /// Its certificate is not valid for it.
    #[error("the upstream's certificate is not accepted: {0}")]
    Certificate(String),
    /// The handshake failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// What the request bears ended while it waited for a connection; nothing was sent.
    #[error("the access token expired while the request waited for a connection")]
    TooLate,
    /// It closed or reset the connection before the head of its answer.
    #[error("the connection ended before the head of the answer: {0}")]
    Terminated(String),
    /// No head within `timeouts.response_head`.
    #[error("no answer within timeouts.response_head")]
    ResponseHeadTimeout,
    /// The downstream sent nothing of the request's body for `timeouts.idle_body`.
    #[error("the request's body stood still for timeouts.idle_body")]
    UploadTimeout,
    /// The upstream took nothing of the request's body for `timeouts.idle_body`.
    #[error("the upstream took nothing of the request's body within timeouts.idle_body")]
    WriteTimeout,
    /// The downstream's body broke off; the request was not completed.
    #[error("the downstream's body broke off: {0}")]
    UploadAborted(String),
    /// What it sent is not HTTP/1.1, or could be read in two ways.
    #[error("the answer is not understood: {0}")]
    Malformed(String),
    /// The head of its answer is larger than we take.
    #[error("the head of the answer is too large")]
    HeadTooLarge,
}

/// A request that got no answer. When nothing of it was sent, it is where it was: sending it again is safe, whatever its
/// method.
#[derive(Debug)]
pub struct SendError {
    /// Why.
    pub error: UpstreamError,
    /// Whether the connection had served another request before: the server may have closed it for lying idle.
    pub reused: bool,
}

impl UpstreamError {
    /// Whether the connection simply ended: what an idle connection that the server closed looks like.
    #[must_use]
    pub fn is_termination(&self) -> bool {
        matches!(self, Self::Terminated(_))
    }

    #[cold]
    pub(super) fn undriven() -> Self {
        Self::Terminated("nothing drives the connection any more".to_owned())
    }
}

/// Why the body of an answer ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is not framed as HTTP/1.1 is, or ended in the middle.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Failed(#[from] std::io::Error),
    /// The connection ended before all of it had come; or it stood still for `timeouts.idle_body`.
    #[error("the connection ended in the middle of the answer's body")]
    CutShort,
}

impl From<hyper::Error> for UpstreamError {
    fn from(error: hyper::Error) -> Self {
        let text = describe(&error);
        if error.is_parse_too_large() {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::Malformed(text)
        } else if error.is_user() && !is_gone(&error) {
            Self::UploadAborted(text)
        } else {
            Self::Terminated(text)
        }
    }
}

/// "The driver is gone" counts as a user error with hyper; for us it is an ended connection.
fn is_gone(error: &hyper::Error) -> bool {
    error.to_string().contains("dispatch task is gone")
}
