//! `grant: token_exchange` (RFC 8693): on whose behalf, and who acts.

use super::{CredentialSettings, GrantSettings};
use crate::secret::SecretSource;
use crate::token::SubjectSettings;

/// `grant: token_exchange`.
#[derive(Clone, Debug)]
pub struct TokenExchangeSettings {
    /// `subject_token`.
    pub subject: SubjectSource,
    /// `subject_token_type`, a URI.
    pub subject_type: String,
    /// `actor_token`, `actor_token_type`.
    pub actor: Option<ActorSettings>,
    /// `requested_token_type`, a URI; `None`: the server's default.
    pub requested_type: Option<String>,
}

/// `subject_token`: on whose behalf.
#[derive(Clone, Debug)]
pub enum SubjectSource {
    /// `request`: of whoever calls, who brings it as a bearer token.
    Request(SubjectSettings),
    /// Always the same one's.
    Own(SecretSource),
}

/// Who acts, where that is not the subject (RFC 8693 §1.1, delegation).
#[derive(Clone, Debug)]
pub struct ActorSettings {
    /// `actor_token`.
    pub token: SecretSource,
    /// `actor_token_type`, a URI.
    pub kind: String,
}

impl CredentialSettings {
    /// Whether each caller brings what its token is exchanged for.
    #[must_use]
    pub fn is_per_subject(&self) -> bool {
        matches!(&self.grant, GrantSettings::TokenExchange(exchange)
            if matches!(exchange.subject, SubjectSource::Request(_)))
    }
}

impl GrantSettings {
    /// Whether the answer may be something else than an access token, because that was asked for.
    pub(in crate::oauth) fn asks_for_a_type(&self) -> bool {
        matches!(self, Self::TokenExchange(exchange) if exchange.requested_type.is_some())
    }
}

#[cfg(test)]
impl SubjectSource {
    /// Whoever calls.
    pub(in crate::oauth) fn for_test() -> Self {
        Self::Request(SubjectSettings { max: 10, idle: std::time::Duration::from_secs(3600) })
    }
}
