//! What the upstreams of one runtime share: the sweep over their connections, and TLS configurations.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::clock;
use super::watch::Watch;
use crate::tls::{self, TlsError, TlsSettings};

/// Shared by all upstreams of one runtime. Cheap to clone.
#[derive(Clone, Default)]
pub struct Environment {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    watches: Mutex<Vec<Weak<Watch>>>,
    tls: Mutex<Vec<(TlsSettings, Arc<rustls::ClientConfig>)>>,
}

/// How often deadlines are looked at. They are coarse on purpose: a timer for each request would cost more than the
/// rest of its bookkeeping.
const SWEEP: Duration = Duration::from_millis(100);

impl Environment {
    /// Nothing shared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends connections whose deadline has passed, until dropped. One task of this a runtime.
    pub async fn sweep(self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.sweep_once();
        }
    }

    fn sweep_once(&self) {
        let now = clock::surely_past();
        let mut watches = self.shared.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| match watch.upgrade() {
            Some(watch) => {
                watch.end_if_due(now);
                true
            }
            None => false,
        });
    }

    pub(super) fn watch(&self, watch: &Arc<Watch>) {
        self.shared.watches.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(watch));
    }

    /// Has the roots of `tls.ca` read again by upstreams that are made from now on.
    pub fn forget_roots(&self) {
        let mut known = self.shared.tls.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(settings, _)| settings.ca.is_none());
    }

    /// One configuration for all upstreams with the same settings: sessions are resumed, roots are read once.
    pub(super) fn tls(&self, settings: &TlsSettings) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let mut known = self.shared.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = known.iter().find(|(known, _)| known == settings) {
            return Ok(config.clone());
        }
        let config = Arc::new(tls::client_config(settings)?);
        known.push((settings.clone(), config.clone()));
        Ok(config)
    }
}
