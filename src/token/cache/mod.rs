//! Keeps one credential's current token.
//!
//! A request reads it with one atomic load. Everything else (fetching, renewing ahead of expiry, remembering failures)
//! is the cold side in `renewal`, behind a lock that no request takes while its token is live and not due.

mod allowance;
mod backoff;
mod common;
mod flight;
mod nudge;
mod renewal;
mod report;
mod status;
mod task;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;

pub(super) use self::common::Common;
pub use self::status::{State, Status};

use self::nudge::Nudge;
use self::renewal::{Boarding, Purpose, Renewal};
use super::{AccessToken, Failure, Moment, TokenError, TokenSource};

/// How a cache behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a request waits for a token when there is no live one (`request.timeout`).
    pub wait: Duration,
}

/// Keeps one credential's current token. Readers take no lock and never wait while it is live.
pub struct TokenCache {
    name: String,
    source: Arc<dyn TokenSource>,
    settings: CacheSettings,
    runtime: Handle,
    current: ArcSwapOption<AccessToken>,
    nudge: Nudge,
    /// With other subjects of the credential.
    common: Option<Arc<Common>>,
    /// Never held across an await, nor while the source is asked anything.
    renewal: Mutex<Renewal>,
}

impl TokenCache {
    /// A cache of what `source` obtains. Fetches and renewals run on `runtime`, so that no caller's hang-up cancels
    /// them; they end with the cache.
    #[must_use]
    pub fn new(name: &str, source: Arc<dyn TokenSource>, settings: CacheSettings, runtime: Handle) -> Arc<Self> {
        Self::build(name, source, settings, runtime, None)
    }

    /// A cache of one subject's tokens. Nothing is renewed in it but by a request; the credential's figures, and what is
    /// refused for all its subjects, are in `common`.
    pub(super) fn of_subject(
        name: &str,
        source: Arc<dyn TokenSource>,
        settings: CacheSettings,
        runtime: Handle,
        common: Arc<Common>,
    ) -> Arc<Self> {
        Self::build(name, source, settings, runtime, Some(common))
    }

    fn build(
        name: &str,
        source: Arc<dyn TokenSource>,
        settings: CacheSettings,
        runtime: Handle,
        common: Option<Arc<Common>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            source,
            settings,
            runtime,
            common,
            current: ArcSwapOption::empty(),
            nudge: Nudge::new(Moment::now()),
            renewal: Mutex::new(Renewal::default()),
        })
    }

    /// The current token if it is live: one atomic load and a look at the clocks. Marks it as used, and starts a
    /// renewal in the background when it is due and none is running.
    pub fn current(self: &Arc<Self>, now: Moment) -> Option<Arc<AccessToken>> {
        let token = self.current.load_full().filter(|token| token.is_live(now))?;
        token.mark_used();
        if token.is_due(now) && self.nudge.passes(now) {
            // Seats and failures are for those who wait; this one has a token.
            let _ = self.board(Purpose::Ahead, now);
        }
        Some(token)
    }

    /// The current token, or a new one when there is no live one: the one case in which a request waits.
    ///
    /// # Errors
    ///
    /// None could be had, or none within [`CacheSettings::wait`], or the last attempt failed so recently that none was
    /// made.
    pub async fn get(self: &Arc<Self>) -> Result<Arc<AccessToken>, Failure> {
        match self.current(Moment::now()) {
            Some(token) => Ok(token),
            None => self.obtain(Purpose::Missing).await,
        }
    }

    /// Replaces a token that the upstream refused, unless somebody already has: then the current one. A crowd that
    /// was refused the same token costs one fetch. If it fails, the refused token stays the current one: it is still
    /// live by the clock, and may be right for another request.
    ///
    /// # Errors
    ///
    /// As [`TokenCache::get`]; and [`TokenError::RenewedTooOften`] when one token after the other is refused.
    pub async fn replace(self: &Arc<Self>, refused: &Arc<AccessToken>) -> Result<Arc<AccessToken>, Failure> {
        self.obtain(Purpose::Refused(refused)).await
    }

    /// As [`TokenCache::replace`], in the background and for the next caller: the request itself cannot be sent again.
    pub fn replace_later(self: &Arc<Self>, refused: &Arc<AccessToken>) {
        // The attempt has a task of its own; whoever does not wait only gives up the seat.
        let _ = self.board(Purpose::Refused(refused), Moment::now());
    }

    /// Gets a first token in the background, so that the first request need not wait. Failures are tried again until
    /// there is one: with a readiness check in front, nobody asks before.
    pub fn prefetch(self: &Arc<Self>) {
        self.renewal().wanted = true;
        let _ = self.board(Purpose::Missing, Moment::now());
    }

    /// Stops renewing in the background and waits for the attempt under way, if any. For shutdown, and for a cache that
    /// a reload replaces: a rotated refresh token must reach the store, and dropping the cache would cut it off.
    ///
    /// Requests that are still served may get tokens as before. Ends at the latest with the attempt, which has a limit.
    pub async fn settle(&self) {
        let seat = self.renewal().rest();
        if let Some(seat) = seat {
            seat.end().await;
        }
    }

    /// The credential's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where this credential stands.
    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        let live = self.current.load_full().filter(|token| token.is_live(now));
        let renewal = self.renewal();
        let last_error = renewal.backoff.last_error();
        let state = match (&live, last_error) {
            (Some(_), _) => State::Live,
            (None, None) => State::Idle,
            (None, Some(TokenError::NeedsLogin { .. })) => State::NeedsLogin,
            (None, Some(error)) if error.is_transient() => State::Failing,
            (None, Some(_)) => State::Refused,
        };
        Status {
            name: self.name.clone(),
            state,
            expires_in: live.filter(|token| !token.is_endless()).map(|token| token.expires_in(now)),
            last_error: last_error.map(|error| error.code().to_owned()),
            requests: renewal.tally.counts(),
        }
    }

    async fn obtain(self: &Arc<Self>, purpose: Purpose<'_>) -> Result<Arc<AccessToken>, Failure> {
        let token = match self.board(purpose, Moment::now())? {
            Boarding::Served(token) => token,
            Boarding::Seat(seat) => seat.wait(self.settings.wait).await?,
        };
        token.mark_used();
        Ok(token)
    }

    fn renewal(&self) -> MutexGuard<'_, Renewal> {
        // Nothing in there is left half done by a panic.
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").field("name", &self.name).finish_non_exhaustive()
    }
}
