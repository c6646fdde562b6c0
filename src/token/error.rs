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
    /// The credential's grant needs a person, and nobody has logged in, or what they brought has ended.
    #[error("a person has to log in: run `bearer-proxy login {credential}`{}", because(.refused))]
    NeedsLogin {
        /// Which credential.
        credential: String,
        /// With what the authorization server refused what the last login brought.
        refused: Option<String>,
    },
    /// The request brought no token that could be exchanged for another (RFC 8693).
    #[error("the request brings no bearer token to exchange")]
    NoSubject,
    /// The request's token cannot be exchanged: it is none, has expired, or the authorization server refuses it.
    #[error("the request's token is not accepted: {code}{}", in_parentheses(.description))]
    BadSubject {
        /// The OAuth error code, as in [`TokenError::Refused`].
        code: String,
        /// Why. For the log alone.
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
    /// A command that should print a token did not. For the log alone.
    #[error("the command {0}")]
    Command(String),
    /// A secret's file cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The refresh token cannot be looked up: asking without it could use up the login.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token endpoint is not known: discovery failed or its answer cannot be used.
    #[error("the issuer's metadata cannot be used: {0}")]
    Discovery(String),
    /// The upstream refuses one token after the other: a new one is not asked for each time. Says nothing of the
    /// authorization server.
    #[error("the upstream refuses tokens faster than they may be renewed")]
    RenewedTooOften,
}

impl TokenError {
    /// Whether trying again later may work without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::NeedsLogin { .. } | Self::NoSubject | Self::BadSubject { .. } => false,
            Self::Unavailable { .. }
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Malformed(_)
            | Self::Command(_)
            | Self::Secret(_)
            | Self::Store(_)
            | Self::Discovery(_)
            | Self::RenewedTooOften => true,
        }
    }

    /// A short, stable word for metrics, `Proxy-Status` details and the admin page; for a refusal the OAuth code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } | Self::BadSubject { code, .. } => code,
            Self::NeedsLogin { .. } => "needs_login",
            Self::NoSubject => "no_subject",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timeout",
            Self::Malformed(_) => "malformed_answer",
            Self::Command(_) => "command_failed",
            Self::Secret(_) => "secret_unreadable",
            Self::Store(_) => "token_store",
            Self::Discovery(_) => "discovery_failed",
            Self::RenewedTooOften => "renewed_too_often",
        }
    }

    /// How long the authorization server asked us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused { .. }
            | Self::NeedsLogin { .. }
            | Self::NoSubject
            | Self::BadSubject { .. }
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::Malformed(_)
            | Self::Command(_)
            | Self::Secret(_)
            | Self::Store(_)
            | Self::Discovery(_)
            | Self::RenewedTooOften => None,
        }
    }
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

fn because(refused: &Option<String>) -> String {
    refused.as_ref().map(|code| format!("; its refresh token was refused: {code}")).unwrap_or_default()
}

fn in_parentheses(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_needs_a_person() {
        let refused = TokenError::Refused { code: "invalid_grant".to_owned(), description: None };
        assert!(!refused.is_transient());
        assert_eq!(refused.code(), "invalid_grant");
        let away =
            TokenError::Unavailable { status: 503, description: None, retry_after: Some(Duration::from_secs(7)) };
        assert!(away.is_transient());
        assert_eq!((away.code(), away.retry_after()), ("unavailable", Some(Duration::from_secs(7))));
        assert!(TokenError::TimedOut.is_transient() && TokenError::TimedOut.retry_after().is_none());
    }

    #[test]
    fn a_description_is_for_the_log() {
        let refused =
            TokenError::Refused { code: "invalid_client".to_owned(), description: Some("no such client".to_owned()) };
        assert_eq!(
            refused.to_string(),
            "the authorization server refused the request: invalid_client (no such client)"
        );
        assert_eq!(refused.code(), "invalid_client");
    }
}
