//! Figures: plain atomics where requests pass, put together when somebody asks (OpenMetrics 1.0). What each request
//! counts has its own for each of a few threads.
//!
//! Routes, upstreams and listeners get theirs by name when they are built, so that a reload goes on counting; what
//! nobody holds any more is forgotten at the next scrape. prometheus-client encodes; its own histogram takes a lock,
//! so ours are counted here.

mod exposition;
mod figures;
mod histogram;
mod listener;
mod route;
mod shards;
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use exposition::CredentialFigures;
pub(super) use figures::Counter;
pub use figures::Held;
pub use listener::ListenerMetrics;
pub use route::{RetryOutcome, RouteMetrics};
pub use upstream::{UpstreamFailure, UpstreamMetrics};

use super::diagnostics;

/// All figures of a process.
#[derive(Default)]
pub struct Metrics {
    routes: Named<RouteMetrics>,
    upstreams: Named<UpstreamMetrics>,
    listeners: Named<ListenerMetrics>,
    refused: Refused,
    access_log_dropped: Arc<Counter>,
    token_store_is_away: AtomicBool,
}

impl Metrics {
    /// The figures of the route of this name: those there are, or new ones. To be asked for when a table is built.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.of(name)
    }

    /// The figures of an upstream (`host:port`).
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.of(name)
    }

    /// The figures of a listener, by its address.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.of(name)
    }

    /// Counts a request that was answered before it had a route.
    pub fn refused(&self, status: u16) {
        if let Some(counter) = self.refused.of(status) {
            counter.add(1);
        }
    }

    /// Takes down whether the token store can be used.
    pub fn token_store(&self, up: bool) {
        self.token_store_is_away.store(!up, Ordering::Relaxed);
    }

    /// Lines of access logs that were dropped because their sink stalled or failed.
    pub(super) fn access_log_dropped(&self) -> Arc<Counter> {
        Arc::clone(&self.access_log_dropped)
    }
}

/// Figures by name. Its lock is taken when a table is built and when somebody scrapes.
struct Named<T>(Mutex<BTreeMap<String, Arc<T>>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Named<T> {
    fn of(&self, name: &str) -> Arc<T> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(map.entry(name.to_owned()).or_default())
    }

    /// All that somebody holds, in the order of their names; the rest is forgotten.
    fn held(&self) -> Vec<(String, Arc<T>)> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.retain(|_, figures| Arc::strong_count(figures) > 1);
        map.iter().map(|(name, figures)| (name.clone(), Arc::clone(figures))).collect()
    }
}

/// Counters for 400 to 599: whatever is answered before a route is an error.
struct Refused([Counter; 200]);

impl Default for Refused {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Refused {
    fn of(&self, status: u16) -> Option<&Counter> {
        self.0.get(usize::from(status.checked_sub(400)?))
    }

    fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        (400..).zip(self.0.iter().map(Counter::value)).filter(|(_, count)| *count > 0)
    }
}
