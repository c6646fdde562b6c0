//! Keeps one credential's current token.

use std::sync::Arc;
use std::time::Duration;

use super::{AccessToken, Failure, Moment, TokenSource};

/// How a cache behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a request waits for a token when there is no live one (`request.timeout`).
    pub wait: Duration,
}

/// Keeps one credential's current token. Readers take no lock and never wait while it is live.
pub struct TokenCache {
    _name: String,
}

/// What the admin listener, the metrics and `status` say of a credential. Never a token.
#[derive(Clone, Debug)]
pub struct Status {
    /// The credential's name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// How long the current token still lives; `None` without a token or without an end.
    pub expires_in: Option<Duration>,
    /// The code of the last failed attempt ([`TokenError::code`](super::TokenError::code)); `None` after a success.
    pub last_error: Option<String>,
    /// Token requests by outcome: `("success", 3)`, `("invalid_client", 1)`, …; in a stable order.
    pub requests: Vec<(String, u64)>,
}

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// No token yet, and nobody has asked.
    Idle,
    /// A token that may be sent.
    Live,
    /// None: the last attempt failed, and will be repeated.
    Failing,
    /// None: refused for good until something changes.
    Refused,
}

impl TokenCache {
    /// A cache of what `source` obtains. Fetches and renewals run on `runtime`, so that no caller's hang-up cancels
    /// them; they end with the cache.
    #[must_use]
    pub fn new(
        name: &str,
        _source: Arc<dyn TokenSource>,
        _settings: CacheSettings,
        _runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self { _name: name.to_owned() })
    }

    /// The current token if it is live: one atomic load and a look at the clocks. Marks it as used, and starts a
    /// renewal in the background when it is due and none is running.
    pub fn current(self: &Arc<Self>, _now: Moment) -> Option<Arc<AccessToken>> {
        todo!()
    }

    /// The current token, or a new one when there is no live one: the one case in which a request waits.
    ///
    /// # Errors
    ///
    /// None could be had, or none within [`CacheSettings::wait`], or the last attempt failed so recently that none was
    /// made.
    pub async fn get(self: &Arc<Self>) -> Result<Arc<AccessToken>, Failure> {
        todo!()
    }

    /// Replaces a token that the upstream refused, unless somebody already has: then the current one. A crowd that
    /// was refused the same token costs one fetch.
    ///
    /// # Errors
    ///
    /// As [`TokenCache::get`].
    pub async fn replace(self: &Arc<Self>, _refused: &Arc<AccessToken>) -> Result<Arc<AccessToken>, Failure> {
        todo!()
    }

    /// As [`TokenCache::replace`], in the background and for the next caller: the request itself cannot be sent again.
    pub fn replace_later(self: &Arc<Self>, _refused: &Arc<AccessToken>) {
        todo!()
    }

    /// Where this credential stands.
    #[must_use]
    pub fn status(&self, _now: Moment) -> Status {
        todo!()
    }
}
