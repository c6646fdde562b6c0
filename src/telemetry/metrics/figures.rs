//! What figures are made of. Plain atomics: each figure is right by itself, a scrape is no snapshot of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows. Who has seen it has also seen what was counted before it: an end has had its beginning.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Counter(AtomicU64);

/// Which threads write to a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    /// The one that asks, for ever.
    One,
    /// Several.
    Many,
}

impl Counter {
    pub(in crate::telemetry) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Release);
    }

    /// As [`add`](Self::add); for less where nobody else writes to it (what two threads can change at once makes the
    /// processor wait until all that was written before has arrived), and for nothing where nothing is added.
    pub(super) fn add_among(&self, writers: Writers, more: u64) {
        match writers {
            Writers::One => self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Release),
            Writers::Many if more > 0 => self.add(more),
            Writers::Many => {}
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
