//! Why there is no answer to pass on.

use http::StatusCode;

use crate::token::Failure;
use crate::upstream::UpstreamError;

/// Why a request got an answer of our own. Which one, `forward/respond.rs` says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The request is not understood, or could be understood in two ways.
    #[error("{detail}")]
    BadRequest {
        /// 400, or 405, 408, 414, 417, 431, 501, 505.
        status: StatusCode,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The caller, or the page it shows, may not use this listener.
    #[error("{0}")]
    Denied(&'static str),
    /// The host is none of ours (RFC 9110 §15.5.20).
    #[error("this proxy does not serve the host that the request names")]
    UnknownHost,
    /// Forward mode: no route names the host.
    #[error("no route names this host, so it is not proxied")]
    HostNotRouted,
    /// The request has been here before (RFC 9110 §7.6.3).
    #[error("the request has passed through this proxy before")]
    Loop,
    /// No route matches.
    #[error("no route matches this request")]
    NoRoute,
    /// No token, so nothing may be sent.
    #[error("no access token: {0}")]
    NoToken(#[from] Failure),
    /// The upstream gave no answer.
    #[error("no answer from the upstream: {0}")]
    Upstream(#[from] UpstreamError),
    /// A tunnel could not be joined, or the upstream changed the protocol unasked.
    #[error("{0}")]
    BadUpgrade(&'static str),
}
