//! What a route's requests bear: one token for all of them, or one for each subject that they bring.

use std::sync::Arc;

use super::{Moment, Status, Subjects, TokenCache};

/// A credential's tokens, as requests ask for them.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// Whoever calls, the same token.
    Shared(Arc<TokenCache>),
    /// Each subject's own (grant `token_exchange` with `subject_token: request`).
    PerSubject(Arc<Subjects>),
}

impl Tokens {
    /// The credential's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Shared(cache) => cache.name(),
            Self::PerSubject(subjects) => subjects.name(),
        }
    }

    /// Where the credential stands; of subjects, all of them together.
    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        match self {
            Self::Shared(cache) => cache.status(now),
            Self::PerSubject(subjects) => subjects.status(),
        }
    }

    /// As [`TokenCache::settle`]. Subjects have no refresh token that could be lost.
    pub async fn settle(&self) {
        match self {
            Self::Shared(cache) => cache.settle().await,
            Self::PerSubject(_) => {}
        }
    }
}
