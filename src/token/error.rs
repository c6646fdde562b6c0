//! Why there is no token.

use std::sync::Arc;
use std::time::Duration;

use super::store::StoreError;
use crate::secret::SecretError;

/// Why a token could not be obtained. `Display` is for the log; [`TokenError::code`] is what a downstream may see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// An error answer of RFC 6749 §5.2 that only a person, or a new configuration, can change
    /// (`invalid_client`, `invalid_grant` on a password, `unauthorized_client`, `invalid_scope`, …).
    #[error("the authorization server refused the request: {code}{}", in_parentheses(.description))]
    Refused {
        /// The OAuth error code, reduced to the characters of RFC 6749 §5.2 and 64 of them.
        code: String,
        /// `error_description`, shortened and without control characters. For the log alone.
        description: Option<String>,
    },
    /// An answer that says "later": 429, 5xx, `temporarily_unavailable`, `slow_down`, an HTML page, …
    #[error("the token endpoint answered {status}{}", in_parentheses(.description))]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// What it said, shortened. For the log alone.
        description: Option<String>,
        /// `Retry-After`, when it was sent.
        retry_after: Option<Duration>,
    },
    /// No connection, no TLS, or it broke off.
    #[error("the token endpoint could not be reached: {0}")]
    Unreachable(String),
    /// No whole answer within `request.timeout`.
    #[error("the token endpoint did not answer in time")]
    TimedOut,
    /// A success without a usable token in it. The text says what is missing, never what was there.
    #[error("the token endpoint's answer is no token: {0}")]
    Malformed(String),
    /// A secret's file cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The refresh token cannot be looked up: asking without it could use up the login.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token endpoint is not known: discovery failed or its answer cannot be used.
    #[error("the issuer's metadata cannot be used: {0}")]
    Discovery(String),
}

impl TokenError {
    /// Whether trying again later may work without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Unavailable { .. }
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Malformed(_)
            | Self::Secret(_)
            | Self::Store(_)
            | Self::Discovery(_) => true,
        }
    }

    /// A short, stable word for metrics, `Proxy-Status` details and the admin page; for a refusal the OAuth code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timeout",
            Self::Malformed(_) => "malformed_answer",
            Self::Secret(_) => "secret_unreadable",
            Self::Store(_) => "token_store",
            Self::Discovery(_) => "discovery_failed",
        }
    }

    /// How long the authorization server asked us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn in_parentheses(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

/// What a caller gets who wanted a token: why there is none, and when asking again makes sense.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why. Shared by everybody who waited for the same attempt.
    pub error: Arc<TokenError>,
    /// Until the next attempt will be made; never zero.
    pub retry_after: Duration,
}
