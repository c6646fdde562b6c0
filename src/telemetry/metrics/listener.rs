//! Figures of one listener.

use super::figures::{Counter, Gauge, Held};

/// Figures of one listener's connections.
#[derive(Debug, Default)]
pub struct ListenerMetrics {
    pub(super) accepted: Counter,
    pub(super) open: Gauge,
}

impl ListenerMetrics {
    /// A connection was accepted; it counts as open until the answer is dropped.
    pub fn accepted(&self) -> Held {
        self.accepted.add(1);
        self.open.hold()
    }
}
