//! Logins by a person: in a browser that comes back to this machine (RFC 6749 §4.1, RFC 8252), or on any other device
//! (RFC 8628).
//!
//! Asks, listens and judges the answer; what a login brings is kept as after any grant, by the client. Tells no code, no
//! verifier and no token to anybody, the person included.

pub(super) mod answer;
pub(super) mod authorization;
pub(super) mod callback;
pub(super) mod device;
pub(super) mod id_token;

use std::net::SocketAddr;
use std::time::Duration;

use crate::token::TokenError;

/// Why a login came to nothing. No text holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The person, or the server on their behalf, said no.
    #[error("the login was refused: {code}{}", .description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// RFC 6749 §4.1.2.1, RFC 8628 §3.5.
        code: String,
        /// `error_description`, shortened and without control characters.
        description: Option<String>,
    },
    /// Nobody came within `authorization.timeout`.
    #[error("nobody has logged in within {0:?} (authorization.timeout)")]
    TimedOut(Duration),
    /// The device code has expired.
    #[error("nobody has confirmed the code before it expired: begin anew")]
    Expired,
    /// What was pasted is no answer to this request.
    #[error("that is no answer to this login: its state is another one, or missing")]
    Foreign,
    /// RFC 9207.
    #[error(
        "the answer is of another authorization server than the one that was asked (iss): do not try again before you know why"
    )]
    WrongIssuer,
    /// RFC 9207: it should have.
    #[error(
        "the answer does not say of which authorization server it is (iss), and this one always does: paste the whole URL"
    )]
    NoIssuer,
    /// Neither a code nor an error.
    #[error("there is no code in the answer: see authorization.code_parameter")]
    NoCode,
    /// OpenID Connect Core §3.1.3.7.
    #[error("the ID token does not fit this login: {0}")]
    IdToken(&'static str),
    /// An endpoint is neither in the file nor in the issuer's metadata.
    #[error("there is no {0}: neither the file nor the issuer's metadata name it")]
    NoEndpoint(&'static str),
    /// The loopback redirect cannot be listened on.
    #[error("cannot listen on {address} for the browser to come back: {source}; see authorization.redirect_uri")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The redirect goes elsewhere, and nothing was pasted.
    #[error("the redirect does not come back to this machine, and nothing was pasted")]
    NothingPasted,
    /// The system has none.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The credential's grant is another.
    #[error("this credential's grant needs no person: there is nothing to log in to")]
    NotNeeded,
    /// As for any token.
    #[error(transparent)]
    Token(#[from] TokenError),
}
