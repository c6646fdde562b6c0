//! What figures are made of. Plain atomics: each figure is right by itself, a scrape is no snapshot of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows. Who has seen it has also seen what was counted before it: an end has had its beginning.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::telemetry) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Release);
    }

    /// Adds what often is nothing.
    pub(super) fn add_some(&self, more: u64) {
        if more > 0 {
            self.add(more);
        }
    }

    pub(in crate::telemetry) fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// How many there are just now.
#[derive(Debug, Default)]
pub(super) struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// One more, until the answer is dropped.
    pub(super) fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.0))
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something counted as being there (a request in flight, an open connection) until this is dropped.
#[derive(Debug)]
#[must_use = "it counts for as long as this is held"]
pub struct Held(Arc<AtomicU64>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
