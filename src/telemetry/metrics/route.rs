//! Figures of one route.

use std::time::Duration;

use super::figures::Counter;
use super::histogram::Histogram;
use super::shards::Shards;

/// Figures of one route.
#[derive(Debug, Default)]
pub struct RouteMetrics(Shards<RouteCounts>);

/// What was counted of a route: by one thread, by some, or by all.
#[derive(Debug, Default)]
pub(super) struct RouteCounts {
    begun: Counter,
    pub(super) classes: [Counter; CLASSES.len()],
    pub(super) sent_bytes: Counter,
    pub(super) received_bytes: Counter,
    pub(super) first_byte: Histogram,
    pub(super) duration: Histogram,
    pub(super) unauthorized: Counter,
    pub(super) retries: [Counter; RetryOutcome::ALL.len()],
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
    /// A request is in flight until [`finish`](Self::finish).
    pub fn begin(&self) {
        let (counts, writers) = self.0.mine();
        counts.begun.add_among(writers, 1);
    }

    /// The answer's head went out this long after the request's came in.
    pub fn first_byte(&self, after: Duration) {
        let (counts, writers) = self.0.mine();
        counts.first_byte.observe(writers, after);
    }

    /// The answer has ended: its status, how long the whole took, bytes of body to and from the downstream.
    pub fn finish(&self, status: u16, duration: Duration, bytes_sent: u64, bytes_received: u64) {
        let (counts, writers) = self.0.mine();
        // A status that no class has is to be treated as 5xx (RFC 9110 section 15).
        let class = usize::from(status / 100).clamp(1, CLASSES.len());
        if let Some(counter) = counts.classes.get(class - 1) {
            counter.add_among(writers, 1);
        }
        counts.duration.observe(writers, duration);
        counts.sent_bytes.add_among(writers, bytes_sent);
        counts.received_bytes.add_among(writers, bytes_received);
    }

    /// The upstream refused a token of ours.
    pub fn unauthorized(&self) {
        let (counts, writers) = self.0.mine();
        counts.unauthorized.add_among(writers, 1);
    }

    /// What became of that request.
    pub fn retried(&self, outcome: RetryOutcome) {
        let (counts, writers) = self.0.mine();
        let counters = RetryOutcome::ALL.iter().zip(&counts.retries);
        if let Some((_, counter)) = counters.into_iter().find(|(one, _)| **one == outcome) {
            counter.add_among(writers, 1);
        }
    }

    /// What all threads have counted; `None`: nobody has called it yet. It is not shown: of 10,000 routes few are.
    pub(super) fn total(&self) -> Option<RouteCounts> {
        self.0.iter().next()?;
        let total = RouteCounts::default();
        self.0.iter().for_each(|counts| total.add_all_but_begun(counts));
        // Last: a request that ends in the meantime must not have ended before it began.
        self.0.iter().for_each(|counts| total.begun.add(counts.begun.value()));
        Some(total)
    }
}

impl RouteCounts {
    /// Requests that have begun and not ended.
    pub(super) fn in_flight(&self) -> u64 {
        let ended = self.classes.iter().map(Counter::value).sum();
        self.begun.value().saturating_sub(ended)
    }

    fn add_all_but_begun(&self, other: &Self) {
        let add = |to: &[Counter], from: &[Counter]| to.iter().zip(from).for_each(|(to, from)| to.add(from.value()));
        add(&self.classes, &other.classes);
        add(&self.retries, &other.retries);
        self.sent_bytes.add(other.sent_bytes.value());
        self.received_bytes.add(other.received_bytes.value());
        self.unauthorized.add(other.unauthorized.value());
        self.first_byte.add(&other.first_byte);
        self.duration.add(&other.duration);
    }
}
