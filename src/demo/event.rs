//! What happens in the authorization servers and APIs, as it happens: for the demo's lines, and for tests that await
//! something instead of sleeping.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::sync::broadcast;

use super::{Dialect, Presented};

/// Something happened. Holds no token, no secret and no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In which system.
    pub system: Dialect,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A token request has arrived; nothing is decided yet.
    Asked,
    /// A new access token.
    Issued {
        /// Counts the system's access tokens, from 1.
        generation: u64,
        /// The grant type.
        grant: &'static str,
        /// The scope granted.
        scope: String,
        /// How long it will live.
        lifetime: Duration,
    },
    /// A token request was refused.
    Refused {
        /// Of the answer.
        status: StatusCode,
        /// The error code (RFC 6749 §5.2).
        code: &'static str,
        /// For people.
        description: String,
    },
    /// A token request was answered as if the server were broken.
    Failed {
        /// Of the answer.
        status: StatusCode,
    },
    /// Tokens became void before their time.
    Revoked {
        /// How many access tokens.
        access_tokens: usize,
        /// Whether that was since a refresh token was used a second time.
        reuse: bool,
    },
    /// The API has answered a request.
    Answered {
        /// Its method.
        method: Method,
        /// Its path, without the query.
        path: String,
        /// Of the answer.
        status: StatusCode,
        /// The token it bore.
        token: Presented,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => write!(f, "asked     for a token"),
            Self::Issued { generation, grant, scope, lifetime } => {
                let verb = if *grant == "refresh_token" { "refreshed" } else { "issued   " };
                write!(f, "{verb} token {generation} for {grant}, lives {} s", lifetime.as_secs())?;
                if scope.is_empty() { Ok(()) } else { write!(f, ", scope {scope}") }
            }
            Self::Refused { status, code, description } => {
                write!(f, "refused   {} {code}: {description}", status.as_u16())
            }
            Self::Failed { status } => write!(f, "failed    {}, as it was told to", status.as_u16()),
            Self::Revoked { access_tokens, reuse: false } => write!(f, "revoked   {access_tokens} live token(s)"),
            Self::Revoked { access_tokens, reuse: true } => {
                write!(f, "revoked   {access_tokens} live token(s): a refresh token was used twice")
            }
            Self::Answered { method, path, status, token } => {
                write!(f, "{}       {method} {} {token}", status.as_u16(), path.escape_debug())
            }
        }
    }
}

/// Where events go; clones are the same place.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Event>);

impl Events {
    /// A place of its own, that nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    /// All that happens from now on. Who is slow misses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    pub(super) fn send(&self, system: Dialect, what: What) {
        // That nobody listens is fine.
        let _listeners = self.0.send(Event { system, what });
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// Events kept for a slow listener: a test with a thousand callers must not lose its own.
const KEPT: usize = 8192;
