//! Figures of one route.

use std::time::Duration;

use super::figures::{Counter, Gauge, Held};
use super::histogram::Histogram;

/// Figures of one route.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    pub(super) classes: [Counter; CLASSES.len()],
    pub(super) in_flight: Gauge,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) unauthorized: Counter,
    pub(super) retries: [Counter; RetryOutcome::ALL.len()],
    pub(super) sent_bytes: Counter,
    pub(super) received_bytes: Counter,
}

/// The classes of statuses (RFC 9110 section 15).
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What became of a request whose token the upstream refused (DESIGN.md section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryOutcome {
    /// Sent once more, and not refused again.
    Success,
    /// Sent once more, and refused again.
    RefusedAgain,
    /// No other token could be had.
    RenewalFailed,
    /// Its body was too long to be held.
    NotReplayable,
    /// This token was refused although it was new, not long ago.
    Cooldown,
    /// The upstream said that another token would not help (`insufficient_scope`).
    InsufficientScope,
}

impl RetryOutcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Success,
        Self::RefusedAgain,
        Self::RenewalFailed,
        Self::NotReplayable,
        Self::Cooldown,
        Self::InsufficientScope,
    ];

    /// All of them as [`Self::as_str`], in the order of [`Self::ALL`].
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::as_str)
    }

    /// The word in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RefusedAgain => "refused_again",
            Self::RenewalFailed => "renewal_failed",
            Self::NotReplayable => "not_replayable",
            Self::Cooldown => "cooldown",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

impl RouteMetrics {
    /// A request is in flight until the answer is dropped.
    pub fn begin(&self) -> Held {
        self.in_flight.hold()
    }

    /// The answer's head went out this long after the request's came in.
    pub fn first_byte(&self, after: Duration) {
        self.first_byte.observe(after);
    }

    /// The answer has ended: its status, how long the whole took, bytes of body to and from the downstream.
    pub fn finish(&self, status: u16, duration: Duration, bytes_sent: u64, bytes_received: u64) {
        // A status that no class has is to be treated as 5xx (RFC 9110 section 15).
        let class = usize::from(status / 100).clamp(1, CLASSES.len());
        if let Some(counter) = self.classes.get(class - 1) {
            counter.add(1);
        }
        self.duration.observe(duration);
        self.sent_bytes.add(bytes_sent);
        self.received_bytes.add(bytes_received);
    }

    /// The upstream refused a token of ours.
    pub fn unauthorized(&self) {
        self.unauthorized.add(1);
    }

    /// What became of that request.
    pub fn retried(&self, outcome: RetryOutcome) {
        let counters = RetryOutcome::ALL.iter().zip(&self.retries);
        if let Some((_, counter)) = counters.into_iter().find(|(one, _)| **one == outcome) {
            counter.add(1);
        }
    }

    /// Whether anybody has called it yet. Until then it is not shown: of 10,000 routes few are.
    pub(super) fn is_used(&self) -> bool {
        self.in_flight.value() > 0 || self.classes.iter().any(|counter| counter.value() > 0)
    }
}
